"""The line below the input line: how the connection is, what waits, who, where. Pure."""

from prompt_toolkit.utils import get_cwidth

from chatmail.client.connection import Connection
from chatmail.client.link import State
from chatmail.client.timeline import Timeline
from chatmail.terminal.text import Fragments, plain, visible, wrap


def draw(timeline: Timeline, connection: Connection, state: State, wrong: str, columns: int) -> Fragments:
    """What tells most comes first, for narrow screens (``columns`` cells).

    What is ``wrong`` with the line that is being typed stands above, in rows of its own.
    """
    calm = "class:toolbar" if state is State.JOINED else "class:toolbar.trouble"
    parts: list[tuple[str, str]] = [(calm, state.value)]
    if waiting := len(timeline.unsaid):
        parts.append(("class:toolbar.trouble", f"{waiting} unconfirmed"))
    if connection.look_backs:
        parts.append(("class:toolbar", "looking back"))
    if timeline.unread:
        direct = f" ({timeline.unread_direct} direct)" if timeline.unread_direct else ""
        parts.append(("class:toolbar.news", f"{timeline.unread} new{direct}"))
    if timeline.away is not None:
        parts.append(("class:toolbar", "away"))
    parts += [
        ("class:toolbar", plain(visible(f"{timeline.me}@{connection.server}"))),
        ("class:toolbar", f"{timeline.total} here"),
    ]
    if connection.server.tls:
        parts.append(("class:toolbar", "TLS"))
    line: Fragments = wrap([("class:toolbar.trouble", f" {wrong}\n")], columns, get_cwidth) if wrong else []
    line.append(("", " "))
    for number, part in enumerate(parts):
        line += [("", " · " if number else ""), part]
    return line
