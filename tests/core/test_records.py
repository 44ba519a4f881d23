"""Records: an entry is told by one frame, to those who may see it."""

from datetime import UTC, datetime
from typing import get_args

import pytest

from chatmail.core import wire
from chatmail.core.records import Entry

TIME = datetime(2026, 11, 22, tzinfo=UTC)

ENTRIES: list[tuple[Entry, wire.EntryFrame]] = [
    (
        Entry(kind="message", time=TIME, author=1, sender="John", text="hi", id="i"),
        wire.Message(seq=7, time=TIME, sender="John", text="hi", id="i"),
    ),
    (
        Entry(kind="message", time=TIME, author=1, sender="John", text="hi"),
        wire.Message(seq=7, time=TIME, sender="John", text="hi"),
    ),
    (
        Entry(kind="direct", time=TIME, author=1, sender="John", reader=2, to="Mary", text="hi", id="i"),
        wire.Direct(seq=7, time=TIME, sender="John", to="Mary", text="hi", id="i"),
    ),
    (Entry(kind="notice", time=TIME, text="hi"), wire.Notice(seq=7, time=TIME, text="hi")),
    (Entry(kind="joined", time=TIME, author=1, sender="John"), wire.Joined(seq=7, time=TIME, name="John")),
    (
        Entry(kind="left", time=TIME, author=1, sender="John", text="kicked"),
        wire.Left(seq=7, time=TIME, name="John", reason="kicked"),
    ),
]


@pytest.mark.parametrize(("entry", "frame"), ENTRIES)
def test_an_entry_is_told_by_its_frame_under_its_number(entry: Entry, frame: wire.EntryFrame) -> None:
    assert entry.frame(7) == frame


def test_there_is_an_entry_for_every_frame_of_the_journal() -> None:
    assert {type(frame) for _, frame in ENTRIES} == set(get_args(wire.EntryFrame))


@pytest.mark.parametrize(("entry", "frame"), ENTRIES)
def test_only_a_direct_message_has_an_audience(entry: Entry, frame: wire.EntryFrame) -> None:
    assert entry.audience == ((1, 2) if isinstance(frame, wire.Direct) else None)
