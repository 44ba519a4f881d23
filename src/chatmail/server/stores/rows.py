"""Records as rows of the database, and back. Pure.

A table has the columns of its record, under the same names and in the same order; exceptions are said where they are.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import astuple, replace

from chatmail.core.records import Account, Act, Arrival, Ban, Departure, Entry, Failure, Leader, Letter, Mail, Row, Told
from chatmail.core.wire import Receipt
from chatmail.server.stores import StoreError

Values = tuple[Any, ...]
R = TypeVar("R", bound=Struct)

TABLES: dict[type[Row], str] = {
    Account: "account",
    Ban: "ban",
    Act: "audit",
    Mail: "mail",
    Letter: "letter",
    Failure: "failure",
}
"""The records that have a table of their own."""
PASSING = frozenset({Arrival, Departure, Told, Leader})
"""What nobody needs to know who starts the only server anew."""
KEYS = {"account": "id", "ban": "what", "mail": "seq", "letter": "message_id", "failure": "seq"}
ENTRY = 'seq, kind, time, author, sender, reader, "to", entry.text, id'
"""The columns of an entry, for ``entry_of``."""

SAID = "kind IN ('message', 'direct', 'notice')"
"""Which entries somebody said."""

_decode_mails = msgspec.json.Decoder(tuple[Mail, ...]).decode
_decode_receipt = msgspec.json.Decoder(Receipt).decode


def columns(kind: type[Struct]) -> str:
    """The columns of the table of a record, for ``record``."""
    return ", ".join(kind.__struct_fields__)


def record(kind: type[R], row: Values) -> R:
    """A row as the record it is."""
    return kind(**dict(zip(kind.__struct_fields__, row, strict=True)))


def values(row: Row, number: int) -> Values:
    """A record as a row of its table; ``number`` is that of the entry it came with."""
    match row:
        case Mail():  # all else of it is in its entry
            return (number,)
        case Letter():
            return astuple(replace(row, mails=msgspec.json.encode(row.mails).decode()))
        case Failure():
            return (row.receipt.seq, row.author, msgspec.json.encode(row.receipt).decode())
    return astuple(row)


def entry_values(seq: int, entry: Entry) -> Values:
    """An entry as a row; its time is in milliseconds."""
    id = None if entry.id is UNSET else entry.id
    time = _milliseconds(entry.time)
    return (seq, entry.kind, time, entry.author, entry.sender, entry.reader, entry.to, entry.text, id)


@lru_cache(maxsize=1)  # what is said in one breath is stored in one, too
def _milliseconds(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def entry_of(row: Values) -> tuple[int, Entry]:
    """A row of ``ENTRY`` as an entry with its number. Raises StoreError for one that no server wrote."""
    seq, kind, milliseconds, author, sender, reader, to, text, id = row
    try:
        time = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise StoreError(
            f"the file is damaged (the time of entry {seq}: {error}); move it away to begin anew"
        ) from error
    id = UNSET if id is None else id
    return seq, Entry(kind=kind, time=time, author=author, sender=sender, reader=reader, to=to, text=text, id=id)


def mail_of(row: Sequence[Any]) -> Mail:
    """A row of ``ENTRY``, that of a direct message, as the mail that waits."""
    seq, entry = entry_of(tuple(row))
    fields = {name: getattr(entry, name) for name in Mail.__struct_fields__ if name != "seq"}
    return Mail(seq=seq, **fields)


def letter_of(row: Values) -> Letter:
    """A row of the table of letters."""
    fields = dict(zip(Letter.__struct_fields__, row, strict=True))
    return Letter(**(fields | {"mails": _decode_mails(str(fields["mails"]))}))


def failure_of(row: Values) -> Failure:
    """The author and the receipt of a row of the table of failures."""
    author, receipt = row
    return Failure(author=author, receipt=_decode_receipt(str(receipt)))
