"""The client without a terminal: lines in, lines out, for scripts and pipes.

Each line of standard input is a message or a command, or what ``Script`` says. What people say from now on goes to
standard output, everything about the connection and about one's own lines (receipts, refusals) to standard error. At
the end of the input it waits until the server has answered everything, and leaves.
"""

import asyncio
import signal
from collections.abc import Callable
from contextlib import aclosing, suppress
from datetime import date, datetime
from typing import TextIO, assert_never

from msgspec import UNSET, structs

from chatmail.client import commands, frames, screen
from chatmail.client.connection import Connection
from chatmail.client.link import Ending, Server, State
from chatmail.client.lookback import Found, LookBack, NotFound
from chatmail.client.script import Mails, Script, Since
from chatmail.client.timeline import News, Timeline
from chatmail.core import wire
from chatmail.terminal.signals import handling
from chatmail.terminal.stdin import read_lines
from chatmail.terminal.stdout import watching

WINDOW = 32
"""So many lines may be unconfirmed before the next one is read."""
PATIENCE = 60.0
"""A script is not kept waiting for longer than this, in seconds, when the connection is lost."""
TO_STDOUT = wire.EntryFrame | wire.People | wire.Gap
UNREAD = "standard input was not read to its end: what is left there is not said"
UNANSWERED = "it ended before the server had answered everything"
LookUp = wire.Whois | wire.History | wire.Search
"""What is asked for as a frame, and answered under its id."""


