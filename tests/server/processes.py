"""A server, and a crowd, each in a process of its own: for what needs limits, memory and processor of its own."""

import asyncio
import json
import os
import re
import resource
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
"""No start, no end and no answer of a process takes longer than this, in seconds, unless it fails."""


def _environment(**settings: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key == "PATH" or key.startswith("COVERAGE_")}
    return {**kept, "PYTHONPATH": str(ROOT), **settings}


class Serving:
    """A running server; ``lines`` are all it has printed."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.pid = process.pid
        self.lines: list[str] = []
        self._port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout
        async for line in self._process.stdout:
            self.lines.append(line.decode().rstrip())
            if found := re.search(r"listens on .* port (\d+)", self.lines[-1]):
                self._port.set_result(int(found[1]))
        if not self._port.done():
            self._port.set_exception(AssertionError("\n".join(["it does not listen", *self.lines])))

    async def port(self) -> int:
        """The port it listens on, once it does."""
        async with asyncio.timeout(PATIENCE):
            return await asyncio.shield(self._port)

    def memory(self) -> int:
        """Bytes that are resident, proc_pid_status(5)."""
        [kib] = re.findall(r"VmRSS:\s*(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        return int(kib) * 1024

    async def end(self) -> int:
        """Have it end, as with Ctrl-C, and read its last words; its status."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)  # Process.terminate would take the status of one that has just ended
        try:
            async with asyncio.timeout(PATIENCE):
                await self._reading
                return await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
            raise


@asynccontextmanager
async def serving(
    folder: Path, *, descriptors: int | None = None, status: int = 0, **settings: str
) -> AsyncIterator[Serving]:
    """A server in this folder.

    Args:
        descriptors: how many open files it may have, None for as many as the system allows.
        status: with which it must end.
    """

    def limit() -> None:
        if descriptors is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "chatmail.server.app", "--port=0",
        cwd=folder, env=_environment(RATE="off", **settings), preexec_fn=limit,
        stdin=asyncio.subprocess.DEVNULL, stdout=PIPE, stderr=STDOUT,
    )  # fmt: skip
    server = Serving(process)
    try:
        yield server
        assert await server.end() == status
    except BaseException:
        await server.end()
        print(*server.lines, sep="\n")  # what went wrong may be in there
        raise


class Crowd:
    """What the tests hold of a crowd."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def ask(self, line: str) -> Any:
        """Have the crowd do something; its answer."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{line}\n".encode())
        async with asyncio.timeout(PATIENCE):
            answer = await self._process.stdout.readline()
        assert answer, "the crowd has failed; what it printed to standard error says why"
        return json.loads(answer)


@asynccontextmanager
async def crowd(port: int) -> AsyncIterator[Crowd]:
    """A crowd around the server at this port."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.server.crowd", str(port),
        cwd=ROOT, env=_environment(), stdin=PIPE, stdout=PIPE, limit=1 << 26,
    )  # fmt: skip
    try:
        yield Crowd(process)
    finally:
        process.kill()
        await process.communicate()
