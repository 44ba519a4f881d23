"""What happens when the disk takes no more, and when the file is not what it should be.

Nobody is shown what is not stored: who says it hears why, and may say it again under the same id. Nothing has to be
started anew once there is room. A server that can't use its file does not start, and says in one sentence why.
"""

import asyncio
import logging
import os
import resource
import signal
import sqlite3
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from chatmail.core.limits import Limits
from chatmail.core.records import Change, Letter, Mail, Stored
from chatmail.core.wire import Ack, Code, Direct, Dm, Error, Frame, History, Join, Message, Page, Receipt, Say, stamp
from chatmail.server.app import running
from chatmail.server.settings import Settings
from chatmail.server.stores import StoreError
from chatmail.server.stores.database import Database
from chatmail.server.stores.sqlite import SqliteStore
from tests.endtoend.conftest import Desk
from tests.endtoend.test_programs import ends, line_with, start
from tests.peer import PATIENCE, Peer, peers
from tests.server.mailserver import MailServer

LONG = "€" * 4_000
"""A text that needs pages of its own."""


class Disk(SqliteStore):
    """A store on a disk that can be full: SQLite itself says so, when it may use no more pages than it has."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder / "chatmail.db"), keep_days=30)
        self.letter_refused = asyncio.Event()

    async def commit(self, batch: Sequence[Change]) -> list[Stored]:
        try:
            return await super().commit(batch)
        except StoreError:
            if any(isinstance(row, Letter) for change in batch for row in change.rows):
                self.letter_refused.set()
            raise

    async def fill(self) -> None:
        """Take away what room there is; for letters too, some of which else would fit in where there was another."""
        await self._do(
            "PRAGMA max_page_count = 1",  # it is never less than there are
            "CREATE TEMP TRIGGER full AFTER INSERT ON main.letter"
            " BEGIN UPDATE letter SET reply = hex(zeroblob(99999)) WHERE message_id = NEW.message_id; END",
        )

    async def make_room(self) -> None:
        await self._do("PRAGMA max_page_count = 1000000", "DROP TRIGGER full")

    async def _do(self, *statements: str) -> None:
        await self._write(lambda: [self._database._writer.execute(sql).fetchall() for sql in statements])


def settings(folder: Path, mail: MailServer | None = None) -> Settings:
    return Settings(
        chat_port=0,
        chat_db=str(folder / "chatmail.db"),
        outbox=folder / "outbox",
        rate=None,
        sender_email="chat@team.example" if mail else "",
        smtp_host="127.0.0.1",
        smtp_port=mail.port if mail else None,
    )


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatmail.server.engine.PAUSE", 0.01)


async def test_what_does_not_fit_on_the_disk_is_refused_and_may_be_said_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "chatmail.server.engine")
    disk = Disk(tmp_path)
    async with running(settings(tmp_path), store=disk) as house, peers(house.port, "John", "Mary") as (john, mary):
        last = house.hub.journal.last
        say, dm = Say(text=LONG, id="1"), Dm(to="Mary", text=LONG, id="2")
        await disk.fill()
        for _ in range(2):
            await john.send(say, dm)
            errors = [await john.expect(Error) for _ in range(2)]
            assert [(error.code, error.id) for error in errors] == [(Code.UNAVAILABLE, "1"), (Code.UNAVAILABLE, "2")]
            assert "disk is full" in errors[0].text
        assert [await peer.sync() for peer in (john, mary)] == [[], []]

        await disk.make_room()
        await john.send(say, dm)
        assert (await john.expect(Message, id="1")).seq == last + 1
        assert (await john.expect(Direct, id="2")).seq == last + 2
        await john.send(say, dm)
        assert [(await john.expect(Ack)).seq for _ in range(2)] == [last + 1, last + 2]
        assert [(type(frame), frame.text) for frame in await mary.sync()] == [(Message, LONG), (Direct, LONG)]
    told = [record.getMessage() for record in caplog.records if record.name == "chatmail.server.engine"]
    assert told == [
        "nothing can be stored, so nothing is said: the server's disk is full",
        "what is said can be stored again",
    ]


async def test_the_operator_is_not_told_of_room_that_is_not_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "chatmail.server.engine")
    disk = Disk(tmp_path)
    async with running(settings(tmp_path), store=disk) as house, peers(house.port, "John", "Mary") as (john, mary):
        await mary.send(Say(text="hello", id="1"))
        await mary.expect(Message, id="1")
        await disk.fill()
        await john.send(Say(text=LONG))
        await john.expect(Error, code=Code.UNAVAILABLE)
        await mary.send(Say(text="hello", id="1"))
        await mary.expect(Ack, id="1")
    assert "what is said can be stored again" not in caplog.text


async def test_a_mail_that_goes_out_while_the_disk_is_full_is_sent_once(tmp_path: Path) -> None:
    """What became of it is stored when there is room, and told then."""
    disk = Disk(tmp_path)
    async with MailServer() as mail:
        mail.answer("DATA", answered := asyncio.Event())
        async with running(settings(tmp_path, mail), store=disk) as h, peers(h.port, "John", "Mary") as (john, _):
            await john.send(Dm(to="Mary", text="lunch?"))
            await john.expect(Receipt, mail="queued")
            await mail.reached("DATA")
            await disk.fill()
            answered.set()
            await disk.letter_refused.wait()
            assert await john.sync() == []
            await disk.make_room()
            assert (await john.expect(Receipt)).mail == "sent"
        async with running(settings(tmp_path, mail)):
            pass  # mail that is due goes out
        assert len(mail.mails) == 1


async def test_a_mail_that_cannot_be_frozen_waits_until_there_is_room(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    limits = Limits(mail_window=0.2)
    async with MailServer() as mail:
        async with running(settings(tmp_path, mail), limits, store=disk) as h, peers(h.port, "John", "Mary") as both:
            john, _ = both
            await john.send(Dm(to="Mary", text="lunch?"))
            await john.expect(Receipt, mail="sent")
            await john.send(Dm(to="Mary", text="at noon?"))
            await john.expect(Receipt, mail="held")
            await disk.fill()
            await disk.letter_refused.wait()
            await disk.make_room()
            await john.expect(Receipt, mail="sent")
        assert len(mail.mails) == 2
        assert "> at noon?" in mail.mails[1].message.get_content()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="nothing here can limit another process")
async def test_a_server_goes_on_by_itself_when_its_disk_has_room_again(desk: Desk) -> None:
    """The program as installed, whose log may not grow any more."""
    database = desk.folder / "chatmail.db"
    async with MailServer() as mail:
        account = {"SENDER_EMAIL": "chat@team.example", "SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(mail.port)}
        process = await serve(desk, database, **account)
        john, mary = [await Peer.joined(desk.port, name) for name in ("John", "Mary")]
        mail.answer("DATA", answered := asyncio.Event())
        await john.send(Say(text="hello", id="1"), Dm(to="Mary", text="lunch?", id="2"))
        await john.expect(Receipt, mail="queued")
        await mail.reached("DATA")

        limit_files(process, to=Path(f"{database}-wal"))
        again = (Say(text="still there?", id="3"), Dm(to="Mary", text="at noon?", id="4"))
        await john.send(*again)
        errors = [await john.expect(Error) for _ in range(2)]
        assert [(error.code, error.id) for error in errors] == [(Code.UNAVAILABLE, "3"), (Code.UNAVAILABLE, "4")]
        assert "disk can't be written" in errors[0].text
        ann = await Peer.connect(desk.port)
        await ann.send(Join(name="Ann", email="ann@example.org"))
        await ann.expect(Error, code=Code.UNAVAILABLE)
        answered.set()
        await mail.received(1)
        assert await john.sync() == []
        assert [line[1] for line in lines(await mary.sync())] == ["hello", "lunch?"]

        limit_files(process, to=None)
        await john.expect(Receipt, id="2", mail="sent")
        await ann.join("Ann")
        await john.send(*again)
        await john.expect(Receipt, id="4")
        await mary.sync()
        for peer in (john, mary, ann):
            peer.cut()
        began, _ = await heard_of_the_store(process, "what is said can be stored again")
        assert "ERROR: nothing can be stored, so nothing is said: the server's disk can't be written" in began
        process.kill()
        _, out, err = await ends(process)
        assert (err, b"stored" in out) == (b"", False)

        process = await serve(desk, database, **account)
        late = await Peer.joined(desk.port, "Mary")
        await late.send(History())
        assert lines((await late.expect(Page)).entries) == lines(mary.frames)
        late.cut()
        process.send_signal(signal.SIGTERM)
        assert (await ends(process))[0] == 0
        assert len(mail.mails) == 1


async def serve(desk: Desk, database: Path, **settings: str) -> Process:
    process = await start(
        desk, "chatmail-server", settings={"CHAT_PORT": str(desk.port), "CHAT_DB": str(database), **settings}
    )
    await line_with(process.stdout, f"port {desk.port}")
    return process


async def heard_of_the_store(process: Process, last: str) -> list[str]:
    """What the operator reads of the store, up to the line with this text."""
    assert process.stdout
    heard = [""]
    async with asyncio.timeout(PATIENCE):
        while last not in heard[-1] and (line := await process.stdout.readline()):
            heard.append(line.decode())
    return [line for line in heard if "stored" in line]


def limit_files(process: Process, *, to: Path | None) -> None:
    """Let no file of a process grow beyond the size of this one; or as large as it likes."""
    _, most = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (to.stat().st_size if to else most, most))


def lines(frames: Sequence[Frame]) -> list[tuple[int, str]]:
    """What was said, each with its number."""
    return [(frame.seq, frame.text) for frame in frames if isinstance(frame, Message | Direct)]


def below_a_file(folder: Path) -> Path:
    (folder / "file").touch()
    return folder / "file" / "chatmail.db"


def in_no_folder(folder: Path) -> Path:
    return folder / "nowhere" / "chatmail.db"


def where_nobody_may_write(folder: Path) -> Path:
    if not os.getuid():
        return Path("/proc/chatmail.db")  # not even root
    closed = folder / "closed"
    closed.mkdir(mode=0o500)
    return closed / "chatmail.db"


def a_folder(folder: Path) -> Path:
    return folder


def no_database(folder: Path) -> Path:
    path = folder / "chatmail.db"
    path.write_bytes(b"Dear diary, " * 1_000)
    return path


def only_the_beginning(folder: Path) -> Path:
    path = unharmed(folder)
    path.write_bytes(path.read_bytes()[:8_192])
    return path


def with_a_bad_byte(folder: Path) -> Path:
    return garbled(unharmed(folder), b"CREATE TABLE house", b"CREATE TABL\xff house")


def with_a_garbled_letter(folder: Path) -> Path:
    return garbled(unharmed(folder), b'"text":"lunch?"', b'"text":"lun\0h?"')


def with_an_odd_row(folder: Path) -> Path:
    columns, odd = 'kind, time, sender, "to", text', "'message', 'noon', 'John', '', 'hello'"
    return altered(unharmed(folder), f"INSERT INTO entry ({columns}) VALUES ({odd})")


def of_another_program(folder: Path) -> Path:
    return altered(folder / "chatmail.db", "CREATE TABLE diary (day, text)")


def of_a_newer_version(folder: Path) -> Path:
    return altered(unharmed(folder), "PRAGMA user_version = 1000")


def unharmed(folder: Path) -> Path:
    path = folder / "chatmail.db"
    database = Database(str(path), keep_days=30)
    database.open()
    mail = Mail(seq=1, reader=1, author=2, sender="John", to="Mary", text="lunch?", time=stamp(0))
    letter = Letter(message_id="<1@x>", address="mary@example.org", content=b"", made=0, expires=0, mails=(mail,))
    database.commit([Change(rows=(letter,))])
    database.close()
    return path


def altered(path: Path, sql: str) -> Path:
    connection = sqlite3.connect(path)
    connection.execute(sql)
    connection.commit()
    connection.close()
    return path


def garbled(path: Path, old: bytes, new: bytes) -> Path:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    return path


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (below_a_file, "there is no folder "),
        (in_no_folder, "there is no folder "),
        (where_nobody_may_write, ""),
        (a_folder, "it is a folder; name a file in it"),
        (no_database, "the file is damaged, or no database (file is not a database); move it away to begin anew"),
        (only_the_beginning, "the file is damaged, or no database (database disk image is malformed); move it away"),
        (with_a_bad_byte, "the file is damaged ("),
        (with_a_garbled_letter, "the file is damaged ("),
        (with_an_odd_row, "the file is damaged (the time of entry 1: "),
        (of_another_program, "it is the database of another program"),
        (of_a_newer_version, "a newer chatmail wrote it (version 1000, "),
    ],
)
async def test_a_server_that_cannot_use_its_file_says_why_and_leaves_it_alone(
    desk: Desk, make: Callable[[Path], Path], why: str
) -> None:
    path = make(desk.folder)
    before = path.read_bytes() if path.is_file() else b""
    process = await start(desk, "chatmail-server", settings={"CHAT_PORT": str(desk.port), "CHAT_DB": str(path)})
    status, out, err = await ends(process)
    assert (status, out, len(err.splitlines())) == (1, b"", 1), err.decode()
    assert err.decode().startswith(f"chatmail-server cannot start: CHAT_DB={path} can't be used: {why}")
    assert (path.read_bytes() if path.is_file() else b"") == before


async def test_two_servers_never_use_the_same_file(desk: Desk) -> None:
    first = await serve(desk, database := desk.folder / "chatmail.db")
    link = desk.folder / "link.db"
    link.symlink_to(database)
    for path in (database, link):
        process = await start(desk, "chatmail-server", settings={"CHAT_PORT": "0", "CHAT_DB": str(path)})
        status, out, err = await ends(process)
        assert (status, out, len(err.splitlines())) == (1, b"", 1)
        assert err.decode().startswith(
            f"chatmail-server cannot start: CHAT_DB={path} can't be used: another chatmail-server"
        )
    john = await Peer.joined(desk.port, "John")
    john.cut()
    first.send_signal(signal.SIGTERM)
    assert (await ends(first))[0] == 0
