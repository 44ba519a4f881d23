"""A whole hub in one thread, without sockets: peers that speak the wire, a clock that is set, a store that is asked.

    house = House()
    mary = house.peer()
    mary.join("Mary")
    mary.send(Say(text="hello"))     nothing has happened yet: it is with the hub
    house.commit()                   the store has it: mary.frames() holds the echo

The house does what the server does around a hub and nothing else: bytes through a ``Decoder``, one batch of changes at
a time to a real database in memory, lookups answered, sessions flushed, a session that must wait not read.
"""

import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from random import Random
from typing import TypeVar

from msgspec import UNSET
from msgspec.structs import replace

from chatmail.core.decoder import Decoder
from chatmail.core.hub import Hub
from chatmail.core.limits import Limits
from chatmail.core.operator import Operator
from chatmail.core.records import Change, Draft, Entry, Fate, Letter, Mail, Outcome, Query, Snapshot, Stored
from chatmail.core.session import Session
from chatmail.core.wire import (
    LINE_BEFORE_JOIN,
    LINE_MAX,
    ClientFrame,
    Frame,
    Join,
    Resume,
    ServerFrame,
    Welcome,
    WireError,
    encode,
    stamp,
)
from chatmail.server.stores.database import MEMORY, Database

NOON = 1_790_000_000.0
"""When every house opens, in seconds since the epoch."""

F = TypeVar("F", bound=Frame)


