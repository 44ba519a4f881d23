r"""The wire: every frame that crosses a connection, and how it is written.

JSON Lines (https://jsonlines.org): one JSON object a line, UTF-8, ``\n`` at the end (a ``\r`` before it is
accepted). The field ``type`` names the frame. Unknown fields are ignored, an unknown type is an error. A field
that is absent is UNSET: it is never written as ``null``. Times are RFC 3339 in UTC. How bytes become frames again is
``decoder``'s business.
"""

from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

VERSION = 1

LINE_BEFORE_JOIN = 4 * 1024
"""Longest line a server reads from a connection that has not joined, in bytes without the newline."""
LINE_MAX = 64 * 1024
"""Longest line anyone sends or reads after that, in bytes without the newline."""
TEXT_MAX = 4_000
"""Longest text of a message, in characters."""
ID_MAX = 64
"""Longest id a client may choose, in characters."""
REASON_MAX = 200
"""Longest reason for being away, in characters."""
WORDS_MAX = 200
"""Longest search, in characters."""
WORDS_COUNT = 8
"""So many words may be searched for at once: each takes its time, and all look-ups wait for one another."""
COUNT = 20
"""So many entries are on a page, unless somebody asks for another number of them."""
COUNT_MAX = 100
SEQ_MAX = 2**63 - 1


class Code(StrEnum):
    """Why something was refused: the ``code`` of an ``error`` frame."""

    BAD_FRAME = "bad-frame"
    TOO_LONG = "too-long"
    BAD_NAME = "bad-name"
    BAD_EMAIL = "bad-email"
    NAME_TAKEN = "name-taken"
    NOT_ALLOWED = "not-allowed"
    WRONG_CODE = "wrong-code"
    NOT_JOINED = "not-joined"
    ALREADY_JOINED = "already-joined"
    NO_SUCH_PERSON = "no-such-person"
    TOO_FAST = "too-fast"
    BANNED = "banned"
    SERVER_FULL = "server-full"
    UNSUPPORTED = "unsupported"
    UNAVAILABLE = "unavailable"


Seq = Annotated[int, Meta(ge=0, le=SEQ_MAX)]
Count = Annotated[int, Meta(ge=1, le=COUNT_MAX)]
Total = Annotated[int, Meta(ge=0, le=SEQ_MAX)]
"""How many there are of something. Python reads longer numbers than it will write, so no number is without a limit."""
Time = Annotated[datetime, Meta(tz=True)]
When = Literal["always", "away", "never"]
"""When a direct message is also sent by email."""
MailState = Literal["queued", "sent", "saved", "held", "failed", "off"]


class Frame(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag=str.lower):
    """One line of the wire; the class name in lower case is its ``type``.

    None can be part of a cycle, so the collector need not know them.
    """


# From the client.


class Resume(Struct, frozen=True, kw_only=True):
    """Where a client was when it was cut off: numbers mean something only within their epoch."""

    epoch: str
    seq: Seq


class Join(Frame, frozen=True, kw_only=True):
    """Ask to come in under a name; ``token`` proves the account, ``resume`` asks for what was missed."""

    name: str
    email: str
    version: int = VERSION
    token: str | UnsetType = UNSET
    resume: Resume | UnsetType = UNSET


class Verify(Frame, frozen=True, kw_only=True):
    """The code that was sent to the address, as the answer to a ``challenge``."""

    code: str


class Say(Frame, frozen=True, kw_only=True):
    """A message to everybody."""

    text: str
    id: str | UnsetType = UNSET


class Dm(Frame, frozen=True, kw_only=True):
    """A message to one person, who also gets it by email."""

    to: str
    text: str
    id: str | UnsetType = UNSET


class Who(Frame, frozen=True, kw_only=True):
    """Ask who is here; answered with ``people``, in which each person has ``idle`` and ``mailed``."""


class Whois(Frame, frozen=True, kw_only=True):
    """Ask about one person, here or not; answered with ``profile``."""

    name: str
    id: str | UnsetType = UNSET


