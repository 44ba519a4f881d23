"""Nothing is lost in a crash: a server is killed in the middle of a busy conversation, and started again.

Some people talk without pause and write direct messages, until the server is dead at a chosen moment. It is started
again on the same file and port; they come back as the client does, with the token and from the last number they have
seen, say again what was not confirmed, and go on for a while. Whatever the moment, in the end

- everybody has seen everything once, in order, under the numbers it has in the file, without a hole;
- everything that was said is there once, though it was said twice;
- every direct message is in its reader's mailbox: once, but for a letter that the mail server had taken while the
  server could not know it any more. That one comes again, as the very same letter.
"""

import asyncio
import os
import random
import shutil
import signal
import sqlite3
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
from msgspec import UNSET

from chatmail.core.records import Account, Change
from chatmail.core.wire import (
    Ack,
    Bye,
    ClientFrame,
    Direct,
    Dm,
    EntryFrame,
    Error,
    Gap,
    History,
    Join,
    Joined,
    Leave,
    Left,
    Message,
    Page,
    Ping,
    Pong,
    Receipt,
    Resume,
    Say,
    Welcome,
)
from chatmail.server.stores.database import Database
from tests.endtoend.conftest import Desk
from tests.endtoend.test_programs import ends, line_with, start
from tests.peer import HungError, Peer
from tests.server.mailserver import MailServer, Moment, Received

DOOMED = Path(__file__).with_name("doomed.py")
TALKERS = ("John", "Mary", "Ann")
ABSENT = tuple(f"Absent{number}" for number in range(200))
IN_FLIGHT = 3
"""So many lines somebody says before the first of them is confirmed."""
MORE = 12
"""So many lines everybody says after the last crash."""
HISTORY = 50
"""So much of what was said a newcomer is told at once, besides the direct messages for them."""
PATIENCE = 20.0


class Told(NamedTuple):
    """An entry as it is in the file, but for its time."""

    seq: int
    kind: str
    sender: str
    to: str
    text: str
    id: str | None


def told(frame: EntryFrame) -> Told:
    kind = type(frame).__name__.lower()
    match frame:
        case Message() | Direct():
            to = frame.to if isinstance(frame, Direct) else ""
            return Told(frame.seq, kind, frame.sender, to, frame.text, None if frame.id is UNSET else frame.id)
        case Joined():
            return Told(frame.seq, kind, frame.name, "", "", None)
        case Left():
            return Told(frame.seq, kind, frame.name, "", frame.reason, None)
        case _:
            raise AssertionError(f"nobody expects {frame}")


@dataclass(frozen=True)
class File:
    """What is in a database file."""

    entries: list[Told]
    waiting: set[str]
    """The Message-IDs of the letters that are frozen and not known to be sent."""
    sent: set[str]
    unfrozen: int
    """How many direct messages wait for a letter."""

    @classmethod
    def read(cls, path: Path) -> "File":
        connection = sqlite3.connect(path)
        try:
            select = connection.execute
            entries = select('SELECT seq, kind, sender, "to", text, id FROM entry ORDER BY seq').fetchall()
            letters = select("SELECT message_id, state FROM letter").fetchall()
            (unfrozen,) = select("SELECT count(*) FROM mail").fetchone()
            assert select("PRAGMA integrity_check").fetchall() == [("ok",)]
        finally:
            connection.close()
        waiting = {message_id for message_id, state in letters if state == "waiting"}
        return cls(
            [Told(*entry) for entry in entries], waiting, {message_id for message_id, _ in letters} - waiting, unfrozen
        )

    def visible(self, name: str) -> list[Told]:
        return [entry for entry in self.entries if not entry.to or name in (entry.sender, entry.to)]


