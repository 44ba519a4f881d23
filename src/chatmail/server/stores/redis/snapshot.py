"""What a server needs at its start, read from Redis: the state, and the newest entries."""

import logging

import msgspec

from chatmail.core.records import (
    Account,
    Arrival,
    Ban,
    Entry,
    Failure,
    Letter,
    Mail,
    Snapshot,
)
from chatmail.server.stores import StoreError
from chatmail.server.stores.redis import scripts
from chatmail.server.stores.redis.codec import PATCHED, Item, Place, damaged, decode_entry, id_of
from chatmail.server.stores.redis.line import Line, Refused

VERSION_MIN = 7
"""The first Redis that has what the scripts need; Valkey passes for 7.2."""
PAGE = 1_000
"""So many items are read at a time."""

_log = logging.getLogger(__name__)

_HASHES = (scripts.ACCOUNT, scripts.BAN, scripts.MAIL, scripts.LETTER, scripts.FAILURE, scripts.ARRIVAL)
_account = msgspec.json.Decoder(Account).decode
_ban = msgspec.json.Decoder(Ban).decode
_mail = msgspec.json.Decoder(Mail).decode
_letter = msgspec.json.Decoder(Letter).decode
_failure = msgspec.json.Decoder(Failure).decode
_arrival = msgspec.json.Decoder(Arrival).decode


async def check(line: Line) -> None:
    """Raise StoreError unless this Redis will do; warn of what may be lost in it."""
    said = (await line.call("INFO")).decode(errors="replace")
    info = dict(part.split(":", 1) for part in said.splitlines() if ":" in part)
    version = info.get("redis_version", "?")
    if not version.partition(".")[0].isdigit() or int(version.partition(".")[0]) < VERSION_MIN:
        raise StoreError(f"its Redis is of version {version}; it takes {VERSION_MIN}.0, or a Valkey")
    if info.get("role", "master") != "master":
        raise StoreError("this Redis is a replica and takes nothing; let CHAT_DB name the master")
    try:
        told = await line.call("CONFIG", "GET", "appendonly", "appendfsync", "maxmemory-policy")
    except Refused as refusal:
        _log.warning("CHAT_DB: whether Redis keeps what it is told could not be checked: it says %s", refusal.text)
        return
    config = {name.decode(): value.decode() for name, value in pairs(told).items()}
    for name, value in (("appendonly", "yes"), ("appendfsync", "always")):
        if config.get(name, value) != value:
            _log.warning(
                "CHAT_DB: Redis may lose what was said last when it crashes: %s is %s; in redis.conf:"
                " appendonly yes, appendfsync always",
                name,
                config[name],
            )
            break
    policy = config.get("maxmemory-policy", "")
    if policy.startswith("allkeys"):
        _log.warning(
            "CHAT_DB: Redis may drop all that was said when its memory is full: maxmemory-policy is %s;"
            " in redis.conf: maxmemory-policy noeviction",
            policy,
        )


async def read(line: Line, node: str, number: int, entries_max: int, bytes_max: int) -> tuple[Snapshot, Place]:
    """All that is kept at one moment, and the last item by then.

    ``node`` is the name of this server, the ``number``-th there was; of the newest, the journal holds so much. Raises
    StoreError.
    """
    answers = await line.calls(
        [
            ("MULTI",),
            ("HGETALL", scripts.HOUSE),
            ("HKEYS", scripts.NODES),
            *[("HGETALL", key) for key in _HASHES],
            ("XREVRANGE", scripts.LOG, "+", "-", "COUNT", PAGE),
            ("EXEC",),
        ]
    )
    about, nodes, *kept, newest = answers[-1]
    house = pairs(about)
    try:
        accounts, bans, mails, letters, failures, arrivals = map(pairs, kept)
        last = int(house[b"last"])
        snapshot = Snapshot(
            epoch=house[b"epoch"].decode(),
            secret=house[b"secret"],
            last=last,
            entries=await _entries(line, newest, last, entries_max, bytes_max),
            accounts=_accounts(accounts),
            next_account=(number << 32) + 1,
            bans=tuple(_ban(bans[what]) for what in sorted(bans)),
            motd=house[b"motd"].decode(),
            mails=tuple(msgspec.structs.replace(_mail(mails[seq]), seq=int(seq)) for seq in sorted(mails, key=int)),
            letters=tuple(sorted(map(_letter, letters.values()), key=lambda letter: (letter.made, letter.message_id))),
            failures=tuple(_failure(failures[seq]) for seq in sorted(failures, key=int)),
            node=node,
            nodes=tuple(sorted(name.decode() for name in nodes)),
            leader=house[b"leader"].decode(),
            arrivals=tuple(sorted(map(_arrival, arrivals.values()), key=lambda one: (one.since, one.account))),
        )
    except (msgspec.MsgspecError, LookupError, ValueError) as error:
        raise damaged(error) from error
    return snapshot, Place(id_of(house[b"at"]), house[b"by"])


def pairs(flat: list[bytes]) -> dict[bytes, bytes]:
    """A hash, which Redis tells as a flat list."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _accounts(records: dict[bytes, bytes]) -> tuple[Account, ...]:
    accounts = {int(key): _account(record) for key, record in records.items() if b":" not in key}
    for key, value in records.items():
        number, _, field = key.partition(b":")
        if field.decode() in PATCHED:
            setattr(accounts[int(number)], field.decode(), msgspec.json.decode(value))
    return tuple(accounts[id] for id in sorted(accounts))


async def _entries(
    line: Line, newest: list[Item], last: int, entries_max: int, bytes_max: int
) -> tuple[tuple[int, Entry], ...]:
    """The entries for the journal: as many as it holds, up to the last, without a hole."""
    entries: list[tuple[int, Entry]] = []
    size = 0
    page = newest
    while page:
        for id, fields in page:
            number, after = id_of(id)
            if after:
                continue
            entry = decode_entry(fields[3])
            size += len(entry.text)
            if number != last - len(entries) or len(entries) == entries_max or size > bytes_max:
                return tuple(reversed(entries))
            entries.append((number, entry))
        page = await line.call("XREVRANGE", scripts.LOG, b"(" + page[-1][0], "-", "COUNT", PAGE)
    return tuple(reversed(entries))
