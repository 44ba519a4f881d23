"""What stands around the input line: above it own lines that are not confirmed yet, below it how things are. Pure."""

from collections.abc import Sequence
from math import ceil

from msgspec import Struct
from prompt_toolkit.utils import get_cwidth

from chatmail.client.connection import Connection
from chatmail.client.link import State
from chatmail.client.timeline import Timeline
from chatmail.core import wire
from chatmail.terminal.text import CLUSTER, Fragments, plain, visible, wrap

WAITING_MAX = 3
"""So many unconfirmed lines are shown, the latest; older ones are counted."""
BETWEEN = " · "
COUNTED = wire.TEXT_MAX * 9 // 10
"""Of a text with more characters than this it is told how many it has."""


class _Part(Struct, frozen=True):
    """One thing to tell; where there is no room for all, those with the lowest ``rank`` are left out."""

    rank: int
    text: str
    style: str = "class:toolbar"


def draw(
    timeline: Timeline,
    connection: Connection,
    state: State,
    wrong: str,
    columns: int,
    now: float,
    typed: str = "",
) -> Fragments:
    """What tells most comes first; on a narrow screen (``columns`` cells) some is left out, but nothing cut off.

    ``now`` is the time of the loop's clock.

    What is ``wrong`` with the line that is being typed stands above, in rows of its own; ``typed`` is the text that it
    would say.
    """
    calm = "class:toolbar" if state is State.JOINED else "class:toolbar.trouble"
    how = state.value
    if connection.next_try is not None:
        how += f" in {max(1, ceil(connection.next_try - now))} s"
    parts = [_Part(9, how, calm)]
    if connection.next_try is not None:
        parts.append(_Part(3, "Enter: now", calm))
    if len(typed) > COUNTED:
        fits = "class:toolbar" if len(typed) <= wire.TEXT_MAX else "class:toolbar.trouble"
        parts.append(_Part(8, f"{len(typed):,} of {wire.TEXT_MAX:,}", fits))
    if waiting := len(timeline.unsaid):
        parts.append(_Part(7, f"{waiting} unconfirmed", "class:toolbar.trouble"))
    if connection.look_backs:
        parts.append(_Part(2, "looking back"))
    if timeline.unread:
        direct = f" ({timeline.unread_direct} direct)" if timeline.unread_direct else ""
        parts.append(_Part(6, f"{timeline.unread} new{direct}", "class:toolbar.news"))
    if timeline.away is not None:
        parts.append(_Part(4, "away"))
    parts.append(_Part(0, plain(visible(f"{timeline.me}@{connection.server}"))))
    if connection.joined:
        parts.append(_Part(1, f"{timeline.total} here"))
    if connection.server.tls:
        parts.append(_Part(5, "TLS"))
    while len(parts) > 1 and get_cwidth(BETWEEN.join(part.text for part in parts)) + 1 > columns:
        parts.remove(min(parts, key=lambda part: part.rank))
    line: Fragments = wrap([("class:toolbar.trouble", f" {wrong}\n")], columns, get_cwidth) if wrong else []
    line.append(("", " "))
    for number, part in enumerate(parts):
        line += [("", BETWEEN if number else ""), (part.style, part.text)]
    return line


def unconfirmed(lines: Sequence[wire.Say | wire.Dm], columns: int) -> Fragments:
    """Own lines that wait for the server, each in one row, oldest first."""
    rows = [f"  and {len(lines) - WAITING_MAX:,} more before"] if len(lines) > WAITING_MAX else []
    for line in lines[-WAITING_MAX:]:
        to = f"→ {plain(visible(line.to))}: " if isinstance(line, wire.Dm) else ""
        rows.append(f"… {to}{plain(visible(line.text[:columns]))}")
    return [("class:status", "".join(f"{_clip(row, columns)}\n" for row in rows))]


def _clip(row: str, columns: int) -> str:
    """As much of a row as fits, without the last column: there some terminals break the line."""
    if get_cwidth(row) < columns:
        return row
    clusters = CLUSTER.findall(row)
    while clusters and get_cwidth("".join(clusters)) > columns - 2:
        clusters.pop()
    return f"{''.join(clusters)}…"
