"""Ids: what a client sends twice is accepted once, as long as its entry lives."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from chatmail.core.ids import Accepted, Ids
from chatmail.core.records import Entry
from chatmail.core.wire import Code, Refused

TIME = datetime(2026, 11, 22, tzinfo=UTC)
JOHN, MARY = 1, 2


def message(id: str | None = "i", text: str = "hi", author: int | None = JOHN) -> Entry:
    return Entry(kind="message", time=TIME, author=author, sender="John", text=text, id=UNSET if id is None else id)


def accepted(ids: Ids, id: str = "i", text: str = "hi", author: int = JOHN, reader: int | None = None) -> Accepted:
    found = ids.find(author, id, reader, text)
    assert found is not None
    return found


def test_an_id_is_taken_from_the_moment_it_is_submitted_and_gets_its_number_later() -> None:
    ids = Ids()
    assert ids.find(JOHN, "i", None, "hi") is None
    ids.reserve(message())
    whoever_asked_before = accepted(ids)
    assert whoever_asked_before == Accepted(whoever_asked_before.said, UNSET)
    ids.publish(message(), 7)
    assert whoever_asked_before.seq == 7
    assert accepted(ids).seq == 7


def test_the_same_id_of_somebody_else_is_another_one() -> None:
    ids = Ids()
    ids.reserve(message())
    assert ids.find(MARY, "i", None, "hi") is None


@pytest.mark.parametrize(("reader", "text"), [(None, "ho"), (MARY, "hi")])
def test_the_same_id_for_something_else_is_a_mistake(reader: int | None, text: str) -> None:
    ids = Ids()
    ids.reserve(message())
    with pytest.raises(Refused) as caught:
        ids.find(JOHN, "i", reader, text)
    assert (caught.value.code, caught.value.id, caught.value.field) == (Code.BAD_FRAME, "i", "id")


def test_a_direct_message_is_remembered_with_its_reader() -> None:
    ids = Ids()
    ids.reserve(Entry(kind="direct", time=TIME, author=JOHN, reader=MARY, text="hi", id="i"))
    assert accepted(ids, reader=MARY).seq is UNSET
    with pytest.raises(Refused):
        ids.find(JOHN, "i", None, "hi")


def test_without_an_id_everything_is_new() -> None:
    ids = Ids()
    ids.reserve(message(None))
    ids.publish(message(None), 7)
    ids.release(message(None))
    assert ids.find(JOHN, UNSET, None, "hi") is None
    assert len(ids) == 0


def test_what_nobody_wrote_has_no_id() -> None:
    ids = Ids()
    ids.reserve(message(author=None))
    ids.publish(message(author=None), 7)
    ids.release(message(author=None))
    assert len(ids) == 0


def test_an_id_is_free_again_when_its_entry_was_not_stored() -> None:
    ids = Ids()
    ids.reserve(message())
    ids.release(message())
    assert ids.find(JOHN, "i", None, "something else") is None


def test_after_a_restart_the_ids_of_the_entries_that_there_are_count() -> None:
    """What was published by an earlier run was never reserved in this one."""
    ids = Ids()
    ids.publish(message(), 7)
    assert accepted(ids).seq == 7
    with pytest.raises(Refused):
        ids.find(JOHN, "i", None, "ho")
    ids.expire(8)
    assert len(ids) == 0


def test_an_id_lives_as_long_as_its_entry() -> None:
    ids = Ids()
    for seq, id in enumerate("abc", 1):
        ids.reserve(message(id))
        ids.publish(message(id), seq)
    ids.reserve(message("d"))
    ids.expire(3)
    assert [ids.find(JOHN, id, None, "hi") is not None for id in "abcd"] == [False, False, True, True]
    ids.expire(4)
    assert [ids.find(JOHN, id, None, "hi") is not None for id in "abcd"] == [False, False, False, True]


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.booleans(), st.integers(0, 3))))
def test_whatever_is_sent_again_what_lives_is_accepted_once(lines: list[tuple[str, bool, int]]) -> None:
    ids, living, last, first = Ids(), dict[str, int](), 0, 1
    for id, is_stored, drop in lines:
        found = ids.find(JOHN, id, None, "hi")
        assert (found is not None) == (id in living)
        if found is not None:
            assert found.seq == living[id]
            continue
        ids.reserve(message(id))
        if is_stored:
            last += 1
            living[id] = last
            ids.publish(message(id), last)
        else:
            ids.release(message(id))
        first = min(first + drop, last + 1)
        ids.expire(first)
        living = {id: seq for id, seq in living.items() if seq >= first}
        assert len(ids) == len(living)
