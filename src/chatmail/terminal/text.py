r"""What others wrote, made harmless for a terminal; and wrapping with marked rows. Pure.

Much of what is shown was written by somebody else: it may hold escape sequences, characters that turn the line around
or are not there to the eye, and line breaks that start what looks like another person's line. Nothing here forbids
any of it. It is shown as what it is: ``\x1b`` for an escape, in a style of its own, and every line of a text after
its first begins with ``CONTINUED``.

Fragments are pairs of a style and a text, as prompt-toolkit takes them; this module does not import it.
"""

import re
import textwrap
import unicodedata
from collections.abc import Callable, Iterable
from functools import lru_cache

Fragments = list[tuple[str, str]]

CONTINUED = "│ "
"""Begins every line of a text but its first, in colour and in plain output."""
ROW_MIN = 10
"""Narrower rows hold no words."""
TAB = "    "
COMBINING_MAX = 6
"""So many combining marks may sit on one character (languages need up to four); more climb over other lines."""

_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u3164\ufe00-\ufe0e\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
"""Default_Ignorable_Code_Point (Unicode, DerivedCoreProperties) beyond the format characters: letters and marks that
draw nothing."""
_NEW_EMOJI = re.compile("[\U0001f000-\U0001faff]")
"""Unassigned here may only mean that this Python is older than the emoji."""
_AS_EMOJI = "\ufe0f"
"""The variation selector that makes an emoji of the character before it (UTS 51)."""
_EMOJI = "[\u2190-\u21ff\u231a-\u23ff\u2600-\u27bf\u2b05-\u2b55\U0001f000-\U0001faff]"
"""Extended_Pictographic and skin tones, as far as they are ever joined, in whole blocks."""
_VARIED = re.compile(f"{_EMOJI}|[#*0-9©®‼⁉™ℹⓂ\u25aa-\u25fe⤴⤵〰〽㊗㊙]")
"""What the selector can make an emoji of (emoji-variation-sequences.txt, in whole blocks)."""
JOINT = re.compile(f"(?:(?<={_EMOJI})|(?<={_EMOJI}{_AS_EMOJI}))\u200d(?={_EMOJI})")
"""The joiner that makes one emoji of two (families, say): the only one of its kind that the eye can see at work."""
_PART = f".[\U0001f3fb-\U0001f3ff]?{_AS_EMOJI}?"
CLUSTER = re.compile(f"{_PART}(?:\u200d{_PART}){{,3}}")
"""What should not be torn apart: a character, or the longest of the joined emoji that are in use."""
_LINK = re.compile(r"""["'(<\[]*https?://[!-~]+""")

_STAND_INS = {"│": "|", "─": "-", "→": "->", "…": "...", "·": "-"}
"""What our own signs become where the terminal's encoding lacks them: a question mark marks nothing."""


