"""Mailers against a real mail server and a real disk."""

import asyncio
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from aiosmtplib.email import parse_address
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chatmail.core.names import BadEmail, check_email
from chatmail.core.records import Fate, Letter, Outcome
from chatmail.server.mailers import REPLY_MAX, OutboxMailer, SmtpMailer, one_line, outbox_name
from chatmail.server.settings import Smtp
from chatmail.server.transaction import Withheld
from tests.server.mailserver import DROP, HANG, OK, Answer, Command, MailServer, certificates

SENDER = "team@example.org"
CONTENT = b"From: <team@example.org>\r\nSubject: x\r\n\r\n> hello\r\n.\r\n..\r\nlast"
LETTER = Letter(message_id="<1@example.org>", address="mary@example.org", content=CONTENT, made=1e9, expires=2e9)


def mailer(mail: MailServer, password: str = "", **options: Any) -> SmtpMailer:
    security = options.pop("security", mail.security)
    options.setdefault("tls_context", certificates()[1])
    return SmtpMailer(Smtp("127.0.0.1", mail.port, security), SENDER, password, **options)


@asynccontextmanager
async def sending(
    security: Literal["none", "starttls", "tls"] = "none",
    password: str = "",
    *,
    pipelining: bool = True,
    **options: Any,
) -> AsyncIterator[tuple[MailServer, SmtpMailer]]:
    """A mail server and a mailer for it."""
    async with MailServer(security=security, pipelining=pipelining, password=password) as mail:
        smtp = mailer(mail, password, **options)
        yield mail, smtp
        await smtp.close()


async def outcome_of(command: Command, answer: Answer, **options: Any) -> Outcome:
    """What comes of a letter when the server answers a command so."""
    async with sending(**options) as (mail, smtp):
        mail.answer(command, answer)
        return await smtp.send(LETTER)


each_way = pytest.mark.parametrize("pipelining", [True, False], ids=["pipelining", "one by one"])
"""Most servers take several commands at once, and some do not."""


@each_way
@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
async def test_the_very_bytes_arrive_over_every_kind_of_connection(security: Any, pipelining: bool) -> None:
    async with sending(security, pipelining=pipelining) as (mail, smtp):
        outcome = await smtp.send(LETTER)
        [received] = await mail.received(1)
    assert outcome == Outcome(fate=Fate.SENT, reply="250 2.0.0 OK: queued")
    assert received.sender == SENDER
    assert received.to == ["mary@example.org"]
    assert received.content == CONTENT + b"\r\n"
    assert received.tls == (security != "none")
    assert received.user == ""


@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
async def test_it_logs_in_when_there_is_a_password_and_only_then(security: Any) -> None:
    async with sending(security, "geheim") as (mail, smtp):
        assert (await smtp.send(LETTER)).fate is Fate.SENT
        [received] = await mail.received(1)
    assert received.user == SENDER
    async with sending(security) as (mail, smtp):
        await smtp.send(LETTER)
        assert mail.commands["AUTH"] == 0


async def test_several_letters_share_one_connection() -> None:
    async with sending("starttls", "geheim") as (mail, smtp):
        for _ in range(3):
            assert (await smtp.send(LETTER)).fate is Fate.SENT
        assert len(await mail.received(3)) == 3
        assert mail.connections == 1


async def test_letters_sent_at_once_wait_for_each_other() -> None:
    async with sending() as (mail, smtp):
        outcomes = await asyncio.gather(*(smtp.send(LETTER) for _ in range(5)))
        assert {outcome.fate for outcome in outcomes} == {Fate.SENT}
        assert mail.connections == 1


async def test_a_connection_the_server_has_closed_is_made_again() -> None:
    async with sending() as (mail, smtp):
        await smtp.send(LETTER)
        mail.hang_up()
        await mail.idle()
        assert (await smtp.send(LETTER)).fate is Fate.SENT
        assert mail.connections == 2


@each_way
@pytest.mark.parametrize("answer", [DROP, "421 4.4.2 too many mails, closing", "451 4.7.0 not again"])
async def test_a_kept_connection_that_takes_no_more_mail_is_made_again(answer: Answer, pipelining: bool) -> None:
    """Nothing was sent yet, so it is no failure of the letter."""
    async with sending(pipelining=pipelining) as (mail, smtp):
        await smtp.send(LETTER)
        mail.answer("MAIL", answer)
        assert (await smtp.send(LETTER)).fate is Fate.SENT
        assert mail.connections == 2
        assert len(await mail.received(2)) == 2


async def test_a_new_connection_is_tried_once_only() -> None:
    async with sending() as (mail, smtp):
        await smtp.send(LETTER)
        mail.answer("MAIL", DROP, DROP, OK)
        assert (await smtp.send(LETTER)).fate is Fate.LATER
        assert mail.connections == 2
        assert (await smtp.send(LETTER)).fate is Fate.SENT


