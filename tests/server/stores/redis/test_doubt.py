"""What goes wrong on the way: a batch is done once or not at all, and whoever asked for it knows which."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import cast

import pytest
from redis import Redis

from chatmail.core.records import Earlier, Gone, Motd
from chatmail.server.stores import Outdated, StoreError
from chatmail.server.stores.redis import RedisStore
from chatmail.server.stores.redis.line import Refused
from tests.server.stores.redis.scene import NOON, Server, between, overtaken, rows, said, serving
from tests.server.stores.redis.server import RedisServer

Trouble = Callable[["Redis"], AbstractContextManager[None]]


def logged(admin: "Redis") -> list[str]:
    """What entries are there."""
    items = cast("list[tuple[bytes, dict[bytes, bytes]]]", admin.xrange("{chatmail}:log"))
    return [fields[b"e"].decode() for _, fields in items if b"e" in fields]


async def test_a_batch_whose_answer_was_lost_is_done_once(
    url: str, running_redis: RedisServer, admin: "Redis", caplog: pytest.LogCaptureFixture
) -> None:
    first = said("a", id="1").entry
    assert first is not None
    async with between(running_redis.socket) as proxy, serving(url, proxy.url) as (one, other):
        other.follow()
        await other.commit(said("a", id="1"))
        await one.commit(said("b", claims=["x"]))
        await other.until(lambda: len(other.log) == 2)
        await one.commit(said("c", claims=["y"]))
        proxy.lose = 3
        batch = [said("d"), said("e", id="1"), rows(Motd(text="x")), said("f", id="2"), said("g", id="2")]
        results = await other.commit(*batch)
        fourth = said("f", id="2").entry
        assert fourth is not None
        assert results == [4, Earlier(1, first), None, 5, Earlier(5, fourth)]
        assert proxy.commits == 1 + 1 + 3
        assert len(logged(admin)) == 5
        assert other.texts() == ["a", "b", "c", "d", "f"]
        assert await other.commit(said("h")) == [6]
    assert [record.levelno for record in caplog.records if record.name.startswith("chatmail.")] == [logging.WARNING]
    assert "Redis is asked again, and what was said last waits for its answer: the connection to" in caplog.text


async def test_a_first_copy_that_arrives_late_changes_nothing(
    url: str, running_redis: RedisServer, admin: "Redis"
) -> None:
    async with between(running_redis.socket) as proxy, serving(proxy.url) as (server,):
        await server.commit(said("a"))
        proxy.hold = 2
        assert await server.commit(said("b")) == [2]
        assert len(proxy.held) == 2
        assert b"2-0" in await proxy.release()  # the same answer once more
        assert await server.commit(said("c")) == [3]
        assert (await proxy.release()).startswith(b"-OUTDATED batch")
        assert len(logged(admin)) == 3


async def test_a_first_copy_that_arrives_first_after_all_is_the_one(
    url: str, running_redis: RedisServer, admin: "Redis"
) -> None:
    """Another one meanwhile has claimed the same, and said something: it was later."""
    async with between(running_redis.socket) as proxy, serving(url, proxy.url) as (one, other):
        other.follow()
        await other.commit(said("a"))
        proxy.hold = 1
        proxy.lose = 1
        committing = asyncio.create_task(other.commit(said("b", claims=["x"])))
        await proxy.asked(1 + 1)
        await proxy.release()
        assert overtaken(await one.commit(said("c", claims=["x"]))) == [True]
        assert await committing == [2]
        assert len(logged(admin)) == 2


async def test_an_entry_that_came_before_is_told_before_though_the_answer_was_lost(
    url: str, running_redis: RedisServer
) -> None:
    async with between(running_redis.socket) as proxy, serving(url, proxy.url) as (one, other):
        other.follow()
        proxy.hold = 1
        committing = asyncio.create_task(other.commit(said("b", claims=["x"])))
        await proxy.asked(1)
        await one.commit(said("a"))
        assert await committing == [2]
        await one.commit(said("c"))
        await other.until(lambda: len(other.log) == 3)
        assert other.texts() == ["a", "b", "c"]


async def test_a_batch_that_is_stored_is_no_failure_though_what_came_before_can_not_be_read(
    url: str, running_redis: RedisServer
) -> None:
    """Not for now; it is read when it can be, and the batch is answered then."""
    async with between(running_redis.socket) as proxy, serving(url, proxy.url) as (one, other):
        await other.commit(said("a"))
        await one.commit(*[said(str(at)) for at in range(2_000)])
        proxy.unread = 3
        assert await other.store.commit([said("b")]) == [2_002]
        assert proxy.unread == 0
        other.follow()
        await other.until(lambda: len(other.log) == 1 + 2_000)
        assert other.texts()[1:] == [str(at) for at in range(2_000)]


async def test_while_it_is_in_doubt_no_refusal_counts(url: str, running_redis: RedisServer, admin: "Redis") -> None:
    """The first copy was done, the next ones are refused: that must not pass for the answer."""
    async with between(running_redis.socket) as proxy, serving(proxy.url) as (server,):
        await server.commit(said("a"))
        proxy.lose = 1
        with full(admin):
            admin.config_set("maxmemory", 0)
            committing = asyncio.create_task(server.commit(said("b")))
            await proxy.asked(2)
            admin.config_set("maxmemory", 1)
            await proxy.asked(4)
            proxy.deaf = True
            proxy.cut()
            assert not committing.done()
            proxy.deaf = False
        assert await committing == [2]
        assert len(logged(admin)) == 2


async def test_doubt_ends_when_the_store_has_to_be_opened_anew(
    url: str, running_redis: RedisServer, admin: "Redis"
) -> None:
    async with between(running_redis.socket) as proxy, serving(proxy.url) as (server,):
        await server.commit(said("a"))
        proxy.hold = 1
        committing = asyncio.create_task(server.commit(said("b")))
        await proxy.asked(2)
        admin.flushall()
        with pytest.raises(Outdated):
            await committing
        assert (await proxy.release()).startswith(b"-OUTDATED epoch")


def everything(admin: "Redis") -> dict[bytes, bytes | None]:
    return {key: admin.dump(key) for key in admin.scan_iter()}


@contextmanager
def full(admin: "Redis") -> Iterator[None]:
    admin.config_set("maxmemory", 1)
    yield
    admin.config_set("maxmemory", 0)


@contextmanager
def replica(admin: "Redis") -> Iterator[None]:
    admin.replicaof("127.0.0.1", 1)
    yield
    admin.replicaof("NO", "ONE")


@contextmanager
def lonely(admin: "Redis") -> Iterator[None]:
    admin.config_set("min-replicas-to-write", 1)
    yield
    admin.config_set("min-replicas-to-write", 0)


@contextmanager
def locked(admin: "Redis") -> Iterator[None]:
    """The connections that are there have to be made anew."""
    admin.config_set("requirepass", "secret")
    admin.client_kill_filter(skipme=True, _type="normal")
    yield
    admin.config_set("requirepass", "")


def allow(admin: "Redis", rule: str) -> None:
    admin.execute_command("ACL", "SETUSER", "default", rule)  # type: ignore[no-untyped-call]


@contextmanager
def forbidden(admin: "Redis", rule: str = "-evalsha") -> Iterator[None]:
    allow(admin, rule)
    yield
    allow(admin, "+@all")


@contextmanager
def nothing_to_append(admin: "Redis") -> Iterator[None]:
    with forbidden(admin, "-xadd"):
        yield


REFUSALS = [
    (full, "Redis has no memory left; raise its maxmemory, or keep less"),
    (replica, "this Redis is a replica and takes nothing; let CHAT_DB name the master"),
    (lonely, "Redis has fewer replicas than it wants"),
    (locked, r"Redis asks for a password; put it into CHAT_DB, as in redis://:PASSWORD@HOST"),
    (forbidden, r"Redis does not let this user do it; give it more rights \(ACL SETUSER\)"),
    (nothing_to_append, "Redis does not let this user do it"),
]


@pytest.mark.parametrize(("trouble", "why"), REFUSALS)
async def test_a_batch_that_is_refused_is_not_stored_and_the_next_is(
    url: str, admin: "Redis", trouble: Trouble, why: str
) -> None:
    async with serving(url) as (server,):
        await server.commit(said("a", id="1"))
        before = everything(admin)
        with trouble(admin):
            if trouble is locked:
                await gone(server)
            for _ in range(2):
                with pytest.raises(StoreError, match=why):
                    await server.commit(said("b", id="2", reader=7), rows(Motd(text="x")))
        assert everything(admin) == before
        assert await server.commit(said("c", id="2")) == [2]


@pytest.mark.parametrize(("trouble", "why"), REFUSALS)
async def test_a_store_that_is_refused_can_not_be_opened_and_says_why(
    url: str, admin: "Redis", trouble: Trouble, why: str
) -> None:
    store = RedisStore(url, 30, name="host")
    with trouble(admin), pytest.raises(StoreError, match=rf"CHAT_DB={url} can't be used: .*{why}"):
        await store.open(NOON)
    await store.close()
    assert (await store.open(NOON)).last == 0
    await store.close()


async def test_where_there_is_no_memory_left_nobody_shows_that_it_lives_but_all_may_tidy(
    url: str, admin: "Redis"
) -> None:
    """So nobody gives up another one, and a beat means that what is said can be stored."""
    async with serving(url) as (server,):
        await server.commit(said("a"))
        with full(admin):
            with pytest.raises(StoreError, match="no memory left"):
                await server.store.beat()
            assert await server.store.tidy(NOON + 31 * 86_400) == 1
        assert await server.store.beat() == {server.node: 1}


async def test_people_are_not_told_where_redis_is(url: str, running_redis: RedisServer) -> None:
    async with serving(url) as (server,):
        running_redis.stop()
        with pytest.raises(StoreError) as caught:
            await server.commit(said("a"))
        assert caught.value.people == "the server can't reach what keeps the chat; try again later"
        running_redis.start()


async def test_a_redis_that_is_gone_refuses_at_once(url: str, running_redis: RedisServer) -> None:
    """The connection was there, and it was seen to end: nothing was sent on it."""
    async with between(running_redis.socket) as proxy, serving(proxy.url) as (server,):
        await server.commit(said("a"))
        proxy.deaf = True
        proxy.cut()
        await gone(server)
        for ask in (server.commit(said("b")), server.store.beat(), server.store.tidy(NOON)):
            with pytest.raises(StoreError, match=r"Redis can't be reached \(.+\); see whether it runs, and where"):
                await ask
        proxy.deaf = False
        assert await server.commit(said("c")) == [2]


async def gone(server: Server) -> None:
    """Return once all connections of a store have been seen to end."""
    for line in server.store._lines:
        reader = line._connection._reader
        if reader is not None:
            assert await reader.read() == b""


async def test_a_redis_that_knows_no_script_any_more_is_told_them_again(url: str, admin: "Redis") -> None:
    async with serving(url) as (server,):
        await server.commit(said("a"))
        admin.script_flush()
        assert await server.commit(said("b")) == [2]
        assert len(logged(admin)) == 2


async def test_a_batch_that_was_cancelled_is_no_trouble_for_the_end(
    url: str, running_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with between(running_redis.socket) as proxy, serving(url, proxy.url) as (one, other):
        one.follow()
        await other.commit(said("a"))
        proxy.hold = 1
        committing = asyncio.create_task(other.commit(said("b")))
        await proxy.asked(2)
        committing.cancel()
        await asyncio.gather(committing, return_exceptions=True)
        await other.store.close()
        await one.until(lambda: (None, None, (Gone(table="node", key=other.node),)) in one.log)
        assert (await proxy.release()).startswith(b"-OUTDATED node")
    assert caplog.records == []


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("MISCONF Errors writing to the AOF file: No space left on device", "Redis can't write to its disk; see"),
        ("LOADING Redis is loading the dataset in memory", "Redis is still reading what it keeps; try again"),
        ("WRONGPASS invalid username-password pair or user is disabled.", "does not take this name and password"),
        (
            "ERR AUTH <password> called without any password configured for the default user. Are you sure?",
            "Redis has no password; take it out of CHAT_DB",
        ),
        ("ERR what is this", "Redis says: ERR what is this"),
    ],
)
def test_each_refusal_has_a_sentence_that_says_what_to_do(said: str, why: str) -> None:
    assert why in str(Refused(said))
