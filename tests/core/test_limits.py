"""The bucket: a burst at once, then a steady rate, and a wait instead of a refusal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatmail.core.limits import BUCKETS_MIN, Bucket, Buckets, Limits, Rate

NOON = 1_000_000.0
RATE = Rate(10, 2)


def test_ten_at_once_then_two_a_second() -> None:
    bucket, now = Bucket(RATE, NOON), NOON
    assert [bucket.take(now) for _ in range(10)] == [0.0] * 10
    for _ in range(5):
        wait = bucket.take(now)
        assert wait == pytest.approx(0.5)
        now += wait


def test_it_fills_up_again_but_never_above_the_burst() -> None:
    bucket = Bucket(RATE, NOON)
    for _ in range(10):
        bucket.take(NOON)
    assert [bucket.take(NOON + 1) for _ in range(3)] == [0.0, 0.0, pytest.approx(0.5)]
    later = NOON + 10_000
    assert [bucket.take(later) for _ in range(11)] == [0.0] * 10 + [pytest.approx(0.5)]


def test_who_does_not_wait_waits_the_longer_the_next_time() -> None:
    """Though never longer than a whole bucket takes to fill."""
    bucket = Bucket(Rate(3, 1), NOON)
    assert [bucket.take(NOON) for _ in range(8)] == [0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 3.0, 3.0]


def test_a_clock_that_is_set_back_costs_nobody_anything() -> None:
    bucket = Bucket(Rate(2, 1), NOON)
    assert bucket.take(NOON) == 0.0
    assert bucket.take(NOON - 3600) == 0.0
    assert bucket.take(NOON - 3600) == 1.0
    assert bucket.take(NOON - 3598) == 0.0


def test_each_account_has_a_bucket_and_asking_again_does_not_fill_it() -> None:
    buckets = Buckets(Rate(2, 1))
    assert [buckets.take(1, NOON) for _ in range(3)] == [0.0, 0.0, 1.0]
    assert buckets.take(2, NOON) == 0.0
    assert buckets.take(1, NOON) == 2.0


def test_only_buckets_that_are_not_full_are_kept_for_long() -> None:
    """However many accounts there have been; what somebody owes is never forgotten."""
    buckets, now = Buckets(Rate(2, 1)), NOON
    for account in range(20 * BUCKETS_MIN):
        now += 0.5
        buckets.take(account, now)
        assert buckets.take(-1, now) >= 0.0
        assert len(buckets) <= BUCKETS_MIN
    assert buckets.take(-1, now) > 1.0


def test_as_many_are_kept_as_it_takes() -> None:
    buckets = Buckets(RATE)
    for account in range(10 * BUCKETS_MIN):
        buckets.take(account, NOON)
    assert len(buckets) == 10 * BUCKETS_MIN
    for account in range(10 * BUCKETS_MIN):
        buckets.take(-1 - account, NOON + 1)
    assert len(buckets) <= 20 * BUCKETS_MIN


@given(
    st.integers(1, 20),
    st.floats(0.1, 100),
    st.lists(st.just(0.0) | st.floats(0, 30), min_size=1, max_size=60),
)
def test_who_waits_as_told_gets_through_at_most_burst_and_rate_and_no_less(
    burst: int, per_second: float, pauses: list[float]
) -> None:
    bucket, now, passed = Bucket(Rate(burst, per_second), NOON), NOON, list[float]()
    for pause in pauses:
        now += pause
        wait = bucket.take(now)
        if wait:
            before = passed[-burst]
            assert now - before < burst / per_second + 1e-6, "it was not too fast"
        now += wait
        passed.append(now)
    for at, start in enumerate(passed):
        for count, end in enumerate(passed[at:], 1):
            assert count <= burst + (end - start) * per_second + 1e-3


def test_the_limits_are_those_that_were_promised() -> None:
    limits = Limits()
    assert (limits.join_time, limits.join_errors) == (10, 20)
    assert (limits.silence, limits.slow, limits.grace, limits.idle) == (45, 10, 5, 600)
    assert (limits.bad_frames, limits.history, limits.presence_max) == (5, 50, 200)
    assert (limits.max_clients, limits.max_per_ip, limits.unjoined_per_ip) == (10_000, 256, 16)
    assert (limits.code_life, limits.code_tries) == (600, 5)
    assert (limits.entries_max, limits.bytes_max) == (10_000, 16 * 1024 * 1024)
    assert (limits.mail_window, limits.mails_waiting) == (60, 1000)
