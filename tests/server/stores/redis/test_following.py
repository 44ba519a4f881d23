"""Following: nothing is missed and nothing comes twice; who knows the wrong things is told so."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from redis import Redis

from chatmail.core.records import Gone, Motd
from chatmail.server.stores import Outdated, StoreError
from tests.server.stores.redis.scene import Server, between, older, rows, said, serving
from tests.server.stores.redis.server import RedisServer


async def commit(server: Server) -> None:
    await server.store.commit([said("late")])


async def beat(server: Server) -> None:
    await server.store.beat()


async def follow(server: Server) -> None:
    await server.store.follow(server.learn)


async def tidy(server: Server) -> None:
    await server.store.tidy(0.0)


WAYS = [commit, beat, follow]
Way = Callable[[Server], Awaitable[None]]


async def test_who_can_not_reach_redis_for_a_while_misses_nothing(url: str, running_redis: RedisServer) -> None:
    async with between(running_redis.socket) as proxy, serving(url, proxy.url) as (one, other):
        following = other.follow()
        await one.commit(said("a"))
        await other.until(lambda: other.texts() == ["a"])
        proxy.deaf = True
        proxy.cut()
        with pytest.raises(StoreError, match="the connection to Redis broke"):
            await following
        with pytest.raises(StoreError, match="Redis can't be reached"):
            await other.store.follow(other.learn)
        await one.commit(said("b"), rows(Motd(text="x")), said("c"))
        proxy.deaf = False
        other.follow()
        await other.until(lambda: other.texts() == ["a", "b", "c"])
        assert len(other.log) == 4


async def test_what_comes_after_a_batch_is_told_after_whoever_committed_it_knows(url: str) -> None:
    """The log of a server has its own where it was stored, though others commit without a pause."""
    async with serving(url, url) as (one, other):
        other.follow()
        for at in range(50):
            await asyncio.gather(one.commit(said(f"one {at}")), other.commit(said(f"other {at}")))
        await other.until(lambda: len(other.log) == 100)
        assert [number for number, _, _ in other.log] == list(range(1, 101))


async def test_signs_of_life_are_counted(url: str) -> None:
    async with serving(url, url) as (one, other):
        assert await one.store.beat() == {one.node: 1, other.node: 0}
        assert await one.store.beat() == {one.node: 2, other.node: 0}
        assert await other.store.beat() == {one.node: 2, other.node: 1}


@pytest.mark.parametrize("way", [*WAYS, tidy])
async def test_a_redis_that_was_emptied(url: str, admin: "Redis", way: Way) -> None:
    async with serving(url) as (server,):
        await server.commit(said("a"))
        admin.flushall()
        with pytest.raises(Outdated, match="Redis has lost some of what was in it, or was begun anew"):
            await way(server)


@pytest.mark.parametrize("way", WAYS)
async def test_a_server_that_was_given_up(url: str, way: Way) -> None:
    """It is told nothing that came after that: its people hear that they may come back, not that they are gone."""
    async with serving(url, url) as (one, other):
        await one.commit(said("a"), rows(Gone(table="node", key=other.node)), said("b"))
        with pytest.raises(Outdated, match="the other servers have given this one up"):
            await way(other)
        assert other.texts() == (["a"] if way is follow else [])
        assert list(await one.store.beat()) == [one.node]
        assert (await other.store.open(0.0)).nodes == (one.node, "host-3")
        assert await other.store.commit([said("c")]) == [3]


@pytest.mark.parametrize("way", [commit, follow])
async def test_a_server_that_heard_nothing_for_too_long(url: str, admin: "Redis", way: Way) -> None:
    async with serving(url, url) as (one, other):
        await one.commit(said("a"), rows(Motd(text="x")), rows(Motd(text="y")))
        older(admin, 601)
        await one.store.tidy(0.0)
        with pytest.raises(Outdated, match="heard nothing for too long, and what it missed is not all kept"):
            await way(other)
        # Who knew all of it is not concerned, nor when others have gone on.
        async with serving(url) as (third,):
            assert await third.store.commit([said("b")]) == [2]
        assert await one.store.commit([said("c")]) == [3]


@pytest.mark.parametrize("way", WAYS)
async def test_a_redis_that_has_lost_what_was_said_last(tmp_path_factory: pytest.TempPathFactory, way: Way) -> None:
    """Its numbers are about to be used again, so that all servers have to begin anew."""
    server = RedisServer(tmp_path_factory.mktemp("loss"), "--save", "")
    server.start()
    try:
        async with serving(server.url, server.url) as (one, other):
            await one.commit(said("a"))
            await other.commit(said("b"))
            with Redis(unix_socket_path=str(server.socket)) as client:
                client.save()
            await one.commit(said("lost"))
            server.stop()
            server.start()
            with pytest.raises(Outdated, match=r"Redis has lost some of what was in it$"):
                await ended(way, one)
            with pytest.raises(Outdated, match="or was begun anew"):
                await ended(way, other)
            again = await one.store.open(0.0)
            assert [entry.text for _, entry in again.entries] == ["a", "b"]
            assert again.epoch != one.snapshot.epoch
            assert await one.store.commit([said("c")]) == [3]
    finally:
        server.stop()


@pytest.mark.parametrize("texts", [["b"], ["b", "c"]])
@pytest.mark.parametrize("way", WAYS)
async def test_a_redis_that_has_others_in_the_place_of_what_it_lost(
    tmp_path_factory: pytest.TempPathFactory, way: Way, texts: list[str]
) -> None:
    """What was said under a number must not become something else, though nothing seems to be missing."""
    redis = RedisServer(tmp_path_factory.mktemp("loss"), "--save", "")
    redis.start()
    try:
        async with serving(redis.url) as (one,):
            await one.commit(said("a"))
            with Redis(unix_socket_path=str(redis.socket)) as client:
                client.save()
            await one.commit(said("lost"))
            redis.stop()
            redis.start()
            async with serving(redis.url) as (other,):
                for number, text in enumerate(texts, 2):
                    assert await other.commit(said(text)) == [number]
                with pytest.raises(Outdated, match=r"Redis has lost some of what was in it$"):
                    await ended(way, one)
                with pytest.raises(Outdated, match="or was begun anew"):
                    await commit(other)
            again = await one.store.open(0.0)
            assert [entry.text for _, entry in again.entries] == ["a", *texts]
            assert again.epoch != one.snapshot.epoch
    finally:
        redis.stop()


async def ended(way: Way, server: Server) -> None:
    """Try again where the connection was lost with the old process."""
    try:
        await way(server)
    except StoreError:
        await way(server)


@pytest.mark.parametrize("way", [commit, follow])
async def test_a_batch_of_a_server_that_it_does_not_know_of(url: str, admin: "Redis", way: Way) -> None:
    """Its task was cancelled, say, while it was on its way."""
    async with serving(url) as (server,):
        admin.xadd("{chatmail}:log", {"n": f"{server.node} 1", "e": "{}"}, "1-0")
        admin.hset("{chatmail}:house", mapping={"at": "1-0", "by": f"{server.node} 1", "last": 1})
        with pytest.raises(Outdated, match="a batch of this server that it does not know of"):
            await way(server)


@pytest.mark.parametrize("way", [commit, follow])
async def test_what_no_server_wrote_is_damage(url: str, admin: "Redis", way: Way) -> None:
    """What comes after it can't be told, not even that it is stored."""
    async with serving(url) as (server,):
        admin.xadd("{chatmail}:log", {"n": "other 1", "e": "{}"}, "1-0")
        admin.hset("{chatmail}:house", mapping={"at": "1-0", "by": "other 1", "last": 1})
        with pytest.raises(Outdated, match="what is in Redis is damaged"):
            await way(server)
