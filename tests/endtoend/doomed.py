"""A server that is killed at a chosen moment of its work: the real one, but for the hand that kills it.

    python doomed.py WHAT WHEN COUNT

It serves with the settings of its environment, as ``chatmail-server`` does, until the batch comes that it dies of, as
``kill -9`` would have it: no last words, nothing put away. WHAT says which batches count: those with a direct message
in them ("direct"), with a letter that is frozen ("frozen"), with what became of one ("outcome"), or with what its
author is to be told ("failure"); COUNT, which of these is the last. WHEN is before it is written, or with all of it
written and nothing committed ("within"), or after the commit, before anybody hears of it ("after").
"""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from chatmail.core.records import Change, Failure, Letter, Mail, Row, Snapshot, Stored
from chatmail.server.app import running
from chatmail.server.settings import Settings, load
from chatmail.server.stores.database import Database
from chatmail.server.stores.sqlite import SqliteStore


def die() -> None:
    """End as by ``kill -9``; this does not return."""
    os.kill(os.getpid(), signal.SIGKILL)


def what_it_is(row: Row) -> str:
    """What a row in a batch tells of it."""
    match row:
        case Mail():
            return "direct"
        case Letter(state="waiting", tries=0):
            return "frozen"
        case Letter():
            return "outcome"
        case Failure():
            return "failure"
    return ""


class DoomedDatabase(Database):
    """Dies of one of its commits."""

    def __init__(self, settings: Settings, what: str, when: str, count: int) -> None:
        super().__init__(settings.chat_db, settings.keep_days)
        self._what, self._when, self._left = what, when, count
        self._dying = False

    def open(self) -> Snapshot:
        """Open it, with so small a cache that what a transaction writes goes to the log long before its commit."""
        snapshot = super().open()
        self._writer.execute("PRAGMA cache_size = 1")
        self._writer.execute("PRAGMA cache_spill = 1")
        return snapshot

    def commit(self, batch: Sequence[Change]) -> list[Stored]:
        """Commit, if it is not the last one."""
        if any(what_it_is(row) == self._what for change in batch for row in change.rows):
            self._left -= 1
            self._dying = not self._left
        if self._dying and self._when == "before":
            die()
        results = super().commit(batch)
        if self._dying and self._when == "after":
            die()
        return results

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with super()._transaction():
            yield
            if self._dying and self._when == "within":
                die()


class DoomedStore(SqliteStore):
    """Keeps everything in such a database."""

    def __init__(self, settings: Settings, what: str, when: str, count: int) -> None:
        super().__init__(settings.chat_db, settings.keep_days)
        self._database = DoomedDatabase(settings, what, when, count)


async def serve(what: str, when: str, count: int) -> None:
    """Serve until the end comes."""
    settings = load([], os.environ, Path())
    async with running(settings, store=DoomedStore(settings, what, when, count)) as house:
        print(f"doomed, on port {house.port}", flush=True)
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2], int(sys.argv[3])))
