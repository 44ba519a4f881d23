"""The store that keeps nothing: numbers, and direct messages until their readers come back or KEEP_DAYS pass."""

import secrets
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import timedelta

from chatmail.core.records import Change, Entry, Missed, Snapshot


class MemoryStore:
    """What was said lives as long as the process.

    Args:
        keep_days: how long direct messages wait for their readers.
    """

    def __init__(self, keep_days: int) -> None:
        self._keep = timedelta(days=keep_days)
        self._last = 0
        self._numbers: list[int] = []  # of the direct messages, ascending
        self._directs: list[Entry] = []

    async def open(self) -> Snapshot:
        """A new epoch: nothing is there yet."""
        return Snapshot(epoch=secrets.token_urlsafe(9), secret=secrets.token_bytes(32))

    async def commit(self, batch: Sequence[Change]) -> list[int | None]:
        """Number the entries."""
        numbers: list[int | None] = []
        for change in batch:
            entry = change.entry
            if entry is None:
                numbers.append(None)
                continue
            self._last += 1
            numbers.append(self._last)
            if entry.kind == "direct":
                self._numbers.append(self._last)
                self._directs.append(entry)
                self._expire(entry)
        return numbers

    def _expire(self, newest: Entry) -> None:
        old = 0
        while self._directs[old].time < newest.time - self._keep:
            old += 1
        del self._numbers[:old], self._directs[:old]

    async def missed(self, account: int, after: int, before: int) -> Missed:
        """Count and collect what lies between two numbers."""
        low, high = bisect_right(self._numbers, after), bisect_left(self._numbers, before)
        between = range(low, high)
        directs = tuple(
            (self._numbers[at], self._directs[at]) for at in between if account in (self._directs[at].audience or ())
        )
        return Missed(open=before - 1 - after - len(between), directs=directs)

    async def close(self) -> None:
        """Nothing to do."""
