"""How busy the chat is: messages a minute over the last hour.

Nothing is counted for this while messages flow. Somebody looks every few seconds at a number that grows with each of
them, and the difference between two looks is how many there were.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from math import ceil

STEP = 5.0
"""Seconds from one look to the next."""
MINUTE, HOUR = 60.0, 3_600.0


class Pace:
    """What was seen of one growing number.

    Args:
        number: what it is now.
        now: the time of this, and of each later look, in seconds since the epoch.
    """

    def __init__(self, number: int, now: float) -> None:
        self._times = [now]
        self._numbers = [number]

    def look(self, number: int, now: float) -> None:
        """Take note of what the number is now."""
        while self._times and self._times[-1] >= now:  # the clock was set back: that time is not over
            del self._times[-1], self._numbers[-1]
        fallen = max(self._numbers[-1] - number, 0) if self._numbers else 0
        if fallen:  # the chat begins anew, and goes on from there
            self._numbers = [before - fallen for before in self._numbers]
        self._times.append(now)
        self._numbers.append(number)
        old = max(0, bisect_right(self._times, now - HOUR) - 1)  # the last one before the hour is its beginning
        del self._times[:old], self._numbers[:old]

    def minutes(self, each: int = 1) -> Sequence[float]:
        """Messages a minute up to the last look, oldest first: the mean of each so many minutes of the last hour.

        As many as there are since the first look, at least one; the last holds the minutes that end now.
        """
        now = self._times[-1]
        length = each * MINUTE
        count = max(1, ceil(min(now - self._times[0], HOUR) / length))
        edges = [self._at(now - length * back) for back in range(count, -1, -1)]
        return [(after - before) / each for before, after in pairwise(edges)]

    def _at(self, when: float) -> int:
        """What the number was then."""
        return self._numbers[max(0, bisect_right(self._times, when) - 1)]
