"""The people who are here: who is connected, who is cut off for the moment, who is on their way out.

joined ──> connected <──────────────┐ comes back, perhaps at another server: nothing is shown
               │ cut                │
               └──> waiting (grace) ┤
               │                    └ does not: ──> left
               └ leaves, is kicked ────────────────> left

Where several servers share the store, each knows of everybody. Where somebody is changes only as the store has it
(Arrival, Departure); that a connection is cut, only their own server knows.
"""

from bisect import bisect_left
from collections.abc import Callable, Collection
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

from msgspec import UNSET
from msgspec.structs import replace

from chatmail.core.records import Account, Act, Arrival, Change, Departure, Entry, Snapshot
from chatmail.core.session import Session
from chatmail.core.wire import People, Person, stamp

if TYPE_CHECKING:
    from chatmail.core.hub import Hub

PEOPLE_BYTES = 36 * 1024
"""Most bytes of names in one list of people, so that no line is longer than the wire allows, a welcome with the longest
message of the day included."""

FORGOTTEN = "forgotten by the operator"
CUT = "connection lost"
ENDED = "their server ended"
TWICE = "you came in from another terminal"
LEFT = "left"
"""The reason of who goes by their own wish."""


def banned(reason: str) -> str:
    """What is told of somebody who must go because of a ban."""
    return f"banned: {reason}" if reason else "banned"


def departed(name: str, reason: str) -> str:
    """What the operator is told of somebody who is gone."""
    return f"{name} left" if reason == LEFT else f"{name} left: {reason}"


def whereabouts(account: int) -> str:
    """The claim of a change that decides whether an account is here, and where."""
    return f"here:{account}"


class Presence:
    """Somebody who is here: at this server (``session`` is None while their connection is cut but not yet given up), or
    at another one (``elsewhere``).
    """

    __slots__ = (
        "account",
        "came",
        "elsewhere",
        "heard",
        "host",
        "leaving",
        "lost",
        "node",
        "session",
        "since",
        "until",
    )

    def __init__(self, account: Account, since: datetime) -> None:
        self.account = account
        self.since = since
        self.came = 0.0
        """When they came in where they are now."""
        self.session: Session | None = None
        self.elsewhere = False
        self.node = ""
        """The server where they are, or were last."""
        self.host = ""
        self.heard = 0.0
        """When they last did something that the store has; of who is elsewhere, nothing else is known."""
        self.leaving = False
        """Their left is with the store."""
        self.lost = CUT
        """What is announced of them if they are not back after their server is gone."""
        self.until = 0.0
        """While they are cut off: when that is announced."""

    @property
    def rank(self) -> tuple[datetime, int]:
        """Their place among those who are here: at every server the same."""
        return self.since, self.account.id

    @property
    def connected(self) -> bool:
        """Whether they are not cut off."""
        return self.elsewhere or self.session is not None

    @property
    def active(self) -> float | None:
        """When they last did something, None for somebody who is cut off."""
        if self.session is not None:
            return self.session.active
        return self.heard if self.elsewhere else None

    @property
    def names(self) -> tuple[str, ...]:
        """What they could be banned by."""
        return (self.account.name, self.account.email, *([self.host] if self.connected else []))

    def person(self, now: float | None = None) -> Person:
        """Their line in the list of people: for who asks at this time, or (None) for all."""
        account = self.account
        person = Person(name=account.name, since=self.since, away=UNSET if account.away is None else account.away)
        if now is None:
            return person
        idle = UNSET if self.active is None else int(max(0.0, now - self.active))
        return replace(person, idle=idle, mailed=account.notify)


