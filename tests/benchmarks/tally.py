"""Who got what: every delivery of a phase is counted, cheaply while the clock runs and strictly after it.

Most servers give everybody the very same bytes. Then each connection is compared with what another got before it, which
is several times cheaper than counting, and proves more: after the clock one stream is read frame by frame, for all.

Where streams differ (who sends does not hear themselves, or several senders come in another order at each reader),
lines are counted for everybody, and the streams of a few are kept to be read. A message lost here and doubled there
would pass unseen with those whose streams are not kept, and only there.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet

from tests.benchmarks.wires import Wire

KEPT = 3
"""So many of the streams that differ are kept and read, besides those of all who send."""

Hear = Callable[[int, bytearray, int], None]
"""Takes what came: for which connection, a buffer, and how much of it."""


class LoadError(Exception):
    """The server did not do what it must, or not in time."""


class Alike:
    """Connections that must get the same bytes; whoever gets them first says what they are."""

    def __init__(self, members: Collection[int], newlines: int) -> None:
        self.stream = bytearray()
        self.messages = 0
        self._members = len(members)
        self._heard = [0] * (max(members) + 1)
        self._total = 0
        self._lines = 0
        self._newlines = newlines
        self._slice = (0, b"")

    def hear(self, number: int, buffer: bytearray, size: int) -> None:
        """Raises LoadError when it is not what another got."""
        start = self._heard[number]
        self._heard[number] = end = start + size
        self._total += size
        known = len(self.stream)
        if end > known:
            if not buffer.startswith(memoryview(self.stream)[start:]):
                raise self._differs(number, start, bytes(memoryview(buffer)[:size]))
            self.stream += memoryview(buffer)[known - start : size]
            self._lines += buffer.count(b"\n", known - start, size)
            self.messages = self._lines // self._newlines
            return
        at, expected = self._slice
        if at != start or len(expected) != size:
            expected = bytes(memoryview(self.stream)[start:end])
            self._slice = (start, expected)
        if not buffer.startswith(expected):
            raise self._differs(number, start, bytes(memoryview(buffer)[:size]))

    def done(self, messages: int) -> bool:
        """Whether everybody has got so many. Raises LoadError when somebody has got more."""
        if self.messages > messages:
            raise LoadError(f"{messages} messages were said, {self.messages} were delivered")
        return self.messages == messages and self.is_even()

    def is_even(self) -> bool:
        """Whether everybody has got what anybody has got."""
        return self._total == len(self.stream) * self._members

    def _differs(self, number: int, start: int, data: bytes) -> LoadError:
        same = 0
        while same < len(data) and self.stream[start + same : start + same + 1] == data[same : same + 1]:
            same += 1
        line = data[data.rfind(b"\n", 0, same + 1) + 1 :].split(b"\n")[0]
        return LoadError(f"connection {number} got something else than others: {line[:200]!r}")


class Apart:
    """Connections that get bytes of their own: those of ``kept`` stay to be read, of the others lines are counted."""

    def __init__(self, members: Collection[int], newlines: int, kept: Collection[int]) -> None:
        self.most = 0
        """So many lines came to whom most came."""
        self.streams = {number: bytearray() for number in kept}
        self._newlines = newlines
        self._lines = dict.fromkeys(members, 0)
        self._total = 0

    def hear(self, number: int, buffer: bytearray, size: int) -> None:
        lines = buffer.count(b"\n", 0, size)
        self._total += lines
        self._lines[number] = lines = self._lines[number] + lines
        if lines > self.most:
            self.most = lines
        if number in self.streams:
            self.streams[number] += memoryview(buffer)[:size]

    def done(self, messages: Mapping[int, int]) -> bool:
        """Whether each has got as many as it is to get. Raises LoadError when some have got more."""
        if self._total < sum(messages.values()) * self._newlines:
            return False
        for number, count in messages.items():
            if self._lines[number] != count * self._newlines:
                lines = self._lines[number]
                raise LoadError(f"connection {number} got {lines} lines of {count} messages, {self._newlines} in each")
        return True


class Replies:
    """What a server says to those who send on a connection of its own: the same short reply to each message."""

    def __init__(self, members: Collection[int], reply: bytes) -> None:
        self._reply = reply
        self._heard = {number: bytearray() for number in members}

    def hear(self, number: int, buffer: bytearray, size: int) -> None:
        self._heard[number] += memoryview(buffer)[:size]

    def done(self, messages: int) -> bool:
        """Whether so many came to each. Raises LoadError when there was another one, or more of them."""
        size = messages * len(self._reply)
        if any(len(heard) < size for heard in self._heard.values()):
            return False
        for number, heard in self._heard.items():
            if heard != self._reply * messages:
                others = set(bytes(heard).splitlines(keepends=True)) - {self._reply}
                raise LoadError(f"connection {number} got other replies than {self._reply!r}: {list(others)[:3]}")
        return True


class Tally:
    """All that comes in a phase. Numbers 0 … are people, the senders first; after them come extra connections to send.

    Args:
        ordered: whether everybody gets the messages of different senders in the same order.
    """

    def __init__(self, wire: Wire, people: int, senders: int, *, ordered: bool) -> None:
        self._wire = wire
        self._senders = senders
        members = range(people)
        apart = range(0) if wire.echoes else range(senders)
        if senders > 1 and not ordered:
            apart = members
        alike = [number for number in members if number not in apart]
        kept = {*range(min(senders, len(apart))), *apart[:KEPT], *apart[-KEPT:]}
        self._alike = Alike(alike, wire.newlines) if alike else None
        self._apart = Apart(apart, wire.newlines, kept) if apart else None
        self._shares = {number: senders - (number < senders and not wire.echoes) for number in apart}
        self._replies: Replies | None = None
        self.hear: list[Hear] = [self._hearer(number in apart) for number in members]
        """What to call for each connection."""
        if wire.reply:
            self._replies = Replies(range(people, people + senders), wire.reply % people)
            self.hear += [self._replies.hear] * senders

    def _hearer(self, is_apart: bool) -> Hear:
        group = self._apart if is_apart else self._alike
        assert group is not None
        return group.hear

    @property
    def messages(self) -> int:
        """So many were delivered to somebody."""
        if self._alike:
            return self._alike.messages
        assert self._apart is not None
        most = self._apart.most // self._wire.newlines
        return most if self._wire.echoes else most * self._senders // (self._senders - 1)

    @property
    def size(self) -> int:
        """So many bytes are kept of one stream."""
        return len(self._alike.stream) if self._alike else self.messages * len(self._wire.template(0))

    def done(self, said: int) -> bool:
        """Whether everybody has everything, each sender having said so many. Raises LoadError where it was more."""
        complete = True
        if self._alike:
            complete = self._alike.done(said * self._senders)
        if complete and self._apart:
            complete = self._apart.done({number: said * senders for number, senders in self._shares.items()})
        if complete and self._replies:
            complete = self._replies.done(said)
        return complete

    def check(self, spans: Sequence[range], last: int | None) -> None:
        """Read what was kept: ``spans`` are the numbers of each sender's messages, ``last`` the seq before them."""
        if self._alike:
            check(self._wire, self._alike.stream, dict(enumerate(spans)), last)
        if self._apart:
            for number, stream in self._apart.streams.items():
                heard = {k: span for k, span in enumerate(spans) if self._wire.echoes or k != number}
                check(self._wire, stream, heard)


