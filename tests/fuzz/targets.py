"""The fuzz targets: any bytes at all go in, and what must never happen raises.

``decode`` is the promise of ``core.decoder``: any bytes give frames or a ``WireError``, the same ones however the bytes
are cut. ``render`` is the promise of the client: whatever a server sends, nothing is raised, and nothing reaches the
terminal that drives it, that the eye does not see, or that passes for another line.

    bytes ──> Decoder ──> Connection ──> Timeline, LookBacks ──┬──> screen ──> Display ──> what a terminal gets
                                                               └──> Plain  ──> what a pipe gets

All of it is the client's own code but the socket and the input line. What is harmful is judged here by the Unicode
tables alone, not by the code that makes it harmless.
"""

import asyncio
import io
import re
import unicodedata
from collections.abc import Iterator
from contextlib import redirect_stderr
from datetime import date, datetime
from random import Random
from typing import Any
from zlib import crc32

from prompt_toolkit.application.current import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.data_structures import Size
from prompt_toolkit.document import Document
from prompt_toolkit.input import DummyInput
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.utils import get_cwidth

from chatmail.client import app, screen, toolbar
from chatmail.client.completion import ChatCompleter
from chatmail.client.connection import Connection
from chatmail.client.link import Ending, How, Server, State
from chatmail.client.lookback import Found, LookBack, NotFound
from chatmail.client.plain import Plain
from chatmail.client.timeline import News, Timeline
from chatmail.core import wire
from chatmail.core.decoder import Decoder
from chatmail.terminal.display import Display
from chatmail.terminal.text import COMBINING_MAX, CONTINUED, JOINT, Fragments, plain

SHORT_LIMIT = 80
"""A limit that small inputs reach as well, in bytes."""
WHOLE_LIMIT = 8 * wire.LINE_MAX
"""One that no frame outgrows when it is written anew, with each control character as an escape."""

# Decoding.

Outcome = list[wire.Frame | wire.WireError]


def decode(data: bytes) -> None:
    """Any bytes give frames or a ``WireError``; a frame that was read is written and read back as the same."""
    for frames in (wire.ClientFrame, wire.ServerFrame):
        for limit in (SHORT_LIMIT, wire.LINE_MAX):
            read = _read(frames, limit, [data])
            _hold(frames, data, read)
            for pieces in _cut(data):
                assert _values(_read(frames, limit, pieces)) == _values(read), "it matters where the bytes are cut"


def _read(frames: Any, limit: int, pieces: list[bytes]) -> Outcome:
    decoder = Decoder[wire.Frame](frames, limit)
    return [frame for piece in pieces for frame in decoder.feed(piece)]


def _hold(frames: Any, data: bytes, read: Outcome) -> None:
    for frame in read:
        if isinstance(frame, wire.WireError):
            told = frame.frame()
            assert isinstance(frame.code, wire.Code)
            assert not frame.final or frame is read[-1], "something came after the end"
            assert _read(wire.ServerFrame, WHOLE_LIMIT, [wire.encode(told)]) == [told]
        else:
            assert isinstance(frame, frames)
            line = wire.encode(frame)
            assert line.index(b"\n") == len(line) - 1
            assert _read(frames, WHOLE_LIMIT, [line]) == [frame]
    lost = bool(read) and isinstance(read[-1], wire.WireError) and read[-1].final
    assert lost or len(read) == data.count(b"\n"), "a line got lost, or came twice"


def _cut(data: bytes) -> Iterator[list[bytes]]:
    """Ways to cut the bytes that follow from the bytes alone, so that a seed is nothing but what is sent."""
    dice = Random(crc32(data))
    for most in (1, 8):
        places = sorted(dice.randrange(len(data) + 1) for _ in range(most))
        yield [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]
    if len(data) <= 4 * SHORT_LIMIT:
        yield [data[at : at + 1] for at in range(len(data))]


def _values(read: Outcome) -> list[object]:
    return [(each.frame(), each.final) if isinstance(each, wire.WireError) else each for each in read]


# Rendering.

