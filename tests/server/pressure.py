"""Those who press hard on a server: floods that never pause, and readers that do not read; and how others feel it."""

import asyncio
import gc
import socket
import tracemalloc
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from chatmail.core.decoder import Decoder
from chatmail.core.limits import Limits, Rate
from chatmail.core.wire import Frame, Join, Message, Say, ServerFrame, encode
from chatmail.server.app import House, running
from chatmail.server.settings import Settings
from chatmail.server.stores import Store
from chatmail.server.stores.database import MEMORY
from tests.peer import PATIENCE, HungError, Peer

BUFFER = 64 * 1024
"""What the system may hold of a flood before the flood feels that nobody reads it; it doubles this (socket(7))."""

CALM = "calm"
"""What those say who do not press."""

_ids = count()


@asynccontextmanager
async def house(
    tmp_path: Path, limits: Limits | None = None, rate: Rate | None = None, store: Store | None = None
) -> AsyncIterator[House]:
    settings = Settings(chat_port=0, chat_db=MEMORY, outbox=tmp_path / "outbox", rate=rate)
    async with running(settings, limits or Limits(), store=store) as running_house:
        yield running_house


class Flood:
    """A peer that sends one line over and over, as fast as its socket takes it, and reads all that comes."""

    def __init__(self, peer: Peer, line: bytes, lines: int) -> None:
        data = line * lines
        self.lines = lines
        self._peer = peer
        self._size = len(data)
        self._came = asyncio.Event()
        self._began = asyncio.get_running_loop().time()
        peer.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        peer.writer.write(data)
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            while True:
                await self._peer.next()
                self._came.set()
        except HungError:
            pass

    def seconds(self) -> float:
        """How long it has been at it."""
        return asyncio.get_running_loop().time() - self._began

    def held_back(self) -> float:
        """The part of it that its socket has not taken yet: 1 all, 0 none."""
        return self._peer.writer.transport.get_write_buffer_size() / self._size

    def answers(self, *kinds: type[Frame]) -> int:
        """How many frames of these kinds have come, apart from what the others say."""
        return sum(isinstance(frame, kinds) and getattr(frame, "text", "") != CALM for frame in self._peer.frames)

    async def answered(self, least: int, *kinds: type[Frame]) -> None:
        """Return once at least so many frames of these kinds have come."""
        async with asyncio.timeout(PATIENCE):
            while self.answers(*kinds) < least:
                self._came.clear()
                await self._came.wait()

    async def until_hung(self) -> Sequence[Frame]:
        """Everything that ever came, once the server has hung up."""
        async with asyncio.timeout(PATIENCE):
            await self._reading
        return self._peer.frames

    async def stop(self) -> None:
        """Cut the connection."""
        self._peer.cut()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)


@asynccontextmanager
async def flooding(peer: Peer, frame: Frame | bytes, size: int = 4 * 1024 * 1024) -> AsyncIterator[Flood]:
    """A flood of this frame, or line, from here on: so many bytes of it."""
    line = frame if isinstance(frame, bytes) else encode(frame)
    flood = Flood(peer, line, size // len(line))
    try:
        yield flood
    finally:
        await flood.stop()


async def round_trips(peers: Sequence[Peer], each: int, text: str = CALM) -> list[float]:
    """How many seconds it takes from saying something to hearing it back, one after another, shortest first."""
    loop = asyncio.get_running_loop()
    took = []
    for _ in range(each):
        for peer in peers:
            id = str(next(_ids))
            start = loop.time()
            await peer.send(Say(text=text, id=id))
            await peer.expect(Message, id=id)
            took.append(loop.time() - start)
    return sorted(took)


async def pings(peer: Peer, times: int) -> list[float]:
    """How many seconds a ping takes, one after another, shortest first: nothing of it waits for the store."""
    loop = asyncio.get_running_loop()
    took = []
    for _ in range(times):
        start = loop.time()
        await peer.sync()
        took.append(loop.time() - start)
    return sorted(took)


class Mute:
    """A raw socket with a small buffer that reads only what it is told to, so that not reading is felt at once."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._frames: list[Any] = []
        self._decoder: Decoder[ServerFrame] = Decoder(ServerFrame)

    async def join(self, name: str) -> None:
        """Join, and take the first bytes of the answer and no more."""
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self.sock, encode(Join(name=name, email=f"{name.lower()}@example.org")))
        await self.take(1)

    async def take(self, size: int) -> None:
        """Take a little of what is there, at most so many bytes, and at least one."""
        async with asyncio.timeout(PATIENCE):
            data = await asyncio.get_running_loop().sock_recv(self.sock, size)
        assert data, "it was cut"
        self._frames += self._decoder.feed(data)

    async def until(self, text: str) -> list[Any]:
        """Read on, as fast as it comes, until somebody has said this; everything that ever came."""
        while not any(isinstance(frame, Message) and frame.text == text for frame in self._frames[-100:]):
            await self.take(1 << 20)
        return self._frames

    def close(self) -> None:
        self.sock.close()


@asynccontextmanager
async def mute(port: int, *names: str) -> AsyncIterator[list[Mute]]:
    """Some people who have joined, and read nothing of what came after the first byte of the answer."""
    mutes: list[Mute] = []
    try:
        for name in names:
            sock = socket.socket()
            mutes.append(Mute(sock))
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
            await mutes[-1].join(name)
        yield mutes
    finally:
        for each in mutes:
            each.close()


class Memory:
    """What the process holds, as far as Python knows; sockets are the system's."""

    def __init__(self) -> None:
        gc.collect()
        self._start, _ = tracemalloc.get_traced_memory()

    def grown(self) -> int:
        """How many bytes more than at first."""
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - self._start


@contextmanager
def tracing() -> Iterator[Memory]:
    """Have an eye on the memory."""
    tracemalloc.start()
    try:
        yield Memory()
    finally:
        tracemalloc.stop()
