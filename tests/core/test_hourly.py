"""What is counted by the hour: never more than the limit in any hour, and never less than could be."""

from hypothesis import given
from hypothesis import strategies as st

from chatmail.core.hourly import HOUR, Hourly

NOON = 1_000_000.0
LIMIT = 3


def test_after_an_hour_one_more_is_free_and_others_are_not_concerned() -> None:
    some = Hourly(LIMIT)
    for after in (0.0, 10.0, 20.0):
        assert not some.is_spent("ada", NOON + after)
        some.count("ada", NOON + after)
    assert some.is_spent("ada", NOON + HOUR - 1)
    assert not some.is_spent("bo", NOON + HOUR - 1)
    assert not some.is_spent("ada", NOON + HOUR)
    some.count("ada", NOON + HOUR)
    assert some.is_spent("ada", NOON + HOUR + 9)
    assert not some.is_spent("ada", NOON + HOUR + 10)


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, HOUR]) | st.floats(0, 2_000), st.integers(1, 3)), max_size=60))
def test_in_no_hour_is_there_more_and_nobody_waits_without_need(asked: list[tuple[float, int]]) -> None:
    some, now = Hourly(LIMIT), NOON
    counted: dict[int, list[float]] = {1: [], 2: [], 3: []}
    for gap, who in asked:
        now += gap
        lately = sum(time > now - HOUR for time in counted[who])
        assert some.is_spent(who, now) == (lately >= LIMIT)
        if lately < LIMIT:
            some.count(who, now)
            counted[who].append(now)
