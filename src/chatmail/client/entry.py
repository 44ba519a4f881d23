"""How an entry looks: what was said, who came and went. Pure.

Own messages begin with ``you: `` and nobody can be called so: they are told apart without colour. In a pipe they begin
with the name, as everybody's do: who reads that later may be somebody else.
"""

from collections.abc import Sequence
from datetime import datetime
from zlib import crc32

from msgspec import Struct

from chatmail.client.timeline import mention_of
from chatmail.core import wire
from chatmail.terminal.text import Fragments, Line, paragraph, plain, visible

ACTION = "/me "
"""A message that begins so is drawn as an action."""
FOLDED_MAX = 3
"""So many names are spelled out where many come or go at once; of more, two."""

PALETTE = (
    "#008700", "#008787", "#0087d7", "#5f5fff", "#5f8700", "#875fd7",
    "#878700", "#af5f00", "#af5faf", "#d700af", "#d75f00", "#d75f5f",
)  # fmt: skip
"""Colours of names: readable on black and on white alike (contrast at least 3.5 to both, WCAG 2.2)."""


class Look(Struct, frozen=True):
    """What people and programs want differently.

    ``times`` is the form of the time before each line, nothing for no times; ``you`` begins own messages, nothing for
    the name.
    """

    times: str = "%H:%M"
    you: str = "you"


LOOK = Look()


def name_style(name: str) -> str:
    """The name's colour: the same in every session and every process."""
    return f"bold {PALETTE[crc32(name.casefold().encode('utf-8', 'replace')) % len(PALETTE)]}"


def clock(time: datetime, form: str = "%H:%M") -> str:
    """The local time of a moment; as it is written, in whatever zone, where the calendar ends."""
    try:
        return time.astimezone().strftime(form)
    except (OverflowError, ValueError, OSError):
        return time.strftime(form)


def draw_name(name: str, me: str) -> Fragments:
    """A name in its colour."""
    return visible(name, "class:own" if name == me else name_style(name))


def draw_entry(frame: wire.EntryFrame, me: str, look: Look = LOOK) -> Line:
    """An entry; nothing for one's own coming and going."""
    time = _time(frame.time, look)
    match frame:
        case wire.Message():
            return _said(frame, me, look)
        case wire.Direct():
            return _direct(frame, me, look)
        case wire.Notice():
            return Line(paragraph(frame.text, "class:notice"), time, [("class:notice", "!! notice: ")])
        case _ if frame.name == me:
            return Line([])
        case wire.Joined():
            return Line([*draw_name(frame.name, me), ("class:presence", " joined")], time, [("class:presence", "+ ")])
        case wire.Left():
            reason = visible(frame.reason if frame.reason != "left" else "", "class:presence")
            told = [("class:presence", " ("), *reason, ("class:presence", ")")] if reason else []
            left = [*draw_name(frame.name, me), ("class:presence", " left"), *told]
            return Line(left, time, [("class:presence", "- ")])


def draw_folded(frames: Sequence[wire.Joined | wire.Left], me: str, look: Look = LOOK) -> Line:
    """Who came and who went, in one line, with the time of the last of them."""
    if len(frames) == 1:
        return draw_entry(frames[0], me, look)
    parts: Fragments = []
    for kind, sign, did in ((wire.Joined, "+ ", " joined"), (wire.Left, "- ", " left")):
        names = [frame.name for frame in frames if isinstance(frame, kind)]
        listed = names if len(names) <= FOLDED_MAX else names[: FOLDED_MAX - 1]
        more = len(names) - len(listed)
        if names:
            parts.append(("class:presence", f"; {sign}" if parts else sign))
        for number, name in enumerate(listed):
            last = number == len(listed) - 1 and not more
            parts += [("class:presence", "" if not number else " and " if last else ", "), *draw_name(name, me)]
        if names:
            parts.append(("class:presence", f" and {more:,} more{did}" if more else did))
    return Line(parts[1:], _time(frames[-1].time, look), parts[:1])


def marker(text: str) -> Line:
    """What stands between the lines that somebody has seen, and those that they have not."""
    return Line([("class:marker", f"── {text} ──")])


def call(frame: wire.Message | wire.Direct) -> str:
    """What a notice on the desktop tells of it."""
    return f"{frame.sender}{' (direct)' if isinstance(frame, wire.Direct) else ''}: {frame.text}"


def _time(time: datetime, look: Look) -> Fragments:
    shown = plain(visible(clock(time, look.times))) if look.times else ""
    return [("class:time", f"{shown} ")] if shown else []


def _said(frame: wire.Message, me: str, look: Look) -> Line:
    mention = None if frame.sender == me else mention_of(me)
    time, name = _time(frame.time, look), draw_name(frame.sender, me)
    if frame.text.startswith(ACTION):
        does = paragraph(frame.text.removeprefix(ACTION), "class:action", mention)
        return Line(does, time, [("class:action", "* "), *name, ("", " ")])
    who = [("class:own", look.you)] if frame.sender == me and look.you else name
    return Line(paragraph(frame.text, "", mention), time, [*who, ("", ": ")])


def _direct(frame: wire.Direct, me: str, look: Look) -> Line:
    def person(name: str) -> Fragments:
        return [("class:own", "you")] if name == me else draw_name(name, me)

    head = [*person(frame.sender), ("class:direct", " → "), *person(frame.to), ("class:direct", " (direct): ")]
    return Line(paragraph(frame.text), _time(frame.time, look), head)
