"""Which comings and goings are told one by one, and which are folded into one line. Pure: the time comes in.

    + Ann joined                            the first in a run is told at once
    + Bob, Cem and 3 more joined; - Eve left    those that follow it within half a minute

A run ends with the next other line: so what stands in such a line happened between its neighbours. Told at once is
always who spoke lately or wrote direct messages with us, and who was made to go. Who went and is back before that was
told is told of not at all.
"""

from datetime import datetime, timedelta

from chatmail.core import wire

WINDOW = timedelta(seconds=30)
"""So long others are gathered after the first."""
LATELY = timedelta(minutes=10)
"""Who spoke within so long before they come or go is not quiet."""
REMEMBERED_MAX = 1_000
"""The times of so many speakers are remembered."""

Coming = wire.Joined | wire.Left

_QUIET_REASONS = frozenset({"", "left", "connection lost", "their server ended"})
"""Why people go whom nobody has sent away."""


class Presence:
    """What of the comings and goings is still to be told."""

    def __init__(self) -> None:
        self._spoke: dict[str, datetime] = {}
        self._partners: set[str] = set()
        self._gathered: dict[str, Coming] = {}
        self._until: datetime | None = None
        """When the others are told that follow the first of a run; None: there is no run."""

    @property
    def due(self) -> datetime | None:
        """When to ``tick``; None: not before something happens."""
        return self._until if self._gathered else None

    def heard(self, frame: wire.Message | wire.Direct) -> None:
        """Somebody said something, to all, to us, or we to them."""
        if isinstance(frame, wire.Direct):
            self._partners |= {frame.sender, frame.to}
        self._spoke.pop(frame.sender, None)
        self._spoke[frame.sender] = frame.time
        if len(self._spoke) > REMEMBERED_MAX:
            del self._spoke[next(iter(self._spoke))]

    def tells(self, frame: Coming, now: datetime) -> bool:
        """Whether this is told at once; otherwise it is kept for ``tick`` or ``flush``."""
        before = self._gathered.get(frame.name)
        if before is not None and type(before) is not type(frame):
            del self._gathered[frame.name]
            return False
        if self._is_known(frame):
            return True
        if self._until is None or (now >= self._until and not self._gathered):
            self._until = now + WINDOW
            return True
        self._gathered[frame.name] = frame
        return False

    def tick(self, now: datetime) -> list[Coming]:
        """What is to be told in one line by now, if anything. The run goes on: others may follow."""
        if not self._gathered or self._until is None or now < self._until:
            return []
        gathered = self.flush()
        self._until = now + WINDOW
        return gathered

    def flush(self) -> list[Coming]:
        """Another line comes: what is to be told in one line before it, if anything."""
        gathered = list(self._gathered.values())
        self._gathered.clear()
        self._until = None
        return gathered

    def _is_known(self, frame: Coming) -> bool:
        spoke = self._spoke.get(frame.name)
        lately = spoke is not None and frame.time - spoke <= LATELY
        sent_away = isinstance(frame, wire.Left) and frame.reason not in _QUIET_REASONS
        return lately or sent_away or frame.name in self._partners
