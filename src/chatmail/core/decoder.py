"""The decoder: a stream of bytes, however it is cut, becomes frames.

``Decoder`` is fed whatever the socket gave and hands out frames in order. A line that is no frame comes out as a
``WireError`` in its place, because the good frames around it still count. Nothing else ever comes out, and nothing is
raised, whatever the bytes.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Generic, TypeVar, get_args

import msgspec
from msgspec import UNSET, Struct, UnsetType

from chatmail.core.wire import (
    ID_MAX,
    LINE_MAX,
    REASON_MAX,
    TEXT_MAX,
    VERSION,
    Away,
    Code,
    Dm,
    Join,
    Say,
    Search,
    When,
    WireError,
    unfit_search,
    unfit_text,
)

# The field that a sentence of msgspec's is about: Object missing required field `text`; ... - at `$.when`
_FIELD = re.compile(r"(?:field `|`\$\.)(\w+)")


class _Head(Struct):
    """What can still be read of a line that is no valid frame: enough to answer it."""

    type: Any = UNSET
    id: Any = UNSET


_decode_head = msgspec.json.Decoder(_Head).decode


@cache
def _decode_of(frames: Any) -> Callable[[str], Any]:
    """What decodes a line into one of these frames: the same for all, as it keeps nothing from line to line.

    One for each connection would be dear in time as well as in memory.
    """
    return msgspec.json.Decoder(frames).decode


F = TypeVar("F")


class Decoder(Generic[F]):
    """Turns a stream of bytes, however it is cut, into frames.

    Args:
        frames: the union of frames to expect, ``ClientFrame`` on a server, ``ServerFrame`` in a client.
        limit: longest line accepted, in bytes; may be raised between two frames (after a join).
    """

    __slots__ = ("_decode", "_lost", "_tail", "limit")

    def __init__(self, frames: Any, limit: int = LINE_MAX) -> None:
        self.limit = limit
        self._decode = _decode_of(frames)
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
            if len(line) > self.limit and len(line) > self.limit + line.endswith(b"\r"):
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
        id = head.id if isinstance(head.id, str) and _unfit_id(head.id) is None else UNSET
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
    if id is not UNSET and (unfit := _unfit_id(id)):
        return unfit
    look = _LOOKS.get(type(frame))
    return None if look is None else look(frame, id)


def _unfit_said(frame: Say | Dm, id: str | UnsetType) -> WireError | None:
    return unfit_text(frame.text, TEXT_MAX, "text", id)


def _unfit_away(frame: Away, id: str | UnsetType) -> WireError | None:
    return None if frame.reason is UNSET else unfit_text(frame.reason, REASON_MAX, "reason", id)


def _unfit_search(frame: Search, id: str | UnsetType) -> WireError | None:
    return unfit_search(frame.words, id)


def _unfit_join(frame: Join, _id: str | UnsetType) -> WireError | None:
    if frame.version == VERSION:
        return None
    text = f"version {frame.version} of the protocol is not spoken here, only version {VERSION}"
    return WireError(Code.UNSUPPORTED, text, field="version")


_LOOKS: dict[type, Callable[[Any, str | UnsetType], WireError | None]] = {
    Say: _unfit_said,
    Dm: _unfit_said,
    Away: _unfit_away,
    Search: _unfit_search,
    Join: _unfit_join,
}
"""What is looked at in which frame; in a table, as it is asked for each frame there is."""


def _unfit_id(id: str) -> WireError | None:
    """What is wrong with an id: an answer could not carry it."""
    if len(id) > ID_MAX:
        text = f"this id has {len(id)} characters; at most {ID_MAX} are allowed"
        return WireError(Code.BAD_FRAME, text, field="id")
    if "\0" in id:
        return WireError(Code.BAD_FRAME, "this id holds a NUL character", field="id")
    return None
