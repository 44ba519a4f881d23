"""The operator's console obeys the operator alone, whatever people write; and the audit has every act of it."""

import asyncio
import re
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from chatmail.core.wire import Away, Code, Direct, Dm, Error, Join, Message, Notice, Say, Search
from chatmail.server.commands import BY_NAME
from tests.endtoend.conftest import SCRIPTS, Desk
from tests.peer import Peer

TEXTS = [
    "/kick John",
    "/quit",
    "\n/quit\n",
    "\r\n/kick John\r\n/quit\r\n",
    "hello\n12:00:00 ERROR: all is lost\n│ /quit",
    "\x1b]0;x\x07 \x1b[2J \x1b[6n \x1bP$q\x1b\\",
    "\x9b2J \x9d0;x\x9c \x85/quit",
    "\u2028/quit\u2029/quit \x0b/quit\x0c/quit\x1c/quit",
    "\x03\x04\x1a\x7f\x08",
    "\u202e/tiuq \u2066\u200b\ufeff\u00ad\U000e0041",
    "%s %d %n %(name)s {0} {name!r} $HOME `quit` \\n",
    "chatmail> /quit",
    "/" * 4_000,
]
"""What somebody may say who would rather be the operator."""
NAMES = ["/quit", "\n/quit", "John\n/quit", "\x1b]0;x\x07", "John\u2028/quit", "%s %d", "all", "John\x85"]
REASONS = [text for text in TEXTS if len(text) <= 200]
ADDRESS = "!#$%&'*+/=?^_`{|}~-%s%d{0}@x.org"
"""What is valid before the @, taken to its limits."""
LINE = re.compile(r"(\d\d:\d\d:\d\d )?(.*)")


async def mischief(desk: Desk) -> tuple[Peer, Peer]:
    """Two people, one of whom tries all there is; when this returns, the server has taken it."""
    john = await Peer.joined(desk.port, "John", email=ADDRESS)
    mary = await Peer.joined(desk.port, "Mary")
    stranger = await Peer.connect(desk.port)
    for name in NAMES:
        await stranger.send(Join(name=name, email="stranger@x.org"))
        assert (await stranger.expect(Error)).code == Code.BAD_NAME
    for email in ("/quit\n@x.org", "\x1b]0;x\x07@x.org"):
        await stranger.send(Join(name="Eve", email=email))
        assert (await stranger.expect(Error)).code == Code.BAD_EMAIL
    await stranger.send_bytes(b"/quit\n\x1b[2J/kick John\n")
    for _ in range(2):
        assert (await stranger.expect(Error)).code == Code.BAD_FRAME
    for text in TEXTS:
        await mary.send(Say(text=text), Dm(to="John", text=text), Search(words="/quit"))
        assert (await mary.expect(Message)).text == text
        assert (await john.expect(Direct)).text == text
    for reason in REASONS:
        await mary.send(Away(reason=reason))
    await mary.send_bytes(b'{"type":"kick","name":"John"}\n{"type":"broadcast","text":"x"}\n')
    for _ in range(2):
        assert (await mary.expect(Error)).code in {Code.BAD_FRAME, Code.UNSUPPORTED}
    await mary.sync()
    stranger.cut()
    return john, mary


class Operator:
    """Somebody who writes lines into a running server's standard input and reads what it writes."""

    def __init__(self, process: Process) -> None:
        self.process = process

    async def until(self, text: str) -> list[str]:
        """The next lines up to one with this text."""
        assert self.process.stdout
        lines: list[str] = []
        async with asyncio.timeout(20):
            while text not in (lines or [""])[-1]:
                line = (await self.process.stdout.readline()).decode()
                assert line, f"no line with {text!r} but {lines}"
                lines.append(line.removesuffix("\n"))
        return lines

    async def ask(self, line: str) -> list[str]:
        """Type a line; what is shown up to the answer to another one, which is none of ours."""
        assert self.process.stdin
        self.process.stdin.write(f"{line}\nover\n".encode())
        return (await self.until("is not sent"))[:-1]

    async def acts(self) -> list[str]:
        """What the audit holds, oldest first, without the times."""
        lines = await self.ask("/audit 100")
        return [line.partition(" ")[2] for line in lines if re.match(r"\d\d:\d\d ", line)]

    async def end(self) -> list[str]:
        """Type /quit; the last lines."""
        async with asyncio.timeout(20):
            out, err = await self.process.communicate(b"/quit\n")
        assert (self.process.returncode, err) == (0, b"")
        return out.decode().split("\n")


