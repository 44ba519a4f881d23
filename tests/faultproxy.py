"""A way to a server that can be cut, fall silent, and be mended; for what a network does to a connection.

async with FaultProxy(redis.port) as way:
    ... something that connects to way.port
    way.cut()
    await way.mend()
"""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Self

from tests.ports import reserved_port

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of a socket whose close resets the connection (socket(7))."""


class FaultProxy:
    """The way to a port of this machine, while its context lasts; ``port`` is where it begins, and stays the same."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._reserved = reserved_port()
        self.port = int(self._reserved.getsockname()[1])
        self._server: asyncio.Server | None = None
        self._passing = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def connections(self) -> int:
        """How many there are just now."""
        return len(self._tasks)

    async def __aenter__(self) -> Self:
        await self.mend()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._reserved.close()

    def cut(self) -> None:
        """Reset all connections, and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            if not writer.is_closing():
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()

    def fall_silent(self) -> None:
        """Let nothing pass. Connections stay open, and new ones are taken; what is sent waits, and nobody hears why."""
        self._passing.clear()

    async def mend(self) -> None:
        """Let everything pass, also what has waited."""
        if self._server is None:
            self._server = await asyncio.start_server(self._come, "127.0.0.1", self.port)
        self._passing.set()

    def _come(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        task = asyncio.create_task(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        try:
            await self._passing.wait()
            with suppress(ConnectionError):  # to whoever connects, it looks as if the server hung up
                beyond, onwards = await asyncio.open_connection("127.0.0.1", self._target)
                self._writers.add(onwards)
                writers.append(onwards)
                await asyncio.gather(self._pass_on(reader, onwards), self._pass_on(beyond, writer))
        finally:
            for each in writers:
                each.transport.abort()
                self._writers.discard(each)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until one end is closed; then the other is."""
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                await self._passing.wait()
                writer.write(data)
                await writer.drain()
        await self._passing.wait()
        writer.close()
