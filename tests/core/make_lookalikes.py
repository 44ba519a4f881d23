"""Write ``chatmail.core.lookalikes`` from Unicode's confusables.txt.

Run as ``python -m tests.core.make_lookalikes PATH/confusables.txt`` with the newest Python at hand: letters that its
Unicode database does not know yet are left out.

Two relations must become one key. Names are equal when they fold to the same text (``I`` is ``i``), and they are
look-alikes when what is shown looks the same (``I`` is ``l``). Followed to the end, the two would make one class of
``n`` and ``v`` (the Greek nu is an N when it is large and a v when it is small), of ``u``, ``y`` and ``r``, and so on
through the alphabet. So looks are joined in the order of their weight, and no join may bring two ASCII characters
together that do not look alike themselves. A character that lost its own look by that is listed as two-faced.
"""

import argparse
import re
import textwrap
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from chatmail.core.names import fold, script

MODULE = Path(__file__).parents[2] / "src" / "chatmail" / "core" / "lookalikes.py"

HEAD = '''\
"""Which characters look alike: the confusables of UTS #39 as far as they can occur in a name. Data only.

Made from confusables.txt of Unicode {version}, https://www.unicode.org/reports/tr39/#Confusable_Detection, with the
letters of Unicode {database}. Regenerate, never edit: ``python -m tests.core.make_lookalikes PATH/confusables.txt``.
That script tells how case and looks are brought together.

The data is copyright (c) Unicode, Inc., used and modified under the Unicode License v3,
https://www.unicode.org/license.txt (SPDX: Unicode-3.0).
"""

# One group is what they look like, an equals sign, and all that look like it.
_GROUPS = """
'''

TAIL = '''\
"""

TWO_FACED = frozenset(map(chr, ({two_faced})))
"""Characters whose class in TABLE follows their other case: in a Latin name they pass for another ASCII letter."""


def _table() -> dict[int, str]:
    table: dict[int, str] = {{}}
    for group in _GROUPS.split():
        look, _, chars = group.partition("=")
        table.update(dict.fromkeys(map(ord, chars), look))
    return table


TABLE = _table()
"""For ``str.translate`` on folded text in NFD: what a character looks like. No look is translated further."""
'''


def nfd(text: str) -> str:
    """The canonical decomposition: what looks are told about."""
    return unicodedata.normalize("NFD", text)


def letters() -> list[str]:
    """Every single character that a name in NFKC may hold."""
    every = [
        char
        for char in (chr(point) for point in range(0x110000) if not 0xD800 <= point < 0xE000)
        if unicodedata.is_normalized("NFKC", char)
    ]
    scripts = {script(char) for char in every if unicodedata.category(char)[0] == "L"}
    return [
        char
        for char in every
        if char in "_.-"
        or unicodedata.category(char)[0] == "L"
        or unicodedata.category(char) == "Nd"
        or (unicodedata.category(char) in {"Mn", "Mc"} and script(char) in scripts)
    ]


def read(text: str) -> tuple[str, dict[str, str]]:
    """The version of a confusables.txt, and its rows: a character, and what it looks like."""
    version = re.search(r"^# Version: (\S+)", text, re.MULTILINE)
    assert version, "this is no confusables.txt: it names no version"
    rows = {}
    for line in text.splitlines():
        fields = line.partition("#")[0].split(";")
        if len(fields) == 3:
            source, target = ("".join(chr(int(point, 16)) for point in field.split()) for field in fields[:2])
            rows[source] = target
    return version[1], rows


