"""A storm: very many come in at once, and come back at once after all were cut off; a few who are there talk all along.

A connection that comes back shows its token and the last number it has, and must be given what it missed, and nothing
else. What everybody hears is compared with what those who were there hear, from the place on where each came in: so a
newcomer's history, too, must be what was said last.

How long those who are there wait for what is said is what the storm costs them: they are looked after before each few
of the others.
"""

import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import Any

from tests.benchmarks.crowd import RECEIVE, Crowd
from tests.benchmarks.flood import flood
from tests.benchmarks.followers import Entries, Followers
from tests.benchmarks.load import latencies, mark
from tests.benchmarks.play import Figures, Target, perform, rounds, row
from tests.benchmarks.section import Bench, Section
from tests.benchmarks.servers import PATIENCE, SERVERS
from tests.benchmarks.tally import Alike, LoadError, check
from tests.benchmarks.wires import CHAT, TOLD

AT_ONCE = 64
"""So many of a storm are looked after before those who talk are."""
HISTORY = 50
"""How many messages a newcomer is shown."""
WELCOME = re.compile(
    rb'\{"type":"welcome",[^\n]*?"epoch":"([^"]+)","seq":(\d+),"resumed":(true|false),"token":"([^"]+)"[^\n]*\n'
)
REFUSAL = re.compile(rb'\{"type":"(?:error|bye)"[^\n]*\n')


@dataclass(frozen=True)
class Size:
    """So many come while others talk, all of them together at this rate; ``away`` is how long those cut off stay so."""

    people: int = 10_000
    talkers: int = 20
    rate: float = 5.0
    away: float = 2.0


FIGURES = (
    ("all in after, s", "seconds", ".2f", "5 or less"),
    ("p99 of who is there, ms", "p99", ".0f", "250 or less"),
    ("worst of who is there, ms", "worst", ".0f", ""),
    ("load busy, %", "load", ".0f", ""),
)
"""Title, name, form and goal of each."""

FULL, QUICK = Size(), Size(people=2_000, away=1.0)


def measure(bench: Bench, size: Size | None = None) -> Section:
    """With a column for our server. Raises BenchmarkError."""
    size = size or (QUICK if bench.quick else FULL)
    patience = 8 * PATIENCE + size.people / 25 + size.away
    found = rounds(bench, "storm", {"chatmail": SERVERS["chatmail"]}, lambda _: size, patience)
    rows = []
    for what in ("joining", "resuming"):
        for title, name, form, goal in FIGURES:
            rows.append(row(f"{what}: {title}", found, itemgetter(f"{what} {name}"), form, goal))
    return Section(f"storm: {size.people:,}, {size.talkers} are there", ["chatmail"], rows)


class Talkers:
    """Those who are there: each says something in turn, at a steady rate, and hears everything."""

    def __init__(self, crowd: Crowd, alike: Alike, rate: float) -> None:
        self.said = 0
        self.arrivals: list[tuple[int, int, bytes]] = []
        self._crowd = crowd
        self._alike = alike
        self._pause = 1 / rate
        self._next = time.monotonic()

    def attend(self, pause: float = 0.0) -> None:
        """Say what is due, and hear what has come, or comes within the pause."""
        mouths = self._crowd.mouths
        if time.monotonic() >= self._next:
            mouths[self.said % len(mouths)].say(1, time.monotonic_ns())
            self.said += 1
            self._next = max(self._next + self._pause, time.monotonic())
        self.listen(pause)

    def listen(self, pause: float = 0.0) -> None:
        """Hear what has come, or comes within the pause."""
        for number in self._crowd.ready(lambda: "those who are there have not got everything", pause):
            data = self._crowd.receive(number)
            self.arrivals.append((time.monotonic_ns(), number, data))
            if data:
                self._alike.hear(number, bytearray(data), len(data))

    def last_word(self) -> bytes:
        """Say one more; the text by which it is known."""
        mouth = self._crowd.mouths[0]
        mouth.say(1)
        return b"%03d %09d " % (0, mouth.said - 1)

    def have(self, text: bytes) -> bool:
        """Whether all have got this, and the same."""
        return text in self._alike.stream and self._alike.is_even()

    def waited(self) -> list[float]:
        """How long each delivery took since this was asked last, in milliseconds, sorted."""
        arrivals, self.arrivals = self.arrivals, []
        return sorted(latencies(CHAT.frame, arrivals, range(self._crowd.people)))


