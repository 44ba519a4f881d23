"""Opening: all that is kept is there, at one moment; a Redis that will not do is refused, and says why."""

import asyncio
import logging
import random
from pathlib import Path

import pytest
from msgspec.structs import replace
from redis import Redis

from chatmail.core.digest import DAY
from chatmail.core.records import (
    Act,
    Arrival,
    Ban,
    Departure,
    Failure,
    Gone,
    Leader,
    Letter,
    Mail,
    Motd,
    Patch,
    Snapshot,
)
from chatmail.core.wire import Receipt, stamp
from chatmail.server.stores import StoreError
from chatmail.server.stores.redis import RedisStore
from chatmail.server.stores.redis.line import masked
from tests.server.stores.redis.scene import ANN, JOHN, MARY, NOON, Server, account, between, mailed, rows, said, serving
from tests.server.stores.redis.server import RedisServer

LETTER = Letter(
    message_id="<1@x>",
    address="john@example.org",
    content=b"From: x\r\n\r\n\xff",
    made=NOON,
    expires=NOON + 3 * DAY,
    reader=JOHN,
    mails=(
        Mail(seq=7, reader=JOHN, author=MARY, sender="Mary", to="John", text="é", time=stamp(NOON + 0.001), id="i"),
    ),
    tries=2,
    due=NOON + 60.5,
    reply="451 later",
)


async def opened(url: str, *limits: int, now: float = NOON) -> Snapshot:
    store = RedisStore(url, 30, *limits, name="host")
    try:
        return await store.open(now)
    finally:
        await store.close()


async def test_a_new_house_is_empty_and_has_an_epoch_of_its_own(url: str, admin: "Redis") -> None:
    one = await opened(url)
    admin.flushall()
    other = await opened(url)
    assert replace(one, epoch="", secret=b"") == Snapshot(
        epoch="", secret=b"", node="host-1", nodes=("host-1",), next_account=(1 << 32) + 1
    )
    assert one.epoch != other.epoch
    assert one.secret != other.secret
    assert (len(one.epoch), len(one.secret)) == (12, 32)


async def test_several_may_make_the_house_at_once(url: str) -> None:
    stores = [RedisStore(url, 30, name="host") for _ in range(5)]
    snapshots = await asyncio.gather(*[store.open(NOON) for store in stores])
    assert len({(snapshot.epoch, snapshot.secret) for snapshot in snapshots}) == 1
    assert {snapshot.node for snapshot in snapshots} == {f"host-{at}" for at in range(1, 6)}
    assert {snapshot.next_account >> 32 for snapshot in snapshots} == set(range(1, 6))
    for store in stores:
        await store.close()


async def test_everything_is_there(url: str) -> None:
    failures = [
        Failure(author=MARY, receipt=Receipt(id="i", seq=seq, to="John", online=False, mail="failed"))
        for seq in (10, 9)
    ]
    arrivals = [
        Arrival(account=at, node="host-1", host="192.0.2.1", since=stamp(NOON + at), came=NOON + 60)
        for at in (JOHN, MARY, ANN)
    ]
    bans = [Ban(what="192.0.2.1", until=NOON + 5.5, reason="rude"), Ban(what="eve", until=None, reason="")]
    earlier = replace(LETTER, message_id="<0@x>", made=NOON - 1, reader=None, mails=(), state="failed")
    changes = [
        said("é \U0001f600", account(MARY, "Mary"), id="1"),
        mailed("secret"),
        rows(*failures, *arrivals, *bans, LETTER, earlier, Act(time=NOON, text="x"), Motd(text="welcome")),
        said("c", Leader(node="host-1"), account(JOHN, "John"), Patch(account=MARY, field="away", value="tea")),
        rows(Patch(account=MARY, field="away", value=None), Patch(account=JOHN, field="seen", value=2)),
        rows(Departure(account=ANN, reason="left"), Patch(account=MARY, field="notify", value="away")),
    ]
    async with serving(url) as (server,):
        await server.commit(*changes)
        kept = await opened(url)
    assert (kept.epoch, kept.secret) == (server.snapshot.epoch, server.snapshot.secret)
    assert kept.last == 3
    assert kept.entries == tuple(enumerate([change.entry for change in changes if change.entry], start=1))
    assert kept.accounts == (replace(account(MARY, "Mary"), notify="away"), replace(account(JOHN, "John"), seen=2))
    assert kept.bans == tuple(bans)
    assert kept.letters == (earlier, LETTER)
    assert kept.failures == tuple(reversed(failures))
    assert kept.arrivals == (arrivals[1], arrivals[0])
    assert kept.motd == "welcome"
    assert (kept.node, kept.nodes, kept.leader) == ("host-2", ("host-1", "host-2"), "host-1")
    assert [(mail.seq, mail.reader, mail.author, mail.text) for mail in kept.mails] == [(2, JOHN, MARY, "secret")]


