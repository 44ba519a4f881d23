"""Tables, spans of time and numbers read well."""

import pytest

from chatmail.server.lines import clip, parse_span, several, size, span, table


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