@asynccontextmanager
async def serving(desk: Desk) -> AsyncIterator[Operator]:
    """A server without a terminal, which the test may end."""
    process = await asyncio.create_subprocess_exec(
        SCRIPTS / "chatmail-server",
        env=desk.environment("operator", {"CHAT_PORT": str(desk.port), "RATE": "off"}),
        cwd=desk.folder / "operator",
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
    )
    operator = Operator(process)
    try:
        await operator.until("/help lists the commands")
        yield operator
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest_asyncio.fixture
async def operator(desk: Desk) -> AsyncIterator[Operator]:
    async with serving(desk) as somebody:
        yield somebody


async def test_nothing_that_people_write_is_a_command_and_all_of_it_is_escaped_on_lines_of_its_own(
    desk: Desk, operator: Operator
) -> None:
    john, mary = await mischief(desk)
    shown = []
    for line in ("/who", "/whois Mary", "/history 100", "/search quit", "/mail", "/motd", "/bans", "/stats"):
        shown += await operator.ask(line)
    assert await operator.acts() == ["the server started"]
    shown += await operator.ask("/broadcast still here")
    assert (await john.expect(Notice)).text == "still here"
    await mary.expect(Notice, text="still here")
    for peer in (john, mary):
        peer.cut()
    shown += await operator.end()

    assert all(line.isprintable() for line in shown), [line for line in shown if not line.isprintable()]
    assert not re.search("[\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\u00ad\U000e0000-\U000e007f]", "".join(shown))
    text = "\n".join(shown)
    for escaped in (r"\x1b]0;x\x07", r"\x9b2J", r"\u2028/quit", r"\x85/quit", r"\u202e/tiuq", "%s %d %n %(name)s"):
        assert escaped in text
    assert ADDRESS in text
    # Nobody but the log begins a line with the time of day, and each of its lines is one of these.
    logged = [line[9:] for line in shown if re.match(r"\d\d:\d\d:\d\d ", line)]
    assert logged
    ours = ("broadcast to 2 people", f"John <{ADDRESS}> joined from 127.0.0.1", "John left: connection lost",
            "Mary <mary@example.org> joined from 127.0.0.1", "Mary left: connection lost")  # fmt: skip
    expected = "|".join([*map(re.escape, ours), "going down: .*", r"\d+ mails? sent, .*"])
    assert [line for line in logged if not re.fullmatch(expected, line)] == []
    assert not [line for line in shown if line.startswith(("/", "chatmail>", "ERROR"))]


async def test_names_and_addresses_are_told_on_one_line_as_they_are(desk: Desk, operator: Operator) -> None:
    john = await Peer.joined(desk.port, "हिन्दी", email=ADDRESS)
    *_, line = await operator.until("joined from")
    assert re.fullmatch(rf"\d\d:\d\d:\d\d हिन्दी <{re.escape(ADDRESS)}> joined from 127\.0\.0\.1", line)
    shown = await operator.ask("/ban Eve 2h no\x1b[2J manners\u2028/quit\x85%s\u202e")
    shown += await operator.ask("/bans")
    assert all(line.isprintable() for line in shown)
    assert shown[-1].endswith(r"  no\x1b[2J manners /quit %s\u202e")
    [_, act] = await operator.acts()
    assert act.endswith(r": no\x1b[2J manners /quit %s\u202e")
    john.cut()
    await operator.end()


