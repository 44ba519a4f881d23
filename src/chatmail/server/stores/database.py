"""The database: everything that is kept, in one SQLite file or (``:memory:``) nowhere. It blocks, and has no thread.

Two connections: one writes, and one looks up what was said, which may take its time and holds up nothing (in
memory there is only one). What is committed is on the disk: write-ahead log, one fsync a commit
(https://www.sqlite.org/wal.html).
"""

import fcntl
import os
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain, groupby
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import UNSET

from chatmail.core.digest import DAY
from chatmail.core.journal import BYTES_MAX, ENTRIES_MAX
from chatmail.core.records import (
    Account,
    Ban,
    Change,
    Earlier,
    Entry,
    Found,
    Gone,
    Letter,
    Motd,
    Patch,
    Question,
    Row,
    Snapshot,
    Stored,
)
from chatmail.server.stores import AUDIT_MAX, StoreError
from chatmail.server.stores.lookups import look_up
from chatmail.server.stores.rows import (
    ENTRY,
    KEYS,
    PASSING,
    SAID,
    TABLES,
    Values,
    columns,
    entry_of,
    entry_values,
    failure_of,
    letter_of,
    mail_of,
    record,
    values,
)
from chatmail.server.stores.said import Key, Said
from chatmail.server.stores.schema import prepare

MEMORY = ":memory:"
MEMORY_ENTRIES = 20_000
"""So many entries are kept in memory: what is left of them when nobody writes them down."""
BITE = 1_000
"""So many entries are indexed or deleted in one transaction, so that nobody waits long behind it."""
CHUNK = 100
"""So many rows go into one statement: for each, the thread gives up the interpreter and has to get it back."""

R = TypeVar("R", Account, Ban)


