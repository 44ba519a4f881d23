"""Tidying: what is kept no longer goes, whoever sees to it, and nothing else."""

import asyncio

import pytest
from msgspec.structs import replace
from redis import Redis

from chatmail.core.digest import DAY
from chatmail.core.records import Act, Ban, Failure, Gone, Letter, Motd, Patch, Query, Sent, Span
from chatmail.core.wire import Receipt
from chatmail.server.stores import AUDIT_MAX
from chatmail.server.stores.redis.scripts import TIDY_MAX
from tests.server.stores.redis.scene import (
    ANN,
    JOHN,
    MARY,
    NOON,
    Server,
    account,
    mailed,
    older,
    rows,
    said,
    serving,
)
from tests.server.stores.redis.test_open import LETTER, opened

MONTH = NOON + 30 * DAY


async def texts(server: Server, account: int | None = None) -> list[str]:
    found = await server.store.look_up(Query(account=account, floor=0, before=2**62, count=5_000))
    return [entry.text for _, entry in found.entries]


async def test_what_is_older_than_the_days_to_keep_goes_with_all_that_is_known_of_it(url: str, admin: "Redis") -> None:
    async with serving(url) as (server,):
        await server.commit(said("old", id="1"), said("old, to one", reader=JOHN, id="2"), rows(Motd(text="x")))
        await server.commit(said("new", id="3", now=NOON + DAY), said("new, to one", reader=JOHN, now=NOON + DAY))
        assert await server.store.tidy(MONTH) == 0
        assert len(await texts(server, JOHN)) == 4
        assert await server.store.tidy(MONTH + 0.001) == 2
        assert await texts(server, JOHN) == ["new", "new, to one"]
        assert (await server.store.look_up(Sent(author=MARY, id="1"))).entries == ()
        span = await server.store.look_up(Span(account=JOHN, after=0, before=5))
        assert ([number for number, _ in span.entries], span.open) == ([4], 3)
        assert admin.hkeys("{chatmail}:said") == [b"1:3"]
        for key in ("directs", f"directs:{MARY}", f"directs:{JOHN}"):
            assert admin.zrange(f"{{chatmail}}:{key}", 0, -1) == [b"4"]
        # The number is told to all, whoever did it.
        assert await server.store.tidy(NOON) == 2
        assert await server.store.commit([said("again", id="1")]) == [5]


async def test_what_is_to_be_mailed_is_kept_until_it_is_not_and_so_is_what_came_after(url: str) -> None:
    async with serving(url) as (server,):
        await server.commit(said("a"), mailed("waits"), said("b"))
        assert await server.store.tidy(MONTH + DAY) == 1
        assert await texts(server, JOHN) == ["waits", "b"]
        await server.commit(rows(Gone(table="mail", key=2)))
        assert await server.store.tidy(MONTH + DAY) == 3


async def test_a_lot_goes_bit_by_bit_and_servers_that_tidy_at_once_do_no_harm(url: str) -> None:
    async with serving(url, url, url) as servers:
        for server in servers:
            server.follow()
        old = 3 * TIDY_MAX + 5
        await servers[0].commit(*[said(str(at), reader=JOHN if at % 3 else None, id=str(at)) for at in range(old)])
        await servers[1].commit(said("new", now=MONTH))
        results = await asyncio.gather(
            *[server.store.tidy(MONTH + DAY) for server in servers], *[server.commit(said("c")) for server in servers]
        )
        assert results[:3] == [old] * 3
        assert (await texts(servers[2], JOHN))[:2] == ["new", "c"]
        for server in servers:
            await server.until(lambda server=server: len(server.log) == old + 4)  # type: ignore[misc]


async def test_items_without_entry_go_after_ten_minutes(url: str, admin: "Redis") -> None:
    async with serving(url) as (server,):
        await server.commit(rows(account(MARY, "Mary")), said("a"))
        patches = [rows(Patch(account=MARY, field="seen", value=at)) for at in range(2 * TIDY_MAX + 1)]
        await server.commit(*patches, said("b", now=MONTH))
        older(admin, 590)
        await server.store.tidy(NOON)
        assert admin.xlen("{chatmail}:log") == len(patches) + 3
        older(admin, 11)
        await server.commit(rows(Motd(text="x")))
        await server.store.tidy(NOON)
        assert [id for id, _ in admin.xrange("{chatmail}:log")] == [b"1-0", b"2-0", b"2-1"]  # type: ignore[union-attr]
        assert admin.zrange("{chatmail}:quiet", 0, -1) == [b"2-1"]
        assert admin.hget("{chatmail}:house", "pruned") == f"1-{len(patches)}".encode()
        assert await server.store.commit([said("c")]) == [3]
    assert (await opened(url)).accounts == (replace(account(MARY, "Mary"), seen=2 * TIDY_MAX),)


