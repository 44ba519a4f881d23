"""One connection to Redis: what became of it is known before anything is sent on it."""

from pathlib import Path

import pytest
import trustme

from chatmail.server.stores.redis import line as lines
from chatmail.server.stores.redis.line import Line, Unreachable
from tests.faultproxy import FaultProxy
from tests.ports import reserved_port
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


async def why(url: str) -> str:
    """Why there is no connection."""
    line = Line(url)
    with pytest.raises(Unreachable) as caught:
        await line.call("PING")
    await line.close()
    return str(caught.value)


@needs_redis
async def test_where_only_one_end_speaks_tls_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "cert.pem"))
    with reserved_port() as reserved:
        port = reserved.getsockname()[1]
        redis = RedisServer(
            tmp_path / "redis",
            tls_port=str(port),
            tls_cert_file=str(tmp_path / "cert.pem"),
            tls_key_file=str(tmp_path / "cert.pem"),
            tls_ca_cert_file=str(tmp_path / "authority.pem"),
            tls_auth_clients="no",
        )
        try:
            await redis.start()
        except AssertionError:
            if any("Bad directive" in line for line in redis.lines):
                pytest.skip("this redis-server was built without TLS")
            raise
        assert "wants TLS on that port: then CHAT_DB begins with rediss://" in await why(f"redis://localhost:{port}/0")
        assert "SSL_CERT_FILE" in await why(f"rediss://localhost:{port}/0")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        line = Line(f"rediss://localhost:{port}/0")
        assert await line.call("PING") == b"PONG"
        await line.close()
        assert "name it as its certificate does" in await why(f"rediss://127.0.0.1:{port}/0")
        monkeypatch.setattr(lines, "PATIENCE", 0.5)
        assert "if not, CHAT_DB begins with redis:// and" in await why(f"rediss://localhost:{redis.port}/0")
        assert (await why(f"unix://{tmp_path}/none")).endswith("see whether it runs, and where")
        await redis.close()
        assert (await why(f"rediss://localhost:{port}/0")).endswith("see whether it runs, and where")
