"""The check of the mail account, against a real mail server: what it says of each step, and what it advises."""

import asyncio
import socket
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import pytest

from chatmail.server.checkmail import check_mail, login_advice
from chatmail.server.settings import Settings
from tests.server.mailserver import DROP, HANG, PATIENCE, Answer, Command, MailServer, certificates

Security = Literal["none", "starttls", "tls"]
SENDER = "team@example.org"
PASSWORD = "geheim"
ENOUGH = 0.3
"""A deadline for one step that hangs, and for those before it that do not."""


def account(port: int, security: Security, password: str = PASSWORD, **more: Any) -> Settings:
    return Settings(
        sender_email=SENDER,
        password=password,
        smtp_host=more.pop("host", "127.0.0.1"),
        smtp_port=port,
        smtp_security=security,
        **more,
    )


async def check(settings: Settings, address: str = "", **options: Any) -> tuple[bool, list[str]]:
    """Whether all worked, and the lines after the first, which says what is checked."""
    said: list[str] = []
    options.setdefault("tls_context", certificates()[1])
    worked = await check_mail(settings, address, said.append, **{"deadline": PATIENCE, **options})
    assert all(line.isprintable() and len(line) < 600 for line in said)
    assert PASSWORD not in "".join(said)
    return worked, said[1:]


async def failure(settings: Settings, address: str = "", **options: Any) -> str:
    """The line that tells what failed, and the advice below it."""
    worked, said = await check(settings, address, **options)
    assert not worked
    failed = next(number for number, line in enumerate(said) if line.startswith("FAILED  "))
    assert all(line.startswith(("ok      ", "skipped ")) for line in said[:failed])
    advice = said[failed + 1 :]
    assert 1 <= len(advice) <= 2
    assert all(line.startswith("        ") for line in advice)
    return "\n".join(said[failed:])


async def failure_at(command: Command, answer: Answer, security: Security = "starttls", **options: Any) -> str:
    """What is said when the server answers a command so."""
    async with MailServer(security=security, password=PASSWORD) as mail:
        mail.answer(command, *[answer] * (2 if command == "AUTH" else 1))  # it is tried by PLAIN, then by LOGIN
        said = await failure(account(mail.port, security), "bob@x.org", **options)
        assert not mail.mails
    return said


@contextmanager
def nobody_listens() -> Iterator[int]:
    """A port that is refused."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield unused.getsockname()[1]


@asynccontextmanager
async def listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """A port where every connection is served so; at the end it is waited for."""
    tasks = []

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())
        with suppress(ConnectionError):
            await serve(reader, writer)
        with suppress(ConnectionError):
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(served, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*filter(None, tasks))


def saying(*answers: bytes) -> AbstractAsyncContextManager[int]:
    """A port where these are said: the first at once, each of the others after a line that came."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            writer.write(answer + b"\r\n")
            await reader.readline()
        await reader.read()

    return listening(serve)


@asynccontextmanager
async def tapped(port: int) -> AsyncIterator[tuple[int, bytearray]]:
    """A port that leads to another one, and what the client sends through it."""
    heard = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, onward = await asyncio.open_connection("127.0.0.1", port)

        async def there() -> None:
            while data := await reader.read(65536):
                heard.extend(data)
                onward.write(data)
            onward.close()

        async def back() -> None:
            while data := await answers.read(65536):
                writer.write(data)
            writer.close()

        await asyncio.gather(there(), back())
        await onward.wait_closed()

    async with listening(serve) as tap:
        yield tap, heard


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_each_step_that_works_is_told(security: Security) -> None:
    async with MailServer(security=security, password=PASSWORD) as mail:
        worked, said = await check(account(mail.port, security), "bob@x.org")
        [received] = await mail.received(1)
        await mail.idle()
    assert worked
    assert said[0].startswith(f"ok      127.0.0.1:{mail.port} answers: 220 mail.test ")
    assert said[1:] == [
        "ok      encrypted: TLSv1.3",
        f"ok      logged in as {SENDER}",
        "ok      sent to bob@x.org: 250 2.0.0 OK: queued",
        "All worked. Is the mail in the mailbox of bob@x.org? Look among the spam, too.",
    ]
    assert (received.sender, received.to, received.user, received.tls) == (SENDER, ["bob@x.org"], SENDER, True)
    assert received.message["Subject"] == "Test mail of the chat server"
    assert received.message["To"] == "bob@x.org"


async def test_a_line_is_told_as_the_step_happens_and_the_first_says_what_is_checked() -> None:
    async with MailServer() as mail:
        mail.answer("MAIL", HANG)
        said: asyncio.Queue[str] = asyncio.Queue()
        task = asyncio.create_task(check_mail(account(mail.port, "none", ""), "bob@x.org", said.put_nowait))
        await mail.reached("MAIL")
        lines = [said.get_nowait() for _ in range(said.qsize())]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await mail.idle()
    assert lines[0] == f"A test mail from {SENDER} to bob@x.org, through 127.0.0.1:{mail.port}:"
    assert lines[2:] == [
        "skipped encryption, since SMTP_SECURITY is none",
        "skipped login, since PASSWORD is not set",
    ]


