"""Writing at the prompt: what is offered, what is held back, what is kept; drafts of many lines, and editors."""

import asyncio
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chatmail.client.doubt import doubt
from chatmail.core import wire
from tests.client.program import CLIENT
from tests.client.scene import CTRL_C, ENTER, TAB, UP, scene
from tests.client.scripted import NOW, ScriptedServer, Visit, message, scripted, welcome
from tests.endtoend.terminal import Terminal

ALT_ENTER, BACK_TAB, CTRL_R, CTRL_X_CTRL_E, ESCAPE, DOWN = "\x1b\r", "\x1b[Z", "\x12", "\x18\x05", "\x1b", "\x1b[B"
LINES = "\n".join(map(str, range(1, 13)))


# What is offered.


async def test_the_menu_tells_about_each_and_goes_back_and_forth() -> None:
    async with scene(message(1, sender="Zoe"), wire.Left(seq=2, time=NOW, name="Zoe", reason="left")) as john:
        await john.terminal.shows("Zoe left")
        john.terminal.type("/dm " + TAB)
        await john.terminal.until(
            lambda: (
                [line.split() for line in john.terminal.lines if line][-4:-1]
                == [["Zoe", "not", "here"], ["Bob", "here"], ["Mary", "here"]]
            )
        )
        john.terminal.type(TAB)
        await john.terminal.shows("> /dm Zoe")
        john.terminal.type(TAB + TAB)
        await john.terminal.shows("> /dm Mary")
        john.terminal.type(BACK_TAB)
        await john.terminal.shows("> /dm Bob")


async def test_enter_takes_what_was_chosen_and_sends_nothing_yet() -> None:
    async with scene() as john:
        john.terminal.type("fine :smi" + TAB)
        await john.terminal.shows(":smile: 😄")
        john.terminal.type(TAB)
        await john.terminal.shows("> fine 😄")
        john.terminal.type(ENTER)
        await john.terminal.until(lambda: ":smirk:" not in john.terminal.text)
        john.terminal.type("!" + ENTER)
        assert (await john.visit.expect(wire.Say)).text == "fine 😄!"


async def test_keys_that_come_together_with_tab_wait_for_it() -> None:
    async with scene() as john:
        john.terminal.type("hi ma" + TAB + ":smile" + TAB + TAB + ENTER + ENTER)
        assert (await john.visit.expect(wire.Say)).text == "hi Mary 😄"
        john.terminal.type("/not" + TAB + "a" + TAB + "w" + TAB + ENTER)
        assert (await john.visit.expect(wire.Notify)).when == "away"


# What is held back.

NAMES = ("Mary", "Zoë")


@pytest.mark.parametrize(
    "text",
    ["dm Mary hi", "DM mary: hi", "msg @Mary, hi", " dm Mary hi", ".dm Mary hi", "\\dm Mary", ".tell Mary hi",
     "w zoë hi", "whisper Mary\nhi", "dm: Mary hi"],
)  # fmt: skip
def test_what_was_perhaps_meant_for_one_person_is_held(text: str) -> None:
    assert "did you mean /dm " in doubt(wire.Say(text=text), NAMES)


@pytest.mark.parametrize(
    "text",
    ["dm Bob hi", "dm", "Mary dm me", "tell Mary hi", "ask Mary", "who Mary", "dmm Mary", "/dm Mary", "/me dm Mary",
     "...dm Mary", "hello\ndm Mary hi", "me Mary", ". Mary"],
)  # fmt: skip
def test_everything_else_goes(text: str) -> None:
    assert doubt(wire.Say(text=text), NAMES) == ""
    assert doubt(wire.Dm(to="Zoë", text="dm Mary hi"), NAMES) == ""