async def test_the_newest_entries_come_back_as_many_as_the_journal_holds(url: str) -> None:
    async with serving(url) as (server,):
        assert (await opened(url, 10)).entries == ()
        await server.commit(*[said(str(at)) if at % 3 else rows(Motd(text="x")) for at in range(1, 3_001)])
        for size in (0, 1, 999, 1_000, 1_999, 2_000, 2_001):
            kept = await opened(url, size)
            assert [number for number, _ in kept.entries] == list(range(max(2_000 - size, 0) + 1, 2_001))
            assert kept.last == 2_000


async def test_and_no_more_characters_than_its_bytes(url: str) -> None:
    async with serving(url) as (server,):
        await server.commit(*[said("x" * 4_000) for _ in range(12)])
        assert [number for number, _ in (await opened(url, 99, 40_000)).entries] == list(range(3, 13))
        assert [number for number, _ in (await opened(url, 99, 39_999)).entries] == list(range(4, 13))


async def test_what_is_too_old_is_not_even_read_and_no_number_is_used_twice(url: str) -> None:
    async with serving(url) as (server,):
        await server.commit(said("old"), said("old, too"))
    later = NOON + 31 * DAY
    kept = await opened(url, now=later)
    assert (kept.entries, kept.last) == ((), 2)
    async with serving(url) as (server,):
        assert await server.store.commit([said("new", now=later)]) == [3]
    assert [number for number, _ in (await opened(url)).entries] == [3]


async def test_what_is_read_and_what_is_told_then_is_all_and_nothing_twice(url: str) -> None:
    """Servers that start while others talk know in the end what those know."""
    dice = random.Random(3)

    async def talk(server: Server, stop: asyncio.Event) -> None:
        at = 0
        while not stop.is_set():
            at += 1
            patch = Patch(account=MARY, field="revoked", value=dice.randint(1, 9))
            await server.commit(dice.choice([said(f"{server.node} {at}"), rows(patch)]))

    async with serving(url, url) as servers:
        await servers[0].commit(rows(account(MARY, "Mary")))
        for server in servers:
            server.follow()
        stop = asyncio.Event()
        talking = [asyncio.create_task(talk(server, stop)) for server in servers]
        late = []
        for _ in range(8):
            store = RedisStore(url, 30, name="late")
            late.append(Server(store, await store.open(NOON)))
            late[-1].follow()
        stop.set()
        await asyncio.gather(*talking)
        (number,) = await servers[0].commit(said("the end"))
        for server in (servers[1], *late):
            await server.until(lambda server=server: server.texts()[-1:] == ["the end"])  # type: ignore[misc]
        for server in late:
            numbers = [number for number, _ in server.snapshot.entries]
            numbers += [number for number, _, _ in server.log if number is not None]
            assert numbers == list(range(1, int(str(number)) + 1))
            assert revoked(server) == revoked(servers[0])
            await server.end()


def revoked(server: Server) -> int:
    """How often the account's tokens were made void at last, as this server knows."""
    value = server.snapshot.accounts[0].revoked if server.snapshot.accounts else 0
    for _, _, found in server.log:
        for row in found:
            if isinstance(row, Patch):
                value = int(str(row.value))
    return value


@pytest.mark.parametrize("url", ["redis://:secret@127.0.0.1:1/0", "unix://:secret@/nowhere/redis.sock?db=1"])
async def test_a_redis_that_is_not_there_is_named_without_its_password(url: str) -> None:
    store = RedisStore(url, 30, name="host")
    with pytest.raises(StoreError) as caught:
        await store.open(NOON)
    assert str(caught.value).startswith(f"CHAT_DB={masked(url)} can't be used: Redis can't be reached (")
    assert "secret" not in str(caught.value)
    assert "//***@" in str(caught.value)
    await store.close()


@pytest.mark.parametrize(
    "url", ["http://x", "redis://host:port", "redis://x?socket_timeout=soon", "redis://x?no=way", ""]
)
async def test_what_is_no_address_is_refused(url: str) -> None:
    store = RedisStore(url, 30, name="host")
    with pytest.raises(
        StoreError, match=r"can't be used: it is no address of a Redis; name it as in redis://HOST:6379/0"
    ):
        await store.open(NOON)
    await store.close()


@pytest.mark.parametrize("tcp", [True, False])
async def test_a_wrong_password_is_told(admin: "Redis", running_redis: RedisServer, tcp: bool) -> None:
    admin.config_set("requirepass", "right")
    try:
        async with between(running_redis.socket) as proxy:
            url = proxy.url if tcp else running_redis.url
            for password, why in ((":wrong@", "does not take this name and password"), ("", "asks for a password")):
                store = RedisStore(url.replace("//", f"//{password}"), 30, name="host")
                with pytest.raises(StoreError, match=why) as caught:
                    await store.open(NOON)
                assert "wrong" not in str(caught.value)
                await store.close()
            assert (await opened(url.replace("//", "//:right@"))).last == 0
    finally:
        admin.config_set("requirepass", "")


