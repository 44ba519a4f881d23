"""The store on Redis: commits and follows, beats and looks up, each in its own time."""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from chatmail.core.cluster import BEAT_TIME
from chatmail.core.digest import DAY
from chatmail.core.journal import BYTES_MAX, ENTRIES_MAX
from chatmail.core.records import Change, Found, Gone, Question, Snapshot, Stored
from chatmail.server.stores import Learn, Outdated, StoreError
from chatmail.server.stores.redis import scripts, snapshot
from chatmail.server.stores.redis.codec import (
    Id,
    Item,
    Place,
    change_of,
    claims_of,
    decode_reply,
    encode_batch,
    id_of,
    pack,
    text_of,
)
from chatmail.server.stores.redis.line import PATIENCE, Argument, Broken, Command, Line, Refused, Script, masked
from chatmail.server.stores.redis.lookups import look_up
from chatmail.server.stores.redis.tidying import tidy

T = TypeVar("T")

PAGE = 1_000
"""So many items are taken in at a time."""
BLOCK = 2_000
"""So many milliseconds Redis waits for an item that is news, before it says that there is none."""
PAUSE_MIN, PAUSE_MAX = 0.1, 1.0
"""Seconds until a batch is sent again of which nobody knows whether it is stored."""
BATCH_BITS = 40
"""The number of a server's first batch has so many bits: enough for no two to meet, and exact in Lua's numbers."""
CLOSE_TIME = 2.0
"""So many seconds saying goodbye may take."""

_log = logging.getLogger(__name__)

_OUTDATED = {
    "epoch": "Redis has lost some of what was in it, or was begun anew",
    "lost": "Redis has lost some of what was in it",
    "node": "the other servers have given this one up",
    "pruned": "this server heard nothing for too long, and what it missed is not all kept",
    "batch": "Redis has a batch of this server that it does not know of",
}


