"""``--check-mail``: one test mail, sent step by step, with a line for each step and advice where one fails.

For the operator who has just filled in SENDER_EMAIL and PASSWORD. The connection is the one that ``SmtpMailer`` makes,
taken apart: what works here works there. Nobody is served meanwhile, nothing is kept, and a step that fails is the
last. What a server says is made harmless before it is shown.
"""

import asyncio
import os
import re
import socket
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from secrets import token_hex
from typing import NamedTuple

from aiosmtplib.errors import (
    SMTPDataError,
    SMTPException,
    SMTPHeloError,
    SMTPNotSupported,
    SMTPRecipientRefused,
    SMTPResponseException,
    SMTPSenderRefused,
    SMTPServerDisconnected,
)

from chatmail.core.records import Fate, Letter
from chatmail.server.letters import OUTBOX_ADDRESS, compose_test
from chatmail.server.mailers import ACCOUNT_REPLIES, OutboxMailer, connection_to, one_line
from chatmail.server.settings import Settings, Smtp

STEP_MAX = 30.0
"""The whole of one step, in seconds."""
INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells count it: 128 + SIGINT."""

_OK, _SKIPPED, _FAILED, _ADVICE = "ok      ", "skipped ", "FAILED  ", "        "
_LATER = "That is for now: try again in some minutes."

# What to do about a refused login, by the domains that mail servers are in.
_LOGINS = {
    "gmail.com googlemail.com google.com": (
        "Google wants an app password: turn on 2-step verification, then make one at",
        "https://myaccount.google.com/apppasswords",
    ),
    "yahoo.com": ("Yahoo wants an app password; make one at https://login.yahoo.com/account/security",),
    "aol.com": ("AOL wants an app password; make one at https://login.aol.com/account/security",),
    "me.com icloud.com": (
        "Apple wants an app-specific password: https://account.apple.com → App-Specific Passwords,",
        "where two-factor authentication is on.",
    ),
    "fastmail.com": ("Fastmail wants an app password: Settings → Privacy & Security. The Basic plan has none.",),
    "zoho.com zoho.eu zoho.in": ("Zoho wants an app password: My Account → Security → App Passwords.",),
    "gmx.net gmx.com web.de": (
        "Allow access by POP3 and IMAP in the settings of the mailbox: it is off at first, and sending belongs to it.",
        "With two-factor authentication, make an app password as well.",
    ),
    "yandex.com yandex.ru": (
        "Yandex wants an app password: Yandex ID → Security → App passwords.",
        "Allow mail programs in the settings of the mailbox, too.",
    ),
    "mail.ru": ("Mail.ru wants an app password: account → Security → Passwords for external applications.",),
    "outlook.com": (
        "Microsoft has switched off login by password, app passwords too: take an address of another provider.",
    ),
    "office365.com": (
        "Microsoft is switching off login by password; some administrators still allow it (SMTP AUTH).",
        "Better take an address of another provider.",
    ),
}
_ANY_LOGIN = (
    "SENDER_EMAIL is the user name: check it, and PASSWORD.",
    'Many providers want an app password: look for "app password" in the security settings of the account.',
)

_Trouble = SMTPException | OSError


def run(settings: Settings) -> int:
    """The check as a program, on standard output; its exit status: 0 when all worked, else 1, or 130 after Ctrl-C."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        worked = asyncio.run(check_mail(settings, settings.check_mail or "", _print))
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0 if worked else 1


def _print(line: str) -> None:
    try:
        print(line, flush=True)
    except OSError:  # whoever read it has enough; the exit status tells them
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


async def check_mail(
    settings: Settings,
    address: str,
    say: Callable[[str], None],
    *,
    deadline: float = STEP_MAX,
    tls_context: ssl.SSLContext | None = None,
) -> bool:
    """Send a test mail and tell of each step as it happens; whether all of them worked.

    Args:
        settings: the mail account; without one, the mail becomes a file in ``outbox``.
        address: to whom, "" for the sender's own address.
        say: takes one line at a time, which is harmless for a terminal.
        deadline: seconds for one whole step.
        tls_context: whom to trust; None: whom this system trusts, under the name of the host.
    """
    sender, smtp = settings.sender_email, settings.smtp
    letter = compose_test(address or sender or OUTBOX_ADDRESS, sender, time.time(), token_hex(8))
    if smtp is None:
        return await _save(settings, letter, say)
    say(f"A test mail from {sender} to {letter.address}, through {_place(smtp)}:")
    check = _Check(settings, smtp, letter, tls_context)
    try:
        for step in check.steps():
            try:
                async with asyncio.timeout(deadline):
                    told = await step.run()
            except (SMTPException, OSError) as error:
                for line in check.explain(step, error, deadline):
                    say(line)
                return False
            if told:
                say(told)
        with suppress(SMTPException, OSError):  # it has the mail: how it says goodbye changes nothing
            async with asyncio.timeout(deadline):
                await check.connection.quit()
    finally:
        check.connection.close()
    say(f"All worked. Is the mail in the mailbox of {letter.address}? Look among the spam, too.")
    return True


