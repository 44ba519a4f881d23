"""All that can be measured: the works by name, each a module with ``measure(bench)``, but for the talk of crowds."""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import cast

from tests.benchmarks.section import Bench, Section

CROWD = "crowd"
WORKS = (CROWD, "direct", "idle", "storm", "slow", "hours", "postman", "start", "nodes")

Measure = Callable[[Bench], Section]


def is_here(name: str) -> bool:
    """Whether there is such a work."""
    return name == CROWD or (name in WORKS and find_spec(f"tests.benchmarks.{name}") is not None)


def measure(name: str, bench: Bench) -> Section:
    """Do a work other than talking to crowds. Raises BenchmarkError."""
    return cast("Measure", import_module(f"tests.benchmarks.{name}").measure)(bench)
