"""The door: who may connect and who may come in under which name, before anything is stored.

The door knows accounts, bans, codes and how many come from where. It does not know who is inside: whether a name is
in use at this moment is the hub's to say.
"""

from collections import Counter
from random import Random

from msgspec import UNSET, Struct

from chatmail.core.accounts import Accounts
from chatmail.core.bans import Bans
from chatmail.core.codes import Challenge, Codes
from chatmail.core.hosts import is_loopback, origin_of
from chatmail.core.hourly import Hourly
from chatmail.core.limits import Limits
from chatmail.core.names import BadEmail, BadName, check_email, check_name, same_email
from chatmail.core.records import Account, Ban
from chatmail.core.session import Session
from chatmail.core.wire import Code, Join, Refused, stamp


class Entrant(Struct, frozen=True, kw_only=True):
    """Somebody who may come in: under this name, with this account (None: a new one).

    ``floor`` is the number after which they may see the account's direct messages, None for who proved nothing;
    ``proven``: by a token or a code, not only by knowing name and address.
    """

    name: str
    email: str
    account: Account | None
    floor: int | None
    proven: bool = False


class Door:
    """Decides about connections and joins; every refusal is a ``Refused`` with a sentence for the person."""

    def __init__(self, accounts: Accounts, bans: Bans, limits: Limits, random: Random) -> None:
        self.accounts = accounts
        self.bans = bans
        self.limits = limits
        self.codes = Codes(
            random,
            life=limits.code_life,
            tries=limits.code_tries,
            per_hour=limits.codes_per_hour,
            per_address=limits.codes_per_address,
            per_host=limits.codes_per_host,
        )
        self._named = Hourly(limits.names_per_ip)
        self._guessed = Hourly(limits.guesses_per_ip)
        self._connected = 0
        self._outside: Counter[str] = Counter()  # origins of connections that have not joined
        self._inside: Counter[str] = Counter()

    def knock(self, host: str, now: float) -> None:
        """A connection from this host; raises Refused where there is no room, or the host is banned."""
        refused = self.refusal(host, now)
        if refused is not None:
            raise refused
        self._connected += 1
        self._outside[origin_of(host)] += 1

    def refusal(self, host: str, now: float) -> Refused | None:
        """Why there can be no connection from this host, None where there can."""
        limits = self.limits
        ban = self.bans.find(now, host)
        if ban is not None:
            return Refused(Code.BANNED, _banned(host, ban), final=True)
        if self._connected >= limits.max_clients:
            text = f"this server is full: {limits.max_clients:,} people are connected; try again later"
            return Refused(Code.SERVER_FULL, text, final=True)
        origin = origin_of(host)
        if self._outside[origin] >= limits.unjoined_per_ip and not is_loopback(host):
            text = (
                f"{limits.unjoined_per_ip} connections from {origin} have not joined yet; let those join or end first"
            )
            return Refused(Code.SERVER_FULL, text, final=True)
        return None

    def enter(self, session: Session) -> None:
        """A join of this connection is with the store: from now on it counts as one that is inside."""
        session.inside = True
        origin = origin_of(session.host)
        self._less(self._outside, origin)
        self._inside[origin] += 1

    def name(self, host: str, now: float) -> None:
        """Somebody at this host takes a new name."""
        if not is_loopback(host):
            self._named.count(origin_of(host), now)

    def turn_back(self, session: Session) -> None:
        """The store did not take that join."""
        session.inside = False
        origin = origin_of(session.host)
        self._less(self._inside, origin)
        self._outside[origin] += 1

    def depart(self, session: Session) -> None:
        """A connection has ended."""
        self._connected -= 1
        self._less(self._inside if session.inside else self._outside, origin_of(session.host))

    @staticmethod
    def _less(counter: Counter[str], origin: str) -> None:
        counter[origin] -= 1
        if not counter[origin]:
            del counter[origin]

    def examine(self, join: Join, host: str, now: float) -> Entrant:
        """Judge a join by its name, address and token; raises Refused.

        A name is refused before anything is said about the address. Whose a name is can be guessed only so often.
        """
        try:
            name = check_name(join.name)
        except BadName as error:
            raise Refused(Code.BAD_NAME, str(error), field="name") from None
        try:
            email = check_email(join.email)
        except BadEmail as error:
            raise Refused(Code.BAD_EMAIL, str(error), field="email") from None
        ban = self.bans.find(now, host, name, email)
        if ban is not None:
            raise Refused(Code.BANNED, _banned(name, ban), final=True)
        if not self._allowed(email):
            text = f"{email} may not join here; ask the operator to allow it"
            raise Refused(Code.NOT_ALLOWED, text, field="email")
        origin = origin_of(host)
        if self._inside[origin] >= self.limits.max_per_ip and not is_loopback(host):
            text = f"as many people as may ({self.limits.max_per_ip}) are here from {origin}; try again later"
            raise Refused(Code.SERVER_FULL, text, final=True)
        account = self.accounts.find(name)
        if account is None:
            taken = self.accounts.taken_by(name)
            if taken is not None:
                raise Refused(Code.NAME_TAKEN, _taken(name, taken), field="name")
            if self._named.is_spent(origin, now) and not is_loopback(host):
                text = f"{self.limits.names_per_ip} new names were taken from {origin} within the hour; try again later"
                raise Refused(Code.TOO_FAST, text, field="name")
        elif same_email(account.email) != same_email(email):
            self._check_guess(origin, host, now)
            raise Refused(Code.NAME_TAKEN, _taken(name, name), field="name")
        else:
            name = account.name
        floor = None
        if account is not None and join.token is not UNSET:
            floor = self.accounts.floor(account, join.token, verified=self.limits.verify_email)
        proven = floor is not None
        if not proven and self.limits.trust_names and not self.limits.verify_email:
            floor = 0
        return Entrant(name=name, email=email, account=account, floor=floor, proven=proven)

    def _check_guess(self, origin: str, host: str, now: float) -> None:
        """Count a join with a name that belongs to another address; raises Refused after many."""
        if is_loopback(host):
            return
        if self._guessed.is_spent(origin, now):
            text = f"too many joins from {origin} with names of others within the hour; try again later"
            raise Refused(Code.TOO_FAST, text, final=True)
        self._guessed.count(origin, now)

    def _allowed(self, email: str) -> bool:
        allowed = self.limits.allowed_emails
        address = same_email(email)
        domain = address[address.rindex("@") :]
        return not allowed or any(same_email(entry) in {address, domain} for entry in allowed)

    def challenge(self, session: Session, join: Join, entrant: Entrant, now: float) -> Challenge:
        """Give out a code for this join; raises Refused when the address has had enough of them."""
        challenge = self.codes.issue(join, entrant.email, session.host, now)
        if challenge is None:
            text = (
                f"enough codes went to {entrant.email}, or were asked for from {session.host}, within the hour;"
                " use the last one where it was asked for, or try again in an hour"
            )
            raise Refused(Code.TOO_FAST, text, field="email")
        session.challenge = challenge
        session.deadline = challenge.expires
        return challenge

    def verify(self, session: Session, attempt: str, now: float) -> Join:
        """Judge the answer to a challenge; the join that waited for it, which is to be examined again.

        Raises Refused; after the last try the challenge is over.
        """
        challenge = session.challenge
        if challenge is None:
            raise Refused(Code.NOT_JOINED, "no code was asked for; join first")
        right = challenge.matches(attempt, now)
        if right or challenge.spent(now):
            session.challenge = None
        if right:
            return challenge.join
        if session.challenge is None:
            text = "this code is not right, or too old, and cannot be tried again; join once more to get a new one"
        else:
            text = f"this code is not right; look for the newest mail ({challenge.tries} tries left)"
        raise Refused(Code.WRONG_CODE, text, field="code")


def _taken(name: str, by: str) -> str:
    if name == by:
        return f"the name {name!r} belongs to somebody with another address; take another name"
    return f"the name {name!r} looks like {by!r}, which is taken; take another name"


def _banned(who: str, ban: Ban) -> str:
    until = f" until {stamp(ban.until):%Y-%m-%d %H:%M} UTC" if ban.until is not None else ""
    reason = f": {ban.reason}" if ban.reason else ""
    return f"{who} is banned here{until}{reason}"
