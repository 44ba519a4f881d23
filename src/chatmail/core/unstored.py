"""What becomes of a change that is not in the store: it was said before, was overtaken, or would not go in."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from msgspec import UNSET

from chatmail.core.records import Change, Earlier
from chatmail.core.session import Session
from chatmail.core.talk import again
from chatmail.core.wire import Code, Error

if TYPE_CHECKING:
    from chatmail.core.hub import Hub


def said_before(hub: "Hub", change: Change, session: Session | None, earlier: Earlier) -> None:
    """An id was used before: a client sends a line again of which it never heard, or has made a mistake."""
    if change.entry is None or session is None:
        raise AssertionError("only what somebody said has an id")
    if change.undo is not None:
        change.undo()
    hub.reply(session, again(session, change.entry, earlier))
    hub.judge(session)


def overtaken(hub: "Hub", change: Change, session: Session | None) -> None:
    """Another server was faster: what is known by now decides, or else whoever asked does."""
    if change.overtaken is None:
        refused(hub, change, session, "somebody at another server of this chat was faster; try again")
        return
    if change.undo is not None:
        change.undo()
    change.overtaken()


def refused(hub: "Hub", change: Change, session: Session | None, why: str) -> None:
    """The store would not have it: whoever asked is told."""
    if change.undo is not None:
        change.undo()
    if change.failed is not None:
        change.failed(why)
    elif session is not None:
        id = change.entry.id if change.entry is not None else UNSET
        hub.reply(session, Error(code=Code.UNAVAILABLE, text=why, id=id))


def told_already(_: str) -> None:
    """What is left of a change of which whoever asked has been told."""


def judged_again(
    hub: "Hub", queue: Sequence[tuple[Change, Session | None]], claims: Collection[str]
) -> list[tuple[Change, Session | None]]:
    """The same queue, in which whatever claims what another server has just claimed is overtaken, in its turn.

    It was decided without knowing of that, and the store takes what is submitted as decided by who knows all.
    """

    def instead(change: Change, session: Session | None) -> Change:
        return Change(
            then=lambda _: overtaken(hub, change, session),
            failed=lambda why: refused(hub, change, session, why),
            must=change.must,
        )

    claimed = set(claims)
    return [
        (change if claimed.isdisjoint(change.claims) else instead(change, session), session)
        for change, session in queue
    ]
