"""A server that does what the test says, over a real socket; and a face that remembers what it was told."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

from msgspec import UNSET

from chatmail.client.link import Server, State
from chatmail.client.lookback import Found, NotFound
from chatmail.client.timeline import News
from chatmail.core import wire
from chatmail.core.decoder import Decoder

F = TypeVar("F", bound=wire.Frame)

NOW = datetime(2026, 11, 22, 14, 2, tzinfo=UTC)


def person(name: str, **more: Any) -> wire.Person:
    return wire.Person(name=name, since=NOW, **more)


def welcome(name: str = "John", *others: str, seq: int = 0, epoch: str = "e1", resumed: bool = False) -> wire.Welcome:
    people = [person(each) for each in (name, *others)]
    return wire.Welcome(
        name=name,
        epoch=epoch,
        seq=seq,
        resumed=resumed,
        token="t1",
        people=people,
        total=len(people),
        notify="always",
    )


def message(seq: int, text: str = "hello", sender: str = "Mary", **more: str) -> wire.Message:
    return wire.Message(seq=seq, time=NOW, sender=sender, text=text, **more)


def direct(seq: int, text: str = "lunch?", sender: str = "Mary", to: str = "John", **more: str) -> wire.Direct:
    return wire.Direct(seq=seq, time=NOW, sender=sender, to=to, text=text, **more)


def echo(frame: wire.Say | wire.Dm, seq: int, sender: str = "John") -> wire.Message | wire.Direct:
    """What a server makes of an own line."""
    if isinstance(frame, wire.Dm):
        return wire.Direct(seq=seq, time=NOW, sender=sender, to=frame.to, text=frame.text, id=frame.id)
    return wire.Message(seq=seq, time=NOW, sender=sender, text=frame.text, id=frame.id)


def page(
    said: Sequence[wire.Message | wire.Direct], asked: wire.History | wire.Search, most: int = wire.COUNT_MAX
) -> wire.Page:
    """What a server answers to whom all this was said, and who has room for so many entries on a page."""
    words = asked.words if isinstance(asked, wire.Search) else ""
    found = [frame for frame in said if (asked.before is UNSET or frame.seq < asked.before) and words in frame.text]
    count = min(wire.COUNT if asked.count is UNSET else asked.count, most)
    return wire.Page(entries=list(found[-count:]), more=len(found) > count, id=asked.id)


class Visit:
    """One connection, from the server's side."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self._reader = reader
        self._decoder = Decoder[wire.ClientFrame](wire.ClientFrame)

    def send(self, *frames: wire.Frame) -> None:
        self.writer.write(b"".join(wire.encode(frame) for frame in frames))

    def send_raw(self, data: bytes) -> None:
        self.writer.write(data)

    async def expect(self, kind: type[F]) -> F:
        """The next frame, which must be of this kind; ping and who come when they like, and count when asked for."""
        while True:
            (frame,) = self._decoder.feed(await self._reader.readline())
            if isinstance(frame, kind):
                return frame
            assert isinstance(frame, wire.Ping | wire.Who), frame

    async def admit(self, *frames: wire.Frame, answer: wire.Welcome | None = None) -> wire.Join:
        """Take the join, answer with a welcome, and send what follows it."""
        join = await self.expect(wire.Join)
        self.send(answer or welcome(join.name), *frames)
        return join

    async def line(self) -> bytes:
        """The next line as it is; nothing when the client closes instead."""
        try:
            return await self._reader.readline()
        except ConnectionError:
            return b""

    async def rest(self) -> bytes:
        """All that still comes, until the client has closed."""
        try:
            return await self._reader.read()
        except ConnectionError:
            return b""

    def cut(self) -> None:
        """End the connection without a word."""
        self.writer.transport.abort()


class ScriptedServer:
    """Hands out connections in the order in which they come."""

    def __init__(self, port: int, *, tls: bool) -> None:
        self.visits: asyncio.Queue[Visit] = asyncio.Queue()
        self.address = Server("127.0.0.1", port, tls=tls)
        self.listening: asyncio.Server
        self.said = b""
        """What was said to it, on all connections, since ``heard`` was last asked."""

    def close(self) -> None:
        """Let nobody in any more."""
        self.listening.close()

    async def visit(self) -> Visit:
        return await self.visits.get()

    async def heard(self) -> bytes:
        """What was said up to now, and not heard yet: one more connection comes after the others, as a barrier."""
        anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
        host, port, tls = self.address.host, self.address.port, anybody if self.address.tls else None
        _, writer = await asyncio.open_connection(host, port, ssl=tls)
        writer.write(b"barrier\n")
        while await (await self.visit()).line() != b"barrier\n":
            pass
        writer.close()
        await writer.wait_closed()
        said, self.said = self.said.replace(b"barrier\n", b""), b""
        return said


class _Noting(asyncio.StreamReaderProtocol):
    """Notes what is said at once, however soon after it the connection breaks."""

    def __init__(
        self, there: ScriptedServer, arrive: Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]
    ) -> None:
        super().__init__(asyncio.StreamReader(), arrive)
        self._there = there

    def data_received(self, data: bytes) -> None:
        self._there.said += data
        super().data_received(data)


@asynccontextmanager
async def scripted(tls: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[ScriptedServer]:
    all_visits = []
    there: ScriptedServer

    def arrive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        all_visits.append(Visit(reader, writer))
        there.visits.put_nowait(all_visits[-1])

    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Noting(there, arrive), "127.0.0.1", port, ssl=tls)
    there = ScriptedServer(server.sockets[0].getsockname()[1], tls=tls is not None)
    there.listening = server
    try:
        yield there
    finally:
        server.close()
        for visit in all_visits:
            visit.cut()
        await server.wait_closed()


class Recorder:
    """A face without a person."""

    def __init__(self) -> None:
        self.seen: list[News] = []
        self.answers: list[Found | NotFound] = []
        self.states: list[tuple[State, str]] = []
        self.codes: asyncio.Queue[str | None] = asyncio.Queue()
        self.asked: list[str] = []
        self._changed = asyncio.Event()

    def news(self, news: News) -> None:
        self.seen.append(news)
        self._changed.set()

    def found(self, answer: Found | NotFound) -> None:
        self.answers.append(answer)
        self._changed.set()

    def state(self, state: State, text: str) -> None:
        self.states.append((state, text))
        self._changed.set()

    async def code(self, challenge: wire.Challenge, wrong: str) -> str | None:
        self.asked.append(wrong)
        self._changed.set()
        return await self.codes.get()

    async def until(self, true: Callable[[], bool]) -> None:
        while not true():
            self._changed.clear()
            await self._changed.wait()

    def frames(self, kind: type[F]) -> list[F]:
        return [news.frame for news in self.seen if isinstance(news.frame, kind)]