async def test_an_unused_connection_is_closed() -> None:
    async with sending(idle=0.0) as (mail, smtp):
        assert (await smtp.send(LETTER)).fate is Fate.SENT
        await mail.idle()
        assert (await smtp.send(LETTER)).fate is Fate.SENT


async def test_after_close_it_can_send_again() -> None:
    async with sending("tls") as (mail, smtp):
        await smtp.send(LETTER)
        await smtp.close()
        await mail.idle()
        assert (await smtp.send(LETTER)).fate is Fate.SENT


@each_way
@pytest.mark.parametrize(
    ("command", "answer", "detail"),
    [
        ("RCPT", "550 5.1.1 <mary@example.org>: no such user", "the mail server refused it for good (5.1.1)"),
        ("RCPT", "553 not a mailbox", "the mail server refused it for good"),
        ("DATA", "550 5.7.1 looks like spam", "the mail server refused it for good (5.7.1)"),
        ("DATA", "554-5.6.0 bad\r\n554 5.6.0 content", "the mail server refused it for good (5.6.0)"),
        ("MAIL", "552 5.3.4 too big", "the mail server refused it for good (5.3.4)"),
    ],
)
async def test_refused_for_good(command: Command, answer: str, detail: str, pipelining: bool) -> None:
    outcome = await outcome_of(command, answer, pipelining=pipelining)
    assert (outcome.fate, outcome.detail) == (Fate.FAILED, detail)
    assert outcome.reply.startswith(answer[:3])


