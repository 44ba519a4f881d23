"""Files for nobody else to read: where a person's own are, and how a file is written whole."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def state_folder() -> Path | None:
    """Where a user's programs keep what lasts but is not worth moving (XDG Base Directory Specification).

    None where nobody is at home.
    """
    return _folder("XDG_STATE_HOME", "~/.local/state")


def config_folder() -> Path | None:
    """Where a user's programs look for what was chosen for them; otherwise as ``state_folder``."""
    return _folder("XDG_CONFIG_HOME", "~/.config")


def _folder(variable: str, default: str) -> Path | None:
    folder = os.environ.get(variable, "")
    try:
        root = Path(folder) if folder.startswith("/") else Path(default).expanduser()
    except RuntimeError:
        return None
    return root / "chatmail"


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """No other program is in here with this folder meanwhile. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def write_private(path: Path, content: bytes) -> None:
    """Put a file with this content in place: all of it or nothing, safely on the disk, with mode 0600.

    Whoever reads it meanwhile sees the former one. Only one at a time may write it. Raises OSError.
    """
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)  # of a program that was killed over it
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the name, too
    finally:
        os.close(folder)
