"""A real terminal for a real program: a pseudo-terminal whose screen is kept by a terminal emulator."""

import asyncio
import fcntl
import os
import pty
import struct
import termios
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyte

PATIENCE = 20.0
"""No expectation takes longer than this, in seconds, unless it fails."""


class _Screen(pyte.HistoryScreen):
    """A screen that answers when the program asks where the cursor is, as terminals do."""

    def __init__(self, columns: int, rows: int, answer: Callable[[bytes], Any]) -> None:
        super().__init__(columns, rows, history=10_000, ratio=0.5)
        self._answer = answer

    def write_process_input(self, data: str) -> None:
        self._answer(data.encode())


class Terminal:
    """A program in a terminal of its own; what it shows is in ``lines``."""

    def __init__(self, process: asyncio.subprocess.Process, fd: int, columns: int, rows: int) -> None:
        self.process = process
        self._fd = fd
        self._screen = _Screen(columns, rows, lambda data: os.write(fd, data))
        self._stream = pyte.ByteStream(self._screen)
        self._changed = asyncio.Event()
        self._ended = False
        self.raw = b""
        asyncio.get_running_loop().add_reader(fd, self._read)

    @classmethod
    async def start(
        cls, argv: Sequence[str | Path], folder: Path, env: Mapping[str, str], columns: int = 80, rows: int = 24
    ) -> "Terminal":
        """Run a program in this folder with this environment and no other."""
        fd, inner = pty.openpty()
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=inner, stdout=inner, stderr=inner, cwd=folder, env=env, start_new_session=True
        )
        os.close(inner)
        return cls(process, fd, columns, rows)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # how Linux says that the other end is closed
            data = b""
        if data:
            self.raw += data
            self._stream.feed(data)
        else:
            asyncio.get_running_loop().remove_reader(self._fd)
            self._ended = True
        self._changed.set()

    @property
    def lines(self) -> list[str]:
        """Everything shown so far, what has scrolled away included, without blanks at the ends."""
        columns = range(self._screen.columns)
        above = ["".join(line[column].data for column in columns) for line in self._screen.history.top]
        return [line.rstrip() for line in [*above, *self._screen.display]]

    @property
    def screen(self) -> pyte.Screen:
        """What is on the screen now, with its colours; to look at."""
        return self._screen

    @property
    def cursor_line(self) -> str:
        """The line the cursor is in."""
        return str(self._screen.display[self._screen.cursor.y]).rstrip()

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until the screen is as it should be; ``what`` says how, for when it does not come."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            screen = "\n".join(self.lines)
            raise AssertionError(f"waited in vain for {what}; the screen:\n{screen}") from None

    async def shows(self, text: str) -> str:
        """Wait for a text to be on the screen, or above it; the line it stands in."""
        await self.until(lambda: any(text in line for line in self.lines), repr(text))
        return next(line for line in self.lines if text in line)

    def count(self, text: str) -> int:
        """In how many lines a text stands."""
        return sum(text in line for line in self.lines)

    def type(self, text: str) -> None:
        """Press keys; a newline is Enter."""
        os.write(self._fd, text.replace("\n", "\r").encode())

    async def ends(self) -> int:
        """Wait for the program to end; its exit status."""
        await self.until(lambda: self._ended, "the end of the program")
        return await self.process.wait()

    async def close(self) -> None:
        """End the program, whatever it does."""
        if self.process.returncode is None:
            self.process.kill()
            await self.ends()
        os.close(self._fd)
