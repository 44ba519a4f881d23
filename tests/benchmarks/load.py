"""The load: one process with all who send and all who read, raw sockets on one epoll.

It must never be what is measured, so while the clock runs it only receives, compares or counts in big reads, and takes
the time. What must come out nevertheless, at whom, is the business of ``tally``; how it is said, of ``wires``.

Run as a program: a Plan as JSON in the first argument, an Outcome as JSON on standard output; what went wrong goes
to standard error, with exit status 1. It uses nothing of chatmail, and only what Linux has.
"""

import gc
import json
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from tests.benchmarks.crowd import Crowd
from tests.benchmarks.flood import Phase, Stopwatch, Talk, flood
from tests.benchmarks.tally import LoadError, Tally, check

KEEP = 128 * 1024 * 1024
"""A saturated phase ends early when so many bytes of one stream are to be read after it."""
NUDGE_IN_PEACE = 0.05
"""A server that needs it is nudged when it has been silent for so long while not all talk, in seconds."""

Arrival = tuple[int, int, bytes]
"""When something came (in nanoseconds), to whom, and what."""


@dataclass(frozen=True)
class Plan:
    """What to do to which server. Times are seconds.

    ``wire`` is what it speaks, ``ordered`` whether it delivers the messages of several senders to everybody in the same
    order, ``door`` how many may come in at once. There are ``people`` connections, so many ``senders`` among them;
    without a time ``paced``, no such phase.
    """

    port: int
    pid: int
    wire: str
    ordered: bool
    people: int
    senders: int
    door: int
    window: int
    saturated: float
    paced: float
    rate: float
    patience: float


@dataclass(frozen=True)
class Paced(Phase):
    """A paced phase, and its latencies in milliseconds."""

    p50: float
    p99: float
    worst: float


@dataclass(frozen=True)
class Outcome:
    """All phases of a load."""

    saturated: Phase
    paced: Paced | None


def mark(crowd: Crowd, patience: float, *, after: int | None = None) -> int:
    """One message read by everybody: a barrier. Returns its number, where the server has numbers.

    Args:
        after: the number of the last message; None right after the joins, where other frames may come first.
    """
    crowd.be_patient(patience)
    number = crowd.mouths[0].mark()
    heard = hear_mark(crowd, number)
    if after is None:
        heard = [one[-1000:] for one in heard]
        *_, last = crowd.wire.frame.finditer(heard[0])
        after = int(last.groupdict().get("seq") or 0) - 1
        heard = [bytes(frames[-1][0]) if (frames := list(crowd.wire.frame.finditer(one))) else one for one in heard]
    for stream in set(heard):
        check(crowd.wire, stream, {0: range(number, number + 1)}, after)
    return after + 1


def hear_mark(crowd: Crowd, number: int) -> list[bytes]:
    """Read until everybody has got this message of the first sender, and nothing after it; what each has got."""
    text = b"%03d %09d " % (0, number)
    heard = [b""] * crowd.people
    waiting = set(range(crowd.people))
    replied = not crowd.wire.reply

    def missing() -> str:
        return f"{len(waiting)} of {crowd.people} have not got message {number}: {heard!r:.500}"

    while waiting or not replied:
        for who in crowd.ready(missing, nudge=NUDGE_IN_PEACE):
            data = crowd.receive(who)
            if who >= crowd.people:
                replied = True
                continue
            stream = heard[who] + data
            if text in stream and stream.endswith(b"\n"):
                waiting.discard(who)
            heard[who] = stream
    return heard


