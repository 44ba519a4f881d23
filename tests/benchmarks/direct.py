"""Direct messages among the talk of a crowd: what they cost those who talk to everybody, and that nobody else gets any.

Some talk to everybody, a window of messages always under way: first alone, then each message with a direct one between
two people at random. A tenth of the people want mail, so a tenth of the direct messages cause some; it goes into the
server's outbox. Each direct message must come to its two ends once, with its receipts, and what anybody else gets is
compared byte by byte with what all get.
"""

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.benchmarks.crowd import Crowd
from tests.benchmarks.flood import Phase, Stopwatch, Talk, flood
from tests.benchmarks.load import KEEP, mark
from tests.benchmarks.play import Figures, Target, perform, rounds, row
from tests.benchmarks.private import Among, Directs
from tests.benchmarks.section import Bench, Section
from tests.benchmarks.servers import PATIENCE, SERVERS
from tests.benchmarks.tally import LoadError, check


@dataclass(frozen=True)
class Size:
    """So many people, so many of whom talk to everybody, for so many seconds each of two times."""

    people: int = 1_000
    talkers: int = 10
    mailed: int = 100
    window: int = 256
    seconds: float = 2.0


FULL, QUICK = Size(), Size(seconds=0.5)


def measure(bench: Bench, size: Size | None = None) -> Section:
    """With columns for our server, on disk and in memory. Raises BenchmarkError."""
    size = size or (QUICK if bench.quick else FULL)
    kinds = {name: SERVERS[name] for name in ("chatmail", "in memory")}
    patience = 6 * PATIENCE + 2 * size.seconds
    found = rounds(bench, "direct", kinds, lambda _: size, patience)
    title = f"direct: {size.talkers} of {size.people:,} talk, half are DMs"
    return Section(
        title,
        list(kinds),
        [
            row("broadcasts a second, no DMs", found, lambda f: f["alone"], ",.0f"),
            row("broadcasts a second, with DMs", found, lambda f: f["among"], ",.0f"),
            row("kept, %", found, lambda f: 100 * f["among"] / f["alone"], ".0f", "70 or more"),
            row("DMs a second", found, lambda f: f["directs"], ",.0f"),
            row("server CPU/DM, µs", found, lambda f: f["cpu"], ".1f"),
            row("server busy with DMs, %", found, lambda f: f["busy"], ".0f"),
            row("load busy with DMs, %", found, lambda f: f["load_busy"], ".0f"),
        ],
    )


class Party:
    """People who talk to everybody and to each other; each time, everything is accounted for.

    Args:
        last: the server's number of the last message.
    """

    def __init__(self, crowd: Crowd, target: Target, mailed: Iterable[int], last: int) -> None:
        self.last = last
        self._crowd = crowd
        self._target = target
        self._mailed = list(mailed)
        self._random = Random(0)
        self._directs = 0

    def talk(
        self, talkers: int, window: int, *, seconds: float = 1e9, messages: float = 1e9, every: int = 0
    ) -> tuple[Phase, int]:
        """Talk for so long or so much, with a direct message to every so many others; what it took, and how many.

        What all others say must not wait for a mail: later receipts are read, if they have come.
        """
        crowd = self._crowd
        crowd.be_patient(PATIENCE + min(seconds, messages / 100))
        begun = [mouth.said for mouth in crowd.mouths]
        among = Among(range(crowd.people))
        directs = Directs(crowd, self._mailed, self._random, self._directs)

        def besides() -> None:
            directs.say((talk.said // every if every else 0) - len(directs.pairs))

        def heard() -> int:
            # Of direct messages, too, no more than a window is under way.
            return among.messages - max(0, len(directs.pairs) - among.directs // 2 - window)

        talk = Talk(crowd, talkers, window, heard, besides)
        hear = [among.hear] * crowd.people
        watch = Stopwatch(self._target.pid)
        end = time.monotonic() + seconds

        def over() -> bool:
            talk.talking = talk.talking and (
                time.monotonic() < end and talk.said < messages and len(among.stream) < KEEP
            )
            said = len(directs.pairs)
            if talk.talking or among.directs < 2 * said or among.receipts < said:
                return False
            return among.done(talk.said)

        def missing() -> str:
            return (
                f"{among.messages} of {talk.said} messages were delivered, to some; "
                f"{among.directs} and {among.receipts} receipts of {len(directs.pairs)} direct messages"
            )

        flood(crowd, hear, talk.go_on, over, missing)
        phase = watch.phase(talk.said, crowd.people)
        # A message to all after all others is a barrier: behind it, nothing can come any more that was said before.
        crowd.mouths[0].say(1)
        flood(crowd, hear, lambda: None, lambda: among.done(talk.said + 1), missing)
        others = directs.check(among.own)
        spans = [range(first, mouth.said) for first, mouth in zip(begun, crowd.mouths, strict=True)]
        check(crowd.wire, among.stream, dict(enumerate(spans)), self.last, others)
        self.last += talk.said + 1 + len(directs.pairs)
        self._directs += len(directs.pairs)
        if len(others) != len(directs.pairs) or max(others, default=0) > self.last:
            raise LoadError(f"{len(directs.pairs)} direct messages have the numbers {sorted(others)[-10:]} at the end")
        return phase, len(directs.pairs)


def ask_for_no_mail(crowd: Crowd, numbers: Iterable[int]) -> None:
    """These people choose to get no mail."""
    waiting = set(numbers)
    crowd.be_patient(PATIENCE)
    for number in waiting:
        crowd.send(number, b'{"type":"notify","when":"never"}\n')
    while waiting:
        for number in crowd.ready(lambda: f"{len(waiting)} have no answer to a choice"):
            data = crowd.receive(number)
            if data and data != b'{"type":"ack"}\n':
                raise LoadError(f"connection {number} chose to get no mail and was told {data[:300]!r}")
            if data:
                waiting.discard(number)


def run(target: Target, facts: dict[str, Any]) -> Figures:
    """What the load process does."""
    size = Size(**facts)
    crowd = Crowd(target.port, target.wire, size.people, size.people, target.door)
    try:
        crowd.join(PATIENCE + size.people / 50)
        last = mark(crowd, PATIENCE)
        ask_for_no_mail(crowd, range(size.mailed, size.people))
        party = Party(crowd, target, range(size.mailed), last)
        alone, _ = party.talk(size.talkers, size.window, seconds=size.seconds)
        among, directs = party.talk(size.talkers, size.window, seconds=size.seconds, every=1)
    finally:
        crowd.close()
    return {
        "alone": alone.messages / alone.seconds,
        "among": among.messages / among.seconds,
        "directs": directs / among.seconds,
        "cpu": (among.server_cpu - among.messages * alone.server_cpu / alone.messages) / directs * 1e6,
        "busy": 100 * among.server_cpu / among.seconds,
        "load_busy": 100 * among.load_cpu / among.seconds,
    }


if __name__ == "__main__":
    perform(sys.argv[1:], run)
