"""All connections of a load: who is there, who of them sends, and which of them have got something."""

import select
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.benchmarks.tally import LoadError
from tests.benchmarks.wires import WIRES, Wire

RECEIVE = 1024 * 1024


class Mouth:
    """Who sends: its messages are numbered 0, 1, 2 … What the server does not take yet is kept."""

    def __init__(self, sender: int, connection: socket.socket, wire: Wire, epoll: select.epoll) -> None:
        self.said = 0
        self.unsent = b""
        self._sender = sender
        self._socket = connection
        self._wire = wire
        self._epoll = epoll
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


class Acknowledging:
    """Receives, and has the system acknowledge at once, where it would do so 40 ms later."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def recv_into(self, buffer: bytearray) -> int:
        size = self._socket.recv_into(buffer)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return size


@dataclass
class _Newcomer:
    heard: bytes = b""
    answers: int = 0
    is_in: bool = False


class Crowd:
    """Connections 0, 1 … are people, the senders first; those to send, where one does not do both, follow.

    At most ``door`` come in at once: those who are in must be read from meanwhile, as some servers tell them who comes.
    """

    def __init__(self, port: int, wire: str, people: int, senders: int, door: int) -> None:
        self.wire = WIRES[wire]
        self.mouths: list[Mouth] = []
        self.number_of: dict[int, int] = {}
        """Of each file descriptor."""
        self.into: list[Callable[[bytearray], int]] = []
        """What receives from each connection."""
        self._port = port
        self._people = people
        self._senders = senders
        self._door = door
        self._sockets: list[socket.socket] = []
        self._epoll = select.epoll()
        self._deadline = 0.0
        self._patience = 0.0

    def close(self) -> None:
        for each in self._sockets:
            each.close()
        self._epoll.close()

    def join(self, patience: float) -> None:
        """Connect everybody, and have everybody welcomed, those who only send last."""
        self.be_patient(patience)
        extra = self._senders if self.wire.reply else 0
        self._let_in(range(self._people))
        self._let_in(range(self._people, self._people + extra))
        first = self._people if extra else 0
        for sender in range(self._senders):
            self.mouths.append(Mouth(sender, self._sockets[first + sender], self.wire, self._epoll))

    def _let_in(self, numbers: range) -> None:
        wire = self.wire
        unsettled: dict[int, _Newcomer] = {}
        coming = iter(numbers)
        at_the_door = 0

        def missing() -> str:
            heard = {number: newcomer.heard[-300:] for number, newcomer in list(unsettled.items())[:2]}
            return f"{len(unsettled)} of the first {len(self._sockets)} are not in; they heard {heard}"

        while True:
            while at_the_door < self._door and (number := next(coming, None)) is not None:
                self._connect(number)
                unsettled[number] = _Newcomer()
                at_the_door += 1
            if not unsettled:
                return
            for number in self.ready(missing):
                try:
                    data = self.receive(number)
                except LoadError as error:
                    raise LoadError(f"{error}; {missing()}") from None
                newcomer = unsettled.get(number)
                if newcomer is None:
                    continue
                newcomer.heard += data
                answers = wire.answers(number, newcomer.heard)
                for answer in answers[newcomer.answers :]:
                    self._sockets[number].sendall(answer)
                newcomer.answers = len(answers)
                if not newcomer.is_in and wire.welcome.search(newcomer.heard):
                    newcomer.is_in = True
                    at_the_door -= 1
                if newcomer.is_in and (not wire.settled or wire.settled.search(newcomer.heard)):
                    del unsettled[number]

    def _connect(self, number: int) -> None:
        connection = socket.create_connection(("127.0.0.1", self._port), timeout=self._patience)
        self._sockets.append(connection)
        self.into.append((Acknowledging(connection) if self.wire.waits else connection).recv_into)
        self.number_of[connection.fileno()] = number
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(self.wire.hello(number) if number < self._people else self.wire.sender_hello)
        connection.setblocking(False)
        self._epoll.register(connection, select.EPOLLIN)

    def be_patient(self, seconds: float) -> None:
        """From now on, so long; then ``poll`` and ``ready`` raise LoadError."""
        self._patience = seconds
        self._deadline = time.monotonic() + seconds

    def poll(self, missing: Callable[[], str], pause: float = 1.0, *, nudge: float = 0) -> list[int]:
        """The file descriptors that have something; ``missing`` says what is, when that takes too long.

        Args:
            pause: to wait so long at most, in seconds.
            nudge: a server that may need it is nudged when it has been silent for so long.
        """
        if nudge and self.wire.nudge:
            pause = min(pause, nudge)
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise LoadError(f"out of patience after {self._patience:g} s: {missing()}")
        found = [fd for fd, _ in self._epoll.poll(max(0.0, min(pause, left)), len(self._sockets))]
        if not found and nudge and self.wire.nudge:
            self._nudge()
        return found

    def ready(self, missing: Callable[[], str], pause: float = 1.0, *, nudge: float = 0) -> Iterator[int]:
        """The same, as numbers; what could not be sent is tried again."""
        found = self.poll(missing, pause, nudge=nudge)
        self.flush()
        return (self.number_of[fd] for fd in found)

    def receive(self, number: int) -> bytes:
        """What came; nothing when nothing did. Raises LoadError when the server hung up."""
        try:
            data = self._sockets[number].recv(RECEIVE)
        except BlockingIOError:
            return b""
        if not data:
            raise self.hung_up(number)
        return data

    def hung_up(self, number: int) -> LoadError:
        return LoadError(f"the server hung up on connection {number}")

    def say(self, count: int) -> int:
        """Each sender says so many; returns it."""
        for mouth in self.mouths:
            mouth.say(count)
        return count

    def _nudge(self) -> None:
        """Each sender says what means nothing, and what came is acknowledged."""
        for each in self._sockets:
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        for mouth in self.mouths:
            mouth.send(self.wire.nudge)

    def flush(self) -> None:
        """Send what could not be sent before."""
        for mouth in self.mouths:
            if mouth.unsent:
                mouth.send(b"")
