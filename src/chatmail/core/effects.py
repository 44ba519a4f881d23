"""What a record does to the chat once the store has it: the same, whichever server had it stored.

Mail is another matter: the server that leads does what is to be done and has it stored; see ``Mailroom.learn`` for the
others.
"""

from typing import TYPE_CHECKING

from chatmail.core.bans import Bans
from chatmail.core.cluster import LEADER
from chatmail.core.people import FORGOTTEN, banned, departed
from chatmail.core.records import Account, Arrival, Ban, Change, Departure, Gone, Leader, Motd, Patch

if TYPE_CHECKING:
    from chatmail.core.hub import Hub


def take_effect(hub: "Hub", change: Change, number: int | None, now: float) -> None:
    """Do what the rows of a change do; ``number`` is that of its entry."""
    for row in change.rows:
        match row:
            case Patch():
                _patch(hub, row)
            case Account():
                hub.accounts.add(row)
            case Arrival():
                account = hub.accounts.get(row.account)
                if account is not None:
                    hub.roster.arrive(row, account, now, told=number is not None)
            case Departure():
                hub.roster.depart(row, told=number is not None)
            case Ban():
                _ban(hub, row, now)
            case Motd():
                hub.motd = row.text
            case Leader():
                hub.cluster.follow(row.node, now)
            case Gone():
                _let_go(hub, row, now, by_leader=LEADER in change.claims)


def tell(hub: "Hub", change: Change) -> None:
    """Tell the operator what another server's change has done to the people of this chat."""
    for row in change.rows:
        match row:
            case Arrival():
                account = hub.accounts.get(row.account)
                if account is not None:
                    hub.tell(f"{account.name} <{account.email}> joined from {row.host}, at {row.node}")
            case Departure():
                account = hub.accounts.get(row.account)
                if account is not None:
                    hub.tell(departed(account.name, row.reason))


def _patch(hub: "Hub", patch: Patch) -> None:
    account = hub.accounts.get(patch.account)
    if account is None:
        return
    if patch.field == "seen" and isinstance(patch.value, int):
        account.seen = max(account.seen, patch.value)
        return
    setattr(account, patch.field, patch.value)
    if patch.field == "away":
        hub.roster.changed()


def _ban(hub: "Hub", ban: Ban, now: float) -> None:
    """Nobody who is meant comes in from now on, and who is here must go; elsewhere, each server sees to its own."""
    hub.bans.add(ban)
    only = Bans([ban])
    for presence in hub.roster.all():
        if not presence.elsewhere and only.find(now, *presence.names):
            hub.roster.expel(presence, banned(ban.reason), now)
    for session in hub.sessions:
        if session.account is None and only.find(now, session.host):
            hub.dismiss(session, "banned", retry=False)


def _let_go(hub: "Hub", gone: Gone, now: float, *, by_leader: bool) -> None:
    match gone:
        case Gone(table="account", key=int(id)):
            account = hub.accounts.get(id)
            if account is None:
                return
            hub.accounts.forget(account)
            hub.mailroom.forget(account)
            newcomer = hub.roster.get(id)
            if newcomer is not None and not newcomer.elsewhere:  # their join was with the store
                hub.roster.expel(newcomer, FORGOTTEN, now)
        case Gone(table="ban", key=str(what)):
            hub.bans.remove(what)
        case Gone(table="node", key=str(node)):
            hub.cluster.bury(node, now, by_leader=by_leader)
