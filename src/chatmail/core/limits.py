"""The limits in one place, and the buckets that slow a flood."""

from msgspec import Struct

from chatmail.core.journal import BYTES_MAX, ENTRIES_MAX


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
    tls_time: float = 5.0
    """For the TLS handshake."""
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
    """Codes to one address because of one host."""
    codes_per_address: int = 20
    """Codes to one address."""
    codes_per_host: int = 256
    """Codes that one host can cause within an hour; loopback is exempt."""
    guesses_per_ip: int = 60
    """Joins with a name that belongs to another address, from one host within an hour; loopback is exempt."""
    mails_waiting: int = 1_000
    """Texts that may wait for one address."""
    entries_max: int = ENTRIES_MAX
    bytes_max: int = BYTES_MAX
    send_buffer: int = 256 * 1024
    """What the system may hold of one session's output."""
    backlog: int = 4_096
    """Connections that may wait in the system until they are accepted. To one more nothing is said, and it tries again
    after 1 s, 3 s, 7 s …; Linux has no more wait than these where nobody set net.core.somaxconn."""


BUCKETS_MIN = 64
"""So few buckets are kept without looking whether they are full."""


class Rate(Struct, frozen=True):
    """``burst`` frames at once, then ``per_second``."""

    burst: float
    per_second: float


class Bucket:
    """A token bucket (https://en.wikipedia.org/wiki/Token_bucket) that says how long to wait instead of refusing.

    Who does not wait owes tokens, but never more than fill it: nobody pays for long for what they did in a moment.
    """

    __slots__ = ("_rate", "_then", "_tokens")

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._tokens = rate.burst
        self._then = now

    def take(self, now: float) -> float:
        """Take one token; the seconds to wait before going on, 0 when there was one."""
        rate = self._rate
        self._tokens = max(self._filled(now) - 1, -rate.burst)
        self._then = now
        return max(0.0, -self._tokens / rate.per_second)

    def is_full(self, now: float) -> bool:
        """Whether it is as good as a new one."""
        return self._filled(now) >= self._rate.burst

    def _filled(self, now: float) -> float:
        """The tokens there are by now."""
        return min(self._rate.burst, self._tokens + max(0.0, now - self._then) * self._rate.per_second)


class Buckets:
    """A bucket for each account, which outlives its connections: coming back does not fill it.

    One that is full again need not be kept. They are all looked through when there are twice as many as were left the
    last time, so that this costs each newcomer next to nothing.
    """

    __slots__ = ("_buckets", "_many", "rate")

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._buckets: dict[int, Bucket] = {}
        self._many = BUCKETS_MIN

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, account: int, now: float) -> float:
        """Take one token of this account's; the seconds to wait before going on, 0 when there was one."""
        bucket = self._buckets.get(account)
        if bucket is None:
            if len(self._buckets) >= self._many:
                self._buckets = {id: kept for id, kept in self._buckets.items() if not kept.is_full(now)}
                self._many = max(BUCKETS_MIN, 2 * len(self._buckets))
            bucket = self._buckets[account] = Bucket(self.rate, now)
        return bucket.take(now)
