"""Lines above the prompt, while somebody types in it.

    show(line) ──> queue ──┬── no prompt there: written at once
                           └── prompt there: one task takes it away, writes all that waits by then, and draws it again

Drawing the prompt costs a round trip to the terminal, and more time than many lines do. So a line that comes alone is
written at once, and what comes within a ``FRAME`` after it together: nobody reads faster, and keys find the processor
free. There is one queue, whoever empties it: lines keep their order.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

from msgspec import Struct
from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application
from prompt_toolkit.application.current import get_app_session
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.styles import Style
from prompt_toolkit.utils import get_cwidth

from chatmail.terminal.text import Fragments, Line, in_encoding, plain, visible, wrap

Notices = Literal["off", "osc9", "osc777"]
"""How a terminal is asked for a notice on the desktop, if at all: as iTerm2 and kitty, or as urxvt and foot take it."""
NOTICE_MAX = 100
"""Longest notice on the desktop, in characters."""
BATCH = 500
"""So many lines are written at once at most, so that keys are not kept waiting."""


FRAME = 0.03
"""Lines are written above the prompt no more often than once in so many seconds."""


class _Waiting(Struct, frozen=True):
    """One call of ``show``."""

    fragments: Fragments
    hang: int
    ring: bool
    notice: str
    then: Callable[[], None] | None


def desktop_notice(text: str, how: Notices) -> str:
    """What makes the terminal show this on the desktop; nothing of the text can end the sequence, or part it."""
    shown = plain(visible(" ".join(text.split()))).replace(";", ",")
    shown = shown if len(shown) <= NOTICE_MAX else f"{shown[: NOTICE_MAX - 1]}…"
    match how:
        case "osc9":
            return f"\x1b]9;{shown}\x07"
        case "osc777":
            return f"\x1b]777;notify;chatmail;{shown}\x07"
        case "off":
            return ""


def drop_colours() -> None:
    """Draw without colours from now on; programs that are started from here keep theirs."""
    output = get_app_session().output
    if isinstance(output, Vt100_Output):  # as all are that have colours
        output.default_color_depth = ColorDepth.DEPTH_1_BIT


class Display:
    """Writes what it is given, in order, above the prompt or where it would be.

    Args:
        style: what the classes look like, in prompt-toolkit's words.
        links: whether a long link stays whole, as in ``wrap``.
        gone: called when there is no terminal any more; what waits is dropped then.
        notices: how notices reach the desktop.
    """

    def __init__(
        self,
        style: Mapping[str, str],
        *,
        links: bool = False,
        gone: Callable[[], None] = lambda: None,
        notices: Notices = "off",
    ) -> None:
        self._style = Style.from_dict(dict(style))
        self._links = links
        self._gone = gone
        self._notices = notices
        self._queue: deque[_Waiting] = deque()
        self._app: Application[str] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.get_ident()
        self._writing: asyncio.Task[None] | None = None
        self._aside = False

    def show(
        self,
        fragments: Fragments,
        *,
        hang: int = 0,
        ring: bool = False,
        notice: str = "",
        then: Callable[[], None] | None = None,
    ) -> None:
        """Write this on lines of its own; may be called from any thread.

        Args:
            fragments: what to write; nothing of it can be harmful.
            hang: as in ``wrap``, for what is no ``Line`` (which knows it by itself).
            ring: whether the bell rings with it: once, however many lines are written together.
            notice: what is shown on the desktop with it, where that is wanted; the last one of many.
            then: called when it has been written.
        """
        if not fragments:
            return
        self._queue.append(_Waiting(fragments, hang, ring, notice, then))
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

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Meanwhile nothing is written: the terminal is another program's, an editor's say. What comes waits."""
        self._aside = True
        try:
            yield
        finally:
            self._aside = False
            self.empty()

    def empty(self) -> None:
        """See to it that all that waits is written."""
        if self._aside:
            return
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
                if self._aside:
                    break
                if app.is_running:
                    app.renderer.erase()
                    self._write()
                    if not app.is_done and not app.key_processor.input_queue:
                        app.renderer.request_absolute_cursor_position()
                    app.invalidate()
                    await asyncio.sleep(FRAME)
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
        encoding = output.encoding()
        lines: Fragments = []
        for one in batch:
            hang = one.hang or (one.fragments.hang(width, get_cwidth) if isinstance(one.fragments, Line) else 0)
            fragments = in_encoding(one.fragments, encoding)
            lines += wrap(fragments, width, get_cwidth, hang=hang, links=self._links)
            lines.append(("", "\n"))
        notice = next((one.notice for one in reversed(batch) if one.notice), "")
        try:
            print_formatted_text(output, FormattedText(in_encoding(lines, encoding)), self._style)
            if any(one.ring for one in batch):
                output.bell()
            if notice:
                output.write_raw(desktop_notice(notice, self._notices))
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
