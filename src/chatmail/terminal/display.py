"""Lines above the prompt, while somebody types in it.

    show(line) ──> queue ──┬── no prompt there: written at once
                           └── prompt there: one task takes it away, writes all that waits by then, and draws it again

Drawing the prompt costs a round trip to the terminal, so what comes in meanwhile is written together. There is one
queue, whoever empties it: lines keep their order.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from msgspec import Struct
from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application
from prompt_toolkit.application.current import get_app_session
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.styles import Style
from prompt_toolkit.utils import get_cwidth

from chatmail.terminal.text import Fragments, wrap

BATCH = 500
"""So many lines are written at once at most, so that keys are not kept waiting."""


class _Waiting(Struct, frozen=True):
    """One call of ``show``."""

    fragments: Fragments
    hang: int
    ring: bool
    then: Callable[[], None] | None


class Display:
    """Writes what it is given, in order, above the prompt or where it would be.

    Args:
        style: what the classes look like, in prompt-toolkit's words.
        links: whether a long link stays whole, as in ``wrap``.
        gone: called when there is no terminal any more; what waits is dropped then.
    """

    def __init__(
        self, style: Mapping[str, str], *, links: bool = False, gone: Callable[[], None] = lambda: None
    ) -> None:
        self._style = Style.from_dict(dict(style))
        self._links = links
        self._gone = gone
        self._queue: deque[_Waiting] = deque()
        self._app: Application[str] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.get_ident()
        self._writing: asyncio.Task[None] | None = None

    def show(
        self, fragments: Fragments, *, hang: int = 0, ring: bool = False, then: Callable[[], None] | None = None
    ) -> None:
        """Write this on lines of its own; may be called from any thread.

        Args:
            fragments: what to write; nothing of it can be harmful.
            hang: as in ``wrap``.
            ring: whether the bell rings with it.
            then: called when it has been written.
        """
        if not fragments:
            return
        self._queue.append(_Waiting(fragments, hang, ring, then))
        if threading.get_ident() == self._thread:
            self.empty()
        elif self._loop is not None:
            self._loop.call_soon_threadsafe(self.empty)

    @contextmanager
    def above(self, session: PromptSession[str]) -> Iterator[None]:
        """Meanwhile this session may prompt, again and again; its terminal stays raw between two prompts as well.

        Otherwise what is typed ahead would be seen twice.
        """
        self._loop, self._thread, self._app = asyncio.get_running_loop(), threading.get_ident(), session.app
        try:
            with session.input.raw_mode():
                yield
        finally:
            self._app = None
            if self._writing is not None:
                self._writing.cancel()
            self.empty()

    def empty(self) -> None:
        """See to it that all that waits is written."""
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
        except OSError:
            self._lose()
        finally:
            self._writing = None

    def _write(self) -> None:
        output = (self._app or get_app_session()).output
        width = output.get_size().columns - 1
        batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
        lines: Fragments = []
        for one in batch:
            lines += wrap(one.fragments, width, get_cwidth, hang=one.hang, links=self._links)
            lines.append(("", "\n"))
        try:
            print_formatted_text(output, FormattedText(lines), self._style)
            if any(one.ring for one in batch):
                output.bell()
                output.flush()
        except OSError:
            self._lose()
            return
        for one in batch:
            if one.then:
                one.then()

    def _lose(self) -> None:
        self._queue.clear()
        self._gone()
