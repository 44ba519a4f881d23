"""Letters: the bytes are parsed again, and nothing is in them that should not be."""

import re
from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes
from email.header import decode_header, make_header
from email.policy import compat32
from email.utils import parseaddr, parsedate_to_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatmail.core.digest import LETTER_LIFE
from chatmail.core.names import BadEmail, BadName, check_email, check_name
from chatmail.core.records import Draft, Letter, Mail
from chatmail.core.wire import TEXT_MAX
from chatmail.server.letters import LETTER_MAX, compose, compose_code, compose_test, fits
from tests.server.mailbox import (
    FINE_NAMES,
    HEADERS,
    HEADERS_OF_A_CODE,
    HOSTILE_NAMES,
    HOSTILE_TEXTS,
    body,
    parse,
)

TIME = datetime(2026, 11, 22, 14, 2, 11, tzinfo=UTC)
SENDER = "team@gmail.com"


def mail(text: str = "Hello", *, seq: int = 41, author: int = 1, sender: str = "John", time: datetime = TIME) -> Mail:
    return Mail(seq=seq, reader=2, author=author, sender=sender, to="Mary", text=text, time=time)


def letter(*mails: Mail, reader: int = 2, address: str = "mary@x.org", sender: str = SENDER, **more: Any) -> Letter:
    draft = Draft(reader=reader, name="Mary", address=address, mails=mails, made=TIME.timestamp() + 1)
    return compose(draft, sender, more.pop("epoch", "k2f9"), **more)


def test_a_letter_as_a_whole() -> None:
    made = letter(mail("Hello,\n\nhow are you?"))
    assert made.content.decode() == (
        'From: "John via chatmail" <team@gmail.com>\r\n'
        "To: mary@x.org\r\n"
        "Subject: Chat message from John\r\n"
        "Date: Sun, 22 Nov 2026 14:02:12 +0000\r\n"
        f"Message-ID: {made.message_id}\r\n"
        f"In-Reply-To: {parse(made.content)['References']}\r\n"
        f"References: {parse(made.content)['In-Reply-To']}\r\n"
        "Auto-Submitted: auto-generated\r\n"
        "X-Auto-Response-Suppress: All\r\n"
        "MIME-Version: 1.0\r\n"
        'Content-Type: text/plain; charset="utf-8"\r\n'
        "Content-Transfer-Encoding: quoted-printable\r\n"
        "\r\n"
        "John wrote to you in the chat.\r\n"
        "\r\n"
        "John, Sunday 22 November 2026, 14:02:11 UTC:\r\n"
        "> Hello,\r\n"
        ">\r\n"
        "> how are you?\r\n"
        "\r\n"
        "To answer, type in the chat: /dm John TEXT\r\n"
        "A reply to this mail reaches the operator of the chat, nobody else.\r\n"
        "\r\n"
        "To get these mails less often, type in the chat:\r\n"
        "  /notify away   mails only while you are away\r\n"
        "  /notify never  no mails\r\n"
    )
    assert (made.reader, made.address, made.mails) == (2, "mary@x.org", (mail("Hello,\n\nhow are you?"),))
    assert made.expires == made.made + LETTER_LIFE


@pytest.mark.parametrize("name", FINE_NAMES)
def test_a_name_is_shown_in_the_headers(name: str) -> None:
    content = letter(mail(sender=name)).content
    message = parse(content)
    assert message.keys() == HEADERS
    # By the older parser: the newer one puts blanks between the encoded words of a phrase, against RFC 2047, 6.2.
    display, address = parseaddr(message_from_bytes(content, policy=compat32)["From"])
    assert (str(make_header(decode_header(display))), address) == (f"{name} via chatmail", SENDER)
    assert message["Subject"] == f"Chat message from {name}"
    assert f"/dm {name} TEXT" in message.get_content()


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_an_odd_name_is_nowhere(name: str) -> None:
    for content in (
        letter(mail(sender=name)).content,
        compose_code("mary@x.org", name, "123456", SENDER, 0, 600, "key").content,
    ):
        message = parse(content)
        assert message.keys() in (HEADERS, HEADERS_OF_A_CODE)
        assert str(message["From"]) == f"chatmail <{SENDER}>"
        assert str(message["Subject"]) in {"Chat message", "Your code for the chat"}
        assert not name or name not in message.get_content()
        assert "eve@" not in content.decode()


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_no_line_of_a_text_stands_without_its_mark(text: str) -> None:
    """By whatever a reader of mail takes for the end of a line, and whatever is left of the text."""
    content = letter(mail(text)).content
    assert parse(content).keys() == HEADERS
    before, after = body(letter(mail("#")).content).split("> #\n")
    quoted = body(content).removeprefix(before).removesuffix(after)
    assert quoted
    assert all(line.startswith(">") for line in quoted.splitlines())
    assert len(quoted.splitlines()) == len(text.splitlines())
    assert not re.search(r"[\0-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\u00ad]", quoted)
    assert len(content) <= LETTER_MAX


