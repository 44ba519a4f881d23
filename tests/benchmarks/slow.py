"""Slow readers: what they cost the fast ones, and the server's memory.

One sender keeps a window of messages under way to the fast readers: first with nobody else there, then among as many
slow ones, of whom half read nothing and half a trickle. The clock starts when so much has been said that all that the
system holds for a slow reader is full: before that nobody is slow. When all is said, the slow ones read on to the end.
What they get must be what the fast ones got, but for gaps, each of which must tell how many messages were left out,
neither more nor fewer.
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from operator import itemgetter
from typing import Any

from tests.benchmarks.crowd import RECEIVE, Crowd
from tests.benchmarks.flood import Stopwatch, Talk, flood, memory
from tests.benchmarks.followers import Entries, Followers
from tests.benchmarks.load import KEEP, hear_mark, mark
from tests.benchmarks.play import Figures, Target, perform, rounds, row
from tests.benchmarks.section import Bench, Section
from tests.benchmarks.servers import PATIENCE, SERVERS
from tests.benchmarks.tally import Alike, check

FILLED = 3 * 1024 * 1024
"""So many bytes fill a slow reader's buffers, the server's half MiB and its own."""
SIP, SIPS = 65_536, 1.0
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
    patience = 10 * PATIENCE + (size.fast + size.slow) / 10 + 5 * size.seconds
    found = rounds(bench, "slow", {"chatmail": SERVERS["chatmail"]}, lambda _: size, patience)
    return Section(
        f"slow: {size.slow:,} among {size.slow + size.fast:,}",
        ["chatmail"],
        [
            row("deliveries a second, all fast", found, itemgetter("alone rate"), ",.0f"),
            row("the same among slow ones", found, itemgetter("rate"), ",.0f"),
            row("lost by the fast, %", found, lambda f: 100 - 100 * f["rate"] / f["alone rate"], ".0f", "10 or less"),
            row("server CPU/delivery, all fast, µs", found, itemgetter("alone cpu"), ".3f"),
            row("the same among slow ones, µs", found, itemgetter("cpu"), ".3f"),
            row("memory grown, all fast, MiB", found, itemgetter("alone grown"), ".1f"),
            row("grown more by slow ones, MiB", found, itemgetter("grown"), ".1f", "16 or less"),
            row("and when they have read on, MiB", found, itemgetter("at the end"), ".1f"),
            row("messages said to slow ones", found, itemgetter("said"), ",.0f"),
            row("of these, missed by each", found, itemgetter("missed"), ",.0f"),
            row("cut off as too slow", found, itemgetter("too slow"), ",.0f"),
            row("server busy, %", found, itemgetter("busy"), ".0f"),
            row("load busy, %", found, itemgetter("load"), ".0f"),
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
        last = mark(fast, PATIENCE)
        alike, _ = _hearing(fast, last)
        before = memory(target.pid)
        alone = _talk(fast, alike, lambda: None, size, target.pid, last)
        alone["grown"] = (memory(target.pid) - before) / 2**20
        slow.join(PATIENCE + slow.people / 50)
        last = mark(fast, PATIENCE)
        slow.be_patient(PATIENCE)
        hear_mark(slow, fast.mouths[0].said - 1)
        alike, followers = _hearing(fast, last)
        for number in range(slow.people):
            followers.enter(number, last)
        sluggards = Sluggards(slow, followers)
        before = memory(target.pid)
        figures = _talk(fast, alike, sluggards.trickle, size, target.pid, last)
        figures["grown"] = (memory(target.pid) - before) / 2**20
        sluggards.read_on()
        figures["at the end"] = (memory(target.pid) - before) / 2**20
    finally:
        fast.close()
        slow.close()
    figures |= {"said": alike.messages, "missed": followers.missed / slow.people, "too slow": sluggards.cut}
    return figures | {f"alone {name}": value for name, value in alone.items()}


def _hearing(fast: Crowd, last: int) -> tuple[Alike, Followers]:
    """The fast ones hear what comes after this entry, and others may follow."""
    alike = Alike(range(fast.people), newlines=1)
    return alike, Followers(alike.stream, Entries(alike.stream, last), gaps=True)


def _talk(fast: Crowd, alike: Alike, trickle: Callable[[], None], size: Size, pid: int, last: int) -> dict[str, float]:
    """Talk for a while, the fast ones reading all of it; what that took once the slow ones were behind."""
    begun = fast.mouths[0].said
    talk = Talk(fast, 1, size.window, lambda: alike.messages)
    fast.be_patient(2 * PATIENCE + size.seconds)
    end = 0.0

    def is_filled() -> bool:
        trickle()
        return len(alike.stream) >= size.filled

    def over() -> bool:
        trickle()
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
    check(fast.wire, alike.stream, {0: range(begun, fast.mouths[0].said)}, last)
    return {
        "rate": phase.deliveries / phase.seconds,
        "cpu": phase.server_cpu / phase.deliveries * 1e6,
        "busy": 100 * phase.server_cpu / phase.seconds,
        "load": 100 * phase.load_cpu / phase.seconds,
    }


if __name__ == "__main__":
    perform(sys.argv[1:], run)
