"""A person at a terminal is asked once whether a certificate is trusted, and is told when it has changed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from chatmail.client import app
from chatmail.client.app import Exit
from chatmail.core import wire
from tests.client.certificates import fingerprint_of, issue, serving
from tests.client.scripted import NOW, ScriptedServer, Visit, scripted, welcome
from tests.terminal.screen import Terminal, at_terminal


class Scene:
    """John starts his client at a terminal; the server is one with this certificate."""

    def __init__(self, terminal: Terminal, server: ScriptedServer, ending: asyncio.Task[Exit]) -> None:
        self.terminal = terminal
        self.server = server
        self.ending = ending

    async def visit(self) -> Visit:
        """Let John in, after the looks at the certificate, on which not a word may be said."""
        while not (line := await (visit := await self.server.visit()).line()):
            pass
        assert b'"join"' in line
        visit.send(welcome("John", "Mary"))
        await self.terminal.until(lambda: "connected" in self.terminal.toolbar)
        return visit

    async def leave(self, visit: Visit) -> Exit:
        self.terminal.type("/quit\r")
        await visit.expect(wire.Leave)
        visit.cut()
        return await self.ending


@asynccontextmanager
async def starting(server: ScriptedServer, trust: str | None = None) -> AsyncIterator[Scene]:
    async with asyncio.timeout(10), at_terminal() as terminal, asyncio.TaskGroup() as tasks:
        chat = tasks.create_task(app.chat(server.address, "John", "john@example.org", trust))
        yield Scene(terminal, server, chat)


def shows(terminal: Terminal, certificate: trustme.LeafCert) -> bool:
    """Whether the whole fingerprint can be compared with another one, row by row."""
    return fingerprint_of(certificate) in terminal.text


async def test_an_unknown_certificate_is_asked_about_once(state: Path) -> None:
    shown = issue()
    async with scripted(serving(shown)) as server:
        async with starting(server) as john:
            await john.terminal.shows("Trust it? (yes/no)")
            assert f"-- {server.address} is new to you" in john.terminal.text
            assert shows(john.terminal, shown)
            john.terminal.type("y\r")
            await john.terminal.shows("please type yes or no")
            john.terminal.type("Yes\r")
            visit = await john.visit()
            assert john.terminal.toolbar.endswith(" · TLS")
            assert await john.leave(visit) == Exit.OK
        assert (state / "known_servers").read_text() == f"{server.address} {fingerprint_of(shown)}\n"
        async with starting(server) as john:
            visit = await john.visit()
            assert "Trust it?" not in john.terminal.raw
            await john.leave(visit)


async def test_who_does_not_trust_it_is_not_connected(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with scripted(serving(issue())) as server:
        async with starting(server) as john:
            await john.terminal.shows("Trust it? (yes/no)")
            john.terminal.type("no\r")
            assert await john.ending == Exit.NO_CONNECTION
        assert await server.heard() == b""
    assert "nobody known here has signed it" in capsys.readouterr().err
    assert not (state / "known_servers").exists()


async def test_the_question_may_be_left() -> None:
    async with asyncio.timeout(10), at_terminal() as terminal, scripted(serving(issue())) as server:
        chat = asyncio.create_task(app.chat(server.address, "John", "john@example.org"))
        await terminal.shows("Trust it? (yes/no)")
        terminal.type("\x04")
        with pytest.raises(EOFError):
            await chat


async def test_a_certificate_that_has_changed_is_refused_and_nothing_is_asked(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = issue(), issue()
    context = serving(first)
    async with scripted(context) as server:
        async with starting(server, trust=fingerprint_of(first)) as john:
            visit = await john.visit()
            assert "Trust it?" not in john.terminal.raw
            await john.leave(visit)
        second.configure_cert(context)
        async with starting(server) as john:
            assert await john.ending == Exit.NO_CONNECTION
            assert "Trust it?" not in john.terminal.raw
        told = capsys.readouterr().err
        assert "It may be an attack" in told
        assert f"--trust {fingerprint_of(second)}" in told
        async with starting(server, trust=fingerprint_of(issue())) as john:
            assert await john.ending == Exit.NO_CONNECTION
        assert fingerprint_of(first) in (state / "known_servers").read_text()
        async with starting(server, trust=fingerprint_of(second)) as john:
            await john.leave(await john.visit())
        async with starting(server, trust=fingerprint_of(first)) as john:
            assert await john.ending == Exit.NO_CONNECTION
        assert (state / "known_servers").read_text() == f"{server.address} {fingerprint_of(second)}\n"


async def test_what_can_not_be_kept_is_told_above_the_prompt_and_the_chat_goes_on(state: Path) -> None:
    (state / ".tokens.new").mkdir(parents=True)
    async with scripted() as server, starting(server) as john:
        visit = await server.visit()
        await visit.expect(wire.Join)
        visit.send(wire.Challenge(email="j***@example.org", expires=NOW))
        await john.terminal.shows("code>")
        john.terminal.type("111111\r")
        await visit.expect(wire.Verify)
        visit.send(welcome())
        await john.terminal.shows("-- not kept for the next start:")
        await john.terminal.until(lambda: john.terminal.lines[-1].startswith(" connected"))
        john.terminal.type("hello\r")
        assert (await visit.expect(wire.Say)).text == "hello"
        assert "TLS" not in john.terminal.toolbar
        await john.leave(visit)


async def test_a_folder_that_can_not_be_made_is_told_of_once(state: Path) -> None:
    state.parent.touch()
    async with scripted() as server, starting(server) as john:
        visit = await john.visit()
        assert john.terminal.raw.count("kept for the next") == 1
        await john.leave(visit)
