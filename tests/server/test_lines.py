"""Tables, spans of time and numbers read well."""

import pytest

from chatmail.server.lines import bars, clip, day, parse_span, several, size, table
from chatmail.terminal.spans import span
from tests.server.house import NOW


def test_a_table_is_as_wide_as_the_eye_sees() -> None:
    assert table(("NAME", "X"), ("千代子", "a\n"), ("z" * 50, "")) == [
        "NAME" + " " * 38 + "X",
        "千代子" + " " * 36 + r"a\n",
        "z" * 39 + "…",
    ]
    assert table() == []


def test_a_table_is_as_wide_as_asked_the_widest_columns_cut_first() -> None:
    rows = [("NAME", "EMAIL", "AWAY"), ("千代子千代子", "x" * 30, "y" * 30)]
    cut = table(*rows, columns=52)
    assert cut == ["NAME          EMAIL               AWAY", "千代子千代子  " + "x" * 17 + "…  " + "y" * 17 + "…"]
    assert table(*rows, columns=51)[1] == "千代子千代子  " + "x" * 16 + "…  " + "y" * 16 + "…"
    assert table(*rows, columns=1)[1] == "千代子千…   " + "x" * 9 + "…  " + "y" * 9 + "…"
    assert table(("A", "B"), columns=1) == ["A  B"]


def test_bars_show_the_most_as_high_as_can_be_and_whatever_is_not_nothing() -> None:
    assert bars([0, 1, 500, 1000], blocks=True) == "▁▂▅█"
    assert bars([0, 1, 500, 1000], blocks=False) == "0148"
    assert bars([0.0, 0.0], blocks=True) == "▁▁"


@pytest.mark.usefixtures("utc")
def test_the_time_of_today_or_the_day() -> None:
    assert (day(NOW, NOW), day(NOW, NOW + 86_400)) == ("14:02", "2026-11-22")


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
