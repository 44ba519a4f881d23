"""The console without a terminal: lines from one descriptor, lines to another. For systemd, Docker, a pipe, a file.

Both ends are a thread's business, because neither a read nor a write can be trusted to return: nobody may ever type
anything, and whoever reads our lines (a pager, say) may stop. The threads are daemons and use the descriptors
themselves: neither the end of the loop nor that of Python waits for them.
"""

import asyncio
import logging
import os
import select
import threading
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from queue import SimpleQueue

from chatmail.server.desk import Desk
from chatmail.server.lines import Line

CHUNK = 64 * 1024
LINE_MAX = 64 * 1024
"""Longest line that is kept in memory, in bytes; what is longer is cut, and too long for any command."""
WAITING_MAX = 10_000
"""So many lines wait for whoever reads them; those after that are lost, and counted."""
CLOSING_TIME = 1.0
"""How long the last lines have to be written, in seconds."""

_log = logging.getLogger(__name__)


class Pipe:
    """Plain lines in and out.

    Args:
        source: the descriptor commands come from; None: from nowhere.
        target: the descriptor lines go to; None: nowhere.
        encoding: of what goes out; what it lacks is escaped.
    """

    def __init__(self, source: int | None, target: int | None, encoding: str = "utf-8") -> None:
        self._source = source
        self._writer = None if target is None else Writer(target)
        self._encoding = encoding

    def show(self, lines: Iterable[Line]) -> None:
        """Write lines, in the end; may be called from any thread."""
        for line in lines:
            if self._writer is not None:
                self._writer.write(f"{line}\n".encode(self._encoding, "backslashreplace"))

    async def run(self, desk: Desk, clock: Callable[[], float]) -> None:
        """Answer lines until there are no more; the server goes on without."""
        if self._source is None:
            return
        try:
            async with aclosing(read_lines(self._source)) as lines:
                async for line in lines:
                    self.show(map(Line, desk.answer(line, clock())))
                    if desk.ended:
                        return
        except OSError as error:
            _log.warning("commands can't be read: %s", error.strerror)

    def close(self) -> None:
        """Have the last lines written."""
        if self._writer is not None:
            self._writer.close()


class Writer:
    """Writes to a descriptor from a thread of its own, in order; it never holds up its caller."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
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
            self._queue.put(b"(%d lines are missing here: nobody read them)\n" % self._lost)
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


async def read_lines(fd: int) -> AsyncGenerator[str, None]:
    """The lines of a descriptor, without their ends; the last one needs none. What is no UTF-8 becomes U+FFFD.

    Raises:
        OSError: it can't be read.
    """
    loop = asyncio.get_running_loop()
    chunks: asyncio.Queue[bytes | OSError] = asyncio.Queue()
    turns = threading.Semaphore(1)  # it never reads ahead by more than one chunk
    over = False

    def work() -> None:
        data: bytes | OSError = b"-"
        while data and isinstance(data, bytes):
            turns.acquire()
            if over:
                return
            try:
                data = _read(fd)
            except OSError as error:
                data = error
            try:
                loop.call_soon_threadsafe(chunks.put_nowait, data)
            except RuntimeError:  # the loop is closed: nobody wants it any more
                return

    threading.Thread(target=work, name="stdin", daemon=True).start()
    held = b""
    try:
        while data := await chunks.get():
            if isinstance(data, OSError):
                raise data
            *lines, tail = data.split(b"\n")
            for line in lines:
                yield _text(held + line)
                held = b""
            held = (held + tail)[:LINE_MAX]
            turns.release()
        if held:
            yield _text(held)
    finally:
        over = True
        turns.release()


def _text(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", "replace")


def _read(fd: int) -> bytes:
    while True:
        try:
            return os.read(fd, CHUNK)
        except BlockingIOError:
            select.select([fd], [], [])
