"""Mutations that leave most lines frames: what bytes are changed at random hardly ever gets past the JSON parser.

A frame of the input gets another value in one of its fields, or a line is doubled, dropped, moved or put in from the
list of all frames. Half of the time the bytes are changed as the fuzzer likes.
"""

import json
from collections.abc import Callable
from random import Random
from typing import Any

from tests.core.frames import FROM_CLIENTS, FROM_SERVERS

HOSTILE = (
    "\x00", "\x07", "\x08", "\t", "\n", "\r", "\x1b", "\x1b[2J", "\x1b]0;x\x07", "\x7f", "\x85", "\x9b", "\u00a0",
    "\u00ad", "\u034f", "\u061c", "\u0903", "\u115f", "\u1160", "\u200b", "\u200d", "\u200e", "\u202e", "\u2028",
    "\u2029", "\u2066", "\u2069", "\u2800", "\u3000", "\u3164", "\ufe0e", "\ufe0f", "\ufeff", "\uffa0", "\ufffd",
    "\ud800", "\ue000", "\U000e0041", "\u0301", "\u20dd", "漢", "👩", "❤", "🏽", "🇫", "👩\u200d👩", "John", "you",
    "/me ", " ", " " * 40, "14:03 Bob: hi", "-- ", "!! ", "│ ", "https://example.org/", "x" * 130,
)  # fmt: skip
"""What does something to a terminal, to the eye, to the width of a line, or looks like ours."""
VALUES: tuple[object, ...] = (
    None, True, False, -1, 0, 1, 2**53, 2**63 - 1, 2**63, 10**4299, 1.5, float("nan"), float("inf"), "", "p-1", "p-2",
    "p-3", "p-4", "look-1", "look-2", "wrong-code", "not-joined", "queued", "held", "failed", "always", "never",
    "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2016-12-31T23:59:60Z", [], {},
)  # fmt: skip
"""Edges of what a field may hold, and ids and words that mean something."""
LINES = tuple(line.encode() for _, line in (*FROM_CLIENTS, *FROM_SERVERS))


def mutate(data: bytes, most: int, seed: int, anyhow: Callable[[bytes, int], bytes]) -> bytes:
    """Another input that is not longer than ``most``; ``anyhow`` changes bytes without knowing what they mean."""
    dice = Random(seed)
    if dice.random() < 0.5:
        return anyhow(data, most)
    lines = data.split(b"\n")
    at = dice.randrange(len(lines))
    match dice.randrange(8):
        case 0:
            lines.insert(at, dice.choice(LINES))
        case 1:
            lines.insert(at, dice.choice(lines))
        case 2 if len(lines) > 1:
            lines.insert(dice.randrange(len(lines)), lines.pop(at))
        case 3 if len(lines) > 1:
            del lines[at]
        case _:
            lines[at] = _dented(lines[at], dice)
    return b"\n".join(lines)[:most]


def _dented(line: bytes, dice: Random) -> bytes:
    """The frame of this line with another value in one field; one from the list for none, or too deep a one."""
    try:
        frame = json.loads(line)
        if isinstance(frame, dict) and frame:
            _dent(frame, dice)
            return json.dumps(frame, ensure_ascii=dice.random() < 0.1).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):
        pass
    return dice.choice(LINES)


def _dent(values: dict[str, Any] | list[Any], dice: Random) -> None:
    """Put another value somewhere in these, however deep."""
    while True:
        key: Any = dice.choice(list(values)) if isinstance(values, dict) else dice.randrange(len(values))
        match values[key]:
            case dict() | list() as inner if inner:
                values = inner
            case str(text) if dice.random() < 0.8:
                at = dice.randrange(len(text) + 1)
                values[key] = text[:at] + dice.choice(HOSTILE) * dice.choice((1, 1, 2, 9, 40)) + text[at:]
                return
            case _:
                values[key] = dice.choice(VALUES)
                return