class Plain:
    """The face of a connection that nobody looks at.

    Args:
        server, name, email, token, keep: as for ``Connection``.
        timeline: what we know.
        script: how lines are read and written.
        times: the form of the time before each line (``strftime``), empty for no times.
        fd: where lines come from; None: from nowhere.
        out, err: where lines go; None: nowhere.
        patience: as for ``Connection``; who follows has it without end.
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
        script: Script | None = None,
        times: str = "%H:%M",
        fd: int | None,
        out: TextIO | None,
        err: TextIO | None,
        patience: float = PATIENCE,
    ) -> None:
        self.refused = False
        """Whether anything that was to be said was not."""
        self.undone = "" if script and script.follow else UNREAD
        """What there is still to do, in a sentence; nothing once all was read, said and answered."""
        self.mails = Mails()
        self._script = script = script or Script()
        self._timeline = timeline
        self._connection = Connection(
            server,
            name,
            email,
            timeline,
            self,
            token=token,
            keep=keep,
            heard=self._heard,
            patience=None if script.follow else patience,
        )
        self._look = screen.Look(times, you="")  # what is written is read by others, and later
        self._days = screen.Days(_today())
        self._since = Since()
        self._history = script.history
        self._held: list[News] | None = [] if script.history and not script.json else None
        """What is said before the history has come, which goes first."""
        self._asked: set[str] = set()
        """The ids of look-ups without an answer yet."""
        self._count = 0
        self._seen = 0
        """The last number that this person has seen, here or elsewhere."""
        self._passed_over = False
        """Whether something private was not written that its reader has not seen elsewhere either."""
        self._reader = frames.Reader()
        self._speaking: asyncio.Task[None] | None = None
        self._fd = None if script.follow else fd
        self._out = out
        self._err = err

    async def run(self) -> Ending:
        """Say everything, show everything, and leave."""
        leave = self._leave
        out = self._out if self._script.follow else None
        with handling({signal.SIGINT: leave, signal.SIGTERM: leave, signal.SIGHUP: leave}), watching(out, leave):
            async with asyncio.TaskGroup() as tasks:
                self._speaking = tasks.create_task(self._speak())
                ending = await self._connection.run()
                self._speaking.cancel()
        return ending

    def _leave(self) -> None:
        """Leave at once: nothing more is read."""
        if self._speaking:
            self._speaking.cancel()
        self._connection.leave()

    def news(self, news: News) -> None:
        """Write a frame."""
        frame = news.frame
        self.mails.receive(frame)
        if isinstance(frame, wire.Error):
            self.refused = True
        if isinstance(frame, wire.Welcome) and self._history:
            self._connection.ask(LookBack(self._history, before=frame.seq + 1))
            self._history = 0
        if isinstance(frame, wire.EntryFrame) and not self._since.is_new(frame):
            self._pass_over(frame)
        elif self._held is not None and isinstance(frame, wire.EntryFrame):
            self._held.append(news)
        else:
            self._show(news)

    def _show(self, news: News) -> None:
        frame, me = news.frame, self._timeline.me
        if not self._script.json:
            drawn = screen.draw(frame, me=me, answered=news.answered, look=self._look, count=news.count, away=news.away)
            text = screen.plain(drawn)
            if text:
                self._write(self._out, screen.plain(self._days.before(frame)))
            self._write(self._out if isinstance(frame, TO_STDOUT) else self._err, text)
        if isinstance(frame, wire.EntryFrame) and not self._passed_over:
            self._connection.shown(frame.seq, direct=isinstance(frame, wire.Direct) and frame.sender != me)

    def _pass_over(self, frame: wire.EntryFrame) -> None:
        """Do not write what was said before; nor say, by a higher number, that its reader has seen it."""
        if isinstance(frame, wire.Direct) and frame.sender != self._timeline.me and frame.seq > self._seen:
            self._passed_over = True

    def _heard(self, frame: wire.ServerFrame) -> None:
        """Before anything is made of a frame: write it as it is, where that is wanted."""
        match frame:
            case wire.Welcome(seen=seen):
                self._seen = 0 if seen is UNSET else seen
                self._since.welcome(frame)
            case wire.Page(id=str(id)) | wire.Profile(id=str(id)) | wire.Error(id=str(id)):
                self._asked.discard(id)
        if self._script.json and self._is_wanted(frame):
            harmless = self._out is not None and self._out.isatty()
            self._write(self._out, frames.write(frame, harmless=harmless))

    def _is_wanted(self, frame: wire.ServerFrame) -> bool:
        if isinstance(frame, wire.EntryFrame):
            return frame.seq > self._timeline.seq and self._since.is_new(frame)
        return not isinstance(frame, wire.Pong)  # it answers our own pings

    def found(self, answer: Found | NotFound) -> None:
        """Write what a look back brought; the first one may be what goes before all else."""
        held, self._held = self._held, None
        if isinstance(answer, NotFound):
            self._mistake(answer.text)
        elif not self._script.json:
            if held is None:
                lines = screen.look_back(answer, me=self._timeline.me, today=_today(), look=self._look)
                self._write(self._out, "\n".join(map(screen.plain, lines)))
            else:
                held[:0] = [News(entry) for entry in answer.entries]
        for news in held or ():
            self._show(news)

    def state(self, state: State, text: str) -> None:
        """Write how the connection is; its end is told by who started it."""
        if text and state is not State.ENDED:
            self._status(text)
        if state is State.WAITING and self._asked:
            self._asked.clear()
            self._mistake("no answer: the connection was lost; ask again")

    async def code(self, challenge: wire.Challenge, wrong: str) -> str | None:  # noqa: ARG002
        """There is nobody to ask."""
        return None

    async def _speak(self) -> None:
        connection = self._connection
        await connection.until(lambda: connection.joined)
        if self._script.follow:
            return
        if self._fd is not None:
            await self._say_lines(self._fd)
        self.undone = UNANSWERED
        await connection.sync()
        self.undone = ""
        if self._script.wait is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._script.wait):
                    await connection.until(lambda: not self.mails.open)
        connection.leave()

    async def _say_lines(self, fd: int) -> None:
        connection = self._connection
        number = 0
        try:
            async with aclosing(read_lines(fd)) as lines:
                async for line in lines:
                    number += 1
                    action = self._read(line)
                    await connection.until(lambda: self._may(action))  # noqa: B023 - used at once
                    if not self._do(action, number):
                        return
                    await connection.until(lambda: not connection.look_backs and not self._asked)
        except OSError as error:
            self._mistake(f"standard input can't be read: {error.strerror}")

    def _read(self, line: str) -> commands.Parsed | frames.Ours:
        """What a line means."""
        to = self._script.to
        if self._script.json:
            return self._reader.read(line)
        if to is None:
            return commands.parse(line, self._timeline.partner)
        if not line.strip():
            return commands.Nothing()
        wrong = wire.unfit_text(line, wire.TEXT_MAX, "text")
        return commands.Mistake(f"not sent: {wrong.text}") if wrong else wire.Dm(to=to, text=line)

    def _may(self, action: commands.Parsed | frames.Ours) -> bool:
        """Whether it is time to do this."""
        unconfirmed = self._timeline.unconfirmed
        match action:
            case (
                wire.Who() | wire.Whois() | wire.History() | wire.Search() | LookBack()
            ):  # what was said before it is to be found
                return self._connection.joined and not unconfirmed
            case wire.Say() | wire.Dm() | wire.Away() | wire.Notify():
                return len(unconfirmed) < WINDOW and action.id not in unconfirmed
            case _:
                return True

    def _do(self, action: commands.Parsed | frames.Ours, number: int) -> bool:
        """Do what one line means; False: it is the last."""
        match action:
            case commands.Mistake():
                self._mistake(f"line {number}: {action.text}")
            case wire.Say() | wire.Dm() | wire.Away() | wire.Notify():
                self.mails.said(self._connection.say(action))
            case wire.Who() | LookBack():
                self._connection.ask(action)
            case wire.Whois() | wire.History() | wire.Search():
                self._look_up(action)
            case commands.Help():
                self._status(commands.help_text(action.about))
            case commands.Quit():
                return False
            case commands.Ignore():
                self._mistake(f"line {number}: nobody is ignored without a terminal")
            case commands.Nothing():
                pass
            case _:
                assert_never(action)
        return True

    def _look_up(self, frame: LookUp) -> None:
        """Ask, under an id."""
        if not isinstance(frame.id, str):
            self._count += 1
            frame = structs.replace(frame, id=f"ask-{self._count}")
        self._asked.add(str(frame.id))
        self._connection.ask(frame)

    def _mistake(self, text: str) -> None:
        self.refused = True
        self._status(text)

    def _status(self, text: str) -> None:
        self._write(self._err, screen.plain(screen.status(text)))

    def _write(self, stream: TextIO | None, text: str) -> None:
        if stream is None or not text:
            return
        try:
            stream.write(f"{text}\n")
            stream.flush()
        except BrokenPipeError:  # whoever read it has enough
            self._out = self._err = None
            if self.undone != UNANSWERED:  # that takes no time, and then the exit code is true
                self._leave()
        except OSError as error:
            self._out = self._err if stream is self._out else None
            self._err = None if stream is self._err else self._err
            self._mistake(f"the output can't be written: {error.strerror}")
            self._leave()


def _today() -> date:
    return datetime.now().astimezone().date()