class Line(Fragments):
    """Fragments that know what stands before the text: the rows of the text after the first stand below the text.

    Args:
        text: what is said.
        time: comes first, as wide in all lines.
        head: comes between the two: who says it, and how.
    """

    def __init__(self, text: Fragments, time: Fragments | None = None, head: Fragments | None = None) -> None:
        self.time, self.head = time or [], head or []
        super().__init__([*self.time, *self.head, *text])

    def hang(self, width: int, measure: Callable[[str], int]) -> int:
        """Where its further rows begin, as in ``wrap``; a long name does not push them into a narrow column."""
        time = measure(plain(self.time))
        whole = time + measure(plain(self.head))
        return next((cells for cells in (whole, time) if cells <= width // 3), 0)


@lru_cache(maxsize=4096)
def _shown(char: str) -> str:
    """How one character is shown: itself, spaces, or its escape."""
    if char == "\t":
        return TAB
    if unicodedata.category(char) == "Zs" or char == "\u2800":
        return " "  # all of them, so that lines can be broken wherever the eye sees a gap
    return char if (char.isprintable() and not _INVISIBLE.match(char)) or _NEW_EMOJI.match(char) else _escape(char)


def _escape(char: str) -> str:
    if char in "\n\r":
        return repr(char)[1:-1]
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def visible(text: str, style: str = "", mention: re.Pattern[str] | None = None) -> Fragments:
    """The text on one line, with everything in it that does not show itself as an escape in class ``escape``.

    What ``mention`` finds is highlighted; whether a character shows itself depends on those before it all the same.
    """
    mentioned = {at for found in mention.finditer(text) for at in range(*found.span())} if mention else set()
    if not mentioned and text.isascii() and text.isprintable():
        return [(style, text)] if text else []
    pieces: Fragments = []
    joints = {found.start() for found in JOINT.finditer(text)} - {found.start() for found in CLUSTER.finditer(text)}
    marks = 0
    varied = False  # whether the character before is one that a variation selector can vary
    for at, char in enumerate(text):
        marks = marks + 1 if unicodedata.category(char) in {"Mn", "Me"} else 0
        if at in joints:
            shown = char
        else:
            shown = _escape(char) if marks > COMBINING_MAX or (char == _AS_EMOJI and not varied) else _shown(char)
        varied = shown == char and _VARIED.match(char) is not None
        kind = f"{style} class:mention".strip() if at in mentioned else style
        kind = f"{kind} class:escape".strip() if len(shown) > 1 and shown != TAB else kind
        if pieces and pieces[-1][0] == kind:
            pieces[-1] = (kind, pieces[-1][1] + shown)
        else:
            pieces.append((kind, shown))
    return pieces


def shows_itself(text: str) -> bool:
    """Whether it may be written as it is also where nothing makes it harmless: in an input line, say."""
    return plain(visible(text)) == text


def harmless(text: str) -> str:
    """The same without a style, and with tabs as escapes: for logs and tables."""
    return plain(visible(text.replace("\t", r"\t")))


def paragraph(text: str, style: str = "", mention: re.Pattern[str] | None = None) -> Fragments:
    """The text with its own line breaks, each followed by ``CONTINUED``; what ``mention`` finds is highlighted."""
    pieces: Fragments = []
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n")):
        if number:
            pieces += [("", "\n"), ("class:continued", CONTINUED)]
        pieces += visible(line, style, mention)
    return pieces


def plain(fragments: Iterable[tuple[str, str]]) -> str:
    """The same, without styles."""
    return "".join(text for _, text in fragments)


def in_rows(text: str, columns: int) -> str:
    """A text that is ``plain``, in rows of whole words, where a terminal is so wide; 0 for no terminal.

    What is too long for a row stays whole, to be copied.
    """
    if columns < ROW_MIN:
        return text
    words = textwrap.TextWrapper(
        columns - 1, subsequent_indent=CONTINUED, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(words.fill(line) if len(line) >= columns else line for line in text.split("\n"))


@lru_cache(maxsize=16)
def _missing(encoding: str) -> dict[int, str]:
    missing = {}
    for sign, instead in _STAND_INS.items():
        try:
            sign.encode(encoding)
        except UnicodeEncodeError:
            missing[ord(sign)] = instead
    return missing


def in_encoding(fragments: Fragments, encoding: str) -> Fragments:
    """The same, with what resembles them in ASCII for those of our own signs that this encoding lacks."""
    missing = _missing(encoding or "utf-8")
    return [(style, text.translate(missing)) for style, text in fragments] if missing else fragments


@lru_cache(maxsize=4096)
def _least(char: str) -> int:
    """How many cells a character takes at least on some terminal, whatever the tables of another one say.

    They differ: marks that stand beside their letter (Devanagari), single vowels of Hangul, halves of flags, emoji made
    by a selector, and emoji that are newer than a table, all have no cell here and one or two there.
    """
    if _NEW_EMOJI.match(char):
        return 2
    return int(char == _AS_EMOJI or unicodedata.category(char) not in {"Mn", "Me", "Cf"})


def wrap(
    fragments: Fragments, width: int, measure: Callable[[str], int] = len, *, hang: int = 0, links: bool = True
) -> Fragments:
    """Break lines into rows that fit: at a space where there is one, each new row with ``CONTINUED`` in front.

    The terminal would break them as well, but at a place that the writer can calculate: enough spaces, and the rest
    of a text stands at the left edge, where another person's line would.

    Args:
        fragments: what others wrote has gone through ``visible`` or ``paragraph``.
        width: of a row, in cells.
        measure: how many cells a text takes. More are reckoned where terminals differ.
        hang: so many cells at the start of the first line are a head of ours, below which nothing is written.
        links: whether a link that is longer than a row stays whole, so that it can still be followed.
    """
    out: Fragments = []
    start = hang  # where the text of this row begins
    column = 0
    gap: Fragments = []
    word: Fragments = []

    def cells(text: str) -> int:
        return measure(text) if text.isascii() else sum(max(measure(char), _least(char)) for char in text)

    def new_row() -> None:
        nonlocal column, start
        out.append(("class:continued", f"\n{' ' * hang}{CONTINUED}"))
        column = start = hang + len(CONTINUED)

    def place() -> None:
        nonlocal column
        size = sum(cells(text) for _, text in word)
        room = column + len(plain(gap))
        if room + size > width and room > hang + len(CONTINUED):
            if word:
                new_row()
        else:
            out.extend(gap)
            column = room
        if column + size > width and not (links and _LINK.fullmatch(plain(word))):
            tear()
        else:
            out.extend(word)
            column = min(column + size, width)
        gap.clear()
        word.clear()

    def tear() -> None:
        nonlocal column
        for style, text in word:
            for cluster in CLUSTER.findall(text):
                size = cells(cluster)
                if column + size > width and column > start:
                    new_row()
                out.append((style, cluster))
                column += size

    for style, text in fragments:
        if text == CONTINUED and not (column or gap or word):
            out.append((style, " " * hang + CONTINUED))
            column = start = hang + len(CONTINUED)
            continue
        for piece in re.split(r"( +|\n)", text):
            if piece == "\n":
                place()
                out.append((style, piece))
                column = start = 0
            elif piece.startswith(" "):
                if word:
                    place()
                gap.append((style, piece))
            elif piece:
                word.append((style, piece))
    place()
    return out
