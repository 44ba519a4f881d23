"""What happens to several servers on one Redis when one of them fails, or Redis does, or the network between them.

People talk meanwhile, and go to another server where theirs fails them. Whatever happens, in the end

- everybody has seen the same lines, once, in one order, under numbers without a hole;
- everything that was said is there once, though it was said again;
- all servers are one chat again, by themselves.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from chatmail.core.wire import Left, Message
from chatmail.server.stores.redis.scripts import FORMAT, HOUSE, NODES
from tests.benchmarks.flood import memory
from tests.endtoend.conftest import Desk
from tests.endtoend.guest import Guest, agree, guests
from tests.endtoend.nodes import BACK, GONE, LEADS, Node, nodes, on_one_redis
from tests.faultproxy import FaultProxy
from tests.redisserver import RedisServer, needs_redis
from tests.server.stores.redis.scene import said, serving

pytestmark = [needs_redis, pytest.mark.slow]

NAMES = ("John", "Mary", "Ann", "Bob", "Eve", "Sam", "Tom", "Zoe")
RATE = 200
"""So many lines a second all of them say together."""
HALF = 2.5
"""Seconds after which somebody whose server is silent pings it, and then leaves it."""


@asynccontextmanager
async def talking(people: Sequence[Guest]) -> AsyncIterator[None]:
    """They talk without pause until this ends."""
    over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        try:
            for guest in people:
                group.create_task(guest.talk(len(people) / RATE, over.is_set))
            await more(people)
            yield
            await more(people)
        finally:
            over.set()


@asynccontextmanager
async def load(servers: Sequence[Node]) -> AsyncIterator[list[Guest]]:
    """People at all of these servers who talk without pause, until this ends; then they hear each other out."""
    async with guests([server.port for server in servers], *NAMES, patience=2 * HALF) as people:
        async with talking(people):
            yield people
        await agree(people)


async def more(people: Sequence[Guest]) -> None:
    """Wait until everybody has had some more of their lines confirmed."""
    await asyncio.gather(*(guest.confirmed(50) for guest in people))


def told(guest: Guest, name: str) -> list[str]:
    """Why somebody is gone, each time this one was told."""
    return [entry.reason for entry in guest.entries if isinstance(entry, Left) and entry.name == name]


# A server fails.


async def test_a_server_is_killed(desk: Desk) -> None:
    """Who does not come back elsewhere is announced as gone by another one."""
    async with on_one_redis(desk, 3) as (_, servers), guests([servers[0].port], "Lost") as [lost]:
        first = servers[0]
        async with load(servers) as people:
            witness = people[1]
            await first.kill()
            await witness.until(lambda: told(witness, "Lost"), "Lost to be announced as gone")
            assert told(witness, "Lost") == ["connection lost"]
            assert [server.name for server in servers[1:] if any(LEADS in line for line in server.lines)] != []
            await first.start()
            await lost.until(lambda: lost.comings == 2, "a way back")
        for guest in people:
            assert [name for name in NAMES if told(guest, name)] == []


async def test_a_server_that_slept_too_long_sends_its_people_away_for_a_moment(desk: Desk) -> None:
    async with (
        on_one_redis(desk) as (_, (first, second)),
        guests([second.port], *NAMES) as people,
        guests([first.port], "Lost") as [lost],
    ):
        async with talking(people):
            first.pause()
            lost.say("anybody?")
            await people[0].until(lambda: told(people[0], "Lost"), "Lost to be announced as gone")
            first.resume()
            await first.shows(BACK)
            await lost.confirmed()
        await agree([lost, *people])
        assert lost.byes
        assert all(bye.retry for bye in lost.byes)
        assert {guest.comings for guest in people} == {1}


# Redis fails.


async def test_redis_is_killed(desk: Desk) -> None:
    async with on_one_redis(desk) as (redis, servers), load(servers) as people:
        for _ in range(3):
            await redis.kill()
            await redis.start()
            await more(people)
        assert not any(GONE in line for server in servers for line in server.lines)


async def test_redis_stands_still(desk: Desk) -> None:
    async with on_one_redis(desk) as (redis, servers), load(servers) as people:
        redis.pause()
        await asyncio.sleep(10)
        redis.resume()
        await more(people)
        assert not any(GONE in line for server in servers for line in server.lines)


async def full(redis: RedisServer) -> None:
    """Take away what memory there is."""
    await redis.ask("CONFIG", "SET", "maxmemory", 1)


async def roomy(redis: RedisServer) -> None:
    await redis.ask("CONFIG", "SET", "maxmemory", 0)


async def follower(redis: RedisServer) -> None:
    """Make it a replica, of nobody."""
    await redis.ask("REPLICAOF", "127.0.0.1", 1)


async def master(redis: RedisServer) -> None:
    await redis.ask("REPLICAOF", "NO", "ONE")


async def locked(redis: RedisServer) -> None:
    """Want a password that nobody knows, also of who is connected."""
    await redis.ask("CONFIG", "SET", "requirepass", "another")
    redis.options["requirepass"] = "another"
    await redis.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


async def unlocked(redis: RedisServer) -> None:
    await redis.ask("CONFIG", "SET", "requirepass", "")
    del redis.options["requirepass"]


@pytest.mark.parametrize(
    ("fault", "remedy", "words"),
    [
        (full, roomy, "Redis has no memory left; raise its maxmemory"),
        (follower, master, "this Redis is a replica and takes nothing; let CHAT_DB name the master"),
        (locked, unlocked, "Redis asks for a password; put it into CHAT_DB"),
        (RedisServer.kill, RedisServer.start, "Redis can't be reached"),
    ],
    ids=["full", "replica", "password", "gone"],
)
async def test_what_redis_refuses_is_told_and_goes_on_once_that_is_mended(
    desk: Desk,
    fault: Callable[[RedisServer], Awaitable[None]],
    remedy: Callable[[RedisServer], Awaitable[None]],
    words: str,
) -> None:
    """The operator reads one sentence, people hear that it is not stored, and nobody has to do anything else."""
    async with (
        on_one_redis(desk) as (redis, servers),
        guests([server.port for server in servers], "John", "Mary") as people,
    ):
        await agree(people)
        await fault(redis)
        for guest in people:
            id = guest.say("hello?")
            assert (await guest.refused()).code == "unavailable"
            assert id in guest.unconfirmed
        for server in servers:
            await server.shows(words)
        await remedy(redis)
        await agree(people)
        assert {guest.comings for guest in people} == {1}
        for server in servers:
            await server.shows("what is said can be stored again")
            assert sum("ERROR" in line for line in server.lines) == 1, server.lines
            assert not any(GONE in line for line in server.lines)


@pytest.mark.parametrize("loses", ["all at once", "and begins anew"])
async def test_when_redis_loses_everything_the_chat_goes_on(desk: Desk, loses: str) -> None:
    """It is another chat, with numbers of its own; what its people had seen means nothing there."""
    async with on_one_redis(desk) as (redis, servers):
        ports = [server.port for server in servers]
        async with (
            Guest("John", ports, may_forget=True) as john,
            Guest("Mary", ports[::-1], may_forget=True) as mary,
        ):
            people = [john, mary]
            await agree(people)
            epochs = {guest.epoch for guest in people}
            if loses == "all at once":
                await redis.ask("FLUSHALL")
            else:
                await redis.kill()
                redis.forget()
                await redis.start()
            for guest in people:
                guest.say("hello?")
            await john.until(lambda: john.epoch not in epochs, "another chat")
            await mary.until(lambda: mary.epoch not in epochs, "another chat")
            entries = await agree(people)
            assert {guest.epoch for guest in people}.isdisjoint(epochs)
            assert sum(isinstance(entry, Message) and entry.text == "hello?" for entry in entries) == 2
            for server in servers:
                await server.shows("Redis has lost")
                await server.shows(BACK)


async def test_while_a_server_starts_anew_its_operator_waits_and_its_people_come_back_to_the_same_port(
    desk: Desk,
) -> None:
    """Any port would do at first; and what is in the way for long is told once."""
    async with (
        on_one_redis(desk, 1, CHAT_PORT="0") as (redis, [server]),
        Guest("John", [server.port], may_forget=True) as john,
    ):
        await redis.ask("HSET", HOUSE, "epoch", "another", "format", FORMAT + 1)
        await server.shows("this server can't start anew yet: CHAT_DB=")
        for command in ("/who", "/kick John", "/broadcast hello"):
            await server.type(command, "not now: this server starts anew; try again in a moment")
        await server.type("/log", "what is logged, and shown here")
        await redis.ask("HSET", HOUSE, "format", FORMAT)
        await server.shows(BACK)
        john.say("hello?")
        await john.confirmed()
        await server.type("/who", "john@example.org")
        assert sum("can't start anew" in line for line in server.lines) == 1


# The network fails.


@asynccontextmanager
async def half_cut_off(desk: Desk) -> AsyncIterator[tuple[FaultProxy, Node, Node]]:
    """Two servers, and the way of the second to Redis."""
    async with (
        RedisServer(desk.folder / "redis") as redis,
        FaultProxy(redis.port) as way,
        nodes(desk, redis.url, redis.url_at(way.port)) as (near, far),
    ):
        yield way, near, far


@pytest.mark.parametrize("fault", [FaultProxy.cut, FaultProxy.fall_silent])
async def test_a_server_cannot_reach_redis_for_a_moment(desk: Desk, fault: Callable[[FaultProxy], None]) -> None:
    """Its people hear that nothing is stored, or wait; the others go on, and afterwards all are one, as they were."""
    async with (
        half_cut_off(desk) as (way, near, far),
        guests([near.port], *NAMES) as people,
        guests([far.port], "Far") as [lost],
    ):
        async with talking(people):
            for _ in range(3):
                fault(way)
                await lost.talk(0.2, lambda: lost.errors)
                assert (await lost.refused()).code == "unavailable"
                await more(people)
                await way.mend()
                await lost.confirmed()
        await agree([lost, *people])
        assert {guest.comings for guest in people} == {1}
        assert lost.comings == 1 or any(GONE in line for line in near.lines), "who was not given up loses nobody"


async def test_a_server_that_starts_anew_lets_go_of_all_it_held_before(desk: Desk) -> None:
    """Often enough, it would else be out of memory: 10,000 messages are some 3 MiB."""
    async with RedisServer(desk.folder / "redis") as redis:
        async with serving(redis.url) as (store,):
            for at in range(200):
                await store.commit(*(said(f"{at} {'x' * 100}") for _ in range(50)))
        async with nodes(desk, redis.url) as (server,):
            sizes = []
            for _ in range(6):
                before = len(server.lines)
                await redis.ask("DEL", NODES)
                await server.shows(BACK, before)
                sizes.append(memory(server.pid))
            assert sizes[-1] - sizes[0] < 6_000_000, sizes


@pytest.mark.parametrize("fault", [FaultProxy.cut, FaultProxy.fall_silent])
async def test_a_server_cannot_reach_redis_for_too_long(desk: Desk, fault: Callable[[FaultProxy], None]) -> None:
    """The others announce that its people are gone. They come back once it can, and have missed nothing."""
    async with (
        half_cut_off(desk) as (way, near, far),
        guests([near.port], *NAMES) as people,
        guests([far.port], "Far") as [lost],
    ):
        async with talking(people):
            fault(way)
            lost.say("anybody?")
            await people[0].until(lambda: told(people[0], "Far"), "Far to be announced as gone")
            assert "Far-1" in lost.unconfirmed
            await way.mend()
            await far.shows(BACK)
            await lost.confirmed()
        await agree([lost, *people])
        assert {(bye.reason, bye.retry) for bye in lost.byes} <= {("the server starts anew", True)}
        assert {guest.comings for guest in people} == {1}


@pytest.mark.parametrize("fault", [FaultProxy.cut, FaultProxy.fall_silent])
async def test_people_may_go_elsewhere_when_their_server_cannot_reach_redis(
    desk: Desk, fault: Callable[[FaultProxy], None]
) -> None:
    """What they said there, and nobody confirmed, they say again; it may have been stored, or be only later."""
    async with half_cut_off(desk) as (way, near, far), load([near, far]) as people:
        for _ in range(3):
            fault(way)
            for guest in people[1::2]:
                guest.cut()
            await more(people)
            await way.mend()
            await more(people)