def test_what_is_hidden_is_shown_or_dropped_and_all_else_kept() -> None:
    text = "a\x1b[31m \u202eb\u200bc\u3000d\te\u00a0नमस्ते é"
    assert "> a<U+001B>[31m <U+202E>bc\u3000d\te\u00a0नमस्ते é\n" in body(letter(mail(text)).content)


@given(st.text(), st.text(), st.text(), st.text())
def test_whatever_people_write_the_headers_are_these(name: str, text: str, address: str, sender: str) -> None:
    content = letter(mail(text, sender=name), mail(text, seq=42), address=address, sender=sender).content
    message = parse(content)
    assert message.keys() == HEADERS
    assert len(message["From"].addresses) == 1
    assert len(message["To"].addresses) <= 1
    code = compose_code(address, name, "123456", sender, 0, 600, text).content
    assert parse(code).keys() == HEADERS_OF_A_CODE


addresses = st.emails() | st.from_regex(r"\A[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]{1,30}@[a-zA-Z0-9]{1,9}\.[a-z]{2,3}\Z")


@given(addresses)
def test_the_only_recipient_is_the_address(address: str) -> None:
    try:
        checked = check_email(address)
    except BadEmail:
        checked = ""
    message = parse(letter(mail(), address=address).content)
    if checked and "=?" not in checked:
        assert [found.addr_spec.replace('"', "") for found in message["To"].addresses] == [checked]
    else:
        assert str(message["To"]) == "undisclosed-recipients:;"


@given(st.text())
def test_every_name_that_may_join_is_shown(name: str) -> None:
    try:
        checked = check_name(name)
    except BadName:
        return
    assert parse(letter(mail(sender=checked)).content)["Subject"] == f"Chat message from {checked}"


@pytest.mark.parametrize("address", ["=?utf-8?q?eve=40evil.org?=@x.org", "a, b@x.org", "a@x.org\r\nBcc: b@x.org", ""])
def test_an_address_that_could_mean_another_is_not_written(address: str) -> None:
    made = letter(mail(), address=address)
    assert str(parse(made.content)["To"]) == "undisclosed-recipients:;"
    assert made.address == address


def test_odd_dots_in_an_address_are_quoted() -> None:
    assert b'To: ".john..doe."@x.org\r\n' in letter(mail(), address=".john..doe.@x.org").content


def test_messages_of_one_sender_stand_in_order() -> None:
    content = letter(mail("one", seq=1), mail("two", seq=2), mail("three", seq=9)).content
    assert re.findall(r"> (\w+)", body(content)) == ["one", "two", "three"]
    assert parse(content)["Subject"] == "Chat message from John"


def test_messages_of_several_senders_come_from_the_chat() -> None:
    content = letter(mail("one"), mail("two", seq=42, author=3, sender="Eve")).content
    message = parse(content)
    assert str(message["From"]) == f"chatmail <{SENDER}>"
    assert message["Subject"] == "Chat messages from several people"
    text = body(content)
    assert text.startswith("2 people wrote to you in the chat.\n")
    assert "John, Sunday 22 November 2026, 14:02:11 UTC:\n> one\n" in text
    assert "Eve, Sunday 22 November 2026, 14:02:11 UTC:\n> two\n" in text
    assert "/dm NAME TEXT" in text


def test_two_accounts_of_one_name_are_two_senders() -> None:
    """A name can change hands; the name alone must not join what two people wrote."""
    assert b"several people" in letter(mail(author=1), mail(seq=42, author=3)).content


def test_times_are_in_utc() -> None:
    content = letter(mail(time=TIME.astimezone(timezone(timedelta(hours=-11))))).content
    assert "John, Sunday 22 November 2026, 14:02:11 UTC:" in body(content)


def test_the_date_is_when_the_draft_was_made() -> None:
    assert parsedate_to_datetime(parse(letter(mail()).content)["Date"]) == TIME + timedelta(seconds=1)


def test_the_same_draft_gives_the_same_letter() -> None:
    assert letter(mail()) == letter(mail())