class House:
    """A hub and what the server puts around it.

    Args:
        limits: what the operator allows.
        snapshot: what the store held at the start; its entries are numbered from 1.
    """

    def __init__(self, limits: Limits | None = None, snapshot: Snapshot | None = None) -> None:
        self.now = NOON
        self.told: list[str] = []
        self.posts = 0
        """How often there may have been a mail to take."""
        self.wakes = 0
        """How often there was something to take, look up or flush."""
        self.codes: list[tuple[str, str]] = []
        self.peers: list[Peer] = []
        self.entries: list[tuple[int, Entry]] = []
        self.slow_lookups = False
        self.letter_holds = 1_000
        """How many texts go into one letter."""
        self.limits = limits or Limits()
        self.store = Database(MEMORY, keep_days=30)
        weakref.finalize(self, self.store.close)
        kept = self.store.open()
        self._identity = (kept.epoch, kept.secret)
        self._letters = 0
        snapshot = snapshot or self._named(kept)
        self.store.commit([Change(entry=entry) for _, entry in snapshot.entries])
        self._start(snapshot)

    def _named(self, kept: Snapshot) -> Snapshot:
        """What the store holds, its own random epoch and secret under names that a test can write down."""
        assert (kept.epoch, kept.secret) == self._identity
        return replace(kept, epoch="first", secret=b"a secret")

    def _start(self, snapshot: Snapshot) -> None:
        self.hub = Hub(
            snapshot,
            self.limits,
            random=Random(4),
            wake=self._woken,
            post=self._posted,
            tell=self.told.append,
            fits=self._fits,
            code_letter=self._code_letter,
        )
        self.operator = Operator(self.hub)
        self._batch: list[tuple[Change, Session | None]] | None = None

    def _woken(self) -> None:
        self.wakes += 1

    def _posted(self) -> None:
        self.posts += 1

    def _fits(self, mails: Sequence[Mail]) -> int:
        return min(len(mails), self.letter_holds)

    def _code_letter(self, address: str, name: str, code: str, made: float, expires: float) -> Letter:
        self.codes.append((address, code))
        text = f"{name}: {code}".encode()
        return Letter(message_id=f"<code-{code}>", address=address, content=text, made=made, expires=expires)

    # People.

    def peer(self, host: str = "127.0.0.1") -> "Peer":
        """Somebody connects. Raises Refused where the door is shut."""
        peer = Peer(self, host)
        self.peers.append(peer)
        return peer

    def join(self, name: str, email: str | None = None, host: str = "127.0.0.1") -> "Peer":
        """Somebody connects and is in, with the welcome and all that came with it read."""
        peer = self.peer(host)
        peer.join(name, email)
        peer.frames()
        return peer

    # The store.

    def take(self) -> list[Change]:
        """The batch of this tick is on its way to the store; what is submitted from now on is in the next."""
        if self._batch is None:
            self._batch = self.hub.take()
        return [change for change, _ in self._batch]

    def _taken(self) -> list[tuple[Change, Session | None]]:
        self.take()
        batch, self._batch = self._batch or [], None
        return batch

    def write(self) -> list[Stored]:
        """The store has the batch, and has not said so yet: only ``restart`` may follow."""
        batch = self.take()
        results = self.store.commit(batch)
        self.entries += [
            (number, change.entry)
            for change, number in zip(batch, results, strict=True)
            if change.entry is not None and isinstance(number, int)
        ]
        return results

    def commit(self) -> list[Stored]:
        """The store has the batch; what it made of each change."""
        results = self.write()
        self.hub.committed(self._taken(), results, self.now)
        self.flush()
        return results

    def refuse(self, why: str = "the disk is full") -> None:
        """The store has nothing of the batch."""
        self.hub.refused(self._taken(), why)
        self.flush()

    def tidy(self) -> None:
        """The store lets go of what is kept no longer, and so does the hub."""
        while self.store.index():
            pass
        while gone := self.store.tidy(self.now):
            self.hub.expire(gone)

    def restart(self) -> None:
        """The server dies and starts again with what the store holds; all connections are gone, and nobody was told."""
        for peer in self.peers:
            peer.connected = False
        self.peers.clear()
        self._start(self._named(self.store.snapshot()))

    def settle(self) -> None:
        """Commit until nothing is on its way any more."""
        self.flush()
        while self.take():
            self.commit()
        self._batch = None

    def flush(self) -> None:
        """What a tick of the server does: lookups, what is due, then everybody who has something to read."""
        busy = True
        while busy:
            if not self.slow_lookups:
                self.look_up()
            self.hub.due(self.now)
            self.hub.flush()
            heard = [peer.pump() for peer in self.peers]
            busy = any(heard) or bool(self.hub.lookups and not self.slow_lookups)
        for peer in [peer for peer in self.peers if peer.shut]:
            peer.cut()

    def look_up(self) -> None:
        """The store answers what it was asked."""
        lookups, self.hub.lookups = self.hub.lookups, []
        for lookup in lookups:
            while isinstance(lookup.query, Query) and self.store.index():
                pass
            lookup.then(self.store.look_up(lookup.query))

    # Time.

    def tick(self, seconds: float) -> None:
        """Time passes, without a commit."""
        self.now += seconds
        self.flush()

    def wait(self, seconds: float) -> None:
        """Time passes, and whatever comes of it is stored."""
        self.tick(seconds)
        self.settle()

    def names_here(self) -> list[str]:
        """Who is here, as the hub sees it."""
        return [presence.account.name for presence in self.hub.roster.all()]

    # Mail.

    def deliver(self, fate: Fate = Fate.SENT, detail: str = "", reply: str = "") -> list[Letter]:
        """Compose and send whatever is due; the letters that were tried."""
        tried = []
        while (letter := self.compose()) is not None:
            tried.append(letter)
            self.report(letter, fate, detail, reply)
        return tried

    def compose(self) -> Letter | None:
        """The next letter that is due, frozen and stored."""
        job = self.hub.mailroom.take(self.now)
        return self.freeze(job) if isinstance(job, Draft) else job

    def freeze(self, draft: Draft) -> Letter:
        """Have a letter made of a draft stored."""
        letter = self.letter(draft)
        stored: list[bool] = []
        self.hub.mailroom.freeze(draft, letter, stored.append, self.now)
        self.settle()
        assert stored == [True]
        return letter

    def letter(self, draft: Draft) -> Letter:
        """The letter made of a draft."""
        self._letters += 1
        return Letter(
            message_id=f"<{self._letters}>",
            address=draft.address,
            content="\n".join(mail.text for mail in draft.mails).encode(),
            made=draft.made,
            expires=draft.made + 3 * 86_400,
            reader=draft.reader,
            mails=draft.mails,
        )

    def report(self, letter: Letter, fate: Fate, detail: str = "", reply: str = "") -> None:
        """Say how sending a letter went, and have it stored."""
        self.hub.mailroom.outcome(letter, Outcome(fate=fate, detail=detail, reply=reply), self.now)
        self.settle()