async def _save(settings: Settings, letter: Letter, say: Callable[[str], None]) -> bool:
    say(f"No mail account (SENDER_EMAIL is not set), so mails become files in {one_line(str(settings.outbox))}:")
    outcome = await OutboxMailer(settings.outbox).send(letter)
    if outcome.fate is Fate.SAVED:
        say(f"{_OK}written: {outcome.reply}")
        return True
    say(f"{_FAILED}{outcome.detail}: {outcome.reply}")
    say(f"{_ADVICE}Set OUTBOX to a folder that this user may write into, or SENDER_EMAIL to send mail.")
    return False


class _Step(NamedTuple):
    """One step: what it is called where it fails, how it is done, what to do where it fails.

    ``run`` gives the line that tells of it, "" for none.
    """

    name: str
    run: Callable[[], Awaitable[str]]
    advice: Callable[[_Trouble], tuple[str, ...]]


class _Check:
    """The steps over one connection, and what to do about the trouble that each may have."""

    def __init__(self, settings: Settings, smtp: Smtp, letter: Letter, tls_context: ssl.SSLContext | None) -> None:
        self._settings = settings
        self._smtp = smtp
        self._letter = letter
        self.connection = connection_to(smtp, settings.sender_email, settings.password, tls_context)

    def steps(self) -> tuple[_Step, ...]:
        """In order."""
        return (
            _Step(f"connection to {_place(self._smtp)}", self._connect, self._about_connection),
            _Step("greeting (EHLO)", self._greet, self._about_greeting),
            _Step("encryption", self._encrypt, self._about_encryption),
            _Step(f"login as {self._settings.sender_email}", self._log_in, self._about_login),
            _Step(f"mail to {self._letter.address}", self._send, self._about_mail),
        )

    def explain(self, step: _Step, error: _Trouble, deadline: float) -> list[str]:
        """The lines that tell what did not work, why, and what to do."""
        error = _root(error)
        if isinstance(error, ssl.SSLError):  # with TLS from the first byte, it came while connecting
            step = step._replace(name="encryption", advice=self._about_encryption)
        reason = one_line(_reason(error, deadline))
        return [f"{_FAILED}{step.name}: {reason}", *(_ADVICE + line for line in step.advice(error))]

    async def _connect(self) -> str:
        reply = await self.connection.connect(start_tls=False, username=None, password=None)  # those are steps
        return f"{_OK}{_place(self._smtp)} answers: {one_line(f'{reply.code} {reply.message}')}"

    async def _greet(self) -> str:
        try:
            await self.connection.ehlo()
        except SMTPHeloError:
            if not self.connection.is_connected:
                raise
            await self.connection.helo()
        return ""

    async def _encrypt(self) -> str:
        if self._smtp.security == "none":
            why = "SMTP_SECURITY is none" if self._settings.smtp_security == "none" else "the server is on this machine"
            clear = "; the password goes out in clear" if self._settings.password else ""
            return f"{_SKIPPED}encryption, since {why}{clear}"
        if self._smtp.security == "starttls":
            if not self.connection.supports_extension("starttls"):
                raise SMTPNotSupported("the server offers no STARTTLS")
            await self.connection.starttls()
        return f"{_OK}encrypted: {self.connection.get_transport_info('ssl_object').version()}"

    async def _log_in(self) -> str:
        sender, password = self._settings.sender_email, self._settings.password
        if not password:
            return f"{_SKIPPED}login, since PASSWORD is not set"
        await self.connection.login(sender, password)
        return f"{_OK}logged in as {sender}"

    async def _send(self) -> str:
        await self.connection.mail(self._settings.sender_email)
        await self.connection.rcpt(self._letter.address)
        code, text = await self.connection.data(self._letter.content)
        return f"{_OK}sent to {self._letter.address}: {one_line(f'{code} {text}')}"

    def _about_connection(self, error: _Trouble) -> tuple[str, ...]:
        if isinstance(error, socket.gaierror):
            check = "Check SMTP_HOST. " if self._settings.smtp_host else ""
            return (f"{check}Is this machine connected to the network?",)
        if isinstance(error, SMTPResponseException):
            return ("Its reply says why. Try again later, or from another network: mail servers shut some out.",)
        if self._smtp.security == "none":
            return ("Check SMTP_HOST and SMTP_PORT. Is a mail server running there?",)
        return (
            "Check SMTP_HOST and SMTP_PORT. Many networks block the ports of mail, 25 and 587 above all:",
            self._other_port(),
        )

    def _about_greeting(self, _: _Trouble) -> tuple[str, ...]:
        return ("Try again later. If it stays so, ask whoever runs that server.",)

    def _about_encryption(self, error: _Trouble) -> tuple[str, ...]:
        if isinstance(error, ssl.SSLCertVerificationError):
            if "mismatch" in error.verify_message:
                return ("SMTP_HOST must be a name that the certificate is for: ask the provider.",)
            return (
                "Check SMTP_HOST, this machine's clock, and that ca-certificates is installed. For an authority of",
                "your own, set SSL_CERT_FILE in the environment (not in .env) to its certificate.",
            )
        if isinstance(error, SMTPNotSupported):
            return (
                "Without it the password is not sent, nor any mail: " + self._other_port(),
                "SMTP_SECURITY=none does without, which is only for a server on this machine or in your own network.",
            )
        return (f"Perhaps port {self._smtp.port} wants another kind of TLS: {self._other_port()}",)

    def _about_login(self, error: _Trouble) -> tuple[str, ...]:
        if isinstance(error, SMTPResponseException) and 400 <= error.code < 500:
            return (_LATER,)
        if isinstance(error, SMTPServerDisconnected | TimeoutError):
            return ("Try again in some minutes. Some servers answer a wrong password so: check it.",)
        if isinstance(error, SMTPResponseException):
            return login_advice(self._smtp.host) or _ANY_LOGIN
        return login_advice(self._smtp.host) or (
            "This server takes no password here: " + self._other_port(),
            "A relay that knows this machine wants none: leave PASSWORD empty.",
        )

    def _about_mail(self, error: _Trouble) -> tuple[str, ...]:
        if not isinstance(error, SMTPResponseException):
            return ("Try again in some minutes; this mail may arrive, or not.",)
        if error.code in ACCOUNT_REPLIES:
            return ("It wants a login: set PASSWORD.",) if not self._settings.password else self._about_login(error)
        if 400 <= error.code < 500:
            return (_LATER, "The running server does that by itself.")
        match error:
            case SMTPSenderRefused():
                return ("SENDER_EMAIL must be an address that this account may send from.",)
            case SMTPRecipientRefused():
                more = () if self._settings.password else ("A relay may want a login first: set PASSWORD.",)
                return ("Is the address right? Try another one: chatmail-server --check-mail ADDRESS", *more)
        return ("Its reply says why; often it is a filter against spam, or the limit of mails a day.",)

    def _other_port(self) -> str:
        if self._smtp.security == "tls":
            return "try SMTP_PORT=587 with SMTP_SECURITY=starttls."
        return "try SMTP_PORT=465 with SMTP_SECURITY=tls."


