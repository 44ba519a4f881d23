"""The listener: takes connections and keeps one task for each."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable

from chatmail.core.hub import Hub
from chatmail.core.limits import Rate
from chatmail.server.session import Connection

BACKLOG = 1024
SEND_BUFFER = 256 * 1024
"""What the system may hold of one session's output, in bytes."""
CLOSING_TIME = 3.0
"""How long all connections together have to end at the end, in seconds."""

_log = logging.getLogger(__name__)


class Listener:
    """All connections of one hub.

    Args:
        rate: how fast a session is read, None for as fast as it sends.
        clock: seconds since the epoch.
        tls: what the connections speak, None for plain TCP.
    """

    def __init__(
        self, hub: Hub, rate: Rate | None, clock: Callable[[], float], tls: ssl.SSLContext | None = None
    ) -> None:
        self._hub = hub
        self._rate = rate
        self._clock = clock
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, host: str, port: int) -> int:
        """Listen; returns the port, which the system chose when 0 was asked for. Raises OSError."""
        # TLS comes later: who has yet to shake hands is a connection like any other, and counted as one.
        self._server = await asyncio.start_server(self._accept, host, port, backlog=BACKLOG)
        for listening in self._server.sockets:
            # What is set here holds for each connection it accepts.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return int(self._server.sockets[0].getsockname()[1])

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer, self._hub, self._rate, self._clock, self._tls)
        task = asyncio.get_running_loop().create_task(connection.run())
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a connection ended by a fault of this server: %r", error, exc_info=error)

    async def close(self) -> None:
        """Stop listening, say goodbye to everybody, and wait until they are gone, for a while."""
        if self._server is not None:
            self._server.close()
        for session in list(self._hub.sessions):
            self._hub.dismiss(session, "the server is going down", retry=True)
        self._hub.flush()
        if self._tasks:
            _, left = await asyncio.wait(self._tasks, timeout=CLOSING_TIME)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
