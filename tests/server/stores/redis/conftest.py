"""A real Redis, one for all tests of a worker, and empty for each."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from tests.server.stores.redis.server import RedisServer

if TYPE_CHECKING:
    from redis import Redis

if find_spec("redis") is None:
    collect_ignore_glob = ["test_*.py"]

    def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.write_line("the store on Redis was not tested: redis-py is not installed")


@pytest.fixture(scope="session")
def running_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """It writes down what it is told before it answers."""
    server = RedisServer(
        tmp_path_factory.mktemp("redis"), "--save", "", "--appendonly", "yes", "--appendfsync", "always"
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture
def admin(running_redis: RedisServer) -> "Iterator[Redis]":
    """Somebody who may do anything there."""
    from redis import Redis

    with Redis(unix_socket_path=str(running_redis.socket)) as client:
        client.flushall()
        yield client


@pytest.fixture
def url(running_redis: RedisServer, admin: "Redis") -> str:
    """Where it is, with nothing in it."""
    return running_redis.url
