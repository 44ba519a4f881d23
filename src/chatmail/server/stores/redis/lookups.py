"""Looking up what was said, and what the operator did: questions as commands of Redis. It only reads."""

from collections.abc import Iterable
from typing import assert_never

import msgspec

from chatmail.core.records import Act, Audit, Entry, Found, Query, Question, Sent, Span
from chatmail.server.stores.redis import scripts
from chatmail.server.stores.redis.codec import Item, damaged, decode_entry, id_of
from chatmail.server.stores.redis.line import Line
from chatmail.server.stores.redis.words import finder

PAGE = 300
"""So many items are read, and looked through, before others have their turn."""

_SAID = frozenset({"message", "direct", "notice"})
"""What kinds of entries somebody said."""

_act = msgspec.json.Decoder(Act).decode


async def look_up(line: Line, query: Question) -> Found:
    """See ``Store.look_up``."""
    try:
        match query:
            case Span():
                return await _span(line, query)
            case Query():
                return await _query(line, query)
            case Sent():
                return await _sent(line, query)
            case Audit():
                return await _audit(line, query)
            case _:
                assert_never(query)
    except (msgspec.MsgspecError, LookupError, ValueError) as error:
        raise damaged(error) from error


async def _span(line: Line, span: Span) -> Found:
    between = (f"({span.after}", f"({span.before}")
    numbers, directs = await line.calls(
        [
            ("ZRANGEBYSCORE", f"{scripts.DIRECTS}:{span.account}", *between),
            ("ZCOUNT", scripts.DIRECTS, *between),
        ]
    )
    entries: list[tuple[int, Entry]] = []
    for at in range(0, len(numbers), PAGE):
        entries += await _numbered(line, map(int, numbers[at : at + PAGE]))
    return Found(entries=tuple(entries), open=span.before - 1 - span.after - directs)


async def _query(line: Line, query: Query) -> Found:
    """Read backwards until there is enough; the index of words is the time this takes."""
    found: list[tuple[int, Entry]] = []
    holds = None if query.words is None else finder(query.words)
    before = f"({query.before}-0".encode()
    while len(found) <= query.count:
        page: list[Item] = await line.call("XREVRANGE", scripts.LOG, before, "-", "COUNT", PAGE)
        found += [
            (number, entry)
            for number, entry in _entries(page)
            if _may_see(query, number, entry) and (holds is None or holds(entry.text))
        ]
        if len(page) < PAGE:
            break
        before = b"(" + page[-1][0]
    return Found(entries=tuple(reversed(found[: query.count])), more=len(found) > query.count)


def _may_see(query: Query, number: int, entry: Entry) -> bool:
    if entry.reader is None:
        return entry.kind in _SAID
    return number > query.floor and query.account is not None and query.account in (entry.author, entry.reader)


async def _sent(line: Line, sent: Sent) -> Found:
    number = await line.call("HGET", scripts.SAID, f"{sent.author}:{sent.id}")
    return Found(entries=() if number is None else tuple(await _numbered(line, [int(number)])))


async def _audit(line: Line, audit: Audit) -> Found:
    acts = [_act(act) for act in await line.call("LRANGE", scripts.AUDIT, -audit.count - 1, -1)]
    more = len(acts) > audit.count
    return Found(acts=tuple(acts[more:]), more=more)


async def _numbered(line: Line, numbers: Iterable[int]) -> list[tuple[int, Entry]]:
    """The entries with these numbers, as far as they are kept."""
    pages = await line.calls([("XRANGE", scripts.LOG, f"{number}-0", f"{number}-0") for number in numbers])
    return [entry for page in pages for entry in _entries(page)]


def _entries(items: Iterable[Item]) -> Iterable[tuple[int, Entry]]:
    """The entries among these items, with their numbers."""
    for id, fields in items:
        number, after = id_of(id)
        if not after:
            yield number, decode_entry(fields[3])
