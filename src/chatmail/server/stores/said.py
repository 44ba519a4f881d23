"""Which id was said before, and as which entry, so that nothing is said twice.

An index over the ids of all entries would be dear: authors' ids lie far apart in it, and each author in a batch costs
that commit a page. So the newest ids are only in memory, and once there are FRESH_MAX of them they are written into
their table all at once and in its order, where one page takes many (measured: a batch of 50 messages by 50 people
costs 140 us, with such an index 420).

    entry     …  4,711  4,712 │ 4,713  …  4,890     ``house.known`` is 4,712
                 in the table │ in memory           read from the entries at the start
"""

import sqlite3
from collections.abc import Collection
from itertools import chain

from msgspec import UnsetType

FRESH_MAX = 4_096
"""So many ids are in memory at the most, before a batch is written."""
CHUNK = 100
"""So many are looked for in one statement."""

NUMBER_OF = """
    SELECT coalesce(
        (SELECT seq FROM said WHERE author = :author AND id = :said),
        (SELECT seq FROM entry WHERE seq > (SELECT known FROM house) AND author = :author AND id = :said)
    )"""
"""The number of what an author said under an id, for who does not write and does not know what is in memory."""

Key = tuple[int | None, str | UnsetType]
"""An author's account, and the id they chose."""


class Said:
    """The ids of all entries that are kept. It writes within transactions of its caller.

    Args:
        connection: the one that writes.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute
        self.known: int
        """The ids of entries up to this number are in the table."""
        (self.known,) = self._execute("SELECT known FROM house").fetchone()
        fresh = self._execute("SELECT author, id, seq FROM entry WHERE seq > ? AND id IS NOT NULL", (self.known,))
        self._fresh: dict[Key, int] = {(author, id): seq for author, id, seq in fresh}

    def find(self, keys: Collection[Key]) -> dict[Key, int]:
        """Those of these ids that were said, with the numbers of their entries."""
        found = {key: self._fresh[key] for key in self._fresh.keys() & keys}
        flat = list(chain.from_iterable(keys))
        for at in range(0, len(flat), 2 * CHUNK):
            chunk = flat[at : at + 2 * CHUNK]
            places = ", ".join(["(?, ?)"] * (len(chunk) // 2))
            rows = self._execute(
                f"WITH asked (author, id) AS (VALUES {places})"
                " SELECT author, id, seq FROM asked CROSS JOIN said USING (author, id)",
                chunk,
            )
            found.update(((author, id), seq) for author, id, seq in rows)
        return found

    def is_full(self, more: int) -> bool:
        """Whether there are too many in memory, with so many more."""
        return len(self._fresh) + more > FRESH_MAX

    def write(self, upto: int) -> None:
        """Put the ids of all entries up to this number into the table; once that is committed, ``forget`` them."""
        self._execute(
            "INSERT OR IGNORE INTO said (author, id, seq) SELECT author, id, seq FROM entry"
            " WHERE seq > ? AND seq <= ? AND id IS NOT NULL ORDER BY author, id",
            (self.known, upto),
        )
        self._execute("UPDATE house SET known = ?", (upto,))

    def forget(self, upto: int) -> None:
        """What is in the table need not be in memory."""
        self.known = upto
        self._fresh.clear()

    def add(self, keys: dict[Key, int]) -> None:
        """These were committed, and are not in the table yet."""
        self._fresh.update(keys)
