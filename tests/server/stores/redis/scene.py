"""What tests of the store on Redis share: changes, servers that note what they hear, a connection that can be cut."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import UNSET
from redis import Redis

from chatmail.core.records import Account, Change, Entry, Mail, Overtaken, Row, Snapshot, Stored
from chatmail.core.wire import stamp
from chatmail.server.stores.redis import RedisStore
from chatmail.server.stores.redis.scripts import COMMIT

NOON = 1_795_356_000.0
MARY, JOHN, ANN = 1, 2, 3
OLDER = "for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do redis.call('ZINCRBY', KEYS[1], -ARGV[1], id) end"
PATIENCE = 10.0
"""Seconds after which what a test waits for will not come any more."""


def said(
    text: str,
    *rows: Row,
    author: int = MARY,
    reader: int | None = None,
    id: str | None = None,
    now: float = NOON,
    claims: Iterable[str] = (),
) -> Change:
    entry = Entry(
        kind="message" if reader is None else "direct",
        time=stamp(now),
        author=author,
        sender="Mary",
        reader=reader,
        to="" if reader is None else "John",
        text=text,
        id=UNSET if id is None else id,
    )
    return Change(entry=entry, rows=rows, claims=tuple(claims))


def mailed(text: str, author: int = MARY, reader: int = JOHN, *, now: float = NOON) -> Change:
    """A direct message with its mail."""
    mail = Mail(seq=0, reader=reader, author=author, sender="Mary", to="John", text=text, time=stamp(now))
    return said(text, mail, author=author, reader=reader, now=now)


def rows(*rows: Row, claims: Iterable[str] = ()) -> Change:
    return Change(rows=rows, claims=tuple(claims))


def account(id: int, name: str) -> Account:
    return Account(id=id, name=name, email=f"{name.lower()}@example.org", first=0, seen=0)


class Server:
    """A store that somebody uses, and what they know from it."""

    def __init__(self, store: RedisStore, snapshot: Snapshot) -> None:
        self.store = store
        self.snapshot = snapshot
        self.node = snapshot.node
        self.log: list[tuple[int | None, Entry | None, tuple[Row, ...]]] = []
        """All that was committed since it was opened, by itself and by others, in order."""
        self._news = asyncio.Event()
        self._following: asyncio.Task[None] | None = None

    async def commit(self, *batch: Change) -> list[Stored]:
        results = await self.store.commit(batch)
        for change, result in zip(batch, results, strict=True):
            if result is None or isinstance(result, int):
                self._note(change, result)
        return results

    def learn(self, change: Change, number: int | None) -> None:
        self._note(change, number)

    def _note(self, change: Change, number: int | None) -> None:
        self.log.append((number, change.entry, change.rows))
        self._news.set()

    def follow(self) -> "asyncio.Task[None]":
        self._following = asyncio.create_task(self.store.follow(self.learn))
        return self._following

    async def until(self, told: Callable[[], bool]) -> None:
        """Return once this holds of what it was told."""
        async with asyncio.timeout(PATIENCE):
            while not told():
                self._news.clear()
                await self._news.wait()

    def texts(self) -> list[str]:
        return [entry.text for _, entry, _ in self.log if entry is not None]

    async def end(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await self.store.close()


@asynccontextmanager
async def serving(*urls: str, keep_days: int = 30) -> AsyncIterator[list[Server]]:
    """Servers, each with a store at one of these addresses."""
    servers = []
    try:
        for url in urls:
            store = RedisStore(url, keep_days, name="host")
            servers.append(Server(store, await store.open(NOON)))
        yield servers
    finally:
        for server in servers:
            await server.end()


def overtaken(results: Iterable[Stored]) -> list[bool]:
    return [isinstance(result, Overtaken) for result in results]


def older(admin: "Redis", seconds: int) -> None:
    """Items without entry are there for so much longer."""
    admin.eval(OLDER, 1, "{chatmail}:quiet", seconds)


class Proxy:
    """Stands between a store and Redis, and can spoil what goes through.

    Args:
        redis: the socket of Redis.
    """

    def __init__(self, redis: Path) -> None:
        self._redis = redis
        self.url = ""
        self.commits = 0
        """So many were asked for."""
        self.lose = 0
        """Of so many commits to come the answer is lost, with the connection."""
        self.hold = 0
        """So many commits to come are held back, and their connections are lost."""
        self.held: list[bytes] = []
        self.unread = 0
        """Of so many times that somebody reads the stream, the answer is lost, with the connection."""
        self.deaf = False
        """Nobody is let in."""
        self._asked = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._listener = await asyncio.start_server(self._meet, "127.0.0.1", 0)
        host, port = self._listener.sockets[0].getsockname()
        self.url = f"redis://{host}:{port}"

    async def stop(self) -> None:
        self._listener.close()
        self.cut()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def cut(self) -> None:
        """End all connections."""
        for writer in list(self._writers):
            writer.close()

    async def asked(self, times: int) -> None:
        """Return once so many commits were asked for."""
        async with asyncio.timeout(PATIENCE):
            while self.commits < times:
                self._asked.clear()
                await self._asked.wait()

    async def release(self) -> bytes:
        """Let through, late, what was held back; what Redis says to it."""
        reader, writer = await asyncio.open_unix_connection(self._redis)
        writer.write(self.held.pop(0))
        answer = await reader.read(65_536)
        writer.close()
        await writer.wait_closed()
        return answer

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        try:
            if not self.deaf:
                await self._serve(reader, writer)
        except ConnectionError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what is asked, and then the answer; nobody here asks twice before there was one."""
        from_redis, to_redis = await asyncio.open_unix_connection(self._redis)
        answers = asyncio.create_task(self._answer(from_redis, writer))
        try:
            while request := await reader.read(1_000_000):
                if COMMIT.sha.encode() in request:
                    self.commits += 1
                    self._asked.set()
                    if self.hold:
                        self.hold -= 1
                        self.held.append(request)
                        return
                    if self.lose:
                        self.lose -= 1
                        answers.cancel()
                        await asyncio.wait([answers])
                        to_redis.write(request)
                        await from_redis.read(1)
                        return
                if self.unread and b"XRANGE" in request:
                    self.unread -= 1
                    return
                to_redis.write(request)
        finally:
            answers.cancel()
            await asyncio.wait([answers])
            to_redis.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while answer := await reader.read(1_000_000):
            writer.write(answer)


@asynccontextmanager
async def between(redis: Path) -> AsyncIterator[Proxy]:
    """A proxy before this Redis, that ends with the test."""
    proxy = Proxy(redis)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
