"""What somebody may cause within an hour: codes to an address, codes from a host, mails of a sender."""

from collections import Counter, deque

HOUR = 3_600.0


class Hourly:
    """Counts, for each of many, what they caused within the last hour.

    Args:
        limit: so much may that be.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._times: deque[tuple[float, str | int]] = deque()  # oldest first
        self._counts: Counter[str | int] = Counter()

    def is_spent(self, who: str | int, now: float) -> bool:
        """Whether this one may cause nothing more at this time."""
        while self._times and self._times[0][0] <= now - HOUR:
            _, gone = self._times.popleft()
            self._counts[gone] -= 1
            if not self._counts[gone]:
                del self._counts[gone]
        return self._counts[who] >= self._limit

    def count(self, who: str | int, now: float) -> None:
        """Something more was caused."""
        self._times.append((now, who))
        self._counts[who] += 1