class Talker:
    """Somebody who talks without pause, and never says anything twice but under the same id.

    They want no mail. ``shown`` is everything they have seen since they first came in, in that order; ``saw`` is called
    after each.

    Args:
        name: what they are called.
        readers: to whom their direct messages go.
    """

    def __init__(self, name: str, readers: Iterator[str]) -> None:
        self.name = name
        self.said: dict[str, Say | Dm] = {}
        self.unconfirmed: dict[str, Say | Dm] = {}
        self.shown: list[EntryFrame] = []
        self._readers = readers
        self.saw: Callable[[], object] = lambda: None
        self._last = 0
        self._welcome: Welcome | None = None
        self._peer: Peer | None = None

    async def come(self, port: int) -> None:
        """Come in, or back; say again at once what was not confirmed."""
        self._peer = peer = await Peer.connect(port)
        join = Join(name=self.name, email=address(self.name))
        first = self._welcome
        if first is not None:
            resume = Resume(epoch=first.epoch, seq=self._last)
            join = Join(name=self.name, email=address(self.name), token=first.token, resume=resume)
        await peer.send(join, *self.unconfirmed.values())
        welcome = await peer.next()
        assert isinstance(welcome, Welcome), welcome
        if first is None:
            self._last = welcome.seq
        else:
            assert welcome.resumed
            assert welcome.epoch == first.epoch
        self._welcome = welcome

    async def talk_to_the_end(self, port: int) -> None:
        """Come in if need be, and talk until the server is gone."""
        try:
            if self._peer is None:
                await self.come(port)
            while True:
                await self.talk(1)
        except (HungError, ConnectionError):
            self.leave()

    async def talk(self, count: int) -> None:
        """Talk until so many more lines are confirmed."""
        until = len(self.said) - len(self.unconfirmed) + count
        while len(self.said) - len(self.unconfirmed) < until:
            if len(self.unconfirmed) < IN_FLIGHT:
                await self._say_something()
            else:
                await self._hear()

    async def settle(self) -> None:
        """Hear everything there is to hear, until all that was said is confirmed."""
        while self.unconfirmed:
            await self._hear()
        await self._send(Ping())
        while not isinstance(await self._hear(), Pong):
            pass

    async def until_bye(self) -> None:
        """Hear everything up to the server's goodbye, if there."""
        while self._peer is not None:
            if isinstance(await self._hear(), Bye):
                self.leave()

    def leave(self) -> None:
        """Be gone, if not gone already."""
        if self._peer is not None:
            self._peer.cut()
        self._peer = None

    async def _say_something(self) -> None:
        number = len(self.said)
        id = f"{self.name}-{number}"
        line: Say | Dm = Say(text=f"{self.name} says line {number} {'… ' * (number % 50)}".rstrip(), id=id)
        if number % 5 == 4:
            to = next(self._readers)
            line = Dm(to=to, text=f"{self.name} writes line {number} to {to}", id=id)
        self.said[id] = self.unconfirmed[id] = line
        await self._send(line)

    async def _send(self, frame: ClientFrame) -> None:
        assert self._peer
        await self._peer.send(frame)

    async def _hear(self) -> Any:
        assert self._peer
        frame = await self._peer.next()
        if isinstance(frame, get_args(EntryFrame)):
            assert frame.seq > self._last, f"{self.name} saw {frame} after number {self._last}"
            self._last = frame.seq
            self.shown.append(frame)
            if isinstance(frame, Message | Direct) and frame.sender == self.name:
                assert frame.id in self.unconfirmed, f"{self.name} saw {frame} again"
                del self.unconfirmed[frame.id]
            self.saw()
        elif isinstance(frame, Ack):
            # Of a line that had been stored: it has come already, because it is in the journal, before this answer.
            [line] = [line for line in self.shown if line.seq == frame.seq]
            assert isinstance(line, Message | Direct)
            assert (line.sender, line.id) == (self.name, frame.id)
        assert not isinstance(frame, Error | Gap | Welcome), frame
        return frame


def address(name: str) -> str:
    return f"{name.lower()}@example.org"


async def leave(peer: Peer) -> None:
    await peer.send(Leave())
    await peer.bye()


