r"""What others wrote, made harmless for a terminal; mentions; and wrapping with marked lines. Pure.

Whatever comes over the wire was written by somebody else: it may hold escape sequences, characters that turn the
line around or are not there to the eye, and line breaks that start what looks like another person's line. Nothing
here forbids any of it. It is shown as what it is: ``\x1b`` for an escape, in a style of its own, and every line
of a text after its first begins with ``CONTINUED``.

Fragments are pairs of a style and a text, as prompt-toolkit takes them; this module does not import it.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import lru_cache

Fragments = list[tuple[str, str]]

CONTINUED = "│ "
"""Begins every line of a text but its first, in colour and in plain output."""
TAB = "    "
COMBINING_MAX = 6
"""So many combining marks may sit on one character (languages need up to four); more climb over other lines."""

_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u3164\ufe00-\ufe0e\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
"""Default_Ignorable_Code_Point (Unicode, DerivedCoreProperties) beyond the format characters: letters and marks that
draw nothing. The emoji variation selector U+FE0F stays as it is."""
_NEW_EMOJI = re.compile("[\U0001f000-\U0001faff]")
"""Unassigned here may only mean that this Python is older than the emoji."""


@lru_cache(maxsize=4096)
def _shown(char: str) -> str:
    """How one character is shown: itself, spaces, or its escape."""
    if char == "\t":
        return TAB
    if unicodedata.category(char) == "Zs" or char == "\u2800":
        return " "  # all of them, so that lines can be broken wherever the eye sees a gap
    if (char.isprintable() and not _INVISIBLE.match(char)) or _NEW_EMOJI.match(char):
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def visible(text: str, style: str = "") -> Fragments:
    """The text on one line, with everything in it that does not show itself as an escape in class ``escape``."""
    if text.isascii() and text.isprintable():
        return [(style, text)] if text else []
    pieces: Fragments = []
    marks = 0
    for char in text:
        marks = marks + 1 if unicodedata.category(char) in {"Mn", "Me"} else 0
        shown = f"\\u{ord(char):04x}" if marks > COMBINING_MAX else _shown(char)
        kind = f"{style} class:escape".strip() if len(shown) > 1 and shown != TAB else style
        if pieces and pieces[-1][0] == kind:
            pieces[-1] = (kind, pieces[-1][1] + shown)
        else:
            pieces.append((kind, shown))
    return pieces


def paragraph(text: str, style: str = "", mention: re.Pattern[str] | None = None) -> Fragments:
    """The text with its own line breaks, each followed by ``CONTINUED``; what ``mention`` finds is highlighted."""
    pieces: Fragments = []
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n")):
        if number:
            pieces += [("", "\n"), ("class:continued", CONTINUED)]
        start = 0
        for found in mention.finditer(line) if mention else ():
            pieces += visible(line[start : found.start()], style)
            pieces += visible(found.group(), f"{style} class:mention".strip())
            start = found.end()
        pieces += visible(line[start:], style)
    return pieces


def plain(fragments: Iterable[tuple[str, str]]) -> str:
    """The same, without styles."""
    return "".join(text for _, text in fragments)


@lru_cache(maxsize=16)
def mention_of(name: str) -> re.Pattern[str]:
    """Finds the name as a word of its own: in "John:" and "@john.", but neither in "Johnny" nor in "john.smith"."""
    return re.compile(rf"(?<!\w)(?<!\w[.-])@?{re.escape(name)}(?!\w|[.-]\w)", re.IGNORECASE)


def wrap(fragments: Fragments, width: int, measure: Callable[[str], int] = len) -> Fragments:
    """Break lines at spaces so that they fit, each new one with ``CONTINUED`` in front.

    The terminal would break them as well, but at a place that the writer can calculate: enough spaces, and the rest
    of a text stands at the left edge, where another person's line would. A word that is longer than a line
    stays whole, so that a link can still be followed; after it a new line is begun.
    """
    out: Fragments = []
    column = 0
    gap: Fragments = []
    word: Fragments = []

    def place() -> None:
        nonlocal column
        size = sum(measure(text) for _, text in word)
        room = column + sum(len(text) for _, text in gap)
        if word and column > len(CONTINUED) and room + size > width:
            out.extend([("", "\n"), ("class:continued", CONTINUED)])
            column = len(CONTINUED)
        else:
            out.extend(gap)
            column = room
        out.extend(word)
        column = min(column + size, width)
        gap.clear()
        word.clear()

    for style, text in fragments:
        for piece in re.split(r"( +|\n)", text):
            if piece == "\n":
                place()
                out.append((style, piece))
                column = 0
            elif piece.startswith(" "):
                if word:
                    place()
                gap.append((style, piece))
            elif piece:
                word.append((style, piece))
    place()
    return out