def test_a_message_id_belongs_to_the_epoch_the_reader_and_the_messages() -> None:
    made = [
        letter(mail()),
        letter(mail(), epoch="other"),
        letter(mail(), reader=3),
        letter(mail(seq=40)),
        letter(mail(), mail(seq=42)),
        compose_code("mary@x.org", "Mary", "123456", SENDER, 0, 600, "k2f9"),
        compose_code("mary@x.org", "Mary", "123456", SENDER, 0, 600, "other"),
        compose_test("mary@x.org", SENDER, 0, "k2f9"),
        compose_test("mary@x.org", SENDER, 0, "other"),
    ]
    assert len({one.message_id for one in made}) == len(made)
    assert all(re.fullmatch(r"<[0-9a-f]{32}@gmail\.com>", one.message_id) for one in made)
    assert all(parse(one.content)["Message-ID"] == one.message_id for one in made)


def thread(made: Letter) -> str:
    message = parse(made.content)
    assert message["In-Reply-To"] == message["References"] != message["Message-ID"]
    return str(message["References"])


def test_one_conversation_is_one_thread_in_both_directions() -> None:
    there = letter(mail(seq=1), reader=2)
    back = letter(mail(seq=2, author=2, sender="Mary"), reader=1, address="john@x.org")
    again = letter(mail(seq=3), mail(seq=4), reader=2)
    assert thread(there) == thread(back) == thread(again)


def test_other_conversations_are_other_threads() -> None:
    threads = [
        thread(letter(mail(author=1), reader=2)),
        thread(letter(mail(author=3), reader=2)),
        thread(letter(mail(author=1), reader=3)),
        thread(letter(mail(author=1), mail(author=3), reader=2)),
        thread(letter(mail(author=1), mail(author=3), reader=4)),
        thread(letter(mail(author=1), reader=2, epoch="other")),
    ]
    assert len(set(threads)) == len(threads)
    assert thread(letter(mail(author=5), mail(author=3), reader=2)) == threads[3]


def test_without_a_mail_account_the_sender_is_nobody() -> None:
    made = letter(mail(), sender="")
    assert str(parse(made.content)["From"].addresses[0].addr_spec) == "chatmail@chatmail.invalid"
    assert made.message_id.endswith("@chatmail.invalid>")


def test_a_code_and_until_when() -> None:
    made = compose_code("mary@x.org", "Mary", "012345", SENDER, TIME.timestamp(), TIME.timestamp() + 600, "key")
    message = parse(made.content)
    assert message.keys() == HEADERS_OF_A_CODE
    assert "012345" not in str(message["Subject"])
    text = body(made.content)
    assert "join a chat as Mary" in text
    assert "code to type there: 012345\n" in text
    assert "until Sunday 22 November 2026, 14:12:11 UTC" in text
    assert (made.reader, made.mails, made.expires) == (None, (), TIME.timestamp() + 600)


def test_a_test_mail_says_that_nothing_needs_to_be_done() -> None:
    made = compose_test("mary@x.org", SENDER, TIME.timestamp(), "key")
    message = parse(made.content)
    assert message.keys() == HEADERS_OF_A_CODE
    assert (message["From"], message["To"]) == (f"chatmail <{SENDER}>", "mary@x.org")
    assert message["Subject"] == "Test mail of the chat server"
    assert parsedate_to_datetime(message["Date"]) == TIME
    assert body(made.content) == (
        "This is the test mail of a chat server, chatmail. The operator asked for it, to see whether mail arrives.\n"
        "\n"
        "It has arrived, and nothing needs to be done.\n"
    )
    assert (made.address, made.reader, made.mails, made.expires) == ("mary@x.org", None, (), TIME.timestamp())
    nowhere = compose_test("mary@x.org", "", TIME.timestamp(), "key")
    assert str(parse(nowhere.content)["From"].addresses[0].addr_spec) == "chatmail@chatmail.invalid"


@given(st.lists(st.sampled_from(HOSTILE_TEXTS) | st.text(max_size=TEXT_MAX), min_size=1, max_size=60))
def test_as_many_messages_as_fit_are_no_larger_than_a_letter_may_be(texts: list[str]) -> None:
    mails = [mail(text, seq=seq, author=seq % 3, sender="𝒳" * 32) for seq, text in enumerate(texts)]
    count = fits(mails)
    assert 1 <= count <= len(mails)
    longest = ("a" * 64 + "@" + ("b" * 61 + ".") * 3)[:250] + ".xyz"
    content = letter(*mails[:count], address=longest, sender=longest).content
    assert len(content) <= LETTER_MAX


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_a_full_letter_is_well_filled(text: str) -> None:
    """The bound is on the safe side of base64; where that is the encoding, little is left empty."""
    mails = [mail(text, seq=seq) for seq in range(2_000)]
    content = letter(*mails[: fits(mails)]).content
    assert len(content) <= LETTER_MAX
    if b"base64" in content:
        assert len(content) > LETTER_MAX / 2


def test_nothing_fits_of_nothing() -> None:
    assert fits([]) == 0
    assert fits([mail()]) == 1