async def test_a_slash_that_was_forgotten_is_asked_about_once() -> None:
    async with scene() as john:
        john.terminal.type("dm mary psst" + ENTER)
        await john.terminal.shows("not sent: did you mean /dm Mary …? (Enter once more sends it as it is)")
        john.terminal.type("!" + ENTER)
        await john.terminal.shows("> dm mary psst!\n not sent: did you mean")
        john.terminal.type(ENTER)
        assert (await john.visit.expect(wire.Say)).text == "dm mary psst!"
        await john.terminal.until(lambda: "did you mean" not in john.terminal.text)


@pytest.mark.parametrize(("text", "meant"), [("help", "/help"), ("Quit ", "/quit"), ("exit", "/quit"), ("who", "/who")])
def test_a_command_alone_without_its_slash_is_held(text: str, meant: str) -> None:
    assert doubt(wire.Say(text=text), ()) == f"not sent: did you mean {meant}? (Enter once more sends it as it is)"
    assert doubt(wire.Say(text=f"{text} me"), ()) == ""
    assert doubt(wire.Dm(to="Mary", text=text), ()) == ""


@pytest.mark.parametrize("before", ["", "/dm Mary "])
async def test_many_lines_are_shown_before_they_are_sent(before: str) -> None:
    async with scene() as john:
        john.terminal.type(before)
        john.terminal.paste(LINES + "\n")
        john.terminal.type(ENTER)
        await john.terminal.shows("12 lines: Enter once more sends them")
        john.terminal.type("\x7f")
        await john.terminal.until(lambda: "once more" not in john.terminal.text)
        john.terminal.type(ENTER)
        await john.terminal.shows("12 lines: Enter once more sends them")
        john.terminal.type(ENTER)
        frame = await (john.visit.expect(wire.Dm) if before else john.visit.expect(wire.Say))
        assert frame.text == LINES
        john.terminal.paste("\n".join("0123456789") + "\n")
        john.terminal.type(ENTER)
        assert (await john.visit.expect(wire.Say)).text.count("\n") == 9


# What is kept.


async def test_up_goes_through_a_draft_before_it_goes_through_the_history() -> None:
    async with scene() as john:
        john.terminal.type("before" + ENTER)
        await john.visit.expect(wire.Say)
        john.terminal.type("one" + ALT_ENTER + "two" + UP + "!" + ENTER)
        assert (await john.visit.expect(wire.Say)).text == "one!\ntwo"
        john.terminal.type("draft" + UP + UP + UP)
        await john.terminal.shows("> before")
        john.terminal.type(DOWN * 3)
        await john.terminal.shows("> draft")


async def test_ctrl_r_searches_what_was_typed(tmp_path: Path) -> None:
    path = tmp_path / "history"
    async with scene(history=path) as john:
        john.terminal.type("Tea at noon" + ENTER + "coffee" + ENTER)
        await john.visit.expect(wire.Say)
        await john.visit.expect(wire.Say)
    async with scene(history=path) as john:
        john.terminal.type(CTRL_R + "tea")
        await john.terminal.shows("(reverse-i-search)`tea': Tea at noon")
        john.terminal.type(ENTER)
        await john.terminal.shows("> Tea at noon")
        john.terminal.type("?" + ENTER)
        assert (await john.visit.expect(wire.Say)).text in {"Tea at noon?", "?Tea at noon"}


async def test_a_line_with_a_mistake_is_not_lost() -> None:
    async with scene() as john:
        john.terminal.type("/dmm Mary a long story" + ENTER)
        await john.terminal.shows("did you mean /dm?")
        john.terminal.type(CTRL_C)
        await john.terminal.until(lambda: "story" not in john.terminal.text)
        await john.line("oops")
        john.terminal.type(CTRL_C)
        await john.terminal.until(lambda: "oops" not in john.terminal.text)
        john.terminal.type(UP)
        await john.terminal.shows("> /dmm Mary a long story")


async def test_a_line_that_was_not_finished_is_there_next_time(tmp_path: Path) -> None:
    path = tmp_path / "history"
    async with scene(history=path) as john:
        await john.line("half a")
        john.visit.send(wire.Bye(reason="kicked", retry=False))
        await john.ending
    assert "+half a\n" in path.read_text()


