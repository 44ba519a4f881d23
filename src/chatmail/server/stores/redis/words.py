"""Finding words in a text, as the full-text search of SQLite finds them. Pure.

So a search has the same answer whatever the store: of its tokenizer ``unicode61 remove_diacritics 2``
(https://www.sqlite.org/fts5.html, section 4.3.1) and of how this server asks it. A token is a run of letters and
digits, without case and, of those that are Latin, without diacritics. That one knows the characters of Unicode 6.1;
where a later one is a symbol, an emoji say, it takes it for a letter, and this does not.
"""

import unicodedata
from collections.abc import Callable

_LOW = 0x0300
"""The first combining mark, and of these the diacritics: they are part of a token, and dropped."""
_MARKS = frozenset(
    _LOW + at for at in (0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 15, 17, 27, 35, 36, 37, 38, 39, 40, 45, 46, 48, 49)
)


class _Folding(dict[int, str | None]):
    """What each character is in a token: None for nothing at all, a space between tokens."""

    def __missing__(self, code: int) -> str | None:
        self[code] = folded = _fold(chr(code))
        return folded


def _fold(character: str) -> str | None:
    if ord(character) in _MARKS:
        return None
    if not unicodedata.category(character).startswith(("L", "N", "Co")):
        return " "
    folded = character.casefold()
    if len(folded) > 1:  # a character stays one, as it does there
        folded = character.lower()[0]
    letter = unicodedata.normalize("NFD", folded)[0]
    return letter if letter.isascii() else folded


_FOLDING = _Folding()


def _tokens(text: str) -> str:
    """The tokens of a text, with a space before and after each."""
    return f" {' '.join(text.translate(_FOLDING).split())} "


def finder(words: str) -> Callable[[str], bool]:
    """Tells of a text whether it holds all these words, or words that begin so.

    A single letter of ASCII is no beginning: half of all words begin with some. A word of several tokens is looked for
    as a phrase. What has no token is not looked for; where nothing has, nothing is found.
    """
    phrases = set[str]()
    for word in words.split():
        phrase = _tokens(word)
        if phrase != "  ":
            phrases.add(phrase if len(word) == 1 and word.isascii() else phrase[:-1])

    def holds(text: str) -> bool:
        tokens = _tokens(text)
        return all(phrase in tokens for phrase in phrases)

    return holds if phrases else lambda text: False  # noqa: ARG005
