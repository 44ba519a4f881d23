"""People who have joined and say nothing: the memory each of them costs, and the processor at rest.

Memory is what is resident with all of them, less what was with one. While nothing is said, nobody may get a byte; after
that, a message must come to everybody. Then all give signs of life as the client does, each one every 25 s: what that
costs is no rest, but no people are without it.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks import peers
from tests.benchmarks.crowd import Crowd
from tests.benchmarks.flood import cpu_time, memory
from tests.benchmarks.load import mark
from tests.benchmarks.play import Figures, Target, perform, rounds, row
from tests.benchmarks.section import Bench, Row, Section
from tests.benchmarks.servers import PATIENCE, SERVERS
from tests.benchmarks.tally import LoadError
from tests.benchmarks.wires import CHAT

PEERS = ("redis", "nats", "ngircd", "inspircd")
LOUD = 1_000
"""Of servers that tell everybody of each newcomer, so many people are asked: each costs the same."""
PING, PONG = b'{"type":"ping"}\n', b'{"type":"pong"}\n'
SILENCE = 25.0
"""So long a client says nothing before it gives a sign of life, in seconds."""


@dataclass(frozen=True)
class Size:
    """So many people, who rest for so many seconds."""

    people: int = 10_000
    seconds: float = 5.0


FULL, QUICK = Size(), Size(2_000, 1.0)


def measure(bench: Bench, size: Size | None = None) -> Section:
    """With a column for each server. Raises BenchmarkError."""
    size = size or (QUICK if bench.quick else FULL)
    few = Size(min(LOUD, size.people), size.seconds)
    with TemporaryDirectory(prefix="benchmark-") as folder:
        others, _, missing = peers.find(Path(folder), PEERS if bench.peers else ())
        for name, why in missing.items():
            print(f"without {name}: {why}", file=sys.stderr)
        kinds = {"chatmail": SERVERS["chatmail"], **others}

        def size_of(name: str) -> Size:
            return few if kinds[name].wire == "irc" else size

        patience = 4 * PATIENCE + size.people / 25 + 2 * size.seconds
        found = rounds(bench, "idle", kinds, size_of, patience)
    alive = median(100 * figures["alive"] for figures in found["chatmail"])
    return Section(
        f"idle: {size.people:,} joined",
        list(kinds),
        [
            row("people", found, lambda f: f["people"], ",.0f"),
            row("memory of each, KiB", found, lambda f: f["each"] / 1024, ".2f", "7 or less"),
            row("CPU at rest, %", found, lambda f: 100 * f["rest"], ".2f", "1 or less"),
            Row("CPU with signs of life, %", [alive, *(None for _ in others)], ".2f"),
        ],
    )


def rest(crowd: Crowd, seconds: float, pid: int, *, pings: float = 0) -> float:
    """The share of a processor that a server uses for so long, with so many signs of life a second and nothing else."""
    crowd.be_patient(PATIENCE + seconds)
    pongs = said = 0
    start, before = time.monotonic(), cpu_time(pid)

    def missing() -> str:
        return f"{pongs} of {said} signs of life are answered"

    while (left := start + seconds - time.monotonic()) > 0 or pongs < said:
        while left > 0 and said < pings * (seconds - left):
            crowd.send(said % crowd.people, PING)
            said += 1
        for number in crowd.ready(missing, 0.01):
            data = crowd.receive(number)
            if data != PONG * (pings > 0):
                raise LoadError(f"connection {number} was at rest and got {data[:300]!r}")
            pongs += 1
    return (cpu_time(pid) - before) / (time.monotonic() - start)


def run(target: Target, facts: dict[str, Any]) -> Figures:
    """What the load process does."""
    size = Size(**facts)
    crowd = Crowd(target.port, target.wire, size.people, 1, target.door)
    before: list[int] = []
    try:
        crowd.join(PATIENCE + size.people / 25, one_is_in=lambda: before.append(memory(target.pid)))
        each = (memory(target.pid) - before[0]) / (size.people - 1)
        last = mark(crowd, PATIENCE)
        figures = {"people": size.people, "each": each, "rest": rest(crowd, size.seconds, target.pid)}
        if crowd.wire is CHAT:
            figures["alive"] = rest(crowd, size.seconds, target.pid, pings=size.people / SILENCE)
        mark(crowd, PATIENCE, after=last)
    finally:
        crowd.close()
    return figures


if __name__ == "__main__":
    perform(sys.argv[1:], run)
