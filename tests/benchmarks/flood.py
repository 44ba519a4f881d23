"""Reading all that comes while a window of messages is always under way, and what that took.

What the first of all has got is under way no more: that asks the same of a server that gives back what one says and of
one that doesn't, and of one that begins with who came last.
"""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.crowd import RECEIVE, Crowd
from tests.benchmarks.tally import Hear

NUDGE = 0.001
"""A server that needs it is nudged when it has been silent for so long while all talk, in seconds."""


@dataclass(frozen=True)
class Phase:
    """What one phase took. A delivery is one message at one reader; what comes back to its sender is not counted."""

    messages: int
    deliveries: int
    seconds: float
    server_cpu: float
    load_cpu: float


def cpu_time(pid: int) -> float:
    """The processor time of all threads of a process, user and system, to the nanosecond: clock_getcpuclockid(3)."""
    return time.clock_gettime((~pid << 3) | 2)


def memory(pid: int) -> int:
    """The bytes of a process that are resident, proc_pid_status(5)."""
    [kib] = re.findall(r"VmRSS:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(kib) * 1024


class Stopwatch:
    """Runs from its making; ``phase`` reads it."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._server_cpu = cpu_time(pid)
        self._load_cpu = time.process_time()
        self._start = time.monotonic()

    def phase(self, messages: int, people: int) -> Phase:
        return Phase(
            messages=messages,
            deliveries=messages * (people - 1),
            seconds=time.monotonic() - self._start,
            server_cpu=cpu_time(self._pid) - self._server_cpu,
            load_cpu=time.process_time() - self._load_cpu,
        )


class Talk:
    """Keeps a window of messages under way until it is told to stop.

    Args:
        senders: so many of the crowd talk, each as much as the others.
        heard: how many messages have been delivered to somebody.
        besides: called after that, to say something else, too.
    """

    def __init__(
        self,
        crowd: Crowd,
        senders: int,
        window: int,
        heard: Callable[[], int],
        besides: Callable[[], None] | None = None,
    ) -> None:
        self.said = 0
        self.talking = True
        self._crowd = crowd
        self._senders = senders
        self._window = window
        self._heard = heard
        self._besides = besides
        # To say few at a time would make the load busy.
        self._portion = max(1, window // 8 // senders) * senders

    def go_on(self) -> None:
        """Say as much as there is room for."""
        if self.talking and (room := self._window - self.said + self._heard()) >= self._portion:
            each = room // self._senders
            self._crowd.say(each, self._senders)
            self.said += each * self._senders
            if self._besides:
                self._besides()


def flood(
    crowd: Crowd, hear: Sequence[Hear], talk: Callable[[], None], over: Callable[[], bool], missing: Callable[[], str]
) -> None:
    """Read, and give what came to who hears it; ``talk`` after each piece, until it is ``over``, asked once a round.

    Raises LoadError when the server hangs up on somebody, or is too late: ``missing`` says what is.
    """
    number_of, into = crowd.number_of, crowd.into
    buffer = bytearray(RECEIVE)
    talk()
    while not over():
        for fd in crowd.poll(missing, nudge=NUDGE):
            number = number_of[fd]
            try:
                size = into[number](buffer)
            except BlockingIOError:  # ready to be written to, that is
                continue
            if not size:
                raise crowd.hung_up(number)
            hear[number](number, buffer, size)
            talk()
        crowd.flush()
        talk()
