"""The stores: where what was said is kept, behind one small interface.

The hub submits changes, the engine has the batch of a tick committed, and only then does anybody see it. A store may
answer at once or much later; the engine awaits one commit at a time, so batches stay in order.

Several servers may share a store: each follows what the others commit, in the one order that all see.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from chatmail.core.records import Change, Found, Question, Snapshot, Stored

AUDIT_MAX = 10_000
"""So many acts of the operator are kept."""

Learn = Callable[[Change, int | None], None]
"""Takes in a change that another server has committed, and the number of its entry (None without one)."""


class StoreError(Exception):
    """The store cannot do it; of a batch surely nothing is stored.

    The text tells the operator why (a full disk, say), and ``people`` whoever asked: the same, unless that is not for
    them to know.
    """

    def __init__(self, text: str, people: str = "") -> None:
        super().__init__(text)
        self.people = people or text


class Outdated(Exception):  # noqa: N818 - a state, not a fault
    """What this server knows holds no longer, and the text tells the operator why: it must open the store anew.

    The store has lost what was in it, or the other servers have given this one up.
    """


class Store(Protocol):
    """What the server needs of a store. Every call but ``close`` may raise StoreError, and after ``open`` Outdated."""

    async def open(self, now: float) -> Snapshot:
        """Everything that is kept, for the start, ``now`` being the seconds since the epoch."""
        ...

    async def commit(self, batch: Sequence[Change]) -> Sequence[Stored]:
        """Write the batch, all or nothing, and give each entry its number, in order.

        A change whose entry has an id that its author used before is left out, and answered with what was said then;
        so is one that claims what another server has claimed since this one last heard of it (Overtaken).
        """
        ...

    async def follow(self, learn: Learn) -> None:
        """Have ``learn`` called with what other servers commit, in order, until cancelled.

        All that came before a batch is told before ``commit`` returns. Where there are no other servers it returns.
        """
        ...

    async def beat(self) -> Mapping[str, int]:
        """Show the other servers that this one lives; by name, how often each has, nothing where there are none.

        All that came before this sign of life is told before it returns: who leads still did when it was given.
        """
        ...

    async def look_up(self, query: Question) -> Found:
        """What was said, or done by the operator; all that was committed before this call counts."""
        ...

    async def tidy(self, now: float) -> int:
        """Let go of what is kept no longer; the number of the last entry that went, 0 for none."""
        ...

    async def close(self) -> None:
        """No call comes after this one."""
        ...