async def test_what_has_just_happened_is_told_though_the_entry_before_it_goes(url: str) -> None:
    """In a house where nobody speaks, all items come after an old entry."""
    async with serving(url) as (one,):
        await one.commit(said("old"))
        async with serving(url) as (other,):
            await one.commit(rows(Motd(text="x")), rows(Motd(text="y")))
            assert await one.store.tidy(MONTH + DAY) == 1
            assert await one.store.commit([rows(Motd(text="z"))]) == [None]
            other.follow()
            await other.until(lambda: [found for _, _, found in other.log] == [(Motd(text=at),) for at in "xyz"])


async def test_bans_and_letters_go_when_they_end(url: str) -> None:
    sent = replace(LETTER, state="sent", content=b"", mails=())
    failed: Letter = replace(LETTER, message_id="<2:@x>", state="failed")
    waiting = replace(LETTER, message_id="<3@x>")
    bans = [Ban(what="a:b", until=NOON, reason=""), Ban(what="bob", until=None, reason="")]
    async with serving(url) as (server,):
        await server.commit(rows(sent, failed, waiting, *bans, Ban(what="eve", until=NOON, reason="")))
        await server.commit(rows(Ban(what="eve", until=NOON + DAY, reason="longer")))
        await server.store.tidy(NOON)
        assert {ban.what for ban in (await opened(url, now=0.0)).bans} == {"a:b", "bob", "eve"}
        await server.store.tidy(NOON + DAY - 1)
        kept = await opened(url, now=0.0)
        assert {ban.what for ban in kept.bans} == {"bob", "eve"}
        assert set(kept.letters) == {sent, failed, waiting}
        await server.store.tidy(NOON + DAY + 1)
        kept = await opened(url, now=0.0)
        assert [ban.what for ban in kept.bans] == ["bob"]
        assert set(kept.letters) == {failed, waiting}
        await server.store.tidy(MONTH + 1)
        assert (await opened(url, now=0.0)).letters == (waiting,)


async def test_a_failed_letter_that_is_tried_again_stays(url: str) -> None:
    async with serving(url) as (server,):
        await server.commit(rows(replace(LETTER, state="failed")), rows(LETTER))
        await server.store.tidy(MONTH + DAY)
        assert (await opened(url)).letters == (LETTER,)


async def test_failures_of_who_was_forgotten_go(url: str) -> None:
    far = (5 << 32) + 1
    receipt = Receipt(seq=7, to="John", online=False, mail="failed")
    failures = [Failure(author=by, receipt=replace(receipt, seq=at)) for at, by in enumerate((MARY, ANN, far), 7)]
    async with serving(url) as (server,):
        await server.commit(rows(account(MARY, "Mary"), account(ANN, "Ann"), account(far, "Far"), *failures))
        await server.store.tidy(NOON)
        assert (await opened(url)).failures == tuple(failures)
        await server.commit(rows(Gone(table="account", key=ANN)))
        await server.store.tidy(NOON)
        assert (await opened(url)).failures == (failures[0], failures[2])


async def test_so_many_acts_are_kept(url: str, admin: "Redis") -> None:
    async with serving(url) as (server,):
        await server.commit(rows(*[Act(time=NOON, text=str(at)) for at in range(AUDIT_MAX + 2)]))
        assert admin.llen("{chatmail}:audit") == AUDIT_MAX
        assert b'"2"' in admin.lindex("{chatmail}:audit", 0)  # type: ignore[operator]


@pytest.mark.parametrize("days", [1, 30])
async def test_what_is_kept_for_how_long_is_each_servers_own_to_say(url: str, days: int) -> None:
    async with serving(url, keep_days=days) as (server,):
        await server.commit(said("a"))
        assert await server.store.tidy(NOON + days * DAY + 1) == 1