class Notify(Frame, frozen=True, kw_only=True):
    """Choose when direct messages are also sent to me by email."""

    when: When
    id: str | UnsetType = UNSET


class Away(Frame, frozen=True, kw_only=True):
    """Say that I am away; without a reason: back again."""

    reason: str | UnsetType = UNSET
    id: str | UnsetType = UNSET


class Ping(Frame, frozen=True, kw_only=True):
    """A sign of life; ``seq`` is the last number that was shown to a person."""

    seq: Seq | UnsetType = UNSET


class Leave(Frame, frozen=True, kw_only=True):
    """Goodbye: the connection closes and the others are told at once."""


class History(Frame, frozen=True, kw_only=True):
    """Ask for what was said before the number ``before``, or (absent) for the newest; answered with a ``page``."""

    count: Count | UnsetType = UNSET
    before: Seq | UnsetType = UNSET
    id: str | UnsetType = UNSET


class Search(Frame, frozen=True, kw_only=True):
    """The same, but only what holds all of these words, or words that begin so."""

    words: str
    count: Count | UnsetType = UNSET
    before: Seq | UnsetType = UNSET
    id: str | UnsetType = UNSET


# From the server, out of the journal.


class Message(Frame, frozen=True, kw_only=True):
    """What somebody said to everybody."""

    seq: Seq
    time: Time
    sender: str = field(name="from")
    text: str
    id: str | UnsetType = UNSET


class Direct(Frame, frozen=True, kw_only=True):
    """What somebody said to one person; only those two ever get it."""

    seq: Seq
    time: Time
    sender: str = field(name="from")
    to: str
    text: str
    id: str | UnsetType = UNSET


class Notice(Frame, frozen=True, kw_only=True):
    """What the operator said to everybody."""

    seq: Seq
    time: Time
    text: str


class Joined(Frame, frozen=True, kw_only=True):
    """Somebody came in."""

    seq: Seq
    time: Time
    name: str


class Left(Frame, frozen=True, kw_only=True):
    """Somebody is gone."""

    seq: Seq
    time: Time
    name: str
    reason: str


EntryFrame = Message | Direct | Notice | Joined | Left


# From the server, to one session.


class Person(Struct, frozen=True, kw_only=True):
    """One line of the list of people.

    ``away`` holds the reason of somebody who said so; ``idle``: for so many seconds they have not said or done
    anything (absent for somebody who is cut off); ``mailed``: when direct messages also reach them by email. The last
    two are told to who asks only.
    """

    name: str
    since: Time
    away: str | UnsetType = UNSET
    idle: Total | UnsetType = UNSET
    mailed: When | UnsetType = UNSET


class Welcome(Frame, frozen=True, kw_only=True):
    """You are in. Entries numbered up to ``seq`` that follow are history; ``people`` is the state at ``seq``.

    ``seen`` is the last number that this account reported as shown, for who has proved the account: what has a higher
    one, they have not seen.
    """

    name: str
    epoch: str
    seq: Seq
    resumed: bool
    token: str
    people: list[Person]
    total: Total
    notify: When
    motd: str | UnsetType = UNSET
    seen: Seq | UnsetType = UNSET


class Challenge(Frame, frozen=True, kw_only=True):
    """A code went to this address (masked); it is good until ``expires``."""

    email: str
    expires: Time


class Ack(Frame, frozen=True, kw_only=True):
    """Done: for ``notify`` and ``away``, and for an ``id`` that was accepted before (with its number)."""

    id: str | UnsetType = UNSET
    seq: Seq | UnsetType = UNSET


class Receipt(Frame, frozen=True, kw_only=True):
    """What became of my direct message: is its reader connected, and how is its email doing."""

    id: str | UnsetType = UNSET
    seq: Seq
    to: str
    online: bool
    mail: MailState
    detail: str | UnsetType = UNSET


class People(Frame, frozen=True, kw_only=True):
    """Who is here: at most 200 of them, and how many there are in all."""

    people: list[Person]
    total: Total