class Database:
    """What a server keeps.

    Args:
        path: the file, made with mode 0600 if it is not there; or ``:memory:``.
        keep_days: how long what was said is kept.
        entries_max, bytes_max: so much of the newest the journal holds, and is read at the start.
    """

    def __init__(self, path: str, keep_days: int, entries_max: int = ENTRIES_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._path = path
        self._entries_max = entries_max
        self._bytes_max = bytes_max
        self._keep = keep_days * DAY
        self._last = 0
        self._resources = ExitStack()

    def open(self) -> Snapshot:
        """Open it, and read what the server needs at its start. Raises StoreError, naming the file."""
        try:
            with _explained():
                if self._path == MEMORY:
                    self._reader = self._writer = self._connect()
                    prepare(self._writer)
                else:
                    # The lock goes last: with this file, all locks go that the process has on it.
                    self._resources.callback(os.close, _lock(self._path))
                    self._writer = self._connect()
                    prepare(self._writer)
                    self._reader = self._connect()
                return self.snapshot()
        except StoreError as error:
            raise StoreError(f"CHAT_DB={self._path} can't be used: {error}") from error.__cause__

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, isolation_level=None, check_same_thread=False, cached_statements=8 * CHUNK
        )
        # What a statement would need to undo itself: without this, a file for each one of many rows.
        connection.execute("PRAGMA temp_store = MEMORY")
        self._resources.callback(connection.close)
        return connection

    def close(self) -> None:
        """Close it, as far as it was opened."""
        self._resources.close()

    # Writing.

    def commit(self, batch: Sequence[Change]) -> list[Stored]:
        """See ``Store.commit``."""
        with _explained():
            entries = [change.entry for change in batch if change.entry is not None]
            keys = [(entry.author, entry.id) for entry in entries if entry.id is not UNSET]
            earlier = {key: self._earlier(number) for key, number in self._said.find(keys).items()}
            return self._commit(batch, earlier, twice=len(set(keys)) < len(keys))

    def _commit(self, batch: Sequence[Change], earlier: dict[Key, Earlier], *, twice: bool) -> list[Stored]:
        """Write all but the changes whose ids were said before; ``twice``: perhaps before in this very batch."""
        last = self._last
        results: list[Stored] = []
        entries: list[Values] = []
        keys: dict[Key, int] = {}
        rows: list[tuple[Row, int]] = []
        for change in batch:
            entry = change.entry
            number = None
            if entry is not None:
                if entry.id is not UNSET:
                    key = (entry.author, entry.id)
                    if key in earlier:
                        results.append(earlier[key])
                        continue
                    keys[key] = last + 1
                    if twice:
                        earlier[key] = Earlier(last + 1, entry)
                number = last = last + 1
                entries.append(entry_values(number, entry))
            results.append(number)
            if change.rows:
                rows += [(row, last) for row in change.rows if type(row) not in PASSING]
        if entries or rows:
            full = self._said.is_due(last)
            with self._transaction():
                self._insert("INSERT INTO entry", entries)
                for kind, run in groupby(rows, lambda row: type(row[0])):
                    self._put(kind, list(run))
                if full:
                    self._said.write(last)
            if full:
                self._said.forget(last)
            else:
                self._said.add(keys)
        self._last = last
        return results

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._writer.execute("COMMIT")
        except BaseException:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise

    def _insert(self, into: str, rows: Sequence[Values]) -> None:
        for at in range(0, len(rows), CHUNK):
            chunk = rows[at : at + CHUNK]
            places = f"({', '.join('?' * len(chunk[0]))})"
            flat = list(chain.from_iterable(chunk))
            self._writer.execute(f"{into} VALUES {', '.join([places] * len(chunk))}", flat)

    def _put(self, kind: type[Row], rows: Sequence[tuple[Row, int]]) -> None:
        """Write rows of one kind, each with the number of the entry it came with."""
        if kind in TABLES:
            self._insert(f"INSERT OR REPLACE INTO {TABLES[kind]}", [values(row, number) for row, number in rows])
            return
        for row, _ in rows:
            match row:
                case Patch(field="seen"):
                    seen = "UPDATE account SET seen = max(seen, ?) WHERE id = ?"
                    self._writer.execute(seen, (row.value, row.account))
                case Patch():
                    self._writer.execute(f"UPDATE account SET {row.field} = ? WHERE id = ?", (row.value, row.account))
                case Motd():
                    self._writer.execute("UPDATE house SET motd = ?", (row.text,))
                case Gone():
                    self._writer.execute(f"DELETE FROM {row.table} WHERE {KEYS[row.table]} = ?", (row.key,))

    def _earlier(self, number: int) -> Earlier:
        """What was said under this number."""
        return Earlier(
            *entry_of(self._writer.execute(f"SELECT {ENTRY} FROM entry WHERE seq = ?", (number,)).fetchone())
        )

    # Reading.

    def snapshot(self) -> Snapshot:
        """All that a server needs at its start."""
        select = self._writer.execute
        house = select("SELECT epoch, secret, motd FROM house").fetchone()
        if house is None:
            raise StoreError("the file is damaged (it has no epoch); move it away to begin anew")
        epoch, secret, motd = house
        used = dict(select("SELECT name, seq FROM sqlite_sequence").fetchall())
        self._last = used.get("entry", 0)
        self._said = Said(self._writer)
        mails = select(f"SELECT {ENTRY} FROM entry WHERE seq IN (SELECT seq FROM mail) ORDER BY seq")
        return Snapshot(
            epoch=epoch,
            secret=secret,
            last=self._last,
            entries=self._newest(),
            accounts=self._records(Account, "ORDER BY id"),
            next_account=used.get("account", 0) + 1,
            bans=self._records(Ban, "ORDER BY rowid"),
            motd=motd,
            mails=tuple(map(mail_of, mails)),
            letters=tuple(map(letter_of, select(f"SELECT {columns(Letter)} FROM letter ORDER BY made, rowid"))),
            failures=tuple(map(failure_of, select("SELECT author, receipt FROM failure ORDER BY seq"))),
        )

    def _records(self, kind: type[R], order: str) -> tuple[R, ...]:
        rows = self._writer.execute(f"SELECT {columns(kind)} FROM {TABLES[kind]} {order}")
        return tuple(record(kind, row) for row in rows)

    def _newest(self) -> tuple[tuple[int, Entry], ...]:
        """The entries for the journal: as many as it holds, up to the last, without a hole."""
        newest: list[tuple[int, Entry]] = []
        size = 0
        rows = self._writer.execute(f"SELECT {ENTRY} FROM entry ORDER BY seq DESC LIMIT ?", (self._entries_max,))
        for seq, entry in map(entry_of, rows):
            size += len(entry.text)
            if seq != self._last - len(newest) or size > self._bytes_max:
                break
            newest.append((seq, entry))
        return tuple(reversed(newest))

    def look_up(self, query: Question) -> Found:
        """See ``Store.look_up``; what is not indexed yet is not found by its words."""
        with _explained():
            return look_up(self._reader, query)

    # Housekeeping.

    def index(self) -> bool:
        """Make some of what was said findable by its words; whether there is more to do."""
        with _explained():
            (done,) = self._writer.execute("SELECT indexed FROM house").fetchone()
            upto = min(done + BITE, self._last)
            if upto > done:
                with self._transaction():
                    self._writer.execute(
                        "INSERT INTO words (rowid, text)"
                        f" SELECT seq, text FROM entry WHERE seq > ? AND seq <= ? AND {SAID}",
                        (done, upto),
                    )
                    self._writer.execute("UPDATE house SET indexed = ?", (upto,))
            return bool(upto < self._last)

    def tidy(self, now: float) -> int:
        """Delete some of what is kept no longer; the last entry's number, 0 when there was none to delete.

        What is still to be mailed stays.
        """
        with _explained():
            with self._transaction():
                upto = self._delete(now)
            if upto > self._said.known:
                self._said = Said(self._writer)
            return upto

    def _delete(self, now: float) -> int:
        select = self._writer.execute
        select("DELETE FROM ban WHERE until < ?", (now,))
        select("DELETE FROM letter WHERE state = 'sent' AND made < ?", (now - DAY,))
        select("DELETE FROM letter WHERE state = 'failed' AND made < ?", (now - self._keep,))
        select("DELETE FROM failure WHERE author NOT IN (SELECT id FROM account)")
        select(f"DELETE FROM audit WHERE rowid <= (SELECT max(rowid) FROM audit) - {AUDIT_MAX}")
        bounds = {
            "time": round((now - self._keep) * 1000),
            "seq": self._last - MEMORY_ENTRIES if self._path == MEMORY else 0,
        }
        free = "seq NOT IN (SELECT seq FROM mail) AND seq <= (SELECT indexed FROM house)"
        oldest = f"SELECT * FROM entry WHERE {free} ORDER BY seq LIMIT {BITE}"
        old = "(time < :time OR seq <= :seq)"
        (upto,) = select(f"SELECT max(seq) FROM ({oldest}) WHERE {old}", bounds).fetchone()
        if upto is None:
            return 0
        old = f"{old} AND {free} AND seq <= {upto}"
        gone = f"SELECT 'delete', seq, text FROM entry WHERE {old} AND {SAID}"
        select(f"INSERT INTO words (words, rowid, text) {gone}", bounds)
        self._said.delete(old, bounds)
        select(f"DELETE FROM entry WHERE {old}", bounds)
        return int(upto)


