"""The screen of a terminal as a picture: an SVG that is text and needs no other file.

Each word stands at its column and is as wide as its cells, so that all stays in its place whatever font is there.
"""

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from typing import NamedTuple

from prompt_toolkit.utils import get_cwidth
from pyte.screens import Char

SIZE, WIDE, HIGH = 14, 8.4, 19
"""The size of the font, and of a cell: most fonts of equal widths are 0.6 em wide."""
BAR, EDGE, BASE = 44, 14, 14
"""How high the bar is, the room beside and below the text, and how far below the top of its row a text stands."""
INK, PAPER, FRAME, FAINT = "#d4d7dd", "#15181e", "#262b35", "#8b93a1"
BUTTONS = ("#ff5f57", "#febc2e", "#28c840")
NAMED = {
    "black": "#15181e", "red": "#d75f5f", "green": "#5faf5f", "brown": "#d7af5f", "blue": "#5f87d7",
    "magenta": "#af5faf", "cyan": "#5fafaf", "white": "#bfc3ca", "brightblack": "#808080", "brightred": "#ff8787",
    "brightgreen": "#87d787", "brightbrown": "#ffd787", "brightblue": "#87afff", "brightmagenta": "#d787d7",
    "brightcyan": "#87d7d7", "brightwhite": "#ffffff",
}  # fmt: skip
"""The colours that a program may call by their names."""


class Look(NamedTuple):
    """How a character looks; what is reversed has changed its colours already."""

    ink: str
    paper: str
    bold: bool
    italic: bool
    under: bool

    @property
    def css(self) -> str:
        return (
            f"fill:{self.ink}"
            + ";font-weight:bold" * self.bold
            + ";font-style:italic" * self.italic
            + ";text-decoration:underline" * self.under
        )


class Word(NamedTuple):
    """A text in one look, where it begins and how many cells it takes; a character is one as well."""

    text: str
    look: Look
    column: int
    width: int


def draw(rows: Sequence[Sequence[Char]], title: str, about: str, cursor: tuple[int, int]) -> str:
    """These rows of a screen in a window; ``about`` tells what is there, ``cursor`` is a column and a row."""
    wide, high = round(len(rows[0]) * WIDE) + 2 * EDGE, BAR + len(rows) * HIGH + EDGE
    words = [(word, at) for at, row in enumerate(rows) for word in _words(row)]
    styles = {css: f"s{at}" for at, css in enumerate(dict.fromkeys(word.look.css for word, _ in words))}
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{wide}" height="{high}"',
        f' viewBox="0 0 {wide} {high}">',
        f"<title>{escape(title)}</title>",
        f"<desc>{escape(about)}</desc>",
        f"<style>text{{font:{SIZE}px ui-monospace,Menlo,Consolas,monospace;white-space:pre}}",
        ".paper{shape-rendering:crispEdges}",
        *(f".{name}{{{css}}}" for css, name in styles.items()),
        "</style>",
        f'<rect width="{wide}" height="{high}" rx="9" fill="{FRAME}"/>',
        f'<rect x="1" y="30" width="{wide - 2}" height="{high - 31}" rx="8" fill="{PAPER}"/>',
        *(f'<circle cx="{18 + 20 * at}" cy="15" r="6" fill="{fill}"/>' for at, fill in enumerate(BUTTONS)),
        f'<text x="{wide // 2}" y="20" text-anchor="middle" fill="{FAINT}">{escape(title)}</text>',
        *(_paper(column, at, width, paper) for at, row in enumerate(rows) for column, width, paper in _papers(row)),
        _paper(*cursor, 1, INK),
        *(_text(word, at, styles[word.look.css]) for word, at in words),
        "</svg>",
    ]
    return "".join(f"{line}\n" for line in lines)


def _words(row: Sequence[Char]) -> Iterator[Word]:
    """What stands together; a sign is alone, for it may come from a font of other widths."""
    cells = (Word(char.data, _look(char), at, get_cwidth(char.data)) for at, char in enumerate(row) if char.data)
    for (look, is_gap, is_sign), part in groupby(cells, lambda cell: (cell.look, _is_gap(cell), _is_sign(cell))):
        if is_sign:
            yield from part
        elif not is_gap:
            first, *rest = part
            text = "".join(cell.text for cell in (first, *rest))
            yield Word(text, look, first.column, first.width + sum(cell.width for cell in rest))


def _is_gap(cell: Word) -> bool:
    return cell.text == " " and not cell.look.under


def _is_sign(cell: Word) -> bool:
    return not (cell.text.isascii() or cell.text.isalpha())


def _papers(row: Sequence[Char]) -> Iterator[tuple[int, int, str]]:
    """Where the paper is not that of the window: the column, the width and the colour."""
    for paper, part in groupby(enumerate(row), lambda cell: _look(cell[1]).paper):
        columns = [column for column, _ in part]
        if paper != PAPER:
            yield columns[0], len(columns), paper


def _look(char: Char) -> Look:
    ink, paper = _colour(char.fg, INK), _colour(char.bg, PAPER)
    if char.reverse:
        ink, paper = paper, ink
    return Look(ink, paper, char.bold, char.italics, char.underscore)


def _colour(name: str, default: str) -> str:
    return default if name == "default" else NAMED.get(name, f"#{name}")


def _paper(column: int, row: int, width: int, fill: str) -> str:
    where = f'x="{_x(column)}" y="{BAR + row * HIGH}" width="{width * WIDE:g}" height="{HIGH}"'
    return f'<rect class="paper" {where} fill="{fill}"/>'


def _text(word: Word, row: int, style: str) -> str:
    where = f'x="{_x(word.column)}" y="{BAR + row * HIGH + BASE}" textLength="{word.width * WIDE:g}"'
    return f'<text class="{style}" {where} lengthAdjust="spacingAndGlyphs">{escape(word.text, quote=False)}</text>'


def _x(column: int) -> str:
    return f"{EDGE + column * WIDE:g}"
