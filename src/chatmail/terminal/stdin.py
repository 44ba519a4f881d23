"""Lines from a descriptor, without holding up the loop: a pipe, a file, a terminal, or nothing at all.

A thread reads and the loop takes; it never runs ahead by more than one chunk. The thread is a daemon and reads the
descriptor itself: it may hang in ``read`` for ever, and neither the end of the loop nor that of Python waits for it.
"""

import asyncio
import os
import select
import threading
from collections.abc import AsyncGenerator

CHUNK = 64 * 1024
LINE_MAX = 64 * 1024
"""Longest line that is kept in memory, in bytes; what is longer is cut, and too long for anything anyway."""


async def read_lines(fd: int) -> AsyncGenerator[str, None]:
    """The lines, without their ends; the last one needs none. What is no UTF-8 becomes U+FFFD.

    Close the generator (``contextlib.aclosing``) to leave the rest unread.

    Raises:
        OSError: it can't be read.
    """
    loop = asyncio.get_running_loop()
    chunks: asyncio.Queue[bytes | OSError] = asyncio.Queue()
    turns = threading.Semaphore(1)
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
        except BlockingIOError:  # whoever shares it has made it non-blocking
            select.select([fd], [], [])
