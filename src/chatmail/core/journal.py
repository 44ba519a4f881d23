"""The journal: every entry once, as the bytes that go out, numbered 1, 2, 3 …

It is the one structure behind fan-out, history, resume and slow readers. A reader is nothing but a cursor, the
number of the last entry it has; the journal never knows who reads it.

    number   …  41      42      43      44      45
             ┌───────┬───────┬───────┬───────┬───────┐
    bytes  … │  all  │  all  │ a ↔ b │  all  │  all  │   append ->
             └───────┴───────┴───────┴───────┴───────┘
                         ↑ cursor 42
    read by c: 44 45          the very bytes object that everyone else at 42 or 43 gets
    read by a: 43 44 45       its own cut, ending at the same place, so that a is in step again

The oldest entries fall off at the front. A cursor that points before the front cannot be read any more: ``Lagged``.

Invariants: numbers are consecutive; ``first - 1 <= last``; what one read hands out is at most READ_MAX bytes or one
entry; reads end at places that do not depend on where they start.
"""

from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Iterator
from heapq import merge
from itertools import takewhile
from typing import NamedTuple

READ_MAX = 64 * 1024
"""Most bytes one read hands out, an entry that is longer by itself excepted."""
SHARED_MAX = 256
"""So many reads are kept to be shared: those who start at more places than that must not fill the memory."""
ENTRIES_MAX = 10_000
BYTES_MAX = 16 * 1024 * 1024


class Lagged(Exception):  # noqa: N818 - a state, not a fault
    """The cursor points at entries that the journal no longer holds."""


class _Stretch(NamedTuple):
    """What one read hands out to those who may see only what is open to all.

    ``end`` is the cursor after it, ``places`` says where in the bytes the other entries would stand, by number.
    """

    data: bytes
    end: int
    places: dict[int, int]


