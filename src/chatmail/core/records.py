"""What the store keeps: entries, accounts, bans, mails, letters; and the Change that alters them.

These are plain values. The hub makes them, a store writes them down and hands them back at the next start; neither
knows how the other works. Times in entries are UTC datetimes, because people see them; all other times are seconds
since the Unix epoch.
"""

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Literal, assert_never

from msgspec import UNSET, Struct, UnsetType

from chatmail.core import wire


class Entry(Struct, frozen=True, kw_only=True, gc=False):
    """One entry of the journal before it has a number: the fields, not the bytes.

    ``author`` and ``reader`` are account ids: a direct message belongs to accounts, whatever they are called by
    now; the names are what people saw then. ``reader`` is set for a direct message only.
    """

    kind: Literal["message", "direct", "notice", "joined", "left"]
    time: datetime
    author: int | None = None
    sender: str = ""
    reader: int | None = None
    to: str = ""
    text: str = ""
    id: str | UnsetType = UNSET

    @property
    def audience(self) -> tuple[int, ...] | None:
        """The accounts that may see it, None for everybody."""
        if self.author is None or self.reader is None:
            return None
        return (self.author, self.reader)

    def frame(self, seq: int) -> wire.EntryFrame:
        """The frame that tells it, under its number."""
        match self.kind:
            case "message":
                return wire.Message(seq=seq, time=self.time, sender=self.sender, text=self.text, id=self.id)
            case "direct":
                return wire.Direct(seq=seq, time=self.time, sender=self.sender, to=self.to, text=self.text, id=self.id)
            case "notice":
                return wire.Notice(seq=seq, time=self.time, text=self.text)
            case "joined":
                return wire.Joined(seq=seq, time=self.time, name=self.sender)
            case "left":
                return wire.Left(seq=seq, time=self.time, name=self.sender, reason=self.text)
            case _:
                assert_never(self.kind)


class Account(Struct, kw_only=True):
    """A name and the address it belongs to, and what its person chose.

    ``first`` is the number of the last entry when it was made: nothing up to it is ever resumed. ``seen`` is the
    last number that was shown to its person. ``away`` is the reason given, None for somebody who is not away.
    ``revoked`` counts how often its tokens were made void.
    """

    id: int
    name: str
    email: str
    first: int
    seen: int
    notify: wire.When = "always"
    away: str | None = None
    revoked: int = 0


class Patch(Struct, frozen=True, kw_only=True):
    """One field of an account that changes, the others untouched. What was ``seen`` stays so: it never goes down."""

    account: int
    field: Literal["seen", "notify", "away", "revoked"]
    value: int | str | None


class Ban(Struct, frozen=True, kw_only=True):
    """Who may not join: a folded name, an address, a host or a network, until a time or (None) for good."""

    what: str
    until: float | None
    reason: str


class Motd(Struct, frozen=True, kw_only=True):
    """The operator's message of the day; an empty text is none."""

    text: str


class Act(Struct, frozen=True, kw_only=True):
    """Something the operator did; all of it together is the audit."""

    time: float
    text: str


class Mail(Struct, frozen=True, kw_only=True, gc=False):
    """One direct message that waits to be emailed; ``seq`` is the number of its entry and its key."""

    seq: int
    reader: int
    author: int
    sender: str
    to: str
    text: str
    time: datetime
    id: str | UnsetType = UNSET


class Draft(Struct, frozen=True, kw_only=True):
    """The mails that one email will carry: at least one, in order, all to one reader."""

    reader: int
    name: str
    address: str
    mails: tuple[Mail, ...]
    made: float


class Letter(Struct, frozen=True, kw_only=True):
    """One email, frozen: its exact bytes go out, however often that takes. ``message_id`` is its key.

    ``reader`` is None for a letter that holds no direct messages (a verification code); such a one is never stored.
    It is tried again until ``expires``; ``tries`` counts the attempts that ended in something temporary and ``due``
    is the time of the next. Once it is sent it stays for a while, without its content, because the time it was made
    counts for the window; one that failed for good stays for the operator to see.
    """

    message_id: str
    address: str
    content: bytes
    made: float
    expires: float
    reader: int | None = None
    mails: tuple[Mail, ...] = ()
    state: Literal["waiting", "sent", "failed"] = "waiting"
    tries: int = 0
    due: float = 0.0
    reply: str = ""


class Failure(Struct, frozen=True, kw_only=True):
    """A mail that failed for good, until its author is told; ``receipt.seq`` is its key."""

    author: int
    receipt: wire.Receipt


class Fate(StrEnum):
    """How an attempt to send a letter ended."""

    SENT = "sent"
    SAVED = "saved"
    """Written into the outbox, because there is no mail account."""
    LATER = "later"
    """Something temporary: a 4xx reply, a time-out, a lost connection."""
    FAILED = "failed"
    """Refused for good: a 5xx reply."""


class Outcome(Struct, frozen=True, kw_only=True):
    """``detail`` is our sentence for the sender of the message, ``reply`` the server's own words for the operator."""

    fate: Fate
    detail: str = ""
    reply: str = ""


class Arrival(Struct, frozen=True, kw_only=True):
    """Somebody is connected at a server (``node``) from this host, and has been there since they ``came``.

    They are here ``since`` a time, wherever they were before: it stays the same while they come back, or move.
    """

    account: int
    node: str
    host: str
    since: datetime
    came: float = 0.0


