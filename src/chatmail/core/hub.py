"""The hub: who is here, who may do what, and where a message goes. Plain synchronous calls, one owner of all state.

    frames in ──receive──> checks, reservations ──submit──> (store) ──committed──> journal, people, answers
                                                                          │
    bytes out <──read── session's cursor <─────────── flush ──────────────┘

Nothing that anyone can see changes in ``receive``: it checks, reserves and submits a Change. The server has the batch
of the tick stored and reports ``committed`` or ``refused``, in order; only then is the entry numbered, encoded and in
the journal. What another server that shares the store had stored comes in between, by ``learn``, and does the same.
``flush`` then tells every session that has something to ``read``.

Time (``now``, seconds since the epoch) and randomness are passed in; ``due`` does what has become due and says when
it wants to be called next.
"""

from collections import deque
from collections.abc import Callable, Collection, Sequence
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any, TypeVarTuple

from chatmail.core import effects, entrance, talk, unstored, wire
from chatmail.core.accounts import Accounts
from chatmail.core.bans import Bans
from chatmail.core.catchup import catch_up
from chatmail.core.cluster import Cluster
from chatmail.core.door import Door
from chatmail.core.fanout import FanOut, Outlet, one_by_one
from chatmail.core.hosts import host_of
from chatmail.core.journal import Journal, Lagged
from chatmail.core.limits import Limits
from chatmail.core.mailroom import Mailroom
from chatmail.core.people import Roster
from chatmail.core.records import (
    Change,
    Earlier,
    Entry,
    Letter,
    Lookup,
    Mail,
    Snapshot,
    Stored,
)
from chatmail.core.session import Session
from chatmail.core.wire import Code, Refused

