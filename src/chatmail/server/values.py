"""How the text of each setting is read.

A reader gets the text, without blanks around it, and the folder in which relative paths start; it gives the value, or
a ValueError that says what would be right. It never repeats the text: whoever calls it decides what may be shown.
"""

import os
import re
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from chatmail.core.limits import Rate
from chatmail.core.names import BadEmail, check_email
from chatmail.core.wire import TEXT_MAX, unfit_text
from chatmail.server.place import bare_place, is_url

Reader = Callable[[str, Path], Any]
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", re.IGNORECASE | re.ASCII)


def text(value: str, _: Path) -> str:
    """Any text that people will see."""
    if unfit_text(value, TEXT_MAX, "text"):
        raise ValueError(f"a text of at most {TEXT_MAX:,} characters, without NUL")
    return value


def password(value: str, _: Path) -> str:
    """Any text."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("text in UTF-8") from None
    # Google shows an app password in four groups; the blanks are not part of it.
    return value.replace(" ", "") if re.fullmatch(r"[a-z]{4}( [a-z]{4}){3}", value) else value


def address(value: str, _: Path) -> str:
    """One email address."""
    try:
        return check_email(value)
    except BadEmail:
        raise ValueError("an email address, as in team@example.org") from None


def host(value: str, _: Path) -> str:
    """A host name or an IP address."""
    try:
        ip_address(value)
    except ValueError:
        if not _HOST.fullmatch(value):
            raise ValueError("a host name or an IP address, as in mail.example.org, 0.0.0.0 or ::1") from None
    return value


def whole(value: str, _: Path, *, low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``."""
    if not re.fullmatch(r"[0-9]{1,9}", value) or not low <= int(value) <= high:
        raise ValueError(f"a whole number from {low} to {high}")
    return int(value)


def seconds(value: str, _: Path, *, low: int = 1) -> float:
    """A number of seconds, from ``low`` to a day."""
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value) or not low <= float(value) <= 86_400:
        raise ValueError(f"a number of seconds from {low} to 86400")
    return float(value)


def choice(value: str, _: Path, *, among: str) -> str:
    """One of the words in ``among``."""
    if value.lower() not in among.split():
        raise ValueError(f"one of: {', '.join(among.split())}")
    return value.lower()


def in_folder(value: str, folder: Path) -> Path:
    """A path; ``~`` is the home folder."""
    if "\0" in value:
        raise ValueError("a path without NUL")
    return folder / os.path.expanduser(value)  # noqa: PTH111 - Path.expanduser raises where there is no such user


def file(value: str, folder: Path) -> Path:
    """A file that is there."""
    path = in_folder(value, folder)
    if not path.is_file() or not os.access(path, os.R_OK):
        raise ValueError("a PEM file that is there and can be read")
    return path


def database(value: str, folder: Path) -> str:
    """A path, ``:memory:``, or the URL of a Redis."""
    if is_url(value):
        if not _is_of_redis(value):
            raise ValueError(
                "a file, :memory:, or a Redis, as in redis://host:6379/0, rediss://:password@host (with TLS) or "
                "unix:///its/socket; in a password, @ : / # ? % are %40 %3A %2F %23 %3F %25"
            )
        return value
    bare = bare_place(value)
    if bare:
        url = f"redis://{':password@' if '@' in value else ''}{bare if '/' in bare else f'{bare}/0'}"
        raise ValueError(f"{url} for a Redis, or ./{bare} for a file")
    return value if value == ":memory:" else str(in_folder(value, folder))


def _is_of_redis(url: str) -> bool:
    if not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    named = parts.username is not None
    if port == 0 or parts.fragment or (named and not parts.password):
        return False
    if parts.scheme == "unix":
        host_and_port = parts.netloc.rpartition("@")[2]
        return not host_and_port and len(parts.path) > 1 and re.fullmatch(r"(db=[0-9]{1,9})?", parts.query) is not None
    if parts.scheme not in {"redis", "rediss"} or parts.query or not re.fullmatch(r"/?[0-9]{0,9}", parts.path):
        return False
    try:
        host(parts.hostname or "", Path())
    except ValueError:
        return False
    return True


def rate(value: str, _: Path) -> Rate | None:
    """So many at once / so many a second, None for off."""
    if value.lower() == "off":
        return None
    match = re.fullmatch(r"([0-9]{1,6}) */ *([0-9]{1,6}(?:\.[0-9]{1,6})?)", value)
    if not match or not int(match[1]) or not float(match[2]):
        raise ValueError("messages at once / messages a second, both above 0, as in 10/2; or off")
    return Rate(int(match[1]), float(match[2]))


def allowed(value: str, _: Path) -> tuple[str, ...]:
    """Addresses and @domains, in lower case."""
    entries = tuple(entry.lower() for entry in re.split(r"[\s,;]+", value) if entry)
    try:
        for entry in entries:
            check_email(f"any{entry}" if entry.startswith("@") else entry)
    except BadEmail:
        raise ValueError("addresses and @domains with commas between, as in @example.org,bob@x.org") from None
    return entries
