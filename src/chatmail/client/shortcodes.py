"""Emoji by their names, as ``:smile:``. Pure. The names come with the package ``emoji``, where that is installed."""

from collections.abc import Mapping
from functools import lru_cache

from chatmail.terminal.text import shows_itself

OFFERED_MAX = 50
"""So many are offered at once; who wants another one types on."""


def find(begin: str) -> list[tuple[str, str]]:
    """Names that begin so, the shortest first, then those with a word in them that does; each with its emoji."""
    begin = begin.lower()
    found = [name for name in table() if name.startswith(begin) or f"_{begin}" in name]
    found.sort(key=lambda name: (not name.startswith(begin), len(name), name))
    return [(name, table()[name]) for name in found[:OFFERED_MAX]]


@lru_cache(maxsize=1)
def table() -> Mapping[str, str]:
    """All English names; none without the package. Reading them takes its time, so nobody does before it is asked."""
    try:
        from emoji import EMOJI_DATA, STATUS
    except ImportError:
        return {}
    return {
        name.strip(":"): emoji
        for emoji, about in EMOJI_DATA.items()
        if about["status"] <= STATUS["fully_qualified"] and shows_itself(emoji)  # others would see escapes
        for name in (about["en"], *about.get("alias", ()))
    }
