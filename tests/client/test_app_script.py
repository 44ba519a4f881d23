"""``chatmail`` in scripts: direct messages and their exit codes, following, frames, looking back, settings."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from chatmail.client.app import Exit
from chatmail.core import wire
from tests.client.program import CLIENT, chatting
from tests.client.scripted import ScriptedServer, Visit, direct, echo, message, page, scripted, welcome
from tests.client.test_app import run, serve, timeless


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with scripted() as server:
        yield server


def history(*texts: str) -> list[wire.Message]:
    return [message(number, text) for number, text in enumerate(texts, start=1)]


async def leave(visit: Visit) -> None:
    """See the client off."""
    await visit.expect(wire.Leave)
    visit.cut()


async def write_to_mary(server: ScriptedServer, said: bytes, *receipts: str, wait: str = "0") -> tuple[int, list[str]]:
    """Send these lines to Mary; each is answered with these receipts: a state of its mail, "online" or a mistake.

    The exit code, and what was told.
    """
    async with chatting(server, "--dm", "Mary", "--wait", wait) as process:
        assert process.stdin
        process.stdin.write(said)
        process.stdin.close()
        visit = await server.visit()
        await visit.admit()
        for seq, _ in enumerate(said.split(), start=1):
            frame = await visit.expect(wire.Dm)
            assert frame.to == "Mary"
            if "refused" in receipts:
                visit.send(wire.Error(code="no-such-person", text="nobody is called Mary", id=frame.id))
                continue
            visit.send(echo(frame, seq, "ci"))
            online = "online" in receipts
            for mail in receipts:
                state: Any = "queued" if mail == "online" else mail
                visit.send(wire.Receipt(id=frame.id, seq=seq, to="Mary", online=online, mail=state))
        await visit.expect(wire.Ping)
        visit.send(wire.Pong())
        await leave(visit)
        out, err = await process.communicate()
    assert process.returncode is not None
    told = err.decode().splitlines()
    if "refused" not in receipts:
        assert timeless(out) == [f"you → Mary (direct): {line}" for line in said.decode().split()]
    return process.returncode, told


@pytest.mark.parametrize(
    ("receipts", "code"),
    [
        (["queued", "sent"], Exit.OK),
        (["queued", "saved"], Exit.OK),
        (["off"], Exit.OK),
        (["online"], Exit.OK),
        (["queued"], Exit.NOT_MAILED),
        (["held"], Exit.NOT_MAILED),
        (["queued", "failed"], Exit.REFUSED),
        (["refused"], Exit.REFUSED),
    ],
)
async def test_the_exit_code_tells_what_became_of_direct_messages(
    server: ScriptedServer, receipts: list[str], code: Exit
) -> None:
    """A line that looks like a command is none."""
    ended, told = await write_to_mary(server, b"/quit\n\n/who\n", *receipts)
    assert ended == code
    late = "chatmail: 2 direct messages are said, but not out by email yet; the server sees to that"
    assert (late in told) == (code is Exit.NOT_MAILED)


async def test_a_mail_is_waited_for_no_longer_than_wanted(server: ScriptedServer) -> None:
    assert (await write_to_mary(server, b"hi\n", "queued", wait="0.2"))[0] == Exit.NOT_MAILED
    assert (await write_to_mary(server, b"hi\n", "queued", "sent", wait="60"))[0] == Exit.OK


async def test_what_was_never_confirmed_is_not_called_said(server: ScriptedServer) -> None:
    async with chatting(server, "--dm", "Mary") as process:
        visit = await server.visit()
        await visit.admit()
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"one\ntwo\nthree\n")
        first, *_ = [await visit.expect(wire.Dm) for _ in range(3)]
        visit.send(echo(first, 1, "ci"))
        await process.stdout.readline()
        process.terminate()
        await leave(visit)
        _, err = await process.communicate()
    assert process.returncode == Exit.REFUSED
    assert err.decode().splitlines()[1:] == [
        "chatmail: 2 lines were never confirmed by the server, the first is: two",
        "chatmail: standard input was not read to its end: what is left there is not said",
        "chatmail: one direct message is said, but not out by email yet; the server sees to that",
    ]


async def test_what_was_said_before_is_not_written_unless_it_is_wanted(server: ScriptedServer) -> None:
    """And then it comes before what is said now, whenever that comes."""
    before = history("one", "two", "three")
    for options, written in (((), []), (("--history", "2"), ["two", "three"])):
        async with chatting(server, *options) as process:
            assert process.stdin
            process.stdin.write(b"four\n")
            process.stdin.close()
            visit = await server.visit()
            await visit.admit(*before, answer=welcome("ci", seq=3))
            asked = await visit.expect(wire.History) if options else None
            visit.send(echo(await visit.expect(wire.Say), 4, "ci"))
            if asked:
                assert (asked.count, asked.before) == (2, 4)
                visit.send(page(before, asked))
            await visit.expect(wire.Ping)
            visit.send(wire.Pong())
            await leave(visit)
            out, _ = await process.communicate()
        assert process.returncode == Exit.OK
        assert timeless(out) == [*(f"Mary: {text}" for text in written), "ci: four"]


async def test_what_was_not_written_is_not_reported_as_seen(server: ScriptedServer) -> None:
    """Otherwise a direct message would be neither shown nor mailed."""
    for unseen in (False, True):
        async with chatting(server) as process:
            visit = await server.visit()
            seen = 0 if unseen else 1
            await visit.admit(direct(1, to="ci"), answer=structs.replace(welcome("ci", seq=1), seen=seen))
            visit.send(message(2, "now"))
            assert process.stdout
            await process.stdout.readline()
            assert process.stdin
            process.stdin.close()
            ping = await visit.expect(wire.Ping)
            assert (ping.seq == 2) is not unseen
            visit.send(wire.Pong())
            await leave(visit)
            await process.wait()


async def test_following_goes_on_without_an_end_and_through_cuts(server: ScriptedServer) -> None:
    """Whatever standard input is; SIGINT and SIGTERM end it well."""
    noon = datetime(2001, 2, 3, 12, tzinfo=UTC)  # the same date in nearly all of the world, and never today
    new, missed = (structs.replace(each, time=noon) for each in (message(2, "new"), message(3, "missed")))
    for number in (signal.SIGINT, signal.SIGTERM):
        async with chatting(server, "--follow") as process:
            assert process.stdin
            assert process.stdout
            process.stdin.write(b"not said\n")
            process.stdin.close()
            visit = await server.visit()
            await visit.admit(message(1, "old"), new, answer=welcome("ci", seq=1))
            assert await process.stdout.readline() == b"-- Saturday, 2001-02-03\n"
            assert (await process.stdout.readline()).endswith(b"Mary: new\n")
            visit.cut()
            visit = await server.visit()
            await visit.admit(missed, answer=welcome("ci", seq=3, resumed=True))
            assert (await process.stdout.readline()).endswith(b"Mary: missed\n")
            process.send_signal(number)
            await leave(visit)
            out, err = await process.communicate()
        assert (process.returncode, out) == (Exit.OK, b"")
        assert "trying again" in err.decode()
        assert b"Traceback" not in err


async def test_who_follows_is_sent_away_all_the_same(server: ScriptedServer) -> None:
    async with chatting(server, "--follow") as process:
        await (await server.visit()).admit(wire.Bye(reason="kicked", retry=False))
        assert await process.wait() == Exit.AT_THE_DOOR


async def test_following_ends_when_its_reader_has_enough_though_nothing_is_said(server: ScriptedServer) -> None:
    reading, writing = os.pipe()
    async with chatting(server, "--follow", stdout=writing) as process:
        os.close(writing)
        visit = await server.visit()
        await visit.admit()
        assert process.stderr
        await process.stderr.readline()
        os.close(reading)
        await leave(visit)
        assert await process.stderr.read() == b""
        assert await process.wait() == Exit.OK


async def frames(server: ScriptedServer, *lines: object, options: tuple[str, ...] = ()) -> tuple[int, Any, list[str]]:
    """Send these frames (or lines); the exit code, the frames that are written, and what is told."""
    said = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    async with chatting(server, "--json", *options) as process, asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(await server.visit()))
        out, err = await process.communicate(said.encode())
    assert process.returncode is not None
    return process.returncode, [json.loads(line) for line in out.splitlines()], err.decode().splitlines()


async def test_frames_are_read_and_written(server: ScriptedServer) -> None:
    code, written, told = await frames(
        server,
        {"type": "say", "text": "tea ☕"},
        {"type": "dm", "to": "Mary", "text": "lunch?", "id": "mine"},
        {"type": "dm", "to": "Mary", "text": "lunch?", "id": "mine"},
        {"type": "who"},
        {"type": "history", "count": 1},
        {"type": "search", "words": "tea", "id": "t"},
        {"type": "notify", "when": "never", "id": "n"},
        {"type": "away"},
        {"type": "leave"},
        {"type": "say", "text": "never"},
    )
    assert (code, told) == (Exit.OK, [])
    kinds = [frame["type"] for frame in written]
    assert kinds[:4] == ["welcome", "message", "direct", "receipt"]
    assert kinds[-5:] == ["people", "page", "page", "ack", "ack"]
    assert "token" not in written[0]
    assert written[1]["text"] == "tea ☕"
    assert written[1]["id"]
    assert written[2]["id"] == written[3]["id"] == "mine"
    assert [entry["text"] for entry in written[-3]["entries"]] == ["tea ☕"]
    assert (written[-3]["id"], written[-2]["id"]) == ("t", "n")


async def test_a_bad_frame_is_told_with_its_line_and_the_others_are_sent(server: ScriptedServer) -> None:
    code, written, told = await frames(
        server, {"type": "say", "text": "one"}, "nonsense", "", {"type": "join"}, {"type": "say", "text": "two"}
    )
    assert code == Exit.REFUSED
    assert [frame["text"] for frame in written if frame["type"] == "message"] == ["one", "two"]
    assert told[0].startswith("-- line 2: not sent: this line is no JSON object")
    assert told[1].startswith("-- line 4: not sent: this frame is not complete")


async def test_a_frame_that_is_refused_shows_in_the_exit_code(server: ScriptedServer) -> None:
    code, written, told = await frames(server, {"type": "dm", "to": "Bob", "text": "hi", "id": "b"})
    assert (code, told) == (Exit.REFUSED, [])
    assert (written[-1]["type"], written[-1]["code"], written[-1]["id"]) == ("error", "no-such-person", "b")


async def test_a_look_up_that_is_lost_with_the_connection_is_told(server: ScriptedServer) -> None:
    async with chatting(server, "--json") as process, asyncio.TaskGroup() as tasks:
        visit = await server.visit()
        await visit.admit()
        assert process.stdin
        process.stdin.write(b'{"type":"search","words":"x"}\n{"type":"say","text":"last"}\n')
        process.stdin.close()
        await visit.expect(wire.Search)
        visit.cut()
        tasks.create_task(serve(await server.visit()))
        out, err = await process.communicate()
    assert process.returncode == Exit.REFUSED
    assert json.loads(out.splitlines()[-1])["text"] == "last"
    assert "-- no answer: the connection was lost; ask again" in err.decode().splitlines()


async def test_frames_can_be_followed_with_what_was_said_before(server: ScriptedServer) -> None:
    async with chatting(server, "--json", "--follow", "--history", "1") as process:
        visit = await server.visit()
        before = history("one", "two")
        await visit.admit(*before, message(3, "three"), answer=welcome("ci", seq=2))
        asked = await visit.expect(wire.History)
        visit.send(page(before, asked))
        assert process.stdout
        written = [json.loads(await process.stdout.readline()) for _ in range(3)]
        process.terminate()
        await leave(visit)
        await process.wait()
    assert [frame["type"] for frame in written] == ["welcome", "message", "page"]
    assert written[1]["text"] == "three"
    assert [entry["text"] for entry in written[2]["entries"]] == ["two"]


# Settings.


async def test_a_file_says_who_and_where_and_an_option_wins(server: ScriptedServer, tmp_path: Path) -> None:
    address = str(server.address)
    done = run("--init", "--name", "ci", "--email", "ci@example.org", "--times", "at %H", address)
    path = tmp_path / "config" / "chatmail" / "config.toml"
    assert (done.returncode, done.stderr) == (Exit.OK, "")
    assert str(path) in done.stdout
    for options, name, begin in (((), "ci", "at "), (("--name", "bot", "--times", ""), "bot", "bot: ")):
        process = await asyncio.create_subprocess_exec(
            *CLIENT, *options, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        async with asyncio.timeout(20):
            assert process.stdin
            process.stdin.write(b"done\n")
            process.stdin.close()
            visit = await server.visit()
            assert (await visit.admit()).name == name
            visit.send(echo(await visit.expect(wire.Say), 1, name))
            await visit.expect(wire.Ping)
            visit.send(wire.Pong())
            await leave(visit)
            out, _ = await process.communicate()
        assert process.returncode == Exit.OK
        assert out.decode().splitlines()[-1].startswith(begin)  # the day may come before it


def test_a_file_is_written_once_and_only_with_what_is_right(tmp_path: Path) -> None:
    assert run("--init", "--name", "a b").returncode == Exit.USAGE
    path = tmp_path / "config" / "chatmail" / "config.toml"
    assert not path.exists()
    assert run("--init").returncode == Exit.OK
    again = run("--init")
    assert (again.returncode, again.stderr) == (Exit.USAGE, f"chatmail: {path} is there already; it stays as it is\n")


def test_all_that_is_wrong_in_the_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "config" / "chatmail" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text('bell = "loud"\nnam = "x"\n')
    done = run()
    assert done.returncode == Exit.USAGE
    assert done.stderr.splitlines() == [
        f'chatmail: {path}: bell = \'loud\': it is "all", "direct" or "off"',
        f"chatmail: {path}: nam: there is no such key; did you mean name?",
    ]
    assert run("--help").returncode == 0


def test_where_the_file_can_not_be_written_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "config").touch()
    done = run("--init")
    assert done.returncode == Exit.REFUSED
    assert done.stderr.startswith(f"chatmail: {tmp_path}/config/chatmail/config.toml can't be written: ")


def test_a_help_that_nobody_reads_ends_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*CLIENT, "--help"], stdout=writing, stderr=subprocess.PIPE, timeout=20, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")
