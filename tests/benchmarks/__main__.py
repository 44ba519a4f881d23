"""How much chatmail delivers, at what cost and how soon, beside the textbook's server: ``python -m tests.benchmarks``.

    one sender ──> server (one CPU) ──> 1, 100 or 1,000 readers (all in one process, on another CPU)

*chatmail* is the server as it comes, with everything on the disk before anybody sees it; *in memory* the same with
CHAT_DB=:memory:; *naive* a plain loop of writes, which keeps nothing.

Each round starts each server anew and puts the same load on it, in two phases:

*saturated*: the sender always has a window of messages under way, its own echo being the acknowledgement. Nothing
but the server's processor is to be the limit: "busy" shows how near it came to that, for server and load.
*paced*: 20 messages a second. A text holds the time of its sending, on a clock that both ends share.

Servers take turns, and figures are medians of the rounds, so that whatever else the machine does hits both. A message
that is lost, doubled or replaced by a gap fails the run.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.benchmarks.load import TEXT_SIZE, Outcome, Phase, Plan
from tests.benchmarks.servers import PATIENCE, SERVERS, BenchmarkError, put_load, serving


class Figure(NamedTuple):
    """One row of the table; ``better`` says which way, None for a figure that is no merit."""

    title: str
    of: Callable[[Outcome], float]
    form: str
    better: str | None


def _cost(phase: Phase) -> float:
    return phase.server_cpu / phase.deliveries * 1e6


SERVER_BUSY = Figure("server busy, %", lambda o: 100 * o.saturated.server_cpu / o.saturated.seconds, ".0f", None)
BUSY_ENOUGH = 85
"""A saturated server that used less of its processor, in percent, was held up by something else."""

SATURATED = (
    Figure("deliveries a second", lambda o: o.saturated.deliveries / o.saturated.seconds, ",.0f", "more"),
    Figure("server CPU per delivery, µs", lambda o: _cost(o.saturated), ".2f", "less"),
    SERVER_BUSY,
    Figure("load busy, %", lambda o: 100 * o.saturated.load_cpu / o.saturated.seconds, ".0f", None),
)
PACED = (
    Figure("latency p50, ms", lambda o: o.p50, ".2f", "less"),
    Figure("latency p99, ms", lambda o: o.p99, ".2f", "less"),
    Figure("server CPU per delivery, µs", lambda o: _cost(o.paced), ".2f", "less"),
)

Rounds = dict[int, dict[str, list[Outcome]]]
"""All outcomes, by number of readers and name of the server."""


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="shorter phases and 3 rounds: a minute")
    parser.add_argument("--rounds", type=int, metavar="N", help="how many rounds (5; quick 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every outcome of every round to a file")
    parser.add_argument("--readers", type=_numbers, default=[1, 100, 1000], metavar="N,N", help="how many (1,100,1000)")
    parser.add_argument("--seconds", type=float, metavar="S", help="how long each phase takes (2; quick 0.7)")
    parser.add_argument("--window", type=int, default=256, metavar="N", help="messages under way when saturated (256)")
    parser.add_argument("--rate", type=float, default=20, metavar="N", help="messages a second when paced (20)")
    parser.add_argument("--only", choices=SERVERS, help="measure this server only")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the server, as in its .env"
    )
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (3 if options.quick else 5)
    options.seconds = options.seconds or (0.7 if options.quick else 2.0)
    return options


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def measure(options: argparse.Namespace, server_cpu: int | None, load_cpu: int | None) -> Rounds:
    """All rounds. Raises BenchmarkError."""
    settings = dict(setting.split("=", 1) for setting in options.set)
    names = [options.only] if options.only else list(SERVERS)
    rounds: Rounds = {readers: {name: [] for name in names} for readers in options.readers}
    for turn in range(options.rounds):
        for readers, outcomes in rounds.items():
            for name in names if turn % 2 else reversed(names):
                print(f"round {turn + 1} of {options.rounds}: {name}, {readers:,} readers", file=sys.stderr)
                with serving(name, settings, server_cpu) as server:
                    plan = Plan(
                        port=server.port(),
                        pid=server.pid,
                        readers=readers,
                        window=options.window,
                        saturated=options.seconds,
                        paced=options.seconds,
                        rate=options.rate,
                        patience=PATIENCE,
                    )
                    try:
                        outcomes[name].append(put_load(plan, load_cpu))
                    except BenchmarkError as error:
                        raise BenchmarkError(server.story(f"with {readers:,} readers: {error}")) from None
                    server.check()
    return rounds


def table(rounds: Rounds, rate: float) -> list[str]:
    """The table, line by line: medians, and how many times better the first server is than each of the others."""
    first, *others = next(iter(rounds.values()))
    names = [first, *others, *(f"x {other}" for other in others)]
    lines = [f"{'':<34}" + "".join(f"{name:>12}" for name in names)]
    for title, figures in (("saturated", SATURATED), (f"{rate:g} messages a second", PACED)):
        for readers, outcomes in rounds.items():
            lines.append(f"{title}, 1 to {readers:,}")
            lines += [_row(figure, outcomes) for figure in figures]
    return lines


def _row(figure: Figure, outcomes: Mapping[str, Sequence[Outcome]]) -> str:
    ours, *theirs = [median(map(figure.of, each)) for each in outcomes.values()]
    cells = [f"{value:{figure.form}}" for value in (ours, *theirs)]
    if figure.better is not None:
        cells += [f"{ours / value if figure.better == 'more' else value / ours:.2f}" for value in theirs]
    return f"  {figure.title:<32}" + "".join(f"{cell:>12}" for cell in cells)


def doubts(rounds: Rounds) -> list[str]:
    """What to make of it when a server had time to spare though it should have had none."""
    idle = [
        f"{name} with {readers:,} readers"
        for readers, outcomes in rounds.items()
        for name, each in outcomes.items()
        if median(map(SERVER_BUSY.of, each)) < BUSY_ENOUGH
    ]
    if not idle:
        return []
    advice = "trust CPU per delivery, not deliveries a second, nor latencies"
    return [f"not saturated (is the machine doing something else?): {', '.join(idle)}; {advice}"]


def machine(server_cpu: int | None, load_cpu: int | None) -> str:
    """What the figures were taken on."""
    pinned = "nothing is pinned" if server_cpu is None else f"server pinned to CPU {server_cpu}, load to CPU {load_cpu}"
    return (
        f"{platform.python_implementation()} {platform.python_version()}, {platform.system()} {platform.release()} "
        f"{platform.machine()}, {len(os.sched_getaffinity(0))} CPUs: {pinned}"
    )


def main(arguments: Sequence[str]) -> int:
    """Measure and print; the exit status."""
    options = _options(arguments)
    cpus = sorted(os.sched_getaffinity(0))
    server_cpu, load_cpu = (cpus[0], cpus[-1]) if len(cpus) > 1 else (None, None)
    try:
        rounds = measure(options, server_cpu, load_cpu)
    except BenchmarkError as error:
        print(f"no figures: {error}", file=sys.stderr)
        return 1
    print(
        f"{TEXT_SIZE}-byte texts, window {options.window}, medians of {options.rounds} rounds,"
        f" phases of {options.seconds:g} s; x: how many times better chatmail is"
    )
    for line in (*table(rounds, options.rate), machine(server_cpu, load_cpu), *doubts(rounds)):
        print(line)
    if options.json:
        found = {
            str(readers): {name: [asdict(outcome) for outcome in each] for name, each in outcomes.items()}
            for readers, outcomes in rounds.items()
        }
        facts = {"machine": machine(server_cpu, load_cpu), "window": options.window, "rate": options.rate}
        options.json.write_text(json.dumps(facts | {"rounds": found}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
