"""How cost grows with the crowd, as a picture: ``python -m tests.benchmarks.plot FOUND.json FILE.svg``.

Two panels side by side, both axes logarithmic, over the readers of one sender: deliveries a second, and the server's
CPU time for each. A line a server, with its name at its end. All greys and colours are of a middle lightness, and there
is no background, so that the picture can be read on white and on black.
"""

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 1110, 470
PANEL = 360, 360
LEFT, TOP, BETWEEN = 100, 50, 180
LABEL_HEIGHT = 15
COLOURS = ("#d9480f", "#e8912d", "#8f7a00", "#4b9a2a", "#12908e", "#2f7fd6", "#7a63e0", "#c2489f", "#808890", "#a0673a")

Points = Sequence[tuple[float, float]]
PANELS = (
    ("deliveries a second", "deliveries_a_second"),
    ("server CPU a delivery, µs", "cpu_us_a_delivery"),
)


class Scale:
    """Puts numbers on a line of so many pixels, by their logarithm."""

    def __init__(self, numbers: Sequence[float], start: float, end: float) -> None:
        self.low = math.log10(min(numbers)) - 0.05
        self.high = math.log10(max(numbers)) + 0.05
        self._start, self._end = start, end

    def __call__(self, number: float) -> float:
        share = (math.log10(number) - self.low) / (self.high - self.low)
        return self._start + share * (self._end - self._start)

    def ticks(self) -> list[float]:
        """Powers of ten, and where there are few, their double and fivefold."""
        exponents = range(math.floor(self.low), math.ceil(self.high) + 1)
        for steps in ((1,), (1, 2, 5)):
            found = [step * 10.0**exponent for exponent in exponents for step in steps]
            found = [tick for tick in found if self.low <= math.log10(tick) <= self.high]
            if len(found) > 2:
                break
        return found


def draw(workloads: Sequence[Mapping[str, Any]]) -> str:
    """The picture of what ``report.as_json`` gives."""
    single = sorted((each for each in workloads if each["senders"] == 1), key=lambda each: int(each["people"]))
    names = list(dict.fromkeys(name for each in single for name in each["medians"]))
    colours = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">',
        "<style>",
        "text { font: 12px sans-serif; fill: #767c84 }",
        ".grid { stroke: #80868e; stroke-opacity: 0.3 } .line { fill: none }",
        "</style>",
    ]
    for place, (title, key) in enumerate(PANELS):
        lines: dict[str, Points] = {}
        for name in names:
            measured = [each for each in single if name in each["medians"]]
            lines[name] = [(each["people"] - 1, each["medians"][name][key]) for each in measured]
        parts += _panel(LEFT + place * (PANEL[0] + BETWEEN), title, lines, colours)
    return "\n".join([*parts, "</svg>", ""])


def _panel(left: float, title: str, lines: Mapping[str, Points], colours: Mapping[str, str]) -> Iterator[str]:
    right, bottom = left + PANEL[0], TOP + PANEL[1]
    yield f'<text x="{left}" y="{TOP - 20}" style="font-size: 15px">{escape(title)}</text>'
    yield f'<text x="{(left + right) / 2}" y="{bottom + 40}" text-anchor="middle">readers</text>'
    points = [point for line in lines.values() for point in line]
    if not points:
        return
    across = Scale([x for x, _ in points], left, right)
    up = Scale([y for _, y in points], bottom, TOP)
    for tick in across.ticks():
        x = across(tick)
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{tick:,.0f}</text>'
    for tick in up.ticks():
        y = up(tick)
        yield f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:,.10g}</text>'
    for name, line in lines.items():
        colour = colours[name]
        places = [(across(x), up(y)) for x, y in line]
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        width = 3 if name == next(iter(lines)) else 1.7
        yield f'<polyline class="line" stroke="{colour}" stroke-width="{width}" points="{drawn}"/>'
        for x, y in places:
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{width + 1}" fill="{colour}"/>'
    ends = {name: up(line[-1][1]) for name, line in lines.items() if line}
    for name, y in spread(ends, TOP, bottom).items():
        yield f'<text x="{right + 10}" y="{y + 4:.1f}" style="fill: {colours[name]}">{escape(name)}</text>'


def spread(wanted: Mapping[str, float], low: float, high: float) -> dict[str, float]:
    """Labels as near as may be to where they belong, in their order, none over another."""
    names = sorted(wanted, key=lambda name: wanted[name])
    places: dict[str, float] = {}
    at = -math.inf
    for name in names:
        at = places[name] = max(wanted[name], at + LABEL_HEIGHT, low)
    at = math.inf
    for name in reversed(names):
        at = places[name] = min(places[name], at - LABEL_HEIGHT, high)
    return places


def main(arguments: Sequence[str]) -> None:
    found, picture = map(Path, arguments)
    picture.write_text(draw(json.loads(found.read_text())["workloads"]))


if __name__ == "__main__":
    main(sys.argv[1:])