def letter_of(mail: Received) -> str:
    return str(mail.message["Message-ID"])


def texts_of(mail: Received) -> list[str]:
    return [line[2:] for line in mail.message.get_content().splitlines() if line.startswith("> ")]


class Conversation:
    """The people, their server in one process after the other, and the mail server.

    Every other direct message goes to one of those who talk, the others to people who were here before: so many to one,
    then as many to the next.
    """

    def __init__(self, desk: Desk, mail: MailServer, many: int) -> None:
        self.port = desk.port
        self.mail = mail
        readers = (reader for number in count() for reader in (ABSENT[number // many], TALKERS[number % len(TALKERS)]))
        self.talkers = [Talker(name, readers) for name in TALKERS]
        self.twice: Counter[str] = Counter()
        """The letters that will come again, and how often."""
        self._desk = desk
        self._database = desk.folder / "chatmail.db"
        self._process: Process | None = None
        self._mails_before = 0
        rows = [
            Account(
                id=id,
                name=name,
                email=address(name),
                first=0,
                seen=0,
                notify="never" if name in TALKERS else "always",
            )
            for id, name in enumerate(TALKERS + ABSENT, start=1)
        ]
        database = Database(str(self._database), keep_days=30)
        database.open()
        database.commit([Change(rows=tuple(rows))])
        database.close()

    async def start(self, *doom: str) -> None:
        """Start a server, doomed in this way or not at all."""
        program = ("python", str(DOOMED), *doom) if doom else ("chatmail-server",)
        settings = {
            "CHAT_PORT": str(self.port),
            "CHAT_DB": str(self._database),
            "RATE": "off",
            "HISTORY": str(HISTORY),
            "SENDER_EMAIL": "chat@team.example",
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(self.mail.port),
            "MAIL_WINDOW": "1",
        }
        self._mails_before = len(self.mail.mails)
        self._process = await start(self._desk, *program, settings=settings)
        try:
            await line_with(self._process.stdout, f"port {self.port}")
        except AssertionError as error:
            error.add_note((await ends(self._process))[2].decode())
            raise

    def kill(self) -> None:
        """Kill the server from outside, now."""
        assert self._process
        self._process.kill()

    async def talk_until_killed(self) -> File:
        """Everybody talks until the server is dead; what it left."""
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            for talker in self.talkers:
                group.create_task(talker.talk_to_the_end(self.port))
        await self.died()
        # A copy is read: so it is the next server, and nobody else, that finds the file as the dead one left it.
        copy = self._desk.folder / "copy.db"
        for suffix in ("", "-wal"):
            shutil.copy(f"{self._database}{suffix}", f"{copy}{suffix}")
        left = File.read(copy)
        self.twice.update(left.waiting & set(map(letter_of, self.mail.mails[self._mails_before :])))
        return left

    async def died(self) -> None:
        """Wait until the server is dead, and the mail server has nothing more from it."""
        for talker in self.talkers:
            talker.leave()
        assert self._process
        status, _, err = await ends(self._process)
        assert (status, err) == (-signal.SIGKILL, b"")
        await self.mail.idle()

    async def go_on(self) -> None:
        """Everybody comes back, talks for a while, and hears all the others."""
        async with asyncio.timeout(PATIENCE):
            for talker in self.talkers:
                await talker.come(self.port)
            async with asyncio.TaskGroup() as group:
                for talker in self.talkers:
                    group.create_task(talker.talk(MORE))
            for talker in self.talkers:
                await talker.settle()
            for talker in self.talkers:  # whose last lines were perhaps said after some had heard everything
                await talker.settle()

    async def end(self) -> None:
        """Look from all sides at what was said in the end; then the server is ended in good order."""
        said = {id: line for talker in self.talkers for id, line in talker.said.items()}
        direct = {
            line.text: address(line.to) for line in said.values() if isinstance(line, Dm) and line.to not in TALKERS
        }
        newcomers = {name: await self._look_back(name) for name in ("Newcomer", ABSENT[0])}
        await self.mail.until(lambda: direct.keys() <= {text for mail in self.mail.mails for text in texts_of(mail)})
        await self.stop()
        file = File.read(self._database)
        assert [entry.seq for entry in file.entries] == list(range(1, len(file.entries) + 1))
        stored = [(entry.id, entry.text) for entry in file.entries if entry.id is not None]
        assert sorted(stored) == sorted((id, line.text) for id, line in said.items())
        for talker in self.talkers:
            since = talker.shown[0].seq
            assert [told(frame) for frame in talker.shown] == [
                entry for entry in file.visible(talker.name) if entry.seq >= since
            ]
        times = {frame.seq: frame.time for frame in self.talkers[0].shown}
        for name, pages in newcomers.items():
            lines = [entry for entry in file.visible(name) if entry.kind in {"message", "direct"}]
            assert [told(frame) for frame in pages] == lines
            assert all(times.get(frame.seq, frame.time) == frame.time for frame in pages)
        self._check_mails(direct, file)

    async def stop(self) -> None:
        """End the server in good order; who is there hears its goodbye."""
        assert self._process
        self._process.terminate()
        for talker in self.talkers:
            await talker.until_bye()
        status, out, err = await ends(self._process)
        assert (status, err) == (0, b"")
        assert b"ERROR" not in out

    def _check_mails(self, direct: dict[str, str], file: File) -> None:
        assert (file.waiting, file.unfrozen) == (set(), 0)
        letters: dict[str, Received] = {}
        for mail in self.mail.mails:
            first = letters.setdefault(letter_of(mail), mail)
            assert (mail.content, mail.to) == (first.content, first.to)
        assert Counter(map(letter_of, self.mail.mails)) == Counter(letters.keys()) + self.twice
        arrived = [(text, to) for mail in letters.values() for text in texts_of(mail) for to in mail.to]
        assert sorted(arrived) == sorted(direct.items())

    async def _look_back(self, name: str) -> list[EntryFrame]:
        """Everything that was said, as somebody finds it who comes only now."""
        peer = await Peer.joined(self.port, name)
        told_at_once = [frame for frame in peer.frames if isinstance(frame, Message | Direct)]
        entries: list[EntryFrame] = []
        more = True
        while more:
            await peer.send(History(count=100, before=entries[0].seq if entries else UNSET))
            page = await peer.expect(Page)
            entries, more = page.entries + entries, page.more
        await leave(peer)
        recent = entries[-HISTORY:]
        assert told_at_once == [entry for entry in entries if entry in recent or isinstance(entry, Direct)]
        return entries

    async def close(self) -> None:
        """Leave nothing running."""
        for talker in self.talkers:
            talker.leave()
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.communicate()


@asynccontextmanager
async def conversation(desk: Desk, *doom: str, many: int = 1) -> AsyncIterator[Conversation]:
    """People who are in, with a server that is doomed in this way."""
    async with MailServer() as mail:
        conversation = Conversation(desk, mail, many)
        try:
            await conversation.start(*doom)
            for talker in conversation.talkers:
                await talker.come(conversation.port)
            yield conversation
        finally:
            await conversation.close()


def unseen(c: Conversation, left: File) -> bool:
    """Something is stored that nobody has seen."""
    return left.entries[-1].seq > max(talker.shown[-1].seq for talker in c.talkers)


def unsaid(c: Conversation, left: File) -> bool:
    """A direct message was said that is not stored."""
    lines = [line for talker in c.talkers for line in talker.unconfirmed.values()]
    return not {line.id for line in lines if isinstance(line, Dm)} <= {entry.id for entry in left.entries}


def unfrozen(c: Conversation, left: File) -> bool:
    """A direct message waits for a letter, and none is frozen."""
    return left.unfrozen > 0 and not left.waiting | left.sent


def unmailed(c: Conversation, left: File) -> bool:
    """A letter is frozen that the mail server has not taken."""
    return not left.waiting <= set(map(letter_of, c.mail.mails))


def mailed(c: Conversation, left: File) -> bool:
    """A letter was taken by the mail server, and the file knows nothing of it."""
    return bool(c.twice)


def known(c: Conversation, left: File) -> bool:
    """A letter was taken by the mail server, and is known to be sent."""
    return bool(left.sent)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("doom", "leaves"),
    [
        pytest.param("direct before 3", unsaid, id="before it was stored"),
        pytest.param("direct within 3", unsaid, id="while it was being stored"),
        pytest.param("direct after 3", unseen, id="before it was told"),
        pytest.param("frozen within 1", unfrozen, id="while a letter was being frozen"),
        pytest.param("frozen after 1", unmailed, id="before the letter was sent"),
        pytest.param("outcome within 1", mailed, id="while the outcome was being stored"),
        pytest.param("outcome after 1", known, id="before anybody heard of the outcome"),
    ],
)
async def test_nothing_is_lost_when_the_server_dies_at_its_store(
    desk: Desk, doom: str, leaves: Callable[[Conversation, File], bool]
) -> None:
    async with conversation(desk, *doom.split()) as c:
        left = await c.talk_until_killed()
        assert leaves(c, left)
        await c.start()
        await c.go_on()
        await c.end()


@pytest.mark.slow
@pytest.mark.parametrize(("moment", "leaves"), [("in part", unmailed), ("taken", mailed), ("answered", None)])
async def test_nothing_is_lost_when_the_server_dies_in_the_middle_of_a_mail(
    desk: Desk, moment: Moment, leaves: Callable[[Conversation, File], bool] | None
) -> None:
    """Once the mail server has answered, nobody can say whether the server had the time to read and store that."""
    async with conversation(desk) as c:
        c.mail.at(moment, c.kill)
        left = await c.talk_until_killed()
        assert leaves is None or leaves(c, left)
        await c.start()
        await c.go_on()
        await c.end()


@pytest.mark.slow
async def test_who_left_hears_of_a_failed_mail_though_the_server_died_of_it(desk: Desk) -> None:
    async with conversation(desk, "failure", "before", "1") as c:
        c.mail.answer("RCPT", *["550 5.1.1 nobody"] * 2)
        author = await Peer.joined(c.port, ABSENT[1])
        await author.send(Dm(to=ABSENT[0], text="lunch?"), Leave())
        await author.until_hung()
        await c.died()
        await c.start()
        await c.stop()  # if the letter waits, it goes out before
        await c.start()
        back = await Peer.joined(c.port, ABSENT[1])
        back.cut()
        assert [frame.mail for frame in back.frames if isinstance(frame, Receipt)] == ["failed"]


@pytest.mark.slow
async def test_nothing_is_lost_whenever_the_server_is_killed(desk: Desk) -> None:
    """One server after the other dies on the same file; sometimes while people are coming back."""
    seed = int(os.environ.get("CHATMAIL_SEED", random.randrange(1 << 32)))
    chance = random.Random(seed)
    try:
        async with conversation(desk, many=6) as c:
            for _ in range(4):
                talker = chance.choice(c.talkers)
                talker.saw = kill_after(chance.randrange(60), chance.random() / 100, c.kill)
                await c.talk_until_killed()
                talker.saw = lambda: None
                await c.start()
            await c.go_on()
            await c.end()
    except BaseException as error:
        error.add_note(f"again with CHATMAIL_SEED={seed}")
        raise


def kill_after(count: int, delay: float, kill: Callable[[], None]) -> Callable[[], None]:
    """Something that kills, when it was called so often, after so many seconds."""
    calls = iter(range(count, -1, -1))

    def call() -> None:
        if next(calls, None) == 0:
            asyncio.get_running_loop().call_later(delay, kill)

    return call
