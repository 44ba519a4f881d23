"""Programs that do nothing but hand mails to a mail server, three at a time: what the postman is compared with.

*each* is what one would write first: a connection for each mail, with the library that chatmail uses, too. *mailer* is
chatmail's own way, without the chat.

Run as a program: which of the two, the port, the security ("none" or "tls") and a file with the letters. It prints when
it began (in nanoseconds), and ends when the last mail is taken.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Literal

import aiosmtplib
import msgspec

from chatmail.core.records import Fate, Letter
from chatmail.server.app import SMTP_CONNECTIONS
from chatmail.server.mailers import SmtpMailer
from chatmail.server.settings import Smtp

SENDER = "chat@team.example"
Security = Literal["none", "tls"]


async def each(letters: Iterator[Letter], port: int, security: Security) -> None:
    for letter in letters:
        await aiosmtplib.send(
            letter.content,
            sender=SENDER,
            recipients=[letter.address],
            hostname="127.0.0.1",
            port=port,
            local_hostname="[127.0.0.1]",
            use_tls=security == "tls",
            start_tls=False,
        )


async def mailer(letters: Iterator[Letter], port: int, security: Security) -> None:
    smtp = SmtpMailer(Smtp("127.0.0.1", port, security), SENDER)
    for letter in letters:
        outcome = await smtp.send(letter)
        if outcome.fate is not Fate.SENT:
            raise RuntimeError(outcome)
    await smtp.close()


WAYS: dict[str, Callable[[Iterator[Letter], int, Security], Awaitable[None]]] = {"each": each, "mailer": mailer}


async def hand_over(way: str, letters: Iterator[Letter], port: int, security: Security) -> None:
    print(time.monotonic_ns(), flush=True)
    await asyncio.gather(*(WAYS[way](letters, port, security) for _ in range(SMTP_CONNECTIONS)))


def main(way: str, port: str, security: str, file: str) -> None:
    letters = msgspec.json.decode(Path(file).read_bytes(), type=list[Letter])
    asyncio.run(hand_over(way, iter(letters), int(port), "tls" if security == "tls" else "none"))


if __name__ == "__main__":
    main(*sys.argv[1:])
