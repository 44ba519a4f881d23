"""Looking up: every answer is that of the store on SQLite, whatever was said and asked; nobody waits for it."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import pytest
from msgspec import UNSET

from chatmail.core.records import Act, Audit, Ban, Change, Entry, Found, Motd, Patch, Query, Question, Sent, Span
from chatmail.core.wire import stamp
from chatmail.server.stores import Store, StoreError
from chatmail.server.stores.database import MEMORY
from chatmail.server.stores.redis.lookups import PAGE
from chatmail.server.stores.sqlite import SqliteStore
from tests.server.stores.redis.scene import (
    ANN,
    JOHN,
    MARY,
    NOON,
    Server,
    account,
    between,
    mailed,
    rows,
    said,
    serving,
)
from tests.server.stores.redis.server import RedisServer

PEOPLE = (MARY, JOHN, ANN, (9 << 32) + 1)
WORDS = ["tea", "teapot", "Café", "cafe", "don't", "four", "a", "1", "x-y", "…"]


def anything(dice: random.Random, at: int) -> Change:
    """A change of any kind."""
    text = " ".join(dice.choices(WORDS, k=dice.randint(1, 4)))
    author, reader = dice.choices(PEOPLE, k=2)
    id = str(dice.randint(0, 300)) if dice.random() < 0.7 else None
    now = NOON + at / 1000
    match dice.randint(0, 9):
        case 0:
            return rows(Act(time=now, text=text), Act(time=now, text=text[::-1]))
        case 1:
            return rows(Motd(text=text), Patch(account=author, field="seen", value=at))
        case 2:
            return mailed(text, author, reader, now=now)
        case 3:
            kinds: tuple[Literal["joined", "left", "notice"], ...] = ("joined", "left", "notice")
            return Change(entry=Entry(kind=dice.choice(kinds), time=stamp(now), author=author, sender="tea", text=text))
        case 4 | 5:
            return said(text, author=author, reader=reader, id=id, now=now)
        case _:
            return said(text, author=author, id=id, now=now)


def question(dice: random.Random, last: int) -> Question:
    account, after, before = dice.choice(PEOPLE), dice.randint(0, last), dice.randint(0, last + 2)
    match dice.randint(0, 5):
        case 0:
            return Span(account=account, after=min(after, before), before=max(after, before) + 1)
        case 1:
            return Sent(author=account, id=str(dice.randint(0, 300)))
        case 2:
            return Audit(count=dice.choice([1, 5, 1_000]))
    return Query(
        account=dice.choice([account, None]),
        floor=dice.choice([0, after]),
        before=dice.choice([before, 2**62]),
        count=dice.choice([1, 5, 100, 1_000]),
        words=None if dice.random() < 0.4 else " ".join(dice.choices(WORDS, k=dice.randint(1, 2))),
    )


@asynccontextmanager
async def both(url: str) -> AsyncIterator[tuple[Store, Store]]:
    """A store on Redis, and one on SQLite."""
    sqlite = SqliteStore(MEMORY, 30)
    await sqlite.open(NOON)
    async with serving(url) as (server,):
        yield server.store, sqlite
    await sqlite.close()


@pytest.mark.parametrize("seed", range(3))
async def test_the_answers_are_those_of_the_store_on_sqlite(url: str, seed: int) -> None:
    dice = random.Random(seed)
    answers = 0
    async with both(url) as (redis, sqlite):
        for _ in range(30):
            batch = [anything(dice, at) for at in range(dice.randint(1, 40))]
            assert await redis.commit(batch) == await sqlite.commit(batch)
        (last,) = await redis.commit([said("the last")])
        assert await sqlite.commit([said("the last")]) == [last]
        for _ in range(150):
            asked = question(dice, int(str(last)))
            found = await redis.look_up(asked)
            assert found == await sqlite.look_up(asked), asked
            answers += bool(found.entries or found.acts)
    assert answers > 75


async def test_what_is_kept_is_the_same_too(url: str) -> None:
    dice = random.Random(7)
    batch = [rows(*[account(id, f"P{at}") for at, id in enumerate(PEOPLE)])]
    batch += [anything(dice, at) for at in range(300)]
    batch += [rows(Ban(what=str(at), until=None, reason="")) for at in range(5)]
    async with both(url) as (redis, sqlite):
        await redis.commit(batch)
        await sqlite.commit(batch)
        kept, same = await redis.open(NOON), await sqlite.look_up(Query(account=None, floor=0, before=9, count=1))
        assert same.entries
        snapshot = sqlite._database.snapshot()  # type: ignore[attr-defined]
        for name in ("last", "entries", "accounts", "bans", "motd", "mails", "letters", "failures"):
            assert getattr(kept, name) == getattr(snapshot, name), name


async def test_what_is_asked_of_an_empty_house(url: str) -> None:
    async with serving(url) as (server,):
        look_up = server.store.look_up
        assert await look_up(Span(account=MARY, after=0, before=1)) == Found()
        assert await look_up(Query(account=MARY, floor=0, before=2**62, count=5, words="tea")) == Found()
        assert await look_up(Sent(author=MARY, id="1")) == Found()
        assert await look_up(Audit(count=5)) == Found()


async def test_a_search_finds_what_lies_many_pages_back_and_others_have_their_turn(url: str) -> None:
    async with serving(url) as (server,):
        await server.commit(said("a needle"), *[said("hay") for _ in range(5 * PAGE)], said("two needles"))
        searching = asyncio.create_task(
            server.store.look_up(Query(account=None, floor=0, before=2**62, count=5, words="needle"))
        )
        turns = 0
        while not searching.done():
            turns += 1
            await asyncio.sleep(0)
        assert [number for number, _ in (await searching).entries] == [1, 5 * PAGE + 2]
        assert turns > 5


async def test_a_commit_does_not_wait_for_a_search(url: str) -> None:
    async with serving(url) as (server,):
        await server.commit(*[said("hay") for _ in range(20 * PAGE)])
        searching = asyncio.create_task(search(server))
        for at in range(3):
            await server.commit(said(str(at)))
        assert not searching.done()
        assert (await searching).entries == ()


async def search(server: Server) -> Found:
    return await server.store.look_up(Query(account=None, floor=0, before=2**62, count=1, words="needle"))


async def test_an_account_with_many_direct_messages(url: str) -> None:
    async with serving(url) as (server,):
        await server.commit(*[said(str(at), reader=JOHN if at % 2 else ANN) for at in range(4 * PAGE)])
        found = await server.store.look_up(Span(account=JOHN, after=0, before=4 * PAGE + 1))
        assert [entry.text for _, entry in found.entries] == [str(at) for at in range(1, 4 * PAGE, 2)]
        assert found.open == 0


async def test_an_id_need_not_be_given(url: str) -> None:
    async with serving(url) as (server,):
        await server.commit(said("a"), said("b"))
        found = await server.store.look_up(Query(account=None, floor=0, before=9, count=9))
        assert [entry.id for _, entry in found.entries] == [UNSET, UNSET]


async def test_a_redis_that_is_not_there_is_told(running_redis: RedisServer, url: str) -> None:
    async with between(running_redis.socket) as proxy, serving(proxy.url) as (server,):
        proxy.deaf = True
        proxy.cut()
        for _ in range(2):
            with pytest.raises(StoreError, match="see whether it runs"):
                await search(server)
