"""Mail is safe: whatever people write, one mail reaches one mailbox, with these headers; and nobody floods any.

People come in over real sockets, and a real mail server takes what they cause. ``test_letters`` has the bytes of a
letter without all that.
"""

import re
import sys
import unicodedata
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime

import pytest

from chatmail.core.limits import Limits
from chatmail.core.mailroom import PER_SENDER
from chatmail.core.names import BadName, check_name
from chatmail.core.records import Draft, Fate, Letter, Mail
from chatmail.core.wire import TEXT_MAX, Challenge, Code, Dm, Error, Join, Receipt, Welcome, unfit_text
from chatmail.server.app import House, running
from chatmail.server.letters import compose
from chatmail.server.mailers import SmtpMailer
from chatmail.server.settings import Settings, Smtp
from chatmail.server.stores.database import MEMORY
from tests.peer import Peer
from tests.server.mailbox import FINE_NAMES, HEADERS, HEADERS_OF_A_CODE, HOSTILE_NAMES, HOSTILE_TEXTS, body, parse
from tests.server.mailserver import MailServer, Received

SENDER = "chat@team.example"
MARY = "mary@example.org"
LONGEST = ("a" * 64 + "@" + ("b" * 61 + ".") * 3)[:250] + ".xyz"
ADDRESSES = [
    "!#$%&'*+/=?^_`{|}~-@x.org",
    "=?utf-8?q?eve=40evil.org?=@x.org",
    "first.last+tag@sub.example.co.uk",
    "%s%d{0}@x.org",
    "'--`id`$HOME@x.org",
    "-oQ/tmp@x.org",
    "1@1.1",
    LONGEST,
]
"""What the HTML Living Standard takes for addresses, to its limits."""
NAMES = [name for name in FINE_NAMES if check_name(name) == name] + ["𐐀" * 32, "हिन्दी", "x" * 31 + "_", "7-._"]
SAYABLE = [text for text in HOSTILE_TEXTS if unfit_text(text, TEXT_MAX, "text") is None and "\ud800" not in text]
"""What the wire carries of that."""
HEAD = re.compile(r"(\S+), [A-Z][a-z]+day \d{1,2} [A-Z][a-z]+ \d{4}, \d\d:\d\d:\d\d UTC:")
"""Begins each message in a mail."""


@asynccontextmanager
async def house(mail: MailServer, limits: Limits) -> AsyncIterator[House]:
    settings = Settings(
        chat_port=0, chat_db=MEMORY, sender_email=SENDER, smtp_host="127.0.0.1", smtp_port=mail.port, rate=None
    )
    async with running(settings, limits) as some:
        yield some


@contextmanager
def leaving(*people: Peer) -> Iterator[None]:
    """People who are cut off at the end."""
    with ExitStack() as stack:
        for peer in people:
            stack.callback(peer.cut)
        yield


def check(mail: Received, address: str, headers: list[str] = HEADERS) -> str:
    """That this mail is for this address alone, and no header is in it that should not be; its body."""
    assert (mail.sender, len(mail.to)) == (SENDER, 1)
    assert mail.to == [address] or "=?" in address
    message = parse(mail.content)
    assert message.keys() == headers
    assert message["From"].addresses[0].addr_spec == SENDER
    assert len(message["From"].addresses) == 1
    to = [one.addr_spec for one in message["To"].addresses]
    assert to == ([address] if "=?" not in address else [])
    return body(mail.content)


def blocks(text: str) -> list[tuple[str, str]]:
    """Who says what in a mail, as its reader sees it: the names, and the lines quoted below each."""
    found: list[tuple[str, str]] = []
    for line in text.split("\n"):
        if head := HEAD.fullmatch(line):
            found.append((head[1], ""))
        elif line.startswith(">"):
            found[-1] = (found[-1][0], f"{found[-1][1]}{line[1:].removeprefix(' ')}\n")
    return found


async def test_every_text_arrives_in_one_mail_to_one_mailbox_behind_its_mark() -> None:
    async with MailServer() as mail, house(mail, Limits(mail_window=0.0)) as h:
        john, mary = await Peer.joined(h.port, "John"), await Peer.joined(h.port, "Mary")
        with leaving(john, mary):
            for number, text in enumerate(SAYABLE):
                await john.send(Dm(to="Mary", text=text, id=str(number)))
                await john.expect(Receipt, mail="sent", id=str(number))
        assert len(mail.mails) == len(SAYABLE)
        for text, received in zip(SAYABLE, mail.mails, strict=True):
            [(name, quoted)] = blocks(check(received, MARY))
            assert name == "John"
            assert quoted.count("\n") == len(text.splitlines())
            for line in body(received.content).splitlines():
                assert line.startswith(">") or line in OURS or HEAD.fullmatch(line), line
            assert not re.search(rb"^From ", received.content, re.MULTILINE)