ME = "John"
WELCOME = wire.encode(
    wire.Welcome(name=ME, epoch="e", seq=9, resumed=False, token="t", people=[], total=1, notify="always")
)
SERVER = Server("localhost", 6245)
TODAY = date(2026, 11, 22)
WIDTHS = range(40, 121)
"""Of terminals, in cells."""

_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0e\uffa0\ufff0-\ufff8\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]|(?:^|[ \n\ufe0f])\ufe0f"
)
"""Default_Ignorable_Code_Point and blanks, beyond what the category tells; an emoji's selector without an emoji."""
_UNSEEN_KINDS = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_EMOJI = range(0x1F000, 0x1FB00)
"""Where a character that this Python does not know can only be an emoji."""
_OURS = re.compile(r"\x1b\[[0-9;]*m|\x1b\[\?7h|\x07")
"""What we may send to a terminal besides text: styles, wrapping switched on before each line, the bell."""
_HEAD = re.compile(r"(?:\d\d:\d\d|--|chatmail:)(?: |$)")
"""How a line of ours begins; where the first word is too long for the row, nothing else is there."""
_MOTD = re.compile(r"!!(?: |$)")


def harmful(text: str) -> str:
    """The first of a text that must not be there, or nothing: controls, bidi, what is not there to the eye."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return ""
    if found := _UNSEEN.search(text):
        return found.group()
    marks = 0
    for char in JOINT.sub("", text):
        kind = unicodedata.category(char)
        marks = marks + 1 if kind in {"Mn", "Me"} else 0
        if marks > COMBINING_MAX:
            return char
        if kind in _UNSEEN_KINDS and char != "\n" and not (kind == "Cn" and ord(char) in _EMOJI):
            return char
    return ""


def widest(row: str) -> int:
    """So many cells a row may take on some terminal: they count marks with a place of their own, and emoji, as more."""
    return len(row) if row.isascii() else sum(max(get_cwidth(char), _stands(char)) for char in row)


def _stands(char: str) -> bool:
    return char == "\ufe0f" or unicodedata.category(char) not in {"Mn", "Me", "Cf"}


def check_rows(text: str, *, motd: bool = False) -> None:
    """What is shown is harmless, and begins one line of ours; each row after that is marked."""
    assert not harmful(text), f"{harmful(text)!a} is shown"
    first, *rest = text.split("\n")
    assert _HEAD.match(first), f"this begins like no line of ours: {first!a}"
    unmarked = [row for row in rest if not f"{row.lstrip(' ')} ".startswith(CONTINUED)]
    assert all(map(_MOTD.match, unmarked)), f"a row passes for another line: {unmarked!a}"
    assert len(unmarked) <= motd, f"more than one message of the day: {unmarked!a}"


class Output(Vt100_Output):
    """What prompt-toolkit writes to a terminal, and the text that it was given to write."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.given = ""
        self._paper = io.StringIO()
        super().__init__(self._paper, lambda: Size(24, columns), term="xterm-256color")

    def write(self, data: str) -> None:
        self.given += data
        super().write(data)

    def take(self) -> tuple[str, str]:
        """What was written since this was asked last, and the text of it as it was given."""
        taken = self._paper.getvalue(), self.given
        self._paper.seek(0)
        self._paper.truncate()
        self.given = ""
        return taken


class Terminal:
    """The face of a connection at a terminal, as ``Chat`` without its input line; what it shows is checked."""

    def __init__(self, timeline: Timeline, output: Output) -> None:
        self._output = output
        self._timeline = timeline
        self._display = Display(screen.STYLE, links=True)
        self._days = screen.Days(TODAY)

    def news(self, news: News) -> None:
        self._show(self._days.before(news.frame))
        lines = screen.draw(news.frame, me=self._timeline.me, answered=news.answered)
        self._show(lines, ring=news.ring, motd=isinstance(news.frame, wire.Welcome))

    def found(self, answer: Found | NotFound) -> None:
        if isinstance(answer, NotFound):
            self.tell(answer.text)
        else:
            for lines in screen.look_back(answer, me=self._timeline.me, today=TODAY):
                self._show(lines)

    def tell(self, text: str) -> None:
        self._show(screen.status(text, trouble=True))

    def _show(self, lines: Fragments, *, ring: bool = False, motd: bool = False) -> None:
        if not lines:
            return
        check_rows(plain(lines), motd=motd)
        self._display.show(lines, ring=ring)
        written, given = self._output.take()
        assert _OURS.sub("", written) == given, "something drives the terminal"
        rows = given.replace("\r\n", "\n").removesuffix("\n")
        check_rows(rows, motd=motd)
        for row in rows.split("\n"):
            assert widest(row) <= self._output.columns or "://" in row, f"the terminal would break this row: {row!a}"