class Classes:
    """Folded characters that look alike: sets that are joined, each with at most one ASCII look."""

    def __init__(self) -> None:
        self._members: dict[str, set[str]] = {}
        self._spelling: dict[str, str] = {}

    def members(self, char: str) -> set[str]:
        """All that look like this one."""
        return self._members.setdefault(char, {char})

    def join(self, one: str, other: str, *, anyway: bool = False) -> None:
        """Two characters look alike; without ``anyway``, two classes of ASCII characters stay apart."""
        ours, theirs = self.members(one), self.members(other)
        if ours is theirs or (not anyway and _ascii(ours) and _ascii(theirs)):
            return
        ours |= theirs
        for char in theirs:
            self._members[char] = ours

    def spell(self, char: str, target: str) -> None:
        """A character looks like several; the first such word about it counts."""
        self._spelling.setdefault(char, target)

    def look(self, char: str, above: tuple[str, ...] = ()) -> str:
        """What a class looks like: what its ASCII character is spelled, or it, or a spelling, or its first member."""
        members = self.members(char)
        plain = _ascii(members)
        spelled = [member for member in sorted(plain or members) if member in self._spelling]
        if not spelled or spelled[0] in above:
            return min(plain or members, key=lambda member: (not member.isalpha(), member))
        return nfd("".join(self.look(part, (*above, spelled[0])) for part in self._spelling[spelled[0]]))


def _ascii(chars: Iterable[str]) -> set[str]:
    return {char for char in chars if char.isascii()}


def _escape(chars: Sequence[str]) -> str:
    """Characters as they stand in a literal: no letter of another script, which editors would reorder or normalize."""
    codes = (f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}" for char in chars)
    return "".join(char if char.isascii() and char.isalnum() else code for char, code in zip(chars, codes, strict=True))


def make(text: str) -> str:
    """The module's source for the text of a confusables.txt."""
    version, rows = read(text)
    variants: defaultdict[str, list[str]] = defaultdict(list)
    for char in letters():
        for atom in nfd(char):
            if atom not in variants[fold(atom)]:
                variants[fold(atom)].append(atom)
    domain = sorted({atom for folded in variants for atom in nfd(folded)})
    looks = [
        (folded, nfd(fold(rows[atom])), atom)
        for folded, atoms in variants.items()
        # A capital first: that is where a false name begins.
        for atom in sorted(atoms, key=lambda atom: (atom == folded, atom))
        # Iota subscript is the one mark that folds to a letter; it looks like other marks all the same.
        if atom in rows and len(folded) == 1 and unicodedata.combining(atom) == unicodedata.combining(folded)
    ]
    looks.sort(key=lambda look: (not look[0].isascii(), not look[1].isascii()))
    classes = Classes()
    for folded, look, _ in looks:
        if len(look) == 1:
            classes.join(folded, look, anyway=folded.isascii())
        else:
            classes.spell(folded, look)

    groups: defaultdict[str, list[str]] = defaultdict(list)
    for atom in sorted({*domain, *(part for _, look, _ in looks for part in look)}):
        if classes.look(atom) != atom and fold(atom) == atom:
            groups[classes.look(atom)].append(atom)
    two_faced = sorted(
        ord(atom)
        for folded, look, atom in looks
        if look.isascii() and look.isalnum() and "".join(map(classes.look, look)) != classes.look(folded)
    )
    tokens = [
        f"{_escape(look)}={_escape(chars[start : start + 8])}"
        for look, chars in groups.items()
        for start in range(0, len(chars), 8)
    ]
    head = HEAD.format(version=version, database=unicodedata.unidata_version)
    body = textwrap.fill(" ".join(tokens), 118, break_long_words=False, break_on_hyphens=False) + "\n"
    points = ", ".join(f"0x{point:X}" for point in two_faced)
    return head + body + TAIL.format(two_faced=points)


def main() -> None:
    """Read the file that is named, write the module."""
    parser = argparse.ArgumentParser(description="Write chatmail.core.lookalikes from Unicode's confusables.txt.")
    parser.add_argument("path", type=Path, help="confusables.txt, from unicode.org")
    text = parser.parse_args().path.read_text("utf-8-sig")
    MODULE.write_text(make(text), "utf-8")


if __name__ == "__main__":
    main()
