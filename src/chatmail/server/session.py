"""One connection: bytes in, frames to the hub, what the session is owed out.

One task reads. Writing needs none as long as the peer keeps up: ``flush`` writes what the hub hands out, one read of
the journal at a time. When the socket takes no more, the session stands still where its cursor is, is not read
either, and one task waits for the socket. Closing is bounded: the last words go out, and whoever does not hang up
then is cut off.

With TLS, the hub knows a connection before the handshake: who never finishes it is one of those that have not joined,
and is counted, and sent away, like all of them.
"""

import asyncio
import fcntl
import logging
import os
import socket
import ssl
import struct
import termios
from collections.abc import Callable, Collection
from contextlib import suppress

from chatmail.core.decoder import Decoder
from chatmail.core.hub import Hub
from chatmail.core.limits import Bucket, Buckets, Rate
from chatmail.core.session import Session
from chatmail.core.wire import (
    LINE_BEFORE_JOIN,
    LINE_MAX,
    Bye,
    ClientFrame,
    Code,
    Ping,
    Refused,
    WireError,
    encode,
)

READ_SIZE = 64 * 1024
PING_RATE = Rate(50, 10)
"""How often a session may ping: it costs little, but not nothing."""
LINGER = 1.0
"""How long a peer has to read the last words and hang up, in seconds."""

_log = logging.getLogger(__name__)


