"""Changes as the scripts and the stream have them, and back. Pure.

An entry is its JSON. Rows are a list of [kind, record] as JSON in the stream, for who follows; and commands of Redis
for the script, which keep the state.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import replace

from chatmail.core.digest import DAY
from chatmail.core.records import (
    Account,
    Act,
    Arrival,
    Ban,
    Change,
    Departure,
    Earlier,
    Entry,
    Failure,
    Gone,
    Leader,
    Letter,
    Mail,
    Motd,
    Overtaken,
    Patch,
    Row,
    Stored,
    Told,
)
from chatmail.server.stores import AUDIT_MAX, StoreError

KINDS: dict[str, type[Row]] = {
    kind.__name__.lower(): kind
    for kind in (Account, Patch, Ban, Motd, Act, Mail, Letter, Failure, Arrival, Departure, Told, Leader, Gone)
}
_NAMES = {kind: name for name, kind in KINDS.items()}
PATCHED = ("seen", "notify", "away", "revoked")
"""The fields of an account that a Patch may change."""

Id: TypeAlias = tuple[int, int]
"""The id of an item: the number of the entry it is, or comes after, and how far after."""
Item: TypeAlias = tuple[bytes, list[bytes]]
"""An item of the stream as Redis tells it: its id; names and values, by turns."""
Operation: TypeAlias = tuple[str, ...]


class Place(NamedTuple):
    """How far a server has come: the id of the last item it knows, and the batch (``n``) that came with.

    A Redis that has lost the newest items gives their ids again, but a batch is never the same.
    """

    id: Id
    by: bytes


_encode = msgspec.json.Encoder().encode
pack = msgspec.msgpack.Encoder().encode
decode_entry = msgspec.json.Decoder(Entry).decode
_decode_rows = msgspec.json.Decoder(list[tuple[str, msgspec.Raw]]).decode
_decode_claims = msgspec.msgpack.Decoder(list[str]).decode
_decoders = {name: msgspec.json.Decoder(kind).decode for name, kind in KINDS.items()}


def to_json(value: Any) -> str:
    """A record as text: Redis has strings only, and knows no bytes of MessagePack."""
    return _encode(value).decode()


class Reply(Struct, frozen=True, array_like=True, gc=False):
    """The answer to a commit.

    ``before`` and ``after`` are the ids of the last item before it and now, ``first`` is the number of its first
    entry. ``odd`` has the changes that were not written: which one, and what was said under its id earlier, with its
    number; 0 for one that was overtaken.
    """

    before: str
    after: str
    first: int
    odd: list[tuple[int, int, str]]

    def outcomes(self, batch: Sequence[Change]) -> list[Stored]:
        """What became of each change."""
        number = self.first
        odd = {at: Earlier(seq, decode_entry(entry)) if seq else Overtaken() for at, seq, entry in self.odd}
        outcomes: list[Stored] = []
        for at, change in enumerate(batch):
            if at in odd:
                outcomes.append(odd[at])
            elif change.entry is None:
                outcomes.append(None)
            else:
                outcomes.append(number)
                number += 1
        return outcomes


decode_reply = msgspec.msgpack.Decoder(Reply).decode


def id_of(text: bytes | str) -> Id:
    """An id of the stream, for comparing."""
    number, _, after = text.partition("-") if isinstance(text, str) else text.decode().partition("-")
    return int(number), int(after)


def text_of(id: Id) -> str:
    """An id as Redis has it."""
    return f"{id[0]}-{id[1]}"


def said_key(entry: Entry) -> str | None:
    """Under which key its author's id is known, None for one without."""
    return None if entry.id is UNSET else f"{entry.author}:{entry.id}"


def ends(entry: Entry) -> tuple[str, ...] | None:
    """The accounts between which a direct message is, None for another entry."""
    audience = entry.audience
    return None if audience is None else tuple(map(str, dict.fromkeys(audience)))


def encode_batch(batch: Sequence[Change], keep: float) -> bytes:
    """A batch for the script; what failed for good is kept for so many seconds.

    Each change is: entry, key of its id, accounts it is between, claims, rows, operations; what comes last may be
    missing.
    """
    return pack([_change(change, keep) for change in batch])


