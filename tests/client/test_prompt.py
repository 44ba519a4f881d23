"""A person at a terminal: what they type, what they see. The keys come through a pipe, the screen is a pyte one."""

import asyncio
import signal
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec import structs

from chatmail.client import app, ask
from chatmail.client.link import Ending, How
from chatmail.core import wire
from tests.client.scene import CTRL_C, CTRL_D, CTRL_U, ENTER, TAB, UP, scene
from tests.client.scripted import NOW, direct, echo, message, page, person, scripted, welcome
from tests.terminal.screen import at_terminal

# What comes in.


async def test_what_comes_in_is_shown_above_a_half_typed_line() -> None:
    async with scene() as john:
        await john.line("half a li")
        john.visit.send(message(1, "hello John"))
        await john.terminal.shows("Mary: hello John\n> half a li\n")
        john.terminal.type("ne" + ENTER)
        assert (await john.visit.expect(wire.Say)).text == "half a line"


async def test_an_own_line_is_seen_once() -> None:
    async with scene() as john:
        await john.line("hello")
        john.terminal.type(ENTER)
        john.visit.send(echo(await john.visit.expect(wire.Say), 1))
        await john.terminal.shows("you: hello")
        assert john.terminal.text.count("hello") == 1


async def test_what_others_write_does_not_drive_the_terminal() -> None:
    async with scene() as john:
        john.visit.send(message(1, "\x1b]0;title\x07\x1b[2J\u202egnp\nJohn: forged"))
        await john.terminal.shows("Mary: \\x1b]0;title\\x07\\x1b[2J\\u202egnp\n            │ John: forged")
        assert "\x1b]0;" not in john.terminal.raw
        assert "\u202e" not in john.terminal.raw


async def test_a_flood_is_shown_whole_and_in_order() -> None:
    async with scene(*(message(seq, f"number {seq}") for seq in range(1, 301))) as john:
        await john.terminal.shows("Mary: number 300")
        numbers = [int(line.split()[-1]) for line in john.terminal.lines if "number" in line]
        assert numbers == list(range(numbers[0], 301))


async def test_the_bell_rings_for_a_direct_message_but_not_for_an_own_one() -> None:
    async with scene() as john:
        john.visit.send(direct(1, "mine", sender="John", to="Mary"))
        await john.terminal.shows("mine")
        assert "\a" not in john.terminal.raw
        john.visit.send(direct(2, "yours"))
        await john.terminal.shows("Mary → you (direct): yours")
        await john.terminal.until(lambda: "\a" in john.terminal.raw)


async def test_a_direct_message_that_was_shown_is_reported() -> None:
    async with scene(direct(7)) as john:
        assert (await john.visit.expect(wire.Ping)).seq == 7


async def test_no_colour_when_none_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with scene(message(1, "hello John")) as john:
        await john.terminal.shows("hello John")
        assert "38;5;" not in john.terminal.raw
        assert "38;2;" not in john.terminal.raw


# What is typed.


async def test_a_mistake_stays_to_be_mended() -> None:
    async with scene() as john:
        await john.line("/dmm Mary hi")
        john.terminal.type(ENTER)
        await john.terminal.shows("did you mean /dm?")
        assert "> /dmm Mary hi" in john.terminal.text
        john.terminal.type(CTRL_U + "fine" + ENTER)
        assert (await john.visit.expect(wire.Say)).text == "fine"


async def test_a_text_that_is_too_long_stays_to_be_shortened() -> None:
    async with scene() as john:
        john.terminal.paste("x" * 4_001)
        john.terminal.type(ENTER)
        await john.terminal.shows("4,001 characters")
        john.terminal.type("\x7f" + ENTER)
        assert (await john.visit.expect(wire.Say)).text == "x" * 4_000


async def test_a_paste_of_several_lines_is_one_message() -> None:
    async with scene() as john:
        john.terminal.paste("one\r\ntwo\n/quit\n")
        await john.terminal.shows("│ /quit")
        john.terminal.type(ENTER)
        assert (await john.visit.expect(wire.Say)).text == "one\ntwo\n/quit"


async def test_escape_enter_begins_a_new_line() -> None:
    async with scene() as john:
        john.terminal.type("/dm Mary one\x1b\rtwo" + ENTER)
        assert (await john.visit.expect(wire.Dm)).text == "one\ntwo"


