"""One connection to Redis: what became of it is known before anything is sent on it."""

from pathlib import Path

import pytest

from chatmail.server.stores.redis.line import Line, Unreachable
from tests.faultproxy import FaultProxy
from tests.redisserver import RedisServer, needs_redis


@needs_redis
async def test_a_connection_that_was_reset_is_made_anew(tmp_path: Path) -> None:
    """Nothing is sent on the old one: it would be in doubt whether that was done."""
    async with RedisServer(tmp_path / "redis") as redis, FaultProxy(redis.port) as way:
        line = Line(redis.url_at(way.port))
        for word in (b"hello", b"again"):
            assert await line.call("ECHO", word) == word
            way.cut()
            await redis.ask("PING")  # by the time it answers, the reset has come
            with pytest.raises(Unreachable):
                await line.call("ECHO", "anybody?")
            await way.mend()
        await line.call("PING")
        way.cut()
        await way.mend()
        await redis.ask("PING")
        assert await line.call("ECHO", "and again") == b"and again"
        await line.close()
