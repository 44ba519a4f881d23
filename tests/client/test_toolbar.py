"""What stands around the input line: how the connection is, and what the server has not confirmed yet."""

import pytest
from prompt_toolkit.utils import get_cwidth

from chatmail.client import toolbar
from chatmail.client.connection import Connection
from chatmail.client.link import Server, State
from chatmail.client.timeline import Timeline
from chatmail.core import wire
from chatmail.terminal.text import plain, shows_itself
from tests.client.scripted import Recorder, direct, message, welcome


def rows(*lines: wire.Say | wire.Dm, columns: int = 40) -> list[str]:
    return plain(toolbar.unconfirmed(lines, columns)).splitlines()


def test_each_line_that_waits_is_shown_and_to_whom_it_goes() -> None:
    assert rows(wire.Say(text="hello"), wire.Dm(to="Mary", text="lunch?")) == ["… hello", "… → Mary: lunch?"]


def test_of_many_the_latest_are_shown_and_the_others_counted() -> None:
    lines = [wire.Say(text=str(number)) for number in range(10)]
    assert rows(*lines) == ["  and 7 more before", "… 7", "… 8", "… 9"]


@pytest.mark.parametrize("columns", range(1, 60))
def test_a_row_is_clipped_between_emoji_and_not_within_one(columns: int) -> None:
    (row,) = rows(wire.Dm(to="👩‍👩" * 20, text="yes"), columns=columns)
    assert "\u200d…" not in row
    assert shows_itself(row)
    assert get_cwidth(row) < max(2, columns)


@pytest.mark.parametrize("columns", [10, 39, 80])
@pytest.mark.parametrize("text", ["x" * 500, "界" * 500, "👩‍👩‍👧‍👦" * 100, "two\nlines", "\x1b[2J\u202e"])
def test_each_takes_one_row_whatever_it_says(text: str, columns: int) -> None:
    (row,) = rows(wire.Say(text=text), columns=columns)
    assert get_cwidth(row) < columns
    assert row.isprintable() or "\u200d" in row


def bar(columns: int, *frames: wire.ServerFrame, joined: bool = True, wait: float | None = None) -> str:
    """The last line of the screen."""
    timeline = Timeline("John", "p")
    for frame in (welcome("John", "Mary", "Bob", "Zoe"), *frames):
        timeline.receive(frame)
    connection = Connection(Server("chat.example.org", 6245, tls=True), "John", "j@example.org", timeline, Recorder())
    connection.joined, connection.next_try = joined, wait
    state = State.JOINED if joined else State.WAITING
    return plain(toolbar.draw(timeline, connection, state, "", columns, 0.0))


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (80, " connected · 2 new (1 direct) · John@chat.example.org:6245 · 4 here · TLS"),
        (60, " connected · 2 new (1 direct) · 4 here · TLS"),
        (40, " connected · 2 new (1 direct) · TLS"),
        (33, " connected · 2 new (1 direct)"),
        (5, " connected"),
    ],
)
def test_what_tells_least_is_left_out_whole_where_there_is_no_room(columns: int, told: str) -> None:
    assert bar(columns, message(1), direct(2)) == told


def test_without_a_connection_nobody_knows_who_is_here() -> None:
    assert bar(80, joined=False, wait=7.0) == " reconnecting in 7 s · Enter: now · John@chat.example.org:6245 · TLS"
    assert bar(40, joined=False, wait=7.0) == " reconnecting in 7 s · Enter: now · TLS"
