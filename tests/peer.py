"""A peer that speaks the wire over a real socket: the one helper for talking to a server in tests."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from msgspec import UNSET, UnsetType

from chatmail.core.decoder import Decoder
from chatmail.core.wire import (
    Bye,
    Frame,
    Join,
    Ping,
    Pong,
    ServerFrame,
    Welcome,
    WireError,
    encode,
)

F = TypeVar("F", bound=Frame)

PATIENCE = 10.0
"""No expectation of a test takes longer than this, in seconds, unless it fails."""


class HungError(Exception):
    """The server hung up."""


class Peer:
    """One connection. ``frames`` are all that ever came, in order; ``patience`` is how long each may take to come."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.frames: list[Any] = []
        self.patience = PATIENCE
        self._unread = 0
        self._decoder: Decoder[ServerFrame] = Decoder(ServerFrame)

    @classmethod
    async def connect(cls, port: int, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> "Peer":
        """A connection to a server."""
        name = "localhost" if tls is not None else None
        return cls(*await asyncio.open_connection(host, port, ssl=tls, server_hostname=name))

    @classmethod
    async def joined(cls, port: int, name: str, **fields: Any) -> "Peer":
        """Somebody who is in, with everything up to their own ``joined`` read."""
        peer = await cls.connect(port)
        await peer.join(name, **fields)
        await peer.sync()
        return peer

    async def join(self, name: str, email: str = "", **fields: Any) -> Welcome:
        """Join, and read up to the welcome."""
        await self.send(Join(name=name, email=email or f"{name.lower()}@example.org", **fields))
        return await self.expect(Welcome)

    async def send(self, *frames: Frame) -> None:
        """Send frames in one write."""
        await self.send_bytes(b"".join(map(encode, frames)))

    async def send_bytes(self, data: bytes) -> None:
        """Send any bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def next(self) -> Any:
        """The next frame nobody asked for yet; raises HungError at the end of the stream."""
        async with asyncio.timeout(self.patience):
            while self._unread == len(self.frames):
                try:
                    data = await self.reader.read(1 << 16)
                except ConnectionError:
                    data = b""
                if not data:
                    self.cut()
                    raise HungError
                for frame in self._decoder.feed(data):
                    assert not isinstance(frame, WireError), frame
                    self.frames.append(frame)
        self._unread += 1
        return self.frames[self._unread - 1]

    async def expect(self, kind: type[F], **fields: Any) -> F:
        """Read on to the first frame of this kind with these fields."""
        seen: list[Frame] = []
        while True:
            try:
                frame = await self.next()
            except (HungError, TimeoutError) as error:
                raise AssertionError(f"no {kind.__name__} {fields} but {seen}") from error
            seen.append(frame)
            if isinstance(frame, kind) and all(getattr(frame, key) == value for key, value in fields.items()):
                return frame

    async def sync(self, seq: int | UnsetType = UNSET) -> list[Any]:
        """Ping, and read to the pong: a barrier. The frames before it."""
        await self.send(Ping(seq=seq))
        frames = []
        while not isinstance(frame := await self.next(), Pong):
            frames.append(frame)
        return frames

    async def until_hung(self) -> list[Any]:
        """Everything up to the end of the stream."""
        frames = []
        try:
            while True:
                frames.append(await self.next())
        except HungError:
            return frames

    async def bye(self) -> Bye:
        """The goodbye, after which the server hangs up."""
        *_, last = await self.until_hung()
        assert isinstance(last, Bye), last
        return last

    def cut(self) -> None:
        """End the connection without a word."""
        self.writer.transport.abort()

    async def close(self) -> None:
        """Hang up."""
        self.writer.close()


@asynccontextmanager
async def peers(port: int, *names: str) -> AsyncIterator[list[Peer]]:
    """Some people who are in, each of whom has seen all the others come."""
    inside = [await Peer.joined(port, name) for name in names]
    for peer in inside:
        await peer.sync()
    try:
        yield inside
    finally:
        for peer in inside:
            peer.cut()