def check(
    wire: Wire,
    stream: bytes | bytearray,
    spans: Mapping[int, range],
    last: int | None = None,
    others: AbstractSet[int] = frozenset(),
) -> None:
    """A stream holds each message of each sender, in the order of its numbers, and nothing else.

    Args:
        spans: for each sender that is heard, the numbers of its messages.
        last: where the server numbers its deliveries, they go on from here; None: they do not matter.
        others: these numbers went to somebody else.
    """
    expected = {sender: span.start for sender, span in spans.items()}
    at = 0
    for found in wire.frame.finditer(stream):
        if found.start() != at:
            break
        sender = int(found["sender"] or -1)  # else the server tells who came or went
        if sender >= 0 and expected.get(sender) != int(found["number"]):
            break
        if last is not None and "seq" in wire.frame.groupindex:
            last = following(last, others)
            if int(found["seq"]) != last:
                break
        at = found.end()
        if sender >= 0:
            expected[sender] += 1
    if at != len(stream):
        raise LoadError(f"where message {expected} of each sender was to come, came {bytes(stream[at : at + 300])!r}")
    missing = {sender: span.stop - expected[sender] for sender, span in spans.items() if expected[sender] != span.stop}
    if missing:
        raise LoadError(f"messages are missing at the end, of each sender: {missing}")


def following(number: int, others: AbstractSet[int]) -> int:
    """The number after this one that is none of the others."""
    number += 1
    while number in others:
        number += 1
    return number