class Pipe(io.StringIO):
    """A stream without a terminal. What is written up to a flush is one line of ours, unless it was announced."""

    def __init__(self, *, motd: bool = False) -> None:
        super().__init__()
        self.announced: str | None = None
        self._motd = motd

    def flush(self) -> None:
        text = self.getvalue()
        self.seek(0)
        self.truncate()
        if self.announced is None:
            check_rows(text.removesuffix("\n"), motd=self._motd)
        else:
            assert text == self.announced


class Faces:
    """Both faces at once: with a terminal, and without."""

    def __init__(self, timeline: Timeline, output: Output) -> None:
        self._terminal = Terminal(timeline, output)
        self._timeline = timeline
        self._out, self._err = Pipe(), Pipe(motd=True)
        self._plain = Plain(SERVER, ME, "john@example.org", timeline, fd=None, out=self._out, err=self._err)

    def news(self, news: News) -> None:
        self._terminal.news(news)
        self._plain.news(news)

    def found(self, answer: Found | NotFound) -> None:
        self._terminal.found(answer)
        if isinstance(answer, Found):  # many lines at once, which the terminal has checked one by one
            today = datetime.now().astimezone().date()
            lines = screen.look_back(answer, me=self._timeline.me, today=today, look=screen.Look(you=""))
            self._out.announced = "".join(f"{plain(line)}\n" for line in lines)
        self._plain.found(answer)
        self._out.announced = None

    def state(self, state: State, text: str) -> None:
        if text:
            self._terminal.tell(text)
            self._plain.state(state, text)

    async def code(self, challenge: wire.Challenge, wrong: str) -> str | None:
        if wrong:
            self._terminal.tell(wrong)
        return await self._plain.code(challenge, wrong)


def render(data: bytes) -> None:
    """Whatever a server sends, at the door or inside, shows only harmless text in lines that are surely ours."""
    asyncio.run(_converse(data))
    asyncio.run(_converse(WELCOME + data))


async def _converse(data: bytes) -> None:
    """A connection that has something open in each way, and a server that says all this and closes."""
    timeline = Timeline(ME, "p")
    for own in (wire.Say(text="tea?"), wire.Dm(to="Mary", text="x" * 80), wire.Notify(when="away"), wire.Away()):
        timeline.keep(own)
    output = Output(WIDTHS[crc32(data) % len(WIDTHS)])
    faces = Faces(timeline, output)
    connection = Connection(SERVER, ME, "john@example.org", timeline, faces)
    connection.look_backs.begin(LookBack(30))
    connection.look_backs.begin(LookBack(words="tea"))
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    with create_app_session(input=DummyInput(), output=output):
        async with asyncio.TaskGroup() as tasks:
            outcome = await connection._listen(reader, tasks)
            await asyncio.sleep(0)  # the last question for a code is asked
        faces.state(State.WAITING, outcome.text)
    _check_around(timeline, connection, output.columns)
    for completion in ChatCompleter(timeline).get_completions(Document("/dm "), CompleteEvent()):
        assert not harmful(completion.text + completion.display_text + completion.display_meta_text)
    with redirect_stderr(Pipe()):
        app._end(Ending(How.LOST, outcome.text), timeline)


def _check_around(timeline: Timeline, connection: Connection, columns: int) -> None:
    """What stands around an input line in which ``/r`` was typed."""
    if timeline.partner is not None:
        timeline.keep(wire.Dm(to=timeline.partner, text="yes"))
    below = toolbar.draw(timeline, connection, State.JOINED, "", columns, 0.0)
    above = toolbar.unconfirmed(timeline.unsaid, columns)
    assert not harmful(plain(below) + plain(above))