async def test_at_a_terminal_nothing_that_people_write_is_typed_or_drives_it(desk: Desk) -> None:
    server = await desk.server(RATE="off")
    await server.shows("chatmail>")
    server.type("/broadcast half a not")
    await server.until(lambda: "half a not" in server.cursor_line, "what is typed")
    john, mary = await mischief(desk)
    await server.until(lambda: server.count("joined from") == 2, "who joined")
    # What is written above it has it drawn anew, which takes a moment.
    await server.until(lambda: server.cursor_line.endswith("/broadcast half a not"), "the line as it was typed")
    server.type("ice\n")
    assert (await john.expect(Notice)).text == "half a notice"
    await mary.expect(Notice, text="half a notice")
    server.type("/history 100\n")
    await server.shows(r"\x1b]0;x\x07")
    await server.shows("!! notice: half a notice")
    server.type("/who\n")
    await server.shows(ADDRESS)
    for sequence in (
        b"\x1b]0;x",
        b"\x1bP$q",
        b"\xc2\x9b",
        b"\xc2\x9d",
        b"\xe2\x80\xa8",
        b"\xe2\x80\xae",
        b"\x1b[2J\x20",
    ):
        assert sequence not in server.raw
    for line in server.lines:
        assert not line.startswith(("/", "ERROR")), line
    for peer in (john, mary):
        peer.cut()
    server.process.terminate()
    assert await server.ends() == 0


LOOKING = {"/bans": "", "/who": "", "/whois": "John", "/mail": "", "/history": "", "/search": "tea", "/audit": "",
           "/stats": "", "/motd": "", "/help": "", "/log": ""}  # fmt: skip
"""Commands that only look, with something to look at."""
ACTS = [
    ("/broadcast tea is ready", "broadcast: tea is ready"),
    ("/motd be kind", "message of the day: be kind"),
    ("/motd -", "message of the day: none"),
    ("/ban Eve", "banned eve for good"),
    ("/unban Eve", "unbanned eve"),
    ("/kick John rude", "kicked John: rude"),
    ("/forget Mary", "forgot Mary <mary@example.org>"),
]


def test_of_every_command_it_is_known_whether_it_changes_something() -> None:
    """A new one belongs into one of the tests here."""
    acting = {line.split()[0] for line, _ in ACTS} | {"/mail", "/quit"}
    assert BY_NAME.keys() <= acting | LOOKING.keys()


async def test_every_act_is_in_the_audit_and_nothing_else_also_after_the_end(desk: Desk, operator: Operator) -> None:
    """What was tried with mail is in there, too: ``test_operator`` of the core has that."""
    people = [await Peer.joined(desk.port, name) for name in ("John", "Mary")]
    for command in LOOKING.keys() & BY_NAME.keys():
        await operator.ask(f"{command} {LOOKING[command]}")
    for line in ("/kick nobody", "/ban", "/unban Zoe", "/forget nobody", "/mail drop abcdef", "/brodcast x"):
        await operator.ask(line)
    assert await operator.acts() == ["the server started"]
    done = ["the server started"]
    for line, act in ACTS:
        await operator.ask(line)
        done.append(act)
        assert await operator.acts() == done
    for peer in people:
        peer.cut()
    await operator.end()
    async with serving(desk) as again:
        await again.ask("/who")  # when that is answered, the start is stored
        assert await again.acts() == [*done, "ended the server", "the server started"]


@pytest.mark.parametrize("command", ["/kick", "/forget", "/whois"])
async def test_no_command_reaches_somebody_who_only_looks_like_the_one_it_names(
    desk: Desk, operator: Operator, command: str
) -> None:
    john = await Peer.joined(desk.port, "John")
    for twin in ("Jоhn", "J0hn"):
        assert f"nobody here was ever called {twin!r}; did you mean John?" in await operator.ask(f"{command} {twin}")
    mary = await Peer.joined(desk.port, "Mary")
    await mary.send(Dm(to="Jоhn", text="psst", id="1"))
    error = await mary.expect(Error, id="1")
    assert (error.code, "did you mean John" in error.text) == (Code.NO_SUCH_PERSON, True)
    assert not any(isinstance(frame, Direct) for frame in await john.sync())
    for peer in (john, mary):
        peer.cut()
    await operator.end()
