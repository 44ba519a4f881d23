"""What others wrote cannot drive the operator's terminal, and lines fit."""

import pytest
from hypothesis import given
from hypothesis.strategies import text
from prompt_toolkit.utils import get_cwidth

from chatmail.server.lines import clip, harmless, parse_span, rows, several, size, span, table


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("Žofie 千代子 👍", "Žofie 千代子 👍"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\n12:00:00 b\r\tc", r"a\n12:00:00 b\r\tc"),
        ("\x9b31m\x85", r"\x9b31m\x85"),
        ("\u202eevil\u2066", r"\u202eevil\u2066"),
        ("a\u200bb\ufeff\u2028\u2060", r"a\u200bb\ufeff\u2028\u2060"),
        ("\u3164\u034f\U000e0041", r"\u3164\u034f\U000e0041"),
        ("\udc80", r"\udc80"),
    ],
)
def test_what_does_not_show_itself_is_escaped(foreign: str, shown: str) -> None:
    assert harmless(foreign) == shown


def test_marks_cannot_climb_over_other_lines() -> None:
    assert harmless("e" + "\u0301" * 8) == "e" + "\u0301" * 6 + r"\u0301\u0301"


@given(text())
def test_harmless_text_is_printable_and_stays_as_it_is(foreign: str) -> None:
    shown = harmless(foreign)
    assert shown.isprintable()
    assert harmless(shown) == shown


@given(text())
def test_rows_fit_and_lose_nothing_but_spaces(foreign: str) -> None:
    shown = harmless(foreign)
    pieces = list(rows(shown, 12, 7))
    assert get_cwidth(pieces[0]) <= 12
    assert all(get_cwidth(piece) <= 7 for piece in pieces[1:])
    assert "".join(pieces).replace(" ", "") == shown.replace(" ", "")


def test_rows_break_at_spaces_where_there_are_some() -> None:
    assert list(rows("to be or not", 6, 4)) == ["to be", "or", "not"]
    assert list(rows("incomprehensibly", 6, 4)) == ["incomp", "rehe", "nsib", "ly"]
    assert list(rows("千代子", 1, 0)) == ["千", "代", "子"]  # no room for anything: one at a time


def test_a_table_is_as_wide_as_the_eye_sees() -> None:
    assert table(("NAME", "X"), ("千代子", "a\n"), ("z" * 50, "")) == [
        "NAME" + " " * 38 + "X",
        "千代子" + " " * 36 + r"a\n",
        "z" * 39 + "…",
    ]
    assert table() == []


@pytest.mark.parametrize(
    ("typed", "seconds"), [("30m", 1800), ("2h", 7200), ("7d", 604800), ("1w", 604800), ("1d12h", 129600), ("5s", 5)]
)
def test_spans_that_are_typed(typed: str, seconds: float) -> None:
    assert parse_span(typed) == seconds


@pytest.mark.parametrize("typed", ["", "0m", "5", "m", "-5m", "1.5h", "5 m", "5M", "٣m", "9999999999s"])
def test_what_is_no_span(typed: str) -> None:
    assert parse_span(typed) is None


def test_spans_that_are_shown() -> None:
    shown = [span(seconds) for seconds in (-1, 59.9, 60, 3599, 3600, 86399, 86400, 10**6)]
    assert shown == ["0s", "59s", "1m", "59m", "1h00m", "23h59m", "1d0h", "11d13h"]


def test_sizes_and_numbers() -> None:
    assert [size(count) for count in (0, 1023, 1024, 1536 * 1024, 3 * 2**30)] == [
        "0 B", "1023 B", "1.0 KiB", "1.5 MiB", "3.0 GiB",
    ]  # fmt: skip
    assert [several(1, "person"), several(2, "person"), several(1200, "mail")] == [
        "1 person",
        "2 people",
        "1,200 mails",
    ]
    assert clip("x" * 5, 4) == "xxx…"
