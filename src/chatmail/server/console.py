"""The operator's console: the log, and the commands typed at the server. At a terminal or without one.

``logging`` puts everything that is logged on the console, as lines that nobody else can write: first the time, a word
for what is serious, and foreign characters escaped. ``run`` answers what is typed.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TextIO

from prompt_toolkit.utils import is_dumb_terminal

from chatmail.core.operator import Operator
from chatmail.files import state_folder
from chatmail.server.desk import Desk
from chatmail.server.faces import Face, Pipe, Terminal
from chatmail.server.lines import Line, clip, clock_time
from chatmail.terminal.text import harmless

LOGGERS = {"chatmail": logging.INFO, "asyncio": logging.WARNING}
"""What is shown: our own log, and what the event loop has to complain about (tasks that failed unseen, say)."""
TEXT_MAX = 2_000
"""Longest text of one logged line, in characters."""
INDENT = " " * len("00:00:00 ")
TRACE = f"{INDENT}| "
"""Begins every line of a traceback: where a record begins there is a time."""


class Console:
    """The operator's console.

    Args:
        face: where the operator is; None: at the terminal when standard input and output are one, otherwise at
            whatever they are.
    """

    def __init__(self, face: Face | None = None) -> None:
        self._face = face or _find_face()

    @contextmanager
    def logging(self) -> Iterator[None]:
        """Show what is logged, for as long as this lasts; afterwards logging is as it was."""
        handler = _Handler(self._face)
        before = {}
        for name, level in LOGGERS.items():
            logger = logging.getLogger(name)
            before[logger] = (logger.level, logger.propagate)
            logger.setLevel(level)
            logger.propagate = False
            logger.addHandler(handler)
        try:
            yield
        finally:
            for logger, (level, propagate) in before.items():
                logger.removeHandler(handler)
                logger.setLevel(level)
                logger.propagate = propagate
            self._face.close()

    async def run(self, operator: Operator, clock: Callable[[], float], quit: Callable[[], None]) -> None:
        """Answer what is typed, until it ends the server (``quit``) or there is no more.

        ``clock`` tells the seconds since the epoch.
        """

        def show(lines: Iterable[str]) -> None:
            self._face.show(map(Line, lines))

        await self._face.run(Desk(operator, show, quit, clock()), clock)


def _find_face() -> Face:
    source, target = _descriptor(sys.stdin), _descriptor(sys.stdout)
    if source is not None and os.isatty(source) and not _in_foreground(source):
        source = None  # reading it would stop the process
    if source is not None and target is not None and os.isatty(source) and os.isatty(target) and not is_dumb_terminal():
        folder = state_folder()
        return Terminal(folder and folder / "operator-history")
    return Pipe(source, target, getattr(sys.stdout, "encoding", None) or "utf-8")


def _descriptor(stream: TextIO | None) -> int | None:
    """The descriptor behind a standard stream; None where it is closed, or no file at all."""
    try:
        return None if stream is None else stream.fileno()
    except (OSError, ValueError):
        return None


def _in_foreground(terminal: int) -> bool:
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:  # it is a terminal, but not the one that could stop us
        return True


class _Handler(logging.Handler):
    """Turns what is logged into lines."""

    def __init__(self, face: Face) -> None:
        super().__init__()
        self._face = face

    def emit(self, record: logging.LogRecord) -> None:
        self._face.show(lines_of(record))


def lines_of(record: logging.LogRecord) -> list[Line]:
    """A record as lines: one for what it says, and one for each line of its traceback."""
    try:
        text = record.getMessage()
    except Exception:  # a fault in a log line must not hide what it wanted to say
        text = f"{record.msg} {record.args}"
    kind, mark = _kind(record.levelno)
    lines = [Line(mark + clip(text, TEXT_MAX), f"{clock_time(record.created)} ", kind)]
    if record.exc_info and record.exc_info[0] is not None:
        trace = logging.Formatter().formatException(record.exc_info)
        lines += [Line(harmless(line), TRACE, "trace") for line in trace.split("\n")]
    return lines


def _kind(level: int) -> tuple[str, str]:
    if level >= logging.ERROR:
        return "error", "ERROR: "
    return ("warning", "warning: ") if level >= logging.WARNING else ("", "")
