"""Whatever others write is shown, drives no terminal, and can't pass for another line."""

import re
import unicodedata
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from chatmail.client import screen
from chatmail.client.entry import draw_folded
from chatmail.client.lookback import Found, LookBack
from chatmail.client.timeline import Timeline, mention_of
from chatmail.core import wire
from chatmail.terminal.text import CONTINUED, JOINT, plain, wrap
from tests.client.scripted import NOW, direct, message, person, welcome

texts = st.text() | st.text(
    st.sampled_from(
        "\x00\x07\x1b\x7f\x9b\r\n\t\u061c\u200b\u200d\u200f\u202e\u2028\u2066\ufeff\u00ad\U000e0041\u034f a"
    )
)
times = st.datetimes(timezones=st.just(UTC))
seqs = st.integers(0, wire.SEQ_MAX)
ids = st.just("i1")
people = st.builds(wire.Person, name=texts, since=times, away=texts)
frames: st.SearchStrategy[wire.ServerFrame] = st.one_of(
    st.builds(wire.Message, seq=seqs, time=times, sender=texts, text=texts | texts.map("/me {}".format), id=ids),
    st.builds(wire.Direct, seq=seqs, time=times, sender=texts, to=texts, text=texts, id=ids),
    st.builds(wire.Notice, seq=seqs, time=times, text=texts),
    st.builds(wire.Joined, seq=seqs, time=times, name=texts),
    st.builds(wire.Left, seq=seqs, time=times, name=texts, reason=texts),
    st.builds(
        wire.Welcome,
        name=texts,
        epoch=texts,
        seq=seqs,
        resumed=st.booleans(),
        token=texts,
        people=st.lists(people),
        total=st.integers(),
        notify=st.just("always"),
        motd=texts,
    ),
    st.builds(wire.Challenge, email=texts, expires=times),
    st.builds(wire.Ack, id=ids),
    st.builds(
        wire.Receipt,
        id=ids,
        seq=seqs,
        to=texts,
        online=st.booleans(),
        mail=st.sampled_from(["queued", "sent", "saved", "held", "failed", "off"]),
        detail=texts,
    ),
    st.builds(wire.People, people=st.lists(people), total=st.integers()),
    st.builds(wire.Gap, missed=st.integers()),
    st.builds(wire.Pong),
    st.builds(wire.Error, code=texts, text=texts, id=ids, field=texts),
    st.builds(wire.Bye, reason=texts, retry=st.booleans()),
)


def drives_nothing(text: str) -> bool:
    """No control, format, surrogate, private or line-separating character, but our own newlines and joined emoji."""
    text = JOINT.sub("", text)
    return all(
        char == "\n" or unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"} for char in text
    ) and not re.search("[\u034f\u115f\u1160\u2800\u3164\uffa0]", text)


def shown(
    frame: wire.ServerFrame, *, me: str = "John", answered: wire.Frame | None = None, away: str | None = None
) -> str:
    """The line without its time."""
    return re.sub(r"^\d\d:\d\d ", "", plain(screen.draw(frame, me=me, answered=answered, away=away)))


@given(frames, texts, st.sampled_from([None, wire.Say(text="x\x1b[2J"), wire.Away(reason="\x9b1m")]))
def test_any_frame_can_be_shown_and_drives_no_terminal(
    frame: wire.ServerFrame, me: str, answered: wire.Frame | None
) -> None:
    fragments = screen.draw(frame, me=me, answered=answered)
    assert drives_nothing(plain(fragments))
    assert plain(wrap(fragments, 20)).replace("\n", "").strip() is not None
    assert drives_nothing(plain(wrap(fragments, 20)))


@given(frames)
def test_every_line_but_the_first_is_marked(frame: wire.ServerFrame) -> None:
    _, *rest = plain(screen.draw(frame, me="John")).split("\n")
    assert all(line.startswith((CONTINUED, "!! ")) for line in rest)


def test_a_text_can_not_place_words_at_the_left_edge() -> None:
    """Not even one that knows the width of the terminal."""
    forged = "hi".ljust(80 - len("14:02 Mary: ")) + "14:03 Bob: I quit"
    lines = plain(wrap(screen.draw(message(1, forged), me="John"), 80)).split("\n")
    assert lines[1] == f"{CONTINUED}14:03 Bob: I quit"


