"""What stands around the input line: how the connection is, and what the server has not confirmed yet."""

import pytest
from prompt_toolkit.utils import get_cwidth

from chatmail.client import toolbar
from chatmail.core import wire
from chatmail.terminal.text import plain


def rows(*lines: wire.Say | wire.Dm, columns: int = 40) -> list[str]:
    return plain(toolbar.unconfirmed(lines, columns)).splitlines()


def test_each_line_that_waits_is_shown_and_to_whom_it_goes() -> None:
    assert rows(wire.Say(text="hello"), wire.Dm(to="Mary", text="lunch?")) == ["… hello", "… → Mary: lunch?"]


def test_of_many_the_latest_are_shown_and_the_others_counted() -> None:
    lines = [wire.Say(text=str(number)) for number in range(10)]
    assert rows(*lines) == ["  and 7 more before", "… 7", "… 8", "… 9"]


@pytest.mark.parametrize("columns", [10, 39, 80])
@pytest.mark.parametrize("text", ["x" * 500, "界" * 500, "👩‍👩‍👧‍👦" * 100, "two\nlines", "\x1b[2J\u202e"])
def test_each_takes_one_row_whatever_it_says(text: str, columns: int) -> None:
    (row,) = rows(wire.Say(text=text), columns=columns)
    assert get_cwidth(row) < columns
    assert row.isprintable() or "\u200d" in row