def saturate(crowd: Crowd, plan: Plan, last: int) -> Phase:
    """Say as much as the server takes, for a while; over when everybody has everything.

    ``last`` is the number of the last message before.
    """
    crowd.be_patient(plan.patience + plan.saturated)
    begun = [mouth.said for mouth in crowd.mouths]
    tally = Tally(crowd.wire, plan.people, plan.senders, ordered=plan.ordered)
    talk = Talk(crowd, plan.senders, plan.window, lambda: tally.messages)
    watch = Stopwatch(plan.pid)
    end = time.monotonic() + plan.saturated

    def over() -> bool:
        talk.talking = talk.talking and time.monotonic() < end and tally.size < KEEP
        return not talk.talking and tally.done(talk.said // plan.senders)

    flood(
        crowd, tally.hear, talk.go_on, over, lambda: f"{tally.messages} of {talk.said} messages were delivered, to some"
    )
    phase = watch.phase(talk.said, plan.people)
    spans = [range(first, mouth.said) for first, mouth in zip(begun, crowd.mouths, strict=True)]
    tally.check(spans, last)
    return phase


def pace(crowd: Crowd, plan: Plan, last: int) -> Paced:
    """One sender says something at a steady rate; how long each delivery to the others takes."""
    phase, arrivals = talk_at_a_rate(crowd, plan, last)
    p50, p99, worst = percentiles(crowd.wire.frame, arrivals, range(1, plan.people))
    return Paced(**asdict(phase), p50=p50, p99=p99, worst=worst)


def talk_at_a_rate(crowd: Crowd, plan: Plan, last: int) -> tuple[Phase, list[Arrival]]:
    """The same; what came, which is all that was to come."""
    crowd.be_patient(plan.patience + plan.paced)
    wire, mouth = crowd.wire, crowd.mouths[0]
    begun, messages = mouth.said, max(1, round(plan.paced * plan.rate))
    goal = messages * (plan.people - (not wire.echoes)) * wire.newlines + messages * bool(wire.reply)
    total = 0
    arrivals: list[Arrival] = []

    def missing() -> str:
        return f"{total} of {goal} lines have come"

    watch = Stopwatch(plan.pid)
    start = time.monotonic()
    while total < goal:
        done = mouth.said - begun
        pause = 1.0
        if done < messages:
            pause = start + done / plan.rate - time.monotonic()
            if pause <= 0:
                mouth.say(1, time.monotonic_ns())
                continue
        for who in crowd.ready(missing, pause, nudge=0 if done < messages else NUDGE_IN_PEACE):
            data = crowd.receive(who)
            arrivals.append((time.monotonic_ns(), who, data))
            total += data.count(b"\n")
    phase = watch.phase(messages, plan.people)
    streams = [bytearray() for _ in range(plan.people + plan.senders)]
    for _, who, data in arrivals:
        streams[who] += data
    numbers = range(begun, mouth.said)
    for stream in {bytes(stream) for stream in streams[1 : plan.people]}:
        check(wire, stream, {0: numbers}, last)
    check(wire, streams[0], {0: numbers} if wire.echoes else {}, last)
    return phase, arrivals


def percentiles(frame: re.Pattern[bytes], arrivals: list[Arrival], readers: range) -> tuple[float, float, float]:
    """How long a delivery to these took, in milliseconds: at half of them, at all but one in a hundred, at worst."""
    found = sorted(latencies(frame, arrivals, readers))
    p50, p99 = (found[int(share * (len(found) - 1))] for share in (0.5, 0.99))
    return p50, p99, found[-1]


def latencies(frame: re.Pattern[bytes], arrivals: list[Arrival], readers: range) -> Iterator[float]:
    """How long each delivery to these took, in milliseconds."""
    begun: dict[int, bytes] = {}
    for now, who, data in arrivals:
        if who not in readers:
            continue
        data = begun.get(who, b"") + data
        end = 0
        for found in frame.finditer(data):
            end = found.end()
            yield (now - int(found["time"])) / 1e6
        begun[who] = data[end:]


def run(plan: Plan) -> Outcome:
    """Join, warm up, then one phase after the other."""
    crowd = Crowd(plan.port, plan.wire, plan.people, plan.senders, plan.door)
    try:
        crowd.join(plan.patience)
        last = mark(crowd, plan.patience)
        phase = saturate(crowd, plan, last)
        last = mark(crowd, plan.patience, after=last + phase.messages)
        paced = pace(crowd, plan, last) if plan.paced else None
        if paced:
            mark(crowd, plan.patience, after=last + paced.messages)
    finally:
        crowd.close()
    return Outcome(saturated=phase, paced=paced)


def main(arguments: list[str], write: Callable[[str], object] = print) -> None:
    plan = Plan(**json.loads(arguments[0]))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.disable()
    try:
        write(json.dumps(asdict(run(plan))))
    except (LoadError, OSError, ValueError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