async def test_a_code_that_was_typed_wrongly_is_kept_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "history"
    async with scene(history=path, join=False) as john:
        await john.visit.expect(wire.Join)
        john.visit.send(wire.Challenge(email="j***@example.org", expires=NOW))
        await john.terminal.shows("code>")
        john.terminal.type("22222z" + ENTER)
        await john.terminal.shows("it is a number")
        john.terminal.type(CTRL_C + "33333")
        await john.terminal.shows("code> 33333")
        john.visit.send(wire.Error(code="banned", text="go away"))
        await john.ending
    assert "22222" not in path.read_text()
    assert "33333" not in path.read_text()


# What is told while typing.


async def test_how_much_of_a_long_text_there_is_room_for() -> None:
    async with scene() as john:
        john.terminal.paste("/dm Mary " + "x" * 3_600)
        await john.terminal.shows("xxx")
        assert "of 4,000" not in john.terminal.toolbar
        john.terminal.type("x")
        await john.terminal.until(lambda: "connected · 3,601 of 4,000 · John@" in john.terminal.toolbar)
        john.terminal.paste("x" * 400)
        await john.terminal.until(lambda: "4,001 of 4,000" in john.terminal.toolbar)
        john.terminal.type("\x7f" + ENTER)
        assert len((await john.visit.expect(wire.Dm)).text) == 4_000
        await john.terminal.until(lambda: "of 4,000" not in john.terminal.toolbar)


async def test_help_tells_the_keys_and_more_about_a_command() -> None:
    async with scene() as john:
        john.terminal.type("/help" + ENTER)
        await john.terminal.shows("│ Ctrl-X Ctrl-E ")
        john.terminal.type("/help notify" + ENTER)
        await john.terminal.shows(
            "-- /notify always|away|never\n│ when direct messages reach you by email\n│ always: each"
        )
        john.terminal.type("/help notfy" + ENTER)
        await john.terminal.shows("there is no command /notfy; did you mean /notify?")


async def test_the_keys_of_vi() -> None:
    async with scene(vi=True) as john:
        john.terminal.type("noe two" + ESCAPE + "bbxpA")  # how letters that changed places go back there
        await john.terminal.shows("> one two")
        john.terminal.type(ALT_ENTER + "three" + ESCAPE)
        await john.terminal.shows("│ three")
        john.terminal.type(" " + ENTER)
        assert (await john.visit.expect(wire.Say)).text == "one two\nthree"
        john.terminal.type("/help" + ENTER)
        await john.terminal.shows("│ Escape v ")


# Editors.


@asynccontextmanager
async def at_pty(
    folder: Path, variable: str, editor: str, columns: int = 80, rows: int = 24
) -> AsyncIterator[tuple[Terminal, ScriptedServer, Visit]]:
    """John at a real terminal, in a process of its own, with an editor."""
    env = {"HOME": str(folder), "PATH": "/usr/bin:/bin", "TERM": "xterm-256color", "LANG": "C.UTF-8", variable: editor}
    who = ("--name", "John", "--email", "john@example.org")
    async with asyncio.timeout(30), scripted() as server:
        terminal = await Terminal.start([*CLIENT, str(server.address), *who], folder, env, columns, rows)
        try:
            visit = await server.visit()
            await visit.admit(answer=welcome("John", "Mary"))
            await terminal.shows("connected")
            yield terminal, server, visit
        finally:
            await terminal.close()


def script(folder: Path, body: str) -> str:
    """An editor in Python, which is called with a file ``path``."""
    program = folder / "an editor"
    program.write_text(f"#!{sys.executable}\nimport sys\npath = sys.argv[-1]\n{body}")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return f"'{program}' --wait"


