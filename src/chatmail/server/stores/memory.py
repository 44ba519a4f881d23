"""The store that keeps nothing: numbers, and the latest direct messages for those who have not read them."""

import secrets
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import timedelta

from chatmail.core.records import Change, Entry, Missed, Snapshot

DIRECTS_MAX = 64 * 1024 * 1024
"""Most characters of direct messages that are kept; the oldest go first."""


class MemoryStore:
    """What was said lives as long as the process.

    Args:
        keep_days: how long direct messages wait for their readers.
        directs_max: how many characters of them are kept.
    """

    def __init__(self, keep_days: int, directs_max: int = DIRECTS_MAX) -> None:
        self._keep = timedelta(days=keep_days)
        self._directs_max = directs_max
        self._last = 0
        self._private = array("q")  # the numbers of all direct messages there ever were, ascending
        self._directs: dict[int, Entry] = {}
        self._size = 0

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
                self._keep_direct(entry)
        return numbers

    def _keep_direct(self, entry: Entry) -> None:
        self._private.append(self._last)
        self._directs[self._last] = entry
        self._size += len(entry.text)
        while self._size > self._directs_max or next(iter(self._directs.values())).time < entry.time - self._keep:
            self._size -= len(self._directs.pop(next(iter(self._directs))).text)

    async def missed(self, account: int, after: int, before: int) -> Missed:
        """Count and collect what lies between two numbers."""
        between = self._private[bisect_right(self._private, after) : bisect_left(self._private, before)]
        directs = ((number, self._directs.get(number)) for number in between)
        own = tuple((number, entry) for number, entry in directs if entry and account in (entry.author, entry.reader))
        return Missed(open=before - 1 - after - len(between), directs=own)

    async def close(self) -> None:
        """Nothing to do."""
