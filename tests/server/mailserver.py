"""A real SMTP server (aiosmtpd) in the test's own loop, which answers as the test says.

    async with MailServer() as mail:
        mail.answer("RCPT", "451 4.7.1 come back later", OK)
        ... something that sends to 127.0.0.1, mail.port ...
        [first] = await mail.received(1)
        assert first.to == ["mary@example.org"]

Everything is awaited: ``received`` for mails that were taken, ``reached`` for a command that came in, whatever its
answer, ``until`` for anything else. What does not come within PATIENCE is a failure. ``at`` calls something at a moment
in the middle of a mail.
"""

import asyncio
import ssl
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from enum import Enum
from functools import cache
from typing import Any, Literal, Self

import trustme
from aiosmtpd.smtp import MISSING, SMTP, AuthResult

PATIENCE = 10.0
"""Seconds to wait for what must come; only a failing test waits so long."""


class Special(Enum):
    """Answers that are no reply."""

    OK = "as if nothing was scripted"
    HANG = "no reply at all, ever"
    DROP = "close the connection instead"


OK, HANG, DROP = Special.OK, Special.HANG, Special.DROP
TAKEN = "250 2.0.0 OK: queued"
Answer = str | Special | asyncio.Event
"""A reply; or, for an event, the usual one, but not before it is set."""
Command = Literal["CONNECT", "EHLO", "AUTH", "MAIL", "RCPT", "354", "DATA"]
"""Where an answer may be scripted; the one to DATA is the one after the final dot, and 354 the one before the mail."""
Moment = Literal["in part", "taken", "answered"]
"""Of one mail: some of its lines have come, and no more ever will; or all, and there will be no answer; or all, and the
answer has just gone out."""


@dataclass(frozen=True)
class Received:
    """One mail that was taken: the envelope, the exact bytes, and how the connection was."""

    sender: str
    to: list[str]
    content: bytes
    tls: bool
    user: str

    @property
    def message(self) -> EmailMessage:
        """The bytes as a mail program sees them."""
        return message_from_bytes(self.content, _class=EmailMessage, policy=default)


@cache
def certificates() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context for 127.0.0.1 and localhost, and the client's that trusts it."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