async def test_without_an_address_the_mail_goes_to_the_sender() -> None:
    async with MailServer() as mail:
        assert (await check(account(mail.port, "none", "")))[0]
        assert mail.mails[0].to == [SENDER]
        assert mail.commands["AUTH"] == 0


async def test_each_test_mail_is_one_of_its_own() -> None:
    """A server, or a mailbox, may drop what has the Message-ID of another one."""
    async with MailServer() as mail:
        for _ in range(2):
            await check(account(mail.port, "none", ""))
        first, second = await mail.received(2)
    assert first.message["Message-ID"] != second.message["Message-ID"]


async def test_a_relay_on_this_machine_needs_neither_encryption_nor_login() -> None:
    async with MailServer() as mail:
        settings = Settings(sender_email=SENDER, smtp_host="127.0.0.1", smtp_port=mail.port)
        worked, said = await check(settings)
    assert worked
    assert said[1] == "skipped encryption, since the server is on this machine"


async def test_a_server_that_knows_only_helo_is_fine_for_a_relay() -> None:
    async with MailServer() as mail:
        mail.answer("EHLO", "502 5.5.1 not implemented")
        assert (await check(account(mail.port, "none", "")))[0]


@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
async def test_the_password_crosses_in_clear_only_where_the_settings_say_so(security: Security) -> None:
    secret = b64encode(f"\0{SENDER}\0{PASSWORD}".encode())
    async with MailServer(security=security, password=PASSWORD) as mail, tapped(mail.port) as (port, heard):
        worked, said = await check(account(port, security))
        assert mail.mails[0].user == SENDER
        await mail.idle()
    assert worked
    assert (secret in heard) == (security == "none")
    assert (said[1] == "skipped encryption, since SMTP_SECURITY is none; the password goes out in clear") == (
        security == "none"
    )


async def test_a_server_without_starttls_gets_neither_password_nor_mail() -> None:
    async with MailServer(password=PASSWORD) as mail, tapped(mail.port) as (port, heard):
        said = await failure(account(port, "starttls"))
        assert mail.commands["AUTH"] == mail.commands["MAIL"] == 0
        await mail.idle()
    assert b"EHLO" in heard
    assert b"AUTH" not in heard
    assert said.startswith("FAILED  encryption: the server offers no STARTTLS\n")
    assert "SMTP_PORT=465" in said
    assert "SMTP_SECURITY=none" in said


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_certificate_nobody_trusts_gets_neither_password_nor_mail(security: Security) -> None:
    async with MailServer(security=security, password=PASSWORD) as mail:
        said = await failure(account(mail.port, security), tls_context=None)
        assert mail.commands["AUTH"] == mail.commands["MAIL"] == 0
    assert said.startswith("FAILED  encryption: the certificate is not trusted: ")
    assert "clock" in said
    assert "SSL_CERT_FILE" in said


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_certificate_for_another_name(security: Security) -> None:
    async with MailServer(security=security) as mail:
        said = await failure(account(mail.port, security, host="127.1"))
    assert said.startswith("FAILED  encryption: the certificate is not trusted: Hostname mismatch")
    assert "SMTP_HOST must be a name that the certificate is for" in said


async def test_a_port_that_speaks_no_tls() -> None:
    async with MailServer() as mail:
        said = await failure(account(mail.port, "tls"))
    assert said.startswith("FAILED  encryption: ")
    assert "SMTP_PORT=587 with SMTP_SECURITY=starttls" in said


async def test_a_refused_starttls() -> None:
    async with saying(b"220 x", b"250-x\r\n250 STARTTLS", b"454 4.7.0 not now") as port:
        said = await failure(account(port, "starttls"))
    assert said.startswith("FAILED  encryption: 454 4.7.0 not now\n")
    assert "SMTP_PORT=465" in said


@pytest.mark.parametrize(
    ("security", "advice"),
    [("starttls", "SMTP_PORT=465"), ("tls", "SMTP_PORT=587"), ("none", "Is a mail server running there?")],
)
async def test_nobody_listens(security: Security, advice: str) -> None:
    with nobody_listens() as port:
        said = await failure(account(port, security))
    assert said.startswith(f"FAILED  connection to 127.0.0.1:{port}: Connection refused\n")
    assert advice in said


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_port_that_hangs_up_at_once(security: Security) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if security == "tls":
            await reader.read(65536)  # the client's hello; unread, it would make a reset of the end
        writer.close()

    async with listening(serve) as port:
        said = await failure(account(port, security))
    assert said.startswith(f"FAILED  connection to 127.0.0.1:{port}: the connection was lost\n")


