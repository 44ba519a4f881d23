"""A terminal in memory: keys come through a pipe, what is written is drawn by a terminal emulator."""

import asyncio
import errno
import io
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pyte
from prompt_toolkit.application.current import create_app_session
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.output.vt100 import Vt100_Output
from pyte.screens import Char


class AnsweringScreen(pyte.Screen):
    """One that says where the cursor is when it is asked, as real ones do."""

    def __init__(self, answer: Callable[[str], None]) -> None:
        super().__init__(80, 24)
        self._answer = answer

    def write_process_input(self, data: str) -> None:
        self._answer(data)


class Out(io.StringIO):
    """Standard output, as far as prompt-toolkit is concerned."""

    def __init__(self, write: Callable[[str], None], encoding: str) -> None:
        super().__init__()
        self._write = write
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def write(self, text: str) -> int:
        self._write(text.encode(self._encoding, "replace").decode(self._encoding))
        return len(text)

    def isatty(self) -> bool:
        return True


class Terminal:
    """80 by 24, and what was rung and written raw."""

    def __init__(self, keys: PipeInput, encoding: str) -> None:
        self.raw = ""
        self.gone = False
        self._keys = keys
        self._screen = AnsweringScreen(keys.send_text)
        self._stream = pyte.Stream(self._screen)
        self._changed = asyncio.Event()
        colours = ColorDepth.from_env()
        self.output = Vt100_Output(
            Out(self._write, encoding), lambda: Size(24, 80), term="xterm-256color", default_color_depth=colours
        )

    def _write(self, text: str) -> None:
        if self.gone:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.raw += text
        self._stream.feed(text)
        self._changed.set()

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self._screen.display]

    @property
    def toolbar(self) -> str:
        return self.lines[-1]

    @property
    def text(self) -> str:
        return "\n".join(line for line in self.lines if line)

    def look(self, text: str) -> Char:
        """How this text looks, by its first character."""
        row = next(row for row, line in enumerate(self.lines) if text in line)
        column = next(at for at in range(80) if "".join(self._cells(row, at)).startswith(text))
        return self._screen.buffer[row][column]

    def _cells(self, row: int, start: int) -> list[str]:
        return [self._screen.buffer[row][column].data for column in range(start, 80)]

    def type(self, keys: str) -> None:
        self._keys.send_text(keys)

    def paste(self, text: str) -> None:
        self.type(f"\x1b[200~{text}\x1b[201~")

    async def until(self, true: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(5):
                while not true():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"this never came:\n{self.text}") from None

    async def shows(self, text: str) -> None:
        await self.until(lambda: text in self.text)


@asynccontextmanager
async def at_terminal(encoding: str = "utf-8") -> AsyncIterator[Terminal]:
    with create_pipe_input() as keys:
        terminal = Terminal(keys, encoding)
        with create_app_session(input=keys, output=terminal.output):
            yield terminal
