"""Messages a minute, from looks at a number that grows."""

from hypothesis import given
from hypothesis import strategies as st

from chatmail.core.pace import HOUR, MINUTE, STEP, Pace

NOON = 1_790_000_000.0


def test_before_an_hour_has_passed_there_are_as_many_minutes_as_have_begun() -> None:
    pace = Pace(100, NOON)
    assert list(pace.minutes()) == [0]
    pace.look(103, NOON + 20)
    assert list(pace.minutes()) == [3]
    pace.look(103, NOON + MINUTE)
    assert list(pace.minutes()) == [3]
    pace.look(105, NOON + MINUTE + STEP)
    assert list(pace.minutes()) == [0, 5]
    pace.look(105, NOON + 2 * MINUTE)
    assert list(pace.minutes()) == [3, 2]
    assert list(pace.minutes(2)) == [2.5]


def test_what_is_older_than_an_hour_is_forgotten() -> None:
    pace = Pace(0, NOON)
    for look in range(1, 3 * int(HOUR / STEP)):
        pace.look(look, NOON + look * STEP)
    assert list(pace.minutes()) == [12] * 60
    assert list(pace.minutes(3)) == [12] * 20
    pace.look(5_000, NOON + 100 * HOUR)  # nobody looked for a long time
    assert len(pace.minutes()) == 60
    assert sum(pace.minutes()) == 5_000 - 3 * HOUR / STEP + 1


def test_a_clock_that_is_set_back_begins_again_there() -> None:
    pace = Pace(0, NOON)
    pace.look(10, NOON + MINUTE)
    pace.look(20, NOON + 2 * MINUTE)
    pace.look(30, NOON + MINUTE)
    assert list(pace.minutes()) == [30]
    pace.look(40, NOON - HOUR)
    assert list(pace.minutes()) == [0]
    pace.look(41, NOON - HOUR + STEP)
    assert list(pace.minutes()) == [1]


def test_a_chat_that_begins_anew_goes_on_from_there() -> None:
    pace = Pace(100, NOON)
    pace.look(110, NOON + MINUTE)
    pace.look(3, NOON + 2 * MINUTE)
    assert list(pace.minutes()) == [10, 0]
    pace.look(5, NOON + 3 * MINUTE)
    assert list(pace.minutes()) == [10, 0, 2]


@given(st.lists(st.tuples(st.integers(0, 100), st.floats(0.1, 600)), min_size=1, max_size=60), st.integers(1, 10))
def test_every_message_of_the_hour_is_in_one_bar(looks: list[tuple[int, float]], each: int) -> None:
    pace, number, now = Pace(0, NOON), 0, NOON
    for more, later in looks:
        number, now = number + more, now + later
        pace.look(number, now)
    minutes = pace.minutes(each)
    assert len(minutes) * each <= 60 + each
    assert all(count >= 0 for count in minutes)
    assert sum(minutes) * each <= number + 1e-6
    if now - NOON < HOUR:
        assert abs(sum(minutes) * each - number) < 1e-6
