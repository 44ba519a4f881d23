"""What the operator says, and looks back at: what was said to everybody, what was done here. Pure.

What was said or done is shown when the store has found it.
"""

import re
from collections.abc import Callable, Iterable, Iterator

from chatmail.core.records import Entry, Found
from chatmail.core.wire import COUNT, COUNT_MAX
from chatmail.server.command import QUOTED_MAX, Command, House, Mistake
from chatmail.server.lines import moment
from chatmail.terminal.text import paragraph, plain

_PRIVATE = "Direct messages are between two people, and not shown here."


def _broadcast(house: House, rest: str, now: float) -> Iterable[str]:
    house.operator.broadcast(rest, now)
    return ()


def _audit(house: House, rest: str, now: float) -> Iterable[str]:
    count = _count(rest)

    def lines(found: Found) -> Iterator[str]:
        last = "the last act" if len(found.acts) == 1 else f"the last {len(found.acts)} acts"
        yield f"{last} of the operator" if found.acts else "nothing was done here yet"
        for act in found.acts:
            yield from f"{moment(act.time, now)} {plain(paragraph(act.text))}".split("\n")
        if found.more:
            yield f"there is more; /audit {COUNT_MAX} goes further back" if count < COUNT_MAX else "there is more"

    house.operator.audit(count, lambda found: house.show(lines(found)), _not_shown(house))
    return ()


# What was said.


def _history(house: House, rest: str, now: float) -> Iterable[str]:
    count = _count(rest)

    def head(found: int) -> str:
        last = "the last thing" if found == 1 else f"the last {found:,} things"
        return f"{last} said" if found else "nothing has been said"

    more = f"there is more; /history {COUNT_MAX} goes further back" if count < COUNT_MAX else "there is more"
    _look_back(house, count, None, now, head, more)
    return ()


def _count(rest: str) -> int:
    """How many are asked for. Raises Mistake."""
    if rest and not (re.fullmatch("[0-9]{1,3}", rest) and 1 <= int(rest) <= COUNT_MAX):
        raise Mistake(f"{rest[:QUOTED_MAX]} is no number from 1 to {COUNT_MAX}")
    return int(rest or COUNT)


def _search(house: House, rest: str, now: float) -> Iterable[str]:
    def head(found: int) -> str:
        return f"{found or 'nothing'} found for {rest}"

    _look_back(house, COUNT_MAX, rest, now, head, "there is more; more words find less")
    return ()


def _look_back(house: House, count: int, words: str | None, now: float, head: Callable[[int], str], more: str) -> None:
    def lines(found: Found) -> Iterator[str]:
        yield head(len(found.entries))
        for _, entry in found.entries:
            yield from _said(entry, now)
        if found.more:
            yield more

    house.operator.look_back(count, words, lambda found: house.show(lines(found)), _not_shown(house))


def _not_shown(house: House) -> Callable[[str], None]:
    return lambda why: house.show([f"nothing can be shown: {why}"])


def _said(entry: Entry, now: float) -> list[str]:
    """An entry as lines, of which all but the first are marked."""
    who = "!! notice" if entry.kind == "notice" else entry.sender
    return f"{moment(entry.time.timestamp(), now)} {who}: {plain(paragraph(entry.text))}".split("\n")


BROADCAST = Command("/broadcast", "/broadcast TEXT", "say something to everybody", (1, None), _broadcast, prose=True)

SAID = (
    Command(
        "/history", "/history [N]", "the last things said", (0, 1), _history,
        more=f"Without a number the last {COUNT}, at most {COUNT_MAX}. {_PRIVATE}",
    ),
    Command(
        "/search", "/search WORDS", "what was said with all these words", (1, None), _search,
        more=f"What holds them all, or words that begin so; the last {COUNT_MAX} at most. {_PRIVATE}",
    ),
    Command(
        "/audit", "/audit [N]", "the last things done here", (0, 1), _audit,
        more=f"What the operator did to people and mail: without a number the last {COUNT}, at most {COUNT_MAX}.",
    ),
)  # fmt: skip
