"""Looking up what was said, and what the operator did: questions as SQL, rows as answers. It only reads."""

import sqlite3
from typing import assert_never

from chatmail.core.records import Act, Audit, Found, Query, Question, Sent, Span
from chatmail.server.stores.rows import ENTRY, SAID, columns, entry_of, record
from chatmail.server.stores.said import DIRECTS_OF, NUMBER_OF


def look_up(connection: sqlite3.Connection, query: Question) -> Found:
    """See ``Store.look_up``; what is not indexed yet is not found by its words."""
    match query:
        case Span():
            return _span(connection, query)
        case Query():
            return _query(connection, query)
        case Sent():
            return _sent(connection, query)
        case Audit():
            return _audit(connection, query)
        case _:
            assert_never(query)


def _span(connection: sqlite3.Connection, span: Span) -> Found:
    select = connection.execute
    between = "seq > :after AND seq < :before AND reader IS NOT NULL"
    bounds = {"after": span.after, "before": span.before, "account": span.account}
    (directs,) = select(f"SELECT count(*) FROM entry WHERE {between}", bounds).fetchone()
    rows = select(f"SELECT {ENTRY} FROM entry WHERE seq IN ({DIRECTS_OF}) ORDER BY seq", bounds).fetchall()
    return Found(entries=tuple(map(entry_of, rows)), open=span.before - 1 - span.after - directs)


def _query(connection: sqlite3.Connection, query: Query) -> Found:
    source, number, words = "entry WHERE", "seq", ""
    if query.words is not None:
        source, number = "words JOIN entry ON seq = words.rowid WHERE words MATCH :words AND", "words.rowid"
        words = _match(query.words)
    may_see = "(reader IS NULL OR ((author = :account OR reader = :account) AND seq > :floor))"
    rows = connection.execute(
        f"SELECT {ENTRY} FROM {source} {number} < :before AND {SAID} AND {may_see} ORDER BY {number} DESC LIMIT :most",
        {
            "words": words,
            "before": query.before,
            "account": query.account,
            "floor": query.floor,
            "most": query.count + 1,
        },
    ).fetchall()
    return Found(entries=tuple(map(entry_of, reversed(rows[: query.count]))), more=len(rows) > query.count)


def _sent(connection: sqlite3.Connection, sent: Sent) -> Found:
    row = connection.execute(
        f"SELECT {ENTRY} FROM entry WHERE seq = ({NUMBER_OF})", {"author": sent.author, "said": sent.id}
    ).fetchone()
    return Found(entries=() if row is None else (entry_of(row),))


def _audit(connection: sqlite3.Connection, audit: Audit) -> Found:
    acts = f"SELECT {columns(Act)} FROM audit ORDER BY rowid DESC LIMIT ?"
    rows = connection.execute(acts, (audit.count + 1,)).fetchall()
    newest = tuple(record(Act, row) for row in reversed(rows[: audit.count]))
    return Found(acts=newest, more=len(rows) > audit.count)


def _match(words: str) -> str:
    """These words as a query of FTS5 (https://www.sqlite.org/fts5.html, section 3): each a string, and a prefix.

    A single letter of ASCII is no prefix: half of all words begin with some.
    """
    terms = [(word.replace('"', '""'), "" if len(word) == 1 and word.isascii() else "*") for word in words.split()]
    return " ".join(f'"{word}"{star}' for word, star in terms) or '""'
