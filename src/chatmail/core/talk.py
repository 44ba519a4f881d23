"""What people do once they are in: say, send direct messages, ask, look back, choose, ping. One function a frame."""

from typing import TYPE_CHECKING, Literal

from msgspec import UNSET, UnsetType
from msgspec.structs import asdict, replace

from chatmail.core.records import Account, Change, Earlier, Entry, Found, Lookup, Mail, Patch, Query, Sent
from chatmail.core.session import Session
from chatmail.core.wire import (
    COUNT,
    Ack,
    Away,
    Code,
    Dm,
    EntryFrame,
    Error,
    History,
    Notify,
    Page,
    Ping,
    Pong,
    Profile,
    Refused,
    Say,
    Search,
    Who,
    Whois,
    encode,
    stamp,
)

if TYPE_CHECKING:
    from chatmail.core.hub import Hub

PAGE_BYTES = 60 * 1024
"""Most bytes of entries on one page, so that no line is longer than the wire allows."""


def _account(session: Session, id: str | UnsetType = UNSET) -> Account:
    if session.account is None:
        raise Refused(Code.NOT_JOINED, "join first: this needs a name", id=id)
    return session.account


def say(hub: "Hub", session: Session, frame: Say, now: float) -> None:
    """A message to everybody; its echo is the acknowledgement."""
    account = _account(session, frame.id)
    entry = Entry(kind="message", time=stamp(now), author=account.id, sender=account.name, text=frame.text, id=frame.id)
    hub.submit(Change(entry=entry), session)


def dm(hub: "Hub", session: Session, frame: Dm, now: float) -> None:
    """A message to one person, here or not, and a mail for them unless they want none."""
    account = _account(session, frame.id)
    reader = hub.accounts.known(frame.to, frame.id)
    mailed = reader.notify != "never"
    entry = Entry(
        kind="direct",
        time=stamp(now),
        author=account.id,
        sender=account.name,
        reader=reader.id,
        to=reader.name,
        text=frame.text,
        id=frame.id,
    )
    if mailed:
        try:
            hub.mailroom.reserve(reader, frame.id)
        except Refused as full:
            if frame.id is UNSET:
                raise
            _unless_said(hub, session, entry, full, now)
            return

    mail = Mail(
        seq=0,
        reader=reader.id,
        author=account.id,
        sender=account.name,
        to=reader.name,
        text=frame.text,
        time=entry.time,
        id=frame.id,
    )

    def stored(number: int | None) -> None:
        hub.mailroom.directs += 1
        numbered = replace(mail, seq=number or 0)
        if mailed:
            hub.mailroom.release(reader)
            hub.mailroom.add(numbered, now)
        else:
            hub.mailroom.tell(numbered, "off", f"{reader.name} wants no mail")

    def not_stored() -> None:
        if mailed:
            hub.mailroom.release(reader)

    hub.submit(Change(entry=entry, rows=(mail,) if mailed else (), then=stored, undo=not_stored), session)


def _unless_said(hub: "Hub", session: Session, entry: Entry, full: Refused, now: float) -> None:
    """There is no room for a message that may itself be in there, and is sent again: the store knows."""

    def found(found: Found) -> None:
        session.blocked = False
        if found.entries:
            hub.answer(session, again(session, entry, Earlier(*found.entries[0])))
            hub.judge(session)
        else:
            hub.refuse(session, full, now)

    def failed(why: str) -> None:
        session.blocked = False
        hub.answer(session, Error(code=Code.UNAVAILABLE, text=why, id=entry.id))

    def ask(_: int | None) -> None:
        hub.look_up(Lookup(query=Sent(author=entry.author or 0, id=entry.id or ""), then=found, failed=failed))

    session.blocked = True
    # An empty change: the first one may still be with the store, and batches stay in order.
    hub.submit(Change(then=ask, failed=failed), session)


def again(session: Session, entry: Entry, earlier: Earlier) -> Ack | Error:
    """The answer to what comes with an id that was used: it was said then, or is a mistake."""
    if (entry.reader, entry.text) == (earlier.entry.reader, earlier.entry.text):
        return Ack(id=entry.id, seq=earlier.seq)
    wrong = f"the id {entry.id!r} was used for another message"
    return session.refuse(Refused(Code.BAD_FRAME, wrong, id=entry.id, field="id"))