class Profile(Frame, frozen=True, kw_only=True):
    """What anybody may know of one person: as in ``people``, and when direct messages also reach them by email.

    ``since`` is absent for somebody who is not here.
    """

    name: str
    mailed: When
    since: Time | UnsetType = UNSET
    away: str | UnsetType = UNSET
    idle: Total | UnsetType = UNSET
    id: str | UnsetType = UNSET


class Gap(Frame, frozen=True, kw_only=True):
    """You were too far behind and have lost this many entries that were open to all."""

    missed: Total


class Page(Frame, frozen=True, kw_only=True):
    """What was asked for, oldest first; as much as fits into a line.

    ``more``: there is older still. Asking again with the number of the first of these as ``before`` finds it.
    """

    entries: list[EntryFrame]
    more: bool
    id: str | UnsetType = UNSET


class Pong(Frame, frozen=True, kw_only=True):
    """The answer to ``ping``, after everything that was asked before it."""


class Error(Frame, frozen=True, kw_only=True):
    """Refused: ``code`` for programs, ``text`` for people, ``id`` and ``field`` of what it is about."""

    code: str
    text: str
    id: str | UnsetType = UNSET
    field: str | UnsetType = UNSET


class Bye(Frame, frozen=True, kw_only=True):
    """The server closes this connection; ``retry`` says whether connecting again makes sense."""

    reason: str
    retry: bool


ClientFrame = Join | Verify | Say | Dm | Who | Whois | Notify | Away | Ping | Leave | History | Search
ServerFrame = EntryFrame | Welcome | Challenge | Ack | Receipt | People | Profile | Gap | Page | Pong | Error | Bye


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """What was asked is not done; ``frame()`` is the ``error`` frame that says so.

    ``final`` means that the connection closes after it.
    """

    def __init__(
        self,
        code: Code,
        text: str,
        *,
        field: str | UnsetType = UNSET,
        id: str | UnsetType = UNSET,
        final: bool = False,
    ) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.field = field
        self.id = id
        self.final = final

    def frame(self) -> Error:
        """The ``error`` frame that tells it."""
        return Error(code=self.code, text=self.text, id=self.id, field=self.field)


class WireError(Refused, ValueError):
    """A line that is no frame; a final one has lost the reader's place in the stream: read no further."""


_encode = msgspec.json.Encoder().encode


def encode(frame: Frame) -> bytes:
    """One frame as one line, newline included."""
    return _encode(frame) + b"\n"


@lru_cache(maxsize=1)  # what is said in one breath is asked for again and again
def stamp(now: float) -> datetime:
    """Seconds since the epoch as the wire tells a time: UTC, to the millisecond."""
    return datetime.fromtimestamp(round(now, 3), UTC)


def unfit_search(words: str, id: str | UnsetType = UNSET) -> WireError | None:
    """What is wrong with the words of a search, or None: as for any text, or too many of them."""
    count = len(words.split())
    if count > WORDS_COUNT:
        wrong = f"these are {count} words; at most {WORDS_COUNT} are searched for at once"
        return WireError(Code.TOO_LONG, wrong, field="words", id=id)
    error = unfit_text(words, WORDS_MAX, "search", id)
    if error is not None:
        error.field = "words"
    return error


def unfit_text(text: str, limit: int, field: str, id: str | UnsetType = UNSET) -> WireError | None:
    """What is wrong with a text that somebody wrote, or None: nothing in it, too long, a NUL, a lone surrogate."""
    if len(text) > limit:
        wrong = f"this {field} has {len(text):,} characters; at most {limit:,} are allowed"
        return WireError(Code.TOO_LONG, wrong, field=field, id=id)
    if not text or text.isspace():
        return WireError(Code.BAD_FRAME, f"this {field} is empty", field=field, id=id)
    if "\0" in text:
        return WireError(Code.BAD_FRAME, f"this {field} holds a NUL character", field=field, id=id)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return WireError(Code.BAD_FRAME, f"this {field} holds bytes that are no text", field=field, id=id)
    return None
