"""The installed programs without a terminal: pipes, signals, exit statuses, mistakes."""

import asyncio
import json
import os
import resource
import signal
import socket
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from chatmail.core.wire import Bye, Direct, Message, Notice, Say
from tests.endtoend.conftest import SCRIPTS, Desk
from tests.peer import Peer
from tests.server.mailserver import HANG, MailServer


async def start(
    desk: Desk,
    program: str,
    *options: str,
    settings: Mapping[str, str] | None = None,
    before: Callable[[], None] | None = None,
) -> Process:
    return await asyncio.create_subprocess_exec(
        SCRIPTS / program,
        *options,
        env=desk.environment(program, settings or {}),
        cwd=desk.folder / program,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        preexec_fn=before,
    )


async def line_with(stream: asyncio.StreamReader | None, text: str) -> str:
    """The next line that holds this text."""
    assert stream
    async with asyncio.timeout(20):
        while line := (await stream.readline()).decode():
            if text in line:
                return line
    raise AssertionError(f"no line with {text!r}")


async def ends(process: Process, lines: bytes = b"") -> tuple[int | None, bytes, bytes]:
    """Type these lines into a program and wait for its end; its exit status, output and errors."""
    async with asyncio.timeout(20):
        out, err = await process.communicate(lines)
    return process.returncode, out, err


async def server(desk: Desk, **settings: str) -> Process:
    process = await start(desk, "chatmail-server", "--port", str(desk.port), settings=settings)
    await line_with(process.stdout, f"port {desk.port}")
    return process


async def client(
    desk: Desk, lines: str, name: str = "ci", email: str = "ci@example.org"
) -> tuple[int | None, str, str]:
    """Have a client say these lines; its exit status, output and errors."""
    options = (f"127.0.0.1:{desk.port}", "--name", name, "--email", email)
    process = await start(desk, "chatmail", *options)
    status, out, err = await ends(process, lines.encode())
    return status, out.decode(), err.decode()


async def test_commands_come_through_a_pipe_and_serving_goes_on_at_its_end(desk: Desk) -> None:
    process = await server(desk)
    john = await Peer.joined(desk.port, "John")
    assert process.stdin
    process.stdin.write(b"hello\n/broadcast tea is ready\n/who\n")
    process.stdin.close()
    await line_with(process.stdout, "not sent")
    assert (await john.expect(Notice)).text == "tea is ready"
    await line_with(process.stdout, "john@example.org")
    mary = await Peer.joined(desk.port, "Mary")
    mary.cut()
    process.send_signal(signal.SIGTERM)
    bye = await john.expect(Bye)
    assert bye.retry
    john.cut()
    async with asyncio.timeout(20):
        assert await process.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_server_in_good_order(desk: Desk, number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_DFL)  # a signal ignored here would be ignored there
    process = await server(desk)
    signal.signal(number, before)
    process.send_signal(number)
    status, out, err = await ends(process)
    assert (status, err) == (0, b"")
    assert b"0 mails sent" in out


async def test_nobody_is_asked_without_a_terminal(desk: Desk) -> None:
    process = await server(desk)
    john = await Peer.joined(desk.port, "John")
    status, out, _ = await ends(process, b"/who\n/quit\n")
    assert status == 0
    assert b"quit again" not in out
    john.cut()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_asks_nothing_at_a_terminal_either(desk: Desk, number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_DFL)
    terminal = await desk.server()
    signal.signal(number, before)
    await terminal.shows("chatmail>")
    john = await Peer.joined(desk.port, "John")
    await terminal.shows("John <john@example.org> joined")
    terminal.process.send_signal(number)
    assert await terminal.ends() == 0
    assert terminal.count("quit again") == 0
    john.cut()


async def test_at_a_terminal_a_slip_does_not_end_what_people_are_in(desk: Desk) -> None:
    terminal = await desk.server()
    await terminal.shows("chatmail>")
    john = await Peer.joined(desk.port, "John")
    await terminal.shows("John <john@example.org> joined")
    terminal.type("\x04")
    await terminal.shows("1 person is here; /quit again ends the server")
    assert await john.sync() == []
    terminal.type("/quit\n")
    await john.expect(Bye)
    john.cut()
    assert await terminal.ends() == 0


async def test_answers_come_in_the_order_of_the_lines(desk: Desk) -> None:
    process = await server(desk)
    john = await Peer.joined(desk.port, "John")
    await john.send(Say(text="good morning"))
    await john.expect(Message)
    _, out, _ = await ends(process, b"/history\n/stats\n/ban Eve\n/bans\n/audit\n/motd\n/quit\n")
    marks = [b"John: good morning", b"connections", b"eve is banned", b"REASON", b"banned eve", b"no message of"]
    assert sorted(marks, key=out.index) == marks
    john.cut()


