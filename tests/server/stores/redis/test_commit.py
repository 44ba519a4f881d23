"""Committing: numbers without a hole, ids that are used once, rows that replace rows; all of a batch, or nothing."""

import asyncio
import random

from msgspec.structs import replace
from redis import Redis

from chatmail.core.records import (
    Account,
    Ban,
    Change,
    Departure,
    Earlier,
    Gone,
    Leader,
    Letter,
    Motd,
    Patch,
    Snapshot,
    Stored,
)
from chatmail.server.stores.redis import RedisStore
from tests.server.stores.redis.scene import ANN, JOHN, MARY, NOON, Server, account, mailed, rows, said, serving


async def kept(url: str) -> Snapshot:
    """What a server finds that starts now."""
    async with serving(url) as (server,):
        return server.snapshot


async def test_entries_are_numbered_in_order_and_changes_without_one_have_none(url: str) -> None:
    async with serving(url) as (server,):
        assert await server.store.commit([said("a"), Change(), rows(Motd(text="x")), said("b")]) == [1, None, None, 2]
        assert await server.store.commit([]) == []
        assert await server.store.commit([Change()]) == [None]
        assert await server.store.commit([rows(Motd(text="y"))]) == [None]
        assert await server.store.commit([said("c")]) == [3]


async def test_three_that_commit_at_once_get_numbers_in_turn_and_all_know_the_same_in_the_same_order(url: str) -> None:
    """Whatever each says itself stands among what it hears where it stands for all others."""
    dice = random.Random(1)

    async def talk(server: Server) -> list[Stored]:
        results: list[Stored] = []
        for at in range(25):
            what = f"{server.node} {at}"
            batch = [dice.choice([said(what), rows(Motd(text=what))]) for _ in range(dice.randint(1, 4))]
            results += await server.commit(*batch)
        return results

    async with serving(url, url, url) as servers:
        for server in servers:
            server.follow()
        numbers = [number for results in await asyncio.gather(*map(talk, servers)) for number in results]
        entries = sorted(number for number in numbers if isinstance(number, int))
        assert entries == list(range(1, len(entries) + 1))
        for server in servers:
            await server.until(lambda log=server.log: len(log) == len(numbers))  # type: ignore[misc]
        assert servers[0].log == servers[1].log == servers[2].log
        assert [number for number, _, _ in servers[0].log if number is not None] == entries


async def test_what_others_said_before_a_batch_is_told_before_it_is_committed(url: str) -> None:
    """Even where nobody follows yet: it is told as soon as somebody does, and then not again."""
    async with serving(url, url) as (one, other):
        await one.commit(said("a"), rows(Motd(text="x")))
        assert await other.store.commit([said("b")]) == [2]
        following = other.follow()
        await one.commit(said("c"))
        await other.until(lambda: "c" in other.texts())
        assert other.texts() == ["a", "c"]
        assert other.log[1] == (None, None, (Motd(text="x"),))
        assert not following.done()


async def test_an_id_is_accepted_once_wherever_it_is_used(url: str) -> None:
    async with serving(url, url) as (one, other):
        assert await one.store.commit([said("a", id="1"), said("c", author=JOHN, id="1")]) == [1, 2]
        first = said("a", id="1").entry
        assert first is not None
        again = [said("new"), said("other", id="1"), rows(Motd(text="x")), said("d", id="3"), said("e", id="3")]
        fourth = said("d", id="3").entry
        assert fourth is not None
        assert await other.store.commit(again) == [3, Earlier(1, first), None, 4, Earlier(4, fourth)]
        assert await one.store.commit([said("f", id="3")]) == [Earlier(4, fourth)]
    assert [entry.text for _, entry in (await kept(url)).entries] == ["a", "c", "new", "d"]


async def test_what_comes_with_an_id_of_before_is_not_stored_either(url: str, admin: "Redis") -> None:
    async with serving(url) as (server,):
        direct = replace(mailed("a"), entry=said("a", reader=JOHN, id="1").entry)
        await server.store.commit([direct, rows(Gone(table="mail", key=1))])
        (number, earlier) = await server.store.commit([said("b"), direct])
        assert (number, earlier) == (2, Earlier(1, direct.entry))  # type: ignore[arg-type]
    assert (await kept(url)).mails == ()
    assert admin.zrange("{chatmail}:directs", 0, -1) == [b"1"]


