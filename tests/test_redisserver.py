"""A redis-server that is killed, paused, started again; and one that wants a password, follows, or is full."""

import asyncio
from pathlib import Path

import pytest
from redis.exceptions import AuthenticationError, OutOfMemoryError, ReadOnlyError

from tests.redisserver import RedisServer, needs_redis

pytestmark = needs_redis


async def test_what_was_answered_survives_its_end(tmp_path: Path) -> None:
    async with RedisServer(tmp_path / "redis") as redis:
        for word, end in enumerate((redis.kill, redis.stop)):
            await redis.ask("SET", "word", word)
            await end()
            await redis.start()
            assert await redis.ask("GET", "word") == str(word)


async def test_while_it_is_paused_nothing_is_answered(tmp_path: Path) -> None:
    async with RedisServer(tmp_path / "redis") as redis:
        redis.pause()
        answer = asyncio.create_task(redis.ask("ECHO", "hello"))
        _, writer = await asyncio.open_connection("127.0.0.1", redis.port)  # and by then, it could have been answered
        writer.close()
        assert not answer.done()
        redis.resume()
        assert await answer == "hello"
        redis.pause()
        await redis.kill()


async def test_it_is_set_as_it_should_be(tmp_path: Path) -> None:
    async with (
        RedisServer(tmp_path / "first", requirepass="a/b@c", maxmemory="1mb") as redis,
        RedisServer(tmp_path / "second", replicaof=f"127.0.0.1 {redis.port}", masterauth="a/b@c") as replica,
    ):
        assert await redis.ask("CONFIG", "GET", "appendfsync") == {"appendfsync": "always"}
        with pytest.raises(OutOfMemoryError):
            await redis.ask("SET", "word", "hello")
        with pytest.raises(ReadOnlyError):
            await replica.ask("SET", "word", "hello")
        redis.options["requirepass"] = "another"
        with pytest.raises(AuthenticationError):
            await redis.ask("PING")


async def test_one_that_cannot_start_says_why(tmp_path: Path) -> None:
    redis = RedisServer(tmp_path / "redis", maxmemory="much")
    with pytest.raises(AssertionError, match="argument must be a memory value"):
        await redis.start()
    await redis.close()
