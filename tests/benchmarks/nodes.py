"""Servers that share a Redis: what they deliver together, how soon from one to the other, and what that costs.

The same people at one server that keeps everything in SQLite, and at one, two and four that share a Redis which writes
down all it is told before it answers (``appendonly yes``, ``appendfsync always``). People are spread evenly.

    talkers, readers ──> server 1 ──┐
    talkers, readers ──> server 2 ──┼──> redis-server
    talkers, readers ──> …        ──┘

*The crowd*: some talk, and a window of messages is always under way. All processes but the load's share what processors
there are besides the load's; with two, that is one, and it is what limits them. So there is told as well how much it
could be if each process had one of its own: what the busiest of them allows, if nothing else held them up.
*Latency*: one of the first server talks, 20 messages a second; it is that of the readers there, and at the last server.
*An entry*: somebody is at each server, and only the one at the first talks: in a flood, then singly, 100 a second. So
the first server says each entry to one person, and the others do nothing but follow, and tell one person.

Every message must come to everybody at every server, once, with the same number and in the same order; their numbers
are consecutive. Processor time is that which the system has on its account for each process.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import cycle
from statistics import fmean, median
from typing import Any

from tests.benchmarks.crowd import Crowd
from tests.benchmarks.flood import cpu_time
from tests.benchmarks.load import Plan, mark, percentiles, saturate, talk_at_a_rate
from tests.benchmarks.peers import which
from tests.benchmarks.play import Figures, Outcomes, Target, perform, play
from tests.benchmarks.section import Bench, Row, Section
from tests.benchmarks.servers import PATIENCE, SERVERS, BenchmarkError, Kind, Server, serving

REDIS = """\
port {port}
bind 127.0.0.1
save ""
appendonly yes
appendfsync always
"""
HOUSES = {"SQLite": 0, "one on Redis": 1, "two on Redis": 2, "four on Redis": 4}
"""So many servers share a Redis; 0: there is none."""
RATE, SINGLY = 20.0, 100.0
"""Messages a second, for latency and for the cost of an entry."""
FIGURES = (
    ("messages a second", "messages", ",.0f"),
    ("deliveries a second", "deliveries", ",.0f"),
    ("the same, a CPU each, at most", "possible", ",.0f"),
    ("servers and Redis busy, %", "busy", ".0f"),
    ("load busy, %", "load", ".0f"),
    ("each server's CPU/message, µs", "message", ",.0f"),
    ("each server's CPU/delivery, µs", "delivery", ".2f"),
    ("Redis CPU/message, µs", "message redis", ".0f"),
    ("latency, same server: p50, ms", "same p50", ".2f"),
    ("latency, same server: p99, ms", "same p99", ".2f"),
    ("latency, other server: p50, ms", "other p50", ".2f"),
    ("latency, other server: p99, ms", "other p99", ".2f"),
    ("a flood: CPU/entry said, µs", "flood there", ".1f"),
    ("a flood: CPU/entry followed, µs", "flood follower", ".1f"),
    ("a flood: Redis CPU/entry, µs", "flood redis", ".1f"),
    ("singly: CPU/entry said, µs", "singly there", ".0f"),
    ("singly: CPU/entry followed, µs", "singly follower", ".0f"),
    ("singly: Redis CPU/entry, µs", "singly redis", ".0f"),
)
"""Title, name and form of each."""


@dataclass(frozen=True)
class Size:
    """So many people, for so many seconds of each flood and of each steady talk; and so many rounds at least."""

    talkers: int = 40
    readers: int = 200
    window: int = 512
    flood: float = 2.0
    steady: float = 5.0
    rounds: int = 3


FULL, QUICK = Size(), Size(flood=1.0, steady=1.0)


@dataclass(frozen=True)
class House:
    """The servers of a chat, by port and process, and the process of their Redis, if they have one."""

    ports: Sequence[int]
    pids: Sequence[int]
    redis: int | None


def measure(bench: Bench, size: Size | None = None, houses: Mapping[str, int] = HOUSES) -> Section:
    """With a column for each house. Raises BenchmarkError."""
    size = size or (QUICK if bench.quick else FULL)
    if which("redis-server") is None:
        print("without redis: redis-server is not installed", file=sys.stderr)
        houses = {name: count for name, count in houses.items() if not count}
    found: dict[str, list[Figures]] = {name: [] for name in houses}
    count = max(bench.rounds, size.rounds)
    for turn in range(count):
        for name in houses if turn % 2 else reversed(list(houses)):
            print(f"round {turn + 1} of {count}: {name}, nodes", file=sys.stderr)
            with _housing(houses[name], bench) as (house, servers):
                kind = SERVERS["chatmail"]
                target = Target(house.ports[0], house.pids[0], kind.wire, kind.door)
                facts = {"house": asdict(house), "size": asdict(size)}
                patience = 10 * PATIENCE + 2 * (size.flood + size.steady)
                try:
                    found[name].append(play("nodes", target, facts, patience, bench.load_cpu))
                except BenchmarkError as error:
                    raise BenchmarkError("\n".join(each.story(f"with nodes: {error}") for each in servers)) from None
                for server in servers:
                    server.check()
    title = f"nodes: {size.talkers} of {size.talkers + size.readers} people talk"
    return Section(title, list(houses), [_row(title, name, form, found) for title, name, form in FIGURES])


def _row(title: str, name: str, form: str, found: Outcomes) -> Row:
    """The medians of a figure, where there is one."""
    values = [median(figures[name] for figures in each) if name in each[0] else None for each in found.values()]
    return Row(title, values, form)


@contextmanager
def _housing(count: int, bench: Bench) -> Iterator[tuple[House, Sequence[Server]]]:
    """So many servers that share a new Redis, all processes spread over the processors; 0: one that has none."""
    here = sorted(os.sched_getaffinity(0) - {bench.load_cpu})
    cpus = cycle(here if bench.server_cpu is not None else [None])
    with ExitStack() as stack:
        kind, redis = SERVERS["chatmail"], None
        if count:
            command = (which("redis-server") or "redis-server", "config")
            of_redis = Kind(command, REDIS, listens="Ready to accept")
            redis = stack.enter_context(serving("redis", of_redis, {}, next(cpus)))
            kind = kind._replace(settings={**kind.settings, "CHAT_DB": f"redis://127.0.0.1:{redis.port()}"})
        servers = [
            stack.enter_context(serving(f"server {number + 1}", kind, bench.settings, next(cpus)))
            for number in range(count or 1)
        ]
        pids = [server.pid for server in servers]
        yield House([server.port() for server in servers], pids, redis.pid if redis else None), servers


class Meter:
    """How much processor time each server, and Redis, has used since this was read last."""

    def __init__(self, house: House) -> None:
        self._pids = [*house.pids, *([house.redis] if house.redis else [])]
        self._servers = len(house.pids)
        self._before = self._now()

    def _now(self) -> list[float]:
        return [cpu_time(pid) for pid in self._pids]

    def read(self) -> tuple[list[float], list[float]]:
        """Of the servers; of Redis, if there is one."""
        now = self._now()
        used = [after - before for before, after in zip(self._before, now, strict=True)]
        self._before = now
        return used[: self._servers], used[self._servers :]


def with_a_crowd(crowd: Crowd, plan: Plan, house: House) -> Figures:
    """What a crowd hears of the crowd, and how soon."""
    crowd.join(plan.patience)
    last = mark(crowd, plan.patience)
    meter = Meter(house)
    phase = saturate(crowd, plan, last)
    servers, redis = meter.read()
    last = mark(crowd, plan.patience, after=last + phase.messages)
    _, arrivals = talk_at_a_rate(crowd, plan, last)
    count = len(servers)
    figures = {
        "messages": phase.messages / phase.seconds,
        "deliveries": phase.deliveries / phase.seconds,
        "possible": phase.deliveries / max(servers + redis),
        "busy": 100 * sum(servers + redis) / phase.seconds,
        "load": 100 * phase.load_cpu / phase.seconds,
        "message": fmean(servers) / phase.messages * 1e6,
        "delivery": sum(servers) / phase.deliveries * 1e6,
    }
    # Number 0 talks, at the first server; of those after it, each server has one in turn.
    at = {"same": range(count, plan.people, count)}
    if redis:
        figures["message redis"] = redis[0] / phase.messages * 1e6
    if count > 1:
        at["other"] = range(count - 1, plan.people, count)
    for where, readers in at.items():
        figures[f"{where} p50"], figures[f"{where} p99"], _ = percentiles(crowd.wire.frame, arrivals, readers)
    return figures


def with_one_each(crowd: Crowd, plan: Plan, house: House) -> Figures:
    """What an entry costs where it is said, and where it is only followed; then everybody leaves."""
    figures: dict[str, float] = {}
    crowd.join(plan.patience)
    last = mark(crowd, plan.patience)
    for how in ("flood", "singly"):
        meter = Meter(house)
        phase = saturate(crowd, plan, last) if how == "flood" else talk_at_a_rate(crowd, plan, last)[0]
        (there, *followers), redis = meter.read()
        last = mark(crowd, plan.patience, after=last + phase.messages)
        for who, used in (("there", [there]), ("follower", followers), ("redis", redis)):
            if used:
                figures[f"{how} {who}"] = fmean(used) / phase.messages * 1e6
    for number in range(plan.people):
        crowd.say_goodbye(number)
    return figures


def run(target: Target, facts: dict[str, Any]) -> Figures:
    """What the load process does."""
    house, size = House(**facts["house"]), Size(**facts["size"])
    count = len(house.ports)
    plan = Plan(
        port=target.port,
        pid=target.pid,
        wire=target.wire,
        ordered=True,
        people=size.talkers + size.readers,
        senders=size.talkers,
        door=target.door,
        window=size.window,
        saturated=size.flood,
        paced=size.steady,
        rate=RATE,
        patience=PATIENCE,
    )
    few = replace(plan, people=count, senders=1, rate=SINGLY)
    figures: dict[str, float] = {}
    for work, each, first in ((with_one_each, few, 0), (with_a_crowd, plan, count)):
        others = house.ports[1:]
        crowd = Crowd(each.port, each.wire, each.people, each.senders, each.door, first=first, others=others)
        try:
            figures |= work(crowd, each, house)
        finally:
            crowd.close()
    return figures


if __name__ == "__main__":
    perform(sys.argv[1:], run)