class Departure(Struct, frozen=True, kw_only=True):
    """Somebody is gone, for a reason that they and the others are told."""

    account: int
    reason: str


class Told(Struct, frozen=True, kw_only=True):
    """What became of a mail, for its author, who is at another server."""

    author: int
    receipt: wire.Receipt


class Leader(Struct, frozen=True, kw_only=True):
    """The server that from now on does what one does for all: send mail, and announce whom a dead server leaves."""

    node: str


class Gone(Struct, frozen=True, kw_only=True):
    """A record that is to be deleted: its table and its key. A ``node`` is a server that ended, or is given up."""

    table: Literal["account", "ban", "mail", "letter", "failure", "node"]
    key: int | str


Row = Account | Patch | Ban | Motd | Act | Mail | Letter | Failure | Arrival | Departure | Told | Leader | Gone


class Change(Struct, kw_only=True):
    """What is written all or nothing: at most one journal entry, and rows (inserted, or replaced by their key).

    A mail among the rows belongs to the entry of the same change: its ``seq`` is the number the entry gets, whatever
    it says before. ``then`` is called with that number (None without an entry) once the change is in the store.

    When it surely is not, ``undo`` is called and whoever asked is told; or else, where that takes more than an
    ``error``, ``failed`` with a sentence. What ``must`` be stored tells what has happened already, in the world
    outside: refused, it is submitted again, until the store takes it.

    ``claims`` names what it decides on, as in ``here:7``. Where several servers share a store, a change is not stored
    if another server's, of which this one did not know yet, claims the same; ``overtaken`` is called then, if it is
    given, once that one is known.
    """

    entry: Entry | None = None
    rows: tuple[Row, ...] = ()
    then: Callable[[int | None], None] | None = None
    undo: Callable[[], None] | None = None
    failed: Callable[[str], None] | None = None
    must: bool = False
    claims: tuple[str, ...] = ()
    overtaken: Callable[[], None] | None = None

    def acted(self) -> list[int]:
        """The accounts whose people did this; to have seen something is no deed: clients tell that by themselves."""
        acted = [row.account for row in self.rows if isinstance(row, Patch) and row.field in {"away", "notify"}]
        return acted if self.entry is None or self.entry.author is None else [*acted, self.entry.author]


class Earlier(Struct, frozen=True):
    """What a store says of a change whose author used its id before: nothing of it is stored, this was, then."""

    seq: int
    entry: Entry


class Overtaken(Struct, frozen=True):
    """What a store says of a change that claims what another server's has just claimed: nothing of it is stored."""


Stored = int | Earlier | Overtaken | None
"""What became of a change: the number of its entry, None where it has none."""


class Snapshot(Struct, frozen=True, kw_only=True):
    """All that a store holds when the server starts, but for entries that are too old for the journal.

    ``entries`` are the newest, with their numbers, in order and without a hole; the last one, if any, is ``last``.
    ``epoch`` names this run of numbers; ``secret`` signs tokens. Where several servers share the store, ``node`` is
    the name of this one, ``nodes`` are those of all, this one among them, and ``leader`` that of the one that leads, or
    did; ``arrivals`` tell who is here. An account's id must be unused at all of them: ``next_account`` is this one's.
    """

    epoch: str
    secret: bytes
    last: int = 0
    entries: tuple[tuple[int, Entry], ...] = ()
    accounts: tuple[Account, ...] = ()
    next_account: int = 1
    bans: tuple[Ban, ...] = ()
    motd: str = ""
    mails: tuple[Mail, ...] = ()
    letters: tuple[Letter, ...] = ()
    failures: tuple[Failure, ...] = ()
    node: str = ""
    nodes: tuple[str, ...] = ()
    leader: str = ""
    arrivals: tuple[Arrival, ...] = ()


class Span(Struct, frozen=True, kw_only=True):
    """Asks for an account's direct messages between two numbers (both excluded), and how much else is there."""

    account: int
    after: int
    before: int


class Query(Struct, frozen=True, kw_only=True):
    """Asks for the newest things said, at most ``count``, with numbers below ``before``.

    That is what was said to all, and the direct messages of ``account`` above the number ``floor`` (None: no direct
    messages). With ``words`` only what holds them all, or words that begin so.
    """

    account: int | None
    floor: int
    before: int
    count: int
    words: str | None = None


class Sent(Struct, frozen=True, kw_only=True):
    """Asks for what an account said under an id."""

    author: int
    id: str


class Audit(Struct, frozen=True, kw_only=True):
    """Asks for the last things the operator did, at most ``count``."""

    count: int


class Found(Struct, frozen=True, kw_only=True):
    """The answer, oldest first: entries, or (to Audit) acts.

    ``open``: how many entries of a Span are for all; ``more``: there are older ones.
    """

    entries: tuple[tuple[int, Entry], ...] = ()
    acts: tuple[Act, ...] = ()
    open: int = 0
    more: bool = False


Question = Span | Query | Sent | Audit


class Lookup(Struct, frozen=True, kw_only=True):
    """A question to a store; one of the two is called with the answer, or with a sentence on why there is none."""

    query: Question
    then: Callable[[Found], None]
    failed: Callable[[str], None]
