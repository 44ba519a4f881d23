"""The memory store numbers entries and keeps direct messages for those who are not there."""

from datetime import UTC, datetime, timedelta

from chatmail.core.records import Change, Entry
from chatmail.server.stores.memory import MemoryStore

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def said(text: str) -> Change:
    return Change(entry=Entry(kind="message", time=NOON, author=1, sender="John", text=text))


def direct(reader: int, time: datetime = NOON) -> Change:
    return Change(entry=Entry(kind="direct", time=time, author=1, sender="John", reader=reader, text="psst"))


async def test_each_start_is_another_epoch_with_another_secret() -> None:
    first, second = await MemoryStore(30).open(), await MemoryStore(30).open()
    assert first.epoch != second.epoch
    assert first.secret != second.secret


async def test_numbers_are_consecutive_over_batches_and_only_entries_have_one() -> None:
    store = MemoryStore(30)
    assert await store.commit([said("a"), Change(), said("b")]) == [1, None, 2]
    assert await store.commit([said("c")]) == [3]


async def test_what_was_missed_is_counted_and_own_direct_messages_are_there() -> None:
    store = MemoryStore(30)
    await store.commit([said("a"), direct(2), said("b"), direct(3), said("c")])
    missed = await store.missed(2, 0, 5)
    assert missed.open == 2
    assert [number for number, _ in missed.directs] == [2]
    assert (await store.missed(3, 4, 6)).directs == ()
    assert (await store.missed(1, 1, 5)).open == 1
    await store.close()


async def test_direct_messages_are_kept_for_so_many_days() -> None:
    store = MemoryStore(30)
    await store.commit([direct(2), direct(2, NOON + timedelta(days=1))])
    await store.commit([direct(2, NOON + timedelta(days=31))])
    missed = await store.missed(2, 0, 4)
    assert [number for number, _ in missed.directs] == [2, 3]
    assert missed.open == 0  # what has expired was no less private


async def test_the_oldest_direct_messages_make_room_for_new_ones() -> None:
    store = MemoryStore(30, directs_max=3 * len("psst"))
    await store.commit([direct(2) for _ in range(5)])
    assert [number for number, _ in (await store.missed(2, 0, 6)).directs] == [3, 4, 5]