async def test_what_is_logged_also_goes_into_a_file_with_an_object_a_line(desk: Desk) -> None:
    folder = desk.folder / "chatmail-server"
    options = ("--port", str(desk.port), "--log-file", "chat.log", "--log-format", "json", "--log-level", "debug")
    process = await start(desk, "chatmail-server", *options)
    await line_with(process.stdout, f"port {desk.port}")
    john = await Peer.joined(desk.port, "John")
    john.cut()
    (folder / "chat.log").rename(folder / "chat.log.1")
    mary = await Peer.joined(desk.port, "Mary")
    mary.cut()
    status, out, err = await ends(process, b"/who\n/quit\n")
    assert (status, err) == (0, b"")
    said = [json.loads(line) for line in out.splitlines()]
    kept = [
        json.loads(line) for name in ("chat.log.1", "chat.log") for line in (folder / name).read_text().splitlines()
    ]
    assert any(line["text"].startswith("Mary  mary@example.org") for line in said)
    texts = [line["text"] for line in kept]
    assert texts[0].startswith("chatmail ")
    assert texts.index("John <john@example.org> joined from 127.0.0.1") < texts.index(
        "Mary <mary@example.org> joined from 127.0.0.1"
    )
    assert {line["level"] for line in kept} == {"debug", "info"}
    assert (folder / "chat.log").stat().st_mode & 0o777 == 0o600


async def test_a_log_file_that_cannot_be_written_is_told_at_the_start(desk: Desk) -> None:
    process = await start(desk, "chatmail-server", "--log-file", "none/chat.log")
    status, out, err = await ends(process)
    assert (status, out) == (2, b"")
    assert err.decode().splitlines() == ["LOG_FILE=none/chat.log can't be written: No such file or directory"]


async def test_a_log_file_that_is_full_ends_nothing(desk: Desk) -> None:
    process = await server(desk, LOG_FILE="/dev/full")
    status, out, _ = await ends(process, b"/broadcast hello\n/quit\n")
    assert status == 0
    assert out.count(b"LOG_FILE=") <= 1  # the first lines were read by the start
    assert b"broadcast to 0 people" in out


async def test_quit_ends_the_server(desk: Desk) -> None:
    process = await server(desk)
    status, out, _ = await ends(process, b"/quit\n")
    assert status == 0
    assert b"going down" in out


async def test_all_wrong_settings_are_told_at_once(desk: Desk) -> None:
    process = await start(desk, "chatmail-server", settings={"CHAT_PORT": "many", "RATE": "fast", "HISTORY": "-1"})
    status, _, err = await ends(process)
    assert status == 2
    for key, value in (("CHAT_PORT", "many"), ("RATE", "fast"), ("HISTORY", "-1")):
        assert any(key in line and value in line for line in err.decode().splitlines())
    assert b"Traceback" not in err


