"""A program in a terminal, and when the terminal got to see what.

    program ── pty ──> read, and the time taken ──> screen ──> is it there?

The time is that of the read, before anything is drawn: what the emulator needs is not the program's. Only where it
still draws what came before, the next read is late by that (well under a millisecond a redraw), as on a real terminal.
"""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyte

from tests.benchmarks.servers import PATIENCE, BenchmarkError, on_cpu

COLUMNS, ROWS = 80, 24
CHUNK = 64 * 1024


class _Screen(pyte.Screen):
    """Answers when it is asked where the cursor is, as terminals do, and keeps what scrolls away."""

    def __init__(self, answer: Callable[[bytes], object]) -> None:
        super().__init__(COLUMNS, ROWS)
        self.above: list[str] = []
        self._answer = answer

    def write_process_input(self, data: str) -> None:
        self._answer(data.encode())

    def index(self) -> None:
        if self.cursor.y == ROWS - 1:
            self.above.append("".join(self.buffer[0][column].data for column in range(COLUMNS)).rstrip())
        super().index()


class Terminal:
    """A program in a terminal of its own. Times are in seconds, by ``time.monotonic``.

    Args:
        argv, folder, env: the program, where it runs, and its whole environment.
        cpu: the only one it runs on; None: any.
    """

    def __init__(self, argv: Sequence[str | Path], folder: Path, env: Mapping[str, str], cpu: int | None) -> None:
        self._fd, inner = pty.openpty()
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self._screen = _Screen(lambda data: os.write(self._fd, data))
        self._stream = pyte.ByteStream(self._screen)
        self.last = b""
        """What was read last."""
        self._read_at = 0.0
        with on_cpu(cpu):
            self.started = time.monotonic()
            self.process = subprocess.Popen(
                argv, stdin=inner, stdout=inner, stderr=inner, cwd=folder, env=env, start_new_session=True
            )
        os.close(inner)

    @property
    def lines(self) -> list[str]:
        """All that was shown, what has scrolled away included, without blanks at the ends."""
        return [*self._screen.above, *self.screen]

    @property
    def screen(self) -> list[str]:
        """What is on the screen, without blanks at the ends."""
        return [line.rstrip() for line in self._screen.display]

    @property
    def cursor_line(self) -> str:
        """The line that the cursor is in, up to the cursor."""
        cursor = self._screen.cursor
        return str(self._screen.display[cursor.y])[: cursor.x]

    def read(self, patience: float) -> float | None:
        """Show what comes next, and tell when that came; None: nothing came in time."""
        if not select.select([self._fd], [], [], max(0.0, patience))[0]:
            return None
        try:
            self.last = os.read(self._fd, CHUNK)
        except OSError:  # how Linux says that the other end is closed
            raise BenchmarkError(self.story("ended")) from None
        self._read_at = time.monotonic()
        self._stream.feed(self.last)
        return self._read_at

    def until(self, shown: Callable[[], object], what: str, patience: float = PATIENCE) -> float:
        """When the output came after which this is shown. Raises BenchmarkError when it does not."""
        deadline = time.monotonic() + patience
        while not shown():
            if self.read(deadline - time.monotonic()) is None or time.monotonic() > deadline:
                raise BenchmarkError(self.story(f"does not show {what}"))
        return self._read_at

    def type(self, keys: str) -> float:
        """Press keys; when that was."""
        now = time.monotonic()
        os.write(self._fd, keys.encode())
        return now

    def story(self, what: str) -> str:
        """A sentence about it, and its screen."""
        name = Path(str(self.process.args[0])).name if isinstance(self.process.args, Sequence) else "it"
        return "\n  ".join([f"{name} {what}; the screen:", *deque(filter(None, self.lines), maxlen=ROWS)])

    def close(self) -> None:
        """End the program, whatever it does."""
        self.process.kill()
        self.process.wait(PATIENCE)
        os.close(self._fd)


@contextmanager
def in_terminal(
    argv: Sequence[str | Path], folder: Path, env: Mapping[str, str], cpu: int | None
) -> Iterator[Terminal]:
    """A program in a terminal, until this ends."""
    terminal = Terminal(argv, folder, env, cpu)
    try:
        yield terminal
    finally:
        terminal.close()
