"""What the operator may do: plain calls on the hub, each checked at once and done when the store has it.

Every call raises Refused, with a sentence, when it cannot be done. What is done is told later, since it may take the
store a moment; so is what the store would not take.
"""

from collections.abc import Callable
from functools import partial

from msgspec import Struct

from chatmail.core.bans import Bans
from chatmail.core.hub import Hub
from chatmail.core.people import FORGOTTEN, Presence, whereabouts
from chatmail.core.records import (
    Account,
    Act,
    Audit,
    Ban,
    Change,
    Entry,
    Found,
    Gone,
    Letter,
    Lookup,
    Mail,
    Motd,
    Patch,
    Query,
    Row,
)
from chatmail.core.wire import REASON_MAX, TEXT_MAX, Code, Refused, stamp, unfit_search, unfit_text

NAMED_MAX = 40
"""So many characters of what was asked for are told when it can't be done."""


class Profile(Struct, frozen=True, kw_only=True):
    """What the operator sees of an account; times are seconds since the epoch, None for somebody not here."""

    name: str
    email: str
    host: str | None
    since: float | None
    idle: float | None
    away: str | None
    notify: str
    unseen: int
    mails: int


class Standing(Struct, frozen=True):
    """How somebody is here: when they last did something (None while they are cut off), and why they are away."""

    active: float | None
    away: str | None


class Figures(Struct, frozen=True, kw_only=True):
    """The numbers of ``/stats``: counts, and bytes for ``journal_size``.

    ``own``: so many of the people are at this server; ``most``: so many people were here at once; ``directs``: direct
    messages. These, like ``mails_sent``, count from the start of the server. ``servers`` share the store, this one
    under the name ``node``, and ``leader`` sends the mail.
    """

    people: int
    own: int
    most: int
    connections: int
    accounts: int
    entries: int
    last: int
    journal_size: int
    directs: int
    mails_waiting: int
    mails_sent: int
    mails_dead: int
    servers: int
    node: str
    leader: str


