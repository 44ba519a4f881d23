"""What a command is, what it works on, and how it says that a line can't be done; ``commands`` has the table of all."""

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from chatmail.core.operator import Operator
from chatmail.core.pace import Pace

QUOTED_MAX = 40
"""So many characters of what was typed are quoted when it is wrong."""
COLUMNS = 79
"""As wide as a terminal usually is, in cells."""


class Mistake(Exception):  # noqa: N818 - an answer, not a fault
    """The line can't be done; ``str()`` says why, and what would do."""


class Offer(Struct, frozen=True):
    """What Tab may put in place of a word, and a few words about it."""

    text: str
    about: str = ""


class Machine(Struct, frozen=True, kw_only=True):
    """What there is around the chat.

    ``memory`` and ``peak`` tell how many bytes the process has, and had at most; ``disk``, how many are kept. What the
    system doesn't tell, or nothing keeps, is None; ``place`` says where else it is kept, if anywhere. ``columns`` tells
    how wide a line may be, ``blocks`` whether it can hold block characters. ``level`` tells how much is logged,
    ``set_level`` changes it.
    """

    memory: Callable[[], int | None]
    peak: Callable[[], int]
    disk: Callable[[], int | None]
    place: str = ""
    level: Callable[[], str]
    set_level: Callable[[str], None]
    columns: Callable[[], int] = lambda: COLUMNS
    blocks: bool = True


class House(Struct, frozen=True):
    """What the commands work on.

    ``show`` shows lines later, where the store has to be asked first; ``quit`` ends the server, or returns what there
    is to say before; ``started`` is when it started, in seconds since the epoch.
    """

    operator: Operator
    show: Callable[[Iterable[str]], None]
    quit: Callable[[float], Iterable[str]]
    started: float
    machine: Machine
    pace: Pace


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
    offers: tuple[Callable[[House, Sequence[str], float], Iterable[Offer]], ...] = ()
    prose: bool = False
    more: str = ""

    def misused(self) -> Mistake:
        """What to say about words that it can't take."""
        return Mistake(f"use {self.usage}: {self.help}")
