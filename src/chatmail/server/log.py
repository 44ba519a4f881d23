"""What is logged: how much of it, and as what lines. On the console, and in a file.

Whatever a stranger chose is escaped in all of them: one record is one line, or one object, and nothing in it passes for
another one. On the console a traceback is shown on lines of its own, each with a mark.
"""

import json
import logging
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chatmail.server.lines import Line, clip, clock_time
from chatmail.terminal.text import harmless

LEVELS = ("debug", "info", "warning", "error")
OPERATOR = "chatmail.operator"
"""What became of what the operator asked for is logged under this name; it is shown at any level."""
TEXT_MAX = 2_000
"""Longest text of one logged line, in characters."""
INDENT = " " * len("00:00:00 ")
TRACE = f"{INDENT}| "
"""Begins every line of a traceback on the console: where a record begins there is a time."""


class Level:
    """How much is logged; ``name`` is one of LEVELS."""

    def __init__(self, name: str) -> None:
        self.name = name

    def set(self, name: str) -> None:
        """Log as much from now on."""
        self.name = name
        for logger, level in self.levels().items():
            logging.getLogger(logger).setLevel(level)

    def levels(self) -> dict[str, int]:
        """For each of the loggers that are shown: ours, and what the event loop has to complain about."""
        level: int = getattr(logging, self.name.upper())
        return {
            "chatmail": level,
            OPERATOR: min(level, logging.INFO),
            "asyncio": max(level, logging.WARNING),  # tasks that failed unseen, say
        }


class Shown(logging.Handler):
    """Shows what is logged, as the lines that ``make`` makes of it."""

    def __init__(self, show: Callable[[Iterable[Line]], None], make: Callable[[logging.LogRecord], list[Line]]) -> None:
        super().__init__()
        self._show = show
        self._make = make

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record."""
        self._show(self._make(record))


class LogFile(logging.Handler):
    """Appends what is logged to a file, a line a record. When logrotate puts that aside, a new one is begun.

    A disk that is full must not end anything, and whoever logs is never told: ``report`` is, once, and when it is over.
    That is why this is not the library's WatchedFileHandler: what goes wrong as it begins a new file is raised where
    something was logged, and it goes on in the middle of a line that it could not write whole.

    Args:
        path: the file; made for nobody else to read, where it is not there yet.
        make: makes the line, without its end.
        report: gets a sentence.

    Raises OSError when the file can't be written.
    """

    def __init__(self, path: Path, make: Callable[[logging.LogRecord], str], report: Callable[[str], None]) -> None:
        self._path = path
        self._make = make
        self._report = report
        self._lost = 0
        self._torn = False
        self._fd = self._open()
        super().__init__()  # from here on it is closed at the end of the program

    def _open(self) -> int:
        # A FIFO that nobody reads must hold up nothing; to a file, O_NONBLOCK is nothing.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        return os.open(self._path, flags, 0o600)

    def emit(self, record: logging.LogRecord) -> None:
        """Append a record."""
        try:
            self._follow()
            self._write(f"{self._make(record)}\n".encode("utf-8", "backslashreplace"))
        except OSError as error:
            self._lost += 1
            if self._lost == 1:
                self._report(f"LOG_FILE={self._path} gets nothing more: {error.strerror}")
        else:
            if self._lost:
                self._report(f"LOG_FILE={self._path} can be written again; {self._lost:,} lines are missing in it")
            self._lost = 0

    def _follow(self) -> None:
        """Go on in the file that has the name now."""
        with suppress(FileNotFoundError):
            if os.path.samestat(self._path.stat(), os.fstat(self._fd)):
                return
        new = self._open()
        os.close(self._fd)
        self._fd, self._torn = new, False

    def _write(self, data: bytes) -> None:
        left = b"\n" + data if self._torn else data
        while left:
            left = left[os.write(self._fd, left) :]
            self._torn = bool(left)

    def close(self) -> None:
        """Write no more."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        super().close()


def lines_of(record: logging.LogRecord) -> list[Line]:
    """A record for the console: a line for what it says, and one for each line of its traceback."""
    kind, mark = _kind(record.levelno)
    lines = [Line(mark + _text(record), f"{clock_time(record.created)} ", kind)]
    return lines + [Line(line, TRACE, "trace") for line in _trace(record)]


def line_of(record: logging.LogRecord) -> str:
    """A record on one line, with the date, in UTC; its traceback, too, its line ends escaped."""
    trace = "".join(rf"\n{line}" for line in _trace(record))
    return f"{_moment(record.created)} {record.levelname} {_text(record)}{trace}"


def object_of(record: logging.LogRecord) -> str:
    """A record as an object of JSON, on one line."""
    trace = _trace(record)
    more = {"trace": "\n".join(trace)} if trace else {}
    return as_object(record.created, _text(record), record.levelname, record.name, **more)


def as_object(when: float, text: str, level: str = "INFO", logger: str = OPERATOR, **more: str) -> str:
    """A harmless text as an object of JSON, on one line."""
    fields: dict[str, Any] = {"time": _moment(when), "level": level.lower(), "logger": logger, "text": text, **more}
    return json.dumps(fields, ensure_ascii=False)


def _moment(when: float) -> str:
    """A time as RFC 3339 has it, in UTC."""
    return datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(record: logging.LogRecord) -> str:
    try:
        text = record.getMessage()
    except Exception:  # a fault in a log line must not hide what it wanted to say
        text = f"{record.msg} {record.args}"
    return clip(text, TEXT_MAX)


def _trace(record: logging.LogRecord) -> list[str]:
    if not record.exc_info or record.exc_info[0] is None:
        return []
    return list(map(harmless, logging.Formatter().formatException(record.exc_info).split("\n")))


def _kind(level: int) -> tuple[str, str]:
    if level >= logging.ERROR:
        return "error", "ERROR: "
    if level >= logging.WARNING:
        return "warning", "warning: "
    return ("", "") if level >= logging.INFO else ("debug", "")
