"""A session's answers: in the order of its frames, after what the store and the journal owe it."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from chatmail.core.journal import READ_MAX
from chatmail.core.session import IN_FLIGHT_MAX, OWED_MAX, Session
from chatmail.core.wire import Ack, Bye, Code, Error, Gap, Pong, Refused, encode


def session() -> Session:
    return Session("192.0.2.7", 1000.0, 1010.0)


def ack(number: int) -> Ack:
    return Ack(id=str(number))


def making(number: int) -> Callable[[], Ack]:
    return lambda: ack(number)


def lines(*numbers: int) -> bytes:
    return b"".join(encode(ack(number)) for number in numbers)


def test_a_new_session_is_owed_nothing() -> None:
    fresh = session()
    assert (fresh.host, fresh.deadline, fresh.heard, fresh.active) == ("192.0.2.7", 1010.0, 1000.0, 1000.0)
    assert fresh.account is None
    assert not bool(fresh.answers)
    assert fresh.take_answers() == b""


def test_an_answer_goes_out_once_the_journal_is_read_so_far() -> None:
    some = session()
    some.answer(making(1), after=0)
    some.answer(making(2), after=7)
    assert some.take_answers() == lines(1)
    assert bool(some.answers)
    some.cursor = 6
    assert some.take_answers() == b""
    some.cursor = 7
    assert some.take_answers() == lines(2)
    assert not bool(some.answers)
    assert some.take_answers() == b""


def test_no_answer_overtakes_one_before_it() -> None:
    some = session()
    some.answer(making(1), after=7)
    some.answer(making(2), after=0)
    assert some.take_answers() == b""
    some.cursor = 9
    assert some.take_answers() == lines(1, 2)


def test_an_answer_waits_for_the_store_to_answer_all_that_was_submitted_before_it() -> None:
    some = session()
    some.ticket = 3
    some.hold(making(1))
    some.ticket = 5
    some.hold(making(2))
    some.hold(making(3))
    assert not some.settle(2, after=0)
    assert not bool(some.answers)
    assert some.settle(3, after=0)
    assert some.take_answers() == lines(1)
    assert not some.settle(4, after=0)
    assert some.settle(6, after=9)
    assert some.take_answers() == b""
    some.cursor = 9
    assert some.take_answers() == lines(2, 3)
    assert not some.settle(9, after=9)


def test_an_answer_is_made_when_it_goes_out() -> None:
    some, missed = session(), [1]
    some.ticket = 1
    some.hold(lambda: Gap(missed=missed[0]))
    some.settle(1, after=0)
    missed[0] = 2
    assert some.take_answers() == encode(Gap(missed=2))


def test_who_does_not_take_its_answers_is_overfull_until_it_does() -> None:
    some = session()
    for _ in range(OWED_MAX - 2):
        some.answer(Pong, after=1)
    some.ticket = 1
    some.hold(Pong)
    assert not some.overfull
    some.answer(Pong, after=2)
    assert some.overfull
    some.cursor = 1
    assert some.take_answers() == encode(Pong()) * (OWED_MAX - 2)
    assert not some.overfull


def test_who_has_too_much_with_the_store_is_overfull_until_some_is_answered() -> None:
    some = session()
    some.in_flight = IN_FLIGHT_MAX - 1
    assert not some.overfull
    some.in_flight += 1
    assert some.overfull


def test_a_prologue_goes_out_line_by_line_as_many_as_fit_into_one_read() -> None:
    some = session()
    large, half, small = b"x" * (READ_MAX + 1), b"y" * (READ_MAX // 2), b"z"
    some.prologue += (large, half, half, small)
    pieces = []
    while some.prologue:
        pieces.append(some.take_prologue())
    assert pieces == [large, half + half, small]


def test_answers_go_out_in_pieces_of_a_moderate_size() -> None:
    some = session()
    large = Error(code="bad-frame", text="x" * 4_000)
    for _ in range(40):
        some.answer(lambda: large, after=0)
    pieces = []
    while some.is_due():
        pieces.append(some.take_answers())
    assert b"".join(pieces) == encode(large) * 40
    assert [len(piece) < READ_MAX + 5_000 for piece in pieces] == [True] * len(pieces)
    assert len(pieces) == 3


def test_a_frame_that_is_refused_is_counted_when_it_was_none_and_told_to_who_listens() -> None:
    some = session()
    bad, late = Refused(Code.BAD_FRAME, "no frame"), Refused(Code.TOO_FAST, "too fast")
    assert some.refuse(bad) == bad.frame()
    assert some.refuse(Refused(Code.UNSUPPORTED, "what?")).code == Code.UNSUPPORTED
    heard: list[tuple[Session, Refused]] = []
    some.on_refusal = lambda *what: heard.append(what)
    assert some.refuse(late) == late.frame()
    assert (some.bad_frames, heard) == (2, [(some, late)])


def test_after_a_farewell_comes_nothing_that_was_still_held() -> None:
    some = session()
    some.answer(making(1), after=5)
    some.ticket = 1
    some.hold(making(2))
    some.farewell(Bye(reason="kicked", retry=False), after=5)
    assert (some.closing, some.reason) == (True, "kicked")
    assert not some.settle(1, after=5)
    some.cursor = 5
    assert some.take_answers() == lines(1) + encode(Bye(reason="kicked", retry=False))


@given(st.lists(st.sampled_from(["answer", "submit", "hold", "settle", "read", "take"]), max_size=60))
def test_answers_come_in_the_order_of_their_frames_each_once(steps: list[str]) -> None:
    """As the hub uses it: an answer is held while anything of this session is with the store."""
    some = session()
    asked = submitted = settled = last = 0
    taken = b""
    for step in steps:
        match step:
            case "submit":
                submitted += 1
                some.ticket = submitted
            case "answer" | "hold":
                asked += 1
                if some.ticket > settled:
                    some.hold(making(asked))
                else:
                    some.answer(making(asked), last)
            case "settle" if settled < submitted:
                settled += 1
                last += 1
                some.settle(settled, last)
            case "read":
                some.cursor = last
            case "take":
                taken += some.take_answers()
    some.settle(submitted, last)
    some.cursor = last
    assert taken + some.take_answers() == lines(*range(1, asked + 1))
    assert not some.overfull
