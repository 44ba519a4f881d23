"""John at a terminal, connected to a server that does what the test says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prompt_toolkit.history import InMemoryHistory

from chatmail.client.link import Ending
from chatmail.client.prompt import Chat
from chatmail.client.timeline import Timeline
from chatmail.core import wire
from chatmail.terminal.history import open_history
from tests.client.scripted import ScriptedServer, Visit, scripted, welcome
from tests.terminal.screen import Terminal, at_terminal

TAB, ENTER, UP, CTRL_C, CTRL_D, CTRL_U = "\t", "\r", "\x1b[A", "\x03", "\x04", "\x15"


class Scene:
    """John at his terminal, and the server's side of his connection."""

    def __init__(
        self, terminal: Terminal, server: ScriptedServer, visit: Visit, chat: Chat, timeline: Timeline
    ) -> None:
        self.terminal = terminal
        self.server = server
        self.visit = visit
        self.chat = chat
        self.timeline = timeline
        self.ending: asyncio.Task[Ending]

    async def line(self, keys: str) -> None:
        """Type it, and see it in the input line."""
        self.terminal.type(keys)
        await self.terminal.shows(f"> {keys}")


@asynccontextmanager
async def scene(
    *frames: wire.Frame, history: Path | None = None, join: bool = True, vi: bool = False, **look: Any
) -> AsyncIterator[Scene]:
    async with asyncio.timeout(10), at_terminal() as terminal, scripted() as server, asyncio.TaskGroup() as tasks:
        timeline = Timeline("John", "p")
        kept = open_history(history, pytest.fail) if history else InMemoryHistory()
        chat = Chat(server.address, "John", "john@example.org", timeline, history=kept, vi=vi, **look)
        ending = tasks.create_task(chat.run())
        there = Scene(terminal, server, await server.visit(), chat, timeline)
        there.ending = ending
        if join:
            await there.visit.admit(*frames, answer=welcome("John", "Mary", "Bob"))
            await terminal.until(lambda: "connected" in terminal.toolbar)
        yield there
        there.chat.connection.leave()
        there.visit.cut()
