"""Catching up: what a session missed and the journal no longer holds comes from the store, before all else."""

from typing import TYPE_CHECKING

from chatmail.core.records import Account, Found, Lookup, Span
from chatmail.core.session import Session
from chatmail.core.wire import Gap, encode

if TYPE_CHECKING:
    from chatmail.core.hub import Hub


def catch_up(
    hub: "Hub", session: Session, account: Account, *, after: int, gap: bool, then: tuple[bytes, ...] = ()
) -> None:
    """Ask the store for what this session can no longer read, from the number ``after`` on.

    ``gap``: whether it is to be told how much that was; ``then``: what goes out after the answer.
    """
    before = hub.journal.first
    session.looking_up = True
    session.cursor = max(session.cursor, before - 1)

    def found(found: Found) -> None:
        if session.closing:
            return
        session.prologue += tuple(encode(entry.frame(seq)) for seq, entry in found.entries)
        if gap and found.open:
            session.prologue += (encode(Gap(missed=found.open)),)
        session.prologue += then
        session.looking_up = False
        hub.touch(session)

    def failed(why: str) -> None:
        hub.dismiss(session, f"what you missed can't be read now: {why}", retry=True)

    hub.look_up(Lookup(query=Span(account=account.id, after=after, before=before), then=found, failed=failed))
