"""The stores: where what was said is kept, behind one small interface.

The hub submits changes, the engine has the batch of a tick committed, and only then does anybody see it. A store may
answer at once or much later; the engine awaits one commit at a time, so batches stay in order.
"""

from collections.abc import Sequence
from typing import Protocol

from chatmail.core.records import Change, Found, Question, Snapshot, Stored


class StoreError(Exception):
    """The store cannot do it, and the text tells people why (a full disk, say); of a batch surely nothing is stored."""


class Store(Protocol):
    """What the server needs of a store. Every call but ``close`` may raise StoreError."""

    async def open(self, now: float) -> Snapshot:
        """Everything that is kept, for the start, ``now`` being the seconds since the epoch."""
        ...

    async def commit(self, batch: Sequence[Change]) -> Sequence[Stored]:
        """Write the batch, all or nothing, and give each entry its number, in order.

        A change whose entry has an id that its author used before is left out, and answered with what was said then.
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
