"""The limits in one place, and the bucket that slows a flood."""

from msgspec import Struct


class Limits(Struct, frozen=True, kw_only=True):
    """What the operator allows. Times are seconds, sizes bytes."""

    history: int = 50
    """How many things said a newcomer is shown."""
    presence_max: int = 200
    """Above this many people comings and goings are no longer told; lists of people stop here too."""
    max_clients: int = 10_000
    max_per_ip: int = 256
    """Joined sessions from one host; loopback is exempt."""
    names_per_ip: int = 256
    """New names that one host can take within an hour; loopback is exempt."""
    unjoined_per_ip: int = 16
    """Connections from one host that have not joined; loopback is exempt."""
    allowed_emails: tuple[str, ...] = ()
    """Addresses, and domains with their @; empty: everybody."""
    verify_email: bool = False
    """Whether who has no token must answer with a code that is mailed."""
    trust_names: bool = True
    """Without verification: whether name and address alone prove an account (on loopback they do)."""
    mail_window: float = 60.0

    join_time: float = 10.0
    join_errors: int = 20
    bad_frames: int = 5
    silence: float = 45.0
    """A session that has ever pinged is gone after this much silence."""
    slow: float = 10.0
    """A session that takes nothing of what it is owed for so long is closed."""
    grace: float = 5.0
    """A connection that is cut is announced as left only after this."""
    idle: float = 600.0
    """Nothing but pings for so long counts as away, for mail."""
    code_life: float = 600.0
    code_tries: int = 5
    codes_per_hour: int = 5
    """Codes to one address."""
    codes_per_host: int = 60
    """Codes that one host can cause within an hour."""
    mails_waiting: int = 1_000
    """Texts that may wait for one address."""
    entries_max: int = 10_000
    bytes_max: int = 16 * 1024 * 1024
    send_buffer: int = 256 * 1024
    """What the system may hold of one session's output."""
    backlog: int = 1_024
    """Connections that may wait in the system until they are accepted."""


class Rate(Struct, frozen=True):
    """``burst`` frames at once, then ``per_second``."""

    burst: float
    per_second: float


class Bucket:
    """A token bucket (https://en.wikipedia.org/wiki/Token_bucket) that says how long to wait instead of refusing."""

    __slots__ = ("_rate", "_then", "_tokens")

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._tokens = rate.burst
        self._then = now

    def take(self, now: float) -> float:
        """Take one token; the seconds to wait before going on, 0 when there was one."""
        rate = self._rate
        self._tokens = min(rate.burst, self._tokens + max(0.0, now - self._then) * rate.per_second) - 1
        self._then = now
        return max(0.0, -self._tokens / rate.per_second)
