"""Verification: a six-digit code goes to an address, and whoever has it reads that address's mail."""

import hmac
from random import Random

from chatmail.core.hosts import is_loopback, origin_of
from chatmail.core.hourly import Hourly
from chatmail.core.names import same_email
from chatmail.core.wire import Join


class Challenge:
    """A join that waits for its code, which is good for a while and a few tries."""

    def __init__(self, join: Join, digits: str, expires: float, tries: int) -> None:
        self.join = join
        self.digits = digits
        self.expires = expires
        self.tries = tries

    def matches(self, attempt: str, now: float) -> bool:
        """Whether this is the code, in constant time; each attempt uses up a try."""
        self.tries -= 1
        right = hmac.compare_digest(attempt.strip().encode(), self.digits.encode())
        return right and self.tries >= 0 and now < self.expires

    def spent(self, now: float) -> bool:
        """Whether no attempt can succeed any more."""
        return self.tries <= 0 or now >= self.expires


class Codes:
    """Gives out codes: a few an hour, so that nobody's mailbox is flooded by a stranger.

    What one host asks for does not use up what another one may: it takes several to keep somebody from their code.

    Args:
        random: where the digits come from; must be unpredictable in earnest.
        life: how long a code is good, in seconds.
        tries: how many attempts it bears.
        per_hour: how many go to one address within an hour because of one host.
        per_address: how many go to one address within an hour in all.
        per_host: how many one host can cause within an hour; this machine is exempt.
    """

    def __init__(
        self, random: Random, *, life: float, tries: int, per_hour: int, per_address: int, per_host: int
    ) -> None:
        self._random = random
        self._life = life
        self._tries = tries
        self._pairs = Hourly(per_hour)
        self._addresses = Hourly(per_address)
        self._hosts = Hourly(per_host)

    def issue(self, join: Join, email: str, host: str, now: float) -> Challenge | None:
        """A new code for this join, None when the address, or the host that asks, has had enough within the hour."""
        address = same_email(email)
        origin = origin_of(host)
        counted = [(self._pairs, f"{address} {origin}"), (self._addresses, address)]
        if not is_loopback(host):
            counted.append((self._hosts, origin))
        if any(hourly.is_spent(who, now) for hourly, who in counted):
            return None
        for hourly, who in counted:
            hourly.count(who, now)
        return Challenge(join, f"{self._random.randrange(10**6):06}", now + self._life, self._tries)
