"""What comes in, as lines in the order in which somebody reads them, with what helps between them. Pure.

    -- Sunday, 2026-11-22                    where the day changes
    -- end of what was said before           who comes in reads it first, and then who is here
    ── while you were away (12 new) ──       where a connection goes on, or a person is back
    ── new since 14:02 ──                    what came while nobody pressed a key
    ── the server has lost some of this …    where numbers begin anew

The marker comes before the first line that somebody may not have seen, and tells the time of that line; what the
timeline counts as unread is below it. What was said before is held until all of it is there, or none has come for a
second, so that what was missed can be counted first. Comings and goings wait in ``Presence``. Every time comes in.
"""

from datetime import datetime, timedelta

from msgspec import Struct

from chatmail.client.entry import LOOK, Look, call, clock, draw_folded, marker
from chatmail.client.presence import Coming, Presence
from chatmail.client.screen import Days, draw, status
from chatmail.client.timeline import News, Timeline
from chatmail.core import wire
from chatmail.terminal.text import Fragments

IDLE = timedelta(seconds=60)
"""Who presses no key for so long may not have seen what comes."""
HELD = timedelta(seconds=1)
"""What was said before is held until nothing of it has come for so long."""
END = "end of what was said before"
LOST = "the server has lost some of this; what it still has is below"

Said = wire.Message | wire.Direct | wire.Notice


class Row(Struct, frozen=True):
    """One line, and what happens when it is shown.

    ``seq`` is the number up to which all has been shown then; ``direct``: it is a direct message to us, ``call``: what
    a notice tells of it to somebody who should look up.
    """

    line: Fragments
    seq: int = 0
    direct: bool = False
    call: str = ""


class Reading:
    """The state between the lines.

    Args:
        timeline: has taken in everything before it comes here.
        now: when the person began, who is there at that moment.
    """

    def __init__(self, timeline: Timeline, now: datetime, look: Look = LOOK) -> None:
        self._timeline = timeline
        self._look = look
        self._presence = Presence()
        self._days = Days(now.astimezone().date())
        self._pressed = now
        self._welcome: News | None = None
        """Is shown after what is held."""
        self._held: list[News] = []
        self._release: datetime | None = None
        """When what is held is shown at the latest; None: nothing has to be held."""
        self._missed = False
        """Whether the next thing that was missed is the first."""
        self._told: Fragments = []
        """The last line, if that was a receipt: several messages in one mail have the same one each."""

    @property
    def due(self) -> datetime | None:
        """When to ``tick``; None: not before something happens."""
        times = (self._release if self._held or self._welcome else None, self._presence.due)
        return min((time for time in times if time is not None), default=None)

    def pressed(self, now: datetime) -> None:
        """The person is there."""
        self._pressed = now

    def news(self, news: News, now: datetime) -> list[Row]:
        """What to show by now, after this came in."""
        rows = self.tick(now)
        timeline = self._timeline
        frame = news.frame
        if isinstance(frame, wire.Welcome):
            rows += self.end()
            rows += [Row(marker(LOST))] if timeline.is_another else []
            self._missed = timeline.after is not None and timeline.after < timeline.base
            if timeline.base and not frame.resumed:
                self._welcome, self._release = news, now + HELD
            else:
                rows += self._show(news, now)
                self._release = now + HELD if self._missed else None
        elif self._release is not None and self._is_history(frame):
            self._held.append(news)
            self._release = now + HELD
            if isinstance(frame, wire.EntryFrame) and frame.seq == timeline.base:
                rows += self._show_held(now, whole=True)
        else:
            rows += self._show_held(now, whole=True) + self._show(news, now)
        return rows

    def _is_history(self, frame: wire.ServerFrame) -> bool:
        """Whether what was missed may go on after this."""
        return isinstance(frame, wire.Gap) or (isinstance(frame, wire.EntryFrame) and frame.seq <= self._timeline.base)

    def tick(self, now: datetime) -> list[Row]:
        """What to show by now, though nothing came in."""
        held = self._show_held(now, whole=False) if self._release is not None and now >= self._release else []
        return held + self._fold(self._presence.tick(now))

    def flush(self) -> list[Row]:
        """What to show before a line that is no news."""
        return self._fold(self._presence.flush())

    def end(self) -> list[Row]:
        """What to show before there is nothing more."""
        return self._show_held(self._pressed, whole=False) + self.flush()

    def _show_held(self, now: datetime, *, whole: bool) -> list[Row]:
        """Show what is held, as all that was said before or as the beginning of it, and the welcome after it."""
        held, self._held, self._release = self._held, [], None
        welcome, self._welcome = self._welcome, None
        count = sum(news.missed for news in held)
        rows: list[Row] = []
        for news in held:
            if count and self._missed and not self._was_seen(news.frame):
                first = next(other for other in held if other.missed)
                rows += self.flush() + self._mark_missed(first, now, count if whole else 0)
            rows += self._show(news, now)
        if welcome is not None:
            rows += self.flush()
            rows += [Row(status(END))] if rows else []
            rows += self._show(welcome, now)
        return rows

    def _was_seen(self, frame: wire.ServerFrame) -> bool:
        return isinstance(frame, wire.EntryFrame) and frame.seq <= (self._timeline.after or 0)

    def _mark_missed(self, news: News, now: datetime, count: int = 0) -> list[Row]:
        """The marker before this; without a count where nobody knows it."""
        self._missed = False
        if not self._timeline.marked:
            self._timeline.mark(news)
            self._timeline.marked = self._is_idle(now)
        return [Row(marker(f"while you were away ({count:,} new)" if count else "while you were away"))]

    def _mark_new(self, news: News, time: datetime) -> list[Row]:
        self._timeline.mark(news)
        self._timeline.marked = True
        return [Row(marker(f"new since {clock(time)}"))]

    def _is_idle(self, now: datetime) -> bool:
        return now - self._pressed >= IDLE or self._timeline.away is not None

    def _show(self, news: News, now: datetime) -> list[Row]:
        me = self._timeline.me
        frame = news.frame
        if isinstance(frame, wire.Joined | wire.Left) and (frame.name == me or not self._presence.tells(frame, now)):
            return []
        if isinstance(frame, wire.Message | wire.Direct):
            self._presence.heard(frame)
        line = draw(frame, me=me, answered=news.answered, look=self._look, count=news.count, away=news.away)
        if not line:
            return []
        rows = [] if isinstance(frame, wire.Joined | wire.Left) else self.flush()
        told, self._told = self._told, line if isinstance(frame, wire.Receipt) and not rows else []
        if line == told:
            return []
        if not isinstance(frame, wire.EntryFrame):
            return [*rows, Row(line)]
        mine = isinstance(frame, wire.Message | wire.Direct) and frame.sender == me
        if news.missed and self._missed:
            rows += self._mark_missed(news, now)
        elif isinstance(frame, Said) and news.fresh and not (mine or news.missed or self._timeline.marked):
            rows += self._mark_new(news, frame.time) if self._is_idle(now) else []
        rows += self._day(frame)
        tells = call(frame) if news.ring and isinstance(frame, wire.Message | wire.Direct) else ""
        return [*rows, Row(line, frame.seq, isinstance(frame, wire.Direct) and not mine, tells)]

    def _fold(self, frames: list[Coming]) -> list[Row]:
        if not frames:
            return []
        line = draw_folded(frames, self._timeline.me, self._look)
        return [*self._day(frames[-1]), Row(line, max(frame.seq for frame in frames))]

    def _day(self, frame: wire.EntryFrame) -> list[Row]:
        day = self._days.before(frame)
        return [Row(day)] if day else []
