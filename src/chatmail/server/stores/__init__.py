"""The stores: where what was said is kept, behind one small interface.

The hub submits changes, the engine has the batch of a tick committed, and only then does anybody see it. A store may
answer at once or much later; the engine awaits one commit at a time, so batches stay in order.
"""

from collections.abc import Sequence
from typing import Protocol

from chatmail.core.records import Change, Missed, Snapshot


class StoreError(Exception):
    """Surely nothing of the batch was stored; the text tells people why (a full disk, say)."""


class Store(Protocol):
    """What the engine needs of a store."""

    async def open(self) -> Snapshot:
        """Everything that is kept, for the start."""
        ...

    async def commit(self, batch: Sequence[Change]) -> Sequence[int | None]:
        """Write the batch, all or nothing, and give each entry its number, in order; None without an entry.

        Raises StoreError when nothing of it is stored.
        """
        ...

    async def missed(self, account: int, after: int, before: int) -> Missed:
        """What has the numbers in between (both ends excluded): how many entries open to all, and its directs."""
        ...

    async def close(self) -> None:
        """No call comes after this one."""
        ...
