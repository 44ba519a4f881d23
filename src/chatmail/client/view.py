"""Everything that stands above the input line: what ``Reading`` makes of the news goes to the ``Display``, in time."""

import asyncio
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import partial
from typing import Literal, Protocol

from chatmail.client import screen
from chatmail.client.lookback import Found, NotFound
from chatmail.client.reading import Reading, Row
from chatmail.client.timeline import News, Timeline
from chatmail.terminal.display import Display
from chatmail.terminal.text import Fragments

Bell = Literal["all", "direct", "off"]
"""When the terminal rings: for direct messages and when our name falls, for direct messages, or never."""


class Shown(Protocol):
    """Is told what the person's screen has shown."""

    def __call__(self, seq: int, *, direct: bool) -> object:
        """The entry of this number, a direct message or not."""


class View:
    """What one person sees above the input line.

    Args:
        display: where lines go.
        timeline: what we know.
        shown: is told of each entry, once it is there to be seen.
        changed: is called after anything that may change what stands around the input line, but shows nothing above
            it: with what is shown there, the display draws all of it again anyway.
    """

    def __init__(
        self,
        display: Display,
        timeline: Timeline,
        shown: Shown,
        changed: Callable[[], object],
        *,
        look: screen.Look,
        bell: Bell,
    ) -> None:
        self._display = display
        self._timeline = timeline
        self._shown = shown
        self._changed = changed
        self._look = look
        self._bell = bell
        self._reading = Reading(timeline, _now(), look)
        self._timer: asyncio.TimerHandle | None = None

    def pressed(self) -> None:
        """The person has pressed a key."""
        self._reading.pressed(_now())

    def news(self, news: News) -> None:
        """Show a frame, at once or when its time has come."""
        self._show(self._reading.news(news, _now()))

    def found(self, answer: Found | NotFound) -> None:
        """Show what a look back brought."""
        if isinstance(answer, NotFound):
            self.tell(screen.status(answer.text, trouble=True))
        else:
            self.tell(*screen.look_back(answer, me=self._timeline.me, today=_today(), look=self._look))

    def tell(self, *lines: Fragments) -> None:
        """Show lines of our own."""
        self._show([*self._reading.end(), *map(Row, lines)])

    def end(self) -> None:
        """Show what still waits: nothing more comes."""
        self._show(self._reading.end())

    def _show(self, rows: list[Row]) -> None:
        for row in rows:
            ring = bool(row.call) and (self._bell == "all" or (self._bell == "direct" and row.direct))
            self._display.show(row.line, ring=ring, notice=row.call, then=partial(self._is_shown, row))
        if self._timer is not None:
            self._timer.cancel()
        due = self._reading.due
        wait = None if due is None else max(0.0, (due - _now()).total_seconds())
        self._timer = None if wait is None else asyncio.get_running_loop().call_later(wait, self._tick)
        if not rows:
            self._changed()

    def _is_shown(self, row: Row) -> None:
        if row.seq:
            self._shown(row.seq, direct=row.direct)

    def _tick(self) -> None:
        self._show(self._reading.tick(_now()))


def _now() -> datetime:
    return datetime.now(UTC)


def _today() -> date:
    return _now().astimezone().date()
