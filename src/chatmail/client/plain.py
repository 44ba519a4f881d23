"""The client without a terminal: lines in, lines out, for scripts and pipes.

Each line of standard input is a message or a command. What people say goes to standard output, everything about the
connection and about one's own lines (receipts, refusals) to standard error. At the end of the input it waits until the
server has answered everything, and leaves.
"""

import asyncio
import signal
from collections.abc import Callable
from contextlib import aclosing
from datetime import date, datetime
from typing import TextIO, assert_never

from chatmail.client import commands, screen
from chatmail.client.connection import Connection
from chatmail.client.link import Ending, Server, State
from chatmail.client.lookback import Found, LookBack, NotFound
from chatmail.client.timeline import News, Timeline
from chatmail.core import wire
from chatmail.terminal.signals import handling
from chatmail.terminal.stdin import read_lines

WINDOW = 32
"""So many lines may be unconfirmed before the next one is read."""
PATIENCE = 60.0
"""A script is not kept waiting for longer than this, in seconds, when the connection is lost."""
TO_STDOUT = wire.EntryFrame | wire.People | wire.Gap


class Plain:
    """The face of a connection that nobody looks at.

    Args:
        server, name, email, token, keep: as for ``Connection``.
        timeline: what we know.
        fd: where lines come from; None: from nowhere.
        out, err: where lines go; None: nowhere.
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
        fd: int | None,
        out: TextIO | None,
        err: TextIO | None,
        patience: float = PATIENCE,
    ) -> None:
        self.refused = False
        """Whether anything that was to be said was not."""
        self._timeline = timeline
        self._connection = Connection(server, name, email, timeline, self, token=token, keep=keep, patience=patience)
        self._days = screen.Days(_today())
        self._fd = fd
        self._out = out
        self._err = err

    async def run(self) -> Ending:
        """Say everything, show everything, and leave."""
        leave = self._connection.leave
        with handling({signal.SIGINT: leave, signal.SIGTERM: leave, signal.SIGHUP: leave}):
            async with asyncio.TaskGroup() as tasks:
                speaking = tasks.create_task(self._speak())
                ending = await self._connection.run()
                speaking.cancel()
        return ending

    def news(self, news: News) -> None:
        """Write a frame."""
        if isinstance(news.frame, wire.Error):
            self.refused = True
        text = screen.plain(screen.draw(news.frame, me=self._timeline.me, answered=news.answered))
        self._write(self._out, screen.plain(self._days.before(news.frame)))
        self._write(self._out if isinstance(news.frame, TO_STDOUT) else self._err, text)
        if isinstance(news.frame, wire.EntryFrame):
            self._connection.shown(news.frame.seq, direct=isinstance(news.frame, wire.Direct))

    def found(self, answer: Found | NotFound) -> None:
        """Write what a look back brought."""
        if isinstance(answer, NotFound):
            self._mistake(answer.text)
        else:
            lines = screen.look_back(answer, me=self._timeline.me, today=_today())
            self._write(self._out, "\n".join(map(screen.plain, lines)))

    def state(self, state: State, text: str) -> None:
        """Write how the connection is; its end is told by who started it."""
        if text and state is not State.ENDED:
            self._status(text)

    async def code(self, challenge: wire.Challenge, wrong: str) -> str | None:  # noqa: ARG002
        """There is nobody to ask."""
        return None

    async def _speak(self) -> None:
        connection = self._connection
        await connection.until(lambda: connection.joined)
        if self._fd is not None:
            await self._say_lines(self._fd)
        await connection.sync()
        connection.leave()

    async def _say_lines(self, fd: int) -> None:
        connection, timeline = self._connection, self._timeline
        number = 0
        try:
            async with aclosing(read_lines(fd)) as lines:
                async for line in lines:
                    number += 1
                    action = commands.parse(line, timeline.partner)
                    if isinstance(action, LookBack):  # what was said before it is to be found
                        await connection.until(lambda: not timeline.unconfirmed)
                    if not self._do(action, number):
                        return
                    await connection.until(lambda: len(timeline.unconfirmed) < WINDOW and not connection.look_backs)
        except OSError as error:
            self._mistake(f"standard input can't be read: {error.strerror}")

    def _do(self, action: commands.Parsed, number: int) -> bool:
        """Do what one line means; False: it is the last."""
        match action:
            case commands.Mistake():
                self._mistake(f"line {number}: {action.text}")
            case wire.Say() | wire.Dm() | wire.Away() | wire.Notify():
                self._connection.say(action)
            case wire.Who() | LookBack():
                if not self._connection.ask(action):
                    self._mistake(f"line {number}: there is no connection now")
            case commands.Help():
                self._status(commands.help_text())
            case commands.Quit():
                return False
            case commands.Nothing():
                pass
            case _:
                assert_never(action)
        return True

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
            self._connection.leave()
        except OSError as error:
            self._out = self._err if stream is self._out else None
            self._err = None if stream is self._err else self._err
            self._mistake(f"the output can't be written: {error.strerror}")
            self._connection.leave()


def _today() -> date:
    return datetime.now().astimezone().date()