@pytest.mark.parametrize(
    ("frame", "line"),
    [
        (message(1, "hello"), "Mary: hello"),
        (message(1, "two\nlines"), "Mary: two\n│ lines"),
        (message(1, "two\r\nlines"), "Mary: two\n│ lines"),
        (message(1, "/me waves"), "* Mary waves"),
        (message(1, "hello", sender="John"), "you: hello"),
        (message(1, "/me waves", sender="John"), "* John waves"),
        (direct(1, "lunch?"), "Mary → you (direct): lunch?"),
        (direct(1, "yes", sender="John", to="Mary"), "you → Mary (direct): yes"),
        (wire.Notice(seq=1, time=NOW, text="restart\nat noon"), "!! notice: restart\n│ at noon"),
        (wire.Joined(seq=1, time=NOW, name="Bob"), "+ Bob joined"),
        (wire.Left(seq=1, time=NOW, name="Bob", reason="kicked"), "- Bob left (kicked)"),
        (wire.Left(seq=1, time=NOW, name="Bob", reason=""), "- Bob left"),
        (wire.Left(seq=1, time=NOW, name="Bob", reason="left"), "- Bob left"),
        (wire.Joined(seq=1, time=NOW, name="John"), ""),
        (wire.Left(seq=1, time=NOW, name="John", reason="left"), ""),
        (wire.Gap(missed=1), "-- 1 message was missed: this connection was too far behind"),
        (wire.Gap(missed=1200), "-- 1,200 messages were missed: this connection was too far behind"),
        (wire.Bye(reason="kicked: spam", retry=False), "-- the server says goodbye: kicked: spam"),
        (wire.Error(code="too-fast", text="slow down"), "-- slow down"),
        (wire.Pong(), ""),
        (welcome("John"), "-- you are in as John, nobody else is here yet"),
        (welcome("John", "Mary", "Bob"), "-- you are in as John, with Mary and Bob"),
        (welcome("John", resumed=True), "-- connected again as John"),
    ],
)
def test_how_it_reads(frame: wire.ServerFrame, line: str) -> None:
    assert shown(frame) == line


def test_a_receipt_says_where_the_message_is() -> None:
    def receipt(mail: wire.MailState, *, online: bool = False, detail: str = "") -> str:
        return shown(wire.Receipt(seq=1, to="Mary", online=online, mail=mail, detail=detail))

    assert receipt("queued", online=True) == "-- Mary is here; an email is on its way as well"
    assert receipt("queued") == "-- Mary is not here now; an email is on its way as well"
    assert receipt("off") == "-- Mary is not here now; no email is sent"
    assert receipt("sent") == "-- the email to Mary is sent"
    assert "outbox" in receipt("saved")
    assert receipt("failed", detail="no such mailbox") == "-- the email to Mary failed: no such mailbox"
    assert "waits" in receipt("held")
    assert (
        receipt("off", online=True, detail="Mary wants no mail")
        == "-- Mary is here; no email is sent: Mary wants no mail"
    )
    late = receipt("off", online=True, detail="it was read in the chat, or is not wanted")
    assert late == "-- no email to Mary was needed: it was read in the chat, or is not wanted"


@pytest.mark.parametrize(("reason", "told"), [("away", "away"), ("lunch\x1b", "away (lunch\\x1b)")])
def test_who_is_away_is_not_called_here(reason: str, told: str) -> None:
    timeline = Timeline("John", "p")
    timeline.receive(structs.replace(welcome("John"), people=[person("John"), person("Mary", away=reason)]))
    news = timeline.receive(wire.Receipt(seq=1, to="Mary", online=True, mail="held"))
    assert news is not None
    assert shown(news.frame, away=news.away).startswith(f"-- Mary is {told}; the email waits")


@pytest.mark.parametrize(
    ("notify", "told"),
    [("never", "are never mailed to you"), ("away", "are mailed to you only while you are away"), ("always", "")],
)
def test_a_welcome_tells_what_is_mailed_unless_all_is(notify: wire.When, told: str) -> None:
    line = shown(structs.replace(welcome("John"), notify=notify))
    assert line.endswith(f"; direct messages {told} (/notify)" if told else "yet")


def test_a_refused_line_is_quoted() -> None:
    error = wire.Error(code="no-such-person", text="nobody is called Mery")
    line = shown(error, answered=wire.Dm(to="Mery", text="x" * 100))
    assert line == f"-- not sent: nobody is called Mery (your line was: {'x' * 60}…)"


def test_the_table_of_people() -> None:
    people = wire.People(people=[person("John"), person("Maximilian", away="lunch")], total=5)
    head, john, max_, more = plain(screen.draw(people, me="John")).split("\n")
    assert head == "-- 5 people are here"
    assert re.fullmatch(r"│ John        since 2026-11-22 \d\d:\d\d  \(you\)", john)
    assert re.fullmatch(r"│ Maximilian  since 2026-11-22 \d\d:\d\d  away: lunch", max_)
    assert more == "│ and 3 more"