Whom = TypeVarTuple("Whom")


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
        write_all: has many outlets take the same, as ``one_by_one`` does.
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
        write_all: Callable[[Collection[Any], bytes], set[Any]] = one_by_one,
    ) -> None:
        self.limits = limits
        self.epoch = snapshot.epoch
        self.motd = snapshot.motd
        self.tell = tell
        self.accounts = Accounts(snapshot.accounts, snapshot.next_account, snapshot.secret)
        self.bans = Bans(snapshot.bans)
        self.door = Door(self.accounts, self.bans, limits, random)
        self.cluster = Cluster(self, snapshot)
        self.roster = Roster(self, snapshot)
        self.code_letter = code_letter
        self.journal = Journal(
            snapshot.last - len(snapshot.entries), entries_max=limits.entries_max, bytes_max=limits.bytes_max
        )
        self.lookups: list[Lookup] = []
        self._wake = wake
        self.fan_out = FanOut(self.journal, write_all)
        self.sessions: Collection[Session] = self.fan_out
        self._queue: list[tuple[Change, Session | None]] = []
        self._musts: list[Change] = []
        self._claimed: set[str] = set()
        """What other servers have claimed since the last batch was taken."""
        self._claiming: set[str] = set()
        """What is claimed by what waits to be taken; of some of it, that may be over."""
        self._submitted = 0
        self._settled = 0
        self._newcomers: deque[tuple[float, Session]] = deque()
        """When they must have joined, in the order in which they came, which is that of these times."""
        self._agenda: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = count()
        for seq, entry in snapshot.entries:
            self._publish(entry, seq)
        self.mailroom = Mailroom(self, snapshot, fits, post)

    # Connections.

    def connect(self, host: str, now: float, outlet: Outlet) -> Session:
        """A connection from this host; ``outlet`` takes what it is owed.

        Raises Refused where there is no room: answer with its frame and close.
        """
        host = host_of(host)
        self.door.knock(host, now)
        session = Session(host, now, now + self.limits.join_time)
        self.fan_out.add(session, outlet)
        if self._newcomers and session.deadline < self._newcomers[-1][0]:  # the clock was put back
            self.at(session.deadline, Hub._check_joined, self, session)
        else:
            self._newcomers.append((session.deadline, session))
        self._wake()
        return session

    def disconnected(self, session: Session, now: float, reason: str = "connection lost") -> None:
        """A connection has ended; others hear of it only after the grace, in which it may come back."""
        self.fan_out.remove(session)
        session.gone = True
        account = session.account
        self.door.depart(session)
        if account is not None:
            self.roster.lose(account, session, reason, now)

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
        self.answer(session, session.refuse(refused))
        if session.account is None:
            session.join_errors += 1
            session.deadline = max(session.deadline, now + self.limits.join_time)
        if refused.final:
            self.dismiss(session, refused.text, retry=refused.code is Code.SERVER_FULL)
        self.judge(session)

    def judge(self, session: Session) -> None:
        """Send away who has made too many mistakes."""
        if session.bad_frames > self.limits.bad_frames:
            self.dismiss(session, f"more than {self.limits.bad_frames} bad frames", retry=False)
        elif session.join_errors >= self.limits.join_errors:
            self.dismiss(session, f"{self.limits.join_errors} errors without joining", retry=False)

    def hang_up(self, session: Session) -> None:
        """A session sends no more: it is closed, once it has the answers to everything it sent."""

        def close(_: object) -> None:
            self.dismiss(session, "you hung up", retry=True)

        self.submit(Change(then=close, failed=close), session)

    def dismiss(self, session: Session, reason: str, *, retry: bool) -> None:
        """Say goodbye to a session and close it once it has what it is owed now."""
        if not session.closing:
            session.farewell(wire.Bye(reason=reason, retry=retry), self.journal.last if session.account else 0)
            self.touch(session)

    def read(self, session: Session) -> tuple[bytes, bool]:
        """What goes out to this session next, at most one read of the journal; and whether there may be more."""
        self.fan_out.step_out(session)
        account = session.account
        if account is None or session.prologue or session.looking_up or session.closing:
            return self._read_apart(session)
        data = b""
        journal = self.journal
        try:
            while session.cursor < journal.last and not data:
                data, session.cursor = journal.read(session.cursor, account.id)
        except Lagged:
            catch_up(self, session, account, after=session.cursor, gap=True)
            return b"", False
        if session.answers:
            data += session.take_answers()
            return data, session.is_due() or session.cursor < journal.last
        return data, session.cursor < journal.last

    def _read_apart(self, session: Session) -> tuple[bytes, bool]:
        """The same for a session that does not simply follow the journal."""
        account = session.account
        if session.prologue:
            return session.take_prologue(), True
        if account is None or not session.answers:
            return session.take_answers(), session.is_due()
        if not session.closing:
            return b"", False  # until what it missed is found
        # Up to its last words it still reads, unless it would miss something on the way.
        data = b""
        try:
            if not session.looking_up and session.cursor < self.journal.last:
                data, session.cursor = self.journal.read(session.cursor, account.id)
                return data + session.take_answers(), True
        except Lagged:
            pass
        session.cursor = self.journal.last
        return session.take_answers(), session.is_due()

    def flush(self) -> None:
        """Have every session take what there may be for it."""
        self.fan_out.flush()

    # The store.

    def submit(self, change: Change, session: Session | None = None) -> None:
        """Have a change stored; what it does is done in ``committed``."""
        self._claiming.update(change.claims)
        if change.must:
            self._musts.append(change)
            self._wake()
            return
        if not self._queue:
            self._wake()
        self._queue.append((change, session))
        self._submitted += 1
        if session is not None:
            session.ticket = self._submitted
            session.in_flight += 1

    def is_asked(self) -> bool:
        """Whether there is something to take."""
        return bool(self._queue or self._musts)

    def waiting(self) -> list[Change]:
        """The changes submitted since the last call of ``take``."""
        return [*self._musts, *(change for change, _ in self._queue)]

    def take(self) -> list[tuple[Change, Session | None]]:
        """The changes submitted since the last call: the batch of this tick."""
        batch = [(must, None) for must in self._musts] + self._queue
        self._musts, self._queue = [], []
        self._claimed.clear()
        self._claiming.clear()
        return batch

    def committed(self, batch: Sequence[tuple[Change, Session | None]], results: Sequence[Stored], now: float) -> None:
        """The store has this batch, each change with its result."""
        for (change, session), stored in zip(batch, results, strict=True):
            if stored is None or isinstance(stored, int):
                self._apply(change, stored, now)
            elif isinstance(stored, Earlier):
                unstored.said_before(self, change, session, stored)
            else:
                unstored.overtaken(self, change, session)
            self._settle(change, session)
        self.roster.make_known()
        self._wake()

    def learn(self, change: Change, number: int | None, now: float) -> None:
        """Another server that shares the store has this change there, under this number."""
        self._claimed.update(change.claims)
        if not self._claiming.isdisjoint(change.claims):
            self._queue = unstored.judged_again(self, self._queue, change.claims)
            self._musts = self._judged_again(self._musts, change.claims)
        self._apply(change, number, now)
        effects.tell(self, change)
        for account in change.acted():
            self.roster.hear(account, now)
        self.mailroom.learn(change, number, now)
        self.roster.make_known()
        self._wake()

    def _apply(self, change: Change, number: int | None, now: float) -> None:
        """A change is in the store: do what it does."""
        if change.entry is not None and number is not None:
            self._publish(change.entry, number)
        if change.rows:
            effects.take_effect(self, change, number, now)
        if change.then is not None:
            change.then(number)

    def refused(self, batch: Sequence[tuple[Change, Session | None]], why: str) -> None:
        """The store surely has nothing of this batch: whoever asked is told."""
        musts = self._judged_again([change for change, _ in batch if change.must], self._claimed)
        self._musts[:0] = musts
        self._claiming.update(claim for change in musts for claim in change.claims)
        for change, session in batch:
            unstored.refused(self, change, session, why)
            self._settle(change, session)
        self._wake()

    def refuse_waiting(self, why: str) -> None:
        """Nobody knows when the store takes more: whoever asked for what waits is told. What must be stored stays.

        It still counts as submitted until its turn comes, so that answers to what was asked later wait for that.
        """
        waiting = self._queue
        self._queue = [(Change(failed=unstored.told_already), session) for _, session in waiting]
        for change, session in waiting:
            unstored.refused(self, change, session, why)
        self._wake()

    def _judged_again(self, musts: Sequence[Change], claims: Collection[str]) -> list[Change]:
        judged = unstored.judged_again(self, [(change, None) for change in musts], claims)
        return [change for change, _ in judged]

    def _settle(self, change: Change, session: Session | None) -> None:
        if change.must:
            return
        self._settled += 1
        if session is None:
            return
        session.in_flight -= 1
        if session.held and session.settle(self._settled, self.journal.last if session.account else 0):
            self.touch(session)

    def _publish(self, entry: Entry, number: int) -> None:
        audience = entry.audience
        said = entry.kind == "message" or entry.kind == "notice"
        self.journal.append(wire.encode(entry.frame(number)), audience, said=said)
        for account in audience or ():
            session = self.roster.reach(account)
            if session is not None:
                self.fan_out.touch(session)

    def expire(self, upto: int) -> None:
        """The store has let go of the entries up to this number; so does the journal."""
        self.journal.trim(upto)

    def look_up(self, lookup: Lookup) -> None:
        """Ask the store something."""
        self.lookups.append(lookup)
        self._wake()

    # Answers.

    def answer(self, session: Session, frame: wire.Frame) -> None:
        """Owe a session this answer, after those to everything it asked before."""
        self.answer_later(session, lambda: frame)

    def answer_later(self, session: Session, make: Callable[[], wire.Frame]) -> None:
        """The same for an answer that is made when it goes out."""
        if session.ticket > self._settled:
            session.hold(make)
        else:
            self._reply_later(session, make)

    def reply(self, session: Session, frame: wire.Frame) -> None:
        """Owe a session this answer to the change that is being settled, after what the journal holds now."""
        self._reply_later(session, lambda: frame)

    def _reply_later(self, session: Session, make: Callable[[], wire.Frame]) -> None:
        if not session.closing:
            session.answer(make, self.journal.last if session.account else 0)
            self.touch(session)

    def owe(self, account: int, make: Callable[[], wire.Frame]) -> bool:
        """Send a frame to an account's session, after what the journal holds now; False without one."""
        session = self.roster.reach(account)
        if session is None or session.closing:
            return False
        self._reply_later(session, make)
        return True

    def touch(self, session: Session) -> None:
        """Flush a session: it may have something to read."""
        if not session.gone:
            self.fan_out.touch(session)
            self._wake()

    # Time.

    def due(self, now: float) -> float | None:
        """Do what has become due; the time at which to call again, None when there is nothing to wait for."""
        newcomers, agenda = self._newcomers, self._agenda
        while newcomers and (newcomers[0][0] <= now or not newcomers[0][1].is_outside):
            self._check_joined(newcomers.popleft()[1], now)
        while agenda and agenda[0][0] <= now:
            _, _, do, whom = heappop(agenda)
            do(*whom, now)
        return min((each[0][0] for each in (newcomers, agenda) if each), default=None)

    def at(self, when: float, do: Callable[[*Whom, float], None], *whom: *Whom) -> None:
        """Have something done at a time; it is called with these, and the time when it is."""
        heappush(self._agenda, (when, next(self._order), do, whom))
        self._wake()

    def _check_joined(self, session: Session, now: float) -> None:
        if not session.is_outside:
            return
        if now < session.deadline or session.blocked:
            self.at(max(session.deadline, now + 1), Hub._check_joined, self, session)
        else:
            late = (
                "the code was not given in time" if session.challenge else f"no join within {self.limits.join_time:g} s"
            )
            self.dismiss(session, late, retry=True)

    def watch(self, session: Session, now: float) -> None:
        """Expect signs of life of this session from now on."""
        if not session.pings:
            session.pings = True
            self.at(now + self.limits.silence, Hub._check_alive, self, session)

    def _check_alive(self, session: Session, now: float) -> None:
        if session.gone or session.closing:
            return
        if session.deaf:
            session.heard = now
        if now < session.heard + self.limits.silence:
            self.at(session.heard + self.limits.silence, Hub._check_alive, self, session)
        else:
            self.dismiss(session, f"no sign of life for {self.limits.silence:g} s", retry=True)


# Which function takes which frame.
_HANDLERS: dict[type[wire.Frame], Callable[[Hub, Session, Any, float], None]] = {
    wire.Join: entrance.join,
    wire.Verify: entrance.verify,
    wire.Leave: entrance.leave,
    wire.Say: talk.say,
    wire.Dm: talk.dm,
    wire.Who: talk.who,
    wire.Whois: talk.whois,
    wire.Notify: talk.notify,
    wire.Away: talk.away,
    wire.Ping: talk.ping,
    wire.History: talk.history,
    wire.Search: talk.search,
}