async def test_tab_completes_the_latest_speaker_first() -> None:
    async with scene(message(1, sender="Mary"), message(2, sender="Bob")) as john:
        await john.terminal.shows("Bob: hello")
        john.terminal.type("/d" + TAB)
        await john.terminal.shows("> /dm")
        john.terminal.type(TAB)
        await john.terminal.until(
            lambda: [line.split() for line in john.terminal.lines if line][-3:-1] == [["Bob", "here"], ["Mary", "here"]]
        )
        john.terminal.type(TAB)
        await john.terminal.shows("> /dm Bob")
        john.terminal.type(CTRL_U + "hi ma" + TAB)
        await john.terminal.shows("> hi Mary")
        john.terminal.type("!" + ENTER)
        assert (await john.visit.expect(wire.Say)).text == "hi Mary !"


async def test_a_name_at_the_start_gets_a_colon_and_a_mention_its_sign() -> None:
    async with scene() as john:
        john.terminal.type("ma" + TAB)
        await john.terminal.shows("> Mary:")
        john.terminal.type("@bo" + TAB)
        await john.terminal.shows("> Mary: @Bob")


async def test_r_turns_into_the_name_before_anything_is_typed_after_it() -> None:
    async with scene(direct(1)) as john:
        await john.terminal.shows("lunch?")
        john.terminal.type("/r ")
        await john.terminal.shows("> /dm Mary")
        john.visit.send(direct(2, "me too", sender="Bob"))
        await john.terminal.shows("me too")
        john.terminal.type("yes" + ENTER)
        assert (await john.visit.expect(wire.Dm)).to == "Mary"


async def test_r_writes_no_name_that_could_drive_the_terminal() -> None:
    """No server lets such a name in, but who knows what the other end is."""
    name = "Ma\u202ery\x1b"
    async with scene(direct(1, sender=name)) as john:
        await john.terminal.shows("lunch?")
        john.terminal.type("/r yes")
        await john.terminal.shows("> /r yes")
        assert "\u202e" not in john.terminal.raw
        john.terminal.type(ENTER)
        assert (await john.visit.expect(wire.Dm)).to == name


async def test_who_and_help_and_away() -> None:
    async with scene() as john:
        john.terminal.type("/who" + ENTER)
        await john.visit.expect(wire.Who)
        john.visit.send(wire.People(people=[person("John"), person("Mary", away="lunch")], total=2))
        await john.terminal.shows("away: lunch")
        john.terminal.type("/help" + ENTER)
        await john.terminal.shows("/notify always|away|never")
        john.terminal.type("/away" + ENTER)
        john.visit.send(wire.Ack(id=(await john.visit.expect(wire.Away)).id))
        await john.terminal.shows("-- you are away")
        await john.terminal.until(lambda: "· away ·" in john.terminal.toolbar)


async def test_a_refused_line_is_quoted() -> None:
    async with scene() as john:
        john.terminal.type("/dm Zoe hi" + ENTER)
        line = await john.visit.expect(wire.Dm)
        john.visit.send(wire.Error(code="no-such-person", text="nobody is called Zoe", id=line.id))
        await john.terminal.shows("not sent: nobody is called Zoe (your line was: hi)")


async def test_ctrl_c_clears_the_line_and_then_gives_a_hint() -> None:
    async with scene() as john:
        await john.line("oops")
        john.terminal.type(CTRL_C)
        await john.terminal.until(lambda: "oops" not in john.terminal.text)
        john.terminal.type(CTRL_C)
        await john.terminal.shows("press Ctrl-D")
        assert not john.ending.done()


@pytest.mark.parametrize("keys", [CTRL_D, "/quit\r"])
async def test_leaving(keys: str) -> None:
    async with scene() as john:
        john.terminal.type("bye" + ENTER + keys)
        await john.visit.expect(wire.Say)
        await john.visit.expect(wire.Leave)
        john.visit.cut()
        assert (await john.ending).how is How.LEFT


async def test_a_signal_leaves() -> None:
    async with scene() as john:
        signal.raise_signal(signal.SIGTERM)
        await john.visit.expect(wire.Leave)
        john.visit.cut()
        assert (await john.ending).how is How.LEFT


# Looking back.


async def test_tab_completes_what_looks_back() -> None:
    async with scene() as john:
        john.terminal.type("/sea" + TAB)
        await john.terminal.shows("> /search")
        john.terminal.type("tea" + ENTER)
        assert (await john.visit.expect(wire.Search)).words == "tea"


