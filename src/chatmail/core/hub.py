"""The hub: who is here, who may do what, and where a message goes. Plain synchronous calls, one owner of all state.

    frames in ──receive──> checks, reservations ──submit──> (store) ──committed──> journal, people, answers
                                                                          │
    bytes out <──read── session's cursor <─────────── flush ──────────────┘

Nothing that anyone can see changes in ``receive``: it checks, reserves and submits a Change. The server has the batch
of the tick stored and reports ``committed`` or ``refused``, in order; only then is the entry numbered, encoded and in
the journal. ``flush`` then tells every session that has something to ``read``.

Time (``now``, seconds since the epoch) and randomness are passed in; ``due`` does what has become due and says when
it wants to be called next.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from chatmail.core import wire
from chatmail.core.accounts import Accounts, Bans
from chatmail.core.door import Door, Entrant
from chatmail.core.journal import READ_MAX, Journal, Lagged
from chatmail.core.limits import Limits
from chatmail.core.mailroom import Mailroom
from chatmail.core.names import mask_email
from chatmail.core.records import Account, Change, Entry, Letter, Mail, Missed, Patch, Snapshot
from chatmail.core.session import Session
from chatmail.core.wire import Code, Refused

PEOPLE_BYTES = 40 * 1024
"""Most bytes of names in one list of people, so that no line is longer than the wire allows."""


class Presence:
    """Somebody who is here; ``session`` is None while their connection is cut but not yet given up."""

    __slots__ = ("account", "leaving", "returning", "session", "since")

    def __init__(self, account: Account, since: datetime) -> None:
        self.account = account
        self.session: Session | None = None
        self.since = since
        self.leaving = False  # their left is with the store
        self.returning = False  # a join of theirs is with the store

    def person(self) -> wire.Person:
        """Their line in the list of people."""
        away = self.account.away
        return wire.Person(name=self.account.name, since=self.since, away=UNSET if away is None else away)


class Accepted(Struct):
    """An id that a client used: what was said under it, and the number that got (0: not yet)."""

    said: int
    seq: int = 0


class Lookup(Struct, frozen=True):
    """A question to the store for a session: what it missed after one number and before another.

    ``gap``: whether it is to be told how much that was; ``then``: what goes out after the answer.
    """

    session: Session
    account: int
    after: int
    before: int
    gap: bool
    then: tuple[bytes, ...] = ()


class Hub:
    """The chat.

    Args:
        snapshot: what the store held at the start.
        limits: what the operator allows.
        random: source of verification codes; must be unpredictable in earnest.
        wake: called whenever there is something to take, look up or flush.
        post: called whenever there may be a mail to take.
        tell: called with one line for the operator.
        fits: how many of these mails go into one letter.
        code_letter: composes the mail with a code: address, name, code, time made, time it expires.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        limits: Limits,
        *,
        random: Random,
        wake: Callable[[], None],
        post: Callable[[], None],
        tell: Callable[[str], None],
        fits: Callable[[Sequence[Mail]], int],
        code_letter: Callable[[str, str, str, float, float], Letter],
    ) -> None:
        self.limits = limits
        self.epoch = snapshot.epoch
        self.motd = snapshot.motd
        self.tell = tell
        self.accounts = Accounts(snapshot.accounts, snapshot.next_account, snapshot.secret)
        self.bans = Bans(snapshot.bans)
        self.door = Door(self.accounts, self.bans, limits, random)
        self.present: dict[int, Presence] = {}
        self.sessions: set[Session] = set()
        self.journal = Journal(
            snapshot.last - len(snapshot.entries), entries_max=limits.entries_max, bytes_max=limits.bytes_max
        )
        self.lookups: list[Lookup] = []
        self._wake = wake
        self._code_letter = code_letter
        self._outlets: dict[Session, Callable[[], None]] = {}
        self._dirty: set[Session] = set()
        self._everybody = False
        self._queue: list[tuple[Change, Session | None]] = []
        self._submitted = 0
        self._settled = 0
        self._ids: dict[tuple[int, str], Accepted] = {}
        self._ids_by_age: deque[tuple[int, tuple[int, str]]] = deque()
        self._agenda: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = count()
        for seq, entry in snapshot.entries:
            if entry.author is not None and entry.id is not UNSET:
                self._ids[entry.author, entry.id] = Accepted(_said(entry.reader, entry.text))
            self._publish(entry, seq)
        self.mailroom = Mailroom(self, snapshot, fits, post)

    # Connections.

    def connect(self, host: str, now: float, outlet: Callable[[], None]) -> Session:
        """A connection from this host; ``outlet`` is called whenever there is something to ``read``.

        Raises Refused where there is no room: answer with its frame and close.
        """
        self.door.knock(host, now)
        session = Session(host, now, now + self.limits.join_time)
        self.sessions.add(session)
        self._outlets[session] = outlet
        self._at(session.deadline, partial(self._check_joined, session))
        return session

    def disconnected(self, session: Session, now: float, reason: str = "connection lost") -> None:
        """A connection has ended; others hear of it only after the grace, in which it may come back."""
        self.sessions.discard(session)
        self._dirty.discard(session)
        del self._outlets[session]
        session.gone = True
        account = session.account
        self.door.depart(session.host, joined=account is not None)
        if account is not None:
            self._lose(session, account, now, reason)

    def _lose(self, session: Session, account: Account, now: float, reason: str) -> None:
        """The session of somebody present is gone: they have the grace to come back."""
        presence = self.present.get(account.id)
        if presence is not None and presence.session is session:
            presence.session = None
            self._at(now + self.limits.grace, partial(self._check_back, presence, reason))

    def receive(self, session: Session, frame: wire.ClientFrame, now: float) -> None:
        """Take a frame from a session. The answer comes through the session, in the order of its frames."""
        session.heard = now
        if session.closing:
            return
        if type(frame) is not wire.Ping:
            session.active = now
        try:
            _HANDLERS[type(frame)](self, session, frame, now)
        except Refused as refused:
            self.refuse(session, refused, now)

    def refuse(self, session: Session, refused: Refused, now: float) -> None:
        """Answer a session with an error, and close it where that is final or one too many."""
        session.heard = now
        if session.closing:
            return
        self._answer(session, refused.frame())
        if refused.code in {Code.BAD_FRAME, Code.UNSUPPORTED}:
            session.bad_frames += 1
        if session.account is None:
            session.join_errors += 1
            session.deadline = max(session.deadline, now + self.limits.join_time)
        if refused.final:
            self.dismiss(session, refused.text, retry=refused.code is Code.SERVER_FULL)
        elif session.bad_frames > self.limits.bad_frames:
            self.dismiss(session, f"more than {self.limits.bad_frames} bad frames", retry=False)
        elif session.join_errors >= self.limits.join_errors:
            self.dismiss(session, f"{self.limits.join_errors} errors without joining", retry=False)

    def dismiss(self, session: Session, reason: str, *, retry: bool) -> None:
        """Say goodbye to a session and close it once it has what it is owed now."""
        if not session.closing:
            session.farewell(wire.Bye(reason=reason, retry=retry), self.journal.last if session.account else 0)
            self._touch(session)

    def read(self, session: Session) -> bytes:
        """What goes out to this session next: at most one read of the journal; nothing once it is up to date."""
        if session.prologue:
            return session.prologue.popleft()
        account = session.account
        if account is None or (session.closing and not session.owed()):
            return session.answers()
        if session.looking_up and not session.closing:
            return b""
        data = b""
        journal = self.journal
        try:
            while session.cursor < journal.last and not data:
                data, session.cursor = journal.read(session.cursor, account.id)
        except Lagged:
            self._look_up(session, account, after=session.cursor, gap=True)
            return b""
        answers = session.answers()
        return data + answers if answers else data

    def flush(self) -> None:
        """Tell every session that may have something to read."""
        if self._everybody:
            outlets = list(self._outlets.values())
        else:
            outlets = [self._outlets[session] for session in self._dirty]
        self._everybody = False
        self._dirty.clear()
        for outlet in outlets:
            outlet()

    # The store.

    def submit(self, change: Change, session: Session | None = None) -> None:
        """Have a change stored; what it does is done in ``committed``."""
        self._queue.append((change, session))
        self._submitted += 1
        if session is not None:
            session.ticket = self._submitted
        self._wake()

    def take(self) -> list[tuple[Change, Session | None]]:
        """The changes submitted since the last call: the batch of this tick."""
        batch, self._queue = self._queue, []
        return batch

    def committed(self, batch: Sequence[tuple[Change, Session | None]], numbers: Sequence[int | None]) -> None:
        """The store has this batch; ``numbers`` are those of its entries, None for a change without one."""
        for (change, session), number in zip(batch, numbers, strict=True):
            if change.entry is not None and number is not None:
                self._publish(change.entry, number)
            for row in change.rows:
                if type(row) is Patch:
                    account = self.accounts.get(row.account)
                    if account is not None:
                        setattr(account, row.field, row.value)
            if change.then is not None:
                change.then(number)
            self._settle(session)
        ids = self._ids_by_age
        while ids and ids[0][0] < self.journal.first:
            del self._ids[ids.popleft()[1]]
        self._wake()

    def refused(self, batch: Sequence[tuple[Change, Session | None]], why: str) -> None:
        """The store surely has nothing of this batch: whoever asked is told."""
        for change, session in batch:
            entry = change.entry
            id: str | UnsetType = UNSET
            if entry is not None and entry.author is not None and entry.id is not UNSET:
                id = entry.id
                del self._ids[entry.author, id]
            if change.failed is not None:
                change.failed(why)
            elif session is not None and not session.closing:
                session.answer(wire.Error(code=Code.UNAVAILABLE, text=why, id=id), self.journal.last)
                self._touch(session)
            self._settle(session)
        self._wake()

    def _settle(self, session: Session | None) -> None:
        self._settled += 1
        if session is not None and session.settle(self._settled, self.journal.last if session.account else 0):
            self._touch(session)

    def _publish(self, entry: Entry, number: int) -> None:
        audience = entry.audience
        said = entry.kind == "message" or entry.kind == "notice"
        self.journal.append(wire.encode(entry.frame(number)), audience, said=said)
        if entry.id is not UNSET and entry.author is not None:
            key = (entry.author, entry.id)
            self._ids[key].seq = number
            self._ids_by_age.append((number, key))
        if audience is None:
            self._everybody = True
        else:
            for account in audience:
                session = self.session_of(account)
                if session is not None:
                    self._dirty.add(session)

    def caught_up(self, lookup: Lookup, missed: Missed) -> None:
        """The store's answer to a lookup: the session goes on."""
        session = lookup.session
        session.prologue.extend(wire.encode(entry.frame(seq)) for seq, entry in missed.directs)
        if lookup.gap and missed.open:
            session.prologue.append(wire.encode(wire.Gap(missed=missed.open)))
        session.prologue.extend(lookup.then)
        session.looking_up = False
        self._touch(session)

    def _look_up(
        self, session: Session, account: Account, *, after: int, gap: bool, then: tuple[bytes, ...] = ()
    ) -> None:
        before = self.journal.first
        session.looking_up = True
        session.cursor = max(session.cursor, before - 1)
        self.lookups.append(Lookup(session, account.id, after, before, gap, then))
        self._wake()

    # Answers.

    def _answer(self, session: Session, frame: wire.Frame) -> None:
        """Owe a session this answer, after those to everything it asked before."""
        self._answer_later(session, lambda: frame)

    def _answer_later(self, session: Session, make: Callable[[], wire.Frame]) -> None:
        if session.ticket > self._settled:
            session.hold(make)
        else:
            session.answer(make(), self.journal.last if session.account else 0)
            self._touch(session)

    def owe(self, account: int, frame: wire.Frame) -> bool:
        """Send a frame to an account's session, after what the journal holds now; False without one."""
        session = self.session_of(account)
        if session is None or session.closing:
            return False
        session.answer(frame, self.journal.last)
        self._touch(session)
        return True

    def _touch(self, session: Session) -> None:
        if not session.gone:
            self._dirty.add(session)
            self._wake()

    # Time.

    def due(self, now: float) -> float | None:
        """Do what has become due; the time at which to call again, None when there is nothing to wait for."""
        while self._agenda and self._agenda[0][0] <= now:
            heappop(self._agenda)[2](now)
        return self._agenda[0][0] if self._agenda else None

    def _at(self, when: float, do: Callable[[float], None]) -> None:
        heappush(self._agenda, (when, next(self._order), do))
        self._wake()

    def _check_joined(self, session: Session, now: float) -> None:
        if session.account is not None or session.gone or session.closing:
            return
        if now < session.deadline or session.blocked:
            self._at(max(session.deadline, now + 1), partial(self._check_joined, session))
        else:
            self.dismiss(session, f"no join within {self.limits.join_time:g} s", retry=True)

    def _check_alive(self, session: Session, now: float) -> None:
        if session.gone or session.closing:
            return
        if session.deaf:
            session.heard = now
        if now < session.heard + self.limits.silence:
            self._at(session.heard + self.limits.silence, partial(self._check_alive, session))
        else:
            self.dismiss(session, f"no sign of life for {self.limits.silence:g} s", retry=True)

    def _check_back(self, presence: Presence, reason: str, now: float) -> None:
        if presence.session is None and not presence.returning:
            self.announce_left(presence, reason, now)

    # People.

    def session_of(self, account: int) -> Session | None:
        """The connected session of an account, None while there is none."""
        presence = self.present.get(account)
        return presence.session if presence is not None and not presence.leaving else None

    def is_away(self, account: Account, now: float) -> bool:
        """Not connected, or said so, or nothing but pings for a while: mail may be wanted."""
        session = self.session_of(account.id)
        return session is None or account.away is not None or now > session.active + self.limits.idle

    def people(self, own: Presence | None = None) -> wire.People:
        """Who is here, in the order in which they came, as many as one line may hold; ``own`` always among them."""
        people: list[wire.Person] = [own.person()] if own is not None else []
        room = PEOPLE_BYTES
        for presence in self.present.values():
            if presence is own:
                continue
            person = presence.person()
            room -= 60 + 4 * len(person.name) + 6 * len(person.away or "")
            if len(people) == self.limits.presence_max or room < 0:
                break
            people.append(person)
        return wire.People(people=people, total=len(self.present))

    def announce_left(self, presence: Presence, reason: str, now: float, last_of: Session | None = None) -> None:
        """Somebody is gone for good: they leave the list when the store has it.

        ``last_of``: the session that asked for it, which is then closed.
        """
        if presence.leaving:
            return
        presence.leaving = True
        account = presence.account
        entry = None
        if len(self.present) <= self.limits.presence_max:
            entry = Entry(kind="left", time=stamp(now), author=account.id, sender=account.name, text=reason)

        def left(_: int | None) -> None:
            if last_of is not None:
                self.dismiss(last_of, "you left", retry=False)
            self.tell(f"{account.name} left: {reason}")
            del self.present[account.id]
            if len(self.present) == self.limits.presence_max:
                for other in self.present:
                    self.owe(other, self.people())

        def not_stored(_: str) -> None:
            if last_of is not None:
                self.dismiss(last_of, "you left", retry=False)
            presence.leaving = False
            self._at(now + self.limits.grace, partial(self._check_back, presence, reason))

        self.submit(Change(entry=entry, then=left, failed=not_stored), last_of)

    # Frames.

    def _join(self, session: Session, frame: wire.Join, now: float) -> None:
        if session.account is not None:
            raise Refused(Code.ALREADY_JOINED, f"you are here already, as {session.account.name}")
        session.challenge = None
        entrant = self.door.examine(frame, session.host, now)
        self._check_alone(entrant)
        if entrant.floor is None and self.limits.verify_email:
            challenge = self.door.challenge(session, frame, entrant, now)
            code = challenge.code
            letter = self._code_letter(entrant.email, entrant.name, code.digits, now, code.expires)
            self.mailroom.send(letter, now)
            expires = stamp(code.expires)
            self._answer(session, wire.Challenge(email=mask_email(entrant.email), expires=expires))
        else:
            self._enter(session, frame, entrant, now)

    def _verify(self, session: Session, frame: wire.Verify, now: float) -> None:
        if session.account is not None:
            raise Refused(Code.ALREADY_JOINED, f"you are here already, as {session.account.name}")
        challenge = session.challenge
        entrant = self.door.verify(session, frame.code, now)
        self._check_alone(entrant)
        if challenge is not None:
            self._enter(session, challenge.join, entrant, now)

    def _check_alone(self, entrant: Entrant) -> None:
        """One terminal a person; the holder of a token may take over. Raises Refused."""
        account = entrant.account
        if account is None:
            return
        presence = self.present.get(account.id)
        if presence is None or presence.leaving:
            return
        if presence.returning or (presence.session is not None and not entrant.proven):
            text = f"{account.name} is here already, from another terminal; leave there first, or take another name"
            raise Refused(Code.NAME_TAKEN, text, field="name")

    def _enter(self, session: Session, frame: wire.Join, entrant: Entrant, now: float) -> None:
        """Everything is in order: have the account, and the coming itself, stored."""
        account = entrant.account
        rows: tuple[Account | Patch, ...] = ()
        if account is None:
            last = self.journal.last
            id = self.accounts.reserve(entrant.name)
            account = Account(id=id, name=entrant.name, email=entrant.email, first=last, seen=last)
            rows = (account,)
        elif account.away is not None and frame.resume is UNSET:
            rows = (Patch(account=account.id, field="away", value=None),)
        presence = self.present.get(account.id)
        if presence is not None and not presence.leaving:
            presence.returning = True
            entry = None
        elif len(self.present) < self.limits.presence_max:
            entry = Entry(kind="joined", time=stamp(now), author=account.id, sender=account.name)
        else:
            entry = None
        session.blocked = True
        session.challenge = None

        def entered(number: int | None) -> None:
            if entrant.account is None:
                self.accounts.add(account)
            self._welcome(session, account, frame, entrant, number, now)

        def not_stored(why: str) -> None:
            session.blocked = False
            if entrant.account is None:
                self.accounts.release(entrant.name)
            if presence is not None:
                presence.returning = False
                if presence.session is None:
                    self._at(now + self.limits.grace, partial(self._check_back, presence, "connection lost"))
            if not session.gone:
                self.refuse(session, Refused(Code.UNAVAILABLE, why), now)

        self.submit(Change(entry=entry, rows=rows, then=entered, failed=not_stored), session)

    def _welcome(
        self, session: Session, account: Account, frame: wire.Join, entrant: Entrant, number: int | None, now: float
    ) -> None:
        """The store has the join: this session is inside, from here on."""
        session.blocked = False
        last = self.journal.last if number is None else number - 1
        presence = self.present.get(account.id)
        if presence is None:
            presence = self.present[account.id] = Presence(account, stamp(now))
        presence.returning = False
        if presence.session is not None:
            self.dismiss(presence.session, "you came in from another terminal", retry=False)
        presence.session = session
        if session.gone:
            self._lose(session, account, now, "connection lost")
            return
        session.account = account
        session.floor = last if entrant.floor is None else entrant.floor
        self.door.enter(session.host)
        self.tell(f"{account.name} <{account.email}> joined from {session.host}")
        resume = frame.resume
        resumed = resume is not UNSET and entrant.proven and resume.epoch == self.epoch and resume.seq <= last
        people = self.people(presence)
        welcome = wire.Welcome(
            name=account.name,
            epoch=self.epoch,
            seq=last,
            resumed=resumed,
            token=self.accounts.token(account, session.floor),
            people=people.people,
            total=people.total,
            notify=account.notify,
            motd=self.motd or UNSET,
        )
        session.prologue.append(wire.encode(welcome))
        if resume is not UNSET and resumed:
            session.cursor = max(resume.seq, account.first, session.floor)
        else:
            session.cursor = last
            self._recall(session, account, known=entrant.account is not None)
        session.heard = now
        self.mailroom.confess(account.id)
        self._touch(session)

    def _recall(self, session: Session, account: Account, *, known: bool) -> None:
        """Owe a newcomer the history: from the journal, and own messages that have left it from the store."""
        unseen = max(account.seen, session.floor)
        told = self.journal.history(account.id, self.limits.history, unseen=unseen, floor=session.floor)
        history = _parcels(told)
        if known and unseen < self.journal.first - 1:
            self._look_up(session, account, after=unseen, gap=False, then=history)
        else:
            session.prologue.extend(history)

    def _joined(self, session: Session, id: str | UnsetType = UNSET) -> Account:
        if session.account is None:
            raise Refused(Code.NOT_JOINED, "join first: this needs a name", id=id)
        return session.account

    def _repeated(self, session: Session, account: Account, id: str | UnsetType, said: int) -> bool:
        """Whether this id was used before, and then for the same: it is acknowledged, and not done again."""
        if id is UNSET:
            return False
        accepted = self._ids.get((account.id, id))
        if accepted is None:
            self._ids[account.id, id] = Accepted(said)
            return False
        if accepted.said != said:
            raise Refused(Code.BAD_FRAME, f"the id {id!r} was used for another message", id=id, field="id")
        self._answer_later(session, lambda: wire.Ack(id=id, seq=accepted.seq or UNSET))
        return True

    def _say(self, session: Session, frame: wire.Say, now: float) -> None:
        account = self._joined(session, frame.id)
        if self._repeated(session, account, frame.id, _said(None, frame.text)):
            return
        entry = Entry(
            kind="message", time=stamp(now), author=account.id, sender=account.name, text=frame.text, id=frame.id
        )
        self.submit(Change(entry=entry), session)

    def _dm(self, session: Session, frame: wire.Dm, now: float) -> None:
        account = self._joined(session, frame.id)
        reader = self.accounts.find(frame.to)
        if reader is None:
            meant = self.accounts.suggest(frame.to)
            hint = f"; did you mean {meant}?" if meant is not None else ""
            text = f"nobody here was ever called {clip(frame.to)}{hint}"
            raise Refused(Code.NO_SUCH_PERSON, text, id=frame.id, field="to")
        if self._repeated(session, account, frame.id, _said(reader.id, frame.text)):
            return
        mail = Mail(
            seq=0,
            reader=reader.id,
            author=account.id,
            sender=account.name,
            to=reader.name,
            text=frame.text,
            time=stamp(now),
            id=frame.id,
        )
        wanted = reader.notify != "never"
        if wanted:
            try:
                self.mailroom.check_room(reader, frame.id)
            except Refused:
                self._ids.pop((account.id, frame.id or ""), None)
                raise
        entry = Entry(
            kind="direct",
            time=mail.time,
            author=account.id,
            sender=account.name,
            reader=reader.id,
            to=reader.name,
            text=frame.text,
            id=frame.id,
        )

        def stored(number: int | None) -> None:
            numbered = replace(mail, seq=number or 0)
            if wanted:
                self.mailroom.add(numbered, reader, now)
            else:
                self.mailroom.tell(numbered, "off", f"{reader.name} wants no mail")

        self.submit(Change(entry=entry, rows=(mail,) if wanted else (), then=stored), session)

    def _who(self, session: Session, _frame: wire.Who, _now: float) -> None:
        account = self._joined(session)
        self._answer_later(session, lambda: self.people(self.present.get(account.id)))

    def _notify(self, session: Session, frame: wire.Notify, _now: float) -> None:
        account = self._joined(session, frame.id)
        self.submit(Change(rows=(Patch(account=account.id, field="notify", value=frame.when),)), session)
        self._answer(session, wire.Ack(id=frame.id))

    def _away(self, session: Session, frame: wire.Away, _now: float) -> None:
        account = self._joined(session, frame.id)
        reason = None if frame.reason is UNSET else frame.reason
        self.submit(Change(rows=(Patch(account=account.id, field="away", value=reason),)), session)
        self._answer(session, wire.Ack(id=frame.id))

    def _ping(self, session: Session, frame: wire.Ping, now: float) -> None:
        account = self._joined(session)
        if not session.pings:
            session.pings = True
            self._at(now + self.limits.silence, partial(self._check_alive, session))
        if frame.seq is not UNSET and account.seen < frame.seq <= session.cursor:
            self.submit(Change(rows=(Patch(account=account.id, field="seen", value=frame.seq),)), session)
        self._answer(session, wire.Pong())

    def _leave(self, session: Session, _frame: wire.Leave, now: float) -> None:
        account = session.account
        presence = self.present.get(account.id) if account is not None else None
        if presence is None or presence.session is not session or presence.leaving:
            self.dismiss(session, "you left", retry=False)
        else:
            session.blocked = True
            self.announce_left(presence, "left", now, session)


