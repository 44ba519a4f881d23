"""A work other than talking to a crowd: what was measured, with a column for each who did it, ours first."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Bench(NamedTuple):
    """How to measure: so many rounds, in turns; ``quick`` with less of everything; on which CPUs (None: on any)."""

    rounds: int
    quick: bool
    peers: bool
    """Whether others are measured, too, as far as they are installed."""
    server_cpu: int | None
    load_cpu: int | None
    settings: Mapping[str, str] = {}
    """Of our servers, besides what they are always given."""


class Row(NamedTuple):
    """One figure: a value for each column, None where there is none.

    ``goal`` says what ours, in the first column, should be: "7 or less", "70 or more".
    """

    title: str
    values: Sequence[float | None]
    form: str
    goal: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is; None where there is none, or no value."""
        ours = self.values[0]
        if not self.goal or ours is None:
            return None
        limit, _, way = self.goal.partition(" or ")
        return ours >= float(limit) if way == "more" else ours <= float(limit)


class Section(NamedTuple):
    """All figures of one work."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Row]

    def lines(self) -> list[str]:
        """The section as it is printed."""
        lines = [f"{self.title:<34}" + "".join(f"{column:>16}" for column in self.columns)]
        for row in self.rows:
            cells = ("-" if value is None else f"{value:{row.form}}" for value in row.values)
            verdict = {True: ", met", False: ", MISSED", None: ""}[row.is_met]
            goal = f"  goal: {row.goal}{verdict}" if row.goal else ""
            lines.append(f"  {row.title:<32}" + "".join(f"{cell:>16}" for cell in cells) + goal)
        return lines

    def as_json(self) -> dict[str, Any]:
        """The same as it goes into a file: the figures of each column by their titles."""
        figures = {
            column: {row.title: row.values[place] for row in self.rows} for place, column in enumerate(self.columns)
        }
        goals = {row.title: row.goal for row in self.rows if row.goal}
        met = {row.title: row.is_met for row in self.rows if row.goal}
        return {"title": self.title, "figures": figures, "goals": goals, "met": met}