async def test_what_a_search_finds_is_shown_and_changes_nothing_else() -> None:
    async with scene(message(1, "one")) as john:
        await john.terminal.shows("Mary: one")
        john.terminal.type("/search john tea" + ENTER)
        asked = await john.visit.expect(wire.Search)
        assert asked.words == "john tea"
        await john.terminal.until(lambda: "connected · looking back · John@" in john.terminal.toolbar)
        old = structs.replace(direct(9, "tea, John?\n\x1b[2J", sender="Bob"), time=NOW - timedelta(days=3))
        john.visit.send(wire.Page(entries=[old], more=False, id=asked.id), message(2, "two"))
        await john.terminal.until(lambda: "connected · 1 new · John@" in john.terminal.toolbar)
        lines = john.terminal.lines
        at = lines.index("-- 1 message with 'john tea':")
        assert lines[at + 1].startswith("-- Thursday, 2026-11-19")
        assert lines[at + 2].endswith("Bob → you (direct): tea, John?")
        assert lines[at + 3 : at + 5] == [
            f"{' ' * len('14:02 Bob → you (direct): ')}│ \\x1b[2J",
            "-- end of the search",
        ]
        assert lines[at + 5].endswith("Mary: two")
        assert "\a" not in john.terminal.raw
        john.terminal.type("/r yes" + ENTER)
        await john.terminal.shows("there is no direct message to answer yet")
        john.visit.send(direct(3))
        assert (await john.visit.expect(wire.Ping)).seq == 3


async def test_a_long_history_comes_in_pages_and_is_shown_whole() -> None:
    said = [message(seq, f"number {seq}") for seq in range(1, 301)]
    async with scene() as john:
        john.terminal.type("/history 250" + ENTER)
        for _ in range(3):
            john.visit.send(page(said, await john.visit.expect(wire.History)))
        await john.terminal.shows("-- end of the look back; /history 500 shows more")
        assert john.terminal.raw.index("the last 250 messages:") < john.terminal.raw.index("number 51")
        numbers = [int(line.split()[-1]) for line in john.terminal.lines if "number" in line]
        assert numbers == list(range(numbers[0], 301))


async def test_a_look_back_without_an_answer_is_told_in_a_line() -> None:
    async with scene() as john:
        john.terminal.type("/history" + ENTER)
        asked = await john.visit.expect(wire.History)
        john.visit.send(wire.Error(code="unavailable", text="the disk is full", id=asked.id))
        await john.terminal.shows("-- not looked for: the disk is full")
        john.terminal.type("/history" + ENTER)
        await john.visit.expect(wire.History)
        john.visit.cut()
        await john.terminal.shows("-- no answer: the connection was lost; ask again")
        await john.terminal.until(lambda: "looking back" not in john.terminal.toolbar)
        john.terminal.type("/history" + ENTER)
        await john.terminal.shows("there is no connection now")
        assert "> /history" in john.terminal.text


# The connection.


async def test_the_toolbar_tells_where_who_and_how() -> None:
    async with scene() as john:
        await john.terminal.until(lambda: f"connected · John@{john.server.address} · 3 here" in john.terminal.toolbar)
        john.visit.send(message(1), direct(2))
        await john.terminal.until(lambda: "2 new (1 direct)" in john.terminal.toolbar)
        john.terminal.type("hi" + ENTER)
        await john.terminal.until(lambda: "1 unconfirmed" in john.terminal.toolbar)
        await john.terminal.until(lambda: "new" not in john.terminal.toolbar)


async def test_a_lost_connection_is_said_and_what_was_typed_meanwhile_goes_out_later() -> None:
    async with scene() as john:
        john.visit.cut()
        await john.terminal.shows("trying again")
        john.terminal.type("/who" + ENTER)
        await john.terminal.shows("there is no connection now")
        john.terminal.type(CTRL_U + "later" + ENTER)
        john.visit = await john.server.visit()
        await john.visit.admit(answer=welcome("John", "Mary", resumed=True))
        assert (await john.visit.expect(wire.Say)).text == "later"
        await john.terminal.shows("connected again as John")


async def test_being_thrown_out_ends_it() -> None:
    async with scene() as john:
        john.visit.send(wire.Bye(reason="kicked", retry=False))
        assert await john.ending == Ending(How.BYE, "kicked")


