"""The way to the server: connect, join, resume, keep alive, come back.

``Connection.run`` lives as long as the client does and ends with one ``Ending``; in between there may be many
sockets. What arrives goes into the ``Timeline``, what is worth showing goes on to the ``Face``. What is sent while
there is no connection waits in the timeline and goes out after the next ``welcome``.

    run ── connect ── join ── [challenge, verify] ── welcome ── frames ... cut
             ▲                                                          │
             └────────── wait (jittered backoff) ◀───────────────────────┘

Within one socket two tasks work: ``_listen`` reads, ``_beat`` keeps the times (pings, silence). A question for the
code that a ``challenge`` asks for is a third. All of them end before the next socket is opened.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable

from msgspec import UNSET

from chatmail.client.dial import dial
from chatmail.client.heartbeat import Heartbeat
from chatmail.client.link import Ending, Face, How, Lost, Server, State, Timing, backoff
from chatmail.client.lookback import Asked, Found, LookBack, LookBacks, NotFound
from chatmail.client.timeline import Kept, Timeline
from chatmail.client.trust import UntrustedError
from chatmail.client.wording import closed, nonsense, trying, unreachable, untrusted, why
from chatmail.core import wire
from chatmail.core.decoder import Decoder

CHUNK = 64 * 1024
LINE_LIMIT = 8 * wire.LINE_MAX
"""Longest line believed, in bytes: lists of people are the longest frames, and no reason to part."""
FRESH = 30.0
"""Who is here, and how idle, is known well enough for so many seconds."""
AGAIN = frozenset({wire.Code.SERVER_FULL, wire.Code.UNAVAILABLE})
"""Refusals that pass by themselves: no end for somebody who was in already."""


class Connection:
    """One person's connection to one server, over as many sockets as it takes.

    Args:
        server: where to.
        name, email: who we are; ``core.names`` has checked them.
        timeline: what we know; it outlives this connection.
        face: where news go.
        token: what proves who we are, if anything does yet.
        keep: is given what the server gives us as a proof, each time.
        heard: is given every frame as it came, before anything else is made of it.
        patience: seconds without a connection after which ``run`` gives up; None: never.
        rand: gives numbers from 0 to 1, for the backoff.
    """

    def __init__(
        self,
        server: Server,
        name: str,
        email: str,
        timeline: Timeline,
        face: Face,
        *,
        token: str | None = None,
        keep: Callable[[str], object] = lambda _: None,
        heard: Callable[[wire.ServerFrame], object] = lambda _: None,
        patience: float | None = None,
        timing: Timing | None = None,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self.server = server
        self.timeline = timeline
        self.joined = False
        """Whether frames go out at once."""
        self.look_backs = LookBacks()
        """Those without an answer yet."""
        self.next_try: float | None = None
        """When the next socket is tried, by the clock of the loop; None while nothing is waited for."""
        self._name = name
        self._email = email
        self._face = face
        self._patience = patience
        self._timing = timing or Timing()
        self._rand = rand
        self._token = token
        self._keep = keep
        self._heard = heard
        self._was_in = False
        self._joined_at: float | None = None
        """When the present socket, or else the last one, got its welcome."""
        self._writer: asyncio.StreamWriter | None = None
        self._asking: asyncio.Task[None] | None = None
        self._challenge: wire.Challenge | None = None
        self._leaving = False
        self._scope: asyncio.Timeout | None = None
        self._sockets = 0
        self._pings = self._pongs = 0
        self._heart = Heartbeat(self._timing, 0.0)
        self._shown = self._reported = 0
        self._cut: Ending | Lost | None = None
        """Why we cut the socket ourselves."""
        self._refreshed = float("-inf")
        self._hurried = asyncio.Event()
        self._rearm = asyncio.Event()
        self._pulse = asyncio.Event()

    # What the face calls.

    async def run(self) -> Ending:
        """Stay connected until there is an end."""
        try:
            async with asyncio.timeout(0 if self._leaving else None) as self._scope:
                ending = await self._stay()
        except TimeoutError:
            if not self._scope or not self._scope.expired():
                raise
            ending = Ending(How.LEFT)
        finally:
            self._scope = None
        self._face.state(State.ENDED, ending.text)
        return ending

    def say(self, frame: Kept) -> Kept:
        """Send a frame that is kept until it is answered, now or as soon as there is a connection."""
        frame = self.timeline.keep(frame)
        if self.joined:
            self._write(frame)
        return frame

    def ask(self, what: wire.Who | wire.Whois | Asked | LookBack) -> bool:
        """Ask something that means nothing later; False: there is no connection now."""
        if self.joined:
            self._write(self.look_backs.begin(what) if isinstance(what, LookBack) else what)
        return self.joined

    def shown(self, seq: int, *, direct: bool = False) -> None:
        """The person's screen has shown the entry of this number."""
        self._shown = max(self._shown, seq)
        if direct:
            self._heart.shown(_now())
            self._rearm.set()

    def leave(self) -> None:
        """Say goodbye and end ``run``, after what was sent before."""
        self._leaving = True
        grace = self._timing.leave if self.joined else 0.0
        if self.joined:
            if self._shown != self._reported:
                self._ping()  # the next start shall know what was new
            self._write(wire.Leave())
            self.joined = False
        if self._scope and self._scope.when() is None:
            self._scope.reschedule(_now() + grace)

    def refresh(self) -> None:
        """Ask who is here without showing it, unless that was known a moment ago."""
        if self.joined and _now() >= self._refreshed + FRESH:
            self._refreshed = _now()
            self.timeline.quiet += 1
            self._write(wire.Who())

    def hurry(self) -> None:
        """Wait no longer for the next try: somebody has something to say."""
        self._hurried.set()

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until something that depends on what arrives has become true."""
        while not true():
            self._pulse.clear()
            await self._pulse.wait()

    async def sync(self) -> None:
        """Wait until the server has answered everything that was said and asked: a pong comes after all of it."""
        while True:
            await self.until(lambda: self.joined and not self.timeline.unconfirmed and not self.look_backs)
            socket = self._sockets
            self._ping()
            target = self._pings
            await self.until(lambda: self._pongs >= target or self._sockets != socket)  # noqa: B023 - used at once
            if self._sockets == socket:
                return

    # One socket after the other.

    async def _stay(self) -> Ending:
        attempt = 0
        told = ""
        lost_at = _now()
        while True:
            self._face.state(State.CONNECTING, "")
            outcome = await self._socket()
            if self._leaving:
                return Ending(How.LEFT)
            if isinstance(outcome, Ending):
                return outcome
            if not self._was_in:
                return Ending(How.UNREACHABLE, outcome.text, stranger=outcome.stranger)
            now = _now()
            if self._joined_at is not None:
                lost_at = now
                told = ""
                if now - self._joined_at >= self._timing.longest:
                    attempt = 0
            wait = backoff(attempt, self._timing, self._rand)
            attempt += 1
            if self._patience is not None and now + wait - lost_at > self._patience:
                return Ending(How.LOST, outcome.text)
            news = "" if outcome.text == told else trying(outcome.text)
            told = outcome.text  # once: a night without a server is no reason to fill the screen
            self._face.state(State.WAITING, news)
            for answer in self.look_backs.lose():
                self._face.found(answer)
            self._pulse.set()
            await self._rest(wait)

    async def _rest(self, wait: float) -> None:
        """Wait for the next try, unless somebody is in a hurry."""
        self._hurried.clear()
        self.next_try = _now() + wait
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self.next_try):
                await self._hurried.wait()
        self.next_try = None

    async def _socket(self) -> Ending | Lost:
        """Everything from connecting to the end of one socket."""
        server = self.server
        self._joined_at = None
        try:
            async with asyncio.timeout(self._timing.connect):
                reader, writer = await dial(server, self._timing)
        except UntrustedError as error:
            return Lost(untrusted(server, error.stranger), error.stranger)
        except OSError as error:  # TimeoutError, socket.gaierror and ssl.SSLError are of this family
            return Lost(unreachable(server, error, known=self._was_in or self._token is not None))
        self._writer = writer
        self._sockets += 1
        self._pings = self._pongs = 0
        self._heart = Heartbeat(self._timing, _now())
        self._challenge = None
        self._cut = None
        try:
            async with asyncio.TaskGroup() as tasks:
                self._write(self._join())
                beat = tasks.create_task(self._beat())
                outcome = await self._listen(reader, tasks)
                beat.cancel()
                if self._asking:
                    self._asking.cancel()
        finally:
            self.joined = False
            self._writer = self._asking = None
            writer.transport.abort()
            with contextlib.suppress(OSError):  # the reason was reported where the reading ended
                await writer.wait_closed()
            self._pulse.set()
        return outcome

    def _join(self) -> wire.Join:
        resume = self.timeline.resume if self._was_in else None
        return wire.Join(name=self._name, email=self._email, token=self._token or UNSET, resume=resume or UNSET)

    def _write(self, frame: wire.Frame) -> None:
        if self._writer is None or self._writer.is_closing():
            return  # unconfirmed lines go out on the next socket; the rest has no meaning there
        self._writer.write(wire.encode(frame))
        self._heart.sent(_now())

    def _ping(self) -> None:
        self._write(wire.Ping(seq=self._shown or UNSET))
        self._reported = self._shown
        self._pings += 1
        self._heart.pinged(_now())
        self._rearm.set()

    async def _listen(self, reader: asyncio.StreamReader, tasks: asyncio.TaskGroup) -> Ending | Lost:
        decoder = Decoder[wire.ServerFrame](wire.ServerFrame, LINE_LIMIT)
        first = b""
        while True:
            try:
                data = await reader.read(CHUNK)
            except OSError as error:
                if first or not isinstance(error, ConnectionError):
                    return self._cut or Lost(f"the connection to {self.server} broke: {why(error)}")
                data = b""  # so do some close who do not like what they read
            if not data:
                return self._cut or Lost(closed(self.server, first))
            first = first or data
            if self._heart.heard():
                self._rearm.set()
            for frame in decoder.feed(data):
                if isinstance(frame, wire.WireError):
                    return Lost(nonsense(self.server, frame, None if self.joined else first))
                self._heard(frame)
                outcome = self._inside(frame) if self.joined or self._leaving else self._outside(frame, tasks)
                if outcome:
                    return outcome
            self._pulse.set()

    def _outside(self, frame: wire.ServerFrame, tasks: asyncio.TaskGroup) -> Ending | Lost | None:
        """A frame before the ``welcome``."""
        match frame:
            case wire.Welcome(token=token):
                self._token = token
                self._keep(token)
                self._joined_at = _now()
                if frame.epoch != self.timeline.epoch:
                    self._shown = self._reported = 0
                self._challenge = None
                self._was_in = self.joined = True
                self._rearm.set()
                if self._asking:
                    self._asking.cancel()
                self._news(frame)
                self._face.state(State.JOINED, "")
                for kept in self.timeline.again():
                    self._write(kept)
            case wire.Challenge():
                self._challenge = frame
                self._news(frame)
                self._ask_code(frame, "", tasks)
            case wire.Error(code=wire.Code.WRONG_CODE) if self._challenge:
                self._ask_code(self._challenge, frame.text, tasks)
            case wire.Error(code=wire.Code.NOT_JOINED) if self._challenge:
                self._challenge = None  # that code has had its tries: ask for another one
                self._write(self._join())
            case wire.Error() if self._was_in and frame.code in AGAIN:
                return Lost(frame.text)
            case wire.Error():
                return Ending(How.REFUSED, frame.text or frame.code, frame)
            case wire.Bye() if self._was_in and frame.retry:
                return Lost(frame.reason)
            case wire.Bye():
                return Ending(How.BYE, f"{frame.reason}; try again later" if frame.retry else frame.reason)
            case _:
                kind = type(frame).__name__.lower()
                return Lost(f"{self.server} sent '{kind}' before a welcome, which makes no sense")
        return None

    def _inside(self, frame: wire.ServerFrame) -> Ending | Lost | None:
        """A frame after the ``welcome``."""
        if isinstance(frame, wire.Bye):
            return Lost(f"the server closed: {frame.reason}") if frame.retry else Ending(How.BYE, frame.reason)
        self._pongs += isinstance(frame, wire.Pong)
        match self.look_backs.receive(frame):
            case None:
                self._news(frame)
            case Found() | NotFound() as answer:
                self._face.found(answer)
            case older:
                self._write(older)
        return None

    def _news(self, frame: wire.ServerFrame) -> None:
        if news := self.timeline.receive(frame):
            self._face.news(news)

    def _ask_code(self, challenge: wire.Challenge, wrong: str, tasks: asyncio.TaskGroup) -> None:
        async def ask() -> None:
            code = await self._face.code(challenge, wrong)
            if code is None:
                text = "the server sent a code to the address, and there is nobody here to type it"
                self._cut_off(Ending(How.REFUSED, text))
            else:
                self._write(wire.Verify(code=code))

        if self._asking:
            self._asking.cancel()
        self._face.state(State.CHALLENGED, "")
        self._asking = tasks.create_task(ask())

    # Times.

    async def _beat(self) -> None:
        """Send the pings that are due, and cut a socket that is dead."""
        while True:
            self._rearm.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._heart.next(joined=self.joined)):
                    await self._rearm.wait()
            now = _now()
            if self._heart.is_dead(now):
                silent = "gives no answer" if self._was_in else "gives no answer; is a chatmail server there?"
                self._cut_off(Lost(f"{self.server} {silent}"))
                return
            if self.joined and self._heart.wants_ping(now):
                self._ping()

    def _cut_off(self, cut: Ending | Lost) -> None:
        self._cut = cut
        if self._writer:
            self._writer.transport.abort()


def _now() -> float:
    return asyncio.get_running_loop().time()
