"""The console at a terminal: a prompt at the bottom, everything that happens above it.

    show(lines) ──> queue ──┬── no prompt there: written at once
                            └── prompt there: one task takes it away, writes all that waits by then, and draws it again

Drawing the prompt costs a round trip to the terminal, so what comes in meanwhile is written together. There is one
queue, whoever empties it: lines keep their order.
"""

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application
from prompt_toolkit.application.current import get_app_session
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.shortcuts import CompleteStyle
from prompt_toolkit.styles import Style
from prompt_toolkit.utils import get_cwidth

from chatmail.server.desk import Desk
from chatmail.server.lines import CONTINUED, Line, rows

PROMPT = "chatmail> "
BATCH = 500
"""So many lines are written at once at most, so that keys are not kept waiting."""

STYLE = Style.from_dict(
    {
        "prompt": "bold",
        "head": "#808080",
        "warning": "bold #d75f00",
        "error": "bold #d75f5f",
        "trace": "#808080",
    }
)


class Terminal:
    """A prompt, and lines above it.

    Args:
        history: the file that keeps what was typed; None: it is kept in memory.
    """

    def __init__(self, history: Path | None = None) -> None:
        self._history = history
        self._queue: deque[Line] = deque()
        self._app: Application[str] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.get_ident()
        self._writing: asyncio.Task[None] | None = None

    def show(self, lines: Iterable[Line]) -> None:
        """Write lines above the prompt, or where it would be; may be called from any thread."""
        self._queue.extend(lines)
        if threading.get_ident() == self._thread:
            self._empty()
        elif self._loop is not None:
            self._loop.call_soon_threadsafe(self._empty)

    def _empty(self) -> None:
        """See to it that the queue becomes empty."""
        if self._app is None or not self._app.is_running:
            while self._queue:
                self._write()
        elif self._writing is None and self._queue:
            self._writing = asyncio.get_running_loop().create_task(self._write_above(self._app), name="above")

    async def _write_above(self, app: Application[str]) -> None:
        """Write all that waits above the prompt."""
        # Not by run_in_terminal: it gives the terminal its echo back meanwhile, and keys typed then would be seen
        # anywhere. This is what prompt-toolkit does when the terminal changes its size, with our lines in between.
        try:
            await asyncio.sleep(0)  # what else comes in this tick is written with it
            while self._queue:
                await app.renderer.wait_for_cpr_responses()  # where the terminal said the prompt is must still hold
                if app.is_running:
                    app.renderer.erase()
                    self._write()
                    if not app.is_done and not app.key_processor.input_queue:
                        app.renderer.request_absolute_cursor_position()
                    app.invalidate()
                    await asyncio.sleep(0)
                else:
                    self._write()
        finally:
            self._writing = None

    def _write(self) -> None:
        output = get_app_session().output
        width = output.get_size().columns - 1
        pieces: list[tuple[str, str]] = []
        for _ in range(min(BATCH, len(self._queue))):
            line = self._queue.popleft()
            indent = get_cwidth(line.head)
            parts = rows(line.text, width - indent, width - indent - len(CONTINUED))
            pieces += [("class:head", line.head), (f"class:{line.kind}", next(parts))]
            for part in parts:
                pieces += [("class:head", f"\n{' ' * indent}{CONTINUED}"), (f"class:{line.kind}", part)]
            pieces.append(("", "\n"))
        try:
            print_formatted_text(output, FormattedText(pieces), STYLE)
        except OSError:  # the terminal is gone: that ends no server
            self._queue.clear()

    async def run(self, desk: Desk, clock: Callable[[], float]) -> None:
        """Answer lines until one of them ends the server; Ctrl-C and Ctrl-D end it too."""
        session: PromptSession[str] = PromptSession(
            message=[("class:prompt", PROMPT)],
            history=self._open_history(),
            completer=_Completer(desk, clock),
            complete_while_typing=False,
            complete_style=CompleteStyle.MULTI_COLUMN,
            reserve_space_for_menu=4,
            style=STYLE,
            interrupt_exception=EOFError,
        )
        self._loop, self._thread, self._app = asyncio.get_running_loop(), threading.get_ident(), session.app
        try:
            with session.input.raw_mode():  # between two prompts as well: what is typed ahead is not to be seen twice
                while not desk.ended:
                    # A fault elsewhere is a line above the prompt, and must not wait for somebody to press Enter;
                    # signals are the server's business.
                    line = await session.prompt_async(set_exception_handler=False, handle_sigint=False)
                    self.show(map(Line, desk.answer(line, clock())))
        except EOFError:
            desk.quit()
        finally:
            self._app = None
            if self._writing is not None:
                self._writing.cancel()
            self._empty()

    def close(self) -> None:
        """Write what is left."""
        self._empty()

    def _open_history(self) -> History:
        if self._history is None:
            return InMemoryHistory()
        try:
            self._history.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self._history, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600))
            self._history.chmod(0o600)
        except OSError as error:
            self._lament(error)
            return InMemoryHistory()
        return _PrivateHistory(self._history, self._lament)

    def _lament(self, error: OSError) -> None:
        self.show([Line(f"what you type is not kept for next time: {self._history}: {error.strerror}")])


def history_path() -> Path:
    """Where what was typed is kept (XDG Base Directory Specification: state that lasts but is not worth moving)."""
    folder = os.environ.get("XDG_STATE_HOME", "")
    root = Path(folder) if folder.startswith("/") else Path("~/.local/state").expanduser()
    return root / "chatmail" / "operator-history"


class _PrivateHistory(FileHistory):
    """A file history that tells of a broken disk once, instead of ending the prompt."""

    def __init__(self, path: Path, report: Callable[[OSError], None]) -> None:
        super().__init__(path)
        self._report: Callable[[OSError], None] | None = report

    def load_history_strings(self) -> Iterable[str]:
        try:
            return list(super().load_history_strings())
        except OSError as error:
            self._fail(error)
            return []

    def store_string(self, string: str) -> None:
        try:
            super().store_string(string)
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        if self._report:
            self._report(error)
            self._report = None


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
