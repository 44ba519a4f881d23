"""When one socket needs a ping, and when it is dead. Pure: every time comes in, in seconds of one clock."""

from chatmail.client.link import Timing


class Heartbeat:
    """The times of one socket.

    Args:
        timing: how long things may take.
        now: when the socket was opened. Asking to join counts as a ping: an answer must come.
    """

    def __init__(self, timing: Timing, now: float) -> None:
        self._timing = timing
        self._sent = now
        self._asked: float | None = now
        """When the first ping was sent since which nothing has come."""
        self._report: float | None = None
        """When a ping must tell that a direct message was shown."""

    def sent(self, now: float) -> None:
        """We have sent something."""
        self._sent = now

    def pinged(self, now: float) -> None:
        """We have sent a ping, which also tells what was shown."""
        self._report = None
        if self._asked is None:
            self._asked = now

    def heard(self) -> bool:
        """Something has come; whether that is what we waited for."""
        waited = self._asked is not None
        self._asked = None
        return waited

    def shown(self, now: float) -> None:
        """A direct message was shown: its sender's mail may be waiting for that."""
        if self._report is None:
            self._report = now + self._timing.shown

    def next(self, *, joined: bool) -> float | None:
        """When to look again; None: not before something happens."""
        times = [self._ping(), self._dead()] if joined else [self._dead()]
        return min((time for time in times if time is not None), default=None)

    def wants_ping(self, now: float) -> bool:
        """Whether a ping is due."""
        return now >= self._ping()

    def is_dead(self, now: float) -> bool:
        """Whether nothing has come for too long."""
        dead = self._dead()
        return dead is not None and now >= dead

    def _ping(self) -> float:
        silent = self._sent + self._timing.ping
        return silent if self._report is None else min(silent, self._report)

    def _dead(self) -> float | None:
        return None if self._asked is None else self._asked + self._timing.dead
