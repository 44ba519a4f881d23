"""What the operator may do: plain calls on the hub, each checked at once and done when the store has it.

Every call raises Refused, with a sentence, when it cannot be done. What is done is told through ``hub.tell``, since it
may take the store a moment; so is what the store would not take.
"""

from collections.abc import Callable

from msgspec import Struct

from chatmail.core.bans import Bans
from chatmail.core.hub import Hub
from chatmail.core.people import FORGOTTEN, Presence
from chatmail.core.people import banned as banned_for
from chatmail.core.records import (
    Account,
    Ban,
    Change,
    Entry,
    Found,
    Gone,
    Letter,
    Lookup,
    Mail,
    Motd,
    Query,
    Row,
)
from chatmail.core.wire import REASON_MAX, TEXT_MAX, WORDS_MAX, Code, Refused, stamp, unfit_text


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


class Figures(Struct, frozen=True, kw_only=True):
    """The numbers of ``/stats``: counts, and bytes for ``journal_size``."""

    people: int
    connections: int
    accounts: int
    entries: int
    last: int
    journal_size: int
    mails_waiting: int
    mails_sent: int
    mails_dead: int


class Operator:
    """The hub in the operator's hands."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def broadcast(self, text: str, now: float) -> None:
        """Say something to everybody, as a notice."""
        wrong = unfit_text(text, TEXT_MAX, "text")
        if wrong is not None:
            raise wrong
        entry = Entry(kind="notice", time=stamp(now), text=text)
        reached = len(self._hub.roster)
        self._do(entry, (), lambda: None, f"broadcast to {reached} {'person' if reached == 1 else 'people'}")

    def kick(self, name: str, reason: str, now: float) -> None:
        """Close somebody's connection; they may come back."""
        _check_reason(reason)
        account = self._hub.accounts.known(name)
        presence = self._hub.roster.get(account.id)
        if presence is None:
            raise Refused(Code.NO_SUCH_PERSON, f"{account.name} is not here")
        self._hub.roster.expel(presence, f"kicked: {reason}" if reason else "kicked", now)

    def ban(self, what: str, duration: float | None, reason: str, now: float) -> None:
        """Keep a name, an address or an IP address out, for some seconds or (None) for good; who is here must go."""
        _check_reason(reason)
        hub = self._hub
        ban = Ban(what=Bans.key(what), until=None if duration is None else now + duration, reason=reason)

        def banned() -> None:
            hub.bans.add(ban)
            for presence in hub.roster.all():
                if ban.what in _keys(presence):
                    hub.roster.expel(presence, banned_for(reason), now)
            for session in hub.sessions:
                if session.account is None and Bans.key(session.host) == ban.what:
                    hub.dismiss(session, "banned", retry=False)

        self._do(None, (ban,), banned, f"{ban.what} is banned")

    def unban(self, what: str, now: float) -> None:
        """Lift a ban."""
        key = Bans.key(what)
        if self._hub.bans.find(now, key) is None:
            raise Refused(Code.NO_SUCH_PERSON, f"{key} is not banned; /bans lists who is")
        gone = Gone(table="ban", key=key)
        self._do(None, (gone,), lambda: self._hub.bans.remove(key), f"{key} is no longer banned")

    def bans(self, now: float) -> list[Ban]:
        """The bans that hold now."""
        return self._hub.bans.current(now)

    def who(self, now: float) -> list[Profile]:
        """Everybody who is here."""
        return [self._profile(presence.account, now) for presence in self._hub.roster.all()]

    def whois(self, name: str, now: float) -> Profile:
        """What is known of somebody, here or not."""
        return self._profile(self._hub.accounts.known(name), now)

    def names(self) -> list[str]:
        """The names of all accounts, those who are here first."""
        here = [presence.account.name for presence in self._hub.roster.all()]
        return here + sorted(set(self._hub.accounts.names()) - set(here))

    def _profile(self, account: Account, now: float) -> Profile:
        hub = self._hub
        presence = hub.roster.get(account.id)
        session = hub.roster.session_of(account.id)
        return Profile(
            name=account.name,
            email=account.email,
            host=session.host if session is not None else None,
            since=presence.since.timestamp() if presence is not None else None,
            idle=now - session.active if session is not None else None,
            away=account.away,
            notify=account.notify,
            unseen=hub.journal.unseen(account.id, account.seen),
            mails=hub.mailroom.digest.waiting(account.email),
        )

    def forget(self, name: str, now: float) -> None:
        """Delete an account: its name is free for another address, its token is void, its waiting mail is dropped."""
        hub = self._hub
        account = self._hub.accounts.known(name)
        presence = hub.roster.get(account.id)

        def forgotten() -> None:
            hub.accounts.forget(account)
            hub.mailroom.forget(account)
            newcomer = hub.roster.get(account.id)
            if newcomer is not None:  # their join was with the store
                hub.roster.expel(newcomer, FORGOTTEN, now)

        if presence is not None:
            hub.roster.expel(presence, FORGOTTEN, now)
        self._do(None, (Gone(table="account", key=account.id),), forgotten, f"{account.name} is forgotten")

    def motd(self, text: str) -> None:
        """Set the message of the day; an empty text is none."""
        wrong = unfit_text(text, TEXT_MAX, "text") if text else None
        if wrong is not None:
            raise wrong

        def changed() -> None:
            self._hub.motd = text

        self._do(
            None, (Motd(text=text),), changed, "the message of the day is set" if text else "no message of the day"
        )

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
        return self._hub.mailroom.retry(now, message_id)

    def drop(self, message_id: str) -> None:
        """Give up a letter that failed for good, or waits for its next try; its authors are told."""
        self._hub.mailroom.drop(message_id)

    def look_back(
        self, count: int, words: str | None, then: Callable[[Found], None], failed: Callable[[str], None]
    ) -> None:
        """Ask for the newest things said to all (with these words in them); one of the two is called later.

        Direct messages are between two people: nobody else sees them, not even here.
        """
        wrong = unfit_text(words, WORDS_MAX, "search") if words is not None else None
        if wrong is not None:
            raise wrong
        query = Query(account=None, floor=0, before=self._hub.journal.last + 1, count=count, words=words)
        self._hub.look_up(Lookup(query=query, then=then, failed=failed))

    def figures(self) -> Figures:
        """The state of the house in numbers."""
        hub = self._hub
        return Figures(
            people=len(hub.roster),
            connections=len(hub.sessions),
            accounts=len(hub.accounts),
            entries=hub.journal.last - hub.journal.first + 1,
            last=hub.journal.last,
            journal_size=hub.journal.size,
            mails_waiting=hub.mailroom.digest.size(),
            mails_sent=hub.mailroom.sent,
            mails_dead=len(hub.mailroom.dead),
        )

    def _do(self, entry: Entry | None, rows: tuple[Row, ...], effect: Callable[[], None], done: str) -> None:
        def stored(_: int | None) -> None:
            effect()
            self._hub.tell(done)

        self._hub.submit(
            Change(entry=entry, rows=rows, then=stored, failed=lambda why: self._hub.tell(f"not done: {why}"))
        )


def _check_reason(reason: str) -> None:
    wrong = unfit_text(reason, REASON_MAX, "reason") if reason else None
    if wrong is not None:
        raise wrong


def _keys(presence: Presence) -> set[str]:
    """What this person could be banned by."""
    account, session = presence.account, presence.session
    whats = (account.name, account.email, *([session.host] if session is not None else []))
    return {Bans.key(what) for what in whats}
