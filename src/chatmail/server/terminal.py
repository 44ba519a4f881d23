"""The operator at a terminal: a prompt at the bottom, everything that happens above it."""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path

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

PROMPT = "chatmail> "
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
