"""Those who come into a stream in its middle: newcomers, people who were cut off, slow readers.

One stream, which somebody else hears from its beginning, is what all of them must get; each has a place in it.

    the stream   41   42   43   44   45   46
    a newcomer             └─── 43   44   45 …    after what was said before, which is told as well
    cut off at 42          └─── 43   44   45 …
    slow         41   42   gap: 2 missed  45 …    where it is allowed: a gap must tell how many were left out

What comes to somebody before the stream has come so far waits until it has.
"""

import re
from bisect import bisect_right

from tests.benchmarks.tally import LoadError

GAP = re.compile(rb'\{"type":"gap","missed":(\d+)\}\n')
GAP_START = b'{"type":"gap",'
MESSAGE_START = b'{"type":"message",'


class Entries:
    """Where the entries of a stream end: one a line, their numbers consecutive.

    Args:
        last: the number of the entry before the stream.
    """

    def __init__(self, stream: bytearray, last: int) -> None:
        self._stream = stream
        self._last = last
        self._ends = [0]

    def end(self, seq: int) -> int | None:
        """Where the stream goes on after this entry, None where it has not come so far."""
        at = seq - self._last
        if at >= len(self._ends):
            self._look()
        return self._ends[at] if 0 <= at < len(self._ends) else None

    def at(self, place: int) -> int:
        """The number of the last entry that ends before this place, or at it."""
        self._look()
        return self._last + bisect_right(self._ends, place) - 1

    def history(self, seq: int, count: int) -> bytes:
        """The last so many messages up to this entry, which the stream must have."""
        lines: list[bytes] = []
        at = seq - self._last
        while len(lines) < count and at > 0:
            line = bytes(memoryview(self._stream)[self._ends[at - 1] : self._ends[at]])
            if line.startswith(MESSAGE_START):
                lines.append(line)
            at -= 1
        return b"".join(reversed(lines))

    def _look(self) -> None:
        end = self._ends[-1]
        while end := self._stream.find(b"\n", end) + 1:
            self._ends.append(end)


class Followers:
    """Connections that hear a stream from some place in it.

    Args:
        gaps: whether they may be told that they missed something; ``missed`` is how much that was.
    """

    def __init__(self, stream: bytearray, entries: Entries, *, gaps: bool) -> None:
        self.missed = 0
        self._stream = stream
        self._entries = entries
        self._gaps = gaps
        self._places: dict[int, int] = {}
        self._waiting: dict[int, bytes] = {}
        self._total = 0
        self._slice = (0, b"")

    def enter(self, number: int, seq: int, ahead: bytes = b"") -> None:
        """Somebody hears what comes after this entry, which the stream has; ``ahead`` has come already."""
        place = self._entries.end(seq)
        if place is None:
            raise LoadError(f"connection {number} is to go on after entry {seq}, which nobody has heard of")
        self._places[number] = place
        self._total += place
        self._waiting[number] = ahead
        self._go_on(number)

    def leave(self, number: int) -> int:
        """Somebody hears no more; the number of the last entry they have got."""
        place = self._places.pop(number)
        self._total -= place
        self._waiting.pop(number, None)
        return self._entries.at(place)

    def hear(self, number: int, buffer: bytearray, size: int) -> None:
        """Raises LoadError when it is not what the stream has there."""
        place = self._places[number]
        if number not in self._waiting and place + size <= len(self._stream):
            at, expected = self._slice
            if at != place or len(expected) != size:
                expected = bytes(memoryview(self._stream)[place : place + size])
                self._slice = (place, expected)
            if buffer.startswith(expected):
                self._move(number, size)
                return
        self._waiting[number] = self._waiting.get(number, b"") + bytes(memoryview(buffer)[:size])
        self._go_on(number)

    def done(self) -> bool:
        """Whether everybody has everything."""
        for number in list(self._waiting):
            self._go_on(number)
        return not self._waiting and self._total == len(self._stream) * len(self._places)

    def _move(self, number: int, by: int) -> None:
        self._places[number] += by
        self._total += by

    def _go_on(self, number: int) -> None:
        """Compare what waits as far as the stream has come."""
        data = self._step_back(number) + self._waiting.pop(number)
        while data:
            gap = data.find(GAP_START)
            if gap < 0:
                # A line that may become one is looked at when it is whole.
                begun = data.rfind(b"\n") + 1
                gap = begun if GAP_START.startswith(data[begun:]) else len(data)
            place = self._places[number]
            size = min(gap, len(self._stream) - place)
            if memoryview(self._stream)[place : place + size] != data[:size]:
                raise self._differs(number, place, data)
            self._move(number, size)
            data = data[size:]
            if size < gap or not (found := GAP.match(data)) or not self._jump(number, int(found[1])):
                break
            data = data[found.end() :]
        if data:
            self._waiting[number] = data

    def _step_back(self, number: int) -> bytes:
        """Take back the beginning of an entry that may be the beginning of a gap as well."""
        place = self._places[number]
        start = self._entries.end(self._entries.at(place))
        if start is None or not GAP_START.startswith(begun := bytes(memoryview(self._stream)[start:place])):
            return b""
        self._move(number, -len(begun))
        return begun

    def _jump(self, number: int, missed: int) -> bool:
        """Go on after a gap, if the stream has come so far."""
        place = self._places[number]
        seq = self._entries.at(place)
        if not self._gaps or self._entries.end(seq) != place:
            raise LoadError(f"connection {number} got a gap of {missed} after entry {seq}")
        end = self._entries.end(seq + missed)
        if end is None:
            return False
        self.missed += missed
        self._move(number, end - place)
        return True

    def _differs(self, number: int, place: int, data: bytes) -> LoadError:
        seq = self._entries.at(place)
        return LoadError(f"connection {number} got something else than others after entry {seq}: {data[:300]!r}")