async def test_rows_are_replaced_changed_and_deleted_in_their_order(url: str, admin: "Redis") -> None:
    letter = Letter(message_id="<1@x>", address="john@example.org", content=b"\xff", made=NOON, expires=NOON + 1)
    async with serving(url) as (server,):
        await server.store.commit(
            [
                rows(account(MARY, "Mary"), account(JOHN, "John"), account(ANN, "Ann")),
                rows(Patch(account=MARY, field="seen", value=9), Patch(account=JOHN, field="seen", value=1)),
                rows(Patch(account=MARY, field="notify", value="never"), Patch(account=MARY, field="revoked", value=2)),
                rows(Patch(account=MARY, field="away", value="tea"), Gone(table="account", key=JOHN)),
                rows(Patch(account=JOHN, field="seen", value=5), Patch(account=MARY, field="seen", value=8)),
                rows(Patch(account=ANN, field="seen", value=5), account(ANN, "Anna")),
                rows(Ban(what="eve", until=1e10, reason="a"), Ban(what="eve", until=None, reason="b")),
                rows(Ban(what="bob", until=1e10, reason=""), Gone(table="ban", key="bob")),
                rows(letter, replace(letter, state="sent", content=b"")),
                rows(replace(letter, message_id="<2@x>", state="failed"), Gone(table="letter", key="<2@x>")),
                mailed("a"),
                mailed("b"),
                rows(Gone(table="mail", key=1)),
                rows(Leader(node="a"), Leader(node="b"), Departure(account=MARY, reason="left")),
            ]
        )
        snapshot = await kept(url)
    mary = replace(account(MARY, "Mary"), seen=9, notify="never", away="tea", revoked=2)
    assert snapshot.accounts == (mary, account(ANN, "Anna"))
    assert snapshot.bans == (Ban(what="eve", until=None, reason="b"),)
    assert snapshot.letters == (replace(letter, state="sent", content=b""),)
    assert [(mail.seq, mail.text) for mail in snapshot.mails] == [(2, "b")]
    assert snapshot.leader == "b"
    assert set(admin.hkeys("{chatmail}:account")) == {b"1", b"1:seen", b"1:notify", b"1:revoked", b"1:away", b"3"}
    assert admin.zrange("{chatmail}:ends", 0, -1) == [b"letter:<1@x>"]


async def test_a_mail_is_told_with_the_number_of_its_entry(url: str) -> None:
    async with serving(url, url) as (one, other):
        other.follow()
        await one.commit(said("a"), mailed("b"))
        await other.until(lambda: len(other.log) == 2)
        number, entry, (mail,) = other.log[1]
        assert (number, entry) == (2, mailed("b").entry)
        assert mail == replace(mailed("b").rows[0], seq=2)


async def test_any_text_comes_back_unchanged(url: str) -> None:
    texts = ["é \U0001f600", "\u2028\ufeff\ud7ff\uffff", "\x01\x7f\r\n\t", '"\\"', "-0", "x" * 70_000, " "]
    async with serving(url, url) as (one, other):
        other.follow()
        reason = [rows(Ban(what=f"a:{text}", until=None, reason=text), claims=[text]) for text in texts]
        await one.commit(*[said(text, id=text) for text in texts], *reason)
        await other.until(lambda: len(other.log) == 2 * len(texts))
        assert other.texts() == texts
        assert [row.reason for _, _, found in other.log for row in found if isinstance(row, Ban)] == texts
        earlier = await other.store.commit([said("new", id=text) for text in texts])
        assert [result.entry.text for result in earlier if isinstance(result, Earlier)] == texts
        assert not any(isinstance(row, Account) for _, _, found in other.log for row in found)
    snapshot = await kept(url)
    assert [entry.id for _, entry in snapshot.entries] == texts
    assert {ban.reason for ban in snapshot.bans} == set(texts)


async def test_a_batch_may_be_large(url: str) -> None:
    async with serving(url, url) as (one, other):
        other.follow()
        changes = [said(str(at), id=str(at)) if at % 3 else rows(Motd(text=str(at))) for at in range(5_000)]
        numbers = [number for number in await one.store.commit(changes) if number is not None]
        assert numbers == list(range(1, len(numbers) + 1))
        await other.until(lambda: len(other.log) == len(changes))
        assert [(entry, found) for _, entry, found in other.log] == [(change.entry, change.rows) for change in changes]


async def test_a_store_that_is_opened_anew_begins_anew(url: str) -> None:
    store = RedisStore(url, 30, name="host")
    first = await store.open(NOON)
    await store.commit([said("a")])
    again = await store.open(NOON)
    assert (first.node, again.node) == ("host-1", "host-2")
    assert again.entries == ((1, said("a").entry),)
    assert await store.commit([said("b")]) == [2]
    await store.close()