class Journal:
    """An append-only run of encoded frames, bounded in entries and bytes.

    Args:
        last: the number of the last entry there ever was; the next one is ``last + 1``.
        entries_max, bytes_max: how much is kept; the newest entry is kept whatever its size.
    """

    def __init__(self, last: int = 0, *, entries_max: int = ENTRIES_MAX, bytes_max: int = BYTES_MAX) -> None:
        self.last = last
        self.first = last + 1
        self.size = 0
        self._entries_max = entries_max
        self._bytes_max = bytes_max
        self._data: dict[int, bytes] = {}
        self._audience: dict[int, tuple[int, ...]] = {}  # of entries that are not open to all
        self._private: dict[int, deque[int]] = {}  # account -> the numbers of those it may see
        self._said: deque[int] = deque()  # open entries that are worth telling a newcomer
        # A block is a run of entries of which nobody may see more than READ_MAX bytes; reads end where blocks do. What
        # was added since the last read is in no block yet: so that who is in step gets it in one, if it fits.
        self._block_ends: list[int] = []
        self._block_size = 0
        self._blocked = last
        self._unblocked = 0  # bytes that are open to all
        self._unblocked_own: Counter[int] = Counter()  # and that an account may see besides
        self._reads: dict[int, _Stretch] = {}  # what is open after a cursor, until the next append

    def append(self, data: bytes, audience: tuple[int, ...] | None = None, *, said: bool = True) -> int:
        """Add one encoded frame and return its number.

        Args:
            data: the bytes, newline included.
            audience: the accounts that may see it, None for everybody.
            said: whether it belongs to the history that a newcomer is shown.
        """
        self.last = number = self.last + 1
        self._data[number] = data
        self.size += len(data)
        if audience is not None:
            self._audience[number] = audience
            for account in set(audience):
                self._private.setdefault(account, deque()).append(number)
                self._unblocked_own[account] += len(data)
        else:
            self._unblocked += len(data)
            if said:
                self._said.append(number)
        if self._reads:
            self._reads.clear()
        while number - self.first >= self._entries_max or (self.size > self._bytes_max and self.first < number):
            self._drop_first()
        return number

    def trim(self, upto: int) -> None:
        """Let go of the entries up to this number."""
        self._reads.clear()
        while self.first <= min(upto, self.last):
            self._drop_first()

    def _drop_first(self) -> None:
        number = self.first
        self.first = number + 1
        self.size -= len(self._data.pop(number))
        if self._said and self._said[0] == number:
            self._said.popleft()
        for account in set(self._audience.pop(number)) if number in self._audience else ():
            private = self._private[account]
            private.popleft()
            if not private:
                del self._private[account]
        # Rarely, and many at once: the front of a list is dear.
        if len(self._block_ends) > 1024 and self._block_ends[512] < number:
            del self._block_ends[:512]

    def read(self, cursor: int, account: int) -> tuple[bytes, int]:
        """What this account may see after its cursor, up to READ_MAX bytes, and the cursor after that.

        The bytes may be empty though the cursor moves, where all entries were for others. Raises Lagged.
        """
        stretch = self._stretch(cursor)
        data, end, places = stretch
        private = self._private.get(account)
        if private is None or private[-1] <= cursor:
            return data, end
        own = [number for number in takewhile(cursor.__lt__, reversed(private)) if number <= end]
        pieces: list[bytes | memoryview] = []
        view, at = memoryview(data), 0
        for number in reversed(own):
            place = places.get(number, 0)
            pieces += (view[at:place], self._data[number])
            at = place
        return b"".join([*pieces, view[at:]]), end

    def read_open(self, cursor: int) -> tuple[bytes, int]:
        """The same for whoever may see only what is open to all. Raises Lagged."""
        data, end, _ = self._stretch(cursor)
        return data, end

    def _stretch(self, cursor: int) -> _Stretch:
        """What is open to all after a cursor; one bytes object for all cursors with the same open entry next."""
        known = self._reads.get(cursor)
        if known is not None:
            return known
        if cursor < self.first - 1:
            raise Lagged
        if len(self._reads) >= SHARED_MAX:
            self._reads.clear()
        if self._blocked < self.last:
            self._block()
        audience = self._audience
        end = self._end_of_block(cursor)
        start = cursor
        while start < end and start + 1 in audience:
            start += 1
        # All for others: whoever stands at the end reads on from there, and that is not the same read.
        result = _Stretch(b"", end, {}) if start == end else self._reads.get(start)
        if result is None:
            result = self._reads[start] = self._joined(start, end)
        self._reads[cursor] = result
        return result

    def _joined(self, start: int, end: int) -> _Stretch:
        """The entries after ``start`` up to ``end`` that are open to all, in one piece."""
        entries = []
        places = {}
        size = 0
        for number in range(start + 1, end + 1):
            if number in self._audience:
                places[number] = size
            else:
                entry = self._data[number]
                size += len(entry)
                entries.append(entry)
        return _Stretch(b"".join(entries), end, places)

    def _block(self) -> None:
        """Put what was added since the last time into blocks: into the last one, or one of its own, or several."""
        start, self._blocked = self._blocked, self.last
        size = self._unblocked + max(self._unblocked_own.values(), default=0)
        self._unblocked = 0
        self._unblocked_own.clear()
        if self._block_size and self._block_size + size > READ_MAX:
            self._block_ends.append(start)
            self._block_size = 0
        if size <= READ_MAX:
            self._block_size += size
            return
        for number in range(max(start + 1, self.first), self.last + 1):
            size = len(self._data[number])
            if self._block_size and self._block_size + size > READ_MAX:
                self._block_ends.append(number - 1)
                self._block_size = 0
            self._block_size += size

    def _end_of_block(self, cursor: int) -> int:
        at = bisect_right(self._block_ends, cursor)
        return self._block_ends[at] if at < len(self._block_ends) else self.last

    def history(self, account: int, count: int, *, unseen: int, floor: int) -> Iterator[bytes]:
        """What a newcomer is told: the last ``count`` things said that this account may see, oldest first.

        Its own direct messages after the number ``unseen`` come too, however long ago they were; none up to ``floor``
        ever does.
        """
        own = [number for number in self._private.get(account, ()) if number > floor]
        recent = [self._said[at] for at in range(max(0, len(self._said) - count), len(self._said))]
        told = set(list(merge(recent, own))[-count:] if count else ())
        told.update(number for number in own if number > unseen)
        return (self._data[number] for number in sorted(told))

    def unseen(self, account: int, seen: int) -> int:
        """How many of its direct messages in the journal come after this number."""
        return sum(number > seen for number in self._private.get(account, ()))

    def lag(self, cursor: int) -> int:
        """How many entries are after this cursor."""
        return self.last - cursor
