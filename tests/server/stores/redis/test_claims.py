"""Claims: a change is overtaken exactly when another server, unknown to this one, has claimed the same."""

import asyncio
import random

import pytest

from chatmail.core.records import Change, Motd, Overtaken
from tests.server.stores.redis.scene import Server, overtaken, rows, said, serving

CLAIMS = [f"here:{at}" for at in range(4)]


def change(dice: random.Random, text: str) -> Change:
    claims = dice.sample(CLAIMS, dice.choice([0, 0, 1, 2]))
    return said(text, claims=claims) if dice.random() < 0.5 else rows(Motd(text=text), claims=claims)


def name(change: Change) -> str:
    """What tells it from all others."""
    (text,) = [change.entry.text] if change.entry is not None else [row.text for row in change.rows]  # type: ignore[union-attr]
    return text


async def test_who_comes_second_is_overtaken_and_knows_by_then_by_whom(url: str) -> None:
    async with serving(url, url) as (one, other):
        assert overtaken(await one.commit(said("a", claims=["x", "y"]))) == [False]
        results = await other.store.commit(
            [said("b", claims=["y"]), said("c", claims=["z"]), rows(Motd(text="d"), claims=["w", "x"]), said("e")]
        )
        assert overtaken(results) == [True, False, True, False]
        assert results[1::2] == [2, 3]
        # Now it knows.
        assert overtaken(await other.store.commit([said("b", claims=["y"])])) == [False]
        other.follow()
        assert overtaken(await one.commit(said("f", claims=["y"]))) == [True]
        await other.until(lambda: other.texts() == ["a"])


async def test_nobody_overtakes_himself(url: str) -> None:
    async with serving(url) as (one,):
        assert await one.store.commit([said("a", claims=["x"]), said("b", claims=["x"])]) == [1, 2]
        assert await one.store.commit([said("c", claims=["x"])]) == [3]


async def test_what_was_overtaken_overtakes_nobody_and_takes_no_id(url: str) -> None:
    async with serving(url, url, url) as (one, two, three):
        await one.commit(said("a", claims=["x"]))
        assert overtaken(await two.store.commit([said("b", claims=["x", "y"], id="1")])) == [True]
        assert await two.store.commit([said("c", id="1")]) == [2]
        assert overtaken(await three.store.commit([said("d", claims=["y"])])) == [False]


async def test_what_is_told_after_a_batch_was_decided_on_overtakes_it_though_it_was_not_sent_yet(url: str) -> None:
    async with serving(url, url) as (one, other):
        other.follow()
        async with other.store._committing:
            waiting = asyncio.create_task(other.store.commit([said("b", claims=["x"])]))
            await asyncio.sleep(0)
            await one.commit(said("a", claims=["x"]))
            await other.until(lambda: other.texts() == ["a"])
        assert overtaken(await waiting) == [True]


@pytest.mark.parametrize("seed", range(5))
async def test_of_two_in_turns_those_are_overtaken_who_could_not_know(url: str, seed: int) -> None:
    """They follow nobody: each knows what there was when its last batch was committed."""
    dice = random.Random(seed)
    log: list[tuple[str, Change]] = []
    async with serving(url, url) as servers:
        known = {server.node: 0 for server in servers}
        for turn in range(60):
            server = dice.choice(servers)
            batch = [change(dice, f"{turn}.{at}") for at in range(dice.randint(1, 3))]
            unknown = {claim for _, other in log[known[server.node] :] for claim in other.claims}
            results = await server.store.commit(batch)
            assert overtaken(results) == [not unknown.isdisjoint(change.claims) for change in batch]
            log += [(server.node, change) for change, lost in zip(batch, overtaken(results), strict=True) if not lost]
            known[server.node] = len(log)


async def test_of_three_at_once_those_are_overtaken_who_could_not_know(url: str) -> None:
    asked: dict[str, tuple[Server, Change, int, bool]] = {}

    async def play(server: Server, seed: int) -> None:
        dice = random.Random(seed)
        for turn in range(60):
            what = change(dice, f"{server.node} {turn}")
            known = len(server.log)
            (result,) = await server.commit(what)
            asked[name(what)] = (server, what, known, isinstance(result, Overtaken))
            if not dice.randint(0, 3):
                await asyncio.sleep(0)

    async with serving(url, url, url) as servers:
        for server in servers:
            server.follow()
        await asyncio.gather(*[play(server, seed) for seed, server in enumerate(servers)])
        stored = [text for text, (_, _, _, lost) in asked.items() if not lost]
        for server in servers:
            await server.until(lambda log=server.log: len(log) == len(stored))  # type: ignore[misc]
        assert servers[0].log == servers[1].log == servers[2].log
    log = [asked[name(Change(entry=entry, rows=rows))] for _, entry, rows in servers[0].log]  # as it was for all
    assert len(stored) < len(asked)
    for server, what, known, lost in asked.values():
        others = [set(by.claims) for writer, by, _, _ in log[known:] if writer is not server]
        place = next((at for at, (_, by, _, _) in enumerate(log) if by is what), None)
        if lost:
            assert any(claims & set(what.claims) for claims in others)
        else:
            assert place is not None
            between = [set(by.claims) for writer, by, _, _ in log[known:place] if writer is not server]
            assert not any(claims & set(what.claims) for claims in between)


async def test_who_is_far_behind_catches_up_first_and_is_overtaken_all_the_same(url: str) -> None:
    """It has to be told of more than a script can look through while all wait."""
    async with serving(url, url) as (one, other):
        await one.commit(said("first", claims=["x"]), *[said(str(at)) for at in range(2_500)], said("", claims=["y"]))
        asked = [said("a", claims=["x"]), said("b", claims=["y"]), said("c", claims=["z"])]
        results = await other.store.commit(asked)
        assert overtaken(results) == [True, True, False]
        assert results[2] == 2_503
        assert other.texts() == []
        other.follow()
        await other.until(lambda: len(other.log) == 2_502)
        assert other.texts()[:3] == ["first", "0", "1"]
