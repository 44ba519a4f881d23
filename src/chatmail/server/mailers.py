"""Mailers: one letter goes in, one ``Outcome`` comes out.

``SmtpMailer`` hands letters to a mail server, ``OutboxMailer`` writes them into a folder. Whatever a mail server, the
network or a disk does becomes an outcome: SENT or SAVED; FAILED where the server refuses this message or this reader
for good; LATER for all the rest. What is the operator's to mend (a wrong password, a certificate, a sender the server
does not take) is LATER too: it is not the message's fault, and the letter waits.

The outcome's ``detail`` is our own sentence, for whoever wrote the message. The server's own words go into ``reply``,
for the operator alone: they may name mailboxes and accounts. They are made harmless for a terminal.
"""

import asyncio
import re
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import aiosmtplib
from aiosmtplib.errors import (
    SMTPAuthenticationError,
    SMTPConnectError,
    SMTPDataError,
    SMTPException,
    SMTPHeloError,
    SMTPRecipientRefused,
    SMTPResponseException,
    SMTPSenderRefused,
    SMTPServerDisconnected,
)

from chatmail.core.cluster import SEND_TIME
from chatmail.core.records import Fate, Letter, Outcome
from chatmail.files import write_private
from chatmail.server.settings import Smtp
from chatmail.server.transaction import Transactions, Withheld

IDLE = 30.0
"""An unused connection is closed after this, in seconds; a server does it after 5 minutes (RFC 5321, 4.5.3.2.7)."""
REPLY_MAX = 500
"""Longest reply kept for the operator, in characters."""
ACCOUNT_REPLIES = frozenset({530, 534, 535, 538})
"""About the account, at whatever command: AUTH is required, too weak, refused (RFC 4954, section 6)."""

_TOO_BIG = 552
# Congestion, "useful only as a persistent transient error" (RFC 3463, 3.5); Gmail says it when a day's mails are spent.
_CONGESTION = "5.4.5"
_ENHANCED = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})(?!\S)", re.ASCII)


def _at_any_time() -> bool:
    return True


class Mailer(Protocol):
    """Sends letters."""

    async def send(self, letter: Letter, begin: Callable[[], bool] = _at_any_time) -> Outcome:
        """Send it. ``begin`` is asked when its content is about to go out, and Withheld is raised when that says no.

        Nothing a server or disk does is raised: apart from that only a bug, or the end of the task.
        """
        ...

    async def close(self) -> None:
        """Let go of what is open; a later ``send`` opens it again."""
        ...


