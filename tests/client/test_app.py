"""``chatmail`` as a process without a terminal: lines in, lines out, and exit codes that mean something."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import chatmail
from chatmail.client.address import server_of
from chatmail.client.app import Exit
from chatmail.client.link import Server
from chatmail.client.trust import fingerprint
from chatmail.core import wire
from tests.client.program import CI, CLIENT, chatting
from tests.client.scripted import NOW, ScriptedServer, Visit, echo, message, page, scripted, welcome
from tests.endtoend.terminal import Terminal


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with scripted() as server:
        yield server


async def serve(visit: Visit) -> None:
    """Answer as a server does, until the client leaves."""
    await visit.admit()
    said: list[wire.Message | wire.Direct] = []
    while True:
        frame = await visit.expect(wire.Frame)
        match frame:
            case wire.Say() | wire.Dm(to="Mary"):
                seq = len(said) + 1
                said.append(echo(frame, seq, sender="ci"))
                visit.send(said[-1])
                if isinstance(frame, wire.Dm):
                    visit.send(wire.Receipt(id=frame.id, seq=seq, to="Mary", online=False, mail="queued"))
            case wire.Dm():
                visit.send(wire.Error(code="no-such-person", text=f"nobody is called {frame.to}", id=frame.id))
            case wire.Who():
                visit.send(wire.People(people=[wire.Person(name="ci", since=NOW)], total=1))
            case wire.Search(words="?"):
                visit.send(wire.Error(code="unavailable", text="the disk is full", id=frame.id))
            case wire.History() | wire.Search():
                visit.send(page(said, frame, most=2))
            case wire.Away() | wire.Notify():
                visit.send(wire.Ack(id=frame.id))
            case wire.Ping():
                visit.send(wire.Pong())
            case wire.Leave():
                visit.cut()
                return


def timeless(out: bytes) -> list[str]:
    """The lines without times and days: today is any day, what is said here is always said at NOW."""
    lines = out.decode().splitlines()
    return [re.sub(r"^\d\d:\d\d ", "", line) for line in lines if not re.fullmatch(r"-- \w+day, [\d-]+", line)]


async def talk(server: ScriptedServer, said: bytes) -> tuple[int, list[str], list[str]]:
    """Say this, and give back the exit code and the lines of stdout (without times) and stderr."""
    async with chatting(server) as process, asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(await server.visit()))
        out, err = await process.communicate(said)
        assert process.returncode is not None
        return process.returncode, timeless(out), err.decode().splitlines()


async def test_a_line_is_said_and_confirmed(server: ScriptedServer) -> None:
    code, out, err = await talk(server, b"done\n")
    assert (code, out) == (Exit.OK, ["ci: done"])
    assert err == ["-- you are in as ci, nobody else is here yet"]


async def test_a_last_line_without_its_end_and_other_ends_of_lines(server: ScriptedServer) -> None:
    code, out, _ = await talk(server, b"one\r\n\n  \nt\xff\xc3\xbc\nthree")
    assert (code, out) == (Exit.OK, ["ci: one", "ci: t\ufffdü", "ci: three"])


async def test_nothing_to_say(server: ScriptedServer) -> None:
    code, out, err = await talk(server, b"")
    assert (code, out) == (Exit.OK, [])
    assert err == ["-- you are in as ci, nobody else is here yet"]


async def test_commands_work_and_their_answers_are_waited_for(server: ScriptedServer) -> None:
    code, out, err = await talk(server, b"/dm Mary lunch?\n/r soon\n/notify never\n/away\n/me waves\n/help\n/who\n")
    assert code == Exit.OK
    assert out[:3] == ["you → Mary (direct): lunch?", "you → Mary (direct): soon", "* ci waves"]
    assert len(out) == 5
    assert err.count("-- Mary is not here now; an email is on its way as well") == 2
    assert "-- direct messages to you are never sent by email" in err
    assert "-- you are away" in err


async def test_looking_back_is_answered_in_its_place_and_waited_for(server: ScriptedServer) -> None:
    """With all that was said before it, and nothing of what was said after it."""
    code, out, err = await talk(server, b"one\ntwo\nthree\n/history 3\n/search t\nfour\n/search zz\n/history 1")
    assert (code, err) == (Exit.OK, ["-- you are in as ci, nobody else is here yet"])
    assert out == [
        *("ci: one", "ci: two", "ci: three"),
        *("-- the last 3 messages:", "ci: one", "ci: two", "ci: three"),
        "-- end of the look back; there is nothing older",
        *("-- 2 messages with 't':", "ci: two", "ci: three", "-- end of the search"),
        "ci: four",
        "-- nothing was said with 'zz'",
        *("-- the last message:", "ci: four", "-- end of the look back; /history 2 shows more"),
    ]


async def test_quit_waits_for_the_answer_to_what_was_asked_before(server: ScriptedServer) -> None:
    code, out, _ = await talk(server, b"one\n/search one\n/quit\n")
    assert (code, out[1:]) == (Exit.OK, ["-- 1 message with 'one':", "ci: one", "-- end of the search"])


async def test_a_look_back_without_an_answer_shows_in_the_exit_code(server: ScriptedServer) -> None:
    code, out, err = await talk(server, b"/search ?\nlast\n")
    assert (code, out) == (Exit.REFUSED, ["ci: last"])
    assert "-- not looked for: the disk is full" in err


async def test_a_look_back_is_lost_with_the_connection_and_the_next_line_is_not(server: ScriptedServer) -> None:
    async with chatting(server) as process, asyncio.TaskGroup() as tasks:
        visit = await server.visit()
        await visit.admit()
        assert process.stdin
        process.stdin.write(b"/history\nlast\n")
        process.stdin.close()
        await visit.expect(wire.History)
        visit.cut()
        tasks.create_task(serve(await server.visit()))
        out, err = await process.communicate()
    assert (process.returncode, timeless(out)) == (Exit.REFUSED, ["ci: last"])
    assert "-- no answer: the connection was lost; ask again" in err.decode().splitlines()


async def test_many_lines_are_all_said(server: ScriptedServer) -> None:
    lines = [f"line {number}" for number in range(500)]
    code, out, _ = await talk(server, "\n".join(lines).encode())
    assert (code, out) == (Exit.OK, [f"ci: {line}" for line in lines])


async def test_what_follows_quit_is_not_said(server: ScriptedServer) -> None:
    assert (await talk(server, b"one\n/quit\ntwo\n"))[:2] == (Exit.OK, ["ci: one"])


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"/dm Bob hi", "-- not sent: nobody is called Bob (your line was: hi)"),
        (b"/dmm Mary hi", "-- line 1: not sent: there is no command /dmm; did you mean /dm?"),
        (b"x" * 4_001, "-- line 1: not sent: this text has 4,001 characters; at most 4,000 are allowed"),
    ],
)
async def test_a_refused_line_shows_in_the_exit_code(server: ScriptedServer, line: bytes, told: str) -> None:
    code, out, err = await talk(server, line + b"\nlast\n")
    assert (code, out) == (Exit.REFUSED, ["ci: last"])
    assert told in err


async def test_a_reconnect_loses_and_repeats_nothing(server: ScriptedServer) -> None:
    async with chatting(server) as process:
        visit = await server.visit()
        await visit.admit(message(1, "before"))
        assert process.stdin
        process.stdin.write(b"one\n")
        process.stdin.close()
        line = await visit.expect(wire.Say)
        visit.cut()
        visit = await server.visit()
        await visit.admit(message(1, "before"), echo(line, 2, "ci"), answer=welcome("ci", seq=2, resumed=True))
        assert await visit.expect(wire.Say) == line
        visit.send(wire.Ack(id=line.id, seq=2))
        await visit.expect(wire.Ping)
        visit.send(wire.Pong())
        await visit.expect(wire.Leave)
        visit.cut()
        out, err = await process.communicate()
    assert process.returncode == Exit.OK
    assert timeless(out) == ["Mary: before", "ci: one"]
    assert "trying again" in err.decode()


async def test_a_refusal_at_the_door(server: ScriptedServer) -> None:
    async with chatting(server) as process:
        visit = await server.visit()
        await visit.expect(wire.Join)
        visit.send(wire.Error(code="name-taken", text="'ci' belongs to another address", field="name"))
        _, err = await process.communicate(b"done\n")
    assert process.returncode == Exit.AT_THE_DOOR
    assert err.decode().splitlines() == [
        "chatmail: 'ci' belongs to another address",
    ]


async def test_being_thrown_out(server: ScriptedServer) -> None:
    async with chatting(server) as process:
        await (await server.visit()).admit(wire.Bye(reason="kicked: spam", retry=False))
        await process.wait()
        assert process.stderr
        assert (await process.stderr.read()).decode().splitlines()[-1] == "chatmail: kicked: spam"
    assert process.returncode == Exit.AT_THE_DOOR


async def test_a_code_can_not_be_asked_for(server: ScriptedServer) -> None:
    async with chatting(server) as process:
        visit = await server.visit()
        await visit.expect(wire.Join)
        visit.send(wire.Challenge(email="c***@example.org", expires=NOW))
        _, err = await process.communicate(b"")
    assert process.returncode == Exit.AT_THE_DOOR
    assert "nobody here to type it" in err.decode()


UNREAD = "chatmail: standard input was not read to its end: what is left there is not said"
UNANSWERED = "chatmail: it ended before the server had answered everything"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_leaves_and_what_was_not_read_is_not_said(
    server: ScriptedServer, number: signal.Signals
) -> None:
    """Though all that was read has been confirmed."""
    async with chatting(server) as process:
        visit = await server.visit()
        await visit.admit()
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"one\n")
        visit.send(echo(await visit.expect(wire.Say), 1, "ci"))
        await process.stdout.readline()
        process.send_signal(number)
        await visit.expect(wire.Leave)
        visit.cut()
        _, err = await process.communicate()
    assert process.returncode == Exit.REFUSED
    assert err.decode().splitlines()[1:] == [UNREAD]


async def test_a_signal_before_the_server_says_anything(server: ScriptedServer) -> None:
    async with chatting(server) as process:
        assert process.stdin
        process.stdin.write(b"one\n")
        process.stdin.close()
        await (await server.visit()).expect(wire.Join)
        process.terminate()
        _, err = await process.communicate()
    assert (process.returncode, err.decode().splitlines()) == (Exit.REFUSED, [UNREAD])


async def test_a_signal_before_everything_is_answered(server: ScriptedServer) -> None:
    async with chatting(server) as process:
        visit = await server.visit()
        await visit.admit()
        assert process.stdin
        process.stdin.write(b"/who\n")
        process.stdin.close()
        await visit.expect(wire.Who)
        await visit.expect(wire.Ping)
        process.terminate()
        await visit.expect(wire.Leave)
        visit.cut()
        _, err = await process.communicate()
    assert process.returncode == Exit.REFUSED
    assert err.decode().splitlines()[1:] == [UNANSWERED]


async def test_a_reader_that_has_enough_does_not_hide_what_was_not_read(server: ScriptedServer) -> None:
    reading, writing = os.pipe()
    async with chatting(server, stdout=writing) as process:
        os.close(writing)
        os.close(reading)
        visit = await server.visit()
        await visit.admit(message(1))
        await visit.expect(wire.Leave)
        visit.cut()
        _, err = await process.communicate()
    assert process.returncode == Exit.REFUSED
    assert err.decode().splitlines() == ["-- you are in as ci, nobody else is here yet", UNREAD]


async def test_all_is_said_when_its_reader_has_enough_after_the_last_line_was_read(server: ScriptedServer) -> None:
    reading, writing = os.pipe()
    async with chatting(server, stdout=writing) as process:
        os.close(writing)
        visit = await server.visit()
        await visit.admit()
        assert process.stdin
        process.stdin.write(b"one\n")
        process.stdin.close()
        visit.send(echo(await visit.expect(wire.Say), 1, "ci"))
        await visit.expect(wire.Ping)
        os.close(reading)
        visit.send(message(2), wire.Pong())
        await visit.expect(wire.Leave)
        visit.cut()
        _, err = await process.communicate()
    assert process.returncode == Exit.OK
    assert err.decode().splitlines() == ["-- you are in as ci, nobody else is here yet"]


async def test_a_closed_standard_input_is_an_empty_one(server: ScriptedServer) -> None:
    async with chatting(server, stdin=DEVNULL) as process, asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(await server.visit()))
        await process.wait()
    assert process.returncode == Exit.OK


async def test_standard_input_may_be_a_file(server: ScriptedServer, tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("one\ntwo\n")
    with path.open() as file:
        async with chatting(server, stdin=file.fileno()) as process, asyncio.TaskGroup() as tasks:
            tasks.create_task(serve(await server.visit()))
            assert process.stdout
            assert timeless(await process.stdout.read()) == ["ci: one", "ci: two"]
            await process.wait()
    assert process.returncode == Exit.OK


@pytest.mark.parametrize("term", ["dumb", "unknown", None])
async def test_a_terminal_that_can_not_draw_is_read_and_written_as_a_pipe(
    server: ScriptedServer, tmp_path: Path, term: str | None
) -> None:
    env = {"HOME": str(tmp_path), "LANG": "C.UTF-8"} | ({"TERM": term} if term else {})
    argv = [*CLIENT, str(server.address)]
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        asking = await Terminal.start(argv, tmp_path, env, columns=400)
        await asking.shows("without a terminal that can draw nothing is asked")
        assert await asking.ends() == Exit.USAGE
        await asking.close()
        for code in (Exit.OK, Exit.REFUSED):
            terminal = await Terminal.start([*argv, *CI], tmp_path, env)
            try:
                tasks.create_task(serve(await server.visit()))
                terminal.type("done\n")
                await terminal.shows("ci: done")
                if code is Exit.OK:
                    terminal.type("\x04")
                else:
                    terminal.process.send_signal(signal.SIGINT)  # as Ctrl-C does, where somebody works in it
                assert await terminal.ends() == code
                assert not terminal.count("Traceback")
            finally:
                await terminal.close()


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*CLIENT, *options], input="", capture_output=True, text=True, timeout=20, check=False)


def test_where_nothing_listens(unused_tcp_port: int) -> None:
    done = run(f"127.0.0.1:{unused_tcp_port}", *CI)
    assert done.returncode == Exit.NO_CONNECTION
    assert done.stderr == (
        f"chatmail: can't reach 127.0.0.1:{unused_tcp_port}: nothing listens there (is the server running?); "
        "chatmail-server starts one on this machine\n"
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "a name is missing"),
        ((), "--name and --email say who you are, or in "),
        (("--name", "ci"), "an email address is missing"),
        (("--name", "a b", "--email", "ci@example.org"), "a space"),
        (("--name", "ci", "--email", "ci@example"), "a domain with a dot"),
        (("host:port",), "'port' is no port"),
        (("two words:1",), "is no name of a host"),
        (("--colour",), "unrecognized"),
        (("--trust", "SHA256:AB"), "'SHA256:AB' is no fingerprint"),
        (("--trust", fingerprint(b""), "--no-tls"), "with --no-tls there is none"),
        (("--follow", "--dm", "Mary"), "--follow says nothing"),
        (("--follow", "--wait", "3"), "--follow says nothing"),
        (("--json", "--dm", "Mary"), '{"type":"dm","to":"NAME","text":"TEXT"}'),
        (("--dm", " "), "--dm takes the name"),
        (("--history", "1001"), "'1001' is no number from 0 to 1000"),
        (("--wait", "soon"), "'soon' is no number of seconds"),
        (("--times", "\n"), "is no form of time"),
    ],
)
def test_wrong_usage_is_told_in_a_sentence(options: tuple[str, ...], told: str) -> None:
    done = run(*options)
    assert done.returncode == Exit.USAGE
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_version_and_help() -> None:
    assert run("--version").stdout == f"chatmail {chatmail.__version__}\n"
    shown = run("--help").stdout
    assert "exit codes" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert all(option in shown for option in ("--dm", "--json", "--follow", "--history", "--wait", "--init"))


def test_it_starts_without_loading_what_only_a_terminal_needs() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, chatmail.client.app, chatmail.client.plain; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert "prompt_toolkit" not in loaded


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("chat.example.org", Server("chat.example.org", 6245)),
        ("chat.example.org:7000", Server("chat.example.org", 7000)),
        (":7000", Server("localhost", 7000)),
        ("[::1]", Server("::1", 6245)),
        ("[::1]:7000", Server("::1", 7000)),
        ("::1", Server("::1", 6245)),
    ],
)
def test_addresses(text: str, server: Server) -> None:
    assert server_of(text) == server


@pytest.mark.parametrize(
    "text", ["host:", "host:0", "host:65536", "host:99999999999", "host:²", "[::1", "[::1]x", "a..b"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=" is no "):
        server_of(text)
