"""The tokens that prove at a server who we are, as lines of a file. Pure.

A token is shown to nobody but the server that gave it: at the same host and port, and through TLS only, when it came
through TLS.
"""

from collections.abc import Sequence

import msgspec

from chatmail.client.link import Server
from chatmail.core.names import fold, same_email

TOKEN_MAX = 1_000
"""A longer one, in characters, is not kept."""


class _Line(msgspec.Struct, frozen=True):
    """Who proves what at which server (``Server.key``), and whether it came through TLS."""

    server: str
    name: str
    email: str
    tls: bool
    token: str


def token_of(server: Server, name: str, email: str, lines: Sequence[str]) -> str | None:
    """The token to show there for this account; None: there is none, or it must not be shown on such a connection."""
    for kept in map(_read, lines):
        if kept is not None and _is_of(server, name, email, kept) and (server.tls or not kept.tls):
            return kept.token
    return None


def with_token(server: Server, name: str, email: str, token: str, lines: Sequence[str]) -> list[str]:
    """The lines with this token in the place of the account's former one there.

    A token that came in clear does not take the place of one that came through TLS.
    """
    new = _Line(server.key, fold(name), same_email(email), server.tls, token)
    if len(token) > TOKEN_MAX:
        return list(lines)
    others = []
    for line in lines:
        kept = _read(line)
        if kept is None or not _is_of(server, name, email, kept):
            others.append(line)
        elif kept == new or (kept.tls and not server.tls):
            return list(lines)
    return [*others, msgspec.json.encode(new).decode()]


def _read(line: str) -> _Line | None:
    try:
        return msgspec.json.decode(line, type=_Line)
    except ValueError:  # of msgspec's, or a line that is no UTF-8
        return None


def _is_of(server: Server, name: str, email: str, kept: _Line) -> bool:
    return (kept.server, kept.name, kept.email) == (server.key, fold(name), same_email(email))
