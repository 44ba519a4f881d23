"""Somebody who goes from server to server, as the client would if it knew several.

Cut off, or sent away for a while, they come in again at the next server, with their token and from the last line they
have seen, and say again, under the same ids, what was not confirmed. Whatever happens meanwhile, they see every line
once, each under the next number: that is looked at all the time. What everybody has seen is compared by ``agree``.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Any, Self, get_args

import msgspec
from msgspec import UNSET

from chatmail.core.wire import (
    LINE_MAX,
    Ack,
    Bye,
    ClientFrame,
    Code,
    EntryFrame,
    Error,
    Join,
    Message,
    Ping,
    Pong,
    Resume,
    Say,
    ServerFrame,
    Welcome,
    encode,
)
from tests.peer import HungError

PATIENCE = 60.0
"""Nothing that must come takes longer than this, in seconds, unless it fails."""
IN_FLIGHT = 100
"""So many lines somebody says before the first of them is confirmed."""
JOINING = 20.0
"""So long somebody waits for a welcome, in seconds, as the client does."""
BREATH = 0.1
"""So long somebody waits, in seconds, before they try again what a server could not do."""

_decode = msgspec.json.Decoder(ServerFrame).decode


class Guest:
    """One person.

    Args:
        name: what they are called.
        ports: of the servers, in the order in which they try them.
        patience: seconds after which they leave a server that owes them an answer to a ping, and try the next.
        may_forget: whether all that was said may be lost; then they begin anew, as if nothing had been confirmed.
    """

    def __init__(
        self, name: str, ports: Sequence[int], *, patience: float = PATIENCE, may_forget: bool = False
    ) -> None:
        self.name = name
        self.said: list[str] = []
        """The ids of all they said."""
        self.unconfirmed: dict[str, Say] = {}
        self.lines: dict[int, bytes] = {}
        """What they have seen, by its number, as it came."""
        self.heard: set[str] = set()
        """The ids of what was said, as far as they have seen it."""
        self.errors: list[Error] = []
        self.byes: list[Bye] = []
        self.comings = 0
        """How often they were let in."""
        self._ports = deque(ports)
        self._patience = patience
        self._may_forget = may_forget
        self._count = 0
        self._token = ""
        self._epoch = ""
        self._last = 0
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._in = False
        self._again: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()

    @property
    def entries(self) -> list[EntryFrame]:
        """What they have seen, in order."""
        return [_entry(line) for line in self.lines.values()]

    @property
    def epoch(self) -> str:
        """Of the chat that they are in."""
        return self._epoch

    @property
    def is_in(self) -> bool:
        """Whether a server has welcomed them, and has not hung up."""
        return self._in

    async def __aenter__(self) -> Self:
        self._staying = asyncio.create_task(self._stay())
        await self.until(lambda: self._in, "a welcome")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._staying.cancel()
        with suppress(asyncio.CancelledError):
            await self._staying
        self.cut()

    def say(self, text: str) -> str:
        """Say something, now or as soon as there is a server; its id."""
        self._count += 1
        id = f"{self.name}-{self._count}"
        self.said.append(id)
        self.unconfirmed[id] = Say(text=text, id=id)
        self._send(self.unconfirmed[id])
        return id

    async def talk(self, pace: float, until: Callable[[], object]) -> None:
        """Say something every ``pace`` seconds, until this holds."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not until():
            if len(self.unconfirmed) < IN_FLIGHT:
                self.say(f"{self.name} says line {self._count}")
            due = max(due + pace, loop.time())
            await asyncio.sleep(due - loop.time())

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until something holds of what they have seen and heard."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not condition():
                    if self._staying.done():
                        await self._staying  # raises what went wrong
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            state = f"{len(self.unconfirmed)} unconfirmed, {self.comings} comings, {self.errors[-3:]}, {self.byes}"
            raise AssertionError(f"{self.name} waited in vain for {what}: {state}") from None

    async def confirmed(self, count: int = 0) -> None:
        """Wait until so many more of their lines are confirmed; until all are, when it is 0."""
        enough = len(self.said) - len(self.unconfirmed) + count
        if count:
            await self.until(lambda: len(self.said) - len(self.unconfirmed) >= enough, f"{count} more lines")
        else:
            await self.until(lambda: not self.unconfirmed, "all to be confirmed")

    async def refused(self) -> Error:
        """The first error they heard, once there is one; it is forgotten."""
        await self.until(lambda: self.errors, "an error")
        error = self.errors[0]
        self.errors.clear()
        return error

    def cut(self) -> None:
        """End the connection without a word; who stays comes back."""
        self._in = False
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer = None

    def _send(self, *frames: ClientFrame) -> None:
        if self._in and self._writer is not None:
            self._writer.write(b"".join(map(encode, frames)))

    async def _stay(self) -> None:
        """Be at one server after the other."""
        try:
            while True:
                try:
                    async with asyncio.timeout(JOINING):
                        await self._come()
                    await self._listen()
                except (OSError, HungError, TimeoutError):  # TimeoutError, and all a connection can do, are OSErrors
                    self.cut()
                self._ports.rotate(-1)
                await asyncio.sleep(BREATH)
        finally:
            self._changed.set()

    async def _come(self) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._ports[0], limit=LINE_MAX + 2)
        join = Join(name=self.name, email=f"{self.name.lower()}@example.org")
        if self._token:
            resume = Resume(epoch=self._epoch, seq=self._last)
            join = msgspec.structs.replace(join, token=self._token, resume=resume)
        self._writer.write(encode(join))
        while not self._in:
            await self._take(await self._reader.readline())

    async def _listen(self) -> None:
        """Hear what comes. What is owed must come in time: when lines wait, or nothing is heard, a pong."""
        assert self._reader
        while True:
            try:
                async with asyncio.timeout(self._patience / 2):
                    line = await self._reader.readline()
            except TimeoutError:
                self._send(Ping())
                async with asyncio.timeout(self._patience / 2):
                    line = await self._reader.readline()
            await self._take(line)

    async def _take(self, line: bytes) -> None:
        if not line.endswith(b"\n"):
            raise HungError
        frame: Any = _decode(line)
        if isinstance(frame, get_args(EntryFrame)):
            self._see(frame, line)
        elif isinstance(frame, Welcome):
            self._welcome(frame)
        elif isinstance(frame, Ack):
            assert isinstance(frame.id, str)
            assert self.lines[_number(frame)].find(f'"id":"{frame.id}"'.encode()) > 0, f"{frame} is not of this line"
            self.unconfirmed.pop(frame.id, None)
        elif isinstance(frame, Error):
            self.errors.append(frame)
            assert frame.code == Code.UNAVAILABLE, frame
            if not self._in:
                raise HungError
            if self._again is None:
                self._again = asyncio.get_running_loop().call_later(BREATH, self._say_again)
        elif isinstance(frame, Bye):
            self.byes.append(frame)
            assert frame.retry, frame
            raise HungError
        else:
            assert isinstance(frame, Pong), frame
        self._changed.set()

    def _say_again(self) -> None:
        self._again = None
        self._send(*self.unconfirmed.values())

    def _welcome(self, welcome: Welcome) -> None:
        if self._epoch == welcome.epoch:
            assert welcome.resumed, f"{self.name} was not shown what they missed"
        else:
            assert self._may_forget or not self._epoch, f"{self.name} finds another chat"
            self._last = welcome.seq
            self.lines.clear()
            self.heard.clear()
            self.said = list(self.unconfirmed)
        self._token, self._epoch = welcome.token, welcome.epoch
        self.comings += 1
        self._in = True
        self._send(*self.unconfirmed.values())

    def _see(self, entry: EntryFrame, line: bytes) -> None:
        if not self.lines and entry.seq <= self._last:
            return  # it was said before they came
        assert entry.seq == self._last + 1, f"{self.name} saw {entry} after number {self._last}"
        self._last = entry.seq
        self.lines[entry.seq] = line
        if isinstance(entry, Message) and isinstance(entry.id, str):
            self.heard.add(entry.id)
        if isinstance(entry, Message) and entry.sender == self.name:
            assert isinstance(entry.id, str)
            assert entry.id in self.unconfirmed, f"{self.name} saw {entry} again"
            del self.unconfirmed[entry.id]