async def test_a_host_that_does_not_exist() -> None:
    said = await failure(account(587, "starttls", host="no-such-host.invalid"))
    assert said.startswith("FAILED  connection to no-such-host.invalid:587: ")
    assert "Check SMTP_HOST." in said


async def test_an_ipv6_address_stands_in_brackets() -> None:
    with nobody_listens() as port:
        said = await failure(account(port, "none", host="::1"))
    assert said.startswith(f"FAILED  connection to [::1]:{port}: ")


@pytest.mark.parametrize(
    ("command", "step"),
    [
        ("CONNECT", "connection to 127.0.0.1:"),
        ("EHLO", "greeting (EHLO)"),
        ("AUTH", f"login as {SENDER}"),
        ("MAIL", "mail to bob@x.org"),
        ("RCPT", "mail to bob@x.org"),
        ("DATA", "mail to bob@x.org"),
    ],
)
async def test_a_server_that_hangs_or_hangs_up_is_told_by_the_step(command: Command, step: str) -> None:
    said = await failure_at(command, HANG, "none", deadline=ENOUGH)
    assert said.startswith(f"FAILED  {step}")
    assert said.splitlines()[0].endswith(": no answer within 0.3 s")
    said = await failure_at(command, DROP, "none")
    assert said.startswith(f"FAILED  {step}")
    assert said.splitlines()[0].endswith(": the connection was lost")


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_port_that_says_nothing(security: Security) -> None:
    """As when a firewall swallows it, or when it waits for TLS."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        said = await failure(account(port, security), deadline=0.1)
    assert said.startswith(f"FAILED  connection to 127.0.0.1:{port}: no answer within 0.1 s\n")
    assert "Many networks block the ports of mail" in said


@pytest.mark.parametrize(
    ("command", "answer", "failed", "advice"),
    [
        ("CONNECT", "421 4.3.2 overloaded", "connection to ", "Try again later"),
        ("CONNECT", "554 no service for you", "connection to ", "from another network"),
        ("EHLO", "421 closing", "greeting (EHLO): 421 closing", "Try again later"),
        ("AUTH", "454 4.7.0 not now", f"login as {SENDER}: 454 4.7.0 not now", "try again in some minutes"),
        ("AUTH", "535 5.7.8 no", f"login as {SENDER}: 535 5.7.8 no", "app password"),
        ("MAIL", "451 4.3.0 later", "mail to bob@x.org: sender refused: 451 4.3.0", "try again in some minutes"),
        ("MAIL", "553 5.7.1 not yours", "mail to bob@x.org: sender refused: 553 5.7.1", "SENDER_EMAIL must be"),
        ("MAIL", "534 5.7.9 app password", "mail to bob@x.org: sender refused: 534", "app password"),
        ("RCPT", "550 5.1.1 nobody", "mail to bob@x.org: recipient refused: 550 5.1.1", "Is the address right?"),
        ("RCPT", "450 4.2.0 greylisted", "mail to bob@x.org: recipient refused: 450", "try again in some minutes"),
        ("DATA", "451 4.3.1 disk full", "mail to bob@x.org: refused: 451 4.3.1", "try again in some minutes"),
        ("DATA", "554 5.7.1 spam", "mail to bob@x.org: refused: 554 5.7.1 spam", "a filter against spam"),
        ("DATA", "what?", "mail to bob@x.org: Malformed SMTP response line: what?", "reply says why"),
    ],
)
async def test_what_the_server_refuses_is_told_with_advice(
    command: Command, answer: str, failed: str, advice: str
) -> None:
    said = await failure_at(command, answer, "none" if command == "AUTH" else "tls")
    assert said.startswith(f"FAILED  {failed}")
    assert answer.split()[0] in said.splitlines()[0]
    assert advice in said


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_wrong_password(security: Security) -> None:
    async with MailServer(security=security, password="another") as mail:
        said = await failure(account(mail.port, security))
        assert mail.commands["MAIL"] == 0
    assert said.startswith(f"FAILED  login as {SENDER}: 535 5.7.8 Authentication credentials invalid\n")
    assert "SENDER_EMAIL" in said
    assert "app password" in said


async def test_a_server_that_takes_no_password() -> None:
    async with saying(b"220 x", b"250 x") as port:
        said = await failure(account(port, "none"))
    assert said.startswith(f"FAILED  login as {SENDER}: The SMTP AUTH extension is not supported")
    assert "leave PASSWORD empty" in said


async def test_a_server_that_wants_a_login_when_there_is_no_password() -> None:
    async with MailServer(security="tls", password=PASSWORD) as mail:
        said = await failure(account(mail.port, "tls", ""))
        assert mail.commands["AUTH"] == 0
    assert said.startswith(f"FAILED  mail to {SENDER}: sender refused: 530 5.7.0 Authentication required\n")
    assert "set PASSWORD" in said


async def test_a_relay_that_refuses_a_recipient_may_want_a_login() -> None:
    async with MailServer() as mail:
        mail.answer("RCPT", "554 5.7.1 relay access denied")
        assert "set PASSWORD" in await failure(account(mail.port, "none", ""))


async def test_what_the_server_says_is_made_harmless() -> None:
    async with MailServer() as mail:
        mail.answer("RCPT", "550-5.1.1 \x1b[31mred\r\n550 5.1.1 \x85\u202enobody")
        said = await failure(account(mail.port, "none", ""))
    assert said.splitlines()[0].endswith(": recipient refused: 550 5.1.1 <U+001B>[31mred 5.1.1 <U+202E>nobody")


async def test_a_hostile_greeting_is_made_harmless() -> None:
    greeting = b"220-a\r\n220 \x1b[2J\x07\x9b\xff\xe2\x80\xaeevil " + b"x" * 2_000
    async with saying(greeting, b"421 \x1b[2Jclosing") as port:
        worked, said = await check(account(port, "none"))
    assert not worked
    assert "answers: 220 a <U+001B>[2J<U+0007><U+DC9B><U+DCFF><U+202E>evil xxx" in said[0]
    assert said[0].endswith("x…")
    assert said[1] == "FAILED  greeting (EHLO): 421 <U+001B>[2Jclosing"


@pytest.mark.parametrize("goodbye", [b"", b"500 what?\r\n"])
async def test_how_the_server_says_goodbye_changes_nothing(goodbye: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 x\r\n")
        while (line := await reader.readline()) != b"QUIT\r\n":
            writer.write(b"354 go on\r\n" if line == b"DATA\r\n" else b"250 fine\r\n")
            if line == b"DATA\r\n":
                await reader.readuntil(b"\r\n.\r\n")
                writer.write(b"250 fine\r\n")
        writer.write(goodbye)

    async with listening(serve) as port:
        assert (await check(account(port, "none", "")))[0]


async def test_without_a_mail_account_the_mail_becomes_a_file(tmp_path: Path) -> None:
    said: list[str] = []
    assert await check_mail(Settings(outbox=tmp_path / "outbox"), "bob@x.org", said.append)
    [path] = (tmp_path / "outbox").iterdir()
    assert said == [
        f"No mail account (SENDER_EMAIL is not set), so mails become files in {tmp_path / 'outbox'}:",
        f"ok      written: {path}",
    ]
    assert b"\r\nTo: bob@x.org\r\nSubject: Test mail of the chat server\r\n" in path.read_bytes()
    assert await check_mail(Settings(outbox=tmp_path), "", said.append)


async def test_an_outbox_that_takes_no_file(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("a file, no folder")
    said = await failure(Settings(outbox=tmp_path / "outbox"))
    assert said.startswith("FAILED  the mail could not be written into the outbox: ")
    assert "Set OUTBOX" in said


@pytest.mark.parametrize(
    ("domain", "words"),
    [
        ("gmail.com", "https://myaccount.google.com/apppasswords"),
        ("googlemail.com", "2-step verification"),
        ("yahoo.co.uk", "Yahoo wants an app password"),
        ("aol.com", "AOL wants an app password"),
        ("icloud.com", "https://account.apple.com → App-Specific Passwords"),
        ("fastmail.fm", "Fastmail wants an app password"),
        ("zoho.eu", "Zoho wants an app password"),
        ("gmx.de", "POP3 and IMAP"),
        ("gmx.us", "POP3 and IMAP"),
        ("web.de", "POP3 and IMAP"),
        ("ya.ru", "Yandex wants an app password"),
        ("bk.ru", "Mail.ru wants an app password"),
        ("hotmail.com", "another provider"),
        ("office365.com", "another provider"),
    ],
)
def test_what_a_provider_wants_instead_of_the_password(domain: str, words: str) -> None:
    smtp = Settings(sender_email=f"a@{domain}", password="x").smtp
    assert smtp
    advice = login_advice(smtp.host)
    assert words in "\n".join(advice)
    assert 1 <= len(advice) <= 2
    assert login_advice(smtp.host.upper()) == advice


@pytest.mark.parametrize("host", ["smtp.example.org", "notgmail.com", "gmail.com.example.org", "127.0.0.1", "::1"])
def test_no_advice_for_a_host_that_is_not_known(host: str) -> None:
    assert login_advice(host) == ()


def test_the_example_of_the_settings_says_the_same() -> None:
    example = (Path(__file__).parents[2] / ".env.example").read_text("utf-8")
    assert login_advice("smtp.gmail.com")[-1] in example
    assert "chatmail-server --check-mail" in example
