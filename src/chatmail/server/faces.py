"""Where the operator looks and types; here without a terminal (systemd, Docker, a pipe, a file).

``terminal`` has the face at one, and with it prompt-toolkit, which takes longer to load than all that is ours.
"""

import asyncio
import logging
import os
import select
import threading
from collections.abc import Callable, Iterable
from contextlib import aclosing, suppress
from queue import SimpleQueue
from typing import Protocol

from chatmail.server.desk import Desk
from chatmail.server.lines import Line
from chatmail.terminal.stdin import read_lines

WAITING_MAX = 10_000
"""So many lines wait for whoever reads them from a pipe; those after that are lost, and counted."""
CLOSING_TIME = 1.0
"""How long the last lines have to be written, in seconds."""
ANSWER_TIME = 5.0
"""How long a line from a pipe waits for what the one before asked for, in seconds."""
UNLIMITED = 10_000
"""As many columns as no line has."""

_log = logging.getLogger(__name__)


class Face(Protocol):
    """Where the operator looks and types.

    ``asks``: whether a question can be asked there; ``encoding``: what lines are written in.
    """

    asks: bool
    encoding: str

    def columns(self) -> int:
        """How wide a line may be, in cells."""
        ...

    def show(self, lines: Iterable[Line]) -> None:
        """Show lines; from any thread."""
        ...

    async def run(self, desk: Desk, clock: Callable[[], float]) -> None:
        """Have what is typed answered, until there is no more."""
        ...

    def close(self) -> None:
        """Show what waits to be shown."""
        ...


class Pipe:
    """Plain lines in and out.

    Args:
        source: the descriptor commands come from; None: from nowhere.
        target: the descriptor lines go to; None: nowhere.
        encoding: of what goes out; what it lacks is escaped.
        lament: makes the line that stands for lines that nobody read in time, from a sentence.
        patience: how long a line waits for the answer to the one before, in seconds.
    """

    def __init__(
        self,
        source: int | None,
        target: int | None,
        encoding: str = "utf-8",
        lament: Callable[[str], str] = str,
        patience: float = ANSWER_TIME,
    ) -> None:
        self.asks = False
        self._patience = patience
        self.encoding = encoding
        self._source = source
        self._writer = None if target is None else Writer(target, lament)

    def columns(self) -> int:
        """As wide as need be: somebody may want to read it again."""
        return UNLIMITED

    def show(self, lines: Iterable[Line]) -> None:
        """Write lines, in the end; may be called from any thread."""
        for line in lines:
            if self._writer is not None:
                self._writer.write(f"{line}\n".encode(self.encoding, "backslashreplace"))

    async def run(self, desk: Desk, clock: Callable[[], float]) -> None:
        """Answer lines until there are no more; the server goes on without.

        Each waits for the answer to the one before, but not for long: so answers come in the order of the lines.
        """
        if self._source is None:
            return
        answered = asyncio.Event()
        desk.when_answered(answered.set)
        try:
            async with aclosing(read_lines(self._source)) as lines:
                async for line in lines:
                    answered.clear()
                    desk.enter(line, clock())
                    if desk.ended:
                        return
                    if desk.owes:
                        with suppress(TimeoutError):
                            async with asyncio.timeout(self._patience):
                                await answered.wait()
        except OSError as error:
            _log.warning("commands can't be read: %s", error.strerror)

    def close(self) -> None:
        """Have the last lines written."""
        if self._writer is not None:
            self._writer.close()


class Writer:
    """Writes to a descriptor from a thread of its own, in order; it never holds up its caller.

    Args:
        fd: the descriptor.
        lament: makes the line that stands for lines that were lost, from a sentence.
    """

    def __init__(self, fd: int, lament: Callable[[str], str] = str) -> None:
        self._fd = fd
        self._lament = lament
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lost = 0

    def write(self, data: bytes) -> None:
        """Have this written, unless far too much waits already."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="stdout", daemon=True)
            self._thread.start()
        if self._queue.qsize() >= WAITING_MAX:
            self._lost += 1
            return
        if self._lost:
            self._queue.put(self._lament(f"({self._lost} lines are missing here: nobody read them)").encode() + b"\n")
            self._lost = 0
        self._queue.put(data)

    def close(self) -> None:
        """Wait until all is written, for a while."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(CLOSING_TIME)
            self._thread = None

    def _work(self) -> None:
        broken = False
        while (data := self._queue.get()) is not None:
            while data and not broken:
                try:
                    data = data[os.write(self._fd, data) :]
                except BlockingIOError:  # whoever shares it has made it non-blocking
                    select.select([], [self._fd], [])
                except OSError:  # whoever read it is gone: that ends no server
                    broken = True
