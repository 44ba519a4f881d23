"""An id is accepted once, and a direct message found by its ends, whether it was written just now or long ago."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chatmail.core.digest import DAY
from chatmail.core.records import Change, Earlier, Sent, Span
from chatmail.server.stores.database import Database
from chatmail.server.stores.said import CHUNK, FRESH_MAX
from tests.server.stores.test_database import ANN, JOHN, MARY, NOON, direct, opened, said


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chat.db"


def talk(count: int, *, start: int = 0, author: int = MARY) -> list[Change]:
    return [said(f"text {number}", id=f"m{number}", author=author) for number in range(start, start + count)]


def table(path: Path) -> Iterator[tuple[int, str, int]]:
    with closing(sqlite3.connect(path)) as connection:
        yield from connection.execute("SELECT author, id, seq FROM said ORDER BY seq").fetchall()


def known(database: Database, *numbers: int) -> list[int]:
    """Which of Mary's ids the store has had before."""
    results = database.commit([said("again", id=f"m{number}") for number in numbers])
    return [number for number, result in zip(numbers, results, strict=True) if isinstance(result, Earlier)]


def test_the_newest_ids_are_in_no_table_until_there_are_many(path: Path) -> None:
    with opened(path) as (database, _):
        database.commit(talk(FRESH_MAX))
        assert list(table(path)) == []
        assert known(database, 0, 100, FRESH_MAX - 1, FRESH_MAX) == [0, 100, FRESH_MAX - 1]
        assert [row[2] for row in table(path)] == list(range(1, FRESH_MAX + 2))
        assert known(database, 0, FRESH_MAX, FRESH_MAX + 1) == [0, FRESH_MAX]


def test_a_restart_knows_both_kinds(path: Path) -> None:
    with opened(path) as (database, _):
        database.commit(talk(FRESH_MAX))
        database.commit(talk(2 * CHUNK, start=FRESH_MAX))
        database.commit(talk(3, start=FRESH_MAX + 2 * CHUNK))
    with opened(path) as (database, _):
        last = FRESH_MAX + 2 * CHUNK + 2
        assert known(database, 0, FRESH_MAX, last, last + 1) == [0, FRESH_MAX, last]


def test_the_id_of_one_is_free_for_another(path: Path) -> None:
    with opened(path) as (database, _):
        database.commit(talk(FRESH_MAX + 1))
        (number,) = database.commit([said("mine", id="m5", author=JOHN)])
        assert number == FRESH_MAX + 2


def test_what_was_said_comes_with_the_answer() -> None:
    with opened() as (database, _):
        database.commit(talk(FRESH_MAX + 1))
        (earlier,) = database.commit([said("text 7, but other", id="m7")])
        assert isinstance(earlier, Earlier)
        assert (earlier.seq, earlier.entry.text) == (8, "text 7")


def test_a_batch_that_is_refused_leaves_its_ids_free(path: Path) -> None:
    with opened(path) as (database, _), closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TRIGGER full BEFORE INSERT ON said BEGIN SELECT RAISE(ABORT, 'full'); END")
        with pytest.raises(Exception, match="full"):
            database.commit(talk(FRESH_MAX + 1))
        other.execute("DROP TRIGGER full")
        assert database.commit(talk(FRESH_MAX + 1)) == list(range(1, FRESH_MAX + 2))
        assert known(database, 0, FRESH_MAX) == [0, FRESH_MAX]


@pytest.mark.parametrize("count", [10, FRESH_MAX + 1])
def test_ids_live_as_long_as_their_entries(path: Path, count: int) -> None:
    """In memory, and in the table."""
    with opened(path) as (database, _):
        database.commit(talk(count))
        while database.index():
            pass
        while database.tidy(NOON + 31 * DAY):
            pass
        assert list(table(path)) == []
        assert known(database, 0, count - 1) == []
        assert known(database, 0, count - 1) == [0, count - 1]


def test_an_id_twice_in_one_batch_is_said_once() -> None:
    with opened() as (database, _):
        first, other, again = database.commit([said("one", id="m"), said("two", id="n"), said("three", id="m")])
        assert (first, other) == (1, 2)
        assert isinstance(again, Earlier)
        assert (again.seq, again.entry.text) == (1, "one")
        assert database.commit([said("four")]) == [3]


@pytest.mark.parametrize("count", [10, FRESH_MAX + 1])
def test_what_somebody_said_under_an_id_can_be_asked(path: Path, count: int) -> None:
    """In memory, and in the table."""
    with opened(path) as (database, _):
        database.commit(talk(count))
        database.commit(talk(1, author=JOHN, start=4))
        ((number, entry),) = database.look_up(Sent(author=MARY, id="m5")).entries
        assert (number, entry.text) == (6, "text 5")
        ((number, entry),) = database.look_up(Sent(author=JOHN, id="m4")).entries
        assert (number, entry.author) == (count + 1, JOHN)
        assert database.look_up(Sent(author=JOHN, id="m5")).entries == ()


@pytest.mark.parametrize("count", [10, FRESH_MAX + 1])
def test_direct_messages_are_found_by_their_ends_and_go_with_their_entries(path: Path, count: int) -> None:
    """In no table yet, and in the table, and some here and some there."""
    with opened(path) as (database, _):
        database.commit([direct("one", MARY, JOHN), *talk(count), direct("two", JOHN, MARY)])
        database.commit([direct("three", ANN, JOHN), direct("four", MARY, MARY)])

        def found(account: int, after: int = 0) -> list[str]:
            span = Span(account=account, after=after, before=count + 4)
            return [entry.text for _, entry in database.look_up(span).entries]

        assert (found(MARY), found(JOHN), found(ANN)) == (["one", "two"], ["one", "two", "three"], ["three"])
        assert (found(MARY, 1), found(JOHN, count + 2)) == (["two"], ["three"])
        while database.index():
            pass
        while database.tidy(NOON + 31 * DAY):
            pass
        assert found(MARY) == []
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT count(*) FROM ends").fetchone() == (0,)


def test_what_has_no_id_goes_into_the_tables_as_well(path: Path) -> None:
    """Or a look-up would have to go through more and more."""
    with opened(path) as (database, _):
        database.commit([direct("one", MARY, JOHN), *(said("hello") for _ in range(FRESH_MAX))])
        assert database._said.known == FRESH_MAX + 1
