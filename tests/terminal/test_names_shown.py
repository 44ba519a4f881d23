"""A name that may join is shown as it is: nothing in it needs an escape, and it is as wide as its letters."""

from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.utils import get_cwidth

from chatmail.core.names import MARKS_MAX, BadName, check_name
from chatmail.server.lines import table
from chatmail.terminal.text import COMBINING_MAX, harmless

letters = st.characters(categories=["Lu", "Ll", "Lt", "Lm", "Lo", "Nd", "Mn", "Mc"])


@given(st.text(letters, min_size=1, max_size=20))
def test_no_name_is_escaped(text: str) -> None:
    try:
        name = check_name(text)
    except BadName:
        return
    assert harmless(name) == name


def test_a_letter_may_be_shown_with_all_the_marks_that_a_name_may_give_it() -> None:
    assert MARKS_MAX <= COMBINING_MAX


def test_columns_stand_below_each_other_whatever_marks_the_names_bear() -> None:
    names = ["John", "ณัฐวุฒิ", "हिन्दी", "தமிழ்ச்செல்வி", "ស្រីមុំ", "ကျော်ကျော်", "מֹשֶׁה", "مُحَمَّد", "李雷", "김철수"]
    rows = table(*((name, "|") for name in names))
    assert len({get_cwidth(row) for row in rows}) == 1
