"""One connection as the hub sees it: whose it is, how far it has read, and what it is still owed.

What a session is owed leaves in this order: its ``prologue`` (welcome and history), the journal after its
``cursor``, and its answers. An answer waits for two things: that the store has answered everything the session sent
before it (``ticket``), and that the session has read the journal as far as it went then.

Nearly all sessions are owed nothing nearly all the time. What waits is in tuples, since an empty one takes no memory:
an empty deque takes 760 bytes, and three of those were a fifth of what somebody cost who says nothing.
"""

from collections.abc import Callable
from itertools import takewhile

from chatmail.core.codes import Challenge
from chatmail.core.journal import READ_MAX
from chatmail.core.records import Account
from chatmail.core.wire import Bye, Code, Error, Frame, Refused, encode

OWED_MAX = 1_000
"""A session that is owed so many answers is not read until it has taken some."""
IN_FLIGHT_MAX = 2_000
"""A session that has so many changes with the store is not read until some are answered, so that a store that hangs
does not fill the memory. Enough for one sender to fill a batch."""


class Session:
    """A reader of the journal, and a writer of frames."""

    __slots__ = (
        "account",
        "active",
        "answers",
        "bad_frames",
        "blocked",
        "challenge",
        "closing",
        "cursor",
        "deadline",
        "deaf",
        "floor",
        "gone",
        "heard",
        "held",
        "host",
        "in_flight",
        "inside",
        "join_errors",
        "looking_up",
        "on_refusal",
        "pings",
        "prologue",
        "proven",
        "reason",
        "seen",
        "ticket",
    )

    def __init__(self, host: str, now: float, deadline: float) -> None:
        self.host = host
        self.account: Account | None = None
        self.cursor = 0
        self.seen = 0
        """The last number it said it has shown."""
        self.floor = 0
        """It sees no direct messages with numbers up to this."""
        self.proven = False
        """Its person has proved the account: what they choose, and have seen, is the account's."""
        self.prologue: tuple[bytes, ...] = ()
        """What goes out before all else, line by line: those of the journal are the journal's own bytes."""
        self.ticket = 0
        """The last change that was submitted on its behalf."""
        self.inside = False
        """It counts as one that has joined, from when its join is with the store."""
        self.in_flight = 0
        """How many of these the store has not answered yet."""
        self.blocked = False
        """A join, a leave or a look-up is with the store: what the session sends now must wait for the answer."""
        self.challenge: Challenge | None = None
        self.looking_up = False
        """The store looks for what left the journal: nothing after it goes out yet."""
        self.closing = False
        """It gets what it is owed now, then the connection closes."""
        self.gone = False
        self.heard = now
        """When something last came in, or when the server last stopped being deaf."""
        self.deaf = False
        """The server does not read it at the moment: its silence means nothing."""
        self.active = now
        """When something other than a ping last came in."""
        self.pings = False
        self.deadline = deadline
        self.bad_frames = 0
        self.join_errors = 0
        self.reason = ""
        """Why it was sent away, "" while it is not."""
        self.on_refusal: Callable[[Session, Refused], None] = _ignore
        """Hears of each of its frames that is refused."""
        self.held: tuple[tuple[int, Callable[[], Frame]], ...] = ()
        """Answers that wait for the store, each for a ticket."""
        self.answers: tuple[tuple[int, Callable[[], Frame]], ...] = ()
        """What it is owed, each once it has read up to a number; made when it goes out."""

    @property
    def is_outside(self) -> bool:
        """Whether it has not joined, and still may."""
        return self.account is None and not (self.gone or self.closing)

    def has_read_all(self, last: int) -> bool:
        """Whether it has read the journal up to this number, and is owed nothing besides."""
        owed = self.prologue or self.answers or self.looking_up or self.closing
        return self.account is not None and self.cursor == last and not owed

    def answer(self, make: Callable[[], Frame], after: int) -> None:
        """Owe it a frame, once it has read up to the number ``after``."""
        self.answers += ((after, make),)

    def hold(self, make: Callable[[], Frame]) -> None:
        """Owe it an answer for when the store has answered what was submitted so far."""
        self.held += ((self.ticket, make),)

    def settle(self, ticket: int, after: int) -> bool:
        """The store has answered everything up to this ticket; whether something waited for that and is due now."""
        due = tuple((after, make) for _, make in takewhile(lambda held: held[0] <= ticket, self.held))
        self.held = self.held[len(due) :]
        self.answers += due
        return bool(due)

    @property
    def overfull(self) -> bool:
        """Whether so much is owed, or with the store, that it should not ask for more."""
        return self.in_flight >= IN_FLIGHT_MAX or len(self.answers) + len(self.held) >= OWED_MAX

    def take_prologue(self) -> bytes:
        """Take what comes first of the prologue: READ_MAX bytes of it at most, or one line."""
        lines = [self.prologue[0]]
        room = READ_MAX - len(lines[0])
        for line in self.prologue[1:]:
            room -= len(line)
            if room < 0:
                break
            lines.append(line)
        self.prologue = self.prologue[len(lines) :]
        return b"".join(lines)

    def is_due(self) -> bool:
        """Whether there is an answer that may go out at the cursor."""
        return bool(self.answers) and self.answers[0][0] <= self.cursor

    def take_answers(self) -> bytes:
        """Take the answers that are due at the cursor, about READ_MAX bytes of them."""
        data = b""
        taken = 0
        for after, make in self.answers:
            if after > self.cursor or len(data) >= READ_MAX:
                break
            data += encode(make())
            taken += 1
        self.answers = self.answers[taken:]
        return data

    def refuse(self, refused: Refused) -> Error:
        """One of its frames is refused: count it, and tell who listens; the answer to it."""
        self.on_refusal(self, refused)
        if refused.code in {Code.BAD_FRAME, Code.UNSUPPORTED}:
            self.bad_frames += 1
        return refused.frame()

    def farewell(self, frame: Bye, after: int) -> None:
        """Owe it a last frame, and nothing after that."""
        self.reason = frame.reason
        self.held = ()
        self.answer(lambda: frame, after)
        self.closing = True


def _ignore(session: Session, refused: Refused) -> None:
    pass
