"""What was typed, kept in a file that only its owner can read."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from prompt_toolkit.history import FileHistory, History, InMemoryHistory


def open_history(path: Path | None, report: Callable[[str], None]) -> History:
    """The history in this file; one in memory where there can be no file, after saying so."""
    if path is None:
        return InMemoryHistory()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600))
        path.chmod(0o600)
    except OSError as error:
        report(_lament(path, error))
        return InMemoryHistory()
    return _PrivateHistory(path, report)


def _lament(path: Path, error: OSError) -> str:
    return f"what you type is not kept for next time: {path}: {error.strerror}"


class _PrivateHistory(FileHistory):
    """A file history that reports a broken disk once instead of ending the prompt."""

    def __init__(self, path: Path, report: Callable[[str], None]) -> None:
        super().__init__(path)
        self._path = path
        self._report: Callable[[str], None] | None = report

    def load_history_strings(self) -> Iterable[str]:
        try:
            return list(super().load_history_strings())
        except OSError as error:
            self._fail(error)
            return []

    def store_string(self, string: str) -> None:
        try:
            super().store_string(string)
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        if self._report:
            self._report(_lament(self._path, error))
            self._report = None
