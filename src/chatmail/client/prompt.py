"""The client at a terminal: an input line at the bottom, everything that comes in above it.

``Chat`` is the face of a connection for a person. Each line is dealt with at the moment Enter is pressed: what
``/r`` means must not change between the key and the sending. A line with a mistake stays where it is, to be mended.
"""

import asyncio
import signal
from collections.abc import Callable, Mapping
from typing import assert_never

from prompt_toolkit import PromptSession
from prompt_toolkit.application.current import get_app, get_app_session
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import History
from prompt_toolkit.shortcuts import CompleteStyle
from prompt_toolkit.styles import Style

from chatmail.client import bindings, commands, screen, toolbar
from chatmail.client.completion import ChatCompleter, people
from chatmail.client.connection import Connection
from chatmail.client.draft import Draft
from chatmail.client.ignored import Ignored
from chatmail.client.link import Ending, Server, State
from chatmail.client.lookback import Found, LookBack, NotFound
from chatmail.client.timeline import News, Timeline
from chatmail.client.view import Bell, View
from chatmail.core import wire
from chatmail.core.names import fold
from chatmail.terminal.display import Display, Notices
from chatmail.terminal.editor import EditorError
from chatmail.terminal.signals import handling
from chatmail.terminal.text import CONTINUED, Fragments, in_encoding

LATE = 0.5
"""A line that is not confirmed after so many seconds is shown as waiting; before, it would only flicker."""
OFFLINE = "there is no connection now"
HINT = "to leave, press Ctrl-D or type /quit"


