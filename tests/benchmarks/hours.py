"""Eight hours of talk, played as fast as it goes: whether memory grows with what was said.

Some people say a message a second each. For every so many of these one says something to another directly (all have
chosen to get no mail: what a mail takes lasts longer than this), and every half hour some leave and come back, which
all others are told. Memory is what is resident when the journal has been filled, at half time and at the end.
"""

import sys
import time
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.crowd import Crowd
from tests.benchmarks.direct import Party, ask_for_no_mail
from tests.benchmarks.flood import memory
from tests.benchmarks.load import hear_mark, mark
from tests.benchmarks.play import Figures, Target, perform, rounds, row
from tests.benchmarks.section import Bench, Section
from tests.benchmarks.servers import PATIENCE, SERVERS
from tests.benchmarks.tally import LoadError, check
from tests.benchmarks.wires import TOLD


@dataclass(frozen=True)
class Size:
    """So many hours of so many people, in parts, between which so many of them leave and come back.

    ``every``: one direct message to so many others.
    """

    hours: float = 8.0
    people: int = 30
    parts: int = 16
    movers: int = 5
    every: int = 50
    window: int = 256

    @property
    def messages(self) -> int:
        """So many in each part."""
        return int(self.hours * 3600 * self.people / self.parts)


FULL, QUICK = Size(), Size(hours=1.0, parts=6)


def measure(bench: Bench, size: Size | None = None) -> Section:
    """With a column for our server. Raises BenchmarkError."""
    size = size or (QUICK if bench.quick else FULL)
    patience = 4 * PATIENCE + size.parts * (PATIENCE + size.messages / 500)
    found = rounds(bench, "hours", {"chatmail": SERVERS["chatmail"]}, lambda _: size, patience)
    return Section(
        f"hours: {size.hours:g} of {size.people} people",
        ["chatmail"],
        [
            row("messages", found, lambda f: f["messages"], ",.0f"),
            row("of these, direct", found, lambda f: f["directs"], ",.0f"),
            row("messages a second", found, lambda f: f["messages"] / f["seconds"], ",.0f"),
            row("memory, journal full, MiB", found, lambda f: f["full"] / 2**20, ".1f"),
            row("memory at half time, MiB", found, lambda f: f["half"] / 2**20, ".1f"),
            row("memory at the end, MiB", found, lambda f: f["end"] / 2**20, ".1f"),
            row("grown since half time, %", found, lambda f: 100 * f["end"] / f["half"] - 100, ".1f", "5 or less"),
        ],
    )


def leave_and_come_back(crowd: Crowd, numbers: range, last: int) -> int:
    """These people go, one after the other, and come in again; all others are told. The number of the last entry."""
    before = dict.fromkeys(range(crowd.people), b"")

    def hear(number: int, data: bytes) -> None:
        before[number] += data

    for number in numbers:
        crowd.be_patient(PATIENCE)
        crowd.say_goodbye(number)
        crowd.come_back(number, hear)
    first = crowd.mouths[0].mark()
    heard = hear_mark(crowd, first)
    for number, stream in enumerate(heard):
        if number not in numbers:
            check(TOLD, before[number] + stream, {0: range(first, first + 1)}, last)
    seq = last + 2 * len(numbers) + 1
    if not all(b'"seq":%d,' % seq in stream.splitlines()[-1] for stream in heard):
        raise LoadError(f"{len(numbers)} left and came back after entry {last}, and then came {heard[-1][-300:]!r}")
    return seq


def run(target: Target, facts: dict[str, Any]) -> Figures:
    """What the load process does."""
    size = Size(**facts)
    crowd = Crowd(target.port, target.wire, size.people, size.people, target.door)
    memories = []
    messages = directs = 0
    seconds = 0.0
    try:
        crowd.join(PATIENCE)
        last = mark(crowd, PATIENCE)
        ask_for_no_mail(crowd, range(size.people))
        party = Party(crowd, target, (), last)
        for part in range(size.parts):
            start = time.monotonic()
            phase, private = party.talk(size.people, size.window, messages=size.messages, every=size.every)
            seconds += time.monotonic() - start
            messages += phase.messages + private
            directs += private
            memories.append(memory(target.pid))
            movers = range(1 + part % 2, 1 + part % 2 + size.movers)
            party.last = leave_and_come_back(crowd, movers, party.last)
    finally:
        crowd.close()
    full, half, end = memories[0], memories[len(memories) // 2 - 1], memories[-1]
    return {
        "messages": messages,
        "directs": directs,
        "seconds": seconds,
        "full": full,
        "half": half,
        "end": end,
    }


if __name__ == "__main__":
    perform(sys.argv[1:], run)
