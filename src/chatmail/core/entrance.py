"""Coming and going: how a connection becomes somebody, and what a newcomer is told.

join ──> door ──> challenge ──verify──┐
          └───────────────────────────┴──> store ──> welcome, then history or what was missed
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import UNSET
from msgspec.structs import replace

from chatmail.core.catchup import catch_up
from chatmail.core.door import Entrant
from chatmail.core.names import mask_email, skeleton
from chatmail.core.people import CUT, FORGOTTEN, LEFT, TWICE, Presence, banned, whereabouts
from chatmail.core.records import Account, Arrival, Change, Entry, Patch, Row
from chatmail.core.session import Session
from chatmail.core.wire import Challenge, Code, Join, Leave, Refused, Verify, Welcome, encode, stamp

if TYPE_CHECKING:
    from chatmail.core.hub import Hub


def join(hub: "Hub", session: Session, frame: Join, now: float) -> None:
    """Ask to come in: straight on with a token (or where names are trusted), else by way of a code."""
    _check_outside(session)
    session.challenge = None

    def examine() -> Entrant:
        return hub.door.examine(frame, session.host, now)

    entrant = examine()
    if entrant.floor is not None or not hub.limits.verify_email:
        _enter(hub, session, frame, entrant, examine, now)
        return
    challenge = hub.door.challenge(session, frame, entrant, now)
    session.join_errors += 1  # nobody asks for codes without end
    letter = hub.code_letter(entrant.email, entrant.name, challenge.digits, now, challenge.expires)
    hub.mailroom.send(letter)
    hub.answer(session, Challenge(email=mask_email(entrant.email), expires=stamp(challenge.expires)))


def verify(hub: "Hub", session: Session, frame: Verify, now: float) -> None:
    """The code from the mail: with the right one the join that it was asked for goes on."""
    _check_outside(session)
    asked = hub.door.verify(session, frame.code, now)

    def examine() -> Entrant:
        return replace(hub.door.examine(asked, session.host, now), floor=0, proven=True)

    _enter(hub, session, asked, examine(), examine, now)


def leave(hub: "Hub", session: Session, _: Leave, now: float) -> None:
    """Goodbye, after everything that was said before."""
    presence = hub.roster.get(session.account.id) if session.account is not None else None
    if presence is None or presence.session is not session or presence.account.id in hub.roster.entering:
        hub.dismiss(session, "you left", retry=False)
    else:
        session.blocked = True
        hub.mailroom.failures.heard(presence.account.id, session.floor)
        hub.roster.leave(presence, LEFT, now, session)


def _check_outside(session: Session) -> None:
    if session.account is not None:
        raise Refused(Code.ALREADY_JOINED, f"you are here already, as {session.account.name}")


def _check_alone(hub: "Hub", entrant: Entrant) -> None:
    """One terminal a person; only who holds a proof takes over."""
    if entrant.account is None:
        return
    id = entrant.account.id
    if id in hub.roster.entering and entrant.proven:
        raise Refused(Code.UNAVAILABLE, f"{entrant.name} is coming in at this moment; try again")
    if id in hub.roster.entering or (hub.roster.is_connected(id) and not entrant.proven):
        text = f"{entrant.name} is here already, from another terminal; leave there first, or take another name"
        raise Refused(Code.NAME_TAKEN, text, field="name")


def _enter(
    hub: "Hub", session: Session, frame: Join, entrant: Entrant, examine: Callable[[], Entrant], now: float
) -> None:
    """Everything is in order: have the account, and the coming itself, stored.

    ``examine`` judges the join again, should somebody at another server be faster with the same name. Raises Refused.
    """
    _check_alone(hub, entrant)
    account = entrant.account
    rows: tuple[Row, ...] = ()
    if account is None:
        last = hub.journal.last
        hub.door.name(session.host, now)
        id = hub.accounts.reserve(entrant.name)
        account = Account(id=id, name=entrant.name, email=entrant.email, first=last, seen=last)
        rows = (account,)
        claim = f"name:{skeleton(entrant.name)}"
    else:
        claim = whereabouts(account.id)
        if account.away is not None and frame.resume is UNSET:
            rows = (Patch(account=account.id, field="away", value=None),)
    presence = hub.roster.get(account.id)
    entry = None
    if presence is None and hub.roster.is_told(coming=True):
        entry = Entry(kind="joined", time=stamp(now), author=account.id, sender=account.name)
    since = stamp(now) if presence is None else presence.since
    arrival = Arrival(account=account.id, node=hub.cluster.node, host=session.host, since=since, came=now)
    hub.roster.entering.add(account.id)
    hub.door.enter(session)
    session.blocked = True
    session.challenge = None

    def entered(number: int | None) -> None:
        hub.roster.entering.discard(account.id)
        session.blocked = False
        presence = hub.roster.find(account.id)
        if presence is None:  # forgotten, while the join was with the store
            presence = hub.roster.arrive(arrival, account, now, told=number is not None)
        presence.session = session
        unwanted = _unwanted(hub, session, account, now)
        if unwanted is not None:
            hub.roster.expel(presence, unwanted, now)
        if session.gone or session.closing:
            hub.roster.lose(account, session, CUT, now)
        else:
            last = hub.journal.last if number is None else number - 1
            _welcome(hub, session, presence, frame, entrant, last, now)

    def undo() -> None:
        hub.roster.entering.discard(account.id)
        session.blocked = False
        if not session.gone:
            hub.door.turn_back(session)
        if entrant.account is None:
            hub.accounts.release(entrant.name)

    def not_stored(why: str) -> None:
        if presence is not None:
            hub.roster.expect_back(presence, CUT, now)
        hub.refuse(session, Refused(Code.UNAVAILABLE, why), now)

    def overtaken() -> None:
        if session.gone or session.closing:
            return
        other = hub.roster.get(account.id)
        if other is not None and other.came > arrival.came:  # they gave up waiting here, and went elsewhere
            hub.dismiss(session, TWICE, retry=False)
            return
        try:
            _enter(hub, session, frame, examine(), examine, now)
        except Refused as refused:
            hub.refuse(session, refused, now)

    change = Change(
        entry=entry,
        rows=(*rows, arrival),
        then=entered,
        undo=undo,
        failed=not_stored,
        claims=(claim,),
        overtaken=overtaken,
    )
    hub.submit(change, session)


def _unwanted(hub: "Hub", session: Session, account: Account, now: float) -> str | None:
    """Why somebody must go at once whose join was with the store while the operator shut them out."""
    if hub.accounts.get(account.id) is None:
        return FORGOTTEN
    ban = hub.bans.find(now, session.host, account.name, account.email)
    return None if ban is None else banned(ban.reason)


def _welcome(
    hub: "Hub", session: Session, presence: Presence, frame: Join, entrant: Entrant, last: int, now: float
) -> None:
    """The store has the join: this session is inside, and what has a number up to ``last`` is history to it."""
    account = presence.account
    hub.tell(f"{account.name} <{account.email}> joined from {session.host}")
    session.account = account
    session.heard = now
    # Who takes a new name owns it; who comes to an old one without a proof sees nothing private from before.
    floor = 0 if entrant.account is None else last if entrant.floor is None else entrant.floor
    session.floor = floor
    session.proven = floor == 0
    resume = frame.resume
    resumed = resume is not UNSET and entrant.proven and resume.epoch == hub.epoch and resume.seq <= last
    people = hub.roster.people(presence)
    welcome = Welcome(
        name=account.name,
        epoch=hub.epoch,
        seq=last,
        resumed=resumed,
        token=hub.accounts.token(account, floor, verified=hub.limits.verify_email),
        people=people.people,
        total=people.total,
        notify=account.notify,
        motd=hub.motd or UNSET,
        seen=account.seen if session.proven and entrant.account is not None else UNSET,
    )
    session.prologue += (session.take_answers() + encode(welcome),)
    if resume is not UNSET and resumed:
        session.cursor = max(resume.seq, account.first, floor)
    else:
        session.cursor = last
        unseen = max(account.seen, floor)
        history = tuple(hub.journal.history(account.id, hub.limits.history, unseen=unseen, floor=floor))
        if entrant.account is not None and unseen < hub.journal.first - 1:
            catch_up(hub, session, account, after=unseen, gap=False, then=history)
        else:
            session.prologue += history
    hub.mailroom.failures.confess(account.id)
    hub.touch(session)
