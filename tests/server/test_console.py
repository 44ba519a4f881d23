"""The console: a real prompt drawn on a terminal in memory, real pipes, real logging."""

import asyncio
import json
import logging
import os
import re
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from io import FileIO, StringIO
from pathlib import Path
from typing import Any

import pyte
import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output.vt100 import Vt100_Output

from chatmail.core.wire import Say
from chatmail.server.console import Console
from chatmail.server.faces import WAITING_MAX, Face, Pipe, Writer
from chatmail.server.lines import moment
from chatmail.server.log import OPERATOR
from chatmail.server.settings import Settings, SettingsError
from chatmail.server.terminal import Terminal
from tests.server.house import NOW, House

PATIENCE = 10.0
"""Seconds to wait for what must come; only a failing test waits so long."""
_log = logging.getLogger("chatmail.server.test")


def console_at(face: Face, clock: Callable[[], float] = lambda: NOW, **settings: Any) -> Console:
    return Console(Settings(**settings), clock, face)


class Screen(StringIO):
    """A terminal that remembers what scrolled away."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        self._screen = pyte.HistoryScreen(size.columns, size.rows, history=1000)
        self._stream = pyte.Stream(self._screen)
        self._changed = asyncio.Event()

    def write(self, data: str) -> int:
        self._stream.feed(data)
        self._changed.set()
        return len(data)

    @property
    def lines(self) -> list[str]:
        """Everything that is on the screen or was."""
        past = ["".join(line[x].data for x in range(self.size.columns)) for line in self._screen.history.top]
        return [line.rstrip() for line in past + self._screen.display if line.strip()]

    async def shows(self, done: Callable[[list[str]], bool]) -> list[str]:
        async with asyncio.timeout(PATIENCE):
            while not done(self.lines):
                self._changed.clear()
                await self._changed.wait()
        return self.lines


def ends(*last: str) -> Callable[[list[str]], bool]:
    """The last lines on the screen, without the times of day."""
    return lambda lines: [timeless(line) for line in lines[-len(last) :]] == list(last)


def ends_with_a_prompt_after(count: int) -> Callable[[list[str]], bool]:
    """So many lines, and the prompt again."""
    return lambda lines: len(lines) > count + 1 and lines[-1] == "chatmail>"


def timeless(line: str) -> str:
    return re.sub(r"^\d\d:\d\d:\d\d ", "", line)


class Operator:
    """Somebody at a console."""

    def __init__(self, keys: PipeInput, screen: Screen, house: House, console: Console) -> None:
        self.keys = keys
        self.screen = screen
        self.house = house
        self.console = console
        self.quits = 0
        self.running: asyncio.Task[None] | None = None

    def start(self) -> asyncio.Task[None]:
        def quit() -> None:
            self.quits += 1

        self.running = asyncio.create_task(self.console.run(self.house.operator, quit))
        return self.running


@asynccontextmanager
async def at_terminal(
    *people: str,
    history: Path | None = None,
    size: Size = Size(rows=24, columns=80),  # noqa: B008 - a pair of numbers
    clock: Callable[[], float] = lambda: NOW,
    **settings: Any,
) -> AsyncIterator[Operator]:
    house = await House.open(*people)
    screen = Screen(size)
    output = Vt100_Output(screen, lambda: size, term="xterm", enable_cpr=False)
    with create_pipe_input() as keys, create_app_session(input=keys, output=output):
        console = console_at(Terminal(history), clock, **settings)
        with console.logging():
            operator = Operator(keys, screen, house, console)
            operator.start()
            yield operator
            if operator.running is not None:
                operator.running.cancel()
                await asyncio.wait([operator.running])


async def test_a_line_is_answered_below_it_and_the_prompt_comes_back() -> None:
    async with at_terminal("John") as operator:
        operator.keys.send_text("/whois nobody\rhello\r")
        await operator.screen.shows(
            ends(
                "chatmail> /whois nobody",
                "nobody here was ever called 'nobody'",
                "chatmail> hello",
                "this is not sent; /broadcast TEXT says it to everybody",
                "chatmail>",
            )
        )


async def test_what_happens_is_told_above_a_half_typed_line() -> None:
    async with at_terminal() as operator:
        operator.keys.send_text("/broadc")
        await operator.screen.shows(ends("chatmail> /broadc"))
        for number in range(30):
            _log.info("%d", number)
        await operator.screen.shows(ends(*(str(number) for number in range(30)), "chatmail> /broadc"))
        operator.keys.send_text("ast\r")
        await operator.screen.shows(
            ends("chatmail> /broadcast", "use /broadcast TEXT: say something to everybody", "chatmail>")
        )


async def test_lines_keep_their_order_when_the_prompt_ends_before_they_are_drawn() -> None:
    async with at_terminal() as operator:
        await operator.screen.shows(ends("chatmail>"))
        _log.info("one")
        operator.keys.send_text("/quit\r")
        _log.info("two")
        assert operator.running is not None
        await operator.running
        _log.info("going down")
        await operator.screen.shows(lambda lines: timeless(lines[-1]) == "going down")
        told = [timeless(line) for line in operator.screen.lines if not line.startswith("chatmail>")]
        assert told == ["one", "two", "going down"]


async def test_a_line_of_ours_cannot_be_forged() -> None:
    async with at_terminal() as operator:
        _log.warning("mail server: %s", "no\n12:00:00 \x1b[2J ERROR: all is lost\u202e " + "x " * 30)
        await operator.screen.shows(lambda lines: "x x" in lines[1])
        first, second = operator.screen.lines[:2]
        assert timeless(first).startswith(r"warning: mail server: no\n12:00:00 \x1b[2J ERROR: all is lost\u202e x")
        assert second.startswith("         │ x x")


async def test_lines_from_other_threads_come_above_the_prompt() -> None:
    async with at_terminal() as operator:
        await operator.screen.shows(ends("chatmail>"))
        await asyncio.to_thread(_log.error, "the disk is full")
        await operator.screen.shows(ends("ERROR: the disk is full", "chatmail>"))


async def test_a_fault_in_a_task_is_a_traceback_above_the_prompt_and_asks_for_nothing() -> None:
    async def fail() -> None:
        raise ValueError("two\nlines \x1b[1m")

    async with at_terminal() as operator:
        await operator.screen.shows(ends("chatmail>"))
        task = asyncio.create_task(fail())
        await asyncio.wait([task])
        del task  # nobody looks at it: the loop complains
        await operator.screen.shows(
            lambda lines: lines[-1] == "chatmail>" and "         | ValueError: two" in lines and len(lines) > 5
        )
        assert r"         | lines \x1b[1m" in operator.screen.lines
        assert any("ERROR: Task exception was never retrieved" in line for line in operator.screen.lines)
        operator.keys.send_text("/motd -\r")
        await operator.screen.shows(ends("chatmail> /motd -", "chatmail>"))


@pytest.mark.parametrize("keys", ["\x03", "\x04", "half typed\x03\x03", "/quit\r"])
async def test_ctrl_c_ctrl_d_and_quit_end_the_server_at_once_when_nobody_is_here(keys: str) -> None:
    async with at_terminal() as operator:
        operator.keys.send_text(keys)
        assert operator.running is not None
        async with asyncio.timeout(PATIENCE):
            await operator.running
        assert operator.quits == 1


@pytest.mark.parametrize("keys", ["\x03", "\x04", "/quit\r"])
async def test_with_people_here_it_takes_two(keys: str) -> None:
    now = NOW
    question = "2 people are here; /quit again ends the server"
    async with at_terminal("John", "Mary", clock=lambda: now) as operator:
        operator.keys.send_text(keys)
        await operator.screen.shows(ends(question, "chatmail>"))
        now += 11  # too late for a second one
        operator.keys.send_text(keys)
        await operator.screen.shows(lambda lines: lines.count(question) == 2 and lines[-1] == "chatmail>")
        assert operator.quits == 0
        operator.keys.send_text("/bans\r")  # who does something else has thought better of it
        await operator.screen.shows(ends("nobody is banned", "chatmail>"))
        operator.keys.send_text(keys)
        await operator.screen.shows(lambda lines: lines.count(question) == 3 and lines[-1] == "chatmail>")
        now += 9
        operator.keys.send_text("/quit\r")
        assert operator.running is not None
        async with asyncio.timeout(PATIENCE):
            await operator.running
        assert operator.quits == 1


async def test_ctrl_c_first_clears_what_is_half_typed() -> None:
    async with at_terminal() as operator:
        operator.keys.send_text("/broadcast oops")
        await operator.screen.shows(ends("chatmail> /broadcast oops"))
        operator.keys.send_text("\x03")
        await operator.screen.shows(ends("chatmail>"))
        operator.keys.send_text("/bans\r")
        await operator.screen.shows(ends("chatmail> /bans", "nobody is banned", "chatmail>"))
        assert operator.quits == 0


async def test_a_terminal_that_goes_away_ends_the_server_whoever_is_here() -> None:
    async with at_terminal("John") as operator:
        await operator.screen.shows(ends("chatmail>"))
        operator.keys.close()
        assert operator.running is not None
        async with asyncio.timeout(PATIENCE):
            await operator.running
        assert operator.quits == 1


async def test_cancelling_ends_the_prompt_and_what_is_told_after_that_is_shown() -> None:
    async with at_terminal() as operator:
        await operator.screen.shows(ends("chatmail>"))
        assert operator.running is not None
        _log.info("one")
        operator.running.cancel()
        await asyncio.wait([operator.running])
        assert operator.running.cancelled()
        _log.info("two")
        assert operator.quits == 0
        assert [timeless(line) for line in operator.screen.lines if line != "chatmail>"] == ["one", "two"]


async def test_tab_completes_commands_and_people() -> None:
    async with at_terminal("Johannes", "Mary") as operator:
        operator.keys.send_text("/ki\t")
        await operator.screen.shows(ends("chatmail> /kick"))
        operator.keys.send_text("Joh\t")
        await operator.screen.shows(ends("chatmail> /kick Johannes"))
        operator.keys.send_text("bye\r")
        await operator.screen.shows(ends("chatmail> /kick Johannes bye", "chatmail>"))
        await operator.house.settle()
        assert operator.house.told == ["Johannes left: kicked: bye"]


@pytest.mark.parametrize("size", [Size(rows=24, columns=80), Size(rows=12, columns=40)])
async def test_tab_shows_what_there_is_and_a_few_words_about_it(size: Size) -> None:
    async with at_terminal("Johannes", "Joanna", "Mary", size=size) as operator:
        await operator.house.away("Joanna", "lunch \x1b[2J")
        operator.keys.send_text("/kick Jo\t")
        await operator.screen.shows(
            lambda lines: (
                [line.split() for line in lines[-2:]]
                == [["Johannes", "here,", "idle", "0s"], ["Joanna", "away:", "lunch", r"\x1b[2J"]]
            )
        )
        assert operator.screen.lines[-3] == "chatmail> /kick Jo"
        operator.keys.send_text("\t\t")
        await operator.screen.shows(lambda lines: lines[-3] == "chatmail> /kick Joanna")
        operator.keys.send_text("\x7f" * 20 + "/ban Mary \t")
        await operator.screen.shows(
            lambda lines: (
                [line.split() for line in lines[-4:]]
                == [["30m", "half", "an", "hour"], ["2h", "two", "hours"], ["7d", "seven", "days"], ["1w", "a", "week"]]
            )
        )


async def test_who_fits_the_terminal() -> None:
    async with at_terminal("a-name-of-some-length", size=Size(rows=12, columns=60)) as operator:
        operator.keys.send_text("/who\r")
        head, row = (await operator.screen.shows(ends_with_a_prompt_after(3)))[-3:-1]
        assert head == "NAME           EMAIL          HOST       SINCE  IDLE  AWAY"
        assert row.startswith("a-name-of-so…  a-name-of-so…  192.0.2.1  ")


async def test_the_chart_of_stats_fits_the_terminal_and_its_encoding() -> None:
    async with at_terminal("John", size=Size(rows=12, columns=40), chat_db=":memory:") as operator:
        operator.keys.send_text("/stats\r")
        lines = await operator.screen.shows(ends_with_a_prompt_after(9))
        assert max(map(len, lines)) < 40
        assert "messages     ▁" in lines
        assert lines[-2] == "disk         nothing is kept"


async def test_the_chart_grows_with_what_is_said() -> None:
    now = NOW
    async with at_terminal("John", clock=lambda: now, chat_db=":memory:") as operator:
        await operator.screen.shows(ends("chatmail>"))
        for minute, count in enumerate((4, 1, 2)):
            for _ in range(count):
                await operator.house.send("John", Say(text="hello"), now)
            now = NOW + 60 * (minute + 1)
            operator.keys.send_text("/stats\r")
            await operator.screen.shows(ends_with_a_prompt_after(10 * (minute + 1)))
        assert [line.split()[1] for line in operator.screen.lines if line.startswith("messages ")] == ["█", "█▃", "█▃▅"]


async def test_log_changes_what_is_shown_from_then_on() -> None:
    log, answers = logging.getLogger("chatmail.server.session"), logging.getLogger(OPERATOR)
    async with at_terminal(log_level="warning") as operator:
        log.info("unseen")
        answers.info("not done: the disk is full")
        operator.keys.send_text("/log debug\r")
        await operator.screen.shows(lambda lines: any("shown here: debug" in line for line in lines))
        log.debug("a connection from %s", "192.0.2.1")
        await operator.screen.shows(ends("a connection from 192.0.2.1", "chatmail>"))
        operator.keys.send_text("/log error\r")
        await operator.screen.shows(lambda lines: any("shown here: error" in line for line in lines))
        log.warning("unseen")
        log.error("all is lost")
        await operator.screen.shows(ends("ERROR: all is lost", "chatmail>"))
        told = [timeless(line) for line in operator.screen.lines]
        assert "unseen" not in " ".join(told)
        assert "not done: the disk is full" in told


async def test_what_was_typed_is_kept_for_the_owner_only(tmp_path: Path) -> None:
    history = tmp_path / "state" / "chatmail" / "operator-history"
    async with at_terminal(history=history) as operator:
        operator.keys.send_text("/bans\r")
        await operator.screen.shows(ends("nobody is banned", "chatmail>"))
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    async with at_terminal(history=history) as operator:
        operator.keys.send_text("\x1b[A")
        await operator.screen.shows(ends("chatmail> /bans"))


async def test_a_history_that_cannot_be_kept_is_mentioned(tmp_path: Path) -> None:
    (tmp_path / "chatmail").write_text("")
    async with at_terminal(history=tmp_path / "chatmail" / "operator-history") as operator:
        await operator.screen.shows(ends("chatmail>"))
        assert operator.screen.lines[0].startswith("what you type is not kept for next time:")


async def test_what_was_said_is_shown_above_a_half_typed_line_when_the_store_has_found_it() -> None:
    async with at_terminal("John") as operator:
        await operator.house.send("John", Say(text="hello\n12:00 Mary: \x1b[2J " + "long " * 15))
        operator.keys.send_text("/history\r/broadc")
        await operator.screen.shows(ends("chatmail> /history", "chatmail> /broadc"))
        await operator.house.settle()
        await operator.screen.shows(ends("│ long long long long", "chatmail> /broadc"))
        head, first, second = operator.screen.lines[-5:-2]
        assert head == "the last thing said"
        assert first.endswith(" John: hello")
        assert second == r"│ 12:00 Mary: \x1b[2J " + "long " * 10 + "long"


# Logging.


def test_logging_is_left_as_it_was_found() -> None:
    loggers = [logging.getLogger(name) for name in ("chatmail", "asyncio")]
    before = [(logger.level, logger.propagate, list(logger.handlers)) for logger in loggers]
    with console_at(Pipe(None, None)).logging():
        assert not loggers[0].propagate
        assert loggers[0].level == logging.INFO
    assert [(logger.level, logger.propagate, list(logger.handlers)) for logger in loggers] == before


def test_a_file_that_cannot_be_written_is_a_wrong_setting(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "none" / "x.log", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(SettingsError) as caught, console_at(Pipe(None, None), log_file=path).logging():
            pass
        assert str(caught.value) == f"LOG_FILE={path} can't be written: {why}"
        assert logging.getLogger("chatmail").handlers == []


async def test_a_terminal_shows_text_whatever_the_file_gets(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    async with at_terminal(log_file=path, log_format="json") as operator:
        _log.warning("mail server: %s", "no\n{}")
        await operator.screen.shows(lambda lines: timeless(lines[0]) == r"warning: mail server: no\n{}")
    [line] = path.read_text().splitlines()
    assert json.loads(line)["text"] == r"mail server: no\n{}"


async def test_a_file_that_can_no_longer_be_written_is_mentioned_once_above_the_prompt() -> None:
    async with at_terminal(log_file=Path("/dev/full")) as operator:
        operator.keys.send_text("/broadc")
        await operator.screen.shows(ends("chatmail> /broadc"))
        for number in range(3):
            _log.info("%d", number)
        lament = "warning: LOG_FILE=/dev/full gets nothing more: No space left on device"
        await operator.screen.shows(ends("0", lament, "1", "2", "chatmail> /broadc"))


# Without a terminal.


@contextmanager
def pipe() -> Iterator[tuple[FileIO, FileIO]]:
    """Both ends, closed at the end at the latest."""
    source, target = os.pipe()
    with FileIO(source, "rb") as reading, FileIO(target, "wb") as writing:
        yield reading, writing


@contextmanager
def piped(**settings: Any) -> Iterator[tuple[Console, FileIO, FileIO]]:
    """A console at two pipes: where to write commands, and where to read lines."""
    with pipe() as (source, commands), pipe() as (lines, target):
        yield console_at(Pipe(source.fileno(), target.fileno()), **settings), commands, lines


async def run(console: Console, house: House) -> list[str]:
    """Run a console to its end; who was asked to quit."""
    quits: list[str] = []
    settling: set[asyncio.Task[None]] = set()

    def settle() -> None:
        settling.add(asyncio.create_task(house.settle()))

    house.wake = settle
    asyncio.get_running_loop().slow_callback_duration = PATIENCE  # a busy machine is not to be told on this console
    async with asyncio.timeout(PATIENCE):
        await console.run(house.operator, lambda: quits.append("quit"))
    return quits


def taken(lines: FileIO) -> list[str]:
    return [timeless(line) for line in lines.read(1 << 20).decode().splitlines()]


async def test_commands_from_a_pipe_are_answered_and_its_end_ends_nothing() -> None:
    house = await House.open("John")
    with piped() as (console, commands, lines):
        commands.write(b"hello\r\n/kick nobody\n\n/who x\xff\n/bans")
        commands.close()
        with console.logging():
            assert await run(console, house) == []
            _log.info("people chat on")
            _log.error("mail to %s", "a\nb")
        assert taken(lines) == [
            "this is not sent; /broadcast TEXT says it to everybody",
            "nobody here was ever called 'nobody'",
            "use /who: who is here",
            "nobody is banned",
            "people chat on",
            r"ERROR: mail to a\nb",
        ]


async def test_what_was_said_is_shown_in_a_pipe_too() -> None:
    house = await House.open("John")
    await house.send("John", Say(text="hello\n12:00 Mary: bye"))
    with piped() as (console, commands, lines):
        commands.write(b"/search hello\n/search bye bye\n/bans\n")
        commands.close()
        with console.logging():
            assert await run(console, house) == []
        head, first, *rest = taken(lines)
        assert (head, first[-12:]) == ("1 found for hello", " John: hello")
        assert rest == ["│ 12:00 Mary: bye", "1 found for bye bye", first, "│ 12:00 Mary: bye", "nobody is banned"]


async def test_answers_come_in_the_order_of_what_was_asked() -> None:
    house = await House.open("John", "Mary")
    with piped() as (console, commands, lines):
        commands.write(b"/history\n/ban John\n/bans\n/who\n/kick Mary\n/who\n/audit\n/bans x\n/quit\n")
        with console.logging():
            assert await run(console, house) == ["quit"]
        clock = moment(NOW, NOW)
        assert [line.split("  ")[0] for line in taken(lines)] == [
            "nothing has been said",
            "that bans the name only; /ban john@example.org keeps its person out under any name",
            "WHO",
            "john",
            "1 person here",
            "NAME",
            "Mary",
            "nobody is here",
            "the last 3 acts of the operator",
            f"{clock} the server started",
            f"{clock} banned john for good",
            f"{clock} kicked Mary",
            "use /bans: who is banned, and until when",
        ]


async def test_an_answer_that_never_comes_is_not_waited_for_for_ever() -> None:
    house = await House.open()
    with pipe() as (source, commands), pipe() as (lines, target):
        console = console_at(Pipe(source.fileno(), target.fileno(), patience=0.0))
        commands.write(b"/history\n/bans\n")
        commands.close()
        async with asyncio.timeout(PATIENCE):
            await console.run(house.operator, lambda: None)
        assert await asyncio.to_thread(taken, lines) == ["nobody is banned"]


@pytest.mark.parametrize(("encoding", "bar"), [("utf-8", "▁"), ("cp437", "0"), ("ascii", "0")])
async def test_the_chart_is_drawn_with_what_the_encoding_has(encoding: str, bar: str) -> None:
    house = await House.open("John")
    with pipe() as (source, commands), pipe() as (lines, target):
        console = console_at(Pipe(source.fileno(), target.fileno(), encoding))
        commands.write(b"/stats\n")
        commands.close()
        with console.logging():
            assert await run(console, house) == []
        assert f"messages     {bar}" in lines.read(1 << 20).decode(encoding).splitlines()


async def test_without_a_terminal_all_lines_may_be_objects(tmp_path: Path) -> None:
    house = await House.open()
    with piped(log_format="json", log_file=tmp_path / "log") as (console, commands, lines):
        commands.write(b"/bans\n/help \x1b\xc3\xa9\n")
        commands.close()
        with console.logging():
            assert await run(console, house) == []
            _log.error("lost: %s", "é\n")
        objects = [json.loads(line) for line in taken(lines)]
    assert [list(one) for one in objects] == [["time", "level", "logger", "text"]] * 3
    assert [one["level"] for one in objects] == ["info", "info", "error"]
    assert [one["logger"] for one in objects] == [OPERATOR, OPERATOR, "chatmail.server.test"]
    assert [one["text"] for one in objects] == [
        "nobody is banned",
        r"there is no command /\x1bé; /help lists them",
        r"lost: é\n",
    ]
    assert objects[0]["time"] == "2026-11-22T14:02:11.000Z"
    assert [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()] == objects[2:]


async def test_quit_from_a_pipe_leaves_the_rest_unread() -> None:
    house = await House.open()
    with piped() as (console, commands, lines):
        commands.write(b"/quit\nhello\n")
        with console.logging():
            assert await run(console, house) == ["quit"]
            _log.info("going down")
        assert taken(lines) == ["going down"]


async def test_waiting_for_a_command_can_be_cancelled() -> None:
    house = await House.open()
    with piped() as (console, commands, lines), console.logging():
        running = asyncio.create_task(run(console, house))
        commands.write(b"/bans\n")
        assert await asyncio.to_thread(taken, lines) == ["nobody is banned"]
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()


async def test_input_that_is_closed_or_no_pipe_is_no_trouble(tmp_path: Path) -> None:
    house = await House.open()
    assert await run(console_at(Pipe(None, None)), house) == []
    with FileIO(os.devnull) as null:
        assert await run(console_at(Pipe(null.fileno(), None)), house) == []
    (tmp_path / "commands").write_text("/quit")
    with FileIO(tmp_path / "commands") as file:
        assert await run(console_at(Pipe(file.fileno(), None)), house) == ["quit"]


async def test_input_that_cannot_be_read_is_mentioned() -> None:
    house = await House.open()
    with pipe() as (lines, target):
        console = console_at(Pipe(target.fileno(), target.fileno()))  # the end that can only be written to
        with console.logging():
            assert await run(console, house) == []
        assert taken(lines) == ["warning: commands can't be read: Bad file descriptor"]


async def test_a_line_far_too_long_is_one_line() -> None:
    house = await House.open()
    with piped() as (console, commands, lines):
        with console.logging():
            running = asyncio.create_task(run(console, house))
            for _ in range(5):
                await asyncio.to_thread(commands.write, b"x" * 60_000)
            commands.write(b"\n/bans\n")
            commands.close()
            await running
        assert taken(lines) == ["this is not sent; /broadcast TEXT says it to everybody", "nobody is banned"]


async def test_who_stops_reading_holds_up_nobody_and_learns_what_is_missing() -> None:
    text = b"x" * 99 + b"\n"
    with pipe() as (lines, target):
        writer = Writer(target.fileno())
        for _ in range(WAITING_MAX + 2_000):
            writer.write(text)  # a pipe holds far less than that
        collected = b""
        while collected.count(b"\n") < WAITING_MAX:
            collected += await asyncio.to_thread(lines.read, 1 << 20) or b""
        writer.write(b"after\n")
        while not collected.endswith(b"after\n"):
            collected += await asyncio.to_thread(lines.read, 1 << 20) or b""
        writer.close()
    missing = re.findall(rb"\((\d+) lines are missing here: nobody read them\)\n", collected)
    assert missing  # in one place or two, as the threads take turns
    assert collected.count(text) + sum(map(int, missing)) == WAITING_MAX + 2_000


async def test_a_reader_that_is_gone_ends_nothing() -> None:
    house = await House.open()
    with piped() as (console, commands, lines):
        lines.close()
        commands.write(b"/who\n/quit\n")
        with console.logging():
            assert await run(console, house) == ["quit"]


def test_characters_the_output_lacks_are_escaped() -> None:
    with pipe() as (lines, target):
        console = console_at(Pipe(None, target.fileno(), "ascii"))
        with console.logging():
            _log.info("Žofie")
        assert taken(lines) == [r"\u017dofie"]