def test_the_message_of_the_day_follows_the_welcome() -> None:
    frame = wire.Welcome(
        name="John",
        epoch="e",
        seq=0,
        resumed=False,
        token="t",
        people=[],
        total=1,
        notify="always",
        motd="Be kind\nand brief",
    )
    assert shown(frame).endswith("\n!! Be kind\n│ and brief")


@pytest.mark.parametrize("text", ["John", "@john: hi", "hey JOHN.", "(John)", "John's", "is it John?"])
def test_a_mention(text: str) -> None:
    assert mention_of("John").search(text)
    styles = [style for style, _ in screen.draw(message(1, text), me="John")]
    assert any("class:mention" in style for style in styles)


@pytest.mark.parametrize("text", ["Johnny", "St.John", "john.smith", "john-boy", "anti-john", "mc_john"])
def test_no_mention(text: str) -> None:
    assert not mention_of("John").search(text)


def test_own_lines_and_own_mentions_are_drawn_as_own() -> None:
    fragments = screen.draw(message(1, "I am John", sender="John"), me="John")
    assert ("class:own", "you") in fragments
    assert not any("mention" in style for style, _ in fragments)


def test_in_a_pipe_own_lines_begin_with_the_name() -> None:
    look = screen.Look(you="")
    assert plain(screen.draw(message(1, sender="John"), me="John", look=look)).endswith(" John: hello")
    found = Found(LookBack(), (message(1, sender="John"),), more=False)
    lines = screen.look_back(found, me="John", today=NOW.astimezone().date(), look=look)
    assert plain(lines[1]).endswith(" John: hello")


@pytest.mark.parametrize(
    ("moves", "line"),
    [
        ("+Ann", "+ Ann joined"),
        ("+Ann +Bob", "+ Ann and Bob joined"),
        ("+Ann +Bob +Cem", "+ Ann, Bob and Cem joined"),
        ("+Ann +Bob +Cem +Dan", "+ Ann, Bob and 2 more joined"),
        ("-Ann -Bob", "- Ann and Bob left"),
        ("-Eve +Ann +Bob +Cem +Dan +Fay", "+ Ann, Bob and 3 more joined; - Eve left"),
    ],
)
def test_many_who_come_and_go_make_one_line(moves: str, line: str) -> None:
    frames = [
        wire.Joined(seq=1, time=NOW, name=move[1:])
        if move[0] == "+"
        else wire.Left(seq=1, time=NOW, name=move[1:], reason="left")
        for move in moves.split()
    ]
    drawn = draw_folded(frames, "John")
    assert re.sub(r"^\d\d:\d\d ", "", plain(drawn)) == line
    assert plain([*drawn.time, *drawn.head])[-2:] == line[:2]


def test_a_name_has_one_colour_and_many_names_have_many() -> None:
    assert screen.name_style("Mary") == screen.name_style("mary")
    assert len({screen.name_style(f"name{number}") for number in range(200)}) == len(screen.PALETTE)


