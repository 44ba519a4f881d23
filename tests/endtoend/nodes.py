"""Several servers that share a Redis: the installed program, in processes that can be killed, or paused."""

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.endtoend.conftest import SCRIPTS, Desk
from tests.ports import reserved_port
from tests.redisserver import RedisServer

PATIENCE = 60.0
"""Nothing that must come takes longer than this, in seconds, unless it fails."""
LEADS = "this server sends the mail of all from now on"
GONE = "is gone"
BACK = "this server is back, as "
"""What a server says when it leads; of another that has ended, or is given up; and when it was itself, but is back."""


class Node:
    """One of the servers, on a port and with settings that it keeps; ``lines`` are all it has printed.

    What is typed is a line of its standard input, and is answered on its output.
    """

    def __init__(self, desk: Desk, name: str, **settings: str) -> None:
        self.name = name
        self.lines: list[str] = []
        self.settings = settings
        self._desk = desk
        self._reserved = reserved_port()
        self.port = int(self._reserved.getsockname()[1])
        self._process: Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._over = False
        self._change = asyncio.Condition()

    async def start(self) -> None:
        """Start it, and return once people can connect."""
        assert self._process is None, f"{self.name} runs"
        self._over = False
        env = self._desk.environment(self.name, {"CHAT_PORT": str(self.port), "RATE": "off", **self.settings})
        self._process = await asyncio.create_subprocess_exec(
            SCRIPTS / "chatmail-server", cwd=self._desk.folder / self.name, env=env,
            stdin=PIPE, stdout=PIPE, stderr=STDOUT,
        )  # fmt: skip
        before = len(self.lines)
        self._reading = asyncio.create_task(self._read(self._process))
        line = await self.shows("listens on 127.0.0.1 port ", before)
        self.port = int(line.rpartition(" ")[2])

    async def _read(self, process: Process) -> None:
        assert process.stdout
        async for line in process.stdout:
            self.lines.append(line.decode().rstrip())
            async with self._change:
                self._change.notify_all()
        self._over = True
        async with self._change:
            self._change.notify_all()

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._process is not None, f"{self.name} does not run"
        return self._process.pid

    async def shows(self, text: str, after: int = 0) -> str:
        """The first line with this text in it, of all but the first ``after``, once there is one."""

        def found() -> str | None:
            return next((line for line in self.lines[after:] if text in line), None)

        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE), self._change:
                await self._change.wait_for(lambda: found() or self._over)
        line = found()
        assert line is not None, "\n".join([f"{self.name} does not say {text!r}, but:", *self.lines])
        return line

    async def type(self, line: str, answer: str) -> str:
        """Type a command; the line of what it then says that holds this."""
        assert self._process is not None
        assert self._process.stdin
        before = len(self.lines)
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()
        return await self.shows(answer, before)

    def pause(self) -> None:
        """Let it do nothing at all."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    async def kill(self) -> None:
        """End it as by ``kill -9``."""
        os.kill(self.pid, signal.SIGKILL)
        await self._ended()

    async def end(self) -> int:
        """End it as by Ctrl-C; its exit status."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        return await self._ended()

    async def _ended(self) -> int:
        assert self._process is not None
        assert self._reading is not None
        async with asyncio.timeout(PATIENCE):
            await self._reading
            status = await self._process.wait()
        self._process = self._reading = None
        return status

    @property
    def runs(self) -> bool:
        """Whether it was started, and not ended by us."""
        return self._process is not None

    async def close(self) -> None:
        """Leave nothing running."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            await self._ended()
        self._reserved.close()


@asynccontextmanager
async def nodes(desk: Desk, *databases: str, **settings: str) -> AsyncIterator[list[Node]]:
    """A server for each of these URLs, the first of which sends the mail; what runs in the end, ends in good order.

    Args:
        databases: the CHAT_DB of each.
        settings: more of their settings.
    """
    servers = [Node(desk, f"node{i}", CHAT_DB=url, **settings) for i, url in enumerate(databases, 1)]
    try:
        for server in servers:
            await server.start()
            if server is servers[0]:
                await server.shows(LEADS)
        yield servers
        for server in servers:
            if server.runs:
                assert await server.end() == 0
            assert not any("Traceback" in line for line in server.lines)
    except BaseException:
        for server in servers:
            print(f"-- {server.name}", *server.lines, sep="\n")  # what went wrong may be in there
        raise
    finally:
        for server in servers:
            await server.close()


@asynccontextmanager
async def on_one_redis(desk: Desk, count: int = 2, **settings: str) -> AsyncIterator[tuple[RedisServer, list[Node]]]:
    """So many servers on a Redis of their own."""
    async with RedisServer(desk.folder / "redis") as redis, nodes(desk, *[redis.url] * count, **settings) as servers:
        yield redis, servers