class MailServer:
    """The server, on a free port of 127.0.0.1 while its context lasts.

    Args:
        security: "none", "starttls" (offered, not required), or "tls" from the first byte.
        pipelining: whether it offers to take several commands at once (RFC 2920), as nearly all do.
        password: what AUTH takes, for any user; empty: no AUTH is asked for. It is offered in any case.
        port: where to listen; 0 takes any free one.
        patience: seconds to wait for what must come.
    """

    def __init__(
        self,
        *,
        security: Literal["none", "starttls", "tls"] = "none",
        pipelining: bool = True,
        password: str = "",
        port: int = 0,
        patience: float = PATIENCE,
    ) -> None:
        self.security = security
        self.pipelining = pipelining
        self.password = password
        self.port = port
        self.patience = patience
        self.connections = 0
        """How many were made so far."""
        self.mails: list[Received] = []
        self.recipients: list[str] = []
        """What RCPT said, to the letter: aiosmtpd decodes encoded words (RFC 2047) even there."""
        self.commands: Counter[str] = Counter()
        self._answers: dict[str, deque[Answer]] = {}
        self._moments: dict[Moment, Callable[[], object]] = {}
        self._change = asyncio.Condition()
        self._sessions: set[_Session] = set()
        self._server: asyncio.Server | None = None

    def answer(self, command: Command, *answers: Answer) -> None:
        """Answer the next times this command comes with these, then as usual again."""
        self._answers.setdefault(command, deque()).extend(answers)

    def at(self, moment: Moment, do: Callable[[], object]) -> None:
        """Call this once, the next time a mail is so far."""
        self._moments[moment] = do

    async def received(self, count: int) -> list[Received]:
        """All mails taken so far, once there are so many."""
        await self.until(lambda: len(self.mails) >= count)
        return list(self.mails)

    async def reached(self, command: Command, count: int = 1) -> None:
        """Once this command has come so many times, whatever was answered."""
        await self.until(lambda: self.commands[command] >= count)

    async def idle(self) -> None:
        """Once no connection is open."""
        await self.until(lambda: not self._sessions)

    def hang_up(self) -> None:
        """Close all connections from this side, as a server does that has waited long enough."""
        for session in self._sessions:
            session.close()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        tls = certificates()[0] if self.security == "tls" else None
        self._server = await loop.create_server(lambda: _Session(self), "127.0.0.1", self.port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        self._server.close()
        self.hang_up()
        await self.idle()
        await self._server.wait_closed()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Once this holds; it is asked again after whatever happens here."""
        async with asyncio.timeout(self.patience), self._change:
            await self._change.wait_for(condition)

    async def _changed(self) -> None:
        async with self._change:
            self._change.notify_all()

    async def _come(self, session: "_Session", command: Command) -> Any:
        """What to answer: a reply, or MISSING for the usual one."""
        self.commands[command] += 1
        await self._changed()
        answers = self._answers.get(command)
        answer = answers.popleft() if answers else OK
        if isinstance(answer, str):
            return answer.encode()
        if isinstance(answer, asyncio.Event):
            await answer.wait()
            return MISSING
        if answer is DROP:
            session.close()
        if answer is not OK:
            await asyncio.get_running_loop().create_future()  # until the connection's end cancels it
        return MISSING

    def _is(self, moment: Moment) -> bool:
        """Do what is to be done at this moment, if anything; whether it was."""
        do = self._moments.pop(moment, None)
        if do is not None:
            do()
        return do is not None


class _Handler:
    """What aiosmtpd asks at each command."""

    def __init__(self, mail: MailServer) -> None:
        self._mail = mail

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's names, here and below
        self, server: "_Session", session: Any, envelope: Any, hostname: str, replies: list[str]
    ) -> list[str]:
        session.host_name = hostname
        reply = await self._mail._come(server, "EHLO")
        if self._mail.pipelining:
            replies.insert(1, "250-PIPELINING")
        return replies if reply is MISSING else [reply]

    async def handle_AUTH(self, server: "_Session", session: Any, envelope: Any, args: list[str]) -> Any:  # noqa: N802
        return await self._mail._come(server, "AUTH")

    async def handle_MAIL(  # noqa: N802
        self, server: "_Session", session: Any, envelope: Any, address: str, options: list[str]
    ) -> Any:
        reply = await self._mail._come(server, "MAIL")
        if reply is not MISSING:
            return reply
        if self._mail.password and not session.authenticated:
            return "530 5.7.0 Authentication required"
        envelope.mail_from = address
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: "_Session", session: Any, envelope: Any, address: str, options: list[str]
    ) -> Any:
        reply = await self._mail._come(server, "RCPT")
        if reply is not MISSING:
            return reply
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: "_Session", session: Any, envelope: Any) -> Any:  # noqa: N802
        reply = await self._mail._come(server, "DATA")
        if reply is not MISSING:
            return reply
        user = session.auth_data.login.decode() if session.authenticated else ""
        assert server.transport
        tls = server.transport.get_extra_info("sslcontext") is not None
        mail = Received(envelope.mail_from, list(envelope.rcpt_tos), bytes(envelope.content), tls, user)
        self._mail.mails.append(mail)
        await self._mail._changed()
        if self._mail._is("taken"):
            await asyncio.get_running_loop().create_future()
        return TAKEN


class _Session(SMTP):
    """One connection; adds to aiosmtpd an answer to CONNECT, moments in a mail, and an end that can be awaited."""

    def __init__(self, mail: MailServer) -> None:
        self._mail = mail
        self._in_data = False
        self._deaf = False
        super().__init__(
            _Handler(mail),
            hostname="mail.test",
            loop=asyncio.get_running_loop(),
            tls_context=certificates()[0] if mail.security == "starttls" else None,
            auth_require_tls=False,  # it is the client's duty to keep its password to itself, and the tests watch it
            authenticator=self._check,
        )

    def _check(self, server: Any, session: Any, envelope: Any, mechanism: str, login: Any) -> AuthResult:
        good = login.password.decode() == self._mail.password
        return AuthResult(success=good, handled=False, auth_data=login)

    def close(self) -> None:
        for transport in (self.transport, self._original_transport):  # there is another one below STARTTLS
            if transport:
                transport.close()
        if self._handler_coroutine:
            self._handler_coroutine.cancel()  # a handshake in between does not notice

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self not in self._mail._sessions:  # STARTTLS makes the connection once more
            self._mail._sessions.add(self)
            self._mail.connections += 1
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._in_data and self._mail._is("in part"):
            self._deaf = True
            data = data[: len(data) // 2]
        elif self._deaf:
            return
        super().data_received(data)

    async def smtp_RCPT(self, arg: str) -> None:  # noqa: N802
        self._mail.recipients.append(arg)
        await super().smtp_RCPT(arg)

    async def push(self, status: str | bytes) -> None:
        reply = status.encode() if isinstance(status, str) else status
        if reply.startswith(b"354"):
            scripted = await self._mail._come(self, "354")
            reply = reply if scripted is MISSING else scripted
        self._in_data = reply.startswith(b"354")
        await super().push(reply)
        if reply == TAKEN.encode():
            self._mail._is("answered")

    def _gone(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled():
            task.exception()  # a reset connection, or a client that breaks off the handshake, is no accident here
        self._mail._sessions.discard(self)
        self._farewell = asyncio.ensure_future(self._mail._changed())

    async def _handle_client(self) -> None:
        assert self._handler_coroutine
        self._handler_coroutine.add_done_callback(self._gone)
        try:
            reply = await self._mail._come(self, "CONNECT")
            if reply is MISSING:
                await super()._handle_client()
            else:
                await self.push(reply)
        finally:
            self.close()