async def test_a_port_that_is_taken_is_told_in_one_line(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", desk.port)):
        process = await start(desk, "chatmail-server", "--port", str(desk.port))
        status, _, err = await ends(process)
    assert status == 1
    assert len(err.decode().splitlines()) == 1
    assert str(desk.port) in err.decode()


async def check_mail(
    desk: Desk, *address: str, mail: MailServer | None = None, before: Callable[[], None] | None = None
) -> Process:
    """Check the mail account at this server, or none."""
    account = (
        {"SENDER_EMAIL": "team@example.org", "SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(mail.port)} if mail else {}
    )
    settings = {"CHAT_PORT": str(desk.port), **account}
    return await start(desk, "chatmail-server", "--check-mail", *address, settings=settings, before=before)


async def test_the_check_of_the_mail_account_tells_by_its_exit_status(desk: Desk) -> None:
    """Nobody is served meanwhile, another program may have the port, and nothing is kept."""
    with socket.create_server(("127.0.0.1", desk.port)):
        async with MailServer() as mail:
            status, out, err = await ends(await check_mail(desk, "bob@x.org", mail=mail))
            assert (status, err) == (0, b"")
            assert b"\nok      sent to bob@x.org: 250 2.0.0 OK: queued\n" in out
            mail.answer("RCPT", "550 5.1.1 nobody")
            status, out, err = await ends(await check_mail(desk, mail=mail))
            assert (status, err) == (1, b"")
            assert b"\nFAILED  mail to team@example.org: recipient refused: 550 5.1.1 nobody\n" in out
            assert [received.to for received in mail.mails] == [["bob@x.org"]]
        status, out, err = await ends(await check_mail(desk, "bob"))
        assert (status, out) == (2, b"")
        assert err.startswith(b"--check-mail: 'bob' is no email address: ")
        assert len(err.splitlines()) == 1
        assert not list((desk.folder / "chatmail-server").iterdir())
        status, out, _ = await ends(await check_mail(desk))
        assert status == 0
        [outbox] = (desk.folder / "chatmail-server").iterdir()
        [path] = outbox.iterdir()
        assert f"\nok      written: outbox/{path.name}\n" in out.decode()


async def test_the_check_of_the_mail_account_ends_quietly(desk: Desk) -> None:
    """By Ctrl-C, and when nobody reads its output."""

    def unread() -> None:
        reading, writing = os.pipe()
        os.close(reading)
        os.dup2(writing, 1)

    def closed() -> None:
        os.close(1)

    async with MailServer() as mail:
        mail.answer("CONNECT", HANG)
        before = signal.signal(signal.SIGINT, signal.SIG_DFL)  # a signal ignored here would be ignored there
        process = await check_mail(desk, mail=mail)
        signal.signal(signal.SIGINT, before)
        await mail.reached("CONNECT")
        process.send_signal(signal.SIGINT)
        status, _, err = await ends(process)
        assert (status, err) == (130, b"")
        for count, before_it in enumerate((unread, closed), start=1):
            status, _, err = await ends(await check_mail(desk, mail=mail, before=before_it))
            assert (status, err) == (0, b"")
            assert len(mail.mails) == count


async def test_a_script_says_a_line_and_ends_when_it_is_said(desk: Desk) -> None:
    process = await server(desk)
    john = await Peer.joined(desk.port, "John")
    status, _, _ = await client(desk, "done\n/dm John built in 3 s\n")
    assert status == 0
    assert (await john.expect(Message)).text == "done"
    assert (await john.expect(Direct)).text == "built in 3 s"
    mails = list((desk.folder / "chatmail-server" / "outbox").iterdir())
    assert len(mails) == 1
    john.cut()
    process.terminate()
    await ends(process)


async def test_what_is_wrong_has_an_exit_status_and_a_sentence(desk: Desk) -> None:
    assert (await client(desk, "x\n"))[0] == 3
    process = await server(desk)
    status, _, err = await client(desk, "x\n", email="ci@example")
    assert (status, "no email address" in err) == (2, True)
    status, _, err = await client(desk, "/dm Nobody x\n")
    assert (status, "nobody here was ever called" in err) == (1, True)
    status, _, err = await client(desk, "x\n", email="other@example.org")
    assert (status, "belongs to somebody" in err) == (4, True)
    process.terminate()
    await ends(process)


async def test_the_protocol_can_be_driven_by_hand(desk: Desk) -> None:
    """The lines of the README, over a bare socket."""
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    lines = [line.strip() for line in readme.splitlines() if line.startswith('    {"type"')]
    assert len(lines) == 3
    process = await server(desk)
    mary = await Peer.joined(desk.port, "Mary")
    john = await Peer.connect(desk.port)
    await john.send_bytes("".join(f"{line}\n" for line in lines).encode())
    assert (await mary.expect(Message)).text == "hello"
    assert (await mary.expect(Direct)).text == "lunch?"
    for peer in (john, mary):
        peer.cut()
    process.terminate()
    await ends(process)


async def test_more_clients_than_the_system_has_descriptors_for_are_not_promised(desk: Desk) -> None:
    process = await start(
        desk,
        "chatmail-server",
        "--port",
        str(desk.port),
        settings={"MAX_CLIENTS": "1000"},
        before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200)),
    )
    await line_with(process.stdout, "200 open files here, which is room for 72")
    await line_with(process.stdout, f"port {desk.port}")
    process.terminate()
    assert (await ends(process))[0] == 0


async def test_who_follows_can_be_filtered_and_ends_with_the_filter(desk: Desk) -> None:
    process = await server(desk)
    env = desk.environment("log", {"CHAT": f"{SCRIPTS / 'chatmail'} 127.0.0.1:{desk.port}"})
    line = "$CHAT --name log --email log@example.org --follow | grep -m1 needle"
    follower = await asyncio.create_subprocess_shell(
        line, env=env, cwd=desk.folder / "log", stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    await line_with(follower.stderr, "you are in as log")
    assert (await client(desk, "hay\na needle\n"))[0] == 0
    status, out, err = await ends(follower)
    assert status == 0
    assert out.decode().strip().endswith("ci: a needle")
    assert err == b""
    process.terminate()
    await ends(process)


async def test_the_exit_status_tells_what_became_of_a_mail(desk: Desk) -> None:
    async def writes(name: str, email: str, *options: str) -> int | None:
        who = (f"127.0.0.1:{desk.port}", "--name", name, "--email", email)
        status, *_ = await ends(await start(desk, "chatmail", *who, *options), b"/done\n")
        return status

    async with MailServer() as mail:
        account = {"SENDER_EMAIL": "team@example.org", "SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(mail.port)}
        process = await server(desk, **account, VERIFY_EMAIL="no")
        assert await writes("Mary", "mary@example.org") == 1  # there is no command of that name
        assert await writes("Bob", "bob@example.org") == 1
        assert await writes("ci", "ci@example.org", "--dm", "Mary") == 0
        assert [received.to for received in mail.mails] == [["mary@example.org"]]
        assert b"> /done" in mail.mails[0].content
        assert await writes("ci", "ci@example.org", "--dm", "Mary", "--wait", "0.1") == 5  # it waits for the next mail
        mail.answer("RCPT", "550 5.1.1 nobody")
        assert await writes("ci", "ci@example.org", "--dm", "Bob") == 1
        john = await Peer.joined(desk.port, "John")
        assert await writes("ci", "ci@example.org", "--dm", "John") == 0
        assert (await john.expect(Direct)).text == "/done"
        john.cut()
        process.terminate()
        await ends(process)
