"""Noticing that nobody reads a pipe any more, also while there is nothing to write into it."""

import asyncio
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO


@contextmanager
def watching(stream: TextIO | None, gone: Callable[[], object]) -> Iterator[None]:
    """Call this once the other end of a pipe is closed (``grep -m1`` has seen enough); of anything else, never."""
    loop = asyncio.get_running_loop()
    try:
        fd = stream.fileno() if stream is not None else -1
        is_pipe = fd >= 0 and stat.S_ISFIFO(os.fstat(fd).st_mode)
    except (OSError, ValueError):  # closed, or no file at all
        is_pipe = False
    if not is_pipe:
        yield
        return

    def tell() -> None:
        loop.remove_reader(fd)
        gone()

    loop.add_reader(fd, tell)  # there is nothing to read at this end: only the error of a closed pipe wakes us
    try:
        yield
    finally:
        loop.remove_reader(fd)