def _change(change: Change, keep: float) -> tuple[Any, ...]:
    entry = change.entry
    if not change.rows and not change.claims:
        if entry is None:
            return (None,)
        if entry.reader is None:
            return (to_json(entry), said_key(entry))
    return (
        None if entry is None else to_json(entry),
        None if entry is None else said_key(entry),
        None if entry is None else ends(entry),
        change.claims or None,
        to_json([(_NAMES[type(row)], row) for row in change.rows]) if change.rows else None,
        [operation for row in change.rows for operation in _operations(row, keep)],
    )


def _operations(row: Row, keep: float) -> list[Operation]:
    """What a row does to the state: commands with their keys, or words of the script."""
    match row:
        case Account():
            patched = [f"{row.id}:{field}" for field in PATCHED]
            return [("HSET", "account", str(row.id), to_json(row)), ("HDEL", "account", *patched)]
        case Patch():
            return [("PATCH", str(row.account), row.field, to_json(row.value))]
        case Ban():
            return [("HSET", "ban", row.what, to_json(row)), _ending("ban", row.what, row.until)]
        case Motd():
            return [("HSET", "house", "motd", row.text)]
        case Act():
            return [("RPUSH", "audit", to_json(row)), ("LTRIM", "audit", str(-AUDIT_MAX), "-1")]
        case Mail():
            return [("MAIL", to_json(row))]
        case Letter():
            until = {"waiting": None, "sent": row.made + DAY, "failed": row.made + keep}[row.state]
            return [("HSET", "letter", row.message_id, to_json(row)), _ending("letter", row.message_id, until)]
        case Failure():
            return [("HSET", "failure", str(row.receipt.seq), to_json(row))]
        case Arrival():
            return [("HSET", "arrival", str(row.account), to_json(row))]
        case Departure():
            return [("HDEL", "arrival", str(row.account))]
        case Told():
            return []
        case Leader():
            return [("HSET", "house", "leader", row.node)]
        case Gone():
            return _gone(row)


def _gone(row: Gone) -> list[Operation]:
    key = str(row.key)
    match row.table:
        case "node":
            return [("LEAVE", key)]
        case "account":
            return [("HDEL", "account", key, *[f"{key}:{field}" for field in PATCHED])]
        case "ban" | "letter":
            return [("HDEL", row.table, key), _ending(row.table, key, None)]
        case _:
            return [("HDEL", row.table, key)]


def _ending(table: str, key: str, until: float | None) -> Operation:
    """Says when a row is to go, None for never."""
    name = f"{table}:{key}"
    return ("ZREM", "ends", name) if until is None else ("ZADD", "ends", repr(float(until)), name)


def change_of(number: int, fields: list[bytes]) -> tuple[Change, int | None]:
    """A change as another server committed it, and the number of its entry, None without one.

    Raises StoreError for what no server wrote.
    """
    try:
        if len(fields) == 4 and fields[2] == b"e":
            return Change(entry=decode_entry(fields[3])), number
        parts = dict(zip(fields[::2], fields[1::2], strict=True))
        entry = parts.get(b"e")
        return (
            Change(
                entry=None if entry is None else decode_entry(entry),
                rows=tuple(_row(kind, record, number) for kind, record in _decode_rows(parts.get(b"r", b"[]"))),
                claims=claims_of(fields),
            ),
            None if entry is None else number,
        )
    except (msgspec.MsgspecError, LookupError, ValueError) as error:
        raise damaged(error) from error


def claims_of(fields: list[bytes]) -> tuple[str, ...]:
    """What an item claims."""
    return tuple(_decode_claims(fields[-1])) if fields[-2] == b"c" else ()


def _row(kind: str, record: msgspec.Raw, number: int) -> Row:
    row: Row = _decoders[kind](record)
    return replace(row, seq=number) if isinstance(row, Mail) else row


def damaged(error: Exception) -> StoreError:
    """What to say of records that no server wrote."""
    return StoreError(f"what is in Redis is damaged ({error}); empty it to begin anew")
