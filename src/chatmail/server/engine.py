"""The engine: turns the hub's crank. It has what was submitted stored, flushes the sessions, and keeps the time.

Two loops, because nobody shall wait for the disk who need not: one commits batch after batch, the other flushes once a
tick of the event loop whatever is ready. Both sleep until the hub calls ``wake``. A third has the store tidy up. Where
other servers share the store, a fourth takes in what those commit, and a fifth shows them that this one lives.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from time import perf_counter

from chatmail.core.cluster import BEAT, HOLD, Cluster
from chatmail.core.hub import Hub
from chatmail.core.records import Change, Earlier, Lookup, Stored
from chatmail.server.stores import Outdated, Store, StoreError

GATHER = 0.0001
"""A flush that takes less than so many seconds is not worth waiting for company."""
TURNS = 3
"""So many turns of the loop bring what the sockets have to the hub: one reads them, one wakes who waits for that."""
PAUSE = 0.5
"""After something that the store could not do, seconds until it is tried again."""
PATIENCE = 3.0
"""When a shared store has not answered a batch for so many seconds, what is said meanwhile is refused."""
TIDY = 60.0
"""Seconds between two times that the store lets go of what is kept no longer."""

_log = logging.getLogger(__name__)

_RUNNING = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def uptime() -> float:
    """Seconds that passed, also while the machine was suspended: Linux leaves those out of its CLOCK_MONOTONIC."""
    return time.clock_gettime(_RUNNING)


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
        self._rested = asyncio.Event()
        self._cluster: Cluster | None = None
        self.over = asyncio.Event()
        """What is known here holds no longer, and ``outdated`` tells why: a new hub is needed."""
        self.outdated = ""
        self._refusing = False
        self._hold: asyncio.TimerHandle | None = None
        """While what was said is held back: until when at the latest."""
        self._beaten = float("-inf")
        """When the last beat began that the other servers have seen."""
        self._waiting: asyncio.TimerHandle | None = None
        """While a batch is under way for too long: when what was said since is refused next."""
        self._took = 0.0
        """How long the last flush took."""
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None
        self._under_way: Sequence[Change] = ()
        """The batch that the store has not answered yet."""

    def wake(self) -> None:
        """There is something to store, look up or flush."""
        self._submitted.set()
        self._ready.set()

    async def run(self, hub: Hub) -> None:
        """Drive the hub until cancelled, or ``over``."""
        self._cluster = hub.cluster
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow(hub), name="follow")
                group.create_task(self._beat(hub), name="beat")
                group.create_task(self._commit(hub), name="commit")
                group.create_task(self._flush(hub, group), name="flush")
                group.create_task(self._tidy(hub), name="tidy")
        except* Outdated as outdated:
            self.outdated = str(outdated.exceptions[0])
            self.over.set()
        finally:
            for timer in (self._timer, self._hold, self._waiting):
                if timer is not None:
                    timer.cancel()

    async def rest(self) -> None:
        """Return once everything that was submitted is stored, or refused."""
        self._rested.clear()
        self.wake()
        await self._rested.wait()

    def unstored(self, hub: Hub) -> list[Change]:
        """What was submitted, and is not stored as far as is known."""
        return [*self._under_way, *hub.waiting()]

    def may_send(self) -> bool:
        """Whether mail is this server's to send at this very moment, and surely no other's."""
        cluster = self._cluster
        if cluster is None or cluster.is_alone:
            return True
        return cluster.leads and not self.over.is_set() and uptime() < self._beaten + HOLD

    async def _commit(self, hub: Hub) -> None:
        while True:
            await self._submitted.wait()
            self._submitted.clear()
            batch = hub.take()
            if not batch:
                self._rested.set()
                continue
            changes = self._under_way = [change for change, _ in batch]
            try:
                results = await self._settled(hub, changes)
            except StoreError as error:
                self._trouble(str(error))
                hub.refused(batch, error.people)
                self._under_way = ()
                self._flush_now(hub)
                await asyncio.sleep(PAUSE)
            else:
                stored = zip(changes, results, strict=True)
                if self._refusing and any(
                    (change.entry or change.rows) and not isinstance(result, Earlier) for change, result in stored
                ):
                    self._trouble("")
                hub.committed(batch, results, self._clock())
                self._under_way = ()
                await self._hand_out(hub)

    async def _settled(self, hub: Hub, changes: Sequence[Change]) -> Sequence[Stored]:
        """What became of a batch. Where a network lies between, that may take long, and nobody knows how long."""
        if hub.cluster.is_alone:
            return await self._store.commit(changes)
        waiting = asyncio.get_running_loop().call_later(PATIENCE, self._lose_patience, hub)
        try:
            return await self._store.commit(changes)
        finally:
            (self._waiting or waiting).cancel()
            self._waiting = None

    def _lose_patience(self, hub: Hub) -> None:
        """A batch is under way for too long: what was said since is refused, now and until that is answered."""
        why = "what keeps the chat does not answer"
        self._trouble(why)
        hub.refuse_waiting(f"{why}; try again later")
        self._waiting = asyncio.get_running_loop().call_later(PAUSE, self._lose_patience, hub)

    async def _follow(self, hub: Hub) -> None:
        """Take in what other servers commit."""
        while True:
            try:
                await self._store.follow(lambda change, number: hub.learn(change, number, self._clock()))
            except StoreError as error:
                _log.debug("what other servers say can't be heard: %s", error)
                await asyncio.sleep(PAUSE)
            else:
                return

    async def _beat(self, hub: Hub) -> None:
        """Show the other servers that this one lives, and see which of them do."""
        while not hub.cluster.is_alone:
            now = uptime()
            try:
                beats = await self._store.beat()
            except StoreError as error:
                self._trouble(str(error))
            else:
                self._trouble("")  # a sign of life is stored like all else
                self._beaten = now
                hub.cluster.hear(beats, now)
                hub.mailroom.wake()
            await asyncio.sleep(BEAT)

    async def _hand_out(self, hub: Hub) -> None:
        """Flush, or leave it to the next batch where that is about to come.

        To write to a crowd is dear, and little dearer for more. So while people talk, what they say is held back, for
        no longer than the last flush took; a lone message goes out at once (measured: of 10 who talk to 1,000, 40 %
        more is delivered).
        """
        if self._took >= GATHER:
            if self._hold is None:
                self._hold = asyncio.get_running_loop().call_later(self._took, self._let_go)
            for _ in range(TURNS):
                await asyncio.sleep(0)
            if self._hold is not None and hub.is_asked():
                return
        self._flush_now(hub)

    def _let_go(self) -> None:
        """What is held back has waited long enough, whatever the next batch waits for."""
        self._hold = None
        self._ready.set()

    def _flush_now(self, hub: Hub) -> None:
        if self._hold is not None:
            self._hold.cancel()
            self._hold = None
        start = perf_counter()
        hub.flush()
        self._took = perf_counter() - start

    def _trouble(self, why: str) -> None:
        """Tell the operator when storing begins to fail, and when it works again; never twice."""
        if why and not self._refusing:
            _log.error("nothing can be stored, so nothing is said: %s", why)
        elif self._refusing and not why:
            _log.info("what is said can be stored again")
        self._refusing = bool(why)

    async def _tidy(self, hub: Hub) -> None:
        while True:
            try:
                hub.expire(await self._store.tidy(self._clock()))
            except StoreError as error:
                _log.warning("what is too old could not be deleted: %s", error)
            await asyncio.sleep(TIDY)

    async def _flush(self, hub: Hub, group: asyncio.TaskGroup) -> None:
        while True:
            await self._ready.wait()
            self._ready.clear()
            lookups, hub.lookups = hub.lookups, []
            for lookup in lookups:
                group.create_task(self._look_up(hub, lookup), name="lookup")
            self._keep_time(hub)
            if self._hold is None:
                hub.flush()

    async def _look_up(self, hub: Hub, lookup: Lookup) -> None:
        try:
            found = await self._store.look_up(lookup.query)
        except StoreError as error:
            _log.warning("what was said can't be read: %s", error)
            lookup.failed(error.people)
        else:
            lookup.then(found)
        hub.flush()

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