@each_way
@pytest.mark.parametrize(
    ("command", "answer", "detail"),
    [
        ("CONNECT", "421 4.3.2 overloaded", "the mail server is not at service now (4.3.2)"),
        ("CONNECT", "554 go away", "the mail server is not at service now"),
        ("EHLO", "421 closing", "the mail server refused it for now"),
        ("MAIL", "451 4.3.0 later", "the mail server refused it for now (4.3.0)"),
        ("MAIL", "553 5.7.1 not your address", "the mail server refused the sender"),
        ("MAIL", "530 5.7.0 log in", "the mail server refused the login"),
        ("RCPT", "450 4.2.0 greylisted", "the mail server refused it for now (4.2.0)"),
        ("RCPT", "451 local error", "the mail server refused it for now"),
        ("RCPT", "550 5.4.5 your mails of today are spent", "the mail server refused it for now (5.4.5)"),
        ("DATA", "452 4.3.1 disk full", "the mail server refused it for now (4.3.1)"),
        ("DATA", "what?", "the mail server refused it for now"),
        ("DATA", "250-" + "x" * 9_000 + "\r\n250 ok", "the mail server refused it for now"),
        *((command, DROP, "") for command in ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA")),
    ],
)
async def test_refused_for_now(command: Command, answer: Answer, detail: str, pipelining: bool) -> None:
    """Another try may mend it: a 4xx, a lost connection (also after the final dot), or the operator."""
    outcome = await outcome_of(command, answer, pipelining=pipelining)
    assert outcome.fate is Fate.LATER
    assert outcome.detail.startswith(detail or "the ")
    assert outcome.reply


@each_way
@pytest.mark.parametrize("command", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA"])
async def test_a_server_that_hangs_is_left_at_the_deadline(command: Command, pipelining: bool) -> None:
    async with sending(deadline=0.1, pipelining=pipelining) as (mail, smtp):
        mail.answer(command, HANG)
        outcome = await smtp.send(LETTER)
        await mail.idle()
    assert (outcome.fate, outcome.detail) == (Fate.LATER, "the mail server did not answer in time")


async def test_a_wrong_password_is_the_operators_to_mend() -> None:
    async with MailServer(security="starttls", password="right") as mail:
        outcome = await mailer(mail, "wrong").send(LETTER)
        assert not mail.mails
    assert outcome.fate is Fate.LATER
    assert outcome.detail.startswith("the mail server refused the login")
    assert outcome.reply == "535 5.7.8 Authentication credentials invalid"


async def test_a_server_without_starttls_gets_neither_password_nor_mail() -> None:
    async with MailServer(password="geheim") as mail:
        outcome = await mailer(mail, "geheim", security="starttls").send(LETTER)
        assert mail.commands["AUTH"] == mail.commands["MAIL"] == 0
    assert outcome.fate is Fate.LATER
    assert "STARTTLS" in outcome.reply


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_certificate_nobody_trusts_gets_neither_password_nor_mail(security: Any) -> None:
    """By default the roots of the system decide, and they do not know the one of this test."""
    async with MailServer(security=security, password="geheim") as mail:
        outcome = await mailer(mail, "geheim", tls_context=None).send(LETTER)
        assert mail.commands["AUTH"] == mail.commands["MAIL"] == 0
    assert outcome.fate is Fate.LATER
    assert outcome.detail.startswith("no safe connection")
    assert "CERTIFICATE_VERIFY_FAILED" in outcome.reply


async def test_a_port_that_speaks_no_tls_is_no_safe_connection() -> None:
    async with MailServer() as mail:
        outcome = await mailer(mail, security="tls").send(LETTER)
    assert outcome.fate is Fate.LATER
    assert outcome.detail.startswith("no safe connection")


async def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        smtp = SmtpMailer(Smtp("127.0.0.1", unused.getsockname()[1], "none"), SENDER)
        outcome = await smtp.send(LETTER)
    assert (outcome.fate, outcome.detail) == (Fate.LATER, "the mail server could not be reached")


async def test_a_host_that_does_not_exist() -> None:
    outcome = await SmtpMailer(Smtp("no-such-host.invalid", 587, "starttls"), SENDER).send(LETTER)
    assert (outcome.fate, outcome.detail) == (Fate.LATER, "the mail server could not be reached")


async def test_a_cancelled_send_leaves_nothing_behind() -> None:
    async with sending() as (mail, smtp):
        mail.answer("DATA", HANG)
        task = asyncio.create_task(smtp.send(LETTER))
        await mail.reached("DATA")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await mail.idle()
        assert (await smtp.send(LETTER)).fate is Fate.SENT


@each_way
async def test_right_before_the_content_it_asks_once_more_whether_to_send(pipelining: bool) -> None:
    async with sending(pipelining=pipelining) as (mail, smtp):
        asked: list[int] = []

        def begin() -> bool:
            asked.append(mail.commands["354"])
            return len(asked) > 1

        with pytest.raises(Withheld):
            await smtp.send(LETTER, begin)
        await mail.idle()
        assert mail.mails == []
        assert (await smtp.send(LETTER, begin)).fate is Fate.SENT
        assert asked == [1, 2]


async def test_what_the_server_says_is_for_the_operator_on_one_harmless_line() -> None:
    outcome = await outcome_of("RCPT", "550-5.1.1 no\r\n550-5.1.1 such \x1b[31m\x85user\r\n550 5.1.1 " + "x" * 400)
    assert outcome.detail == "the mail server refused it for good (5.1.1)"
    assert outcome.reply.startswith("550 5.1.1 no 5.1.1 such <U+001B>[31m")
    assert outcome.reply.isprintable()


@given(st.text())
def test_one_line_is_one_line(text: str) -> None:
    line = one_line(text * 3)
    assert line.isprintable()
    assert len(line) <= REPLY_MAX


@given(st.emails() | st.from_regex(r"\A[a-z.=?_'+-]{1,20}@[a-z]{1,9}\.[a-z]{2,3}\Z"))
def test_the_smtp_library_leaves_every_address_as_it_is(address: str) -> None:
    """It parses what it is given, and could make another address of it."""
    try:
        checked = check_email(address)
    except BadEmail:
        return
    assert parse_address(checked) == checked


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_the_outbox_gets_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "outbox"
    outcome = await OutboxMailer(folder).send(LETTER)
    [path] = files(folder)
    assert outcome == Outcome(fate=Fate.SAVED, reply=str(path))
    assert path.name.startswith("20010909T014640Z-mary@example.org-")
    assert path.suffix == ".eml"
    assert path.read_bytes() == CONTENT
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_the_outbox_gets_nothing_that_is_not_to_be_sent(tmp_path: Path) -> None:
    with pytest.raises(Withheld):
        await OutboxMailer(tmp_path).send(LETTER, lambda: False)
    assert files(tmp_path) == []


async def test_a_letter_written_again_takes_the_place_of_the_first(tmp_path: Path) -> None:
    outbox = OutboxMailer(tmp_path)
    await outbox.send(LETTER)
    await outbox.send(LETTER)
    await outbox.send(replace(LETTER, message_id="<2@example.org>"))
    await outbox.close()
    assert len(files(tmp_path)) == 2


async def test_a_disk_that_does_not_take_it_is_tried_later(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("a file, no folder")
    outcome = await OutboxMailer(tmp_path / "outbox").send(LETTER)
    assert (outcome.fate, outcome.detail) == (Fate.LATER, "the mail could not be written into the outbox")
    assert "outbox" in outcome.reply


async def test_a_failed_write_leaves_no_half_a_file(tmp_path: Path) -> None:
    (tmp_path / outbox_name(LETTER)).mkdir()
    outcome = await OutboxMailer(tmp_path).send(LETTER)
    assert outcome.fate is Fate.LATER
    assert files(tmp_path) == [tmp_path / outbox_name(LETTER)]


@given(st.text())
def test_a_file_name_cannot_leave_the_folder(address: str) -> None:
    name = outbox_name(replace(LETTER, address=address))
    assert Path(name).name == name
    assert name.isascii()
    assert len(name) < 160
