"""``chatmail`` as a process without a terminal."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.client.scripted import ScriptedServer

CLIENT = (sys.executable, "-W", "error", "-m", "chatmail.client.app")
CI = ("--name", "ci", "--email", "ci@example.org")


@asynccontextmanager
async def chatting(
    server: ScriptedServer, *options: str, host: str = "127.0.0.1", stdin: int = PIPE, stdout: int = PIPE
) -> AsyncIterator[Process]:
    address = f"{host}:{server.address.port}"
    async with asyncio.timeout(20):
        process = await asyncio.create_subprocess_exec(
            *CLIENT, address, *CI, *options, stdin=stdin, stdout=stdout, stderr=PIPE
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
