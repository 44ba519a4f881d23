"""The mails that failed for good, until their authors know.

Each is kept, and told at every welcome, until there were signs of life from its author after it was told. Where several
servers share the store, each knows them all, and the one where the author is tells.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from msgspec import Struct

from chatmail.core.records import Change, Failure, Gone
from chatmail.core.wire import Receipt

if TYPE_CHECKING:
    from chatmail.core.hub import Hub

SURELY_TOLD = 2
"""A failure that was told, and heard nothing of, may lie in a dead connection; signs of life after it count."""


class _Owed(Struct):
    """A failure, how often its author was told of it, and the signs of life since."""

    receipt: Receipt
    told: int = 0


class Failures:
    """What authors are still to be told.

    Args:
        hub: changes go through it.
        kept: what was owed when the server last ended.
        hand: sends somebody a receipt; whether they are here, and may know.
    """

    def __init__(self, hub: "Hub", kept: Iterable[Failure], hand: Callable[[int, Receipt], bool]) -> None:
        self._hub = hub
        self._hand = hand
        self._owed: dict[int, list[_Owed]] = {}
        for failure in kept:
            self._owed.setdefault(failure.author, []).append(_Owed(failure.receipt))

    def admit(self, failures: Iterable[Failure]) -> None:
        """The store has these: their authors are told, now or when they come."""
        for failure in failures:
            if self._hub.accounts.get(failure.author) is None:  # forgotten in the meantime
                continue
            owed = _Owed(failure.receipt)
            self._owed.setdefault(failure.author, []).append(owed)
            owed.told += self._hand(failure.author, owed.receipt)

    def confess(self, author: int) -> None:
        """Tell somebody who just came in which of their mails failed."""
        for owed in self._owed.get(author, ()):
            owed.told += self._hand(author, owed.receipt)

    def heard(self, author: int, floor: int) -> None:
        """A sign of life of somebody, who is told of nothing with a number up to ``floor``."""
        kept = []
        for owed in self._owed.pop(author, ()):
            owed.told += owed.told > 0 and owed.receipt.seq > floor
            if owed.told > SURELY_TOLD:
                self._hub.submit(Change(rows=(Gone(table="failure", key=owed.receipt.seq),), must=True))
            else:
                kept.append(owed)
        if kept:
            self._owed[author] = kept

    def settle(self, seq: int) -> None:
        """Another server has it stored that the author of this one knows."""
        left = {author: [one for one in owed if one.receipt.seq != seq] for author, owed in self._owed.items()}
        self._owed = {author: owed for author, owed in left.items() if owed}

    def forget(self, author: int) -> None:
        """They are nobody's any more."""
        self._owed.pop(author, None)