class Operator:
    """The hub in the operator's hands.

    Args:
        hub: the hub.
        tell: hears what became of what the operator asked for; None: the one who hears everything else.
    """

    def __init__(self, hub: Hub, tell: Callable[[str], None] | None = None) -> None:
        self._hub = hub
        self._tell = tell or hub.tell
        self.owed = 0
        """So many things that were asked for are not done yet, or not found."""
        self.answered: Callable[[], None] = lambda: None
        """Called when nothing is owed any more."""
        self.away = False
        """There is no hub in hands: nothing can be asked for."""

    def leave(self) -> None:
        """The hub is no more, until there is another; what was asked of it is done, or never will be."""
        self.away = True
        if self.owed:
            self._tell("what was asked for last may not be done: look, and ask for it again")
            self.owed = 0
            self.answered()

    def move(self, hub: Hub) -> None:
        """From now on, have another hub in hands."""
        self._hub = hub
        self.away = False

    def begin(self, now: float) -> None:
        """Put into the audit that the server has started."""
        self._note(now, "the server started")

    def end(self, now: float) -> None:
        """Put into the audit that the operator ends the server."""
        self._note(now, "ended the server")

    def broadcast(self, text: str, now: float) -> None:
        """Say something to everybody, as a notice."""
        wrong = unfit_text(text, TEXT_MAX, "text")
        if wrong is not None:
            raise wrong
        entry = Entry(kind="notice", time=stamp(now), text=text)
        reached = len(self._hub.roster)
        done = f"broadcast to {reached} {'person' if reached == 1 else 'people'}"
        self._do(now, f"/broadcast {text}", f"broadcast: {text}", done, entry=entry)

    def kick(self, name: str, reason: str, now: float) -> None:
        """Close somebody's connection; they may come back."""
        _check_reason(reason)
        account = self._hub.accounts.known(name)
        presence = self._hub.roster.get(account.id)
        if presence is None:
            raise Refused(Code.NO_SUCH_PERSON, f"{account.name} is not here")
        act = _because(f"kicked {account.name}", reason)
        elsewhere = presence.elsewhere

        def told(what: str) -> None:
            self._tell(what)
            self._settle()

        self.owed += 1
        # At another server they are still there if that is not stored; at this one they are cut off whatever it is.
        acts = (self._act(now, act),) if elsewhere else ()
        self._hub.roster.expel(presence, f"kicked: {reason}" if reason else "kicked", now, told, acts)
        if not elsewhere:
            self._note(now, act)

    def ban(self, what: str, duration: float | None, reason: str, now: float) -> None:
        """Keep a name, an address, a host or a network out, for some seconds or (None) for good.

        Who is here must go, and has to prove their address anew when the ban is over.
        """
        _check_reason(reason)
        hub = self._hub
        ban = Ban(what=Bans.key(what), until=None if duration is None else now + duration, reason=reason)
        only = Bans([ban])
        accounts = {account.id: account for account in hub.accounts.of(ban.what)}
        meant = [presence for presence in hub.roster.all() if only.find(now, *presence.names)]
        accounts.update((presence.account.id, presence.account) for presence in meant)
        revoked = (Patch(account=one.id, field="revoked", value=one.revoked + 1) for one in accounts.values())
        until = "for good" if ban.until is None else f"until {stamp(ban.until):%Y-%m-%d %H:%M} UTC"
        act = _because(f"banned {ban.what} {until}", reason)
        self._do(now, f"/ban {what}", act, f"{ban.what} is banned {until}", rows=(ban, *revoked))

    def unban(self, what: str, now: float) -> None:
        """Lift a ban."""
        key = Bans.key(what)
        if self._hub.bans.get(key, now) is None:
            raise Refused(Code.NO_SUCH_PERSON, f"{key} is not banned; /bans lists who is")
        gone = Gone(table="ban", key=key)
        done = f"{key} is no longer banned"
        self._do(now, f"/unban {what}", f"unbanned {key}", done, rows=(gone,))

    def bans(self, now: float) -> list[Ban]:
        """The bans that hold now."""
        return self._hub.bans.current(now)

    def who(self, now: float) -> list[Profile]:
        """Everybody who is here, but for those who are about to be gone."""
        return [self._profile(one.account, now) for one in self._hub.roster.all() if not one.leaving]

    def whois(self, name: str, now: float) -> Profile:
        """What is known of somebody, here or not."""
        return self._profile(self._hub.accounts.known(name), now)

    def names(self) -> list[str]:
        """The names of all accounts, those who are here first."""
        here = [presence.account.name for presence in self._hub.roster.all()]
        return here + sorted(set(self._hub.accounts.names()) - set(here))

    def here(self) -> dict[str, Standing]:
        """How those who are here are here, by their names."""
        return {one.account.name: Standing(one.active, one.account.away) for one in self._hub.roster.all()}

    def _profile(self, account: Account, now: float) -> Profile:
        hub = self._hub
        presence = hub.roster.get(account.id)
        active = presence.active if presence is not None else None
        return Profile(
            name=account.name,
            email=account.email,
            host=_where(presence) if presence is not None else None,
            since=presence.since.timestamp() if presence is not None else None,
            idle=now - active if active is not None else None,
            away=account.away,
            notify=account.notify,
            unseen=hub.journal.unseen(account.id, account.seen),
            mails=hub.mailroom.digest.waiting(account.email),
        )

    def forget(self, name: str, now: float) -> None:
        """Delete an account: its name is free for another address, its token is void, its waiting mail is dropped."""
        self._forget(self._hub.accounts.known(name), now)

    def _forget(self, account: Account, now: float) -> None:
        """Delete this account, unless somebody at another server has been faster with that."""
        hub = self._hub
        if hub.accounts.get(account.id) is None:
            raise Refused(Code.NO_SUCH_PERSON, f"{account.name} was forgotten at another server")
        presence = hub.roster.get(account.id)
        if presence is not None:
            hub.roster.expel(presence, FORGOTTEN, now)
        gone = Gone(table="account", key=account.id)
        act = f"forgot {account.name} <{account.email}>"
        claims = (whereabouts(account.id),)
        done = f"{account.name} is forgotten"
        again = partial(self._forget, account, now)
        self._do(now, f"/forget {account.name}", act, done, rows=(gone,), claims=claims, overtaken=again)

    def motd(self, text: str, now: float) -> None:
        """Set the message of the day; an empty text is none."""
        wrong = unfit_text(text, TEXT_MAX, "text") if text else None
        if wrong is not None:
            raise wrong
        done = "the message of the day is set" if text else "no message of the day"
        self._do(now, f"/motd {text}", f"message of the day: {text or 'none'}", done, rows=(Motd(text=text),))

    def current_motd(self) -> str:
        """The message of the day, empty for none."""
        return self._hub.motd

    def letters(self) -> tuple[list[Letter], list[Letter]]:
        """The letters on their way, and those that failed for good."""
        return self._hub.mailroom.digest.letters(), list(self._hub.mailroom.dead.values())

    def oldest_mail(self) -> Mail | None:
        """Of the messages that wait to be mailed, the one that has waited longest."""
        return self._hub.mailroom.digest.oldest()

    def retry(self, now: float, message_id: str | None = None) -> int:
        """Try letters again now, the dead ones too: all, or the one with this Message-ID. How many those are."""
        going, dead = self.letters()
        letters = [letter for letter in going + dead if message_id in (None, letter.message_id)]
        count = self._hub.mailroom.retry(now, self._tell, message_id)
        what = ", ".join(map(_about, letters)) if len(letters) == 1 else f"{count} mails"
        self._note(now, f"tried {what} again")
        return count

    def drop(self, message_id: str, now: float) -> None:
        """Give up a letter that failed for good, or waits for its next try; its authors are told."""
        letter = self._hub.mailroom.drop(message_id, self._tell)
        self._note(now, f"dropped {_about(letter)}")

    def gathering(self) -> list[tuple[str, int, float]]:
        """Where texts wait for the next mail to an address: how many, and when that may go out."""
        return self._hub.mailroom.digest.gathering()

    def audit(self, count: int, then: Callable[[Found], None], failed: Callable[[str], None]) -> None:
        """Ask for the last things that were done here; one of the two is called later."""
        self._look_up(Audit(count=count), then, failed)

    def look_back(
        self, count: int, words: str | None, then: Callable[[Found], None], failed: Callable[[str], None]
    ) -> None:
        """Ask for the newest things said to all (with these words in them); one of the two is called later.

        Direct messages are between two people: nobody else sees them, not even here.
        """
        wrong = unfit_search(words) if words is not None else None
        if wrong is not None:
            raise wrong
        query = Query(account=None, floor=0, before=self._hub.journal.last + 1, count=count, words=words)
        self._look_up(query, then, failed)

    def messages(self) -> int:
        """A number that grows by one with everything that is said, to all or to one."""
        return self._hub.journal.last - self._hub.roster.told

    def figures(self) -> Figures:
        """The state of the house in numbers."""
        hub = self._hub
        return Figures(
            people=len(hub.roster),
            own=sum(one.node == hub.cluster.node for one in hub.roster.all()),
            most=hub.roster.most,
            connections=len(hub.sessions),
            accounts=len(hub.accounts),
            entries=hub.journal.last - hub.journal.first + 1,
            last=hub.journal.last,
            journal_size=hub.journal.size,
            directs=hub.mailroom.directs,
            mails_waiting=hub.mailroom.digest.size(),
            mails_sent=hub.mailroom.sent,
            mails_dead=len(hub.mailroom.dead),
            servers=len(hub.cluster.nodes),
            node=hub.cluster.node,
            leader=hub.cluster.leader,
        )

    def _note(self, now: float, act: str) -> None:
        """Put into the audit what has been done, whatever becomes of the rest."""
        self.owed += 1
        self._hub.submit(Change(rows=(self._act(now, act),), then=lambda _: self._settle(), must=True))

    def _look_up(self, query: Query | Audit, then: Callable[[Found], None], failed: Callable[[str], None]) -> None:
        """Ask the store; one of the two is called with its answer."""

        def found(found: Found) -> None:
            then(found)
            self._settle()

        def not_found(why: str) -> None:
            failed(why)
            self._settle()

        self.owed += 1
        self._hub.look_up(Lookup(query=query, then=found, failed=not_found))

    def _settle(self) -> None:
        """One thing less is owed."""
        self.owed = max(0, self.owed - 1)
        if not self.owed:
            self.answered()

    def _do(
        self,
        now: float,
        asked: str,
        act: str,
        done: str,
        *,
        entry: Entry | None = None,
        rows: tuple[Row, ...] = (),
        claims: tuple[str, ...] = (),
        overtaken: Callable[[], None] | None = None,
    ) -> None:
        """Have what was ``asked`` done together with its line in the audit, and tell when it is, or that it is not."""
        asked = " ".join(asked.split())
        named = asked if len(asked) <= NAMED_MAX else f"{asked[:NAMED_MAX]}…"

        def stored(_: int | None) -> None:
            self._tell(done)
            self._settle()

        def refused(why: str) -> None:
            self._tell(f"not done: {named}: {why}")
            self._settle()

        def once_more(again: Callable[[], None]) -> None:
            try:
                again()
            except Refused as refused:
                self._tell(f"not done: {named}: {refused.text}")
            self._settle()

        self.owed += 1
        change = Change(
            entry=entry,
            rows=(*rows, self._act(now, act)),
            then=stored,
            failed=refused,
            claims=claims,
            overtaken=overtaken and partial(once_more, overtaken),
        )
        self._hub.submit(change)

    def _act(self, now: float, act: str) -> Act:
        """What was done, and at which server, where there are several."""
        node = self._hub.cluster.node
        return Act(time=now, text=f"{act} (at {node})" if node else act)


def _about(letter: Letter) -> str:
    """A letter in the words of the audit."""
    count = len(letter.mails)
    holds = f"{count} message{'s' if count > 1 else ''}" if count else "a code"
    return f"the mail to {letter.address} ({holds})"


def _because(act: str, reason: str) -> str:
    return f"{act}: {reason}" if reason else act


def _check_reason(reason: str) -> None:
    wrong = unfit_text(reason, REASON_MAX, "reason") if reason else None
    if wrong is not None:
        raise wrong


def _where(presence: Presence) -> str | None:
    """Where somebody comes from, None while they are cut off."""
    if presence.elsewhere:
        return f"{presence.host} at {presence.node}"
    return presence.host if presence.connected else None