class Chat:
    """One person at one terminal, connected to one server.

    Args:
        server, name, email, token, keep: as for ``Connection``.
        timeline: what we know; it outlives this.
        times: the form of the time before each line (``strftime``), empty for no times.
        bell: when the terminal rings.
        notice: how notices of the same reach the desktop.
        history: what was typed before.
        ignored: whose lines are not shown.
        vi: whether the keys are those of vi, and not those of Emacs.
        style: what the classes look like.
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
        times: str = "%H:%M",
        bell: Bell = "all",
        notice: Notices = "off",
        history: History,
        ignored: Ignored | None = None,
        vi: bool = False,
        style: Mapping[str, str] = screen.STYLE,
    ) -> None:
        self._ignored = timeline.ignored = Ignored(server) if ignored is None else ignored
        self.connection = Connection(server, name, email, timeline, self, token=token, keep=keep)
        self._timeline = timeline
        self._display = Display(style, links=True, gone=self.connection.leave, notices=notice)
        shown, look = self.connection.shown, screen.Look(times)
        self._view = View(self._display, timeline, shown, self._redraw, look=look, bell=bell)
        self._state = State.CONNECTING
        self._vi = vi
        self._tasks: asyncio.TaskGroup
        self._editing: asyncio.Task[None] | None = None
        """While the line is in an editor."""
        self._said = 0.0
        """When the last line was said, by the clock of the loop."""
        self._watching: asyncio.TimerHandle | None = None
        self._open = asyncio.Event()
        self._code: asyncio.Future[str] | None = None
        self._session: PromptSession[str] = PromptSession(
            message=self._message,
            history=history,
            completer=ChatCompleter(timeline),
            complete_while_typing=False,
            complete_style=CompleteStyle.COLUMN,
            reserve_space_for_menu=6,
            search_ignore_case=True,
            vi_mode=vi,
            bottom_toolbar=self._toolbar,
            key_bindings=bindings.bindings(
                enter=self._enter, interrupt=self._interrupt, edit=self._edit, partner=lambda: timeline.partner
            ),
            style=Style.from_dict(dict(style)),
            prompt_continuation=_writable([("class:continued", CONTINUED)]),
            enable_suspend=True,
            erase_when_done=True,  # the line comes back from the server
        )
        self._draft = Draft(self._session.default_buffer)
        self._session.default_buffer.on_text_changed += lambda _: self._typed()
        self._session.app.key_processor.before_key_press += lambda _: self._view.pressed()

    async def run(self) -> Ending:
        """Chat until somebody ends it: the person, or the server."""
        leave = self.connection.leave
        with handling({signal.SIGTERM: leave, signal.SIGHUP: leave, signal.SIGINT: self._interrupt}):
            async with asyncio.TaskGroup() as self._tasks:
                typing = self._tasks.create_task(self._type())
                ending = await self.connection.run()
                if self._editing:
                    await asyncio.wait([self._editing])  # the terminal is the editor's, and the text not lost
                self._view.end()
                typing.cancel()
        return ending

    # The face.

    def news(self, news: News) -> None:
        """Show a frame above the prompt."""
        self._view.news(news)

    def found(self, answer: Found | NotFound) -> None:
        """Show what a look back brought above the prompt."""
        self._view.found(answer)

    def state(self, state: State, text: str) -> None:
        """The toolbar tells the state; what goes wrong is told above as well."""
        self._state = state
        if state is State.JOINED and self._draft.wrong == OFFLINE:
            self._draft.wrong = ""
        if state in {State.JOINED, State.CHALLENGED}:
            self._open.set()
        if text and state is not State.ENDED:
            self.warn(text)
        self._watch()

    def warn(self, text: str) -> None:
        """Say above the prompt what is wrong."""
        self._view.tell(screen.status(text, trouble=True))

    async def code(self, challenge: wire.Challenge, wrong: str) -> str | None:
        """The next line that is typed is the code."""
        del challenge  # it was shown as news
        if wrong:
            self._display.show(screen.status(wrong, trouble=True))
        self._code = asyncio.get_running_loop().create_future()
        self._session.app.invalidate()
        try:
            return await self._code
        except asyncio.CancelledError:
            self._draft.drop()  # half a code is neither for the history nor for everybody
            raise
        finally:
            self._code = None

    def _redraw(self) -> None:
        self._session.app.invalidate()

    def _watch(self) -> None:
        """Draw what stands around the input line again and again, as long as it changes by itself."""
        self._session.app.invalidate()
        if self._watching is not None:
            self._watching.cancel()
        changes = self._state is State.WAITING or self._timeline.unsaid or self._timeline.quiet
        self._watching = asyncio.get_running_loop().call_later(LATE, self._watch) if changes else None

    # The input line.

    async def _type(self) -> None:
        await self._open.wait()
        try:
            with self._display.above(self._session):
                while True:
                    await self._session.prompt_async(handle_sigint=False, set_exception_handler=False)
        except (EOFError, OSError):  # Ctrl-D, or the terminal is gone
            self.connection.leave()
        finally:
            if not self._code:
                self._draft.keep()

    def _typed(self) -> None:
        """Where a name may be completed, it is to be known how its person is."""
        if self._draft.text.startswith("/dm ") or "@" in self._draft.text:
            self.connection.refresh()
            self._watch()  # the answer is no news, but the toolbar tells it

    def _interrupt(self) -> None:
        """Ctrl-C clears the line."""
        if self._editing:
            return  # it is meant for what runs there
        if self._draft.text:
            (self._draft.drop if self._code else self._draft.clear)()
            self._session.app.invalidate()
        else:
            self._display.show(screen.status(HINT))

    def _edit(self) -> None:
        """Go on in an editor."""
        if not self._editing and not self._code:
            self._editing = self._tasks.create_task(self._edit_outside(), name="editor")

    async def _edit_outside(self) -> None:
        wrong = ""
        try:
            await self._draft.edit(self._display)
            action = commands.parse(self._draft.text, self._timeline.partner)
            wrong = action.text if isinstance(action, commands.Mistake) else ""
        except EditorError as error:
            wrong = str(error)
        except OSError:  # the terminal is gone
            self.connection.leave()
        finally:
            self._editing = None
        if wrong:
            await self._session.app.renderer.wait_for_cpr_responses()  # then the toolbar is there to tell it
            self._stays(wrong)
        self._session.app.invalidate()

    def _enter(self, text: str) -> bool:
        """Do what the line means; False: it stays, to be mended."""
        self._timeline.mark_read()
        self.connection.hurry()
        action = commands.parse(text, self._timeline.partner)
        if self._code and not isinstance(action, commands.Quit | commands.Nothing | commands.Help):
            return self._enter_code(text)
        if isinstance(action, wire.Say | wire.Dm) and (why := self._draft.doubt(action, people(self._timeline))):
            return self._stays(why)
        match action:
            case commands.Mistake():
                return self._stays(action.text)
            case wire.Say() | wire.Dm() | wire.Away() | wire.Notify():
                self.connection.say(action)
                self._said = asyncio.get_running_loop().time()
                self._watch()
            case wire.Who() | wire.Whois() | LookBack():
                if not self.connection.ask(action):
                    return self._stays(OFFLINE)
            case commands.Help():
                self._display.show(screen.status(self._help(action.about)))
            case commands.Quit():
                self.connection.leave()
            case commands.Ignore():
                self._ignore(action)
            case commands.Nothing():
                pass
            case _:
                assert_never(action)
        self._draft.done()
        return True

    def _help(self, about: str) -> str:
        if about:
            return commands.help_text(about)
        keys = bindings.help_text(vi=self._vi, width=commands.WIDTH)
        return f"commands and keys\n{commands.help_text()}\n{keys}"

    def _ignore(self, action: commands.Ignore) -> None:
        """Hear no more of somebody, or hear them again."""
        ignored = self._ignored
        if fold(action.name) == fold(self._timeline.me):
            self._view.tell(screen.status("nobody ignores their own lines", trouble=True))
            return
        if action.name:
            (ignored.remove if action.off else ignored.add)(action.name)
        names = ", ".join(ignored.names()) or "nobody"
        mail = "; their direct messages are mailed to you as /notify says" if ignored.names() else ""
        self._view.tell(screen.status(f"you see nothing of what these say: {names}{mail}"))

    def _enter_code(self, text: str) -> bool:
        code = "".join(text.split()).replace("-", "")
        if not code.isdecimal() or self._code is None:
            return self._stays("not sent: the code from the email comes first, it is a number (/quit leaves)")
        if not self._code.done():
            self._code.set_result(code)
        self._draft.drop()  # not accepted as a line: a code is nothing for the history
        return False

    def _stays(self, wrong: str) -> bool:
        """Say what is wrong with the line, below it: it may fill the whole screen."""
        self._draft.stay(wrong)
        if not get_app().renderer.height_is_known:  # no toolbar is drawn on such a terminal
            self._display.show(screen.status(wrong, trouble=True))
        return False

    def _message(self) -> FormattedText:
        lines = self._timeline.unsaid
        soon = self.connection.joined and asyncio.get_running_loop().time() < self._said + LATE
        waiting = [] if soon or not lines else toolbar.unconfirmed(lines, get_app().output.get_size().columns)
        return _writable([*waiting, ("class:prompt", "code> " if self._code else "> ")])

    def _toolbar(self) -> FormattedText:
        columns = get_app().output.get_size().columns
        now = asyncio.get_running_loop().time()
        line, wrong = self._draft.text, self._draft.wrong
        typed = commands.text_of(line, self._timeline.partner) if len(line) > toolbar.COUNTED else ""
        return _writable(toolbar.draw(self._timeline, self.connection, self._state, wrong, columns, now, typed))


def _writable(fragments: Fragments) -> FormattedText:
    """The same with signs that the terminal's encoding has."""
    return FormattedText(in_encoding(fragments, get_app_session().output.encoding()))