def who(hub: "Hub", session: Session, _: Who, now: float) -> None:
    """Ask for the list of people."""
    account = _account(session)
    hub.answer_later(session, lambda: hub.roster.people(hub.roster.get(account.id), now))


def whois(hub: "Hub", session: Session, frame: Whois, now: float) -> None:
    """Ask about one person."""
    _account(session, frame.id)
    account = hub.accounts.known(frame.name, frame.id)

    def profile() -> Profile:
        presence = hub.roster.get(account.id)
        if presence is None:
            return Profile(name=account.name, mailed=account.notify, id=frame.id)
        return Profile(**asdict(presence.person(now)), id=frame.id)

    hub.answer_later(session, profile)


def history(hub: "Hub", session: Session, frame: History, _now: float) -> None:
    """Ask for what was said, further and further back."""
    _look_back(hub, session, frame, None)


def search(hub: "Hub", session: Session, frame: Search, _now: float) -> None:
    """Ask for what was said with some words in it."""
    _look_back(hub, session, frame, frame.words)


def _look_back(hub: "Hub", session: Session, frame: History | Search, words: str | None) -> None:
    """Ask the store. Until it has answered nothing else is read: so the answers keep their order, and one asks one
    thing at a time.
    """
    account = _account(session, frame.id)
    news = hub.journal.last + 1
    query = Query(
        account=account.id,
        floor=session.floor,
        before=news if frame.before is UNSET else min(news, frame.before),
        count=COUNT if frame.count is UNSET else frame.count,
        words=words,
    )

    def found(found: Found) -> None:
        session.blocked = False
        hub.answer(session, page(found, frame.id))

    def failed(why: str) -> None:
        session.blocked = False
        hub.answer(session, Error(code=Code.UNAVAILABLE, text=why, id=frame.id))

    session.blocked = True
    hub.look_up(Lookup(query=query, then=found, failed=failed))


def page(found: Found, id: str | UnsetType = UNSET) -> Page:
    """What was found, or the newest of it that fits into one line."""
    entries: list[EntryFrame] = []
    room = PAGE_BYTES
    for seq, entry in reversed(found.entries):
        frame = entry.frame(seq)
        room -= len(encode(frame))
        if room < 0:
            break
        entries.insert(0, frame)
    return Page(entries=entries, more=found.more or len(entries) < len(found.entries), id=id)


def notify(hub: "Hub", session: Session, frame: Notify, _now: float) -> None:
    """Choose when to get mail."""
    _choose(hub, session, "notify", frame.when, frame.id)


def away(hub: "Hub", session: Session, frame: Away, _now: float) -> None:
    """Be away, for a reason; or be back."""
    _choose(hub, session, "away", None if frame.reason is UNSET else frame.reason, frame.id)


def _choose(
    hub: "Hub", session: Session, field: Literal["notify", "away"], value: str | None, id: str | UnsetType
) -> None:
    """Change one field of the sender's account, and say when it is done."""
    patch = Patch(account=_account(session, id).id, field=field, value=value)
    if field == "notify" and not session.proven:
        text = "nobody has proved that this account is yours, so its mail is not yours to change; ask the operator"
        raise Refused(Code.NOT_ALLOWED, text, id=id)

    def stored(_: int | None) -> None:
        hub.reply(session, Ack(id=id))

    def refused(why: str) -> None:
        hub.reply(session, Error(code=Code.UNAVAILABLE, text=why, id=id))

    hub.submit(Change(rows=(patch,), then=stored, failed=refused), session)


def ping(hub: "Hub", session: Session, frame: Ping, now: float) -> None:
    """A sign of life, which from now on is expected; and how far this person has read."""
    account = _account(session)
    hub.watch(session, now)
    hub.mailroom.failures.heard(account.id, session.floor)
    if (
        frame.seq is not UNSET
        and session.proven
        and max(account.seen, session.seen) < frame.seq <= hub.fan_out.cursor(session)
    ):
        session.seen = frame.seq

        def not_stored(_: str) -> None:
            session.seen = account.seen  # its next ping says it again

        patch = Patch(account=account.id, field="seen", value=frame.seq)
        hub.submit(Change(rows=(patch,), failed=not_stored), session)
    hub.answer(session, Pong())
