"""Mail transactions over a connection that is made: commands go out, and each reply comes to its command.

Most of a mail's time is the way to the mail server and back. Command by command it is gone four times. A server that
offers PIPELINING (RFC 2920) takes MAIL, RCPT and DATA in one write, and then it is twice:

    MAIL, RCPT, DATA ──>           the content and a dot ──>
                     <── 250, 250, 354               <── 250

Every reply is still held against its own command, and the content goes out only after all three said yes (RFC 2920,
section 3.1). Where one did not, the server may nevertheless wait for a content now; so the connection is not to be used
again, and what ends without the final dot is no mail.

aiosmtplib makes the connection, encrypts it and logs in. Its own protocol knows one command at a time, and drops what
comes with the reply to that; so this one takes its place.
"""

import asyncio
import re
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from aiosmtplib.errors import (
    SMTPDataError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponseException,
    SMTPSenderRefused,
    SMTPServerDisconnected,
)
from aiosmtplib.protocol import MAX_LINE_LENGTH, MAX_RESPONSE_LENGTH, normalize_message_line_endings
from aiosmtplib.typing import SMTPStatus

_OK = 250
_FORWARDED = 251
_GO_AHEAD = 354
_PATH = re.compile(r"[!-;=?-~]+")  # what of ASCII may stand between < and >


class Withheld(Exception):  # noqa: N818 - no fault
    """At the last moment it turned out that this letter is not to go out from here, not now at least."""


class _Reply(NamedTuple):
    code: int
    text: str


class Transactions(asyncio.Protocol):
    """Mail after mail over one connection; when anything is raised, it is not to be used again.

    Args:
        transport: the connection, whose server waits for a command.
        pipelining: whether the server offers it.
    """

    def __init__(self, transport: asyncio.Transport, *, pipelining: bool) -> None:
        self._transport = transport
        self._pipelining = pipelining
        self._asked = 0  # so many replies are to come
        self._heard = b""
        self._text: list[bytes] = []  # of the reply that is coming
        self._replies: deque[_Reply] = deque()
        self._end: SMTPException | None = None
        self._waiter: asyncio.Future[None] | None = None
        transport.set_protocol(self)

    async def begin(self, sender: str, recipient: str) -> None:
        """Have the server accept the sender, before which nothing is lost; the rest may be on its way already.

        Raises SMTPSenderRefused, or SMTPServerDisconnected (as ``finish`` does).
        """
        commands = [b"MAIL FROM:<%b>\r\n" % _path(sender), b"RCPT TO:<%b>\r\n" % _path(recipient), b"DATA\r\n"]
        self._recipient = recipient
        self._later = deque[bytes]() if self._pipelining else deque(commands[1:])
        self._write(*(commands if self._pipelining else commands[:1]))
        code, text = await self._reply()
        if code != _OK:
            raise SMTPSenderRefused(code, text, sender)

    async def finish(self, content: bytes, begin: Callable[[], bool]) -> str:
        """Have it accept the recipient and the mail; its last words. ``begin`` is asked right before the content.

        Raises SMTPRecipientRefused, SMTPDataError, SMTPResponseException for what is no reply, or Withheld.
        """
        code, text = await self._answer()
        if code not in (_OK, _FORWARDED):
            raise SMTPRecipientRefused(code, text, self._recipient)
        code, text = await self._answer()
        if code != _GO_AHEAD:
            raise SMTPDataError(code, text)
        if not begin():
            raise Withheld
        self._write(_stuffed(content))
        code, text = await self._reply()
        if code != _OK:
            raise SMTPDataError(code, text)
        return f"{code} {text}"

    def quit(self) -> None:
        """Take leave of a server that waits for a command."""
        if not self._transport.is_closing():
            self._transport.write(b"QUIT\r\n")

    async def _answer(self) -> _Reply:
        """The reply to the next command, which is sent unless it has been."""
        if self._later:
            self._write(self._later.popleft())
        return await self._reply()

    def _write(self, *commands: bytes) -> None:
        if self._end is not None:
            raise self._end
        self._asked += len(commands)
        self._transport.write(b"".join(commands))

    async def _reply(self) -> _Reply:
        while not self._replies:
            if self._end is not None:
                raise self._end
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._replies.popleft()

    # What the transport calls.

    def data_received(self, data: bytes) -> None:
        """Some of what the server says, cut anywhere."""
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in lines:
            if self._end is None:
                self._read(line)
        if len(self._heard) + sum(map(len, self._text)) > MAX_RESPONSE_LENGTH:
            self._fail(_too_long())
        self._wake()

    def _read(self, line: bytes) -> None:
        code = line[:3]
        self._text.append(line[4:].strip())
        if len(line) > MAX_LINE_LENGTH:
            self._fail(_too_long())
        elif len(code) < 3 or not code.isdigit():
            words = line.decode(errors="replace")
            self._fail(SMTPResponseException(SMTPStatus.invalid_response, f"this is no reply: {words}"))
        elif line[3:4] != b"-":
            text, self._text = b"\n".join(self._text), []
            if not self._asked:  # a goodbye, most often; never the answer to what is asked next
                self._fail(SMTPServerDisconnected(f"unasked, the server said {text.decode(errors='replace')}"))
                return
            self._asked -= 1
            self._replies.append(_Reply(int(code), text.decode(errors="surrogateescape")))

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._fail(SMTPServerDisconnected(f"the connection was lost{f': {exc}' if exc else ''}"))
        self._wake()

    def _fail(self, error: SMTPException) -> None:
        """Nothing that comes from now on is an answer; what came before still is."""
        if self._end is None:
            self._end = error

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _too_long() -> SMTPResponseException:
    return SMTPResponseException(SMTPStatus.invalid_response, "the reply is too long")


def _path(address: str) -> bytes:
    """An address as it may stand in a command. Whoever joined has no other; it is the last look, not the first."""
    if not _PATH.fullmatch(address):
        raise ValueError(f"{address!a} is no address")
    return address.encode()


def _stuffed(content: bytes) -> bytes:
    """The content as it goes over the line: no dot at the start of a line ends it (RFC 5321, section 4.5.2)."""
    lines = normalize_message_line_endings(content).replace(b"\r\n.", b"\r\n..")
    return (b"." if lines.startswith(b".") else b"") + lines + b".\r\n"
