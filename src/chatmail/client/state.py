"""Files of lines in the user's state folder, for nobody else to read, which several clients may change at once.

Who changes one takes the lock, reads what is there by now, and puts a whole new file in the place of the old one. So a
reader sees the one or the other, and no writer undoes what another one did.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from chatmail.files import write_private


def open_folder(folder: Path | None, report: Callable[[str], None]) -> Path | None:
    """Make the folder if need be, and private; None where nothing can be kept, after saying so."""
    if folder is None:
        return None
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        os.close(_open_lock(folder))  # whether that can be written
    except OSError as error:
        report(f"nothing is kept for the next start: {lament(folder, error)}")
        return None
    return folder


def _open_lock(folder: Path) -> int:
    return os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def lament(path: Path, error: OSError) -> str:
    """Which file, and what is wrong with it."""
    return f"{path}: {error.strerror or error}"


class Lines:
    """One file. All of this raises OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[str]:
        """The lines; none while there is no file."""
        try:
            text = self.path.read_text("utf-8", "surrogateescape")
        except FileNotFoundError:
            return []
        return text.removesuffix("\n").split("\n") if text else []

    def change(self, edit: Callable[[list[str]], list[str]]) -> None:
        """Put other lines in the place of those that are there."""
        with self._locked():
            lines = self.read()
            changed = edit(lines)
            if changed != lines:
                text = "".join(f"{line}\n" for line in changed)
                # What else is in a file stays as it is.
                write_private(self.path, text.encode("utf-8", "surrogateescape"))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Meanwhile nobody else changes a file in this folder; the lock lasts while the descriptor is open."""
        descriptor = _open_lock(self.path.parent)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