class Peer:
    """One connection: a client's end and the server's shell around the session.

    ``stalled``: it does not read, so the server does not read it either. ``shut``: the server has said all it will.
    """

    def __init__(self, house: House, host: str = "127.0.0.1") -> None:
        self.house = house
        self.stalled = False
        self.shut = False
        self.connected = True
        self.session = house.hub.connect(host, house.now, self)
        self.name = ""
        self.token = ""
        self._to_server: Decoder[ClientFrame] = Decoder(ClientFrame, LINE_BEFORE_JOIN)
        self._to_client: Decoder[ServerFrame] = Decoder(ServerFrame, LINE_MAX)
        self._sent: deque[bytes] = deque()
        self._arrived: Iterator[ClientFrame | WireError] = iter(())
        self._got: list[Frame] = []

    # The client's end.

    def send(self, *frames: Frame | bytes) -> None:
        """Send frames, or raw bytes; they reach the hub as soon as it reads this session."""
        self._sent.extend(frame if isinstance(frame, bytes) else encode(frame) for frame in frames)
        self.pump()

    def ask(self, *frames: Frame | bytes) -> list[Frame]:
        """Send frames, have everything stored, and return what came."""
        self.send(*frames)
        self.house.settle()
        return self.frames()

    def join(
        self, name: str, email: str | None = None, *, token: str | None = None, resume: Resume | None = None
    ) -> Welcome:
        """Join and be welcome; history and all that follows stays to be read."""
        self.send(joining(name, email, token=token, resume=resume))
        self.house.settle()
        assert self._got, f"{name} has no answer"
        welcome = self._got.pop(0)
        assert isinstance(welcome, Welcome), welcome
        self.name = welcome.name
        self.token = welcome.token
        return welcome

    def frames(self) -> list[Frame]:
        """What came since the last call."""
        got, self._got = self._got, []
        return got

    def only(self, kind: type[F]) -> F:
        """What came since the last call: one frame of this kind."""
        (frame,) = self.frames()
        assert isinstance(frame, kind), frame
        return frame

    def all(self, kind: type[F]) -> list[F]:
        """Those of this kind that came since the last call."""
        return [frame for frame in self.frames() if isinstance(frame, kind)]

    def stall(self) -> None:
        """Stop reading."""
        self.stalled = True
        self.session.deaf = True

    def sip(self) -> bytes:
        """Read once, though stalled."""
        data, _ = self.house.hub.read(self.session)
        self._feed(data)
        return data

    def go_on(self) -> None:
        """Read again."""
        self.stalled = False
        self.session.deaf = False
        self.session.heard = self.house.now
        self.flush()
        self.house.flush()

    def cut(self, reason: str = "connection lost") -> None:
        """The connection ends."""
        assert self.connected
        self.connected = False
        self.house.peers.remove(self)
        self.house.hub.disconnected(self.session, self.house.now, reason)

    def hang_up(self) -> None:
        """The connection ends, the goodbye was read."""
        if self.connected:
            self.cut()

    # The server's end.

    def pump(self) -> bool:
        """Give the hub what was sent, as far as it reads this session now; whether that was anything."""
        session = self.session
        some = False
        while self.connected and not (session.blocked or session.overfull or self.stalled):
            frame = next(self._arrived, None)
            if isinstance(frame, WireError):
                self.house.hub.refuse(session, frame, self.house.now)
            elif frame is not None:
                self.house.hub.receive(session, frame, self.house.now)
                self._to_server.limit = LINE_MAX if session.account is not None else LINE_BEFORE_JOIN
            elif self._sent:
                self._to_server.limit = LINE_MAX if session.account is not None else LINE_BEFORE_JOIN
                self._arrived = self._to_server.feed(self._sent.popleft())
            else:
                break
            some = True
        return some

    def flush(self) -> bool:
        """Take what the session is owed."""
        more = not (self.shut or self.stalled)
        while more:
            data, more = self.house.hub.read(self.session)
            self._feed(data)
        self.shut = self.shut or (self.session.closing and not self.stalled)
        return not self.stalled

    def write(self, data: bytes) -> bool:
        """Take this, unless it is stalled."""
        if self.stalled:
            return False
        self._feed(data)
        return True

    def _feed(self, data: bytes) -> None:
        for frame in self._to_client.feed(data):
            assert isinstance(frame, Frame), frame
            self._got.append(frame)


def joining(name: str, email: str | None = None, *, token: str | None = None, resume: Resume | None = None) -> Join:
    """The join of somebody whose address is made of the name, unless it is given."""
    return Join(
        name=name,
        email=email or f"{name.lower()}@example.org",
        token=UNSET if token is None else token,
        resume=UNSET if resume is None else resume,
    )


def said(number: int, text: str, author: int = 1, sender: str = "Mary") -> tuple[int, Entry]:
    """A message that was said before the house opened."""
    return number, Entry(kind="message", time=stamp(NOON), author=author, sender=sender, text=text)
