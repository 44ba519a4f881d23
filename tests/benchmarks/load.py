"""The load: one process with one sender and many readers, all raw sockets on one epoll.

It must never be what is measured, so while the clock runs it only receives, compares and takes the time. The checks
are strict nevertheless: the sender's own stream is parsed (after the clock was stopped), and must hold every message of
its, numbered without a hole, and nothing else; every reader's stream must be that one, byte by byte.

Run as a program: a Plan as JSON in the first argument, an Outcome as JSON on standard output; what went wrong goes
to standard error, with exit status 1. It uses nothing of chatmail, and only what Linux has.
"""

import gc
import json
import resource
import select
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

TEXT_SIZE = 100
RECEIVE = 1024 * 1024


class LoadError(Exception):
    """The server did not do what it must, or not in time."""


@dataclass(frozen=True)
class Plan:
    """What to do to which server. Times are seconds."""

    port: int
    pid: int
    readers: int
    window: int
    saturated: float
    paced: float
    rate: float
    patience: float


@dataclass(frozen=True)
class Phase:
    """What one phase took. A delivery is one message at one reader; the sender's own echo is not counted."""

    messages: int
    deliveries: int
    seconds: float
    server_cpu: float
    load_cpu: float


@dataclass(frozen=True)
class Outcome:
    """Both phases, and the latencies of the paced one in milliseconds."""

    saturated: Phase
    paced: Phase
    p50: float
    p99: float
    worst: float


def cpu_time(pid: int) -> float:
    """The processor time of all threads of a process, user and system, to the nanosecond: clock_getcpuclockid(3)."""
    return time.clock_gettime((~pid << 3) | 2)


