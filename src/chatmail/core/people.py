"""The people who are here: who is connected, who is cut off for the moment, who is on their way out.

joined ──> connected <──────────────┐ comes back: nothing is shown
               │ cut                │
               └──> waiting (grace) ┤
               │                    └ does not: ──> left
               └ leaves, is kicked ────────────────> left
"""

from collections.abc import Callable
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

from msgspec import UNSET
from msgspec.structs import replace

from chatmail.core.records import Account, Change, Entry
from chatmail.core.session import Session
from chatmail.core.wire import People, Person, stamp

if TYPE_CHECKING:
    from chatmail.core.hub import Hub

PEOPLE_BYTES = 36 * 1024
"""Most bytes of names in one list of people, so that no line is longer than the wire allows, a welcome with the longest
message of the day included."""

FORGOTTEN = "forgotten by the operator"


def banned(reason: str) -> str:
    """What is told of somebody who must go because of a ban."""
    return f"banned: {reason}" if reason else "banned"


class Presence:
    """Somebody who is here; ``session`` is None while their connection is cut but not yet given up."""

    __slots__ = ("account", "leaving", "session", "since", "until")

    def __init__(self, account: Account, since: datetime) -> None:
        self.account = account
        self.since = since
        self.session: Session | None = None
        self.leaving = False
        """Their left is with the store."""
        self.until = 0.0
        """While they are cut off: when that is announced."""

    def person(self, now: float | None = None) -> Person:
        """Their line in the list of people: for who asks at this time, or (None) for all."""
        account = self.account
        person = Person(name=account.name, since=self.since, away=UNSET if account.away is None else account.away)
        if now is None:
            return person
        idle = UNSET if self.session is None else int(max(0.0, now - self.session.active))
        return replace(person, idle=idle, mailed=account.notify)


class Roster:
    """Everybody who is here, in the order in which they came."""

    def __init__(self, hub: "Hub") -> None:
        self._hub = hub
        self._present: dict[int, Presence] = {}
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

    def __len__(self) -> int:
        return len(self._present)

    def all(self) -> list[Presence]:
        """Everybody, those on their way out included."""
        return list(self._present.values())

    def get(self, account: int) -> Presence | None:
        """Whether this account is here, and how; None for somebody who is gone or about to be."""
        presence = self._present.get(account)
        return None if presence is None or presence.leaving else presence

    def session_of(self, account: int) -> Session | None:
        """The connected session of an account, None while there is none."""
        presence = self.get(account)
        return presence.session if presence is not None else None

    def reach(self, account: int) -> Session | None:
        """The session that what belongs to an account goes to, even while it is on its way out."""
        presence = self._present.get(account)
        return presence.session if presence is not None else None

    def is_away(self, account: Account, now: float) -> bool:
        """Not connected, or said so, or nothing but pings for a while: mail may be wanted."""
        session = self.session_of(account.id)
        return session is None or account.away is not None or now > session.active + self._hub.limits.idle

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
        for id, presence in islice(self._present.items(), self._hub.limits.presence_max):
            person = presence.person(now)
            room -= 100 + 4 * len(person.name) + 6 * len(person.away or "")
            if room < 0:
                break
            listed[id] = person
        return listed

    def changed(self) -> None:
        """Somebody on the list of people is not what they were."""
        self._listed = None

    def arrive(self, account: Account, session: Session, now: float, *, told: bool) -> Presence:
        """Somebody is here, or back, with this session; an older one of theirs gets its goodbye.

        ``told``: whether the others have heard of it.
        """
        presence = self._present.get(account.id)
        if presence is None:
            presence = self._present[account.id] = Presence(account, stamp(now))
            if len(self._present) <= self._hub.limits.presence_max:  # those after them are not on the list
                self.changed()
            self._untold = self._untold or not told
            self.most = max(self.most, len(self._present))
            self.told += told
        if presence.session is not None:
            self._hub.dismiss(presence.session, "you came in from another terminal", retry=False)
        presence.session = session
        return presence

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
            again = presence.session is not None or presence.account.id in self.entering
            if not again and presence.until == until:  # and not cut off once more since
                self.leave(presence, reason, now)

        self._hub.at(until, check)

    def expel(self, presence: Presence, reason: str, now: float, tell: Callable[[str], None] | None = None) -> None:
        """Somebody must go, at once; ``tell`` as for ``leave``."""
        if presence.session is not None:
            self._hub.dismiss(presence.session, reason, retry=False)
        self.leave(presence, reason, now, tell=tell)

    def leave(
        self,
        presence: Presence,
        reason: str,
        now: float,
        asker: Session | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        """Somebody goes: off the list as soon as the store has it.

        ``asker``: their session, when they asked for it themselves; it is closed then. ``tell``: hears when they are
        gone, in place of the hub's.
        """
        if presence.leaving:
            return
        presence.leaving = True
        account = presence.account
        entry = None
        if self.is_told(coming=False):
            entry = Entry(kind="left", time=stamp(now), author=account.id, sender=account.name, text=reason)

        def left(_: int | None) -> None:
            del self._present[account.id]
            self.changed()
            gone = f"{account.name} left" if asker is not None else f"{account.name} left: {reason}"
            (tell or self._hub.tell)(gone)
            self._untold = self._untold or entry is None
            self.told += entry is not None
            if presence.session is not None:
                self._hub.dismiss(presence.session, "you left" if asker else reason, retry=False)

        def not_stored(why: str) -> None:
            presence.leaving = False
            if asker is not None:
                self._hub.dismiss(asker, f"you left ({why})", retry=False)
            self.expect_back(presence, reason, now)

        self._hub.submit(Change(entry=entry, then=left, failed=not_stored), asker)