def login_advice(host: str) -> tuple[str, ...]:
    """What a provider wants instead of the password that was refused, () for a host that is not known here."""
    for domains, advice in _LOGINS.items():
        if any(f".{host}".lower().endswith(f".{domain}") for domain in domains.split()):
            return advice
    return ()


def _place(smtp: Smtp) -> str:
    return f"[{smtp.host}]:{smtp.port}" if ":" in smtp.host else f"{smtp.host}:{smtp.port}"


def _root(error: _Trouble) -> _Trouble:
    """The error itself, or the system's own that the library wrapped."""
    return error.__cause__ if isinstance(error.__cause__, OSError) else error


def _reason(error: _Trouble, deadline: float) -> str:
    match error:
        case SMTPSenderRefused():
            return f"sender refused: {_reply(error)}"
        case SMTPRecipientRefused():
            return f"recipient refused: {_reply(error)}"
        case SMTPDataError():
            return f"refused: {_reply(error)}"
        case SMTPResponseException():
            return _reply(error)
        case ssl.SSLCertVerificationError():
            return f"the certificate is not trusted: {error.verify_message}"
        case ssl.SSLError():
            return error.reason.lower().replace("_", " ") if error.reason else str(error)
        case socket.gaierror():
            return error.strerror or str(error)
        case SMTPServerDisconnected():
            return "the connection was lost"
        case TimeoutError() if not error.errno:
            return f"no answer within {deadline:g} s"
        case OSError():  # several addresses were tried, perhaps, and each has its reason
            numbers = map(int, re.findall(r"\[Errno (\d+)\]", str(error)))
            return ", ".join(dict.fromkeys(map(os.strerror, numbers))) or str(error) or "the connection was lost"
    return str(error)


def _reply(error: SMTPResponseException) -> str:
    return f"{error.code} {error.message}" if error.code > 0 else error.message