class Stopwatch:
    """Runs from its making; ``phase`` reads it."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._server_cpu = cpu_time(pid)
        self._load_cpu = time.process_time()
        self._start = time.monotonic()

    def phase(self, messages: int, readers: int) -> Phase:
        return Phase(
            messages=messages,
            deliveries=messages * readers,
            seconds=time.monotonic() - self._start,
            server_cpu=cpu_time(self._pid) - self._server_cpu,
            load_cpu=time.process_time() - self._load_cpu,
        )


class Echo:
    """What the sender got back, and that all others get the very same bytes.

    Comparing is several times cheaper than counting newlines: readers in step are compared with the same slice.
    """

    def __init__(self, connections: int) -> None:
        self.stream = bytearray()
        self.lines = 0
        self._heard = [0] * connections
        self._total = 0
        self._slice = (0, b"")
        self._early: list[tuple[int, int, bytes]] = []

    def everywhere(self) -> bool:
        """Whether everybody has got as much as the sender."""
        return self._total == len(self.stream) * len(self._heard)

    def hear(self, number: int, buffer: bytearray, size: int) -> None:
        """So much came for this connection. Raises LoadError when it is not what the sender got."""
        start = self._heard[number]
        self._heard[number] = end = start + size
        self._total += size
        if not number:
            self.stream += memoryview(buffer)[:size]
            self.lines += buffer.count(b"\n", 0, size)
        elif end > len(self.stream):
            self._early.append((number, start, bytes(memoryview(buffer)[:size])))
        else:
            at, expected = self._slice
            if at != start or len(expected) != size:
                expected = bytes(memoryview(self.stream)[start:end])
                self._slice = (start, expected)
            if not buffer.startswith(expected):
                raise self._differs(number, start, bytes(memoryview(buffer)[:size]))

    def check_the_rest(self) -> None:
        """The same for what came to a reader before it came to the sender."""
        for number, start, data in self._early:
            if not self.stream.startswith(data, start):
                raise self._differs(number, start, data)

    def _differs(self, number: int, start: int, data: bytes) -> LoadError:
        same = 0
        while same < len(data) and self.stream[start + same : start + same + 1] == data[same : same + 1]:
            same += 1
        line = data[data.rfind(b"\n", 0, same + 1) + 1 :].split(b"\n")[0]
        return LoadError(f"connection {number} got something else than the sender: {line[:200]!r}")


class Crowd:
    """All connections of a load; number 0 is the sender, the readers come after it."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._sockets: list[socket.socket] = []
        self._sender_fd = -1
        self._number_of: dict[int, int] = {}
        self._epoll = select.epoll()
        self._said = 0
        self._unsent = b""
        self._deadline = time.monotonic() + plan.patience

    def close(self) -> None:
        for each in self._sockets:
            each.close()
        self._epoll.close()

    # Phases.

    def join(self) -> None:
        """Connect everybody, and have everybody welcomed."""
        self._be_patient()
        heard: list[bytes] = []
        outside = set(range(self._plan.readers + 1))
        for number in sorted(outside):
            connection = socket.create_connection(("127.0.0.1", self._plan.port), timeout=self._plan.patience)
            self._sockets.append(connection)
            self._number_of[connection.fileno()] = number
            heard.append(b"")
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            name = f"reader{number}" if number else "sender"
            connection.sendall(_line({"type": "join", "name": name, "email": f"{name}@example.org", "version": 1}))
            connection.setblocking(False)
            self._epoll.register(connection, select.EPOLLIN)
        self._sender_fd = self._sockets[0].fileno()
        while outside:
            for fd in self._ready(f"{len(outside)} of {len(self._sockets)} have no welcome"):
                number = self._number_of[fd]
                data = self._receive(fd)
                if number not in outside:
                    continue
                heard[number] += data
                if b'"type":"welcome"' in heard[number]:
                    outside.remove(number)
                elif b"\n" in data:
                    raise LoadError(f"connection {number} is not let in: {heard[number]!r}")

    def mark(self, *, after: int | None = None) -> int:
        """One message read by everybody: a barrier. Returns its number.

        Args:
            after: the number of the last message; None right after the joins, where other frames may come first.
        """
        self._be_patient()
        text = f"mark {self._said}"
        self._say(text)
        ending = text.encode()
        heard = [b""] * len(self._sockets)
        waiting = set(range(len(self._sockets)))
        while waiting:
            for fd in self._ready(f"{len(waiting)} of {len(self._sockets)} have not got {text!r}"):
                number = self._number_of[fd]
                heard[number] += self._receive(fd)
                if heard[number].endswith(b"\n") and ending in heard[number].splitlines()[-1]:
                    waiting.discard(number)
        lines = {stream.splitlines()[-1] if after is None else stream for stream in heard}
        if len(lines) > 1:
            raise LoadError(f"not everybody got the same, and only that: {sorted(lines)[:2]}")
        (line,) = lines
        seq = int(json.loads(line)["seq"])
        if after is not None and seq != after + 1:
            raise LoadError(f"after number {after} came {seq}")
        return seq

    def saturate(self, last: int) -> Phase:
        """Say as much as the server takes, for a while; over when everybody has everything.

        ``last`` is the number of the last message before.
        """
        self._be_patient()
        plan, said, number_of = self._plan, self._said, self._number_of
        buffer = bytearray(RECEIVE)
        into = [connection.recv_into for connection in self._sockets]
        echo = Echo(len(self._sockets))
        goal = -1
        watch = Stopwatch(plan.pid)
        end = time.monotonic() + plan.saturated
        self._fill_window(0)
        while echo.lines != goal or not echo.everywhere():
            for fd in self._ready(f"{echo.lines} of {self._said - said} messages came back, to some of the readers"):
                number = number_of[fd]
                try:
                    size = into[number](buffer)
                except BlockingIOError:  # ready to be written to, that is
                    continue
                if not size:
                    raise LoadError(f"the server hung up on connection {number}")
                echo.hear(number, buffer, size)
            if goal < 0 and time.monotonic() >= end:
                goal = self._said - said
            if goal < 0:
                self._fill_window(echo.lines - (self._said - said))
            else:
                self._send(b"")
        phase = watch.phase(self._said - said, plan.readers)
        echo.check_the_rest()
        check_echo(bytes(echo.stream), said, self._said, last)
        return phase

    def pace(self, last: int) -> tuple[Phase, list[float]]:
        """Say something at a steady rate; all latencies, in milliseconds, sorted."""
        self._be_patient()
        plan, said = self._plan, self._said
        messages = max(1, round(plan.paced * plan.rate))
        total, goal = 0, messages * len(self._sockets)
        arrivals: list[tuple[int, int, bytes]] = []
        watch = Stopwatch(plan.pid)
        start = time.monotonic()
        while total != goal:
            done = self._said - said
            pause = self._deadline - time.monotonic()
            if done < messages:
                pause = start + done / plan.rate - time.monotonic()
                if pause <= 0:
                    self._say(str(time.monotonic_ns()))
                    continue
            for fd in self._ready(f"{total} of {goal} deliveries have come", pause):
                data = self._receive(fd)
                arrivals.append((time.monotonic_ns(), fd, data))
                total += data.count(b"\n")
        phase = watch.phase(messages, plan.readers)
        streams = [b""] * len(self._sockets)
        for _, fd, data in arrivals:
            streams[self._number_of[fd]] += data
        check_echo(streams[0], said, self._said, last)
        if any(stream != streams[0] for stream in streams):
            raise LoadError("not everybody got the same")
        return phase, sorted(self._latencies(arrivals))

    # Parts of them.

    def _latencies(self, arrivals: list[tuple[int, int, bytes]]) -> Iterator[float]:
        sent: dict[bytes, int] = {}  # a line, and when it was sent
        begun: dict[int, bytes] = {}
        for now, fd, data in arrivals:
            if fd == self._sender_fd:
                continue
            *whole, begun[fd] = (begun.get(fd, b"") + data).split(b"\n")
            for line in whole:
                if line not in sent:
                    sent[line] = int(json.loads(line)["text"].rstrip("."))
                yield (now - sent[line]) / 1e6

    def _be_patient(self) -> None:
        self._deadline = time.monotonic() + self._plan.patience + max(self._plan.saturated, self._plan.paced)

    def _ready(self, missing: str, pause: float = 1.0) -> Iterator[int]:
        """Which sockets have something; raises LoadError with what is missing when that takes too long."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise LoadError(f"out of patience after {self._plan.patience:g} s: {missing}")
        return (fd for fd, _ in self._epoll.poll(max(0.0, min(pause, left)), len(self._sockets)))

    def _receive(self, fd: int) -> bytes:
        try:
            data = self._sockets[self._number_of[fd]].recv(RECEIVE)
        except BlockingIOError:
            self._send(b"")
            return b""
        if not data:
            raise LoadError(f"the server hung up on connection {self._number_of[fd]}")
        return data

    def _fill_window(self, balance: int) -> None:
        """Say as much as fits into the window; ``balance`` is what was echoed less what was said."""
        room = self._plan.window + balance
        if room > 0:
            first, self._said = self._said, self._said + room
            self._send(b"".join(say(number) for number in range(first, self._said)))
        elif self._unsent:
            self._send(b"")

    def _say(self, text: str) -> None:
        self._send(say(self._said, text))
        self._said += 1

    def _send(self, data: bytes) -> None:
        """Send, and what does not fit as soon as it does."""
        data = self._unsent + data
        if not data:
            return
        try:
            size = self._sockets[0].send(data)
        except BlockingIOError:
            size = 0
        before, self._unsent = self._unsent, data[size:]
        if bool(before) != bool(self._unsent):
            self._epoll.modify(self._sender_fd, select.EPOLLIN | (select.EPOLLOUT if self._unsent else 0))


def _line(frame: dict[str, object]) -> bytes:
    return json.dumps(frame, separators=(",", ":")).encode() + b"\n"


def say(number: int, text: str = "") -> bytes:
    """A frame to send: 100 bytes of text, and an id as real clients give one."""
    return b'{"type":"say","text":"%s","id":"m%d"}\n' % (text.encode().ljust(TEXT_SIZE, b"."), number)


def check_echo(stream: bytes, first: int, end: int, last: int) -> None:
    """The sender's stream holds its messages from ``first`` up to ``end``, numbered on from ``last``, nothing else."""
    lines = stream.splitlines()
    if len(lines) != end - first:
        raise LoadError(f"{end - first} messages were said, {len(lines)} lines came back")
    for place, line in enumerate(lines):
        frame = json.loads(line)
        kind, seq, id = frame["type"], frame.get("seq"), frame.get("id")
        if (kind, seq, id) != ("message", last + 1 + place, f"m{first + place}"):
            raise LoadError(f"in the place of message {first + place} with number {last + 1 + place} came {frame}")


def run(plan: Plan) -> Outcome:
    """Join, warm up, then one phase after the other."""
    crowd = Crowd(plan)
    try:
        crowd.join()
        last = crowd.mark()
        phase = crowd.saturate(last)
        last = crowd.mark(after=last + phase.messages)
        paced, latencies = crowd.pace(last)
        crowd.mark(after=last + paced.messages)
    finally:
        crowd.close()
    p50, p99 = (latencies[int(share * (len(latencies) - 1))] for share in (0.5, 0.99))
    return Outcome(saturated=phase, paced=paced, p50=p50, p99=p99, worst=latencies[-1])


def main(arguments: list[str], write: Callable[[str], object] = print) -> None:
    plan = Plan(**json.loads(arguments[0]))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.disable()
    try:
        write(json.dumps(asdict(run(plan))))
    except (LoadError, OSError, ValueError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
