"""What others wrote drives no terminal and can't pass for a line of ours, and emoji look as they should."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prompt_toolkit.utils import get_cwidth

from chatmail.terminal.text import (
    CONTINUED,
    JOINT,
    Line,
    harmless,
    in_encoding,
    in_rows,
    paragraph,
    plain,
    shows_itself,
    visible,
    wrap,
)

FAMILY = "👨‍👩‍👧‍👦"
KISS = "👩🏻‍❤️‍💋‍👨🏽"


def rows(text: str, width: int, hang: int = 0) -> list[str]:
    """The text behind a head of so many cells, as it is wrapped: what is ours is taken off again."""
    head = "12:00 "[6 - hang :]
    first, *rest = plain(wrap([("", head), ("", text)], width, get_cwidth, hang=hang, links=False)).split("\n")
    ours = " " * hang + CONTINUED
    assert all(row.startswith(ours) for row in rest)
    return [first.removeprefix(head), *(row.removeprefix(ours) for row in rest)]


@pytest.mark.parametrize(
    ("text", "looks"),
    [
        ("plain", "plain"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b", "\\x9b"),
        ("a\u202eb", "a\\u202eb"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("soft\u00adhyphen", "soft\\xadhyphen"),
        ("\U000e0041", "\\U000e0041"),
        ("\ud800", "\\ud800"),
        ("a\tb", "a    b"),
        ("a\u00a0b", "a b"),
        ("❤\ufe0f", "❤\ufe0f"),
        ("🫨", "🫨"),
        ("日本", "日本"),
        ("e\u0301", "e\u0301"),
        ("e" + "\u0301" * 7, "e" + "\u0301" * 6 + "\\u0301"),
    ],
)
def test_what_is_not_there_to_the_eye_is_made_visible(text: str, looks: str) -> None:
    assert plain(visible(text)) == looks


def test_an_escape_looks_unlike_the_same_characters_typed() -> None:
    assert visible("\x1b") != visible("\\x1b")


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


@pytest.mark.parametrize(("text", "does"), [("Žofie", True), ("", True), ("a\u202eb", False), ("a\u00a0b", False)])
def test_what_shows_itself_may_be_written_as_it_is(text: str, does: bool) -> None:
    assert shows_itself(text) == does


def test_marks_cannot_climb_over_other_lines() -> None:
    assert harmless("e" + "\u0301" * 8) == "e" + "\u0301" * 6 + r"\u0301\u0301"


@pytest.mark.parametrize("name", ["e", "\u0301", "\u0301\u0301", "👩", "\ufe0f"])
@example(text="e" + "\u0301" * 9)
@given(text=st.text(st.sampled_from("ea \n\u200d\ufe0f\u0301\x1b👩❤")))
def test_what_is_highlighted_looks_as_without_that(name: str, text: str) -> None:
    """Otherwise whoever chooses the name chooses what is shown: where a highlight begins, no count begins anew."""
    assert plain(paragraph(text, mention=re.compile(re.escape(name)))) == plain(paragraph(text))


def test_a_highlight_covers_what_is_found_and_nothing_else() -> None:
    mention = re.compile("John")
    assert paragraph("John, or\x1bJohn\nno Johns", "class:action", mention) == [
        ("class:action class:mention", "John"),
        ("class:action", ", or"),
        ("class:action class:escape", "\\x1b"),
        ("class:action class:mention", "John"),
        ("", "\n"),
        ("class:continued", CONTINUED),
        ("class:action", "no "),
        ("class:action class:mention", "John"),
        ("class:action", "s"),
    ]
    assert paragraph("a\x1b", mention=re.compile("\x1b")) == [("", "a"), ("class:mention class:escape", "\\x1b")]


@given(st.text() | st.text(st.sampled_from("a \t\n\u200d\ufe0f\u0301\u20e3\u200b👩❤🏽🇫🇷1")))
def test_harmless_text_is_printable_and_stays_as_it_is(foreign: str) -> None:
    shown = harmless(foreign)
    # No Python knows all emoji: what is unassigned in their blocks may be one.
    assert all(c.isprintable() or "\U0001f000" <= c <= "\U0001faff" for c in JOINT.sub("", shown))
    assert harmless(shown) == shown


@pytest.mark.parametrize("emoji", [FAMILY, KISS, "🏳️‍🌈", "🧑🏽‍💻", "🏴‍☠️", "❤️‍🔥", "🇫🇷", "1️⃣", "#️⃣", "☺️", "🙂‍↔️", "👍🏿"])
def test_emoji_of_several_parts_stay_whole(emoji: str) -> None:
    assert harmless(f"so {emoji}!") == f"so {emoji}!"


@pytest.mark.parametrize(
    ("text", "looks"),
    [
        ("a\u200db", r"a\u200db"),
        ("👩\u200d", r"👩\u200d"),
        ("\u200d👩", r"\u200d👩"),
        ("👩\u200d\u200d👩", r"👩\u200d\u200d👩"),
        ("👩\u200d 👩", r"👩\u200d 👩"),
        ("👩\u200c👩", r"👩\u200c👩"),
        ("👩\u200b👩", r"👩\u200b👩"),
        ("👩e\u0301\u200d👩", r"👩é\u200d👩".replace("é", "e\u0301")),
        ("\ufe0fa", r"\ufe0fa"),
        ("a\ufe0f", r"a\ufe0f"),
        ("👩" + "\u200d👩" * 4, "👩" + "\u200d👩" * 3 + r"\u200d👩"),
        ("a \ufe0f", r"a \ufe0f"),
        ("❤\ufe0f\ufe0f", "❤\ufe0f" + r"\ufe0f"),
        ("\x1b\ufe0f", r"\x1b\ufe0f"),
        ("❤\ufe0e", r"❤\ufe0e"),
        ("🏴\U000e0067\U000e007f", r"🏴\U000e0067\U000e007f"),
    ],
)
def test_what_joins_and_varies_nothing_is_made_visible(text: str, looks: str) -> None:
    assert harmless(text) == looks


@given(st.text(), st.integers(0, 6))
def test_rows_fit_and_lose_nothing_but_spaces(foreign: str, hang: int) -> None:
    shown = harmless(foreign)
    first, *rest = rows(shown, 20, hang)
    assert get_cwidth(first) <= 20 - hang
    assert all(get_cwidth(row) <= 20 - hang - len(CONTINUED) for row in rest)
    assert "".join([first, *rest]).replace(" ", "") == shown.replace(" ", "")


@pytest.mark.parametrize(
    "char",
    ["❤\ufe0f", "\u0903", "\u1161", "🇫", "\U0001fadd"],
    ids=["made an emoji", "mark beside its letter", "vowel", "half a flag", "unassigned"],
)
def test_what_some_terminals_draw_wider_places_no_words_at_the_left_edge(char: str) -> None:
    """There, a row that fits by our tables would be broken by the terminal, just before what is to pass for a line."""
    widest = 2 if char in "🇫\U0001fadd" else len(char)
    for row in rows(char * 60 + " " * 12 + "14:03 Bob: hi", 80, 6):
        assert row.count(char) * widest + len(row.replace(char, "")) <= 74


def test_rows_break_at_spaces_where_there_are_some() -> None:
    assert rows("to be or not", 6) == ["to be", "or", "not"]
    assert rows("incomprehensibly", 6) == ["incomp", "rehe", "nsib", "ly"]
    assert rows("千代子", 1) == ["千", "代", "子"]  # no room for anything: one at a time


def test_no_row_begins_below_a_head() -> None:
    assert rows("to be or not", 12, 6) == ["to be", "or", "not"]
    assert rows("incomprehensibly", 12, 6) == ["incomp", "rehe", "nsib", "ly"]
    assert rows(" " * 69 + "12:00 forged", 80, 6) == [" " * 69 + "12:00", "forged"]
    assert rows(" " * 70 + "12:00 forged", 80, 6)[1:] == ["12:00 forged"]


@given(st.text(st.sampled_from("ab │\n")), st.integers(8, 40), st.integers(0, 6))
def test_further_lines_hang_as_further_rows_do(text: str, width: int, hang: int) -> None:
    head = "12:00 "[6 - hang :]
    first, *rest = plain(wrap([("", head), *paragraph(text)], width, get_cwidth, hang=hang)).split("\n")
    assert first.startswith(head.rstrip())
    assert all(row.startswith(" " * hang + CONTINUED) for row in rest)
    assert len(rest) >= text.count("\n")


def test_a_line_hangs_below_its_text_unless_what_comes_before_is_too_wide() -> None:
    line = Line([("", "hi")], [("", "12:00 ")], [("", "千代子: ")])
    assert plain(line) == "12:00 千代子: hi"
    assert [line.hang(width, get_cwidth) for width in (80, 42, 41, 18, 17)] == [14, 14, 6, 6, 0]
    assert Line([("", "-- hi")]).hang(80, get_cwidth) == 0


@pytest.mark.parametrize(
    ("encoding", "looks"),
    [
        ("utf-8", "│ a → b… ── ·é"),
        ("iso-8859-1", "| a -> b... -- ·é"),
        ("ascii", "| a -> b... -- -é"),
        ("", "│ a → b… ── ·é"),
    ],
)
def test_our_signs_have_stand_ins_where_the_terminal_has_no_such_characters(encoding: str, looks: str) -> None:
    assert plain(in_encoding([("", "│ a → b… ── ·é")], encoding)) == looks


def test_joined_emoji_are_not_torn_apart() -> None:
    wrapped = rows(FAMILY * 3 + KISS, 20)
    assert wrapped == [FAMILY * 2, FAMILY, KISS]


@given(st.text(), st.integers(10, 100))
def test_wrapping_marks_every_new_line_and_keeps_every_word(text: str, width: int) -> None:
    fragments = paragraph(text)
    wrapped = plain(wrap(fragments, width))
    _, *rest = wrapped.split("\n")
    assert all(line.startswith(CONTINUED) for line in rest)
    assert "".join(wrapped.replace(CONTINUED, "").split()) == "".join(plain(fragments).replace(CONTINUED, "").split())


def test_a_link_is_not_broken() -> None:
    link = "https://example.org/" + "x" * 100
    assert link in plain(wrap(paragraph(f"see {link} there"), 40))


def test_only_a_link_sticks_out() -> None:
    for word in ("x" * 100, "https://example.org/é" + "x" * 100, "x=https://example.org/" + "x" * 100):
        assert all(len(row) <= 40 for row in plain(wrap(paragraph(word), 40)).split("\n"))
    assert all(len(row) <= 40 for row in plain(wrap([("", "https://" + "x" * 100)], 40, links=False)).split("\n"))


def test_wrapping_measures_wide_characters() -> None:
    lines = plain(wrap(paragraph("漢字 " * 10), 20, lambda text: 2 * len(text))).split("\n")
    assert all(2 * len(line.removeprefix(CONTINUED).replace(" ", "")) <= 20 for line in lines)


def test_last_words_are_broken_between_words_and_what_is_to_be_copied_stays_whole() -> None:
    text = "chatmail: it speaks no TLS\n" + CONTINUED + "add --trust SHA256:AB:CD:EF:AB:CD:EF, then"
    assert in_rows(text, 20) == ("chatmail: it speaks\n│ no TLS\n│ add --trust\n│ SHA256:AB:CD:EF:AB:CD:EF,\n│ then")
    assert in_rows(text, 0) == text
    assert in_rows(text, 80) == text
