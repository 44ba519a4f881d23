"""Where the operator looks and types: at a terminal, or without one (systemd, Docker, a pipe, a file)."""

import logging
import os
import select
import threading
from collections.abc import Callable, Iterable
from contextlib import aclosing
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.shortcuts import CompleteStyle
from prompt_toolkit.styles import Style
from prompt_toolkit.utils import get_cwidth

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

STYLE = {
    "prompt": "bold",
    "head": "#808080",
    "continued": "#808080",
    "warning": "bold #d75f00",
    "error": "bold #d75f5f",
    "trace": "#808080",
}
"""What the classes look like, in prompt-toolkit's words; the last three are kinds of lines."""

_log = logging.getLogger(__name__)


class Face(Protocol):
    """Where the operator looks and types."""

    def show(self, lines: Iterable[Line]) -> None:
        """Show lines; from any thread."""
        ...

    async def run(self, desk: Desk, clock: Callable[[], float]) -> None:
        """Have what is typed answered, until there is no more."""
        ...

    def close(self) -> None:
        """Show what waits to be shown."""
        ...


class Terminal:
    """A prompt at the bottom, everything that happens above it.

    Args:
        history: the file that keeps what was typed; None: it is kept in memory.
    """

    def __init__(self, history: Path | None = None) -> None:
        self._history = history
        self._display = Display(STYLE)  # a terminal that is gone ends no server

    def show(self, lines: Iterable[Line]) -> None:
        """Write lines above the prompt, or where it would be; may be called from any thread."""
        for line in lines:
            fragments = [("class:head", line.head), (f"class:{line.kind}", line.text)]
            self._display.show(fragments, hang=get_cwidth(line.head))

    async def run(self, desk: Desk, clock: Callable[[], float]) -> None:
        """Answer lines until one of them ends the server; Ctrl-C and Ctrl-D end it too."""
        session: PromptSession[str] = PromptSession(
            message=[("class:prompt", PROMPT)],
            history=open_history(self._history, lambda text: self.show([Line(text)])),
            completer=_Completer(desk, clock),
            complete_while_typing=False,
            complete_style=CompleteStyle.MULTI_COLUMN,
            reserve_space_for_menu=4,
            style=Style.from_dict(STYLE),
            interrupt_exception=EOFError,
        )
        try:
            with self._display.above(session):
                while not desk.ended:
                    # A fault elsewhere is a line above the prompt, and must not wait for somebody to press Enter;
                    # signals are the server's business.
                    line = await session.prompt_async(set_exception_handler=False, handle_sigint=False)
                    self.show(map(Line, desk.answer(line, clock())))
        except EOFError:
            desk.quit()
        except OSError as error:  # the terminal is gone: that ends no server
            _log.warning("the operator's terminal is gone: %s", error.strerror)

    def close(self) -> None:
        """Write what is left."""
        self._display.empty()


class _Completer(Completer):
    """What Tab offers."""

    def __init__(self, desk: Desk, clock: Callable[[], float]) -> None:
        self._desk = desk
        self._clock = clock

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        del complete_event  # Tab is the only way here
        before = document.text_before_cursor
        begun = before.rpartition(" ")[2]
        for offer in self._desk.offers(before, self._clock()):
            yield Completion(offer, -len(begun), display=offer.strip())


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
