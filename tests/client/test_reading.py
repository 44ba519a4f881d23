"""What somebody reads: lines in order, with marks that say what is new, and a bell that is worth looking up for."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from chatmail.client.entry import Look
from chatmail.client.reading import END, HELD, IDLE, LOST, Reading, Row
from chatmail.client.screen import clock
from chatmail.client.timeline import Timeline
from chatmail.core import wire
from chatmail.terminal.display import desktop_notice
from chatmail.terminal.text import plain
from tests.client.scene import ENTER, scene
from tests.client.scripted import NOW, direct, message, welcome

LATER = NOW + IDLE


class Reader:
    """Somebody who reads; the clock is set by hand."""

    def __init__(self, *, look: Look | None = None) -> None:
        self.timeline = Timeline("John", "p")
        self.reading = Reading(self.timeline, NOW, look or Look())
        self.now = NOW

    def get(self, *frames: wire.ServerFrame) -> list[str]:
        """The lines that these bring, without their times."""
        return lines(self.rows(*frames))

    def rows(self, *frames: wire.ServerFrame) -> list[Row]:
        rows = []
        for frame in frames:
            if news := self.timeline.receive(frame):
                rows += self.reading.news(news, self.now)
        return rows


def lines(rows: list[Row]) -> list[str]:
    return [re.sub(r"^\d\d:\d\d ", "", plain(row.line)) for row in rows]


def joined(*, seq: int = 0) -> Reader:
    reader = Reader()
    reader.get(welcome("John", "Mary", "Bob", seq=seq))
    return reader


def came(seq: int, name: str) -> wire.Joined:
    return wire.Joined(seq=seq, time=NOW, name=name)


def back(seq: int, seen: int) -> wire.Welcome:
    return structs.replace(welcome("John", seq=seq), seen=seen)


# What came while nobody was looking.


def test_what_comes_after_a_minute_without_a_key_is_marked_once() -> None:
    john = joined()
    assert john.get(message(1, "one")) == ["Mary: one"]
    john.now = LATER
    assert john.get(message(2, "two")) == [f"── new since {clock(NOW)} ──", "Mary: two"]
    assert john.get(message(3, "three")) == ["Mary: three"]
    john.now += IDLE
    assert john.get(message(4, "four")) == ["Mary: four"]
    john.timeline.mark_read()
    john.reading.pressed(john.now)
    assert john.get(message(5, "five")) == ["Mary: five"]


def test_a_key_is_a_sign_of_somebody_who_looks() -> None:
    john = joined()
    john.reading.pressed(NOW + IDLE / 2)
    john.now = LATER
    assert john.get(message(1)) == ["Mary: hello"]


def test_who_is_away_sees_nothing() -> None:
    john = joined()
    john.timeline.away = "lunch"
    assert john.get(message(1))[0] == f"── new since {clock(NOW)} ──"


def test_all_since_the_time_of_the_marker_stands_below_it_and_is_what_counts_as_new() -> None:
    """Within the first minute somebody may have looked or not: what they missed then, no mark can tell."""
    john = joined()
    soon, late = (structs.replace(message(seq), time=NOW + IDLE * seq - timedelta(seconds=1)) for seq in (1, 3))
    john.now = soon.time
    assert john.get(soon, direct(2)) == ["Mary: hello", "Mary → you (direct): lunch?"]
    assert (john.timeline.unread, john.timeline.unread_direct) == (2, 1)
    john.now = late.time
    assert john.get(late) == [f"── new since {clock(late.time)} ──", "Mary: hello"]
    assert (john.timeline.unread, john.timeline.unread_direct) == (1, 0)
    john.get(direct(4), wire.Notice(seq=5, time=NOW, text="tea"))
    assert (john.timeline.unread, john.timeline.unread_direct) == (3, 1)


def test_what_was_missed_is_what_counts_as_new_and_what_comes_after_it() -> None:
    john = joined()
    john.get(message(1))
    shown = john.get(welcome(seq=3, resumed=True), message(2), direct(3), message(4))
    assert shown[1] == "── while you were away (2 new) ──"
    assert (john.timeline.unread, john.timeline.unread_direct) == (3, 1)


def test_who_is_back_is_told_how_much_came() -> None:
    john = joined()

    def says(frame: wire.Away, seq: int) -> list[str]:
        john.timeline.mark_read()
        return john.get(message(seq), wire.Ack(id=john.timeline.keep(frame).id))

    says(wire.Away(reason="lunch"), 1)
    john.get(*(message(seq) for seq in range(2, 5)), direct(5), message(6, sender="John"))
    assert says(wire.Away(), 7)[-1] == "-- you are back; 5 new while you were away"
    assert says(wire.Away(), 8)[-1] == "-- you are back"


# Who comes in.


def test_who_comes_in_reads_what_was_said_and_then_who_is_here() -> None:
    john = Reader()
    entered = structs.replace(welcome("John", "Mary", seq=2), motd="tea at four")
    assert john.get(entered, message(1, "one"), message(2, "two"), message(3, "three")) == [
        "Mary: one",
        "Mary: two",
        "-- end of what was said before",
        "-- you are in as John, with Mary\n!! tea at four",
        "Mary: three",
    ]


def test_who_comes_in_waits_for_no_more_than_a_second() -> None:
    john = Reader()
    assert john.get(welcome("John", "Mary", seq=9)) == []
    assert john.reading.due == NOW + HELD
    assert lines(john.reading.tick(NOW + HELD)) == ["-- you are in as John, with Mary"]
    assert john.reading.due is None
    assert john.get(message(9)) == ["Mary: hello"]


def test_where_nothing_was_said_who_is_here_is_told_at_once() -> None:
    assert Reader().get(welcome("John", "Mary")) == ["-- you are in as John, with Mary"]


def test_own_lines_and_comings_are_nothing_new() -> None:
    john = joined()
    john.now = LATER
    assert john.get(message(1, sender="John"), came(2, "Ann")) == ["you: hello", "+ Ann joined"]
    assert john.get(direct(3))[0].startswith("──")


def test_history_is_nothing_new() -> None:
    john = joined(seq=3)
    john.now = LATER
    assert john.get(message(1), message(2))[1:] == ["Mary: hello"] * 2
    assert john.timeline.unread == 0


# What was missed.


ENTERED = [f"-- {END}", "-- you are in as John, nobody else is here yet"]


def test_a_fresh_start_tells_what_was_not_seen_and_how_much() -> None:
    john = Reader()
    shown = john.get(back(9, 4), message(3, "old"), message(5, "one"), message(6, "mine", sender="John"), direct(8))
    assert shown == []  # there may be more
    assert john.get(came(10, "John")) == [
        "Mary: old",
        "── while you were away (2 new) ──",
        "Mary: one",
        "you: mine",
        "Mary → you (direct): lunch?",
        *ENTERED,
    ]


def test_where_the_server_has_lost_something_what_it_tells_again_is_below_a_marker() -> None:
    john = joined()
    john.get(message(1, "kept"), message(2, "lost"))
    again = welcome("John", seq=1, epoch="e2")
    assert john.get(again, message(1, "kept")) == [f"── {LOST} ──", "Mary: kept", *ENTERED]
    assert john.get(message(2, "new")) == ["Mary: new"]


def test_the_last_number_there_was_ends_it() -> None:
    john = Reader()
    assert john.get(back(5, 4), message(5)) == ["── while you were away (1 new) ──", "Mary: hello", *ENTERED]


def test_so_does_an_answer_to_anything() -> None:
    john = Reader()
    assert john.get(back(9, 4), message(5), wire.People(people=[], total=3))[:4] == [
        "── while you were away (1 new) ──",
        "Mary: hello",
        *ENTERED,
    ]


def test_who_has_seen_all_reads_the_history_without_a_marker() -> None:
    john = Reader()
    assert john.get(back(9, 9), message(8), message(9)) == ["Mary: hello", "Mary: hello", *ENTERED]


def test_nor_is_there_one_where_nobody_knows() -> None:
    john = Reader()
    assert john.get(welcome(seq=9), message(8), message(9)) == ["Mary: hello", "Mary: hello", *ENTERED]


def test_own_lines_alone_need_none() -> None:
    john = Reader()
    assert john.get(back(9, 4), message(9, sender="John")) == ["you: hello", *ENTERED]


def test_a_server_that_takes_its_time_is_not_waited_for() -> None:
    """Then nobody knows how much there is."""
    john = Reader()
    john.get(back(9, 4), message(5, "one"))
    assert john.reading.due == NOW + HELD
    assert lines(john.reading.tick(NOW + HELD)) == ["── while you were away ──", "Mary: one", *ENTERED]
    assert john.get(message(6, "two")) == ["Mary: two"]
    late = Reader()
    late.get(back(9, 4))
    late.now += HELD
    assert late.get(message(5)) == [ENTERED[-1], "── while you were away ──", "Mary: hello"]


def test_one_that_sends_bit_by_bit_is_waited_for_as_long_as_it_sends() -> None:
    john = Reader()
    told = john.get(back(9, 4), message(5, "one"))
    for seq in range(6, 9):
        john.now += HELD * 0.9
        told += john.get(message(seq, "more"))
    assert told == []
    assert john.get(message(9, "last"))[0] == "── while you were away (5 new) ──"


def test_what_is_below_the_marker_is_what_is_counted() -> None:
    john = joined()
    john.get(message(1))
    assert john.timeline.unread == 1
    john.get(welcome(seq=5, resumed=True), came(2, "Ann"), wire.Gap(missed=7), message(4), message(5))
    assert john.timeline.unread == 2


def test_what_a_resumed_connection_brings_was_missed_and_rings() -> None:
    john = joined()
    john.get(message(1))
    rows = john.rows(welcome(seq=4, resumed=True), came(2, "Ann"), message(3, "John?"), message(4, "two"))
    assert lines(rows)[1:] == ["── while you were away (2 new) ──", "+ Ann joined", "Mary: John?", "Mary: two"]
    assert [row.call for row in rows if row.call] == ["Mary: John?"]


def test_a_gap_stands_among_what_was_missed() -> None:
    john = joined()
    john.get(message(1))
    shown = john.get(welcome(seq=90, resumed=True), wire.Gap(missed=70), message(90))
    assert shown[1] == "── while you were away (1 new) ──"
    assert shown[2].startswith("-- 70 messages were missed")


def test_a_connection_that_breaks_again_loses_nothing() -> None:
    john = joined()
    john.get(message(1), welcome(seq=4, resumed=True), message(2, "two"))
    assert john.get(welcome(seq=4, resumed=True), message(3, "three"), message(4, "four")) == [
        "── while you were away ──",
        "Mary: two",
        "-- connected again as John",
        "── while you were away (2 new) ──",
        "Mary: three",
        "Mary: four",
    ]


def test_who_is_away_gets_one_marker_for_both() -> None:
    john = joined()
    john.now = LATER
    assert john.get(message(1))[0].startswith("── new since")
    john.timeline.mark_read()
    shown = john.get(welcome(seq=2, resumed=True), message(2), message(3))
    assert [line for line in shown if "──" in line] == ["── while you were away (1 new) ──"]


# Comings and goings.


def test_quiet_people_are_folded_into_one_line_before_the_next() -> None:
    john = joined()
    assert john.get(came(1, "Ann")) == ["+ Ann joined"]
    assert john.get(*(came(seq, f"p{seq}") for seq in range(2, 7))) == []
    assert john.get(wire.Left(seq=7, time=NOW, name="Eve", reason="left")) == []
    rows = john.rows(message(8))
    assert lines(rows) == ["+ p2, p3 and 3 more joined; - Eve left", "Mary: hello"]
    assert rows[0].seq == 7


def test_or_when_half_a_minute_is_over() -> None:
    john = joined()
    john.get(came(1, "Ann"), came(2, "Bob"), came(3, "Cem"))
    assert john.reading.due is not None
    assert lines(john.reading.tick(john.reading.due)) == ["+ Bob and Cem joined"]
    assert john.reading.due is None


def test_one_alone_is_told_as_ever() -> None:
    john = joined()
    john.get(came(1, "Ann"), wire.Left(seq=2, time=NOW, name="Eve", reason="connection lost"))
    assert lines(john.reading.flush()) == ["- Eve left (connection lost)"]


def test_at_the_end_all_is_told() -> None:
    john = joined()
    john.get(came(1, "Ann"), came(2, "Bob"), welcome(seq=4, resumed=True), message(3))
    assert lines(john.reading.end()) == ["── while you were away ──", "Mary: hello"]


@given(st.data())
def test_everything_that_was_said_is_read_once_and_in_order(data: st.DataObject) -> None:
    john = joined()
    texts = []
    seq = 0
    for _ in range(data.draw(st.integers(0, 20))):
        seq += data.draw(st.integers(1, 3))
        match data.draw(st.sampled_from("mjwtkg")):
            case "m":
                texts += john.get(message(seq, f"#{seq}"))
            case "j":
                texts += john.get(came(seq, f"p{seq}"))
            case "w":
                base = seq + data.draw(st.integers(0, 9))
                texts += john.get(welcome(seq=base, resumed=data.draw(st.booleans())))
            case "t":
                john.now += timedelta(seconds=data.draw(st.integers(0, 99)))
                texts += lines(john.reading.tick(john.now))
            case "k":
                john.reading.pressed(john.now)
                john.timeline.mark_read()
            case "g":
                texts += john.get(wire.Gap(missed=1))
    texts += lines(john.reading.end())
    said = [int(text.partition("#")[2]) for text in texts if "#" in text]
    assert said == sorted(set(said))
    assert john.reading.due is None


# The look.


def test_times_look_as_wanted() -> None:
    def first(look: Look) -> str:
        reader = Reader(look=look)
        return plain(reader.rows(welcome(), message(1))[-1].line)

    assert first(Look(times="")) == "Mary: hello"
    assert re.fullmatch(r"\d\d:\d\d:\d\d Mary: hello", first(Look(times="%H:%M:%S")))
    assert "\x1b" not in first(Look(times="%H\x1b"))


def test_the_day_comes_before_the_line_and_after_the_marker() -> None:
    john = Reader()
    john.get(welcome(seq=1))
    old = structs.replace(message(1), time=datetime(2026, 1, 1, 12, tzinfo=UTC))
    assert john.get(old) == ["-- Thursday, 2026-01-01", "Mary: hello", *ENTERED]
    john.now = LATER
    shown = john.get(message(2))
    assert shown[0].startswith("── new since")
    assert shown[1].startswith("-- Sunday, 2026-11-2")


# The bell, and the desktop.


@pytest.mark.parametrize(("bell", "rung"), [("all", ["lunch?", "hey John"]), ("direct", ["lunch?"]), ("off", [])])
async def test_the_bell_rings_for_what_is_wanted(bell: str, rung: list[str]) -> None:
    async with scene(bell=bell) as john:
        heard = []
        said: tuple[wire.Message | wire.Direct, ...] = (
            message(1, "hello"),
            direct(3, "lunch?"),
            message(5, "hey John"),
            message(7, "I, John", "John"),
        )
        for number, frame in enumerate(said):
            before = john.terminal.raw.count("\a")
            john.visit.send(frame)
            await john.terminal.shows(frame.text)
            john.visit.send(message(frame.seq + 1, f"after {number}"))  # the bell follows its line
            await john.terminal.shows(f"after {number}\n>")
            heard += [frame.text] * (john.terminal.raw.count("\a") - before)
        assert heard == rung


async def test_many_lines_at_once_ring_once() -> None:
    async with scene(notice="osc9") as john:
        john.visit.send(*(direct(seq, f"number {seq}") for seq in range(1, 9)))
        await john.terminal.shows("number 8\n>")
        assert john.terminal.raw.count("\a") == 2  # the bell itself, and the end of one notice
        assert "\x1b]9;Mary (direct): number 8\x07" in john.terminal.raw


async def test_the_desktop_is_told_of_what_rings_and_of_nothing_else() -> None:
    async with scene(notice="osc777", bell="off") as john:
        john.visit.send(message(1, "hello"), direct(2, "mine", sender="John", to="Mary"))
        await john.terminal.shows("mine\n>")
        assert "]777" not in john.terminal.raw
        john.visit.send(message(3, "John,\n\x1b]0;title\x07 see;there\x9c"))
        await john.terminal.until(lambda: "]777" in john.terminal.raw)
        notice = "\x1b]777;notify;chatmail;Mary: John, \\x1b]0,title\\x07 see,there\\x9c\x07"
        assert notice in john.terminal.raw
        assert john.terminal.raw.count("\a") == 1  # its end


@given(st.text())
def test_a_notice_is_one_sequence_whatever_is_in_it(text: str) -> None:
    for how, begin in (("osc9", "\x1b]9;"), ("osc777", "\x1b]777;notify;chatmail;")):
        sequence = desktop_notice(text, how)  # type: ignore[arg-type]
        shown = sequence.removeprefix(begin).removesuffix("\x07")
        assert sequence == f"{begin}{shown}\x07"
        assert len(shown) <= 100
        assert ";" not in shown
        assert not re.search("[\x00-\x1f\x7f-\x9f]", shown)
    assert desktop_notice(text, "off") == ""


# At a terminal.


async def test_further_lines_and_rows_stand_below_the_text() -> None:
    async with scene(message(1, "one\n" + "two " * 20), direct(2, "three\nfour")) as john:
        await john.terminal.shows("four")
        assert lines_of(john.terminal.lines)[1:6] == [
            "Mary: one",
            f"{' ' * 12}│{' two' * 16}",
            f"{' ' * 12}│{' two' * 4}",
            "Mary → you (direct): three",
            f"{' ' * 6}│ four",  # that head is wider than a third of the row
        ]


async def test_wide_characters_take_two_cells_wherever_a_row_ends() -> None:
    async with scene(message(1, "猫" * 40), message(2, "one 🚀 " * 12)) as john:
        await john.terminal.until(lambda: john.terminal.text.count("🚀") == 12)
        assert [line.rstrip() for line in lines_of(john.terminal.lines)[1:5]] == [
            f"Mary: {'猫' * 33}",
            f"{' ' * 12}│ {'猫' * 7}",
            f"Mary: {'one 🚀 ' * 9}one",
            f"{' ' * 12}│ 🚀 one 🚀 one 🚀",
        ]


async def test_a_link_longer_than_a_row_can_still_be_followed() -> None:
    link = f"https://example.org/{'way/' * 30}end"
    async with scene(message(1, f"see {link}"), message(2, "there")) as john:
        await john.terminal.shows("there")
        assert link in "".join(john.terminal.lines)


async def test_lines_of_another_day_stand_below_its_name() -> None:
    first, second = (structs.replace(message(seq), time=NOW - timedelta(days=3 - seq)) for seq in (1, 2))
    async with scene(join=False) as john:
        await john.visit.admit(first, second, answer=welcome("John", "Mary", seq=2))
        await john.terminal.until(lambda: john.terminal.text.count("Mary: hello") == 2)
        shown = lines_of(john.terminal.lines)[:4]
        assert shown == [
            f"-- {clock(NOW - timedelta(days=2), '%A, %Y-%m-%d')}",
            "Mary: hello",
            f"-- {clock(NOW - timedelta(days=1), '%A, %Y-%m-%d')}",
            "Mary: hello",
        ]


async def test_colours_tell_who_and_how() -> None:
    notice = wire.Notice(seq=5, time=NOW, text="tea")
    said = (message(1, "hey @John"), message(2, "mine", "John"), message(3, sender="Bob"), direct(4), notice)
    async with scene(*said) as john:
        await john.terminal.shows("notice: tea")
        look = john.terminal.look
        assert look("Mary: ").bold
        assert look("Mary: ").fg == look("Mary → ").fg != look("Bob: ").fg
        assert look("hey").fg == look("mine").fg == "default"
        assert look("@John").reverse
        assert not look("hey").reverse
        assert look("you: ").underscore
        assert look("you (direct)").underscore
        assert len({look(text).fg for text in (clock(NOW), "(direct)", "!! notice", "hey")}) == 4


async def test_a_fresh_start_shows_where_the_new_begins() -> None:
    async with scene(join=False) as john:
        answer = structs.replace(welcome("John", "Mary", seq=3), seen=1)
        await john.visit.admit(message(1, "old"), message(2, "new"), message(3, "newer"), answer=answer)
        await john.terminal.shows("newer")
        assert lines_of(john.terminal.lines)[:6] == [
            "Mary: old",
            "── while you were away (2 new) ──",
            "Mary: new",
            "Mary: newer",
            f"-- {END}",
            "-- you are in as John, with Mary",
        ]


async def test_a_server_that_stalls_keeps_nothing_from_the_screen() -> None:
    async with scene(join=False) as john:
        answer = structs.replace(welcome("John", "Mary", seq=3), seen=1)
        await john.visit.admit(message(2, "new"), answer=answer)
        await john.terminal.shows("── while you were away ──")
        await john.terminal.shows("Mary: new")


async def test_who_is_away_finds_a_marker_until_the_next_enter() -> None:
    async with scene() as john:
        john.terminal.type("/away" + ENTER)
        john.visit.send(wire.Ack(id=(await john.visit.expect(wire.Away)).id), message(1, "one"), message(2, "two"))
        await john.terminal.shows("two")
        assert len([line for line in john.terminal.lines if line.startswith("── new since ")]) == 1
        john.terminal.type(ENTER)
        await john.terminal.until(lambda: "new" not in john.terminal.toolbar)
        john.visit.send(message(3, "three"))
        await john.terminal.shows("three")
        assert len([line for line in john.terminal.lines if line.startswith("── new since ")]) == 2


async def test_quiet_people_come_in_one_line_before_what_is_said() -> None:
    async with scene(came(1, "Ann"), came(2, "Bob"), came(3, "Cem"), message(4)) as john:
        await john.terminal.shows("Mary: hello")
        assert lines_of(john.terminal.lines)[1:4] == ["+ Ann joined", "+ Bob and Cem joined", "Mary: hello"]


async def test_what_still_waits_is_shown_at_the_end() -> None:
    async with scene(came(1, "Ann"), came(2, "Bob")) as john:
        await john.terminal.shows("Ann joined")
        john.visit.send(wire.Bye(reason="kicked", retry=False))
        await john.ending
        assert "+ Bob joined" in john.terminal.text


async def test_without_times_lines_begin_with_names() -> None:
    async with scene(message(1, "one\ntwo"), times="") as john:
        await john.terminal.shows("two")
        assert lines_of(john.terminal.lines)[1:3] == ["Mary: one", "      │ two"]


async def test_how_far_was_read_is_reported_before_leaving() -> None:
    async with scene(message(7)) as john:
        await john.terminal.shows("Mary: hello")
        john.terminal.type("/quit" + ENTER)
        assert (await john.visit.expect(wire.Ping)).seq == 7
        await john.visit.expect(wire.Leave)
        john.visit.cut()


def lines_of(rows: list[str]) -> list[str]:
    """Without their times, and without the name of the day: mostly, NOW is not today."""
    return [re.sub(r"^\d\d:\d\d ", "", row) for row in rows if not row.startswith(f"-- {clock(NOW, '%A, %Y-%m-%d')}")]