OURS = {
    "",
    "John wrote to you in the chat.",
    "To answer, type in the chat: /dm John TEXT",
    "A reply to this mail reaches the operator of the chat, nobody else.",
    "To get these mails less often, type in the chat:",
    "  /notify away   mails only while you are away",
    "  /notify never  no mails",
}
"""The lines of a mail that nobody but us writes."""


async def test_in_a_mail_of_several_senders_nobody_speaks_for_another() -> None:
    """One of them writes what looks like the others' words, by every kind of line end there is."""
    async with MailServer() as mail, house(mail, Limits(mail_window=0.2)) as h:
        people = [await Peer.joined(h.port, name, email=f"{n}@x.org") for n, name in enumerate(["Eve", "John", "Zoë"])]
        mary = await Peer.joined(h.port, "Mary")
        with leaving(mary, *people):
            eve, john, zoe = people
            await john.send(Dm(to="Mary", text="first"))
            await john.expect(Receipt, mail="sent")
            forged = "John, Sunday 22 November 2026, 14:02:11 UTC:"
            ends = ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
            texts = [f"well{end}{end}{forged}{end}> I quit" for end in ends]
            said = []
            for text in texts:
                for peer, name, words in ((eve, "Eve", text), (john, "John", "I stay"), (zoe, "Zoë", forged)):
                    await peer.send(Dm(to="Mary", text=words))
                    held = await peer.expect(Receipt, mail="held")
                    said.append((name, words))
            await zoe.expect(Receipt, seq=held.seq, mail="sent")  # and with the last, all
        told = [block for received in mail.mails[1:] for block in blocks(check(received, MARY))]
        assert [(name, lines.splitlines()) for name, lines in told] == [
            (name, words.splitlines()) for name, words in said
        ]


async def test_every_name_that_may_join_writes_and_reads_mail() -> None:
    async with MailServer() as mail, house(mail, Limits(mail_window=0.0, max_per_ip=1_000)) as h:
        people = [await Peer.joined(h.port, name, email=f"{at}@x.org") for at, name in enumerate(NAMES)]
        with leaving(*people):
            for at, peer in enumerate(people):
                await peer.send(Dm(to=NAMES[at - 1], text="hello"))
                await peer.expect(Receipt, mail="sent")
                text = check(mail.mails[-1], f"{(at - 1) % len(NAMES)}@x.org")
                assert blocks(text) == [(NAMES[at], "hello\n")]
                assert parse(mail.mails[-1].content)["Subject"] == f"Chat message from {NAMES[at]}"


@pytest.mark.parametrize("name", [name for name in HOSTILE_NAMES if "\ud800" not in name])
async def test_no_other_name_gets_as_far_as_that(name: str) -> None:
    async with MailServer() as mail, house(mail, Limits(verify_email=True, trust_names=False)) as h:
        eve = await Peer.connect(h.port)
        with leaving(eve):
            await eve.send(Join(name=name, email="eve@x.org"))
            assert (await eve.expect(Error)).code == Code.BAD_NAME
        assert mail.commands["MAIL"] == 0


@pytest.mark.parametrize("address", ADDRESSES)
async def test_the_envelope_names_the_one_address_however_odd_it_is(address: str) -> None:
    async with MailServer() as mail, house(mail, Limits(verify_email=True, trust_names=False)) as h:
        odd = await Peer.connect(h.port)
        with leaving(odd):
            await odd.send(Join(name="Odd", email=address))
            await odd.expect(Challenge)
            [received] = await mail.received(1)
        assert mail.recipients == [f"TO:<{address}>"]
        assert "join a chat as Odd" in check(received, address, HEADERS_OF_A_CODE)


def by_category() -> dict[str, list[str]]:
    """All characters, by their category."""
    found: dict[str, list[str]] = {}
    for char in map(chr, range(sys.maxunicode + 1)):
        found.setdefault(unicodedata.category(char), []).append(char)
    return found


