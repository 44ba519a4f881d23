"""Letters: how direct messages become the exact bytes of an email.

Pure: no clock, no randomness, no files; the same draft gives the same bytes. The bytes are put together by hand
rather than by ``email.message``: there are a dozen headers, each is either ours word for word or passed a check that
knows only what is harmless, and so nothing can grow that is not written here.

What other people wrote appears in the body only, and there only behind ``> ``, one mark a line, for every character
that any reader of mail may take for the end of a line. So no text can pass for ours, or for somebody else's.
"""

import quopri
import re
import unicodedata
from base64 import b64encode, encodebytes
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from hashlib import sha256

from chatmail.core.digest import LETTER_LIFE
from chatmail.core.names import BadEmail, check_email
from chatmail.core.records import Draft, Letter, Mail

LETTER_MAX = 100_000
"""Largest letter, in bytes as it goes out."""
OUTBOX_ADDRESS = "chatmail@chatmail.invalid"
"""The sender where there is no mail account; .invalid never exists (RFC 2606, section 2)."""

_HEAD_MAX = 4_096
_FRAME_MAX = 1_024
# Base64 is the worst encoding: 57 bytes of text become a line of 76 characters, CR and LF (RFC 2045, section 6.8).
_ROOM = (LETTER_MAX - _HEAD_MAX) // 78 * 57 - _FRAME_MAX

_DOT_ATOM = re.compile(r"[^.]+(?:\.[^.]+)*")

# Soft hyphen, zero-width space, joiners, word joiner and invisible operators, byte order mark, tags.
_ZERO_WIDTH = frozenset(map(chr, (0xAD, 0x180E, *range(0x200B, 0x200E), *range(0x2060, 0x2065), 0xFEFF)))
_TAGS = range(0xE0000, 0xE0080)

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def fits(mails: Sequence[Mail]) -> int:
    """How many of these mails, from the first, go into one letter of ``LETTER_MAX``: at least 1, if there is one.

    Counted on the safe side. A single text of the longest kind always fits.
    """
    room = _ROOM
    for count, mail in enumerate(mails):
        room -= len(_block(mail).encode())
        if room < 0:
            return max(count, 1)
    return len(mails)


def compose(draft: Draft, sender_email: str, epoch: str, lifetime: float = LETTER_LIFE) -> Letter:
    """The letter that carries the mails of a draft.

    Args:
        draft: one reader's mails, in order; at least one, at most as many as ``fits`` says.
        sender_email: the address of the mail account, "" where there is none.
        epoch: the journal's epoch, within which the numbers of the mails mean something.
        lifetime: how long it is tried, in seconds.
    """
    first, last = draft.mails[0], draft.mails[-1]
    authors = {mail.author for mail in draft.mails}
    name = _harmless(last.sender) if len(authors) == 1 else ""
    # The root of a thread is no mail that ever existed; readers of mail only care that all its letters name it.
    pair = sorted((draft.reader, last.author)) if len(authors) == 1 else [draft.reader]
    root = _message_id(sender_email, "thread", epoch, *pair)
    message_id = _message_id(sender_email, "letter", epoch, draft.reader, first.seq, last.seq)
    if name:
        display, subject = f"{name} via chatmail", f"Chat message from {name}"
        opening, answer = f"{name} wrote to you in the chat.", f"/dm {name} TEXT"
    elif len(authors) == 1:
        display, subject = "chatmail", "Chat message"
        opening, answer = "Somebody wrote to you in the chat.", "/dm NAME TEXT"
    else:
        display, subject = "chatmail", "Chat messages from several people"
        opening, answer = f"{len(authors)} people wrote to you in the chat.", "/dm NAME TEXT"
    body = f"{opening}\r\n\r\n{''.join(map(_block, draft.mails))}{_footer(answer)}"
    content = _message(sender_email, display, draft.address, subject, draft.made, message_id, root, body)
    return Letter(
        message_id=message_id,
        address=draft.address,
        content=content,
        made=draft.made,
        expires=draft.made + lifetime,
        reader=draft.reader,
        mails=draft.mails,
    )


def compose_code(
    address: str, name: str, code: str, sender_email: str, made: float, expires: float, key: str
) -> Letter:
    """The letter that proves an address: it carries the code to type.

    Args:
        address: the address somebody gave.
        name: the name somebody asked for.
        code: the code, good until ``expires``; so is the letter.
        sender_email: the address of the mail account, "" where there is none.
        made: now, in seconds since the Unix epoch.
        expires: until when, in seconds since the Unix epoch.
        key: what makes this code's Message-ID its own; never the code.
    """
    shown = _harmless(name)
    who = f"as {shown}" if shown else "under a name of their own"
    until = _readable(datetime.fromtimestamp(expires, UTC))
    body = (
        f"Somebody, and we hope it is you, wants to join a chat {who} and gave this address.\r\n\r\n"
        f"The code to type there: {code}\r\n\r\n"
        f"It is good until {until}.\r\n\r\n"
        "If it was not you, there is nothing to do: without the code nobody comes in with your address.\r\n"
    )
    message_id = _message_id(sender_email, "code", key)
    content = _message(sender_email, "chatmail", address, "Your code for the chat", made, message_id, "", body)
    return Letter(message_id=message_id, address=address, content=content, made=made, expires=expires)


