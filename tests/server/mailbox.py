"""What a mailbox makes of the bytes of a mail; and what people may write who would like it to make something else."""

import re
from email import message_from_bytes
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import SMTP, compat32, default

from chatmail.core.wire import TEXT_MAX

HEADERS = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
]
HEADERS_OF_A_CODE = [name for name in HEADERS if name not in {"In-Reply-To", "References"}]
HOSTILE_NAMES = [
    "",
    "John\r\nBcc: eve@x.org",
    "John\nBcc: eve@x.org",
    "=?utf-8?q?John=0ABcc:_eve=40x.org?=",
    "=?utf-8?b?Sm9obgpCY2M6IGV2ZUB4Lm9yZw==?=",
    'John" <eve@x.org>, "',
    "eve@x.org",
    "John, eve@x.org",
    "John\0",
    "\u202enhoJ",
    "Jo\u200bhn",
    "John\u2028Mary",
    "John\x85Mary",
    "\u0301John",
    "John\\",
    "John (a comment)",
    "John;",
    "x" * 33,
    "\ud800",
]
FINE_NAMES = ["John", "j.r-r_t", "7up", "Jürgen", "李小龍", "Ольга", "محمد", "ß" * 32, "𝒳" * 32, "x" * 32]
HOSTILE_TEXTS = [
    "\r\n\r\nMary, Sunday 22 November 2026, 14:02:11 UTC:\r\n> I quit",
    "a\nMary:\rMary:\x0bMary:\x0cMary:\x1cMary:\x1dMary:\x1eMary:\x85Mary:\u2028Mary:\u2029Mary:",
    "\r\n.\r\nMAIL FROM:<eve@x.org>\r\n",
    "Bcc: eve@x.org\r\nContent-Type: text/html\r\n\r\n<b>",
    "\x1b[2J\x1b]0;title\x07\x9b31m",
    "\u202egnp.exe\u2066\u2069\u200f",
    "z\u200be\u200cr\u200do\u2060\ufeff\u00ad",
    "--===============boundary==\r\nFrom me",
    "= =3D =\r\n" + "=" * 200,
    "x" * TEXT_MAX,
    "\n" * TEXT_MAX,
    "\u202e" * TEXT_MAX,
    "\U0001f600" * TEXT_MAX,
    "👩‍👩‍👧 नमस्ते \t tab",
    "=?utf-8?q?Bcc=3A_eve=40x.org?= =?utf-8?b?QmNjOiBldmVAeC5vcmc=?=",
    ".\n..\n.\r\n.quit\nFrom me\nFrom: eve@x.org\n>From\n\n",
    "\n".join("x" * length + "..from" for length in range(60, 160)),
    "\0 and more",
    "\ud800 lone",
]


def parse(content: bytes) -> EmailMessage:
    """The message as Python's newer parser sees it, after the old one and the bytes themselves agree on the headers."""
    assert content.isascii()
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", content)
    lines = content.split(b"\r\n")
    assert max(map(len, lines)) <= 998
    head = content.partition(b"\r\n\r\n")[0].decode()
    names = [line.partition(":")[0] for line in head.split("\r\n") if not line.startswith(" ")]
    message = BytesParser(EmailMessage, policy=default).parsebytes(content)
    assert message.keys() == message_from_bytes(content, policy=compat32).keys() == names
    assert message.keys() == BytesParser(EmailMessage, policy=SMTP).parsebytes(content).keys()
    assert [defect for value in message.values() for defect in value.defects] == []
    assert message.defects == []
    assert not message.is_multipart()
    return message


def body(content: bytes) -> str:
    text = str(parse(content).get_content())
    assert not re.search(r"(?<!\r)\n|\r(?!\n)", text)
    return text.replace("\r\n", "\n")