ASKS = """
typed = input("editing: ")
with open(path, "a") as file:
    file.write(f" {typed}\\nline two\\n")
"""


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (40, 12)])
async def test_what_comes_in_waits_for_the_editor(tmp_path: Path, columns: int, rows: int) -> None:
    async with at_pty(tmp_path, "VISUAL", script(tmp_path, ASKS), columns, rows) as (john, server, visit):
        john.type("draft" + CTRL_X_CTRL_E)
        await john.shows("editing:")
        visit.send(message(1, "not now"))
        visit.cut()
        visit = await server.visit()  # so the client has read what came before
        await visit.admit(answer=welcome("John", "Mary", resumed=True, seq=1))
        assert john.count("not now") == 0
        john.type("and more\n")
        await john.shows("Mary: not now")
        await john.shows("> draft and more")
        await john.shows("│ line two")
        john.type("\n")
        assert (await visit.expect(wire.Say)).text == "draft and more\nline two"
        john.type("/who\n")
        await visit.expect(wire.Who)


async def test_without_colours_here_an_editor_has_its_own(tmp_path: Path) -> None:
    settings = tmp_path / ".config" / "chatmail"
    settings.mkdir(parents=True)
    (settings / "config.toml").write_text('theme = "mono"\n')
    body = """
import os
open(path, "w").write(f"NO_COLOR: {os.environ.get('NO_COLOR')}")
"""
    async with at_pty(tmp_path, "VISUAL", script(tmp_path, body)) as (john, _, _):
        john.type(CTRL_X_CTRL_E)
        await john.shows("> NO_COLOR: None")
        assert b"38;" not in john.raw


async def test_a_file_that_is_too_long_or_an_editor_that_fails_is_told(tmp_path: Path) -> None:
    body = """
text = open(path).read()
if text == "fail":
    sys.exit(3)
open(path, "w").write("x" * 4_001)
"""
    async with at_pty(tmp_path, "VISUAL", script(tmp_path, body)) as (john, _, visit):
        john.type("fail" + CTRL_X_CTRL_E)
        await john.shows("an editor ended with status 3: the line is as it was")
        await john.shows("> fail")
        john.type("!" + CTRL_X_CTRL_E)
        await john.shows("not sent: this text has 4,001 characters; at most 4,000 are allowed")
        john.type("\x7f\n")
        assert len((await visit.expect(wire.Say)).text) == 4_000


async def test_without_an_editor_the_line_stays(tmp_path: Path) -> None:
    async with at_pty(tmp_path, "EDITOR", "/nowhere/ed") as (john, _, _):
        john.type("draft" + CTRL_X_CTRL_E)
        await john.shows("/nowhere/ed: No such file or directory")
        await john.shows("> draft")


async def test_the_end_waits_for_the_editor_and_nothing_is_lost(tmp_path: Path) -> None:
    async with at_pty(tmp_path, "VISUAL", script(tmp_path, ASKS)) as (john, _, visit):
        john.type("draft" + CTRL_X_CTRL_E)
        await john.shows("editing:")
        visit.send(wire.Bye(reason="kicked", retry=False))
        assert await visit.rest() == b""  # the client has closed
        assert john.count("kicked") == 0
        john.type("and more\n")
        await john.shows("kicked")
        assert await john.ends() == 4
    kept = (tmp_path / ".local/state/chatmail/history").read_text()
    assert "+draft and more\n+line two\n" in kept


async def test_ctrl_c_is_the_editors(tmp_path: Path) -> None:
    body = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
print("editing:", flush=True)
signal.sigwait({signal.SIGINT})
signal.raise_signal(signal.SIGKILL)
"""
    async with at_pty(tmp_path, "VISUAL", script(tmp_path, body)) as (john, _, _):
        john.type("draft" + CTRL_X_CTRL_E)
        await john.shows("editing:")
        os.killpg(john.process.pid, signal.SIGINT)  # as a terminal does, where somebody works in it
        await john.shows("ended by signal 9: the line is as it was")
        await john.shows("> draft")
