r"""The wire: every frame that crosses a connection, and how bytes become frames.

JSON Lines (https://jsonlines.org): one JSON object a line, UTF-8, ``\n`` at the end (a ``\r`` before it is
accepted). The field ``type`` names the frame. Unknown fields are ignored, an unknown type is an error. A field
that is absent is UNSET: it is never written as ``null``. Times are RFC 3339 in UTC.

``Decoder`` is fed whatever the socket gave, in any pieces, and hands out frames in order. A line that is no frame
comes out as a ``WireError`` in its place, because the good frames around it still count. Nothing else ever comes
out, and nothing is raised, whatever the bytes.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, TypeVar, get_args

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
Time = Annotated[datetime, Meta(tz=True)]
When = Literal["always", "away", "never"]
"""When a direct message is also sent by email."""
MailState = Literal["queued", "sent", "saved", "held", "failed", "off"]


class Frame(Struct, frozen=True, kw_only=True, tag_field="type", tag=str.lower):
    """One line of the wire; the class name in lower case is its ``type``."""


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
    """Ask who is here; answered with ``people``."""


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


# From the server, to one session.


class Person(Struct, frozen=True, kw_only=True):
    """One line of the list of people; ``away`` holds the reason of somebody who said so."""

    name: str
    since: Time
    away: str | UnsetType = UNSET


class Welcome(Frame, frozen=True, kw_only=True):
    """You are in. Entries numbered up to ``seq`` that follow are history; ``people`` is the state at ``seq``."""

    name: str
    epoch: str
    seq: Seq
    resumed: bool
    token: str
    people: list[Person]
    total: int
    notify: When
    motd: str | UnsetType = UNSET


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
    total: int


class Gap(Frame, frozen=True, kw_only=True):
    """You were too far behind and have lost this many entries that were open to all."""

    missed: int


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


ClientFrame = Join | Verify | Say | Dm | Who | Notify | Away | Ping | Leave
EntryFrame = Message | Direct | Notice | Joined | Left
ServerFrame = EntryFrame | Welcome | Challenge | Ack | Receipt | People | Gap | Pong | Error | Bye


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


# The field that a sentence of msgspec's is about: Object missing required field `text`; ... - at `$.when`
_FIELD = re.compile(r"(?:field `|`\$\.)(\w+)")


class _Head(Struct):
    """What can still be read of a line that is no valid frame: enough to answer it."""

    type: Any = UNSET
    id: Any = UNSET


_decode_head = msgspec.json.Decoder(_Head).decode

F = TypeVar("F")


class Decoder(Generic[F]):
    """Turns a stream of bytes, however it is cut, into frames.

    Args:
        frames: the union of frames to expect, ``ClientFrame`` on a server, ``ServerFrame`` in a client.
        limit: longest line accepted, in bytes; may be raised between two frames (after a join).
    """

    def __init__(self, frames: Any, limit: int = LINE_MAX) -> None:
        self.limit = limit
        self._decode = msgspec.json.Decoder(frames).decode
        self._tail = b""
        self._lost = False

    def feed(self, data: bytes) -> Iterator[F | WireError]:
        """Hand out, in order, the frames that are complete with these bytes, a ``WireError`` for each bad line.

        The iterator is lazy, so that ``limit`` may change between two frames: use it up before feeding again. After
        a final ``WireError`` nothing comes out any more: what follows may be the rest of a line, not a frame.
        """
        if self._lost:
            return
        lines = (self._tail + data).split(b"\n")
        self._tail = lines.pop()
        for line in lines:
            if len(line) > self.limit + line.endswith(b"\r"):
                yield self._lose()
                return
            yield self._frame(line)
        if len(self._tail) > self.limit + 1:
            yield self._lose()

    def _lose(self) -> WireError:
        self._lost = True
        self._tail = b""
        text = f"this line is longer than {self.limit:,} bytes; the connection closes, since its rest is no frame"
        return WireError(Code.TOO_LONG, text, final=True)

    def _frame(self, line: bytes) -> F | WireError:
        try:
            # str() first: msgspec skips the bytes of unknown fields without looking whether they are UTF-8.
            frame = self._decode(str(line, "utf-8"))
        except UnicodeDecodeError as error:
            return WireError(Code.BAD_FRAME, f"this line is not UTF-8: {error.reason} at byte {error.start + 1}")
        except RecursionError:
            return WireError(Code.BAD_FRAME, "this line is nested too deeply; a frame is one flat JSON object")
        except msgspec.ValidationError as error:
            return self._invalid(line, error)
        except msgspec.DecodeError as error:
            if not line.strip():
                return WireError(Code.BAD_FRAME, "this line is empty; a frame is one JSON object")
            return WireError(Code.BAD_FRAME, f"this line is no JSON object: {error}")
        return _unfit(frame) or frame

    @staticmethod
    def _invalid(line: bytes, error: msgspec.ValidationError) -> WireError:
        """JSON, but no frame: say so with the id it came with, and tell an unknown type from a broken frame."""
        try:
            head = _decode_head(line)
        except msgspec.ValidationError:
            return WireError(Code.BAD_FRAME, "this line is no JSON object; a frame is one, with a type")
        except (msgspec.DecodeError, RecursionError):
            head = _Head()  # wrong further on as well: the first mistake is told
        id = head.id if isinstance(head.id, str) and len(head.id) <= ID_MAX else UNSET
        if isinstance(head.type, str) and str(error).endswith("`$.type`"):
            known = f"{head.type[:40]!r} is no type of frame that this end knows"
            return WireError(Code.UNSUPPORTED, known, id=id, field="type")
        found = _FIELD.search(str(error))
        field = found[1] if found else UNSET
        wrong = f"when is one of {', '.join(get_args(When))}" if field == "when" else str(error)
        return WireError(Code.BAD_FRAME, f"this frame is not complete or not well formed: {wrong}", id=id, field=field)


def _unfit(frame: Any) -> WireError | None:
    """What is wrong with the values of a client's well-formed frame: lengths, empty texts, NUL."""
    id = getattr(frame, "id", UNSET)
    if id is not UNSET and len(id) > ID_MAX:
        text = f"this id has {len(id)} characters; at most {ID_MAX} are allowed"
        return WireError(Code.BAD_FRAME, text, field="id")
    match frame:
        case Say(text=text) | Dm(text=text):
            return unfit_text(text, TEXT_MAX, "text", id)
        case Away(reason=str(reason)):
            return unfit_text(reason, REASON_MAX, "reason", id)
        case Join(version=version) if version != VERSION:
            text = f"version {version} of the protocol is not spoken here, only version {VERSION}"
            return WireError(Code.UNSUPPORTED, text, field="version")
    return None


def stamp(now: float) -> datetime:
    """Seconds since the epoch as the wire tells a time: UTC, to the millisecond."""
    return datetime.fromtimestamp(round(now, 3), UTC)


def unfit_text(text: str, limit: int, field: str, id: str | UnsetType = UNSET) -> WireError | None:
    """What is wrong with a text that somebody wrote, or None: nothing in it, too long, a NUL, a lone surrogate."""
    if len(text) > limit:
        wrong = f"this {field} has {len(text):,} characters; at most {limit:,} are allowed"
        return WireError(Code.TOO_LONG, wrong, field=field, id=id)
    if not text or text.isspace():
        return WireError(Code.BAD_FRAME, f"this {field} is empty", field=field, id=id)
    if "\0" in text:
        return WireError(Code.BAD_FRAME, f"this {field} holds a NUL character", field=field, id=id)
    try:
        text.encode()
    except UnicodeEncodeError:
        return WireError(Code.BAD_FRAME, f"this {field} holds bytes that are no text", field=field, id=id)
    return None
