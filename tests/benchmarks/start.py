"""How soon the programs are there, and how soon a key is on the screen: as installed, in real terminals.

A start is the time from exec to what a person waits for: the prompt, the question or the input line on the screen. The
server starts in an empty folder, there without a terminal as well, and with a database that has seen 10,000 messages
and 1,000 people; the client comes into that house, and draws its history as well. ``keys`` tells how keys are measured.
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from chatmail.core.records import Account, Change, Entry
from chatmail.server.stores.database import Database
from tests.benchmarks import keys, programs
from tests.benchmarks.section import Bench, Row, Section
from tests.benchmarks.servers import SERVERS, serving
from tests.benchmarks.terminals import Terminal

PEOPLE, MESSAGES = 1_000, 10_000
"""In a house that has lived."""
GOAL = "300 or less"


def measure(bench: Bench) -> Section:
    """The starts and the keys. Raises BenchmarkError where something does not come to be shown."""
    found: dict[str, list[float]] = {}
    with TemporaryDirectory(prefix="benchmark-") as name:
        lived = Path(name)
        _live(lived)
        for _ in range(bench.rounds):
            for title, seconds in _starts(lived, bench.server_cpu):
                found.setdefault(title, []).append(seconds * 1e3)
    rows = [Row(title, [median(each), max(each)], ".0f", GOAL) for title, each in found.items()]
    return Section("start and keys, in ms", ("median", "worst round"), [*rows, *keys.rows(bench)])


def _starts(lived: Path, cpu: int | None) -> Iterator[tuple[str, float]]:
    """One start of everything; the seconds that each took."""
    with TemporaryDirectory(prefix="benchmark-") as empty:
        for what, folder in (("new server", Path(empty)), ("server with a past", lived)):
            with programs.server(folder, cpu) as terminal:
                yield f"{what}: it listens", _until(terminal, lambda on: any("listens on" in row for row in on.screen))
                yield f"{what}: its prompt", _until(terminal, lambda on: on.cursor_line == programs.PROMPT)
    began = time.monotonic()
    with serving("chatmail", SERVERS["chatmail"], {}, cpu) as server:
        server.port()
        yield "server, no terminal: it listens", time.monotonic() - began
    with programs.client(cpu) as terminal:
        yield "client: its first question", _until(terminal, lambda on: on.cursor_line == programs.QUESTION)
    kind = SERVERS["chatmail"]
    with (
        serving("chatmail", kind, {"CHAT_DB": str(lived / "chatmail.db")}, cpu) as server,
        programs.joined(server.port(), cpu) as (terminal, when),
    ):
        terminal.until(lambda: any(f"you are in as {programs.ME}" in line for line in terminal.lines), "a welcome")
        yield "client: its input line, joined", when - terminal.started


def _until(terminal: Terminal, shown: Callable[[Terminal], bool]) -> float:
    """The seconds from its start until this was shown."""
    return terminal.until(lambda: shown(terminal), "what it is measured by") - terminal.started


def _live(folder: Path) -> None:
    """Make a database in this folder that has seen many people and messages, all of which can be searched."""
    database = Database(str(folder / "chatmail.db"), keep_days=30)
    first = database.open().next_account
    try:
        people = [
            Account(id=id, name=f"person{id}", email=f"person{id}@example.org", first=0, seen=0)
            for id in range(first, first + PEOPLE)
        ]
        database.commit([Change(rows=(person,)) for person in people])
        now, words = datetime.now(UTC), "the printer is out of paper again, and so is the one in the hall"
        said = [
            Entry(kind="message", time=now, author=who.id, sender=who.name, text=f"{number}. {words}", id=f"m{number}")
            for number in range(MESSAGES)
            for who in [people[number % PEOPLE]]
        ]
        database.commit([Change(entry=entry) for entry in said])
        while database.index():
            pass
    finally:
        database.close()
