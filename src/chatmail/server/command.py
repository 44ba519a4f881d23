"""What a command is, what it works on, and how it says that a line can't be done; ``commands`` has the table of all."""

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from chatmail.core.operator import Operator

QUOTED_MAX = 40
"""So many characters of what was typed are quoted when it is wrong."""


class Mistake(Exception):  # noqa: N818 - an answer, not a fault
    """The line can't be done; ``str()`` says why, and what would do."""


class House(Struct, frozen=True):
    """What the commands work on.

    ``show`` shows lines later, where the store has to be asked first; ``quit`` ends the server; ``started`` is when it
    started, in seconds since the epoch; ``memory`` tells how much it has needed, in bytes.
    """

    operator: Operator
    show: Callable[[Iterable[str]], None]
    quit: Callable[[], None]
    started: float
    memory: Callable[[], int]


class Command(Struct, frozen=True):
    """One line of the table.

    ``words``: how many may follow the name, at least and at most (None: any number). ``offers``: what Tab completes
    the first of them with, and the next; each is called with the words before. ``prose``: whether they may run over
    several lines. ``more``: what ``/help`` adds.
    """

    name: str
    usage: str
    help: str
    words: tuple[int, int | None]
    run: Callable[[House, str, float], Iterable[str]]
    offers: tuple[Callable[[House, Sequence[str], float], Iterable[str]], ...] = ()
    prose: bool = False
    more: str = ""

    def misused(self) -> Mistake:
        """What to say about words that it can't take."""
        return Mistake(f"use {self.usage}: {self.help}")
