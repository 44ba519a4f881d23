"""What is made of the outcomes: one table with a column a server, what to doubt in it, and the same as JSON."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any, NamedTuple

from tests.benchmarks.flood import Phase
from tests.benchmarks.load import Outcome, Paced


class Workload(NamedTuple):
    """So many people, and how many of them talk."""

    senders: int
    people: int

    @property
    def title(self) -> str:
        if self.senders == 1:
            return f"1 to {self.people - 1:,}"
        return f"{self.senders:,} of {self.people:,} talk"


Rounds = dict[Workload, dict[str, list[Outcome]]]
"""All outcomes, by workload and name of the server; none where a server failed."""


class Figure(NamedTuple):
    """One row of the table; ``better`` says which way, None for a figure that is no merit."""

    title: str
    of: Callable[[Outcome], float]
    form: str
    better: str | None


def _cost(phase: Phase) -> float:
    return phase.server_cpu / phase.deliveries * 1e6


def _paced(outcome: Outcome) -> Paced:
    assert outcome.paced is not None
    return outcome.paced


RATE = Figure("deliveries a second", lambda o: o.saturated.deliveries / o.saturated.seconds, ",.0f", "more")
COST = Figure("server CPU/delivery, µs", lambda o: _cost(o.saturated), ".2f", "less")
SERVER_BUSY = Figure("server busy, %", lambda o: 100 * o.saturated.server_cpu / o.saturated.seconds, ".0f", None)
LOAD_BUSY = Figure("load busy, %", lambda o: 100 * o.saturated.load_cpu / o.saturated.seconds, ".0f", None)
BUSY_ENOUGH = 85
"""A saturated server that used less of its processor, in percent, was held up by something else."""

SATURATED = (RATE, COST, SERVER_BUSY, LOAD_BUSY)
PACED = (
    Figure("latency p50, ms", lambda o: _paced(o).p50, ".2f", "less"),
    Figure("latency p99, ms", lambda o: _paced(o).p99, ".2f", "less"),
    Figure("server CPU/delivery, µs", lambda o: _cost(_paced(o)), ".2f", "less"),
)


def value(figure: Figure, outcomes: Sequence[Outcome]) -> float | None:
    """The median, or None without outcomes."""
    return median(map(figure.of, outcomes)) if outcomes else None


def table(rounds: Rounds, rate: float) -> list[str]:
    """The table, line by line: medians, and below them how many times better the first server is than each other."""
    lines = [_line("", next(iter(rounds.values())))]
    for workload, outcomes in rounds.items():
        lines.append(f"saturated, {workload.title}")
        lines += [line for figure in SATURATED for line in _rows(figure, outcomes)]
    for workload, outcomes in rounds.items():
        if any(outcome.paced for each in outcomes.values() for outcome in each):
            lines.append(f"{rate:g} messages a second, {workload.title}")
            lines += [line for figure in PACED for line in _rows(figure, outcomes)]
    return lines


def _rows(figure: Figure, outcomes: Mapping[str, Sequence[Outcome]]) -> list[str]:
    values = [value(figure, each) for each in outcomes.values()]
    rows = [_line(f"  {figure.title}", ["-" if one is None else f"{one:{figure.form}}" for one in values])]
    if figure.better and len(values) > 1:
        ours = values[0]
        ratios = [ours and one and (ours / one if figure.better == "more" else one / ours) for one in values[1:]]
        rows.append(_line("    x", ["", *(f"{ratio:.2f}" if ratio else "-" for ratio in ratios)]))
    return rows


def _line(title: str, cells: Sequence[str] | Mapping[str, object]) -> str:
    return f"{title:<26}" + "".join(f"{cell:>11}" for cell in cells)


def doubts(rounds: Rounds) -> list[str]:
    """What to make of it when a server had time to spare though it should have had none."""
    idle: dict[str, list[str]] = {}
    for workload, outcomes in rounds.items():
        for name, each in outcomes.items():
            busy = value(SERVER_BUSY, each)
            if busy is not None and busy < BUSY_ENOUGH:
                idle.setdefault(name, []).append(workload.title)
    if not idle:
        return []
    advice = "trust CPU per delivery, not deliveries a second; is the machine doing something else, or the load busy?"
    return ["not saturated: " + "; ".join(f"{name} ({', '.join(where)})" for name, where in idle.items()), advice]


def as_json(rounds: Rounds) -> list[dict[str, Any]]:
    """Every outcome of every round, with the medians that the plot is made of."""
    return [
        {
            "senders": workload.senders,
            "people": workload.people,
            "medians": {
                name: {"deliveries_a_second": value(RATE, each), "cpu_us_a_delivery": value(COST, each)}
                for name, each in outcomes.items()
                if each
            },
            "outcomes": {name: [asdict(outcome) for outcome in each] for name, each in outcomes.items()},
        }
        for workload, outcomes in rounds.items()
    ]
