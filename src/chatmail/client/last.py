"""As whom somebody came in last, as lines of a file, the latest first: what the questions offer next time. Pure."""

from collections.abc import Sequence

import msgspec

from chatmail.client.link import Server
from chatmail.core.names import fold

LINES_MAX = 20
"""So many are kept."""


class _Line(msgspec.Struct, frozen=True):
    """Somebody at one server (``Server.key``)."""

    server: str
    name: str
    email: str


def last_of(server: Server, lines: Sequence[str], name: str = "") -> tuple[str, str]:
    """The name and the address with which somebody last came in there, under this name or (empty) any; or nothing."""
    for kept in map(_read, lines):
        if kept is not None and kept.server == server.key and (not name or fold(kept.name) == fold(name)):
            return kept.name, kept.email
    return "", ""


def with_last(server: Server, name: str, email: str, lines: Sequence[str]) -> list[str]:
    """The lines with this one first, and no other about the same name there."""
    new = _Line(server.key, name, email)
    others = [
        line for line in lines if (kept := _read(line)) and (kept.server, fold(kept.name)) != (new.server, fold(name))
    ]
    return [msgspec.json.encode(new).decode(), *others][:LINES_MAX]


def _read(line: str) -> _Line | None:
    try:
        return msgspec.json.decode(line, type=_Line)
    except ValueError:  # of msgspec's, or a line that is no UTF-8
        return None
