"""The listener: takes connections and keeps one task for each."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from contextvars import copy_context

from chatmail.core.hosts import host_of
from chatmail.core.hub import Hub
from chatmail.core.limits import Buckets, Rate
from chatmail.server.session import Connection

BATCH = 8
"""How many connections are accepted in one turn of the loop. Few: they take descriptors before they are counted."""
FAREWELLS = 32
"""How many connections are told at the same time that they can't come in; more are cut off without a word."""
UNCOUNTED = FAREWELLS + 5 * BATCH
"""How many descriptors connections may take that the door does not count: those that are told to go, and what is
accepted while a batch makes its way to the door, or out again (four turns, and one batch that was judged too late)."""
CLOSING_TIME = 3.0
"""How long all connections together have to end at the end, in seconds."""

_log = logging.getLogger(__name__)


class Listener:
    """All connections of one hub.

    Args:
        rate: how fast a person is read, None for as fast as they send.
        clock: seconds since the epoch.
        tls: what the connections speak, None for plain TCP.
    """

    def __init__(
        self, hub: Hub, rate: Rate | None, clock: Callable[[], float], tls: ssl.SSLContext | None = None
    ) -> None:
        self._hub = hub
        self._buckets = None if rate is None else Buckets(rate)
        self._clock = clock
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        # The same for all tasks, since each of thousands would hold its own: nothing is ever set in that context.
        self._context = copy_context()
        self._when_ended = self._ended

    async def open(self, host: str, port: int) -> int:
        """Listen; returns the port, which the system chose when 0 was asked for. Raises OSError."""
        limits = self._hub.limits
        # TLS comes later: who has yet to shake hands is a connection like any other, and counted as one.
        self._server = await asyncio.start_server(self._accept, host, port, backlog=BATCH)
        for listening in self._server.sockets:
            # To asyncio, the length of the queue is also how many it takes out of it at once.
            with listening.dup() as same:
                same.listen(limits.backlog)
            # What is set here holds for each connection it accepts.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, limits.send_buffer)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return int(self._server.sockets[0].getsockname()[1])

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_one_too_many(writer):
            _log.debug("a connection from %s is cut off: too many", writer.get_extra_info("peername"))
            writer.transport.abort()
            return
        connection = Connection(reader, writer, self._hub, self._buckets, self._clock, self._tls)
        task = asyncio.get_running_loop().create_task(connection.run(), name="connection", context=self._context)
        self._tasks.add(task)
        task.add_done_callback(self._when_ended, context=self._context)

    def _is_one_too_many(self, writer: asyncio.StreamWriter) -> bool:
        """Whether this connection can't come in, and so many are being told so that it can't be told."""
        # Who has a task and no session is being told to go, or has come only just now.
        if len(self._tasks) - len(self._hub.sessions) < FAREWELLS:
            return False
        peer = writer.get_extra_info("peername")
        return self._hub.door.refusal(host_of(peer[0] if peer else ""), self._clock()) is not None

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a connection ended by a fault of this server: %r", error, exc_info=error)

    async def close(self, reason: str) -> None:
        """Stop listening, say goodbye to everybody for this reason, and wait until they are gone, for a while."""
        if self._server is not None:
            self._server.close()
        for session in list(self._hub.sessions):
            self._hub.dismiss(session, reason, retry=True)
        self._hub.flush()
        if self._tasks:
            _, left = await asyncio.wait(self._tasks, timeout=CLOSING_TIME)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
