"""Who sends, over a socket that never blocks."""

import select
import socket

from tests.benchmarks.wires import Wire


class Mouth:
    """Who sends: its messages are numbered 0, 1, 2 … What the server does not take yet is kept.

    Args:
        owing: those who have something that the server does not take yet; kept up to date.
    """

    def __init__(
        self, sender: int, connection: socket.socket, wire: Wire, epoll: select.epoll, owing: set["Mouth"]
    ) -> None:
        self.said = 0
        self.unsent = b""
        self._sender = sender
        self._socket = connection
        self._wire = wire
        self._epoll = epoll
        self._owing = owing
        self._template = wire.template(sender)

    def say(self, count: int, at: int = 0) -> None:
        """So many messages, sent at this time (in nanoseconds; 0 where it does not matter)."""
        numbers = range(self.said, self.said + count)
        self.said += count
        template = self._wire.template(self._sender, at) if at else self._template
        mentions = self._wire.mentions
        values = numbers if mentions == 1 else (number for number in numbers for _ in range(mentions))
        self.send((template * count) % tuple(values))

    def mark(self) -> int:
        """A message that comes to its sender as well; its number."""
        number = self.said
        self.said += 1
        self.send(self._wire.mark(self._sender, number))
        return number

    def send(self, data: bytes) -> None:
        """Send, and what does not fit as soon as it does."""
        data = self.unsent + data
        try:
            size = self._socket.send(data)
        except BlockingIOError:
            size = 0
        before, self.unsent = self.unsent, data[size:]
        if bool(before) != bool(self.unsent):
            self._epoll.modify(self._socket, select.EPOLLIN | (select.EPOLLOUT if self.unsent else 0))
            (self._owing.add if self.unsent else self._owing.discard)(self)