async def test_a_code_is_typed_at_the_prompt_and_kept_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "history"
    async with scene(history=path, join=False) as john:
        await john.visit.expect(wire.Join)
        john.visit.send(wire.Challenge(email="j***@example.org", expires=NOW))
        await john.terminal.shows("a code was sent to j***@example.org")
        await john.terminal.shows("code>")
        john.terminal.type("hello" + ENTER)
        await john.terminal.shows("the code from the email comes first")
        john.terminal.type(CTRL_U + "111 111" + ENTER)
        assert (await john.visit.expect(wire.Verify)).code == "111111"
        john.visit.send(wire.Error(code="wrong-code", text="that is not the code"))
        await john.terminal.shows("that is not the code")
        await john.terminal.shows("code>")
        john.terminal.type("222222" + ENTER)
        assert (await john.visit.expect(wire.Verify)).code == "222222"
        john.visit.send(welcome("John", "Mary", "Bob"))
        await john.terminal.shows("with Mary and Bob")
        john.terminal.type("first words" + ENTER)
        assert (await john.visit.expect(wire.Say)).text == "first words"
    kept = path.read_text()
    assert "first words" in kept
    assert "222222" not in kept


async def test_a_terminal_that_is_gone_means_leaving() -> None:
    async with scene() as john:
        john.terminal.gone = True
        john.visit.send(message(1))
        await john.visit.expect(wire.Leave)
        john.visit.cut()
        assert (await john.ending).how is How.LEFT


# The history.


async def test_what_was_typed_is_kept_for_next_time_and_for_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "state" / "history"
    async with scene(history=path) as john:
        john.terminal.type("remember me" + ENTER)
        await john.visit.expect(wire.Say)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    async with scene(history=path) as john:
        john.terminal.type(UP)
        await john.terminal.shows("> remember me")


# The questions before.


async def test_a_name_is_asked_for_until_it_is_one() -> None:
    async with asyncio.timeout(5), at_terminal() as terminal, asyncio.TaskGroup() as tasks:
        answer = tasks.create_task(ask.ask(ask.NAME, ""))
        await terminal.shows("Your name:")
        terminal.type("Jo hn" + ENTER)
        await terminal.shows("it holds a space")
        terminal.type(UP + "\x7f\x7f\x7fhn" + ENTER)
        assert await answer == "John"


async def test_what_the_server_refused_is_asked_for_again_on_an_empty_line() -> None:
    async with asyncio.timeout(5), at_terminal() as terminal, asyncio.TaskGroup() as tasks:
        answer = tasks.create_task(ask.ask(ask.EMAIL, "this address may not join"))
        await terminal.shows("this address may not join")
        await terminal.shows("Your email address:")
        terminal.type("john@example.com" + ENTER)
        assert await answer == "john@example.com"


async def test_a_question_may_be_left() -> None:
    async with asyncio.timeout(5), at_terminal() as terminal:
        terminal.type(CTRL_D)
        with pytest.raises(EOFError):
            await ask.ask(ask.NAME, "")
        terminal.type(CTRL_C)
        with pytest.raises(KeyboardInterrupt):
            await ask.ask(ask.NAME, "")


async def test_what_another_answer_mends_is_asked_again_after_a_refusal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    async with asyncio.timeout(5), at_terminal() as terminal, scripted() as server, asyncio.TaskGroup() as tasks:
        ending = tasks.create_task(app.chat(server.address, "John", "john@example"))
        await terminal.shows("a domain with a dot")
        await terminal.shows("Your email address:")
        terminal.type("john@example.org" + ENTER)
        visit = await server.visit()
        assert (await visit.expect(wire.Join)).email == "john@example.org"
        visit.send(wire.Error(code="name-taken", text="John is somebody else", field="name"))
        await terminal.shows("John is somebody else")
        await terminal.shows("Your name:")
        terminal.type("Johnny" + ENTER)
        visit = await server.visit()
        assert (await visit.expect(wire.Join)).name == "Johnny"
        visit.send(wire.Error(code="not-allowed", text="only friends"))
        await terminal.shows("only friends")
        terminal.type("johnny@example.com" + ENTER)
        visit = await server.visit()
        join = await visit.expect(wire.Join)
        assert (join.name, join.email) == ("Johnny", "johnny@example.com")
        visit.send(wire.Error(code="banned", text="go away"))
        assert await ending == app.Exit.AT_THE_DOOR