class Connection:
    """The shell around a hub's session.

    Args:
        buckets: how fast people are read, whichever connection they come by, None for as fast as they send.
        clock: seconds since the epoch.
        tls: what it speaks, None for plain TCP.
    """

    __slots__ = (
        "_buckets",
        "_clock",
        "_decoder",
        "_drainer",
        "_ending",
        "_frames",
        "_handshake",
        "_hub",
        "_may_read",
        "_pings",
        "_raw",
        "_reader",
        "_reason",
        "_session",
        "_shut",
        "_socket",
        "_stalled",
        "_tls",
        "_transport",
        "_writer",
    )

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        hub: Hub,
        buckets: Buckets | None,
        clock: Callable[[], float],
        tls: ssl.SSLContext | None,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._raw = self._transport = writer.transport
        self._socket: socket.socket | None = None if tls else writer.get_extra_info("socket")
        self._hub = hub
        self._clock = clock
        self._buckets = buckets
        self._tls = tls
        self._handshake: asyncio.Timeout | None = None
        self._frames: Bucket | None = None
        """How fast it is read before it has joined, None before its first frame."""
        self._pings: Bucket | None = None
        self._decoder: Decoder[ClientFrame] = Decoder(ClientFrame, LINE_BEFORE_JOIN)
        self._session: Session | None = None
        self._may_read: asyncio.Event | None = None
        self._stalled = False
        self._shut = False
        self._drainer: asyncio.Task[None] | None = None
        self._ending: asyncio.TimerHandle | None = None
        self._reason = "connection lost"

    async def run(self) -> None:
        """Serve this connection until either end hangs up.

        This coroutine is there as long as the connection. What it awaits while the peer is silent, and what it holds
        then, is memory that each of thousands takes: the stream's reading, and nothing else.
        """
        # Nothing is to wait in our memory but what the socket did not take of one write.
        self._transport.set_write_buffer_limits(high=0)
        # asyncio makes room for 256 KiB each time it reads: so much memory that it is the system's to give and to take.
        # With this, a read costs 2 to 13 µs less, depending on what else the process did with its memory (measured).
        self._transport.max_size = READ_SIZE  # type: ignore[attr-defined]
        try:
            session = self._come_in()
            await self._secure(self._hub.limits.tls_time)
            while await self._take(session, await self._reader.read(READ_SIZE)):
                pass
        except Refused as refused:
            await self._turn_away(refused)
        except OSError:
            pass  # the peer is gone, one way or another: the same as hanging up
        finally:
            self._go()

    def _come_in(self) -> Session:
        """Be one of the hub's connections; raises Refused where there is no room."""
        host = self._host()
        session = self._session = self._hub.connect(host, self._clock(), self)
        _log.debug("a connection from %s", host)
        session.on_refusal = _log_refusal
        return session

    async def _turn_away(self, refused: Refused) -> None:
        """Say why it can't come in, unless it is gone already."""
        _log.debug("a connection from %s is refused: %s", self._host(), refused.text)
        with suppress(OSError):
            await self._secure(LINGER)
            bye = Bye(reason=refused.text, retry=refused.code is Code.SERVER_FULL)
            self._transport.write(encode(refused.frame()) + encode(bye))
            self._end()
            await self._discard()

    def _host(self) -> str:
        peer = self._transport.get_extra_info("peername")
        return peer[0] if peer else ""

    def _go(self) -> None:
        """It has ended: leave the hub, and nothing behind."""
        session = self._session
        if session is not None:
            self._hub.disconnected(session, self._clock(), self._reason)
            if _log.isEnabledFor(logging.DEBUG):
                _log.debug("%s is disconnected: %s", _who(session), session.reason or self._reason)
        if self._ending is not None:
            self._ending.cancel()
        if self._drainer is not None:
            self._drainer.cancel()
        self._transport.abort()

    async def _secure(self, seconds: float) -> None:
        """Speak TLS from here on, if that is what is spoken; raises OSError when the peer doesn't do so in time.

        Nothing may be awaited before: what the peer sends would be read, and lost to the handshake.
        """
        if self._tls is None:
            return
        try:
            async with asyncio.timeout(seconds) as self._handshake:
                await self._writer.start_tls(self._tls)
        finally:
            self._handshake = None
        self._transport = self._writer.transport
        self._transport.set_write_buffer_limits(high=0)
        self.flush()

    async def _take(self, session: Session, data: bytes) -> bool:
        """Take what was read, frame by frame; whether there may be more."""
        decoder = self._decoder
        now = self._clock()
        for frame in decoder.feed(data):
            if session.closing:
                await self._discard()
                return False
            if self._buckets is not None:
                wait = self._take_token(self._buckets, session, frame, now)
                now = await self._slow_down(session, wait) if wait else now
            if isinstance(frame, WireError):
                self._hub.refuse(session, frame, now)
                continue
            self._hub.receive(session, frame, now)
            if session.blocked or session.overfull or self._stalled:
                now = await self._held_up(session)
            if session.account is not None and decoder.limit != LINE_MAX:
                decoder.limit = LINE_MAX
                if self._buckets is not None:  # coming in takes one too: who comes and goes is slowed as well
                    self._frames = None
                    wait = self._buckets.take(session.account.id, now)
                    now = await self._slow_down(session, wait) if wait else now
        if not data and not session.closing and not self._transport.is_closing():
            # It has hung up on its side only, as ``nc -N`` does: what it is owed still reaches it.
            session.blocked = True
            self._hub.hang_up(session)
            await self._held_up(session)
        return bool(data)

    async def _discard(self) -> None:
        """Read on without looking, so that closing does not take the last words from the peer."""
        while await self._reader.read(READ_SIZE):
            pass

    def _take_token(self, buckets: Buckets, session: Session, frame: ClientFrame | WireError, now: float) -> float:
        """Take a token for this frame; the seconds to wait before it is looked at.

        Those inside have one bucket, which a new connection does not fill.
        """
        if type(frame) is Ping:
            self._pings = self._pings or Bucket(PING_RATE, now)
            return self._pings.take(now)
        if session.account is None:
            self._frames = self._frames or Bucket(buckets.rate, now)
            return self._frames.take(now)
        return buckets.take(session.account.id, now)

    async def _slow_down(self, session: Session, wait: float) -> float:
        """Do not read this session for a while, or until it closes: it sent more than the rate allows."""
        session.deaf = True
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                while not session.closing:
                    await self._news()
        return self._hear(session)

    async def _held_up(self, session: Session) -> float:
        """Do not read this session until it may be read again."""
        session.deaf = True
        while (session.blocked or session.overfull or self._stalled) and not session.closing:
            await self._news()
        return self._hear(session)

    async def _news(self) -> None:
        """Wait until something has changed; raises ConnectionResetError when the connection is lost."""
        self._may_read = asyncio.Event()
        await self._may_read.wait()
        self._may_read = None
        if self._transport.is_closing():
            raise ConnectionResetError

    def _hear(self, session: Session) -> float:
        """Listen to this session again, unless it has gone meanwhile; the time."""
        if self._transport.is_closing():
            raise ConnectionResetError
        session.deaf = False
        session.heard = self._clock()
        return session.heard

    def flush(self) -> bool:
        """Write what this session is owed, as far as its socket takes it; whether it took all."""
        session = self._session
        if session is None or self._shut:
            return True
        if self._handshake is not None:  # nothing can be said yet, not even goodbye
            if session.closing and not self._handshake.expired():
                self._handshake.reschedule(0)
            return True
        if session.deaf and self._transport.is_closing():  # it has gone while nobody read it
            self._let_read()
            return True
        try:
            more = not self._stalled
            while more:
                data, more = self._hub.read(session)
                if data:
                    self.write(data)
                    more = more and not self._stalled
            if session.closing:
                self._end()
        except Exception:
            self._fail()
        self._let_read()
        return not self._stalled

    def write(self, data: bytes | memoryview) -> bool:
        """Write this, unless the socket takes no more; whether it was written.

        Nothing is before these bytes in the stream, or the session would stand still; so they go straight into the
        socket, and what it does not take, or refuses, is the stream's (measured: 20 messages a second to 1,000 readers
        cost a ninth less this way).
        """
        if self._stalled:
            return False
        if self._may_read is not None:
            self._may_read.set()
        try:
            self._put(data)
        except Exception:
            self._fail()
        return True

    def place(self) -> int:
        """The descriptor that ``write`` would write to, -1 if that is none; for ``write_all``, to write to at once."""
        if self._may_read is not None:
            self._may_read.set()
        return -1 if self._stalled or self._socket is None else self._socket.fileno()

    def _put(self, data: bytes | memoryview) -> None:
        if self._socket is not None:
            try:
                sent = os.write(self._socket.fileno(), data)
            except OSError:  # full, or gone: the stream finds out which, and does what is to be done
                sent = 0
            if sent == len(data):
                return
            # A view: what a thousand slow readers still have to take is the same bytes (Python 3.11 copies them).
            self._transport.write(memoryview(data)[sent:])
        else:
            self._transport.write(data)
        if self._transport.get_write_buffer_size():
            self._stalled = True
            self._drainer = asyncio.get_running_loop().create_task(self._drain(), name="drain")

    def _fail(self) -> None:
        """A fault of ours ends this connection, and not everybody's chat."""
        _log.exception("a connection ended by a fault of this server")
        self._transport.abort()

    def _let_read(self) -> None:
        """Have the reading task look whether it may go on."""
        if self._may_read is not None:
            self._may_read.set()

    async def _drain(self) -> None:
        """Wait until the socket has taken everything, as long as the peer takes something, and go on."""
        transport = self._transport
        while transport.get_write_buffer_size():
            left = self._untaken()
            try:
                async with asyncio.timeout(self._hub.limits.slow):
                    await self._writer.drain()
            except OSError:  # a TimeoutError of ours is one too; else the connection is lost
                if not transport.is_closing() and self._untaken() == left:
                    self._reason = "too slow"
                    transport.abort()
                if transport.is_closing():
                    self._let_read()
                    return
        self._stalled = False
        self.flush()

    def _untaken(self) -> int:
        """How many bytes the peer has not taken yet: ours, and those the system holds for it (tcp(7), SIOCOUTQ)."""
        sock = self._transport.get_extra_info("socket")
        (queued,) = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))
        return int(queued) + sum(each.get_write_buffer_size() for each in {self._raw, self._transport})

    def _end(self) -> None:
        """No more is to be said: half-close once all is out, and cut off who has not hung up soon."""
        transport = self._transport
        if self._ending is None:
            self._ending = asyncio.get_running_loop().call_later(LINGER, transport.abort)
        if not self._stalled:
            self._shut = True
            if not transport.can_write_eof():
                transport.close()
                return
            try:
                transport.write_eof()
            except OSError:  # the peer has reset the connection, and nobody has read that yet
                transport.abort()


def write_all(connections: Collection[Connection], data: bytes) -> set[Connection]:
    """Write the same to each of these; those whose sockets take no more.

    All are asked for their places before anything is written: what the system does for one write drives all that
    Python needs for the next one out of the processor's caches (measured: up to 6 % less for each of 1,000 readers
    without TLS).
    """
    size = len(data)
    short: list[tuple[int, int]] = []
    for at, place in enumerate([connection.place() for connection in connections]):
        try:
            sent = os.write(place, data) if place >= 0 else 0
        except OSError:  # full, or gone: ``write`` finds out which
            sent = 0
        if sent < size:
            short.append((at, sent))
    if not short:
        return set()
    everyone = list(connections)
    return {everyone[at] for at, sent in short if not everyone[at].write(memoryview(data)[sent:])}


def _who(session: Session) -> str:
    """Who this is, in the log."""
    return session.host if session.account is None else f"{session.account.name} from {session.host}"


def _log_refusal(session: Session, refused: Refused) -> None:
    if _log.isEnabledFor(logging.DEBUG):
        _log.debug("%s: a frame is refused: %s: %s", _who(session), refused.code, refused.text)