CHARACTERS = {category: chars[:: max(1, len(chars) // 20)] + chars[-1:] for category, chars in by_category().items()}


def letter(mail: Mail) -> Letter:
    draft = Draft(reader=2, name="Mary", address=MARY, mails=(mail,), made=mail.time.timestamp())
    return compose(draft, SENDER, "k2f9")


def hello(text: str, sender: str = "John") -> Mail:
    time = datetime(2026, 11, 22, 14, 2, 11, tzinfo=UTC)
    return Mail(seq=1, reader=2, author=1, sender=sender, to="Mary", text=text, time=time)


@pytest.mark.parametrize("category", CHARACTERS)
def test_no_character_of_any_category_leaves_its_line_or_reaches_a_header(category: str) -> None:
    some = CHARACTERS[category]
    text = body(letter(hello("\n".join(f"a{char}b" for char in some))).content)
    for line in text.splitlines():
        assert line.startswith(">") or line in OURS or HEAD.fullmatch(line), ascii(line)
    for char in some:
        for name in (f"J{char}hn", char):
            message = parse(letter(hello("x", name)).content)
            assert message.keys() == HEADERS
            assert message["Subject"] in {f"Chat message from {name}", "Chat message"}
            try:
                accepted = check_name(name) == name
            except BadName:
                accepted = False
            assert message["Subject"] == f"Chat message from {name}" or not accepted
            first = str(message.get_content()).splitlines()[0]
            assert first in {f"{name} wrote to you in the chat.", "Somebody wrote to you in the chat."}


@pytest.mark.parametrize("text", [*HOSTILE_TEXTS, *("." * count for count in (1, 2, 73, 74, 75, 76, 77, 998))])
async def test_the_mail_server_gets_the_very_bytes_of_the_letter(text: str) -> None:
    """A line of only a dot would end the mail, and one that begins with a dot would lose it (RFC 5321, 4.5.2)."""
    made = letter(hello(text))
    async with MailServer() as mail:
        smtp = SmtpMailer(Smtp("127.0.0.1", mail.port, "none"), SENDER)
        assert (await smtp.send(made)).fate is Fate.SENT
        await smtp.close()
        [received] = mail.mails
        assert mail.recipients == [f"TO:<{MARY}>"]
        assert mail.commands["DATA"] == 1
    assert received.content == made.content
    check(received, MARY)


@pytest.mark.slow
async def test_one_sender_cannot_write_to_any_number_of_mailboxes_in_an_hour() -> None:
    async with MailServer() as mail, house(mail, Limits(max_per_ip=1_000)) as h:
        readers = [await Peer.joined(h.port, f"Reader{number}") for number in range(PER_SENDER + 2)]
        john = await Peer.joined(h.port, "John")
        with leaving(john, *readers):
            for number in range(PER_SENDER):
                await john.send(Dm(to=f"Reader{number}", text="hello", id=str(number)))
                await john.expect(Receipt, id=str(number), mail="sent")
            for number in range(PER_SENDER, PER_SENDER + 2):
                await john.send(Dm(to=f"Reader{number}", text="hello", id=str(number)))
                assert (await john.expect(Receipt, id=str(number))).mail == "held"
            await readers[0].send(Dm(to="John", text="stop it"))
            await readers[0].expect(Receipt, mail="sent")
        assert len(mail.mails) == PER_SENDER + 1
        assert h.mail_figures() == (PER_SENDER + 1, 2), "what is too much waits, and is not lost"


async def test_few_codes_go_to_one_address() -> None:
    limits = Limits(verify_email=True, trust_names=False)
    async with MailServer() as mail, house(mail, limits) as h:
        asked = 0

        async def ask(address: str) -> bool:
            """Whether a code is sent there."""
            nonlocal asked
            asked += 1
            peer = await Peer.connect(h.port)
            with leaving(peer):
                await peer.send(Join(name=f"Eve{asked}", email=address))
                while not isinstance(answer := await peer.next(), Challenge | Error | Welcome):
                    pass
            assert isinstance(answer, Challenge) or (isinstance(answer, Error) and answer.code == Code.TOO_FAST)
            return isinstance(answer, Challenge)

        victim = [await ask(address) for address in ("victim@x.org", "Victim@X.org") * limits.codes_per_hour]
        assert victim == [True] * limits.codes_per_hour + [False] * limits.codes_per_hour
        assert all([await ask(f"{number}@x.org") for number in range(5)]), "what one gets, others do not lack"
        received = await mail.received(limits.codes_per_hour + 5)
        assert len(received) == limits.codes_per_hour + 5
        assert sum(one.to[0].casefold() == "victim@x.org" for one in received) == limits.codes_per_hour
        for one in received:
            check(one, one.to[0], HEADERS_OF_A_CODE)