class Roster:
    """Everybody who is here, in the order since when they are.

    Args:
        hub: whose people these are.
        snapshot: who is here at other servers, or was when those ended; which servers live; what was said.
    """

    def __init__(self, hub: "Hub", snapshot: Snapshot) -> None:
        self._hub = hub
        self._present: dict[int, Presence] = {}
        self._order: list[Presence] = []
        """The same people, by rank."""
        self.entering: set[int] = set()
        """Accounts whose join is with the store."""
        self._untold = False
        """Somebody came or went without a word since everybody last got the list."""
        self.most = 0
        """So many were here at once."""
        self.told = 0
        """So many comings and goings are entries of the journal."""
        self._listed: dict[int, Person] | None = None
        """The list of people as it is for all, by account, until it changes: a storm of joins asks for it each time."""
        for arrival in snapshot.arrivals:
            account = hub.accounts.get(arrival.account)
            if account is not None:
                presence = self.arrive(arrival, account, max(arrival.came, arrival.since.timestamp()), told=True)
                presence.elsewhere = arrival.node in snapshot.nodes
        for _, entry in snapshot.entries if self._present else ():
            self.hear(entry.author, entry.time.timestamp())
        self.told = 0

    def __len__(self) -> int:
        return len(self._present)

    def all(self) -> list[Presence]:
        """Everybody, those on their way out included, in order."""
        return list(self._order)

    def get(self, account: int) -> Presence | None:
        """Whether this account is here, and how; None for somebody who is gone or about to be."""
        presence = self._present.get(account)
        return None if presence is None or presence.leaving else presence

    def find(self, account: int) -> Presence | None:
        """The same, those on their way out included."""
        return self._present.get(account)

    def is_connected(self, account: int) -> bool:
        """Whether somebody is connected as this account, and not about to be gone."""
        presence = self.get(account)
        return presence is not None and presence.connected

    def is_elsewhere(self, account: int) -> bool:
        """Whether somebody is connected as this account, at another server."""
        presence = self._present.get(account)
        return presence is not None and presence.elsewhere

    def reach(self, account: int) -> Session | None:
        """The session here that what belongs to an account goes to, even while it is on its way out."""
        presence = self._present.get(account)
        return presence.session if presence is not None else None

    def hear(self, account: int | None, when: float) -> None:
        """Somebody did something then, perhaps elsewhere."""
        presence = self._present.get(account) if account is not None else None
        if presence is not None:
            presence.heard = max(presence.heard, when)

    def is_away(self, account: Account, now: float) -> bool:
        """Not connected, or said so, or nothing but pings for a while: mail may be wanted."""
        presence = self.get(account.id)
        active = None if presence is None else presence.active
        return active is None or account.away is not None or now > active + self._hub.limits.idle

    def is_told(self, *, coming: bool) -> bool:
        """Whether comings and goings are told: in a large room they no longer are."""
        return len(self._present) + coming <= self._hub.limits.presence_max

    def people(self, own: Presence | None = None, now: float | None = None) -> People:
        """The list of people, as many as one line may hold; ``own`` always among them, ``now`` as for a person."""
        if now is not None:
            listed = self._list(now)
        elif self._listed is not None:
            listed = self._listed
        else:
            listed = self._listed = self._list(None)
        if own is not None:
            listed = {own.account.id: own.person(now)} | listed
        people = list(islice(listed.values(), max(1, self._hub.limits.presence_max)))
        return People(people=people, total=len(self._present))

    def _list(self, now: float | None) -> dict[int, Person]:
        """The first of those who are here, by account, as many as one line may hold."""
        listed: dict[int, Person] = {}
        room = PEOPLE_BYTES
        for presence in islice(self._order, self._hub.limits.presence_max):
            person = presence.person(now)
            room -= 100 + 4 * len(person.name) + 6 * len(person.away or "")
            if room < 0:
                break
            listed[presence.account.id] = person
        return listed

    def changed(self) -> None:
        """Somebody on the list of people is not what they were."""
        self._listed = None

    def arrive(self, arrival: Arrival, account: Account, now: float, *, told: bool) -> Presence:
        """Somebody is here, or back, and nowhere else any more; an older session of theirs gets its goodbye.

        ``told``: whether the others have heard of it.
        """
        presence = self._present.get(account.id)
        if presence is None:
            presence = self._present[account.id] = Presence(account, arrival.since)
            self._line_up(presence)
            self._untold = self._untold or not told
            self.most = max(self.most, len(self._present))
            self.told += told
        elif presence.since != arrival.since:  # they were about to be gone when they came
            del self._order[self._place(presence)]
            presence.since = arrival.since
            self._line_up(presence)
            self.changed()
        if presence.session is not None:
            self._hub.dismiss(presence.session, TWICE, retry=False)
            presence.session = None
        presence.came = arrival.came
        presence.node = arrival.node
        presence.lost = CUT
        presence.host = arrival.host
        presence.elsewhere = arrival.node != self._hub.cluster.node
        if presence.elsewhere:
            presence.leaving = False  # should a left of theirs be with the store, it is overtaken
        presence.heard = now
        return presence

    def _line_up(self, presence: Presence) -> None:
        """Give somebody their place among those who are here."""
        place = self._place(presence)
        self._order.insert(place, presence)
        if place < self._hub.limits.presence_max:  # those after that are not on the list
            self.changed()

    def _place(self, presence: Presence) -> int:
        """How many of those who are here stand before somebody."""
        return bisect_left(self._order, presence.rank, key=lambda one: one.rank)

    def depart(self, departure: Departure, *, told: bool) -> None:
        """Somebody is gone, if they were here; the reason is their session's goodbye."""
        presence = self._present.pop(departure.account, None)
        if presence is None:
            return
        del self._order[self._place(presence)]
        self.changed()
        self._untold = self._untold or not told
        self.told += told
        if presence.session is not None:
            goodbye = "you left" if departure.reason == LEFT else departure.reason
            self._hub.dismiss(presence.session, goodbye, retry=False)

    def make_known(self) -> None:
        """Send everybody the list, once the room is small again, if there is somebody they could not hear of."""
        if self._untold and len(self._present) <= self._hub.limits.presence_max:
            self._untold = False
            for account in self._present:
                self._hub.owe(account, self.people)

    def lose(self, account: Account, session: Session, reason: str, now: float) -> None:
        """The session of somebody here is gone: they have the grace to come back."""
        presence = self._present.get(account.id)
        if presence is not None and presence.session is session:
            presence.session = None
            self.expect_back(presence, reason, now)

    def expect_back(self, presence: Presence, reason: str, now: float) -> None:
        """Announce somebody as gone, for this reason, unless they are back within the grace."""
        until = presence.until = now + self._hub.limits.grace

        def check(now: float) -> None:
            again = presence.connected or presence.account.id in self.entering
            if not again and presence.until == until:  # and not cut off once more since
                self.leave(presence, reason, now)

        self._hub.at(until, check)

    def strand(self, node: str, reason: str) -> None:
        """A server is gone, for this reason: who was there is cut off."""
        for presence in self._present.values():
            if presence.node == node:
                presence.elsewhere = False
                presence.lost = reason

    def expect_all(self, nodes: Collection[str], now: float) -> None:
        """Announce whoever does not come back of those who were at servers that are gone; ``nodes`` are left."""
        for presence in self._present.values():
            if presence.node not in nodes and not presence.connected:
                self.expect_back(presence, presence.lost, now)

    def expel(
        self,
        presence: Presence,
        reason: str,
        now: float,
        tell: Callable[[str], None] | None = None,
        acts: tuple[Act, ...] = (),
    ) -> None:
        """Somebody must go, at once, even if they come in at another server; ``tell`` and ``acts`` as for ``leave``."""
        if presence.session is not None:
            self._hub.dismiss(presence.session, reason, retry=False)
        self.leave(presence, reason, now, tell=tell, surely=True, acts=acts)

    def leave(
        self,
        presence: Presence,
        reason: str,
        now: float,
        asker: Session | None = None,
        tell: Callable[[str], None] | None = None,
        *,
        surely: bool = False,
        acts: tuple[Act, ...] = (),
    ) -> None:
        """Somebody goes: off the list as soon as the store has it.

        ``asker``: their session, when they asked for it themselves; it is closed then. ``tell``: hears, once, what came
        of it, in place of the hub's. ``surely``: even if they have come in at another server in the meantime.
        ``acts``: lines of the audit that are stored together with that.
        """
        account = presence.account
        if presence.leaving or self._present.get(account.id) is not presence:
            if tell is not None:
                tell(f"{account.name} is not here any more")
            return
        presence.leaving = True
        entry = None
        if self.is_told(coming=False):
            entry = Entry(kind="left", time=stamp(now), author=account.id, sender=account.name, text=reason)

        def left(_: int | None) -> None:
            (tell or self._hub.tell)(departed(account.name, reason))

        def not_stored(why: str) -> None:
            presence.leaving = False
            if asker is not None:
                self._hub.dismiss(asker, f"you left ({why})", retry=False)
            if surely and presence.elsewhere:  # where their session is, nobody knows of it
                (tell or self._hub.tell)(f"{account.name} is still here: {why}")
            elif surely:
                presence.session = None  # the end of that connection tells no other reason
                if tell is not None:
                    tell(f"{account.name} is cut off, and gone once that can be stored: {why}")
            self.expect_back(presence, reason, now)

        def overtaken() -> None:
            presence.leaving = False
            if asker is not None:
                self._hub.dismiss(asker, "you left", retry=False)
            elif surely:
                self.expel(presence, reason, now, tell, acts)

        change = Change(
            entry=entry,
            rows=(Departure(account=account.id, reason=reason), *acts),
            then=left,
            failed=not_stored,
            claims=(whereabouts(account.id),),
            overtaken=overtaken,
        )
        self._hub.submit(change, asker)
