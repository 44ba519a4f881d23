"""All connections of a load: who is there, who of them sends, and which of them have got something."""

import errno
import os
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tests.benchmarks.mouth import Mouth
from tests.benchmarks.tally import LoadError
from tests.benchmarks.wires import WIRES

RECEIVE = 1024 * 1024


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

    Args:
        first: what connection 0 is called by, where there is another crowd.
        others: the ports of more servers; connections take turns: the next one is at the next server.
    """

    def __init__(
        self,
        port: int,
        wire: str,
        people: int,
        senders: int,
        door: int,
        *,
        first: int = 0,
        others: Sequence[int] = (),
    ) -> None:
        self.wire = WIRES[wire]
        self.mouths: list[Mouth] = []
        self.number_of: dict[int, int] = {}
        """Of each file descriptor."""
        self.into: dict[int, Callable[[bytearray], int]] = {}
        """What receives from each connection."""
        self.first = first
        self._ports = (port, *others)
        self.people = people
        self._senders = senders
        self._door = door
        self._sockets: dict[int, socket.socket] = {}
        self._hellos: dict[int, bytes] = {}
        self._owing: set[Mouth] = set()
        self._epoll = select.epoll()
        self._deadline = 0.0
        self._patience = 0.0

    def close(self) -> None:
        for each in self._sockets.values():
            each.close()
        self._epoll.close()

    def join(self, patience: float, *, one_is_in: Callable[[], None] = lambda: None) -> None:
        """Connect everybody, and have everybody welcomed, those who only send last.

        Args:
            one_is_in: called when nobody but the first is there.
        """
        self.be_patient(patience)
        extra = self._senders if self.wire.reply else 0
        self._let_in(range(1))
        one_is_in()
        self._let_in(range(1, self.people))
        self._let_in(range(self.people, self.people + extra))
        first = self.people if extra else 0
        for sender in range(self._senders):
            self.mouths.append(self._mouth(sender, first + sender))

    def _mouth(self, sender: int, number: int) -> Mouth:
        return Mouth(sender, self._sockets[number], self.wire, self._epoll, self._owing)

    def come_back(self, number: int, hear: Callable[[int, bytes], None]) -> None:
        """Somebody who has gone comes in once more, and goes on with what they say; ``hear`` gets what others hear."""
        self._let_in(range(number, number + 1), hear)
        if number < self._senders:
            said = self.mouths[number].said
            self.mouths[number] = self._mouth(number, number)
            self.mouths[number].said = said

    def _let_in(self, numbers: range, hear: Callable[[int, bytes], None] = lambda _number, _data: None) -> None:
        wire = self.wire
        unsettled: dict[int, _Newcomer] = {}
        coming = iter(numbers)
        at_the_door = 0

        def missing() -> str:
            heard = {number: newcomer.heard[-300:] for number, newcomer in list(unsettled.items())[:2]}
            return f"{len(unsettled)} of the first {len(self._sockets)} are not in; they heard {heard}"

        while True:
            while at_the_door < self._door and (number := next(coming, None)) is not None:
                extra = number >= self.people
                self.connect(number, wire.sender_hello if extra else wire.hello(self.first + number))
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
                    hear(number, data)
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

    def connect(self, number: int, hello: bytes) -> None:
        """Connect without waiting for it, and have this said once the server is there."""
        connection = socket.socket()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sockets[number] = connection
        self.into[number] = (Acknowledging(connection) if self.wire.waits else connection).recv_into
        self.number_of[connection.fileno()] = number
        self._hellos[connection.fileno()] = hello
        error = connection.connect_ex(("127.0.0.1", self._ports[number % len(self._ports)]))
        if error not in (0, errno.EINPROGRESS):
            raise OSError(error, os.strerror(error))
        self._epoll.register(connection, select.EPOLLIN | select.EPOLLOUT)

    def _greet(self, events: list[tuple[int, int]]) -> None:
        """Say hello where the server is there by now."""
        for fd, what in events:
            if what & select.EPOLLOUT and fd in self._hellos:
                self._epoll.modify(fd, select.EPOLLIN)
                self._sockets[self.number_of[fd]].sendall(self._hellos.pop(fd))

    def say_goodbye(self, number: int) -> None:
        """Somebody leaves, and is gone when the server has hung up."""
        self.send(number, self.wire.goodbye)
        connection = self._sockets[number]
        connection.settimeout(self._patience)
        while connection.recv(RECEIVE):
            pass
        self.cut(number)

    def cut(self, number: int) -> None:
        """End a connection without a word, as when a machine is gone: the server sees a reset."""
        connection = self._sockets.pop(number)
        del self.into[number], self.number_of[connection.fileno()]
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    def be_patient(self, seconds: float) -> None:
        """From now on, so long; then ``poll`` and ``ready`` raise LoadError."""
        self._patience = seconds
        self._deadline = time.monotonic() + seconds

    def poll(self, missing: Callable[[], str], pause: float = 1.0, *, nudge: float = 0, most: int = 0) -> list[int]:
        """The file descriptors that have something; ``missing`` says what is, when that takes too long.

        Args:
            pause: to wait so long at most, in seconds.
            nudge: a server that may need it is nudged when it has been silent for so long.
            most: not more than so many at once; 0: all.
        """
        if nudge and self.wire.nudge:
            pause = min(pause, nudge)
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise LoadError(f"out of patience after {self._patience:g} s: {missing()}")
        events = self._epoll.poll(max(0.0, min(pause, left)), most or max(1, len(self._sockets)))
        if self._hellos:
            self._greet(events)
        if not events and nudge and self.wire.nudge:
            self._nudge()
        return [fd for fd, _ in events]

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

    def send(self, number: int, data: bytes) -> None:
        """Send a little on a connection that says nothing else."""
        self._sockets[number].sendall(data)

    def say(self, count: int, senders: int | None = None) -> None:
        """Each sender says so many, or only the first ones do."""
        for mouth in self.mouths[:senders]:
            mouth.say(count)

    def _nudge(self) -> None:
        """Each sender says what means nothing, and what came is acknowledged."""
        for each in self._sockets.values():
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        for mouth in self.mouths:
            mouth.send(self.wire.nudge)

    def flush(self) -> None:
        """Send what could not be sent before."""
        for mouth in list(self._owing):
            mouth.send(b"")
