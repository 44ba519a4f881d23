"""The client at a terminal: an input line at the bottom, everything that comes in above it.

``Chat`` is the face of a connection for a person. Each line is dealt with at the moment Enter is pressed: what
``/r`` means must not change between the key and the sending. A line with a mistake stays where it is, to be mended.
"""

import asyncio
import signal
from collections.abc import Callable
from datetime import date, datetime
from typing import assert_never

from prompt_toolkit import PromptSession
from prompt_toolkit.application.current import get_app
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import has_focus
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import History
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.shortcuts import CompleteStyle
from prompt_toolkit.styles import Style

from chatmail.client import commands, screen, toolbar
from chatmail.client.completion import ChatCompleter
from chatmail.client.connection import Connection
from chatmail.client.link import Ending, Server, State
from chatmail.client.lookback import Found, LookBack, NotFound
from chatmail.client.timeline import News, Timeline
from chatmail.core import wire
from chatmail.terminal.display import Display
from chatmail.terminal.signals import handling

HINT = "to leave, press Ctrl-D or type /quit"


class Chat:
    """One person at one terminal, connected to one server.

    Args:
        server, name, email, token, keep: as for ``Connection``.
        timeline: what we know; it outlives this.
        history: what was typed before.
    """

    def __init__(
        self,
        server: Server,
        name: str,
        email: str,
        timeline: Timeline,
        *,
        token: str | None = None,
        keep: Callable[[str], object] = lambda _: None,
        history: History,
    ) -> None:
        self.connection = Connection(server, name, email, timeline, self, token=token, keep=keep)
        self._timeline = timeline
        self._display = Display(screen.STYLE, links=True, gone=self.connection.leave)
        self._days = screen.Days(_today())
        self._state = State.CONNECTING
        self._wrong = ""
        """What is wrong with the line, until it is changed."""
        self._open = asyncio.Event()
        self._code: asyncio.Future[str] | None = None
        self._session: PromptSession[str] = PromptSession(
            message=self._message,
            history=history,
            completer=ChatCompleter(timeline),
            complete_while_typing=False,
            complete_style=CompleteStyle.MULTI_COLUMN,
            reserve_space_for_menu=4,
            bottom_toolbar=self._toolbar,
            key_bindings=self._keys(),
            style=Style.from_dict(screen.STYLE),
            prompt_continuation=[("class:continued", "│ ")],
            enable_suspend=True,
            erase_when_done=True,  # the line comes back from the server
        )
        self._session.default_buffer.on_text_changed += self._mended

    async def run(self) -> Ending:
        """Chat until somebody ends it: the person, or the server."""
        leave = self.connection.leave
        with handling({signal.SIGTERM: leave, signal.SIGHUP: leave, signal.SIGINT: self._interrupt}):
            async with asyncio.TaskGroup() as tasks:
                typing = tasks.create_task(self._type())
                ending = await self.connection.run()
                typing.cancel()
        return ending

    # The face.

    def news(self, news: News) -> None:
        """Show a frame above the prompt."""
        lines = screen.draw(news.frame, me=self._timeline.me, answered=news.answered)
        frame = news.frame
        self._display.show(self._days.before(frame))
        if isinstance(frame, wire.EntryFrame):
            seq, direct = frame.seq, isinstance(frame, wire.Direct) and frame.sender != self._timeline.me
            self._display.show(lines, ring=news.ring, then=lambda: self.connection.shown(seq, direct=direct))
        else:
            self._display.show(lines)
        self._session.app.invalidate()

    def found(self, answer: Found | NotFound) -> None:
        """Show what a look back brought above the prompt."""
        if isinstance(answer, NotFound):
            self._display.show(screen.status(answer.text, trouble=True))
        else:
            for lines in screen.look_back(answer, me=self._timeline.me, today=_today()):
                self._display.show(lines)
        self._session.app.invalidate()

    def state(self, state: State, text: str) -> None:
        """The toolbar tells the state; what goes wrong is told above as well."""
        self._state = state
        if state in {State.JOINED, State.CHALLENGED}:
            self._open.set()
        if text and state is not State.ENDED:
            self._display.show(screen.status(text, trouble=True))
        self._session.app.invalidate()

    def warn(self, text: str) -> None:
        """Say above the prompt what is wrong on this side."""
        self._display.show(screen.status(text, trouble=True))

    async def code(self, challenge: wire.Challenge, wrong: str) -> str | None:
        """The next line that is typed is the code."""
        del challenge  # it was shown as news
        if wrong:
            self._display.show(screen.status(wrong, trouble=True))
        self._code = asyncio.get_running_loop().create_future()
        self._session.app.invalidate()
        try:
            return await self._code
        finally:
            self._code = None

    # The input line.

    async def _type(self) -> None:
        await self._open.wait()
        try:
            with self._display.above(self._session):
                while True:
                    await self._session.prompt_async(handle_sigint=False, set_exception_handler=False)
        except (EOFError, OSError):  # Ctrl-D, or the terminal is gone
            self.connection.leave()

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()
        typing = has_focus(DEFAULT_BUFFER)

        @keys.add("enter", filter=typing)
        def _(event: KeyPressEvent) -> None:
            buffer = event.current_buffer
            if self._enter(buffer.text):
                buffer.validate_and_handle()

        @keys.add("escape", "enter", filter=typing)
        def _(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text("\n")

        @keys.add(" ", filter=typing)
        def _(event: KeyPressEvent) -> None:
            buffer = event.current_buffer
            if buffer.text == "/r" and self._timeline.partner:
                buffer.text = f"/dm {self._timeline.partner}"  # seen before it is sent, and fixed from here on
                buffer.cursor_position = len(buffer.text)
            buffer.insert_text(" " * event.arg)

        @keys.add("c-c", filter=typing)
        def _(event: KeyPressEvent) -> None:
            del event
            self._interrupt()

        return keys

    def _interrupt(self) -> None:
        """Ctrl-C clears the line."""
        buffer = self._session.default_buffer
        self._wrong = ""
        if buffer.text:
            buffer.reset()
            self._session.app.invalidate()
        else:
            self._display.show(screen.status(HINT))

    def _enter(self, text: str) -> bool:
        """Do what the line means; False: it stays, to be mended."""
        self._timeline.mark_read()
        action = commands.parse(text, self._timeline.partner)
        if self._code and not isinstance(action, commands.Quit | commands.Nothing | commands.Help):
            return self._enter_code(text)
        match action:
            case commands.Mistake():
                return self._stays(action.text)
            case wire.Say() | wire.Dm() | wire.Away() | wire.Notify():
                self.connection.say(action)
                if not self.connection.joined:
                    self._display.show(screen.status("that goes out when the connection is back"))
            case wire.Who() | LookBack():
                if not self.connection.ask(action):
                    return self._stays("there is no connection now")
            case commands.Help():
                self._display.show(screen.status(f"commands\n{commands.help_text()}"))
            case commands.Quit():
                self.connection.leave()
            case commands.Nothing():
                pass
            case _:
                assert_never(action)
        return True

    def _enter_code(self, text: str) -> bool:
        code = "".join(text.split()).replace("-", "")
        if not code.isdecimal() or self._code is None:
            return self._stays("not sent: the code from the email comes first, it is a number (/quit leaves)")
        if not self._code.done():
            self._code.set_result(code)
        self._session.default_buffer.reset()  # not accepted as a line: a code is nothing for the history
        return False

    def _stays(self, wrong: str) -> bool:
        """Say what is wrong with the line, below it: it may fill the whole screen."""
        self._wrong = wrong
        if not get_app().renderer.height_is_known:  # no toolbar is drawn on such a terminal
            self._display.show(screen.status(wrong, trouble=True))
        return False

    def _mended(self, _: object) -> None:
        self._wrong = ""

    def _message(self) -> FormattedText:
        return FormattedText([("class:prompt", "code> " if self._code else "> ")])

    def _toolbar(self) -> FormattedText:
        columns = get_app().output.get_size().columns
        return FormattedText(toolbar.draw(self._timeline, self.connection, self._state, self._wrong, columns))


def _today() -> date:
    return datetime.now().astimezone().date()
