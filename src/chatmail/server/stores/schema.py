"""The shape of the database file, and how an older one gets it.

Each migration leads from one version to the next; SQLite's ``user_version`` says how many a file has had. None is
ever changed once it was released: what is to be different is a new one. ``application_id`` tells our files from those
of other programs (https://www.sqlite.org/pragma.html).
"""

import sqlite3

from chatmail.server.stores import StoreError

APPLICATION_ID = 0x63686D6C
"""``chml``"""

MIGRATIONS = (
    # Times of entries are milliseconds since the epoch, all others seconds. AUTOINCREMENT: a number is never used
    # twice, even when all that had one is deleted. The words are indexed when somebody searches, or when there is
    # time, because that takes longer than storing the text; "indexed" is the last number whose text is.
    """
    CREATE TABLE house (
        epoch TEXT NOT NULL,
        secret BLOB NOT NULL,
        motd TEXT NOT NULL DEFAULT '',
        indexed INTEGER NOT NULL DEFAULT 0
    );
    INSERT INTO house (epoch, secret) VALUES (lower(hex(randomblob(6))), randomblob(32));
    CREATE TABLE entry (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        time INTEGER NOT NULL,
        author INTEGER,
        sender TEXT NOT NULL,
        reader INTEGER,
        "to" TEXT NOT NULL,
        text TEXT NOT NULL,
        id TEXT
    );
    CREATE UNIQUE INDEX entry_id ON entry (author, id) WHERE id IS NOT NULL;
    CREATE INDEX direct_by_author ON entry (author, seq) WHERE reader IS NOT NULL;
    CREATE INDEX direct_by_reader ON entry (reader, seq) WHERE reader IS NOT NULL;
    CREATE INDEX direct_by_seq ON entry (seq) WHERE reader IS NOT NULL;
    CREATE VIRTUAL TABLE words USING fts5 (
        text, content = 'entry', content_rowid = 'seq', tokenize = 'unicode61 remove_diacritics 2'
    );
    CREATE TABLE account (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        email TEXT NOT NULL,
        first INTEGER NOT NULL,
        seen INTEGER NOT NULL,
        notify TEXT NOT NULL,
        away TEXT
    );
    CREATE TABLE ban (what TEXT PRIMARY KEY, until REAL, reason TEXT NOT NULL);
    CREATE TABLE mail (seq INTEGER PRIMARY KEY REFERENCES entry);
    CREATE TABLE letter (
        message_id TEXT PRIMARY KEY,
        address TEXT NOT NULL,
        content BLOB NOT NULL,
        made REAL NOT NULL,
        expires REAL NOT NULL,
        reader INTEGER,
        mails TEXT NOT NULL,
        state TEXT NOT NULL,
        tries INTEGER NOT NULL,
        due REAL NOT NULL,
        reply TEXT NOT NULL
    );
    CREATE TABLE failure (seq INTEGER PRIMARY KEY, author INTEGER NOT NULL, receipt TEXT NOT NULL);
    """,
    """
    ALTER TABLE account ADD COLUMN revoked INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE audit (time REAL NOT NULL, text TEXT NOT NULL);
    """,
    # Which entry has an id, and whose the direct messages are, is in no index any more, but in tables that are filled
    # now and then; see ``said``.
    """
    DROP INDEX entry_id;
    DROP INDEX direct_by_author;
    DROP INDEX direct_by_reader;
    CREATE TABLE said (
        author INTEGER NOT NULL, id TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (author, id)
    ) WITHOUT ROWID;
    INSERT INTO said SELECT author, id, seq FROM entry WHERE id IS NOT NULL ORDER BY author, id;
    CREATE TABLE ends (account INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (account, seq)) WITHOUT ROWID;
    INSERT INTO ends SELECT author, seq FROM entry WHERE reader IS NOT NULL
        UNION SELECT reader, seq FROM entry WHERE reader IS NOT NULL;
    ALTER TABLE house ADD COLUMN known INTEGER NOT NULL DEFAULT 0;
    UPDATE house SET known = (SELECT coalesce(max(seq), 0) FROM entry);
    """,
)


def prepare(connection: sqlite3.Connection) -> None:
    """Give a new or older database the present shape.

    Raises StoreError for one of another program, or of a newer version of this; sqlite3.Error for what is none.
    """
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if tables and owner != APPLICATION_ID:
        raise StoreError("it is the database of another program; name another file")
    if version > len(MIGRATIONS):
        raise StoreError(
            f"a newer chatmail wrote it (version {version}, this one knows {len(MIGRATIONS)}); install that one again"
        )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # what is committed survives a power cut
    connection.execute(f"PRAGMA journal_size_limit = {64 * 1024 * 1024}")
    for number in range(version, len(MIGRATIONS)):
        connection.executescript(
            f"BEGIN; {MIGRATIONS[number]} PRAGMA application_id = {APPLICATION_ID};"
            f" PRAGMA user_version = {number + 1}; COMMIT;"
        )
