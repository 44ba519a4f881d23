"""Where the operator looks and types: at a terminal, or without one (systemd, Docker, a pipe, a file)."""

import asyncio
import logging
import os
import select
import threading
from collections.abc import Callable, Iterable
from contextlib import aclosing, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol

from prompt_toolkit import PromptSession
from prompt_toolkit.application.current import get_app, get_app_session
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import Condition, has_focus
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.shortcuts import CompleteStyle
from prompt_toolkit.styles import Style
from prompt_toolkit.utils import get_cwidth

from chatmail.server.completion import DeskCompleter
from chatmail.server.desk import Desk
from chatmail.server.lines import Line
from chatmail.terminal.display import Display
from chatmail.terminal.history import open_history
from chatmail.terminal.stdin import read_lines

PROMPT = "chatmail> "
WAITING_MAX = 10_000
"""So many lines wait for whoever reads them from a pipe; those after that are lost, and counted."""
CLOSING_TIME = 1.0
"""How long the last lines have to be written, in seconds."""
ANSWER_TIME = 5.0
"""How long a line from a pipe waits for what the one before asked for, in seconds."""
UNLIMITED = 10_000
"""As many columns as no line has."""
MENU_ROWS = 8
"""So many rows below the prompt are there for what Tab offers, on a screen that has them."""

STYLE = {
    "prompt": "bold",
    "head": "#808080",
    "continued": "#808080",
    "warning": "bold #d75f00",
    "error": "bold #d75f5f",
    "trace": "#808080",
    "debug": "#808080",
}
"""What the classes look like, in prompt-toolkit's words; the last four are kinds of lines."""

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


class _Quit(Exception):  # noqa: N818 - a key, not a fault
    """Ctrl-C or Ctrl-D was pressed."""


class Terminal:
    """A prompt at the bottom, everything that happens above it.

    Args:
        history: the file that keeps what was typed; None: it is kept in memory.
    """

    def __init__(self, history: Path | None = None) -> None:
        self._history = history
        self._display = Display(STYLE)  # a terminal that is gone ends no server
        self.asks = True
        self.encoding = get_app_session().output.encoding() or "utf-8"

    def columns(self) -> int:
        """How wide a line may be: the last column stays empty."""
        return get_app_session().output.get_size().columns - 1

    def show(self, lines: Iterable[Line]) -> None:
        """Write lines above the prompt, or where it would be; may be called from any thread."""
        for line in lines:
            fragments = [("class:head", line.head), (f"class:{line.kind}", line.text)]
            self._display.show(fragments, hang=get_cwidth(line.head))

    async def run(self, desk: Desk, clock: Callable[[], float]) -> None:
        """Answer lines until one of them ends the server; Ctrl-C and Ctrl-D are as good as one."""
        session: PromptSession[str] = PromptSession(
            message=[("class:prompt", PROMPT)],
            history=open_history(self._history, lambda text: self.show([Line(text)])),
            completer=DeskCompleter(desk, clock),
            complete_while_typing=False,
            complete_style=CompleteStyle.COLUMN,
            reserve_space_for_menu=MENU_ROWS,
            key_bindings=_keys(),
            style=Style.from_dict(STYLE),
            interrupt_exception=_Quit,
            eof_exception=_Quit,
        )
        try:
            with self._display.above(session):
                while not desk.ended:
                    # A fault elsewhere is a line above the prompt, and must not wait for somebody to press Enter;
                    # signals are the server's business.
                    try:
                        line = await session.prompt_async(set_exception_handler=False, handle_sigint=False)
                    except _Quit:
                        line = "/quit"
                    desk.enter(line, clock())
        except EOFError:  # nobody can type there any more
            desk.end()
        except OSError as error:  # the terminal is gone: that ends no server
            _log.warning("the operator's terminal is gone: %s", error.strerror)

    def close(self) -> None:
        """Write what is left."""
        self._display.empty()


def _keys() -> KeyBindings:
    """Ctrl-C first clears the line, as everywhere."""
    keys = KeyBindings()

    @keys.add("c-c", filter=has_focus(DEFAULT_BUFFER) & Condition(lambda: bool(get_app().current_buffer.text)))
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.reset()

    return keys


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
