"""The store on SQLite: a ``Database`` in threads of its own, so that the chat never waits for the disk.

One thread writes, batch after batch; another looks things up. What a search has yet to index is done by the first, in
bites between the batches.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from chatmail.core.journal import BYTES_MAX, ENTRIES_MAX
from chatmail.core.records import Change, Found, Query, Question, Snapshot, Stored
from chatmail.server.stores import Learn, StoreError
from chatmail.server.stores.database import MEMORY, Database

T = TypeVar("T")

_log = logging.getLogger(__name__)


class SqliteStore:
    """Keeps everything in a file.

    Args:
        path: the file; ``:memory:`` keeps nothing once the server has ended.
        keep_days: how long what was said is kept.
        entries_max, bytes_max: as for ``Database``.
    """

    def __init__(self, path: str, keep_days: int, entries_max: int = ENTRIES_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._database = Database(path, keep_days, entries_max, bytes_max)
        self._writer = ThreadPoolExecutor(1, "store")
        # What is in memory has one connection, and so one thread.
        self._reader = self._writer if path == MEMORY else ThreadPoolExecutor(1, "lookup")

    async def open(self, now: float) -> Snapshot:
        """See ``Store``."""
        snapshot = await self._write(self._database.open)
        try:
            gone = await self.tidy(now)
        except StoreError as error:  # a full disk must not keep the server from starting
            _log.warning("what is too old could not be deleted: %s", error)
            return snapshot
        return await self._write(self._database.snapshot) if gone else snapshot

    async def commit(self, batch: Sequence[Change]) -> list[Stored]:
        """See ``Store``."""
        return await self._write(lambda: self._database.commit(batch))

    async def follow(self, learn: Learn) -> None:
        """See ``Store``: nobody else has this file."""

    async def beat(self) -> Mapping[str, int]:
        """See ``Store``."""
        return {}

    async def look_up(self, query: Question) -> Found:
        """See ``Store``; what can't be indexed now (the disk is full, say) is found later."""
        if isinstance(query, Query) and query.words is not None:
            try:
                await self._index()
            except StoreError as error:
                _log.warning("what was said lately can't be found by its words yet: %s", error)
        return await self._in(self._reader, lambda: self._database.look_up(query))

    async def tidy(self, now: float) -> int:
        """See ``Store``."""
        last = 0
        try:
            await self._index()
        finally:  # on a full disk, it is this that makes room
            while gone := await self._write(lambda: self._database.tidy(now)):
                last = gone
        return last

    async def _index(self) -> None:
        while await self._write(self._database.index):
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
