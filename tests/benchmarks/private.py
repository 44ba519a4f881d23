"""Direct messages: who said which to whom, and that each came to its two ends and to nobody else.

What a person hears is what everybody hears, and between that lines of their own:

    everybody   message 7            message 8   message 9
    author      message 7   direct   message 8   receipt   message 9
    reader      message 7   direct   message 8   message 9

So the lines are taken out and kept while the clock runs, and read after it; what is left is compared as for everybody
else, which proves that nobody was delivered anything but their own lines.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from random import Random

from tests.benchmarks.crowd import Crowd
from tests.benchmarks.tally import Alike, LoadError
from tests.benchmarks.wires import CHAT

DIRECT, RECEIPT = b'{"type":"direct"', b'{"type":"receipt"'

MAILED = {"queued", "saved", "held"}
"""What may become of the mail of a direct message; of one to somebody who wants none, "off"."""


class Among(Alike):
    """Connections that get the same bytes, and between them lines of their own."""

    def __init__(self, members: Collection[int]) -> None:
        super().__init__(members, newlines=1)
        self.own: dict[int, list[bytes]] = {number: [] for number in members}
        self.directs = 0
        """So many were delivered, to either end."""
        self.receipts = 0
        self._begun: dict[int, bytes] = {}

    def hear(self, number: int, buffer: bytearray, size: int) -> None:
        """Raises LoadError when it is neither what others got nor lines of one's own."""
        at, expected = self._slice
        # Most get no line of their own: then nothing need be looked for.
        alike = at == self._heard[number] and size == len(expected) and number not in self._begun
        if alike and buffer.startswith(expected):
            self._heard[number] += size
            self._total += size
            return
        data = self._begun.pop(number, b"") + bytes(memoryview(buffer)[:size])
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            self._begun[number] = data[whole:]
        rest = self._keep_own(number, data, whole)
        if rest:
            super().hear(number, rest, len(rest))

    def done(self, messages: int) -> bool:
        """The same, and no line is begun."""
        return super().done(messages) and not self._begun

    def _keep_own(self, number: int, data: bytes, end: int) -> bytearray:
        """Keep the lines that are this connection's own; the others."""
        rest, at = bytearray(), 0
        direct, receipt = data.find(DIRECT, 0, end), data.find(RECEIPT, 0, end)
        while direct >= 0 or receipt >= 0:
            is_direct = receipt < 0 or 0 <= direct < receipt
            start = direct if is_direct else receipt
            stop = data.index(b"\n", start) + 1
            self.own[number].append(data[start:stop])
            rest += memoryview(data)[at:start]
            at = stop
            if is_direct:
                self.directs += 1
                direct = data.find(DIRECT, stop, end)
            else:
                self.receipts += 1
                receipt = data.find(RECEIPT, stop, end)
        rest += memoryview(data)[at:end]
        return rest


class Directs:
    """Direct messages between random pairs.

    Args:
        mailed: those who want mail.
        first: the number of the first one.
    """

    def __init__(self, crowd: Crowd, mailed: Collection[int], random: Random, first: int = 0) -> None:
        self.pairs: list[tuple[int, int]] = []
        """Author and reader of each."""
        self.first = first
        self._crowd = crowd
        self._mailed = frozenset(mailed)
        self._random = random

    def say(self, count: int) -> None:
        """So many."""
        mouths, random = self._crowd.mouths, self._random.random
        people = len(mouths)
        for _ in range(count):
            author = int(random() * people)
            reader = (author + 1 + int(random() * (people - 1))) % people
            mouths[author].send(CHAT.dm(author, reader, self.first + len(self.pairs)))
            self.pairs.append((author, reader))

    def check(self, own: Mapping[int, Sequence[bytes]]) -> set[int]:
        """Each came to its two ends once, with its receipts, and nothing to anybody else; the server's numbers of them.

        Raises LoadError.
        """
        numbers: dict[int, int] = {}
        came: Counter[tuple[int, int]] = Counter()
        became: dict[int, list[str]] = {}
        for number, lines in own.items():
            last = 0
            for line in lines:
                if found := CHAT.receipt.fullmatch(line):
                    pair = self._pair(int(found["id"]))
                    if pair != (number, int(found["reader"])):
                        raise LoadError(f"connection {number} got a receipt of somebody else's: {line!r}")
                    became.setdefault(int(found["id"]), []).append(found["mail"].decode())
                    continue
                found = CHAT.direct.fullmatch(line)
                if found is None:
                    raise LoadError(f"connection {number} got what nobody said: {line[:300]!r}")
                id, seq = int(found["id"]), int(found["seq"])
                pair = self._pair(id)
                if pair is None or number not in pair:
                    raise LoadError(f"connection {number} got a direct message of others: {line!r}")
                said = (int(found["author"]), int(found["reader"]), int(found["sender"]), int(found["number"]))
                if said != (*pair, pair[0], id) or seq <= last or numbers.setdefault(id, seq) != seq:
                    raise LoadError(f"direct message {id} from {pair[0]} to {pair[1]} came as {line!r}")
                last = seq
                came[id, number] += 1
        for id, pair in enumerate(self.pairs, self.first):
            ends = [came[id, end] for end in pair]
            mails = became.get(id, [])
            wanted = MAILED if pair[1] in self._mailed else {"off"}
            if ends != [1, 1] or not mails or not wanted.issuperset(mails) or len(set(mails)) < len(mails):
                what = f"came {ends} times, and of its mail was said {mails}"
                raise LoadError(f"direct message {id} from {pair[0]} to {pair[1]} {what}")
        return set(numbers.values())

    def _pair(self, id: int) -> tuple[int, int] | None:
        at = id - self.first
        return self.pairs[at] if 0 <= at < len(self.pairs) else None