def _entry(line: bytes) -> EntryFrame:
    entry: Any = _decode(line)
    assert isinstance(entry, get_args(EntryFrame))
    return entry  # type: ignore[no-any-return]


def _number(ack: Ack) -> int:
    assert ack.seq is not UNSET
    return int(ack.seq)


async def agree(guests: Sequence[Guest]) -> list[EntryFrame]:
    """Wait until everybody has heard everybody out; what they have seen, the same for all, with each line once."""
    last = {guest.say(f"{guest.name} has nothing more to say") for guest in guests}
    for guest in guests:
        await guest.until(partial(_heard_out, guest, last), "the last words of all")
    most = max(guests, key=lambda guest: len(guest.lines))
    for guest in guests:
        for number, line in guest.lines.items():
            assert most.lines.get(number, line) == line, (
                f"{guest.name} saw {line!r}, {most.name} {most.lines[number]!r}"
            )
    entries = most.entries
    said = sorted(entry.id for entry in entries if isinstance(entry, Message) and isinstance(entry.id, str))
    assert said == sorted(id for guest in guests for id in guest.said)
    return entries


def _heard_out(guest: Guest, last: set[str]) -> bool:
    return not guest.unconfirmed and last <= guest.heard


@asynccontextmanager
async def guests(ports: Sequence[int], *names: str, patience: float = PATIENCE) -> AsyncIterator[list[Guest]]:
    """People who are in; each has come to the next of these servers, after all the others before."""
    async with AsyncExitStack() as stack:
        inside = [
            await stack.enter_async_context(
                Guest(name, [*ports[number % len(ports) :], *ports[: number % len(ports)]], patience=patience)
            )
            for number, name in enumerate(names)
        ]
        yield inside
