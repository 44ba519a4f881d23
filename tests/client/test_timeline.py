"""The timeline shows everything once, loses no own line, and knows who is here."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from chatmail.client import screen
from chatmail.client.timeline import Timeline
from chatmail.core import wire
from tests.client.scripted import NOW, direct, echo, message, person, welcome


def joined(*others: str, seq: int = 0) -> Timeline:
    timeline = Timeline("john", "p")
    timeline.receive(welcome("John", *others, seq=seq))
    return timeline


def test_a_repeated_entry_is_shown_once() -> None:
    timeline = joined()
    assert timeline.receive(message(1))
    assert timeline.receive(message(2))
    timeline.receive(welcome(seq=2))
    assert timeline.receive(message(1)) is None
    assert timeline.receive(message(2)) is None
    assert timeline.receive(message(3))


@given(st.lists(st.integers(0, 30)), st.data())
def test_however_often_a_server_repeats_itself_each_entry_is_shown_once_and_in_order(
    cuts: list[int], data: st.DataObject
) -> None:
    timeline = Timeline("John", "p")
    shown = []
    for cut in [*cuts, 30]:
        timeline.receive(welcome(seq=max(cut, timeline.seq), resumed=data.draw(st.booleans())))
        start = data.draw(st.integers(1, timeline.seq + 1))
        shown += [seq for seq in range(start, cut + 1) if timeline.receive(message(seq))]
    assert shown == list(range(1, 31))


def test_numbers_that_went_back_begin_anew() -> None:
    """The server's file was replaced by an older copy of it."""
    timeline = joined()
    timeline.receive(message(7))
    timeline.receive(welcome(seq=3))
    assert timeline.receive(message(3))
    assert timeline.receive(message(4))


def test_in_a_new_epoch_numbers_begin_anew() -> None:
    timeline = joined()
    timeline.receive(message(7))
    assert not timeline.is_another
    timeline.receive(welcome(epoch="e2"))
    assert timeline.resume == wire.Resume(epoch="e2", seq=0)
    assert timeline.is_another
    timeline.receive(welcome(epoch="e2"))
    assert not timeline.is_another
    assert timeline.receive(message(1))


def test_it_resumes_after_what_it_has_seen() -> None:
    timeline = Timeline("John", "p")
    assert timeline.resume is None
    timeline.receive(welcome(seq=41))
    timeline.receive(message(41))
    assert timeline.resume == wire.Resume(epoch="e1", seq=41)


def test_an_own_line_is_unconfirmed_until_it_comes_back() -> None:
    timeline = joined()
    line = timeline.keep(wire.Say(text="hi"))
    assert isinstance(line, wire.Say)
    assert timeline.unsaid == [line]
    news = timeline.receive(echo(line, 1))
    assert news is not None
    assert news.answered == line
    assert timeline.unsaid == []


def test_ids_are_never_used_twice() -> None:
    timeline = joined()
    ids = {timeline.keep(wire.Say(text="hi")).id for _ in range(10)}
    assert len(ids) == 10


def test_another_persons_message_with_the_same_id_confirms_nothing() -> None:
    timeline = joined()
    line = timeline.keep(wire.Say(text="hi"))
    timeline.receive(message(1, sender="Mary", id=str(line.id)))
    assert timeline.unsaid == [line]


def test_an_ack_confirms_a_line_that_was_accepted_before() -> None:
    timeline = joined()
    line = timeline.keep(wire.Say(text="hi"))
    assert timeline.receive(wire.Ack(id=line.id, seq=3)) is None
    assert timeline.unsaid == []


def test_an_error_settles_the_line_it_is_about() -> None:
    timeline = joined()
    line = timeline.keep(wire.Dm(to="Nobody", text="hi"))
    news = timeline.receive(wire.Error(code="no-such-person", text="nobody", id=line.id))
    assert news is not None
    assert news.answered == line
    assert timeline.unsaid == []


def test_unconfirmed_lines_are_sent_again_in_order_even_in_a_new_epoch() -> None:
    timeline = joined()
    lines = [timeline.keep(wire.Say(text="1")), timeline.keep(wire.Dm(to="Mary", text="2"))]
    timeline.keep(wire.Notify(when="never"))
    timeline.receive(welcome(epoch="e2"))
    assert timeline.again()[:2] == lines
    assert isinstance(timeline.again()[2], wire.Notify)


def test_being_away_is_said_again_after_a_reconnect() -> None:
    timeline = joined()
    away = timeline.keep(wire.Away(reason="lunch"))
    timeline.receive(wire.Ack(id=away.id))
    assert timeline.away == "lunch"
    assert timeline.again() == [wire.Away(reason="lunch")]
    back = timeline.keep(wire.Away())
    timeline.receive(wire.Ack(id=back.id))
    assert timeline.away is None
    assert timeline.again() == []


def test_a_choice_is_told_once_the_server_has_taken_it() -> None:
    timeline = joined()
    frame = timeline.keep(wire.Notify(when="never"))
    news = timeline.receive(wire.Ack(id=frame.id))
    assert news is not None
    assert news.answered == frame


