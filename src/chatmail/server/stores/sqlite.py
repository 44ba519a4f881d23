"""The store on SQLite: a ``Database`` in threads of its own, so that the chat never waits for the disk.

One thread writes, batch after batch; another looks things up. What a search has yet to index is done by the first, in
bites between the batches.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from chatmail.core.records import Change, Found, Query, Question, Snapshot, Stored
from chatmail.server.stores.database import MEMORY, Database

T = TypeVar("T")


class SqliteStore:
    """Keeps everything in a file.

    Args:
        path: the file; ``:memory:`` keeps nothing once the server has ended.
        keep_days: how long what was said is kept.
    """

    def __init__(self, path: str, keep_days: int) -> None:
        self._database = Database(path, keep_days)
        self._writer = ThreadPoolExecutor(1, "store")
        # What is in memory has one connection, and so one thread.
        self._reader = self._writer if path == MEMORY else ThreadPoolExecutor(1, "lookup")

    async def open(self) -> Snapshot:
        """See ``Store``."""
        return await self._write(self._database.open)

    async def commit(self, batch: Sequence[Change]) -> list[Stored]:
        """See ``Store``."""
        return await self._write(lambda: self._database.commit(batch))

    async def look_up(self, query: Question) -> Found:
        """See ``Store``."""
        if isinstance(query, Query) and query.words is not None:
            while await self._write(self._database.index):
                pass
        return await self._in(self._reader, lambda: self._database.look_up(query))

    async def tidy(self, now: float) -> None:
        """See ``Store``."""
        while await self._write(self._database.index):
            pass
        while await self._write(lambda: self._database.tidy(now)):
            pass

    async def close(self) -> None:
        """See ``Store``."""
        await self._in(self._reader, lambda: None)  # a lookup that is under way ends first
        await self._write(self._database.close)
        self._reader.shutdown()
        self._writer.shutdown()

    async def _write(self, work: Callable[[], T]) -> T:
        return await self._in(self._writer, work)

    async def _in(self, thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(thread, work)
