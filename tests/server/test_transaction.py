"""Several commands in one write, and every reply held against its own: what no well-behaved mail server would show.

``test_mailers`` has a real mail server, with and without PIPELINING. This one says what the test tells it to say.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from chatmail.core.records import Fate, Letter, Outcome
from chatmail.server.mailers import SmtpMailer
from chatmail.server.settings import Smtp
from chatmail.server.transaction import Transactions

SENDER = "team@example.org"
LETTER = Letter(
    message_id="<1@x.org>", address="mary@example.org", content=b"Subject: x\r\n\r\nhello\r\n", made=0, expires=1
)
MAIL = b"MAIL FROM:<team@example.org>\r\n"
RCPT = b"RCPT TO:<mary@example.org>\r\n"
GROUP = MAIL + RCPT + b"DATA\r\n"
CONTENT = LETTER.content + b".\r\n"
EHLO = b"250-mail.test\r\n250 PIPELINING\r\n"
GO = b"250 sender ok\r\n250 recipient ok\r\n354 go ahead\r\n"
TAKEN = b"250 taken\r\n"
QUIT = b"QUIT\r\n"


class Puppet:
    """Says one thing after the other, each after something was said to it; what it heard, up to the end.

    A list of words is for one connection; the first of them is what it says to EHLO.
    """

    def __init__(self, *connections: Sequence[bytes]) -> None:
        self.port = 0
        self.heard: list[list[bytes]] = []
        """On each connection: what came before each of its words, and what came after the last."""
        self._connections = list(connections)
        self._over: list[asyncio.Event] = [asyncio.Event() for _ in connections]

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, heard = len(self.heard), list[bytes]()
        self.heard.append(heard)
        try:
            writer.write(b"220 mail.test\r\n")
            for words in self._connections[number]:
                heard.append(await reader.read(1 << 16))
                writer.write(words)
            heard.append(await reader.read())
        finally:
            writer.close()
            self._over[number].set()

    async def over(self, connection: int = 0) -> list[bytes]:
        """All that was heard on a connection after EHLO, once it has ended."""
        async with asyncio.timeout(10):
            await self._over[connection].wait()
        return self.heard[connection][1:]


@asynccontextmanager
async def told(*connections: Sequence[bytes]) -> AsyncIterator[tuple[Puppet, SmtpMailer]]:
    """A puppet with these words, and a mailer for it."""
    puppet = Puppet(*connections)
    async with await asyncio.start_server(puppet.converse, "127.0.0.1", 0) as server:
        smtp = SmtpMailer(Smtp("127.0.0.1", server.sockets[0].getsockname()[1], "none"), SENDER)
        try:
            yield puppet, smtp
        finally:
            await smtp.close()


async def outcome_of(*words: bytes) -> tuple[Outcome, list[bytes]]:
    """What comes of a letter when the server says this; and what it heard."""
    async with told(words) as (puppet, smtp):
        outcome = await smtp.send(LETTER)
        await smtp.close()
        return outcome, await puppet.over()


async def test_a_mail_is_two_writes_where_the_server_takes_commands_together() -> None:
    outcome, heard = await outcome_of(EHLO, GO, TAKEN)
    assert outcome == Outcome(fate=Fate.SENT, reply="250 taken")
    assert heard == [GROUP, CONTENT, QUIT]


async def test_commands_go_one_by_one_where_the_server_does_not_say_that_it_takes_more() -> None:
    replies = GO.splitlines(keepends=True)
    outcome, heard = await outcome_of(b"250 mail.test\r\n", *replies, TAKEN)
    assert outcome.fate is Fate.SENT
    assert heard == [MAIL, RCPT, b"DATA\r\n", CONTENT, QUIT]


async def test_a_server_that_knows_no_ehlo_is_greeted_as_of_old() -> None:
    replies = GO.splitlines(keepends=True)
    outcome, heard = await outcome_of(b"502 what?\r\n", b"250 mail.test\r\n", *replies, TAKEN)
    assert outcome.fate is Fate.SENT
    assert heard[0].startswith(b"HELO ")
    assert heard[1:] == [MAIL, RCPT, b"DATA\r\n", CONTENT, QUIT]


@pytest.mark.parametrize(
    ("replies", "fate"),
    [
        (b"250 ok\r\n550 5.1.1 nobody\r\n354 go ahead\r\n", Fate.FAILED),
        (b"250 ok\r\n450 4.2.1 not now\r\n354 go ahead\r\n", Fate.LATER),
        (b"451 4.3.0 not now\r\n250 ok\r\n354 go ahead\r\n", Fate.LATER),
        (b"250 ok\r\n550 5.1.1 nobody\r\n554 5.5.1 no recipients\r\n", Fate.FAILED),
        (b"250 ok\r\n250 ok\r\n451 4.3.0 not now\r\n", Fate.LATER),
        (b"250 ok\r\n250 ok\r\n250 ok\r\n", Fate.LATER),
        (b"250 ok\r\n250 ok\r\nwhat?\r\n", Fate.LATER),
    ],
)
async def test_what_is_refused_in_part_gets_no_content_even_where_the_server_waits_for_one(
    replies: bytes, fate: Fate
) -> None:
    """Nor the dot that would make an empty mail of it (RFC 2920, section 3.1)."""
    outcome, heard = await outcome_of(EHLO, replies)
    assert outcome.fate is fate
    assert heard == [GROUP, b""]


async def test_a_refused_letter_leaves_no_reply_for_the_next() -> None:
    other = Letter(message_id="<2@x.org>", address="john@example.org", content=LETTER.content, made=0, expires=1)
    first = (EHLO, b"250 ok\r\n550 5.1.1 nobody\r\n354 go ahead\r\n")
    async with told(first, (EHLO, GO, TAKEN)) as (puppet, smtp):
        assert (await smtp.send(LETTER)).fate is Fate.FAILED
        assert (await smtp.send(other)).fate is Fate.SENT
        await smtp.close()
        assert await puppet.over(0) == [GROUP, b""]
        assert await puppet.over(1) == [GROUP.replace(b"mary", b"john"), CONTENT, QUIT]


@pytest.mark.parametrize("extra", [b"250 taken\r\n", b"421 4.4.2 closing\r\n"])
async def test_more_replies_than_commands_are_the_answer_to_nothing(extra: bytes) -> None:
    """The one too many must not pass for the answer to the content."""
    outcome, heard = await outcome_of(EHLO, GO + extra)
    assert outcome.fate is Fate.LATER
    assert heard == [GROUP, b""]


async def test_after_a_word_that_nobody_asked_for_another_connection_is_made() -> None:
    """A server says goodbye to one that is not used, and may take its time to close it."""
    async with told((EHLO, GO, TAKEN + b"421 4.4.2 you are too slow\r\n"), (EHLO, GO, TAKEN)) as (puppet, smtp):
        assert (await smtp.send(LETTER)).fate is Fate.SENT
        assert (await smtp.send(LETTER)).fate is Fate.SENT
        await smtp.close()
        assert (await puppet.over(0))[:2] == [GROUP, CONTENT]
        assert await puppet.over(1) == [GROUP, CONTENT, QUIT]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_replies_are_understood_however_they_are_cut(size: int) -> None:
    transport = Line()
    transactions = Transactions(transport, pipelining=True)
    task = asyncio.create_task(transactions.begin(SENDER, LETTER.address))
    await asyncio.sleep(0)
    said = b"250-sender\r\n250 ok\r\n250 recipient ok\r\n354-go\r\n354 ahead\r\n"
    for at in range(0, len(said), size):
        transactions.data_received(said[at : at + size])
    await task
    task_of_content = asyncio.create_task(transactions.finish(LETTER.content, lambda: True))
    await asyncio.sleep(0)
    for at in range(0, len(TAKEN), size):
        transactions.data_received(TAKEN[at : at + size])
    assert await task_of_content == "250 taken"
    assert transport.written == [GROUP, CONTENT]


async def test_a_connection_lost_between_the_replies_sends_nothing_more() -> None:
    transport = Line()
    transactions = Transactions(transport, pipelining=True)
    task = asyncio.create_task(transactions.begin(SENDER, LETTER.address))
    await asyncio.sleep(0)
    transactions.data_received(b"250 ok\r\n250 ok\r\n354 go ahead\r\n")
    await task
    transactions.connection_lost(None)
    with pytest.raises(ConnectionError, match="lost"):
        await transactions.finish(LETTER.content, lambda: True)
    assert transport.written == [GROUP]


@pytest.mark.parametrize("address", ["", "a b@x.org", "a>@x.org", "a@x.org\r\nDATA", "a@x.org\0", "ä@x.org"])
async def test_what_is_no_address_reaches_no_command(address: str) -> None:
    transport = Line()
    with pytest.raises(ValueError, match="no address"):
        await Transactions(transport, pipelining=True).begin(SENDER, address)
    assert not transport.written


class Line(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        pass

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))