class Storm:
    """Those who come."""

    def __init__(self, crowd: Crowd, talkers: Talkers, entries: Entries, followers: Followers) -> None:
        self._crowd = crowd
        self._talkers = talkers
        self._entries = entries
        self._followers = followers
        self._buffer = bytearray(RECEIVE)
        self._heard: dict[int, bytes] = {}
        self._resumed_from: dict[int, int] = {}
        self._proofs: dict[int, tuple[str, str]] = {}

    def come(self) -> dict[str, float]:
        """All come in; what that took."""
        crowd = self._crowd
        return self._let_in({number: CHAT.hello(crowd.first + number) for number in range(crowd.people)})

    def cut(self) -> None:
        """All are cut off."""
        for number in range(self._crowd.people):
            self._crowd.cut(number)
            self._resumed_from[number] = self._followers.leave(number)

    def come_back(self) -> dict[str, float]:
        """All come in again and go on where they were; what that took."""
        hellos = {}
        for number, seq in self._resumed_from.items():
            epoch, token = self._proofs[number]
            proof = f',"token":"{token}","resume":{{"epoch":"{epoch}","seq":{seq}}}}}\n'.encode()
            hellos[number] = CHAT.hello(self._crowd.first + number).removesuffix(b"}\n") + proof
        return self._let_in(hellos)

    def listen(self, pause: float = 0.0) -> None:
        """Hear a little of what has come, or what comes within the pause."""
        crowd = self._crowd
        for fd in crowd.poll(lambda: f"{len(self._heard)} are not in", pause, most=AT_ONCE):
            number = crowd.number_of[fd]
            try:
                size = crowd.into[number](self._buffer)
            except BlockingIOError:
                continue
            if not size:
                raise LoadError(f"{crowd.hung_up(number)}; it heard {self._heard.get(number)!r:.300}")
            if number in self._heard:
                self._heard[number] += memoryview(self._buffer)[:size]
                self._settle(number)
            else:
                self._followers.hear(number, self._buffer, size)

    def _let_in(self, hellos: Mapping[int, bytes]) -> dict[str, float]:
        crowd, talkers = self._crowd, self._talkers
        crowd.be_patient(2 * PATIENCE + len(hellos) / 100)
        talkers.waited()
        coming = iter(hellos.items())
        start, cpu = time.monotonic(), time.process_time()
        came = 0
        while came < len(hellos) or self._heard:
            talkers.attend()
            for number, hello in islice(coming, AT_ONCE):
                crowd.connect(number, hello)
                self._heard[number] = b""
                came += 1
            self.listen(0.0 if came < len(hellos) else 0.001)
            for number in [number for number, heard in self._heard.items() if heard]:
                self._settle(number)
        seconds = time.monotonic() - start
        busy = 100 * (time.process_time() - cpu) / seconds
        while not (waited := talkers.waited()):  # it was over before anything was said
            talkers.attend(0.01)
        return {"seconds": seconds, "load": busy, "p99": waited[len(waited) * 99 // 100], "worst": waited[-1]}

    def _settle(self, number: int) -> None:
        """Let somebody in who has been welcomed and told what was before."""
        heard = self._heard[number]
        found = WELCOME.match(heard)
        if found is None:
            if refusal := REFUSAL.search(heard):
                raise LoadError(f"connection {number} is refused: {refusal[0][:300]!r}")
            return
        seq, rest = int(found[2]), heard[found.end() :]
        since = self._resumed_from.get(number)
        if (since is not None) != (found[3] == b"true"):
            raise LoadError(f"connection {number} comes back after entry {since} and is told {found[0][-300:]!r}")
        if since is None:
            if self._entries.end(seq) is None:
                return
            history = self._entries.history(seq, HISTORY)
            if len(rest) < len(history):
                return
            if not rest.startswith(history):
                raise LoadError(f"connection {number} came in after entry {seq} and was told {rest[:300]!r}")
            rest = rest[len(history) :]
        del self._heard[number]
        self._proofs[number] = (found[1].decode(), found[4].decode())
        self._followers.enter(number, seq if since is None else since, rest)


def run(target: Target, facts: dict[str, Any]) -> Figures:
    """What the load process does."""
    size = Size(**facts)
    there = Crowd(target.port, target.wire, size.talkers, size.talkers, target.door)
    crowd = Crowd(target.port, target.wire, size.people, 0, target.door, first=size.talkers)
    try:
        there.join(PATIENCE)
        last = mark(there, PATIENCE)
        begun = [mouth.said for mouth in there.mouths]
        alike = Alike(range(size.talkers), newlines=1)
        # Newcomers are told of nothing that was said before the stream that they are compared with.
        each = HISTORY // size.talkers + 1
        there.say(each)
        hear = [alike.hear] * size.talkers
        flood(there, hear, lambda: None, lambda: alike.done(each * size.talkers), lambda: f"{alike.messages} came")
        entries = Entries(alike.stream, last)
        followers = Followers(alike.stream, entries, gaps=False)
        there.be_patient(8 * PATIENCE + size.people / 25 + size.away)
        talkers = Talkers(there, alike, size.rate)
        storm = Storm(crowd, talkers, entries, followers)
        figures = {f"joining {name}": value for name, value in storm.come().items()}
        settle(crowd, talkers, storm, followers)
        storm.cut()
        end = time.monotonic() + size.away
        while (left := end - time.monotonic()) > 0:
            talkers.attend(min(left, 0.01))
        figures |= {f"resuming {name}": value for name, value in storm.come_back().items()}
        settle(crowd, talkers, storm, followers)
        spans = [range(first, mouth.said) for first, mouth in zip(begun, there.mouths, strict=True)]
        check(TOLD, alike.stream, dict(enumerate(spans)), last)
    finally:
        there.close()
        crowd.close()
    return figures


def settle(crowd: Crowd, talkers: Talkers, storm: Storm, followers: Followers) -> None:
    """A last word that all wait for: then everybody has everything."""
    crowd.be_patient(PATIENCE + crowd.people / 100)
    text = talkers.last_word()
    while not (talkers.have(text) and followers.done()):
        talkers.listen()
        storm.listen(0.001)


if __name__ == "__main__":
    perform(sys.argv[1:], run)
