"""Where everything is kept when CHAT_DB names no file: in a Redis, which several servers may share.

Its URL may hold a password, so it is shown to nobody; what people read of it comes from ``place``, and where it may be
no proper URL, from ``public``.
"""

import re
from urllib.parse import unquote, urlsplit

PORT = 6379
"""Where a Redis listens, unless its URL says otherwise."""
_URL = re.compile(r"(?:rediss?|valkeys?|unix):|[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_BARE = re.compile(r"([^/]*@)?((?:\[[0-9a-f:.]+\]|[a-z0-9_.-]+):[0-9]{1,5}(?:/[0-9]*)?)", re.IGNORECASE | re.ASCII)


def is_url(database: str) -> bool:
    """Whether this is the URL of a Redis, or (in what is not checked yet) means to be a URL, and is no file."""
    return _URL.match(database) is not None


def public(database: str) -> str:
    """What may be shown of this, whatever somebody has written: of a URL, what kind of one it is."""
    kind = _URL.match(database)
    bare = _BARE.fullmatch(database)
    if kind is None and bare is not None and bare[1]:
        return f"…@{bare[2]}"
    return f"{kind[0]}…" if kind else database


def bare_place(database: str) -> str:
    """The HOST:PORT of what would be the URL of a Redis if it began with redis://, "" of all else."""
    bare = None if is_url(database) else _BARE.fullmatch(database)
    return bare[2] if bare is not None else ""


def place(url: str) -> str:
    """What people call the Redis with this URL."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return f"Redis at {unquote(parts.path)}"
    host = parts.hostname or ""
    number = parts.path.strip("/").lstrip("0")
    shown = f"[{host}]" if ":" in host else host
    return f"Redis at {shown}:{parts.port or PORT}" + (f"/{number}" if number else "")


def has_password(database: str) -> bool:
    """Whether there is a password in it."""
    return is_url(database) and "@" in database


def host_in_clear(database: str) -> str:
    """The host that everything goes to without being encrypted; "" where there is no such."""
    parts = urlsplit(database) if is_url(database) else None
    return parts.hostname or "" if parts and parts.scheme == "redis" else ""
