"""The engine: turns the hub's crank. It has what was submitted stored, flushes the sessions, and keeps the time.

Two loops, because nobody shall wait for the disk who need not: one commits batch after batch, the other flushes once a
tick of the event loop whatever is ready. Both sleep until the hub calls ``wake``.
"""

import asyncio
from collections.abc import Callable

from chatmail.core.hub import Hub, Lookup
from chatmail.server.stores import Store, StoreError


class Engine:
    """Drives one hub.

    Args:
        store: where changes go.
        clock: seconds since the epoch.
    """

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._submitted = asyncio.Event()
        self._ready = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None

    def wake(self) -> None:
        """There is something to store, look up or flush."""
        self._submitted.set()
        self._ready.set()

    async def run(self, hub: Hub) -> None:
        """Drive the hub until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._commit(hub), name="commit")
                group.create_task(self._flush(hub, group), name="flush")
        finally:
            if self._timer is not None:
                self._timer.cancel()

    async def _commit(self, hub: Hub) -> None:
        while True:
            await self._submitted.wait()
            self._submitted.clear()
            batch = hub.take()
            if not batch:
                continue
            try:
                numbers = await self._store.commit([change for change, _ in batch])
            except StoreError as error:
                hub.refused(batch, str(error))
            else:
                hub.committed(batch, numbers)
            hub.flush()

    async def _flush(self, hub: Hub, group: asyncio.TaskGroup) -> None:
        while True:
            await self._ready.wait()
            self._ready.clear()
            lookups, hub.lookups = hub.lookups, []
            for lookup in lookups:
                group.create_task(self._look_up(hub, lookup), name="lookup")
            self._keep_time(hub)
            hub.flush()

    async def _look_up(self, hub: Hub, lookup: Lookup) -> None:
        hub.caught_up(lookup, await self._store.missed(lookup.account, lookup.after, lookup.before))

    def _keep_time(self, hub: Hub) -> None:
        """Do what is due, and be called when the next thing is."""
        now = self._clock()
        due = hub.due(now)
        if due == self._due:
            return
        self._due = due
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, due - now), self._ring)

    def _ring(self) -> None:
        self._timer = self._due = None
        self._ready.set()