class RedisStore:
    """Keeps everything in a Redis that several servers share.

    Args:
        url: where it is: ``redis://``, ``rediss://`` (TLS) or ``unix://``, with name, password and number of the
            database as may be.
        keep_days: how long what was said is kept.
        entries_max, bytes_max: so much of the newest the journal holds, and is read at the start.
        name: what the name of this server begins with.

    Whoever awaits ``commit`` must not have a task of its own do it: what came after the batch is taken in as soon as
    the loop has a turn.
    """

    def __init__(
        self,
        url: str,
        keep_days: int,
        entries_max: int = ENTRIES_MAX,
        bytes_max: int = BYTES_MAX,
        *,
        name: str,
    ) -> None:
        self._url = url
        self._keep = keep_days * DAY
        self._entries_max = entries_max
        self._bytes_max = bytes_max
        self._name = name
        self._lines: list[Line] = []
        self._node = ""
        """The name of this server, "" until it is opened."""
        self._own = b""
        """What tells its batches (``n``) from those of others: they begin so."""
        self._epoch = ""
        self._place = Place((0, 0), b"")
        """The last item this server has taken in, or committed."""
        self._moved = asyncio.Event()
        """It is another one."""
        self._number = 0
        """Of its last batch. The first is any: where Redis forgets, another server may get the same name."""
        self._committing = asyncio.Lock()
        self._untold: list[tuple[Change, int | None]] = []
        self._learn: Learn = self._hold

    async def open(self, now: float) -> Snapshot:
        """See ``Store``."""
        await self._hang_up()
        try:
            self._committer, self._follower, self._asker = self._lines = [Line(self._url) for _ in range(3)]
            return await self._open(now)
        except StoreError as error:
            raise StoreError(f"CHAT_DB={masked(self._url)} can't be used: {error}") from error

    async def _open(self, now: float) -> Snapshot:
        line = self._asker
        await snapshot.check(line)
        try:
            new = (secrets.token_hex(6), secrets.token_bytes(32), self._name)
            count, epoch = await line.run(scripts.BEGIN, scripts.HOUSE, *new)
        except Refused as refusal:
            if refusal.code == "UNKNOWN":
                found = refusal.text.partition(" ")[2]
                raise StoreError(
                    f"another version of chatmail keeps its things there (format {found}, this one knows"
                    f" {scripts.FORMAT}); install that one, or name another database"
                ) from refusal
            raise
        try:
            await tidy(line, epoch.decode(), now, self._keep)
        except StoreError as error:  # it must not keep the server from starting
            _log.warning("what is too old could not be deleted: %s", error)
        node = f"{self._name}-{count}"
        kept, self._place = await snapshot.read(line, node, count, self._entries_max, self._bytes_max)
        self._node, self._own, self._epoch = node, f"{node} ".encode(), kept.epoch
        self._number = secrets.randbits(BATCH_BITS)
        self._untold = []
        self._learn = self._hold
        return kept

    async def commit(self, batch: Sequence[Change]) -> list[Stored]:
        """See ``Store``."""
        if not any(change.entry is not None or change.rows for change in batch):
            return [None] * len(batch)
        decided, learned = self._place, set[str]()  # by now: whoever made this batch knows of nothing later
        async with self._committing:
            self._number += 1
            data = encode_batch(batch, self._keep)
            while True:
                try:
                    packed, items = await self._send(data, decided, learned)
                    break
                except Refused as refusal:
                    if refusal.code != "BEHIND":
                        raise
                    upto = id_of(refusal.text.partition(" ")[2])
                decided, more = await self._catch_up(decided, upto)
                learned |= more
            reply = decode_reply(packed)
            self._learn_before(items)
            await self._again(lambda: self._catch_up(self._place, id_of(reply.before)), doubt=True)
            if id_of(reply.after) > self._place.id:
                self._move(Place(id_of(reply.after), b"%b%d" % (self._own, self._number)))
            return reply.outcomes(batch)

    async def _send(self, data: bytes, decided: Place, learned: set[str]) -> tuple[bytes, list[Item]]:
        """Have a batch committed that was decided on at this place, by who did not know of these claims.

        Returns the reply, and some of what others committed in between.
        """
        arguments = (self._number, data, pack(sorted(learned)))
        answer: tuple[bytes, list[Item]]
        answer = await self._again(lambda: self._run(self._committer, scripts.COMMIT, decided, *arguments), doubt=False)
        return answer

    async def _again(self, ask: Callable[[], Awaitable[T]], *, doubt: bool) -> T:
        """The answer, asked for again and again while the batch may be stored: a fault is no answer then.

        There is ``doubt`` once it was sent and no answer came: it may be stored, or will be, and only the script can
        tell. Where it surely is, what is left to do has to be done as well.
        """
        pause, why = PAUSE_MIN, ""
        while True:
            try:
                return await ask()
            except StoreError as error:
                if isinstance(error, Refused) and error.code == "BEHIND":
                    raise
                if not (doubt or isinstance(error, Broken)):
                    raise
                if why != str(error):
                    why = str(error)
                    _log.warning("Redis is asked again, and what was said last waits for its answer: %s", why)
                doubt = True
            await asyncio.sleep(pause)
            pause = min(2 * pause, PAUSE_MAX)

    async def _run(self, line: Line, script: Script, place: Place, *arguments: Argument) -> Any:
        """The answer of a script that first looks whether this server is still one of the house. Raises Outdated."""
        house = (self._node, self._epoch, text_of(place.id), place.by, secrets.token_hex(6))
        with _outdated():
            return await line.run(script, scripts.HOUSE, *house, *arguments)

    async def follow(self, learn: Learn) -> None:
        """See ``Store``."""
        self._learn = learn
        for change, number in self._untold:
            learn(change, number)
        self._untold = []
        block = 1  # at once, because much may have happened since somebody followed
        while True:
            place = self._place
            news = ("XREAD", "COUNT", PAGE, "BLOCK", block, "STREAMS", scripts.LOG, text_of(place.id))
            read = await self._read(self._follower, news, place, block / 1000 + PATIENCE)
            block = BLOCK
            if read:
                await self._take_in(read[0][1])

    async def _read(self, line: Line, news: Command, after: Place, patience: float = PATIENCE) -> Any:
        """Items after this place, as this command has them. Raises Outdated where some may be missing, or others."""
        # The rest is answered after the first: what was not pruned by then was there to read.
        about = ("HMGET", scripts.HOUSE, "epoch", "pruned")
        seen = ("XRANGE", scripts.LOG, text_of(after.id), text_of(after.id))
        read, (epoch, pruned), item = await line.calls([news, about, seen], patience=patience)
        if epoch is None or epoch.decode() != self._epoch:
            raise Outdated(_OUTDATED["epoch"])
        if id_of(pruned) > after.id:
            raise Outdated(_OUTDATED["pruned"])
        if item[0][1][1] != after.by if item else id_of(pruned) < after.id:
            await self._run(self._asker, scripts.BEAT, after)  # which sees that, too, and ends the epoch for all
            raise Outdated(_OUTDATED["lost"])
        return read

    async def _take_in(self, items: list[Item]) -> None:
        """Learn what is news, and wait for a commit that is under way where it comes to that."""
        while (own := self._learn_all(items)) is not None:
            async with self._committing:
                if own > self._place.id:
                    raise Outdated(_OUTDATED["batch"])

    def _learn_all(self, items: list[Item]) -> Id | None:
        """Learn, in order, what of this is news; up to what this server has committed and does not know of, its id."""
        if not items or id_of(items[-1][0]) <= self._place.id:
            return None
        for id, fields in items:
            at = id_of(id)
            if at <= self._place.id:
                continue
            if fields[1].startswith(self._own):
                return at
            try:
                change, number = change_of(at[0], fields)
            except StoreError as error:  # what comes after it can't be told, and may be stored
                raise Outdated(str(error)) from error
            if Gone(table="node", key=self._node) in change.rows:  # its people are told that, and not what follows
                raise Outdated(_OUTDATED["node"])
            self._learn(change, number)
            self._move(Place(at, fields[1]))
        return None

    def _move(self, place: Place) -> None:
        self._place = place
        self._moved.set()

    def _learn_before(self, items: list[Item]) -> None:
        """Learn what came before what this server is about to commit, or has: nothing there is its own."""
        if self._learn_all(items) is not None:
            raise Outdated(_OUTDATED["batch"])

    async def _catch_up(self, after: Place, upto: Id) -> tuple[Place, set[str]]:
        """Learn what is news between these; the last item there, and all that others claim in between."""
        claims = set[str]()
        while after.id < upto:
            between = (f"({text_of(after.id)}", text_of(upto), "COUNT", PAGE)
            items: list[Item] = await self._read(self._committer, ("XRANGE", scripts.LOG, *between), after)
            if not items:
                break
            self._learn_before(items)
            others = (fields for _, fields in items if not fields[1].startswith(self._own))
            claims.update(claim for fields in others for claim in claims_of(fields))
            after = Place(id_of(items[-1][0]), items[-1][1][1])
        return after, claims

    def _hold(self, change: Change, number: int | None) -> None:
        """Keep what others committed until somebody follows."""
        self._untold.append((change, number))

    async def beat(self) -> Mapping[str, int]:
        """See ``Store``."""
        try:
            async with asyncio.timeout(BEAT_TIME):
                at, told = await self._run(self._asker, scripts.BEAT, self._place)
                await self._know(id_of(at))
        except TimeoutError:
            raise Broken(f"Redis, or what other servers say, has not come for {BEAT_TIME:g} s; see how it is") from None
        return {name.decode(): int(beats) for name, beats in snapshot.pairs(told).items()}

    async def _know(self, at: Id) -> None:
        """Return once everything up to this id is known here, because somebody follows, or commits."""
        while self._place.id < at:
            self._moved.clear()
            await self._moved.wait()

    async def look_up(self, query: Question) -> Found:
        """See ``Store``."""
        return await look_up(self._asker, query)

    async def tidy(self, now: float) -> int:
        """See ``Store``."""
        with _outdated():
            return await tidy(self._asker, self._epoch, now, self._keep)

    async def close(self) -> None:
        """See ``Store``; the other servers are told."""
        if self._node:
            self._learn = self._hold
            try:
                # Outdated: they know.
                with suppress(Outdated):
                    async with asyncio.timeout(CLOSE_TIME):
                        await self.commit([Change(rows=(Gone(table="node", key=self._node),))])
            except StoreError as error:
                _log.warning("the other servers could not be told that this one ends: %s", error)
            except TimeoutError:
                _log.warning("the other servers could not be told that this one ends: no answer in %g s", CLOSE_TIME)
        await self._hang_up()

    async def _hang_up(self) -> None:
        self._node = ""
        for line in self._lines:
            await line.close()
        self._lines = []


@contextmanager
def _outdated() -> Iterator[None]:
    """Tell what a script refuses because this server knows the wrong things."""
    try:
        yield
    except Refused as refusal:
        if refusal.code != "OUTDATED":
            raise
        raise Outdated(_OUTDATED[refusal.text.partition(" ")[2]]) from None