def _lock(path: str) -> int:
    """The file, made if it is not there, open and locked for as long as it stays open. Raises StoreError."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreError(_unusable(Path(path), error)) from None
    why = ""
    if not stat.S_ISREG(os.fstat(file).st_mode):
        why = "it is no ordinary file; name another one"
    else:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            why = "another chatmail-server uses it; end that one, or name another file"
    if why:
        os.close(file)
        raise StoreError(why)
    os.fchmod(file, 0o600)  # a copy that was put back may have been open to others
    return file


def _unusable(path: Path, error: OSError) -> str:
    """What is wrong with a file that can't be opened, and what to do."""
    if path.is_dir():
        return "it is a folder; name a file in it"
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}; make it, or name another file"
    return f"{error.strerror}; name a file that this user may make and write"


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what SQLite complains about into a sentence for people."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        if name == "SQLITE_FULL":
            why = "the server's disk is full"
        elif name.startswith(("SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN")):
            why = f"the server's disk can't be written ({error})"
        elif name in {"SQLITE_NOTADB", "SQLITE_CORRUPT"}:
            why = f"the file is damaged, or no database ({error}); move it away to begin anew"
        else:
            why = f"the server's database says: {error}"
        raise StoreError(why) from error
    except (UnicodeDecodeError, msgspec.DecodeError) as error:
        raise StoreError(f"the file is damaged ({error}); move it away to begin anew") from error
