"""The operator's console: the log, and the commands typed at the server. At a terminal or without one.

``logging`` puts everything that is logged on the console, and into a file if there is one, as lines that nobody else
can write (``log`` makes them). ``run`` answers what is typed.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from logging import WARNING, Handler, LogRecord, getLogger
from typing import TextIO

from chatmail.core.operator import Operator
from chatmail.core.pace import STEP
from chatmail.files import state_folder
from chatmail.server.command import Machine
from chatmail.server.desk import Desk
from chatmail.server.faces import Face, Pipe
from chatmail.server.lines import BLOCKS, Line
from chatmail.server.log import Level, LogFile, Shown, as_object, line_of, lines_of, object_of
from chatmail.server.machine import disk_space, peak_memory, resident_memory
from chatmail.server.place import is_url, place
from chatmail.server.settings import Settings, SettingsError


class Console:
    """The operator's console.

    Args:
        settings: how much is logged, and where to.
        clock: seconds since the epoch.
        face: where the operator is; None: at the terminal when standard input and output are one, otherwise at
            whatever they are.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float], face: Face | None = None) -> None:
        self._settings = settings
        self._clock = clock
        self._face = face or _find_face(self._as_object if settings.log_format == "json" else None)
        self._objects = settings.log_format == "json" and not self._face.asks  # a person reads text
        self._level = Level(settings.log_level)

    @contextmanager
    def logging(self) -> Iterator[None]:
        """Show what is logged, for as long as this lasts; afterwards logging is as it was.

        Raises SettingsError when the file for it can't be written.
        """
        shown = Shown(self._face.show, self._lines)
        handlers = [shown, *self._file(shown)]
        loggers = list(map(getLogger, self._level.levels()))
        before = [(logger.level, logger.propagate) for logger in loggers]
        self._level.set(self._level.name)
        for logger in loggers:
            if logger.parent is None or logger.parent not in loggers:
                logger.propagate = False
                for handler in handlers:
                    logger.addHandler(handler)
        try:
            yield
        finally:
            for logger, (level, propagate) in zip(loggers, before, strict=True):
                logger.setLevel(level)
                logger.propagate = propagate
                for handler in handlers:
                    logger.removeHandler(handler)
            for handler in handlers:
                handler.close()
            self._face.close()

    def _file(self, shown: Handler) -> list[Handler]:
        """The file that what is logged goes to; what is wrong with it is shown only. Raises SettingsError."""
        path = self._settings.log_file
        if path is None:
            return []

        def report(text: str) -> None:
            shown.handle(LogRecord(__name__, WARNING, __file__, 0, text, None, None))

        make = object_of if self._settings.log_format == "json" else line_of
        try:
            return [LogFile(path, make, report)]
        except OSError as error:
            raise SettingsError([f"LOG_FILE={path} can't be written: {error.strerror}"]) from None

    def _lines(self, record: LogRecord) -> list[Line]:
        return [Line(object_of(record))] if self._objects else lines_of(record)

    def _as_object(self, text: str) -> str:
        return as_object(self._clock(), text)

    async def run(self, operator: Operator, quit: Callable[[], None]) -> None:
        """Answer what is typed, until it ends the server (``quit``) or there is no more."""

        def end() -> None:
            operator.end(self._clock())
            quit()

        operator.begin(self._clock())
        desk = Desk(operator, self._show, end, self._clock(), self._machine(), asks=self._face.asks)
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(self._look(desk), name="pace")
            await self._face.run(desk, self._clock)
            looking.cancel()

    def _show(self, lines: Iterable[str]) -> None:
        self._face.show(Line(self._as_object(line) if self._objects else line) for line in lines)

    async def _look(self, desk: Desk) -> None:
        """Have the desk look how busy the chat is, again and again."""
        while True:
            desk.look(self._clock())
            await asyncio.sleep(STEP)

    def _machine(self) -> Machine:
        return Machine(
            memory=resident_memory,
            peak=peak_memory,
            disk=partial(disk_space, self._settings.chat_db),
            place=place(self._settings.chat_db) if is_url(self._settings.chat_db) else "",
            level=lambda: self._level.name,
            set_level=self._level.set,
            columns=self._face.columns,
            blocks=_can_write(self._face.encoding, BLOCKS),
        )


def _can_write(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _find_face(as_object: Callable[[str], str] | None) -> Face:
    """Where the operator is; without a terminal, ``as_object`` (if any) makes the lines."""
    source, target = _descriptor(sys.stdin), _descriptor(sys.stdout)
    if source is not None and os.isatty(source) and not _in_foreground(source):
        source = None  # reading it would stop the process
    if source is not None and target is not None and os.isatty(source) and os.isatty(target) and not _is_dumb():
        # With it comes prompt-toolkit: without a terminal, a third of the time to start and 6 MiB.
        from chatmail.server.terminal import Terminal

        folder = state_folder()
        return Terminal(folder and folder / "operator-history")
    if as_object is not None:
        return Pipe(source, target, lament=as_object)  # JSON is UTF-8 (RFC 8259, section 8.1)
    return Pipe(source, target, getattr(sys.stdout, "encoding", None) or "utf-8")


def _is_dumb() -> bool:
    """Whether nothing can be drawn at the terminal, as prompt-toolkit sees it."""
    return os.environ.get("TERM", "").lower() in {"dumb", "unknown"}


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