_HANDLERS: dict[type[wire.Frame], Callable[[Hub, Session, Any, float], None]] = {
    wire.Join: Hub._join,
    wire.Verify: Hub._verify,
    wire.Say: Hub._say,
    wire.Dm: Hub._dm,
    wire.Who: Hub._who,
    wire.Notify: Hub._notify,
    wire.Away: Hub._away,
    wire.Ping: Hub._ping,
    wire.Leave: Hub._leave,
}


def stamp(now: float) -> datetime:
    """The time as people see it: UTC, to the millisecond."""
    return datetime.fromtimestamp(round(now, 3), UTC)


def clip(text: str) -> str:
    """A stranger's word in a sentence of ours: quoted, escaped, not too long."""
    return repr(text) if len(text) <= 40 else f"{text[:40]!r}…"


def _said(reader: int | None, text: str) -> int:
    return hash((reader, text))


def _parcels(lines: Iterable[bytes]) -> tuple[bytes, ...]:
    """Lines joined into pieces of at most READ_MAX bytes."""
    parcels: list[bytes] = []
    parcel: list[bytes] = []
    size = 0
    for line in lines:
        if size + len(line) > READ_MAX and parcel:
            parcels.append(b"".join(parcel))
            parcel, size = [], 0
        parcel.append(line)
        size += len(line)
    if parcel:
        parcels.append(b"".join(parcel))
    return tuple(parcels)
