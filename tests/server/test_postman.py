"""From a direct message to a mailbox, with a real mail server that behaves well or badly."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.policy import SMTP as POLICY
from itertools import chain
from pathlib import Path

import pytest

from chatmail.core.cluster import HOLD, LEADER
from chatmail.core.limits import Limits
from chatmail.core.records import Change, Fate, Leader, Letter, Stored
from chatmail.core.wire import Challenge, Direct, Dm, Join, Joined, Leave, Message, Receipt, Say, Verify, Welcome
from chatmail.server.app import SMTP_CONNECTIONS, House, running
from chatmail.server.mailers import SmtpMailer
from chatmail.server.postman import BATCH, Postman
from chatmail.server.settings import Settings, Smtp
from chatmail.server.stores import Outdated, Store
from chatmail.server.stores.database import MEMORY
from chatmail.server.stores.sqlite import SqliteStore
from tests.core.house import House as InOneThread
from tests.peer import Peer, peers
from tests.server.mailserver import DROP, HANG, Command, MailServer
from tests.server.sharedstore import SharedStore


@asynccontextmanager
async def house(
    port: int, tmp_path: Path, limits: Limits | None = None, database: str = MEMORY, store: Store | None = None
) -> AsyncIterator[House]:
    settings = Settings(
        chat_port=0,
        chat_db=database,
        sender_email="chat@team.example",
        smtp_host="127.0.0.1",
        smtp_port=port,
        outbox=tmp_path / "outbox",
        rate=None,
    )
    async with running(settings, limits or Limits(), store=store) as running_house:
        yield running_house


def text_of(content: bytes) -> str:
    return str(message_from_bytes(content, policy=POLICY).get_content())


async def test_a_direct_message_is_mailed_and_its_sender_told(tmp_path: Path) -> None:
    async with MailServer() as mail, house(mail.port, tmp_path) as h, peers(h.port, "John", "Mary") as (john, _):
        await john.send(Dm(to="Mary", text="lunch?", id="1"))
        states = [(await john.expect(Receipt, id="1")).mail for _ in range(2)]
        assert states == ["queued", "sent"]
        [letter] = mail.mails
        assert letter.to == ["mary@example.org"]
        assert "> lunch?" in text_of(letter.content)


async def test_a_mail_server_that_hangs_slows_no_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatmail.server.app.MAIL_TIME", 0.05)
    async with MailServer() as mail:
        mail.answer("DATA", HANG)
        async with house(mail.port, tmp_path) as h, peers(h.port, "John", "Mary") as (john, mary):
            await john.send(Dm(to="Mary", text="lunch?"))
            await mary.expect(Direct)
            await mail.reached("DATA", 1)
            await john.send(Say(text="meanwhile"))
            await mary.expect(Message, text="meanwhile")


@pytest.mark.parametrize("trouble", ["451 4.3.0 later", DROP])
async def test_what_fails_for_now_is_sent_again_to_the_letter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    monkeypatch.setattr("chatmail.core.digest.RETRY_MIN", 0.05)
    async with MailServer() as mail:
        mail.answer("DATA", trouble)
        async with house(mail.port, tmp_path) as h, peers(h.port, "John", "Mary") as (john, _):
            await john.send(Dm(to="Mary", text="lunch?"))
            receipts = [await john.expect(Receipt) for _ in range(3)]
            assert [receipt.mail for receipt in receipts] == ["queued", "held", "sent"]
            assert receipts[1].detail
            ids = {message_from_bytes(letter.content)["Message-ID"] for letter in mail.mails}
            assert len(ids) == 1
            assert len({letter.content for letter in mail.mails}) == 1


async def test_what_is_refused_for_good_is_told_without_the_servers_words(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with MailServer() as mail:
        mail.answer("RCPT", "550 5.1.1 secret-mailbox-7 unknown")
        with caplog.at_level("INFO", "chatmail"):
            async with house(mail.port, tmp_path) as h, peers(h.port, "John", "Mary") as (john, _):
                await john.send(Dm(to="Mary", text="lunch?"))
                failed = await john.expect(Receipt, mail="failed")
        assert "5.1.1" in str(failed.detail)
        assert "secret-mailbox" not in str(failed.detail)
        assert "secret-mailbox" in caplog.text


async def test_further_messages_are_gathered_in_one_mail_with_nothing_left_out(tmp_path: Path) -> None:
    limits = Limits(mail_window=0.3)
    async with MailServer() as mail, house(mail.port, tmp_path, limits) as h, peers(h.port, "John", "Ann", "Mary") as p:
        john, ann, _ = p
        await john.send(Dm(to="Mary", text="first"))
        await john.expect(Receipt, mail="sent")
        for at in range(5):
            await john.send(Dm(to="Mary", text=f"john {at}"))
            await ann.send(Dm(to="Mary", text=f"ann {at}"))
            assert (await ann.expect(Receipt)).mail == "held"
        await mail.received(2)
        told = [line[2:] for line in text_of(mail.mails[1].content).splitlines() if line.startswith("> ")]
        assert sorted(told) == sorted([f"{who} {at}" for at in range(5) for who in ("john", "ann")])
        assert [line for line in told if line.startswith("john")] == [f"john {at}" for at in range(5)]


async def test_what_came_while_the_mail_server_was_down_arrives_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    monkeypatch.setattr("chatmail.core.digest.RETRY_MIN", 0.05)
    async with house(unused_tcp_port, tmp_path) as h, peers(h.port, "John", "Mary") as (john, _):
        await john.send(Dm(to="Mary", text="lunch?"))
        await john.expect(Receipt, mail="held")
        async with MailServer(port=unused_tcp_port) as mail:
            await john.expect(Receipt, mail="sent")
            assert len(mail.mails) == 1


async def test_mail_that_is_due_goes_out_before_the_end(tmp_path: Path) -> None:
    async with MailServer() as mail:
        async with house(mail.port, tmp_path) as h, peers(h.port, "John", "Mary") as (john, _):
            await john.send(Dm(to="Mary", text="lunch?"))
            await john.expect(Direct)
        assert len(mail.mails) == 1


async def test_an_address_is_proved_by_a_code_that_is_mailed(tmp_path: Path) -> None:
    limits = Limits(verify_email=True, trust_names=False)
    async with MailServer() as mail, house(mail.port, tmp_path, limits) as h:
        john = await Peer.connect(h.port)
        await john.send(Join(name="John", email="john@example.org"))
        challenge = await john.expect(Challenge)
        assert "john@" not in challenge.email
        await mail.received(1)
        code = re.search(r"\b\d{6}\b", text_of(mail.mails[0].content))
        assert code
        await john.send(Verify(code=code[0]))
        token = (await john.expect(Welcome)).token
        await john.expect(Joined)
        # The token proves it from now on.
        again = await Peer.connect(h.port)
        await again.join("John", token=token)
        await john.bye()
        again.cut()


async def test_what_went_out_at_the_very_end_is_not_sent_again(tmp_path: Path) -> None:
    database = str(tmp_path / "chat.db")
    async with MailServer() as mail:
        async with house(mail.port, tmp_path, database=database) as h, peers(h.port, "John", "Mary") as (john, _):
            gate = asyncio.Event()
            mail.answer("DATA", gate)
            await john.send(Dm(to="Mary", text="lunch?"))
            await mail.reached("DATA", 1)
            gate.set()
        async with house(mail.port, tmp_path, database=database) as h:
            assert h.mail_figures() == (0, 0)
            assert h.hub.mailroom.digest.letters() == []
        assert len(mail.mails) == 1


async def test_what_was_under_way_at_the_end_goes_out_after_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatmail.server.app.MAIL_TIME", 0.05)
    database = str(tmp_path / "chat.db")
    async with MailServer() as mail:
        mail.answer("DATA", HANG)
        async with house(mail.port, tmp_path, database=database) as h, peers(h.port, "John", "Mary") as (john, _):
            await john.send(Dm(to="Mary", text="lunch?"))
            await mail.reached("DATA", 1)
            await john.send(Dm(to="Mary", text="or tea?"))
            await john.sync()
        async with house(mail.port, tmp_path, Limits(mail_window=0.1), database) as h:
            first, second = await mail.received(2)
            assert "> lunch?" in text_of(first.content)
            assert "or tea" not in text_of(first.content)
            assert "> or tea?" in text_of(second.content)


async def test_a_failure_is_told_at_the_next_welcome_even_after_a_restart(tmp_path: Path) -> None:
    database = str(tmp_path / "chat.db")
    async with MailServer() as mail:
        mail.answer("RCPT", "550 5.1.1 no such mailbox")
        async with house(mail.port, tmp_path, database=database) as h, peers(h.port, "John", "Mary") as (john, _):
            await john.send(Dm(to="Mary", text="lunch?", id="1"), Leave())
            await john.until_hung()
        async with house(mail.port, tmp_path, database=database) as h:
            john = await Peer.connect(h.port)
            await john.join("John")
            receipt = await john.expect(Receipt, id="1")
            assert receipt.mail == "failed"
            await john.sync()
            await john.sync()
            await john.close()
        async with house(mail.port, tmp_path, database=database) as h:
            john = await Peer.joined(h.port, "John")
            assert not any(isinstance(frame, Receipt) for frame in john.frames)
            await john.close()


class Watched(SqliteStore):
    """A store that tells which letters were frozen with each commit, and that none of them had been sent by then."""

    def __init__(self, mail: MailServer) -> None:
        super().__init__(MEMORY, 30)
        self.mail = mail
        self.frozen: list[list[str]] = []

    async def commit(self, batch: Sequence[Change]) -> list[Stored]:
        letters = [row for change in batch for row in change.rows if isinstance(row, Letter) and row.content]
        assert not {letter.address for letter in letters} & {one.to[0] for one in self.mail.mails}
        if letters:
            self.frozen.append([letter.address for letter in letters])
        return await super().commit(batch)


@asynccontextmanager
async def crowded(mail: MailServer, tmp_path: Path, count: int) -> AsyncIterator[tuple[Peer, Watched]]:
    """John, who may write to so many people, reader0 and so on, who are not there."""
    store = Watched(mail)
    async with house(mail.port, tmp_path, store=store) as h:
        for number in range(count):
            await (await Peer.joined(h.port, f"reader{number}")).close()
        async with peers(h.port, "John") as (john,):
            yield john, store


def everybody(count: int) -> list[str]:
    return sorted(f"reader{number}@example.org" for number in range(count))


def to_all(count: int) -> list[Dm]:
    return [Dm(to=f"reader{number}", text="lunch?", id=str(number)) for number in range(count)]


def addresses(mail: MailServer) -> list[str]:
    return sorted(address for one in mail.mails for address in one.to)


async def test_letters_to_many_are_frozen_together_and_all_before_they_are_sent(tmp_path: Path) -> None:
    async with MailServer() as mail, crowded(mail, tmp_path, BATCH) as (john, store):
        await john.send(*to_all(BATCH))
        await mail.received(BATCH)
        assert addresses(mail) == everybody(BATCH)
        assert sorted(chain.from_iterable(store.frozen)) == everybody(BATCH), "each once"
        assert len(store.frozen) <= BATCH // 2


async def test_of_more_than_one_batch_every_letter_goes_out_once(tmp_path: Path) -> None:
    count = 4 * BATCH + 1
    async with MailServer() as mail, crowded(mail, tmp_path, count) as (john, store):
        await john.send(*to_all(count))
        for _ in range(count):
            await john.expect(Receipt, mail="sent")
        assert addresses(mail) == everybody(count)
        assert max(map(len, store.frozen)) <= SMTP_CONNECTIONS * BATCH


async def test_what_is_frozen_goes_out_over_the_other_connections_when_one_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatmail.server.app.MAIL_TIME", 0.05)
    async with MailServer() as mail:
        mail.answer("DATA", HANG)
        async with crowded(mail, tmp_path, BATCH) as (john, _):
            await john.send(*to_all(BATCH))
            await mail.received(BATCH - 1)
            assert len(set(addresses(mail))) == BATCH - 1


async def test_what_waits_for_a_connection_goes_out_before_the_end(tmp_path: Path) -> None:
    async with MailServer() as mail:
        async with crowded(mail, tmp_path, BATCH) as (john, _):
            gates = [asyncio.Event() for _ in range(SMTP_CONNECTIONS)]
            mail.answer("DATA", *gates)
            await john.send(*to_all(BATCH))
            await mail.reached("DATA", SMTP_CONNECTIONS)
            for gate in gates:
                gate.set()
        assert addresses(mail) == everybody(BATCH)


# Where several servers share the store.


@asynccontextmanager
async def leading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[SharedStore, MailServer, House, Peer]]:
    """A server that leads and has just beaten, its mail server, and John, who is in it with Mary."""
    store = SharedStore(monkeypatch)
    async with (
        MailServer() as mail,
        house(mail.port, tmp_path, store=store) as h,
        peers(h.port, "John", "Mary") as (john, _),
    ):
        await store.beaten()
        yield store, mail, h, john


async def test_while_mail_may_be_another_servers_nothing_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with leading(tmp_path, monkeypatch) as (store, mail, h, john):
        store.uptime += HOLD
        await john.send(Dm(to="Mary", text="lunch?"))
        assert (await john.expect(Receipt)).mail == "queued"
        await john.sync()
        assert h.hub.mailroom.digest.letters() == []
        await store.beaten()
        assert (await john.expect(Receipt)).mail == "sent"
        assert mail.connections == 1


async def test_what_is_withheld_right_before_its_content_goes_out_later_and_nobody_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with leading(tmp_path, monkeypatch) as (store, mail, h, john):
        mail.answer("354", go_ahead := asyncio.Event())
        await john.send(Dm(to="Mary", text="lunch?"))
        await mail.reached("354")
        store.uptime += HOLD
        go_ahead.set()
        await mail.idle()
        assert (await john.expect(Receipt)).mail == "queued"
        assert [frame for frame in await john.sync() if isinstance(frame, Receipt)] == []
        assert [letter.tries for letter in h.hub.mailroom.digest.letters()] == [0]
        assert mail.connections == 1
        await store.beaten()
        assert (await john.expect(Receipt)).mail == "sent"
        assert mail.connections == 2
        assert len(mail.mails) == 1
    assert not any("mail to" in record.getMessage() for record in caplog.records)


async def test_a_code_is_mailed_by_the_server_that_was_asked_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SharedStore(monkeypatch)
    async with MailServer() as mail, house(mail.port, tmp_path, store=store) as h:
        h.hub.learn(Change(rows=(Leader(node="there-2"),), claims=(LEADER,)), None, 0.0)
        h.hub.mailroom.send(
            Letter(message_id="<1@x.org>", address="ann@example.org", content=b"123456\r\n", made=0.0, expires=9e9)
        )
        [code] = await mail.received(1)
        assert code.to == ["ann@example.org"]


@asynccontextmanager
async def outdated(
    mail: MailServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command, end: asyncio.Event
) -> AsyncIterator[tuple[House, asyncio.Event]]:
    """A server that is given up by the others while it waits for an answer to this command; it comes with the event."""
    store = SharedStore(monkeypatch)
    mail.answer(command, answer := asyncio.Event())
    settings = Settings(
        chat_port=0, chat_db=MEMORY, sender_email="chat@team.example", smtp_host="127.0.0.1", smtp_port=mail.port
    )
    async with running(settings, store=store, end=end) as h:
        async with peers(h.port, "John", "Mary") as (john, _):
            await store.beaten()
            await john.send(Dm(to="Mary", text="lunch?"))
            await mail.reached(command)
            await store.ends(Outdated("the others have given it up"))
            await h.engine.over.wait()
        yield h, answer


async def test_who_is_given_up_in_the_middle_of_a_content_waits_for_the_answer_and_knows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with MailServer() as mail:
        async with outdated(mail, tmp_path, monkeypatch, "DATA", asyncio.Event()) as (h, answer):
            [letter] = h.hub.mailroom.digest.letters()
            asyncio.get_running_loop().call_later(0.1, answer.set)
        [(sent, outcome)] = h.hub.mailroom.unreported()
        assert (sent, outcome.fate) == (letter, Fate.SENT)
        assert len(mail.mails) == 1


async def test_who_is_given_up_before_the_content_does_not_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with MailServer() as mail:
        async with asyncio.timeout(10), outdated(mail, tmp_path, monkeypatch, "354", asyncio.Event()) as (h, _):
            pass
        assert h.hub.mailroom.unreported() == []
        assert mail.mails == []


async def test_who_is_to_end_while_it_is_given_up_does_not_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = asyncio.Event()
    async with MailServer() as mail:
        async with asyncio.timeout(10), outdated(mail, tmp_path, monkeypatch, "DATA", end) as (h, _):
            asyncio.get_running_loop().call_later(0.1, end.set)
        assert h.hub.mailroom.unreported() == []


@pytest.mark.parametrize("reader", [2, None], ids=["a message", "a code"])
async def test_a_server_that_starts_anew_waits_for_a_message_in_the_middle_but_for_no_code(reader: int | None) -> None:
    """What became of the one, another server has to know before it tries it; of the other, nobody has."""
    hub = InOneThread().hub
    async with MailServer() as mail:
        mail.answer("DATA", gate := asyncio.Event())
        mailer = SmtpMailer(Smtp("127.0.0.1", mail.port, "none"), "chat@team.example")
        postman = Postman([mailer], lambda _: pytest.fail("no draft is due"), lambda: 0.0, lambda: True)
        hub.mailroom.send(
            Letter(message_id="<1>", address="mary@example.org", content=b"a\r\n", made=0.0, expires=9e9, reader=reader)
        )
        sending = asyncio.create_task(postman.run(hub.mailroom))
        await mail.reached("DATA")
        finishing = asyncio.create_task(postman.finish())
        await asyncio.sleep(0)
        assert finishing.done() == (reader is None)
        assert postman.is_sending == (reader is not None)
        gate.set()
        await finishing
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
