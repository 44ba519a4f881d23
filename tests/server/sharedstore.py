"""A store as servers share it, in the hands of a test: this server is the only one, and leads.

It beats when the test says so, and time passes for its beats when the test says so.

    store = SharedStore(monkeypatch)
    async with running(settings, store=store) as house:
        await store.beaten()
        store.uptime += HOLD
"""

import asyncio
from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from chatmail.core.records import Snapshot
from chatmail.server import engine
from chatmail.server.stores import StoreError
from chatmail.server.stores.database import MEMORY
from chatmail.server.stores.sqlite import SqliteStore

NODE = "here-1"


class SharedStore(SqliteStore):
    """One server's part of it.

    Args:
        monkeypatch: of the test; it takes the engine's clock, and the pause between two beats.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(MEMORY, keep_days=30)
        self.uptime = 1_000.0
        self.trouble: Exception | None = None
        """What the next beats end with."""
        self.asked = asyncio.Event()
        """The server waits for the answer to a beat."""
        self._answer = asyncio.Event()
        self._beats = 0
        monkeypatch.setattr(engine, "uptime", lambda: self.uptime)
        monkeypatch.setattr(engine, "BEAT", 0.0)

    async def open(self, now: float) -> Snapshot:
        return replace(await super().open(now), node=NODE, nodes=(NODE,), leader=NODE)

    async def beat(self) -> Mapping[str, int]:
        self.asked.set()
        await self._answer.wait()
        self._answer.clear()
        if self.trouble is not None:
            raise self.trouble
        self._beats += 1
        return {NODE: self._beats}

    async def answered(self) -> None:
        """The beat that is under way is answered, and the next one is."""
        await self.asked.wait()
        self.asked.clear()
        self._answer.set()
        await self.asked.wait()

    async def beaten(self) -> None:
        """A beat begins and is answered, now."""
        await self.answered()
        await self.answered()

    async def fails(self) -> None:
        """A beat is answered by a fault."""
        self.trouble = StoreError("Redis can't be reached")
        await self.answered()
        self.trouble = None

    async def ends(self, trouble: Exception) -> None:
        """The beat that is under way ends with this, and no other begins."""
        await self.asked.wait()
        self.trouble = trouble
        self._answer.set()
