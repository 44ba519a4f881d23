"""What was said by whom: which id stands for which entry, and whose direct messages are which.

Both are tables of their own, and indexes would be dear: authors lie far apart in them, and each author in a batch costs
that commit a page. So they hold only what was said some time ago. What came since is found among the newest entries,
and its ids are in memory as well; once that is FRESH_MAX entries, it is written into the tables all at once and in
their order, where one page takes many (measured: a batch of 50 messages by 50 people costs 140 us, with such an index
420).

    entry     …  4,711  4,712 │ 4,713  …  4,890     ``house.known`` is 4,712
                in the tables │ in memory           read from the entries at the start
"""

import sqlite3
from collections.abc import Collection
from itertools import chain

from msgspec import UnsetType

FRESH_MAX = 4_096
"""So many entries may be in no table, before a batch is written."""
CHUNK = 100
"""So many are looked for in one statement."""

NUMBER_OF = """
    SELECT coalesce(
        (SELECT seq FROM said WHERE author = :author AND id = :said),
        (SELECT seq FROM entry WHERE seq > (SELECT known FROM house) AND author = :author AND id = :said)
    )"""
"""The number of what an author said under an id, for who does not write and does not know what is in memory."""
DIRECTS_OF = """
    SELECT seq FROM ends WHERE account = :account AND seq > :after AND seq < :before
    UNION ALL
    SELECT seq FROM entry WHERE seq > max(:after, (SELECT known FROM house)) AND seq < :before
        AND reader IS NOT NULL AND (author = :account OR reader = :account)
    """
"""The numbers of an account's direct messages between two numbers."""

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

    def is_due(self, last: int) -> bool:
        """Whether too much is in no table, once entries up to this number are there."""
        return last - self.known > FRESH_MAX

    def write(self, upto: int) -> None:
        """Put all entries up to this number into the tables; once that is committed, ``forget`` them."""
        bounds = {"known": self.known, "upto": upto}
        between = "seq > :known AND seq <= :upto"
        self._execute(
            "INSERT OR IGNORE INTO said (author, id, seq)"
            f" SELECT author, id, seq FROM entry WHERE {between} AND id IS NOT NULL ORDER BY author, id",
            bounds,
        )
        direct = f"{between} AND reader IS NOT NULL"
        self._execute(
            "INSERT OR IGNORE INTO ends (account, seq)"
            f" SELECT author, seq FROM entry WHERE {direct} UNION SELECT reader, seq FROM entry WHERE {direct}",
            bounds,
        )
        self._execute("UPDATE house SET known = :upto", bounds)

    def forget(self, upto: int) -> None:
        """What is in the tables need not be in memory."""
        self.known = upto
        self._fresh.clear()

    def add(self, keys: dict[Key, int]) -> None:
        """These were committed, and are in no table yet."""
        self._fresh.update(keys)

    def delete(self, old: str, bounds: dict[str, int]) -> None:
        """Entries for which this condition holds are about to be deleted."""
        for table, columns in (("said", "author, id"), ("ends", "author, seq"), ("ends", "reader, seq")):
            keys = "author, id" if table == "said" else "account, seq"
            gone = f"SELECT {columns} FROM entry WHERE {old}"
            self._execute(f"DELETE FROM {table} WHERE ({keys}) IN ({gone})", bounds)
