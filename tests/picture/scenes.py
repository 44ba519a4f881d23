"""What the pictures show: a server and people, all real, each at a terminal of their own.

Only what is never the same twice is replaced: the port by the usual one, and times and sizes by some that might be.
"""

import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from pyte.screens import Char

from tests.endtoend.conftest import Desk
from tests.endtoend.terminal import Terminal
from tests.picture.svg import draw
from tests.server.mailserver import MailServer

ALT_ENTER, TAB = "\x1b\n", "\t"
CONVERSATION = (
    "A conversation in a terminal: names in colours, a direct message and what became of its mail, a notice, a mark "
    "above what came while John was away; below, the line he is typing, with a menu of people and who of them is there."
)
CONSOLE = (
    "The console of the server: people who came and went, a mail that was refused, a table of who is here, the server "
    "in numbers, and a command that is being typed."
)


SAID = {
    r"127\.0\.0\.1:\d+": ["localhost:6245"],
    r"^\d\d:\d\d": ["14:02", "14:02", "14:03", "14:05", "14:06", "14:10", "14:31", "14:31", "14:33", "14:40"],
    r"(?<=since )\d\d:\d\d": ["14:10"],
}
COUNTED = {
    r"^\d\d:\d\d:\d\d": ["14:02:33", "14:02:41", "14:02:46"],
    r"\d\d:\d\d  \d+s ": ["14:02  15s", "14:02  41s", "14:02  27s", "14:02  9s "],
    r"\d+s, since \d\d:\d\d": ["55s, since 14:02"],
    r"\d\.\d KiB(?=;)": ["1.7 KiB"],
    r"[\d.]+ MiB now, [\d.]+ MiB": ["39.1 MiB now, 39.6 MiB"],
    r"(?<=^disk         )[\d.]+ .iB": ["394.3 KiB"],
}
"""What is replaced in each picture: a pattern, and what stands instead in one row after the other that has it."""


class MiddayDesk(Desk):
    """Where the day does not change in the middle of a conversation, whenever it is held."""

    def environment(self, who: str, settings: Mapping[str, str]) -> dict[str, str]:
        return super().environment(who, {"TZ": f"MID{time.gmtime().tm_hour - 12:+}", **settings})


async def play(folder: Path) -> dict[str, str]:
    """The pictures, each under the name of its file; what the programs keep is in this folder."""
    desk = MiddayDesk(folder)
    try:
        async with MailServer() as mail:
            account = {"SENDER_EMAIL": "chat@example.org", "SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(mail.port)}
            server = await desk.server(**account)
            await server.shows(f"port {desk.port}")
            john, soren = await _converse(desk, server)
            conversation = _picture(john, "chatmail", CONVERSATION, SAID)
            mail.answer("RCPT", "550 5.1.1 no such mailbox")
            await _operate(server, soren)
            console = _picture(server, "chatmail-server", CONSOLE, COUNTED)
    finally:
        await desk.close()
    return {"conversation.svg": conversation, "console.svg": console}


async def _converse(desk: Desk, server: Terminal) -> tuple[Terminal, Terminal]:
    """People talk until John chooses to whom he writes; his terminal, and that of the last who came."""
    sam, mary, lea = [await _comes(desk, name) for name in ("Sam", "Mary", "Lea")]
    lea.type("/away on a train\n")
    await lea.shows("-- you are away: on a train")
    john = await _comes(desk, "John")

    async def says(who: Terminal, text: str, shown: str = "") -> None:
        who.type(f"{text}\n")
        await john.shows(shown or text)

    await says(sam, "good morning 👋 the new build is up")
    await says(john, "great, trying it now", "you: great")
    lines = ("works here. what I noticed:", "search is 🚀 fast now", "the rest: https://ci.example.org/build/42")
    await says(mary, ALT_ENTER.join(lines), lines[-1])
    await says(mary, "/dm John lunch at noon?", "Mary → you (direct): lunch at noon?")
    await mary.shows("-- the email to John is sent")
    await says(john, "/r yes, see you there", "-- the email to Mary is sent")
    await says(sam, "/quit", "Sam left")
    await says(john, "/away stand-up", "-- you are away: stand-up")
    soren = await _comes(desk, "Søren", "soren")
    await says(soren, "hello! @John, is the release today?")
    await says(mary, "/me puts the kettle on 🍵", "Mary puts the kettle on")
    await says(server, "/broadcast the server restarts at six, for a minute", "!! notice: the server")
    john.type(f"/dm {TAB}")
    await john.until(
        lambda: john.count("on a train") and "/dm" in john.cursor_line and john.lines[-1].endswith("4 here"),
        "a menu of people, with all that is around it",
    )
    return john, soren


async def _operate(server: Terminal, soren: Terminal) -> None:
    """Somebody writes to an address that is no more; the operator looks around."""
    soren.type("/dm Sam you forgot your key\n")
    await server.shows("no such mailbox")
    await soren.shows("the email to Sam failed")
    server.type("/who\n/stats\n/ban Søren 30m")
    await server.until(lambda: server.count("disk  ") and server.cursor_line.endswith("30m"), "all that was asked for")


async def _comes(desk: Desk, name: str, box: str = "") -> Terminal:
    who = await desk.client(name, "--name", name, "--email", f"{box or name.lower()}@example.org")
    await who.shows(f"{name}@")
    return who


def _picture(terminal: Terminal, title: str, about: str, instead: Mapping[str, Iterable[str]]) -> str:
    """Its screen as it is now, with one of the above ``instead`` of what is never the same twice."""
    screen = terminal.screen
    rows = [[screen.buffer[y][x] for x in range(screen.columns)] for y in range(screen.lines)]
    for pattern, texts in instead.items():
        left = iter(texts)
        for y, row in enumerate(rows):
            if found := re.search(pattern, "".join(char.data for char in row)):
                rows[y] = _replaced(row, *found.span(), next(left))
    return draw(rows, title, about, (screen.cursor.x, screen.cursor.y))


def _replaced(row: list[Char], start: int, end: int, text: str) -> list[Char]:
    """The row with this text from one column to another; what stands behind it moves along."""
    blanks = [row[-1]] * (end - start)
    new = [row[start]._replace(data=char) for char in text]
    return [*row[:start], *new, *row[end:], *blanks][: len(row)]
