"""The questions offer what was answered last, for the same server."""

from chatmail.client.last import LINES_MAX, last_of, with_last
from chatmail.client.link import Server

HERE, THERE = Server("localhost", 6245), Server("chat.example.org", 6245)
JOHN, MARY = ("John", "john@example.org"), ("Mary", "mary@example.org")


def test_who_came_in_last_at_that_server_is_offered() -> None:
    lines = with_last(HERE, *MARY, with_last(THERE, *JOHN, with_last(HERE, *JOHN, [])))
    assert last_of(HERE, lines) == MARY
    assert last_of(THERE, lines) == JOHN
    assert last_of(Server("localhost", 7000), lines) == ("", "")


def test_an_address_is_offered_to_whom_it_belongs() -> None:
    lines = with_last(HERE, *MARY, with_last(HERE, *JOHN, []))
    assert last_of(HERE, lines, "john") == JOHN
    assert last_of(HERE, lines, "Ann") == ("", "")


def test_each_name_is_kept_once_and_not_without_end() -> None:
    lines: list[str] = ["no line of ours", "\udcff"]
    for number in range(2 * LINES_MAX):
        lines = with_last(HERE, f"John{number}", "john@example.org", lines)
    lines = with_last(HERE, "john39", "new@example.org", lines)
    assert len(lines) == LINES_MAX
    assert last_of(HERE, lines, "John39") == ("john39", "new@example.org")
    assert last_of(HERE, lines, "John20") == ("John20", "john@example.org")