def compose_test(address: str, sender_email: str, made: float, key: str) -> Letter:
    """The letter that shows whether mail arrives; it is tried once.

    Args:
        address: whom the operator named.
        sender_email: the address of the mail account, "" where there is none.
        made: now, in seconds since the Unix epoch.
        key: what makes this letter's Message-ID its own.
    """
    body = (
        "This is the test mail of a chat server, chatmail. The operator asked for it, to see whether mail arrives.\r\n"
        "\r\n"
        "It has arrived, and nothing needs to be done.\r\n"
    )
    message_id = _message_id(sender_email, "test", key)
    content = _message(sender_email, "chatmail", address, "Test mail of the chat server", made, message_id, "", body)
    return Letter(message_id=message_id, address=address, content=content, made=made, expires=made)


def _footer(answer: str) -> str:
    return (
        f"To answer, type in the chat: {answer}\r\n"
        "A reply to this mail reaches the operator of the chat, nobody else.\r\n\r\n"
        "To get these mails less often, type in the chat:\r\n"
        "  /notify away   mails only while you are away\r\n"
        "  /notify never  no mails\r\n"
    )


def _block(mail: Mail) -> str:
    """One message as it stands in the body: who, when, the text quoted."""
    lines = mail.text.splitlines() or [""]
    quoted = "".join(f"> {_visible(line)}".rstrip(" ") + "\r\n" for line in lines)
    return f"{_harmless(mail.sender) or 'Somebody'}, {_readable(mail.time)}:\r\n{quoted}\r\n"


def _readable(time: datetime) -> str:
    """A moment for people of any country: no month as a number, no locale."""
    utc = time.astimezone(UTC)
    return f"{_DAYS[utc.weekday()]} {utc.day} {_MONTHS[utc.month - 1]} {utc.year}, {utc:%H:%M:%S} UTC"


def _visible(line: str) -> str:
    """A line in which nothing is hidden: controls and bidi marks are shown by number, zero-width ones dropped."""
    return line if line.isprintable() else "".join(map(_shown, line))


def _shown(character: str) -> str:
    if character == "\t" or character.isprintable():
        return character
    if character in _ZERO_WIDTH or ord(character) in _TAGS:
        return ""
    match unicodedata.category(character):
        case "Cc" | "Cf" | "Zl" | "Zp":
            return f"<U+{ord(character):04X}>"
        case "Cs":
            return "\ufffd"
        case _:  # spaces of all widths, and what this Python does not know yet: new emoji
            return character


def _harmless(name: str) -> str:
    """The name, if it may stand in a header and in our own sentences, "" if anything about it is odd.

    A name is letters, digits, ``_ . -`` of any script by the rules for joining. Checked again here, because a header
    must not depend on rules made elsewhere: no controls, spaces, quotes, ``@``, and no ``=?`` of RFC 2047.
    """
    if not 0 < len(name) <= 32 or not name.isprintable() or unicodedata.category(name[0])[0] not in "LN":
        return ""
    return name if all(c in "_.-" or unicodedata.category(c)[0] in "LMN" for c in name) else ""


def _mailbox(address: str) -> str:
    """An address as it may stand in a header, "" for one that is none.

    What looks like an encoded word is none either: some readers decode it even here, into another address.
    """
    try:
        local, _, domain = check_email(address).partition("@")
    except BadEmail:
        return ""
    if "=?" in local:
        return ""
    # The rule for joining takes dots anywhere; RFC 5322, section 3.4.1, wants those in quotes.
    return f"{local}@{domain}" if _DOT_ATOM.fullmatch(local) else f'"{local}"@{domain}'


def _message_id(sender_email: str, *parts: str | int) -> str:
    """The same for the same parts; its domain is the sender's, as filters against spam expect."""
    digest = sha256("\0".join(map(str, parts)).encode()).hexdigest()[:32]
    domain = (_mailbox(sender_email) or OUTBOX_ADDRESS).rpartition("@")[2]
    return f"<{digest}@{domain}>"


def _words(text: str) -> str:
    """Text of a header: itself in ASCII, else encoded words of RFC 2047, none longer than its 75 characters."""
    if text.isascii():
        return text
    chunks = [""]
    for character in text:
        if len((chunks[-1] + character).encode()) > 45:
            chunks.append("")
        chunks[-1] += character
    return "\r\n ".join(f"=?utf-8?b?{b64encode(chunk.encode()).decode()}?=" for chunk in chunks)


def _message(
    sender_email: str, display: str, address: str, subject: str, made: float, message_id: str, root: str, body: str
) -> bytes:
    """The bytes of one mail; the only place that writes headers."""
    phrase = f'"{display}"' if display.isascii() else _words(display)
    encoding, encoded = _encoded(body)
    headers = [
        f"From: {phrase} <{_mailbox(sender_email) or OUTBOX_ADDRESS}>",
        f"To: {_mailbox(address) or 'undisclosed-recipients:;'}",
        f"Subject: {_words(subject)}",
        f"Date: {format_datetime(datetime.fromtimestamp(made, UTC))}",
        f"Message-ID: {message_id}",
        *([f"In-Reply-To: {root}", f"References: {root}"] if root else []),
        "Auto-Submitted: auto-generated",
        "X-Auto-Response-Suppress: All",
        "MIME-Version: 1.0",
        'Content-Type: text/plain; charset="utf-8"',
        f"Content-Transfer-Encoding: {encoding}",
    ]
    return "\r\n".join(headers).encode("ascii") + b"\r\n\r\n" + encoded


def _encoded(body: str) -> tuple[str, bytes]:
    """The body in lines of at most 76 ASCII characters, in whichever encoding is shorter: readable where it can be."""
    raw = body.encode()
    quoted, base64 = quopri.encodestring(raw), encodebytes(raw).replace(b"\n", b"\r\n")
    return ("quoted-printable", quoted) if len(quoted) <= len(base64) else ("base64", base64)