async def test_a_replica_is_refused(url: str, admin: "Redis") -> None:
    admin.replicaof("127.0.0.1", 1)
    try:
        with pytest.raises(StoreError, match="this Redis is a replica"):
            await opened(url)
    finally:
        admin.replicaof("NO", "ONE")
    assert admin.dbsize() == 0


@pytest.mark.parametrize("found", ["1", ""])
async def test_what_another_version_keeps_is_left_as_it_is(url: str, admin: "Redis", found: str) -> None:
    admin.hset("{chatmail}:house", "format" if found else "other", found or "x")
    before = admin.hgetall("{chatmail}:house")
    with pytest.raises(StoreError, match=rf"another version of chatmail .*\(format {found or '.'}, this one knows 2\)"):
        await opened(url)
    assert admin.hgetall("{chatmail}:house") == before
    assert admin.keys() == [b"{chatmail}:house"]


@pytest.mark.parametrize(
    ("key", "field", "value"),
    [
        ("house", "last", "x"),
        ("account", "1", "{}"),
        ("account", "9:seen", "1"),
        ("mail", "x", "{}"),
        ("letter", "x", "["),
        ("arrival", "1", "{}"),
    ],
)
async def test_records_that_no_server_wrote_are_damage(
    url: str, admin: "Redis", key: str, field: str, value: str
) -> None:
    async with serving(url) as (server,):
        await server.commit(said("a"))
    admin.hset(f"{{chatmail}}:{key}", field, value)
    with pytest.raises(StoreError, match=r"what is in Redis is damaged .*; empty it to begin anew"):
        await opened(url)


class TestWarnings:
    async def test_none_of_a_redis_that_loses_nothing(self, url: str, caplog: pytest.LogCaptureFixture) -> None:
        await opened(url)
        assert caplog.records == []

    @pytest.mark.parametrize(
        ("name", "value", "why"),
        [
            ("appendfsync", "everysec", "may lose what was said last when it crashes: appendfsync is everysec; in"),
            (
                "appendonly",
                "no",
                "may lose what was said last when it crashes: appendonly is no; in redis.conf:",
            ),
            ("maxmemory-policy", "allkeys-lru", "may drop all that was said when its memory is full: maxmemory-policy"),
        ],
    )
    async def test_what_may_be_lost(
        self, url: str, admin: "Redis", caplog: pytest.LogCaptureFixture, name: str, value: str, why: str
    ) -> None:
        before = admin.config_get(name)[name]
        admin.config_set(name, value)
        try:
            await opened(url)
        finally:
            admin.config_set(name, str(before))
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert f"CHAT_DB: Redis {why}" in record.message

    async def test_that_it_could_not_be_checked(
        self, url: str, admin: "Redis", caplog: pytest.LogCaptureFixture, running_redis: RedisServer
    ) -> None:
        admin.acl_setuser(
            "chat", enabled=True, passwords=["+pw"], keys=["*"], categories=["+@all"], commands=["-config"]
        )
        await opened(f"unix://chat:pw@{running_redis.socket}")
        (record,) = caplog.records
        assert "whether Redis keeps what it is told could not be checked: it says NOPERM" in record.message
        admin.acl_deluser("chat")


async def test_an_old_redis_is_refused(tmp_path: Path) -> None:
    """One that tells its version, and nothing else."""
    left = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while command := await reader.read(65_536):
            info = b"redis_version:6.2.14\r\nrole:master"
            is_info = b"INFO" in command and b"SETINFO" not in command
            writer.write(b"$%d\r\n%b\r\n" % (len(info), info) if is_info else b"+PONG\r\n" * command.count(b"*"))
        writer.close()
        await writer.wait_closed()
        left.set()

    server = await asyncio.start_unix_server(answer, tmp_path / "s")
    with pytest.raises(StoreError, match=r"its Redis is of version 6.2.14; it takes 7.0, or a Valkey"):
        await opened(f"unix://{tmp_path / 's'}")
    await left.wait()
    server.close()
    await server.wait_closed()


async def test_closing_tells_the_others(url: str, admin: "Redis") -> None:
    async with serving(url, url) as (one, other):
        one.follow()
        await other.commit(said("a"))
        await other.store.close()
        await one.until(lambda: len(one.log) == 2)
        assert one.log[1] == (None, None, (Gone(table="node", key=other.node),))
        assert await one.store.beat() == {one.node: 1}
    assert not admin.exists("{chatmail}:nodes", "{chatmail}:batches")


async def test_closing_where_redis_is_gone_is_logged(
    tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    server = RedisServer(
        tmp_path_factory.mktemp("gone"), "--save", "", "--appendonly", "yes", "--appendfsync", "always"
    )
    server.start()
    store = RedisStore(server.url, 30, name="host")
    await store.open(NOON)
    server.stop()
    await store.close()
    assert "the other servers could not be told that this one ends" in caplog.text
    await store.close()
