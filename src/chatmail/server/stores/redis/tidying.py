"""Letting go of what is kept no longer. Any server may do it, at any time: the script does nothing twice."""

import msgspec

from chatmail.server.stores.redis import scripts
from chatmail.server.stores.redis.codec import Item, damaged, decode_entry, ends, id_of, pack, said_key
from chatmail.server.stores.redis.line import Line

Old = tuple[int, str | None, tuple[str, ...] | None]
"""The number of an entry, its key in ``said``, the accounts it is between."""


async def tidy(line: Line, epoch: str, now: float, keep: float) -> int:
    """See ``Store.tidy``; what was said is kept for so many seconds. The number of the last entry that ever went.

    Raises Refused with the code OUTDATED for another epoch.
    """
    trimmed = int(await line.call("HGET", scripts.HOUSE, "trimmed") or 0)
    more = 1
    while more:
        old = await _old(line, trimmed, now - keep)
        trimmed, more = await line.run(scripts.TIDY, scripts.HOUSE, epoch, repr(now), pack(old))
    return trimmed


async def _old(line: Line, trimmed: int, bound: float) -> list[Old]:
    """The first entries after this number, as far as they are of before this time."""
    old: list[Old] = []
    page: list[Item] = await line.call("XRANGE", scripts.LOG, f"{trimmed + 1}-0", "+", "COUNT", scripts.TIDY_MAX)
    for id, fields in page:
        number, after = id_of(id)
        if after:
            continue
        try:
            entry = decode_entry(fields[3])
        except (msgspec.MsgspecError, LookupError) as error:
            raise damaged(error) from error
        if entry.time.timestamp() >= bound:
            break
        old.append((number, said_key(entry), ends(entry)))
    return old
