"""How a work is measured: round after round, a server started anew each time, and a load process that does it.

The load is the very module of the work, run as a program: a Target as JSON in the first argument and the work's size in
the second, figures by name as JSON on standard output. What went wrong goes to standard error, with exit status 1.
"""

import gc
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from tests.benchmarks.section import Bench, Row
from tests.benchmarks.servers import SERVERS, BenchmarkError, Kind, many_files, run_load, serving
from tests.benchmarks.tally import LoadError

Figures = Mapping[str, float]
Outcomes = Mapping[str, Sequence[Figures]]
"""By name of the server, a round each; none where a server of others failed."""


@dataclass(frozen=True)
class Target:
    """A server: where it listens, its process, what it speaks, and how many may come in at once."""

    port: int
    pid: int
    wire: str
    door: int


def play(work: str, target: Target, size: object, patience: float, cpu: int | None) -> Figures:
    """Do the work once, within so many seconds. Raises BenchmarkError."""
    figures: Figures = run_load(work, [json.dumps(asdict(target)), json.dumps(size)], patience, cpu)
    return figures


def rounds(
    bench: Bench, work: str, kinds: Mapping[str, Kind], size_of: Callable[[str], Any], patience: float
) -> Outcomes:
    """All rounds, servers taking turns. Raises BenchmarkError when one of ours fails.

    Args:
        size_of: a dataclass with the size of the work, for each server.
        patience: how long the work may take once, in seconds.
    """
    outcomes: dict[str, list[Figures]] = {name: [] for name in kinds}
    failed: set[str] = set()
    for turn in range(bench.rounds):
        for name in kinds if turn % 2 else reversed(list(kinds)):
            if name in failed:
                continue
            kind = kinds[name]
            print(f"round {turn + 1} of {bench.rounds}: {name}, {work}", file=sys.stderr)
            try:
                with serving(name, kind, bench.settings, bench.server_cpu) as server:
                    target = Target(server.port(), server.pid, kind.wire, kind.door)
                    try:
                        figures = play(work, target, asdict(size_of(name)), patience, bench.load_cpu)
                    except BenchmarkError as error:
                        raise BenchmarkError(server.story(f"with {work}: {error}")) from None
                    server.check()
            except BenchmarkError as error:
                if kind in SERVERS.values():
                    raise
                failed.add(name)
                outcomes[name].clear()
                print(f"no figures: {error}", file=sys.stderr)
            else:
                outcomes[name].append(figures)
    return outcomes


def row(title: str, outcomes: Outcomes, of: Callable[[Figures], float], form: str, goal: str = "") -> Row:
    """The medians of one figure."""
    return Row(title, [median(map(of, each)) if each else None for each in outcomes.values()], form, goal)


def perform(arguments: Sequence[str], work: Callable[[Target, dict[str, Any]], Figures]) -> None:
    """Be the load process of a work."""
    target, size = map(json.loads, arguments)
    many_files()
    gc.disable()
    try:
        print(json.dumps(work(Target(**target), size)))
    except (LoadError, OSError, ValueError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
