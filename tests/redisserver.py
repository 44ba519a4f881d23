"""A real redis-server in a process of its own, on a port and in a folder that it keeps when it is started again.

    async with RedisServer(folder, requirepass="s3cret") as redis:
        ... something that uses redis.url
        await redis.kill()
        await redis.start()

It writes down all that it is told, before it answers: what was answered survives a ``kill``.
"""

import asyncio
import re
import shutil
import signal
import subprocess
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from contextlib import suppress
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import pytest
from redis.asyncio import Redis

from tests.ports import reserved_port

OLDEST = 7
PATIENCE = 60.0
"""No start and no end takes longer than this, in seconds, unless it fails."""


def _missing() -> str:
    """Why there is no redis-server for tests, "" where there is."""
    if shutil.which("redis-server") is None:
        return "redis-server is not installed"
    told = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True).stdout
    version = re.search(r"v=(\d+)\.", told)
    return "" if version and int(version[1]) >= OLDEST else f"redis-server is older than {OLDEST}: {told.strip()}"


MISSING = _missing()
needs_redis = pytest.mark.skipif(bool(MISSING), reason=MISSING)


class RedisServer:
    """The server; it runs while its context lasts, or from ``start`` to ``stop``. ``lines`` are all it has printed.

    Args:
        folder: where its files are; it is made.
        options: more of its settings, as in redis.conf, with ``_`` for ``-``: ``maxmemory="8mb"``.
    """

    def __init__(self, folder: Path, **options: str) -> None:
        self.folder = folder
        self.options = {name.replace("_", "-"): value for name, value in options.items()}
        self.lines: list[str] = []
        self._reserved = reserved_port()
        self.port = int(self._reserved.getsockname()[1])
        self._process: Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()

    @property
    def url(self) -> str:
        """Where it is, with its password if it wants one."""
        return self.url_at(self.port)

    def url_at(self, port: int) -> str:
        """The same, but by another way to it."""
        password = quote(self.options.get("requirepass", ""), safe="")
        return f"redis://:{password}@127.0.0.1:{port}/0" if password else f"redis://127.0.0.1:{port}/0"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Start it, on what its files say, and return once it answers."""
        assert self._process is None, "it runs"
        self.folder.mkdir(exist_ok=True)
        settings = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.folder),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
        }
        options = [word for name, value in (settings | self.options).items() for word in (f"--{name}", value)]
        self._ready.clear()
        self._process = await asyncio.create_subprocess_exec(
            *("redis-server", *options), stdin=DEVNULL, stdout=PIPE, stderr=STDOUT
        )
        self._reading = asyncio.create_task(self._read(self._process))
        async with asyncio.timeout(PATIENCE):
            await self._ready.wait()
            await self._ping()

    async def _read(self, process: Process) -> None:
        assert process.stdout
        async for line in process.stdout:
            self.lines.append(line.decode(errors="replace").rstrip())
            if "Ready to accept connections" in self.lines[-1]:
                self._ready.set()
        self._ready.set()  # it will never be ready, and ``_ping`` tells that

    async def _ping(self) -> None:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except ConnectionError:
            raise AssertionError("\n".join(["redis-server does not listen", *self.lines])) from None
        writer.write(b"PING\r\n")
        answer = await reader.readline()
        writer.close()
        assert answer == b"+PONG\r\n" or answer.startswith(b"-NOAUTH"), answer

    async def ask(self, *words: str | int) -> Any:
        """The answer to one command."""
        client = Redis.from_url(self.url, decode_responses=True)
        async with client, asyncio.timeout(PATIENCE):
            return await client.execute_command(*words)  # type: ignore[no-untyped-call]

    async def stop(self) -> None:
        """End it in good order."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """End it as by ``kill -9``."""
        await self._end(signal.SIGKILL)

    def forget(self) -> None:
        """Lose all that it wrote down; it does not run."""
        assert self._process is None, "it runs"
        shutil.rmtree(self.folder)

    def pause(self) -> None:
        """Let it do nothing at all; its connections stay, and what it is sent waits."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    async def close(self) -> None:
        """Leave nothing running."""
        if self._process is not None:
            await self._end(signal.SIGKILL)
        self._reserved.close()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "it does not run"
        self._process.send_signal(number)

    async def _end(self, number: signal.Signals) -> None:
        assert self._process is not None, "it does not run"
        assert self._reading is not None
        with suppress(ProcessLookupError):  # it has ended by itself
            self._process.send_signal(number)
        async with asyncio.timeout(PATIENCE):
            await self._reading
            await self._process.wait()
        self._process = self._reading = None
