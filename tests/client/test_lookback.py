"""A look back asks for page after page until its answer is whole, and always comes to an end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, structs

from chatmail.client.lookback import HISTORY_MAX, Asked, Found, LookBack, LookBacks, NotFound
from chatmail.core import wire
from chatmail.core.decoder import Decoder
from tests.client.scripted import message, page

SAID = [message(seq, f"number {seq}") for seq in range(1, 251)]


def receive(look_backs: LookBacks, frame: wire.ServerFrame) -> Found:
    """The answer, which this frame completes."""
    found = look_backs.receive(frame)
    assert isinstance(found, Found)
    return found


def test_one_page_is_an_answer() -> None:
    look_backs = LookBacks()
    asked = look_backs.begin(LookBack())
    assert asked == wire.History(count=20, id=asked.id)
    assert len(look_backs) == 1
    assert receive(look_backs, page(SAID, asked)) == Found(LookBack(), tuple(SAID[-20:]), more=True)
    assert len(look_backs) == 0


def test_a_search_asks_for_its_words() -> None:
    look_backs = LookBacks()
    asked = look_backs.begin(LookBack(words="number 24"))
    assert asked == wire.Search(words="number 24", count=20, id=asked.id)
    found = receive(look_backs, page(SAID, asked))
    assert found == Found(LookBack(words="number 24"), (SAID[23], *SAID[239:249]), more=False)


def test_what_one_page_does_not_bring_the_next_ones_do() -> None:
    look_backs = LookBacks()
    first = look_backs.begin(LookBack(count=230))
    second = look_backs.receive(page(SAID, first))
    assert second == wire.History(count=100, before=151, id=first.id)
    third = look_backs.receive(page(SAID, second))
    assert third == wire.History(count=30, before=51, id=first.id)
    assert receive(look_backs, page(SAID, third)).entries == tuple(SAID[-230:])


@given(
    said=st.integers(0, len(SAID)),
    count=st.integers(1, HISTORY_MAX),
    most=st.integers(1, wire.COUNT_MAX),
    words=st.sampled_from([None, "number", "1"]),
)
def test_however_little_a_page_holds_all_is_found_once_and_in_order(
    said: int, count: int, most: int, words: str | None
) -> None:
    look_backs = LookBacks()
    heard = SAID[:said]
    outcome: Asked | Found | NotFound | None = look_backs.begin(LookBack(count, words))
    while isinstance(outcome, Asked):
        assert list(Decoder[wire.ClientFrame](wire.ClientFrame).feed(wire.encode(outcome))) == [outcome]
        outcome = look_backs.receive(page(heard, outcome, most))
    matching = [frame for frame in heard if words is None or words in frame.text]
    assert outcome == Found(LookBack(count, words), tuple(matching[-count:]), more=len(matching) > count)


def test_a_server_that_brings_nothing_older_is_asked_no_further() -> None:
    """Whatever it promises."""
    for entries in ([], SAID[-10:]):
        look_backs = LookBacks()
        asked = look_backs.begin(LookBack(count=50))
        endless = wire.Page(entries=list(entries), more=True, id=asked.id)
        outcome = look_backs.receive(endless)
        if entries:
            assert outcome == wire.History(count=40, before=241, id=asked.id)
            outcome = look_backs.receive(endless)
        assert outcome == Found(LookBack(count=50), tuple(entries), more=True)


def test_no_more_is_shown_than_was_asked_for() -> None:
    look_backs = LookBacks()
    asked = look_backs.begin(LookBack(count=2))
    found = receive(look_backs, wire.Page(entries=list(SAID), more=False, id=asked.id))
    assert (found.entries, found.more) == (tuple(SAID[-2:]), True)


def test_answers_are_matched_to_their_questions() -> None:
    look_backs = LookBacks()
    first, second = look_backs.begin(LookBack()), look_backs.begin(LookBack(words="99"))
    assert first.id != second.id
    assert receive(look_backs, page(SAID, second)).wanted == LookBack(words="99")
    assert receive(look_backs, page(SAID, first)).wanted == LookBack()


def test_what_is_about_none_of_them_is_left_to_others() -> None:
    look_backs = LookBacks()
    asked = look_backs.begin(LookBack())
    answer = page(SAID, asked)
    for id in ("another", UNSET):
        assert look_backs.receive(structs.replace(answer, id=id)) is None
        assert look_backs.receive(wire.Error(code="too-long", text="too long", id=id)) is None
    assert look_backs.receive(SAID[0]) is None
    assert receive(look_backs, answer)
    assert look_backs.receive(answer) is None


@pytest.mark.parametrize(
    ("text", "told"), [("the disk is full", "not looked for: the disk is full"), ("", "not looked for: unavailable")]
)
def test_a_refusal_ends_it(text: str, told: str) -> None:
    look_backs = LookBacks()
    asked = look_backs.begin(LookBack())
    assert look_backs.receive(wire.Error(code="unavailable", text=text, id=asked.id)) == NotFound(told)
    assert not look_backs


def test_all_of_them_end_with_the_connection() -> None:
    look_backs = LookBacks()
    asked = [look_backs.begin(LookBack()), look_backs.begin(LookBack(words="99"))]
    assert look_backs.lose() == [NotFound("no answer: the connection was lost; ask again")] * 2
    assert not look_backs
    assert not look_backs.lose()
    assert look_backs.begin(LookBack()).id not in {frame.id for frame in asked}
