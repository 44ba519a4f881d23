"""Lines for the operator: tables, spans of time, numbers. Pure.

A line may hold what a stranger chose: a reason for being away, the words of a foreign mail server. Nothing of it can
drive the terminal or begin a line.
"""

import re
import time
from collections.abc import Sequence
from math import ceil

from msgspec import Struct

from chatmail.terminal.spans import DAY, HOUR, MINUTE
from chatmail.terminal.text import harmless

CELL_MAX = 40
"""Widest cell of a table, in characters; the last of a row may be longer."""
CELL_MIN = 10
"""No column is made narrower than this to fit a table in, in cells: what is cut more says nothing."""
BLOCKS = "▁▂▃▄▅▆▇█"
DIGITS = "012345678"
"""What bars are drawn with, nothing first; digits where there are no blocks."""

_UNITS = {"s": 1, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
_SPAN = re.compile(r"(?:[0-9]{1,9}[smhdw])+")


class Line(Struct, frozen=True):
    """One line as it is shown: a ``head`` of ours (the time, say), and a text; ``kind`` chooses its colour."""

    text: str
    head: str = ""
    kind: str = ""

    def __str__(self) -> str:
        return self.head + self.text


def table(*lines: Sequence[str], columns: int | None = None) -> list[str]:
    """Rows of cells, each column as wide as its widest cell; made harmless.

    ``columns``: what is wider than this altogether is cut, the widest columns first.
    """
    if not lines:
        return []
    last = len(lines[0]) - 1
    cells = [[harmless(text) if at == last else clip(text) for at, text in enumerate(line)] for line in lines]
    widths = [max(map(_cells, column)) for column in zip(*cells, strict=True)]
    if columns is not None:
        widths = _fit(widths, columns - 2 * last)
    return ["  ".join(map(_cell, line, widths)).rstrip() for line in cells]


def _fit(widths: list[int], room: int) -> list[int]:
    """The widths, with the widest made narrower until all have room, or can't be made any narrower."""
    limit = max(widths)
    while limit > CELL_MIN and sum(min(width, limit) for width in widths) > room:
        limit -= 1
    return [min(width, limit) for width in widths]


def _cells(text: str) -> int:
    """How many cells a text takes."""
    from prompt_toolkit.utils import get_cwidth  # as in ``console``: who has no terminal may never see a table

    return get_cwidth(text)


def _cell(text: str, width: int) -> str:
    """A harmless text in so many cells, cut where it is wider."""
    if _cells(text) > width:
        while _cells(text) >= width:
            text = text[:-1]
        text += "…"
    return text + " " * (width - _cells(text))


def bars(values: Sequence[float], *, blocks: bool) -> str:
    """A chart of one row: a bar for each value, the largest as high as can be; what is not nothing can be seen."""
    heights = BLOCKS if blocks else DIGITS
    most = max(values) or 1
    return "".join(heights[ceil(value / most * (len(heights) - 1))] for value in values)


def clip(text: str, limit: int = CELL_MAX) -> str:
    """The text made harmless, and no longer than so many characters."""
    shown = harmless(text)
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def parse_span(text: str) -> float | None:
    """How many seconds ``30m``, ``2h``, ``7d``, ``1w`` or ``1d12h`` are; None for anything else, and for nothing."""
    if not _SPAN.fullmatch(text):
        return None
    return float(sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9]+)(.)", text))) or None


def clock_time(when: float) -> str:
    """The local time of day."""
    return time.strftime("%H:%M:%S", time.localtime(when))


def moment(when: float, now: float) -> str:
    """The local time, with its date unless that is today."""
    there = time.localtime(when)
    today = there[:3] == time.localtime(now)[:3]
    return time.strftime("%H:%M" if today else "%Y-%m-%d %H:%M", there)


def day(when: float, now: float) -> str:
    """The local time if it is today, else the date."""
    return moment(when, now)[:10]


def size(count: float) -> str:
    """A number of bytes, as ``17 B`` or ``1.4 MiB``."""
    if count < 1024:
        return f"{count:.0f} B"
    for unit in ("KiB", "MiB"):
        count /= 1024
        if count < 1024:
            return f"{count:.1f} {unit}"
    return f"{count / 1024:.1f} GiB"


def several(count: int, what: str) -> str:
    """A number of things: ``1 person``, ``2 letters``."""
    plural = "people" if what == "person" else f"{what}s"
    return f"{count:,} {what if count == 1 else plural}"