@pytest.mark.parametrize("colour", screen.PALETTE)
def test_names_are_readable_on_black_and_on_white(colour: str) -> None:
    """Contrast as WCAG 2.2 counts it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    assert (luminance + 0.05) / 0.05 >= 3.5
    assert 1.05 / (luminance + 0.05) >= 3.5


def test_times_at_the_end_of_the_calendar() -> None:
    assert screen.clock(datetime.max.replace(tzinfo=UTC))
    assert screen.clock(datetime.min.replace(tzinfo=UTC))
    assert screen.clock(datetime.max.replace(tzinfo=timezone(timedelta(hours=-23)))) == "23:59"
    assert screen.clock(datetime.min.replace(tzinfo=timezone(timedelta(hours=23)))) == "00:00"


def test_the_day_is_said_where_it_changes() -> None:
    days = screen.Days(date(2026, 11, 22))
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)  # the same date in nearly all of the world
    assert days.before(wire.Notice(seq=1, time=noon - timedelta(days=1), text="x")) == screen.status(
        "Saturday, 2026-11-21"
    )
    assert days.before(wire.Notice(seq=2, time=noon - timedelta(days=1), text="x")) == []
    assert days.before(wire.Pong()) == []
    assert plain(days.before(wire.Notice(seq=3, time=noon, text="x"))) == "-- Sunday, 2026-11-22"


def test_what_was_chosen_is_confirmed() -> None:
    ack = wire.Ack(id="i1")
    assert shown(ack, answered=wire.Notify(when="always")).endswith("always sent by email as well")
    assert shown(ack, answered=wire.Notify(when="away")).endswith("while you are away")
    assert shown(ack, answered=wire.Notify(when="never")).endswith("never sent by email")
    assert shown(ack, answered=wire.Away(reason="lunch")) == "-- you are away: lunch"
    assert shown(ack, answered=wire.Away()) == "-- you are back"
    assert shown(ack) == ""


@pytest.mark.parametrize(
    ("notify", "told"), [("always", None), ("away", "only while you are away"), ("never", "are never mailed")]
)
def test_the_welcome_tells_when_mail_is_not_always_wanted(notify: wire.When, told: str | None) -> None:
    text = plain(screen.draw(structs.replace(welcome(), notify=notify), me="John"))
    assert ("mailed" in text) == (told is not None)
    assert told is None or told in text


# Looking back.

entries: st.SearchStrategy[wire.EntryFrame] = st.one_of(
    st.builds(wire.Message, seq=seqs, time=times, sender=texts, text=texts, id=ids),
    st.builds(wire.Direct, seq=seqs, time=times, sender=texts, to=texts, text=texts, id=ids),
    st.builds(wire.Notice, seq=seqs, time=times, text=texts),
)


def looked_back(count: int, *, asked: int = 20, words: str | None = None, more: bool = False) -> list[str]:
    """The lines when so many are found, without their times."""
    found = Found(LookBack(asked, words), tuple(message(seq) for seq in range(count)), more)
    lines = screen.look_back(found, me="John", today=NOW.astimezone().date())
    return [re.sub(r"^\d\d:\d\d ", "", plain(line)) for line in lines]


@pytest.mark.parametrize(
    ("lines", "head", "end"),
    [
        (looked_back(20, more=True), "the last 20 messages:", "end of the look back; /history 40 shows more"),
        (looked_back(3), "the last 3 messages:", "end of the look back; there is nothing older"),
        (looked_back(1), "the last message:", "end of the look back; there is nothing older"),
        (
            looked_back(700, asked=700, more=True),
            "the last 700 messages:",
            "end of the look back; /history 1000 shows more",
        ),
        (
            looked_back(1000, asked=1000, more=True),
            "the last 1,000 messages:",
            "end of the look back; there are older ones: /search finds them",
        ),
        (looked_back(3, words="tea"), "3 messages with 'tea':", "end of the search"),
        (looked_back(1, words="tea"), "1 message with 'tea':", "end of the search"),
        (
            looked_back(20, words="tea", more=True),
            "the newest 20 messages with 'tea':",
            "end of the search; there are older ones: add a word to narrow it",
        ),
    ],
)
def test_a_look_back_has_a_head_and_an_end(lines: list[str], head: str, end: str) -> None:
    assert (lines[0], lines[-1]) == (f"-- {head}", f"-- {end}")
    assert set(lines[1:-1]) == {"Mary: hello"}


def test_a_look_back_that_finds_nothing_says_so() -> None:
    assert looked_back(0) == ["-- nothing was said yet"]
    assert looked_back(0, words="tea") == ["-- nothing was said with 'tea'"]


def test_a_look_back_tells_the_days() -> None:
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)  # the same date in nearly all of the world
    ages = enumerate((2, 2, 1, 0))
    said = [wire.Notice(seq=seq, time=noon - timedelta(days=days), text="x") for seq, days in ages]
    lines = screen.look_back(Found(LookBack(), tuple(said), more=False), me="John", today=date(2026, 11, 22))
    assert [plain(line) for line in lines if line[0] == ("class:status", "-- ")][1:-1] == [
        "-- Friday, 2026-11-20",
        "-- Saturday, 2026-11-21",
        "-- Sunday, 2026-11-22",
    ]
    assert len(lines) == 9
    today = Found(LookBack(), tuple(said[-1:]), more=False)
    assert len(screen.look_back(today, me="John", today=date(2026, 11, 22))) == 3


@given(st.lists(entries), texts | st.none(), st.booleans(), texts)
def test_any_look_back_can_be_shown_and_drives_no_terminal(
    said: list[wire.EntryFrame], words: str | None, more: bool, me: str
) -> None:
    for line in screen.look_back(Found(LookBack(words=words), tuple(said), more), me=me, today=NOW.date()):
        assert drives_nothing(plain(line))
        _, *rest = plain(line).split("\n")
        assert all(each.startswith(CONTINUED) for each in rest)
