"""The store in its threads: the loop never waits, batches keep their order, and what is asked late is answered."""

import asyncio
from pathlib import Path

import pytest

from chatmail.core.records import Change, Entry, Query
from chatmail.core.wire import stamp
from chatmail.server.stores import StoreError
from chatmail.server.stores.database import BITE, MEMORY
from chatmail.server.stores.sqlite import SqliteStore

NOON = 1_795_356_000.0


def said(text: str) -> Change:
    return Change(entry=Entry(kind="message", time=stamp(NOON), author=1, sender="Mary", text=text))


def query(words: str | None = None) -> Query:
    return Query(account=None, floor=0, before=2**62, count=100, words=words)


@pytest.mark.parametrize("file", [True, False])
async def test_what_is_committed_is_found_by_its_words_at_once(tmp_path: Path, file: bool) -> None:
    store = SqliteStore(str(tmp_path / "chat.db") if file else MEMORY, 30)
    await store.open(NOON)
    await store.commit([said(f"tea {at}") for at in range(2 * BITE)])
    await store.commit([said("the last cup")])
    assert [entry.text for _, entry in (await store.look_up(query("cup"))).entries] == ["the last cup"]
    assert len((await store.look_up(query("tea"))).entries) == 100
    await store.close()


async def test_batches_that_are_asked_for_at_once_are_committed_in_their_order(tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path / "chat.db"), 30)
    await store.open(NOON)
    numbers = await asyncio.gather(*[store.commit([said(str(at))]) for at in range(20)])
    assert numbers == [[at] for at in range(1, 21)]
    await store.close()


async def test_commits_go_on_while_a_lot_is_tidied_up(tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path / "chat.db"), 1)
    await store.open(NOON)
    await store.commit([said(str(at)) for at in range(5 * BITE)])
    tidying = asyncio.create_task(store.tidy(NOON + 2 * 86_400))
    (number,) = await store.commit([said("meanwhile")])
    assert not tidying.done()
    await tidying
    assert number == 5 * BITE + 1
    assert (await store.look_up(query())).entries == ()
    await store.close()


async def test_closing_waits_for_what_is_looked_up_and_frees_the_file(tmp_path: Path) -> None:
    path = str(tmp_path / "chat.db")
    store = SqliteStore(path, 30)
    await store.open(NOON)
    await store.commit([said("a")])
    looking = asyncio.create_task(store.look_up(query()))
    await asyncio.sleep(0)
    await store.close()
    assert len((await looking).entries) == 1
    again = SqliteStore(path, 30)
    assert (await again.open(NOON)).last == 1
    await again.close()


async def test_a_store_that_could_not_be_opened_can_be_closed(tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path), 30)
    with pytest.raises(StoreError):
        await store.open(NOON)
    await store.close()


async def test_what_is_too_old_at_the_start_is_not_even_read(tmp_path: Path) -> None:
    path = str(tmp_path / "chat.db")
    store = SqliteStore(path, 1)
    await store.open(NOON)
    await store.commit([said("old")])
    await store.close()
    again = SqliteStore(path, 1)
    snapshot = await again.open(NOON + 2 * 86_400)
    assert (snapshot.entries, snapshot.last) == ((), 1)
    await again.close()


async def test_on_a_full_disk_what_is_indexed_is_found_and_what_is_old_goes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = str(tmp_path / "chat.db")
    store = SqliteStore(path, 1)
    await store.open(NOON)
    await store.commit([said("tea, long ago")])
    assert len((await store.look_up(query("tea"))).entries) == 1
    await store.commit([said(f"{at} tea" * 300) for at in range(200)])
    writer = store._database._writer
    (pages,) = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count = {pages}")
    assert [entry.text for _, entry in (await store.look_up(query("tea"))).entries] == ["tea, long ago"]
    assert "can't be found by its words yet" in caplog.text
    with pytest.raises(StoreError, match="disk is full"):
        await store.tidy(NOON + 2 * 86_400)
    writer.execute("PRAGMA max_page_count = 100000")
    assert await store.tidy(NOON + 2 * 86_400) == 201
    await store.close()