def test_only_numbers_after_the_welcome_change_the_roster() -> None:
    timeline = joined("Mary", seq=5)
    timeline.receive(wire.Left(seq=4, time=NOW, name="Mary", reason=""))
    timeline.receive(wire.Joined(seq=5, time=NOW, name="Bob"))
    assert set(timeline.roster) == {"John", "Mary"}
    timeline.receive(wire.Joined(seq=6, time=NOW, name="Bob"))
    timeline.receive(wire.Left(seq=7, time=NOW, name="Mary", reason=""))
    assert set(timeline.roster) == {"John", "Bob"}
    assert timeline.total == 2


def test_a_list_of_people_replaces_the_roster() -> None:
    timeline = joined("Mary")
    timeline.receive(wire.People(people=[person("Zoe")], total=300))
    assert set(timeline.roster) == {"Zoe"}
    timeline.receive(wire.Left(seq=1, time=NOW, name="Unlisted", reason=""))
    assert timeline.total == 299


def test_own_comings_are_not_shown_but_count() -> None:
    timeline = Timeline("John", "p")
    timeline.receive(structs.replace(welcome("John"), people=[], total=0))
    news = timeline.receive(wire.Joined(seq=1, time=NOW, name="John"))
    assert timeline.total == 1
    assert news is not None
    assert screen.draw(news.frame, me="John") == []


def test_unread_counts_what_others_said_since_the_person_looked() -> None:
    timeline = joined()
    timeline.receive(message(1))
    timeline.receive(direct(2))
    timeline.receive(message(3, sender="John"))
    assert (timeline.unread, timeline.unread_direct) == (2, 1)
    timeline.mark_read()
    assert (timeline.unread, timeline.unread_direct) == (0, 0)


def test_the_bell_rings_for_directs_and_mentions_of_others_but_never_for_history() -> None:
    timeline = joined(seq=3)

    def rings(frame: wire.ServerFrame) -> bool:
        news = timeline.receive(frame)
        return news is not None and news.ring

    assert not rings(direct(1))
    assert not rings(message(2, "John!"))
    assert rings(direct(4))
    assert rings(message(5, "and you, john?"))
    assert not rings(message(6, "Johnny"))
    assert not rings(message(7, "I, John", sender="John"))
    assert not rings(direct(8, sender="John", to="Mary"))


def missed(timeline: Timeline, *frames: wire.ServerFrame) -> list[bool]:
    return [news is not None and news.missed for news in map(timeline.receive, frames)]


def test_what_others_said_after_what_was_seen_was_missed() -> None:
    timeline = Timeline("John", "p")
    timeline.receive(structs.replace(welcome("John", seq=5), seen=2))
    notice = wire.Notice(seq=4, time=NOW, text="tea")
    frames: list[wire.ServerFrame] = [message(2), message(3), notice, message(5, sender="John"), message(6)]
    assert missed(timeline, *frames) == [False, True, True, False, False]


def test_our_own_number_counts_where_the_server_has_an_older_one() -> None:
    timeline = Timeline("John", "p")
    timeline.receive(structs.replace(welcome("John", seq=1), seen=1))
    timeline.receive(message(2))
    timeline.receive(structs.replace(welcome("John", seq=3, resumed=True), seen=1))
    assert missed(timeline, message(2), message(3)) == [False, True]


def test_where_nobody_knows_what_was_seen_nothing_was_missed() -> None:
    timeline = joined(seq=3)
    assert missed(timeline, message(2), message(3)) == [False, False]
    timeline.receive(welcome(seq=5, epoch="e2"))
    assert missed(timeline, message(4), message(5)) == [False, False]


def test_what_was_missed_rings_after_a_resume() -> None:
    timeline = joined()
    timeline.receive(welcome(seq=4, resumed=True))
    news = timeline.receive(direct(4))
    assert news is not None
    assert news.ring


def test_the_latest_speaker_comes_first_once() -> None:
    timeline = joined()
    for seq, name in enumerate(["Mary", "Bob", "Mary", "John"], start=1):
        timeline.receive(message(seq, sender=name))
    assert timeline.speakers == ["Mary", "Bob"]


def test_r_answers_who_wrote_last_and_else_whom_we_wrote_to() -> None:
    timeline = joined()
    timeline.receive(direct(1, sender="John", to="Zoe"))
    assert timeline.partner == "Zoe"
    timeline.receive(direct(2, sender="Mary"))
    timeline.receive(direct(3, sender="John", to="Zoe"))
    assert timeline.partner == "Mary"


def test_what_was_said_long_ago_is_no_news() -> None:
    timeline = joined(seq=3)
    entries: list[wire.EntryFrame] = [message(1), direct(9, sender="Zoe"), message(10, "John!")]
    assert timeline.receive(wire.Page(entries=entries, more=True, id="x")) is None
    assert (timeline.seq, timeline.unread, timeline.speakers, timeline.partner) == (0, 0, [], None)
