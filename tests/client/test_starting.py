"""At a terminal the questions offer what was answered last, and all looks as it was chosen."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from chatmail.client import app
from chatmail.client.app import Exit
from chatmail.client.config import Profile
from chatmail.core import wire
from tests.client.scripted import ScriptedServer, Visit, message, scripted, welcome
from tests.terminal.screen import Terminal, at_terminal

ENTER, CTRL_C, CTRL_U = "\r", "\x03", "\x15"


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with scripted() as server:
        yield server


@asynccontextmanager
async def starting(
    server: ScriptedServer, name: str = "", email: str = "", **chosen: Any
) -> AsyncIterator[tuple[Terminal, "asyncio.Task[Exit]"]]:
    async with asyncio.timeout(10), at_terminal() as terminal, asyncio.TaskGroup() as tasks:
        yield terminal, tasks.create_task(app.chat(server.address, name, email, None, Profile(**chosen)))


async def joined(server: ScriptedServer) -> tuple[Visit, str, str]:
    """Somebody comes in: as whom."""
    visit = await server.visit()
    join = await visit.expect(wire.Join)
    visit.send(welcome(join.name))
    return visit, join.name, join.email


async def leaves(terminal: Terminal, visit: Visit, ending: "asyncio.Task[Exit]") -> None:
    await terminal.until(lambda: "connected" in terminal.toolbar)
    terminal.type("/quit" + ENTER)
    await visit.expect(wire.Leave)
    visit.cut()
    assert await ending is Exit.OK


async def test_enter_takes_the_answers_of_last_time(server: ScriptedServer, state: Path) -> None:
    async with starting(server, "John", "john@example.org") as (terminal, ending):
        visit, *_ = await joined(server)
        await leaves(terminal, visit, ending)
    assert (state / "last").stat().st_mode & 0o777 == 0o600
    async with starting(server) as (terminal, ending):
        await terminal.shows("Your name: John")
        terminal.type(ENTER)
        await terminal.shows("Your email address: john@example.org")
        terminal.type(ENTER)
        visit, *who = await joined(server)
        assert who == ["John", "john@example.org"]
        await leaves(terminal, visit, ending)
    async with scripted() as other, starting(other) as (terminal, ending):
        await terminal.shows("Your name:")
        assert "John" not in terminal.text
        ending.cancel()


async def test_another_name_is_not_offered_the_same_address(server: ScriptedServer) -> None:
    async with starting(server, "John", "john@example.org") as (terminal, ending):
        visit, *_ = await joined(server)
        await leaves(terminal, visit, ending)
    async with starting(server) as (terminal, ending):
        await terminal.shows("Your name: John")
        terminal.type(CTRL_U + "Mary" + ENTER)
        await terminal.shows("Your email address:")
        assert "john@" not in terminal.text
        terminal.type("mary@example.org" + ENTER)
        visit, *who = await joined(server)
        assert who == ["Mary", "mary@example.org"]
        await leaves(terminal, visit, ending)


async def test_who_was_refused_is_not_offered(server: ScriptedServer, state: Path) -> None:
    async with starting(server, "John", "john@example.org") as (_, ending):
        visit = await server.visit()
        await visit.expect(wire.Join)
        visit.send(wire.Error(code="banned", text="go away"))
        assert await ending is Exit.AT_THE_DOOR
    assert not (state / "last").exists()


async def test_it_looks_and_works_as_it_was_chosen(server: ScriptedServer) -> None:
    chosen = {"times": "at %Y", "bell": "off", "keys": "vi", "style": {"toolbar": "reverse"}}
    async with starting(server, "John", "john@example.org", **chosen) as (terminal, ending):
        visit, *_ = await joined(server)
        await terminal.until(lambda: "connected" in terminal.toolbar)
        visit.send(message(1, "John, look"))
        await terminal.shows("at 2026 Mary: John, look")
        assert "\a" not in terminal.raw
        terminal.type("hello\x1b0xi")  # vi: the first letter is gone
        await terminal.until(lambda: any(line.endswith("> ello") for line in terminal.lines))
        terminal.type(CTRL_C)
        await terminal.until(lambda: "ello" not in terminal.text)
        await leaves(terminal, visit, ending)
