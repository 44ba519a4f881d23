"""Slow readers: what they cost the fast ones, and the server's memory.

One sender keeps a window of messages under way to the fast readers: with nobody else there, and among as many slow
ones, of whom half read nothing and half a trickle. The clock starts when so much has been said that all that the system
holds for a slow reader is full: before that nobody is slow. When all is said, the slow ones read on to the end. What
they get must be what the fast ones got, but for gaps, each of which must tell how many messages were left out, neither
more nor fewer.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from statistics import median
from typing import Any

from tests.benchmarks.crowd import RECEIVE, Crowd
from tests.benchmarks.flood import Stopwatch, Talk, flood, memory
from tests.benchmarks.followers import Entries, Followers
from tests.benchmarks.load import KEEP, hear_mark, mark
from tests.benchmarks.play import Figures, Target, perform, rounds
from tests.benchmarks.section import Bench, Row, Section
from tests.benchmarks.servers import PATIENCE, SERVERS
from tests.benchmarks.tally import Alike, LoadError, check

FILLED = 3 * 1024 * 1024
"""So many bytes fill a slow reader's buffers, the server's half MiB and its own."""
SIP, SIPS = 2048, 4.0
"""A reader who takes a trickle takes so many bytes so many times a second."""


@dataclass(frozen=True)
class Size:
    """So many fast readers, with so many slow ones, for so many seconds: fewer than it takes to be too slow."""

    fast: int = 1_000
    slow: int = 1_000
    window: int = 256
    filled: int = FILLED
    seconds: float = 4.0


FULL, QUICK = Size(), Size(seconds=1.0)


def measure(bench: Bench, size: Size | None = None) -> Section:
    """With a column for our server. Raises BenchmarkError."""
    size = size or (QUICK if bench.quick else FULL)
    kinds = {"chatmail": SERVERS["chatmail"], "chatmail, all are fast": SERVERS["chatmail"]}
    sizes = dict(zip(kinds, (size, replace(size, slow=0)), strict=True))
    patience = 8 * PATIENCE + (size.fast + size.slow) / 10 + 5 * size.seconds
    slow, alone = rounds(bench, "slow", kinds, lambda name: sizes[name], patience).values()

    def of(name: str, found: Sequence[Figures]) -> float:
        return median(figures[name] for figures in found)

    rate, rate_alone = of("rate", slow), of("rate", alone)
    return Section(
        f"slow: {size.slow:,} among {size.slow + size.fast:,}",
        ["chatmail"],
        [
            Row("deliveries a second, all fast", [rate_alone], ",.0f"),
            Row("the same among slow ones", [rate], ",.0f"),
            Row("lost by the fast, %", [100 * (1 - rate / rate_alone)], ".0f", "under 10"),
            Row("server CPU/delivery, all fast, µs", [of("cpu", alone)], ".3f"),
            Row("the same among slow ones, µs", [of("cpu", slow)], ".3f"),
            Row("memory grown, all fast, MiB", [of("grown", alone)], ".1f"),
            Row("the same among slow ones, MiB", [of("grown", slow)], ".1f", "what the journal takes: 16 more at most"),
            Row("the same when they read on, MiB", [of("at the end", slow)], ".1f"),
            Row("messages said", [of("said", slow)], ",.0f"),
            Row("of these, missed by a slow one", [of("missed", slow)], ",.0f"),
            Row("cut off as too slow", [of("too slow", slow)], ",.0f"),
            Row("server busy, %", [of("busy", slow)], ".0f"),
            Row("load busy, %", [of("load", slow)], ".0f"),
        ],
    )


class Sluggards:
    """The slow ones: the first half of them take a trickle, the others nothing until they ``read_on``."""

    def __init__(self, crowd: Crowd, followers: Followers) -> None:
        self.cut = 0
        """So many were cut off."""
        self._crowd = crowd
        self._followers = followers
        self._here = set(range(crowd.people))
        self._tricklers = crowd.people // 2
        self._turns: Iterator[int] = cycle(range(self._tricklers))
        self._start = time.monotonic()
        self._sips = 0
        self._sip = bytearray(SIP)

    def trickle(self) -> None:
        """Those whose turn it is take a little."""
        due = int((time.monotonic() - self._start) * SIPS * self._tricklers)
        for number in (next(self._turns) for _ in range(due - self._sips)):
            self._read(number, self._sip)
        self._sips = due

    def read_on(self) -> None:
        """All read to the end, but those who were cut off for reading nothing."""
        buffer = bytearray(RECEIVE)
        self._crowd.be_patient(PATIENCE + self._crowd.people / 20)
        while not self._followers.done():
            for fd in self._crowd.poll(lambda: f"some of {len(self._here)} slow ones do not get on"):
                self._read(self._crowd.number_of[fd], buffer)

    def _read(self, number: int, buffer: bytearray) -> None:
        try:
            size = self._crowd.into[number](buffer)
        except BlockingIOError:
            return
        except ConnectionResetError:
            size = 0
        if size:
            self._followers.hear(number, buffer, size)
        elif number < self._tricklers:
            raise self._crowd.hung_up(number)
        else:
            self._followers.leave(number)
            self._crowd.cut(number)
            self._here.discard(number)
            self.cut += 1


def run(target: Target, facts: dict[str, Any]) -> Figures:
    """What the load process does."""
    size = Size(**facts)
    fast = Crowd(target.port, target.wire, size.fast + 1, 1, target.door)
    slow = Crowd(target.port, target.wire, size.slow, 0, target.door, first=size.fast + 1)
    try:
        fast.join(PATIENCE + fast.people / 50)
        if slow.people:
            slow.join(PATIENCE + slow.people / 50)
        last = mark(fast, PATIENCE)
        slow.be_patient(PATIENCE)
        hear_mark(slow, fast.mouths[0].said - 1)
        return _talk(fast, slow, size, target.pid, last)
    finally:
        fast.close()
        slow.close()


def _talk(fast: Crowd, slow: Crowd, size: Size, pid: int, last: int) -> Figures:
    alike = Alike(range(fast.people), newlines=1)
    followers = Followers(alike.stream, Entries(alike.stream, last), gaps=True)
    for number in range(slow.people):
        followers.enter(number, last)
    sluggards = Sluggards(slow, followers)
    begun = fast.mouths[0].said
    before = memory(pid)
    talk = Talk(fast, 1, size.window, lambda: alike.messages)
    fast.be_patient(2 * PATIENCE + size.seconds)
    end = 0.0

    def is_filled() -> bool:
        sluggards.trickle()
        return len(alike.stream) >= size.filled

    def over() -> bool:
        sluggards.trickle()
        talk.talking = talk.talking and time.monotonic() < end and len(alike.stream) < KEEP
        return not talk.talking and alike.done(talk.said)

    def missing() -> str:
        return f"{alike.messages} of {talk.said} were delivered, to some"

    hear = [alike.hear] * fast.people
    flood(fast, hear, talk.go_on, is_filled, missing)
    watch = Stopwatch(pid)
    end = time.monotonic() + size.seconds
    first = alike.messages
    flood(fast, hear, talk.go_on, over, missing)
    phase = watch.phase(alike.messages - first, fast.people)
    grown = memory(pid) - before
    sluggards.read_on()
    at_the_end = memory(pid) - before
    check(fast.wire, alike.stream, {0: range(begun, fast.mouths[0].said)}, last)
    if followers.missed > talk.said * slow.people:
        raise LoadError(f"{followers.missed} messages were missed of {talk.said}, by {slow.people}")
    return {
        "rate": phase.deliveries / phase.seconds,
        "cpu": phase.server_cpu / phase.deliveries * 1e6,
        "grown": grown / 2**20,
        "at the end": at_the_end / 2**20,
        "said": talk.said,
        "missed": followers.missed / max(1, slow.people),
        "too slow": sluggards.cut,
        "busy": 100 * phase.server_cpu / phase.seconds,
        "load": 100 * phase.load_cpu / phase.seconds,
    }


if __name__ == "__main__":
    perform(sys.argv[1:], run)