class SmtpMailer:
    """Hands letters to a mail server, one at a time, over one connection that is kept a while for the next.

    Args:
        smtp: where, and what makes it safe; without TLS only where that says "none".
        sender: the envelope's sender, and the user name.
        password: empty: no login.
        deadline: seconds for one whole send, from the name lookup to the last reply.
        idle: seconds after which a connection that is not used is closed.
        tls_context: whom to trust; None: whom this system trusts, under the name of the host.
    """

    def __init__(
        self,
        smtp: Smtp,
        sender: str,
        password: str = "",
        *,
        deadline: float = SEND_TIME,
        idle: float = IDLE,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        self._smtp = smtp
        self._sender = sender
        self._password = password
        self._deadline = deadline
        self._idle = idle
        self._tls_context = tls_context
        self._connection: aiosmtplib.SMTP | None = None
        self._transactions: Transactions | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._turn = asyncio.Lock()

    async def send(self, letter: Letter, begin: Callable[[], bool] = _at_any_time) -> Outcome:
        """Send it within the deadline: SENT, LATER or FAILED."""
        async with self._turn:
            if self._expiry:
                self._expiry.cancel()
            try:
                async with asyncio.timeout(self._deadline):
                    reply = await self._transact(letter, begin)
            except (SMTPException, OSError) as error:
                self._drop()
                return _outcome(error)
            except BaseException:
                self._drop()  # its next reply would be the answer to a question nobody remembers
                raise
            self._expiry = asyncio.get_running_loop().call_later(self._idle, self._hang_up)
            return Outcome(fate=Fate.SENT, reply=one_line(reply))

    async def close(self) -> None:
        """Close the connection, after the letter that is on its way."""
        async with self._turn:
            self._hang_up()

    async def _transact(self, letter: Letter, begin: Callable[[], bool]) -> str:
        """One mail transaction (RFC 5321, 3.3); the server's last reply."""
        transactions = await self._reuse(letter) or await self._begin(letter)
        return await transactions.finish(letter.content, begin)

    async def _reuse(self, letter: Letter) -> Transactions | None:
        """The connection there is, if the server still takes a mail over it; nothing is lost if it does not."""
        if self._transactions is None:
            return None
        try:
            await self._transactions.begin(self._sender, letter.address)
        except (SMTPException, ConnectionError):
            self._drop()
        return self._transactions

    async def _begin(self, letter: Letter) -> Transactions:
        """A new connection, safe and logged in as it should be, that has taken our address as the sender."""
        self._connection = connection = connection_to(self._smtp, self._sender, self._password, self._tls_context)
        await connection.connect()
        self._transactions = transactions = await transactions_over(connection)
        await transactions.begin(self._sender, letter.address)
        return transactions

    def _hang_up(self) -> None:
        """Take leave of a server that waits for our next command."""
        if self._transactions:
            self._transactions.quit()
        self._drop()

    def _drop(self) -> None:
        if self._expiry:
            self._expiry.cancel()
        connection, self._connection, self._transactions = self._connection, None, None
        if connection:
            connection.close()


class OutboxMailer:
    """Writes letters into a folder, as files that any mail program opens.

    A file has its name from the letter alone, so one that is written again takes the place of the first.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send(self, letter: Letter, begin: Callable[[], bool] = _at_any_time) -> Outcome:
        """Write it: SAVED, or LATER where the disk does not take it."""
        if not begin():
            raise Withheld
        try:
            path = await asyncio.to_thread(self._write, letter)
        except OSError as error:
            detail = "the mail could not be written into the outbox"
            return Outcome(fate=Fate.LATER, detail=detail, reply=one_line(str(error)))
        return Outcome(fate=Fate.SAVED, reply=one_line(str(path)))

    async def close(self) -> None:
        """Nothing is open."""

    def _write(self, letter: Letter) -> Path:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / outbox_name(letter)
        write_private(path, letter.content)
        return path


def connection_to(smtp: Smtp, sender: str, password: str, tls_context: ssl.SSLContext | None) -> aiosmtplib.SMTP:
    """A connection that is not made yet; ``connect`` encrypts it and logs in. It has no deadline of its own."""
    return aiosmtplib.SMTP(
        hostname=smtp.host,
        port=smtp.port,
        use_tls=smtp.security == "tls",
        start_tls=smtp.security == "starttls",  # never None: that would go on in clear without STARTTLS
        tls_context=tls_context,
        username=sender if password else None,
        password=password or None,
        local_hostname=_local_hostname(),
        timeout=None,
    )


async def transactions_over(connection: aiosmtplib.SMTP) -> Transactions:
    """Mail transactions over a connection that is made, with a server that has told what it offers."""
    if connection.is_ehlo_or_helo_needed:
        try:
            await connection.ehlo()
        except SMTPHeloError:
            if not connection.is_connected:
                raise
            await connection.helo()
    if not isinstance(connection.transport, asyncio.Transport):
        raise SMTPServerDisconnected("the connection was lost")
    return Transactions(connection.transport, pipelining=connection.supports_extension("pipelining"))


def outbox_name(letter: Letter) -> str:
    """The file name of a letter: when it was made, to whom, and what tells it from all others."""
    made = datetime.fromtimestamp(letter.made, UTC)
    address = re.sub(r"[^A-Za-z0-9@._+-]", "_", letter.address)[:100]
    return f"{made:%Y%m%dT%H%M%SZ}-{address}-{sha256(letter.message_id.encode()).hexdigest()[:12]}.eml"


def one_line(text: str) -> str:
    """A server's words on one line of at most ``REPLY_MAX`` characters that cannot drive a terminal."""
    words = " ".join(text[: 2 * REPLY_MAX].split())
    shown = "".join(c if c.isprintable() else f"<U+{ord(c):04X}>" for c in words)
    return shown if len(shown) <= REPLY_MAX else shown[: REPLY_MAX - 1] + "…"


def _outcome(error: SMTPException | OSError) -> Outcome:
    """What an attempt that did not succeed amounts to."""
    if isinstance(error, SMTPResponseException):
        return _refusal(error)
    if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
        detail = "no safe connection to the mail server; the operator of this chat can mend it"
    elif isinstance(error, TimeoutError):
        detail = "the mail server did not answer in time"
    elif isinstance(error, SMTPServerDisconnected):
        detail = "the connection to the mail server was lost"
    elif isinstance(error, OSError):
        detail = "the mail server could not be reached"
    else:  # a server that lacks STARTTLS, or the login
        detail = "the mail server does not offer what it should; the operator of this chat can mend it"
    return Outcome(fate=Fate.LATER, detail=detail, reply=one_line(str(error) or detail))


def _refusal(error: SMTPResponseException) -> Outcome:
    """What the server's answer amounts to: it depends on the command, on the reply code and the enhanced one."""
    match = _ENHANCED.match(error.message)
    status = match[1] if match else ""
    permanent = 500 <= error.code < 600
    ours = isinstance(error, SMTPAuthenticationError) or error.code in ACCOUNT_REPLIES
    about_mail = isinstance(error, SMTPRecipientRefused | SMTPDataError) or error.code == _TOO_BIG
    if permanent and about_mail and not ours and status != _CONGESTION:
        fate, detail = Fate.FAILED, "the mail server refused it for good"
    elif ours:
        fate, detail = Fate.LATER, "the mail server refused the login; the operator of this chat can mend it"
    elif permanent and isinstance(error, SMTPSenderRefused):
        fate, detail = Fate.LATER, "the mail server refused the sender; the operator of this chat can mend it"
    elif isinstance(error, SMTPConnectError):
        fate, detail = Fate.LATER, "the mail server is not at service now"
    else:
        fate, detail = Fate.LATER, "the mail server refused it for now"
    detail = f"{detail} ({status})" if status else detail
    return Outcome(fate=fate, detail=detail, reply=one_line(f"{error.code} {error.message}"))


def _local_hostname() -> str:
    """How to introduce ourselves: this machine's full name, or an address literal where it has none.

    Never by asking the DNS, as the library would: that may take longer than the whole send.
    """
    name = socket.gethostname()
    return name if re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", name) else "[127.0.0.1]"
