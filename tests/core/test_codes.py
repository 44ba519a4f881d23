"""Codes: who has the mail has the code, nobody guesses it, and no mailbox is flooded with them."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatmail.core.codes import Challenge, Codes
from chatmail.core.hourly import HOUR
from chatmail.core.wire import Join

JOHN = Join(name="John", email="john@example.org")
HOST = "192.0.2.7"
NOON = 1_000_000.0


def codes(seed: int = 1) -> Codes:
    return Codes(Random(seed), life=600.0, tries=5, per_hour=3, per_address=6, per_host=60)


def issued(codes: Codes, email: str = "john@example.org", now: float = NOON) -> Challenge:
    challenge = codes.issue(JOHN, email, HOST, now)
    assert challenge is not None
    return challenge


def wrong(challenge: Challenge) -> str:
    return f"{(int(challenge.digits) + 1) % 10**6:06}"


@given(st.integers())
def test_a_code_has_six_digits(seed: int) -> None:
    digits = issued(codes(seed)).digits
    assert len(digits) == 6
    assert digits.isdecimal()
    assert digits.isascii()


def test_a_small_number_keeps_its_leading_zeros() -> None:
    class Lowest(Random):
        def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
            assert (start, stop, step) == (1_000_000, None, 1)
            return 7

    assert issued(Codes(Lowest(), life=600.0, tries=5, per_hour=3, per_address=6, per_host=60)).digits == "000007"


def test_each_code_is_another_one() -> None:
    some = codes()
    assert len({issued(some, f"{n}@example.org").digits for n in range(50)}) > 45


def test_the_code_is_right_and_remembers_who_asked() -> None:
    challenge = issued(codes())
    assert challenge.join is JOHN
    assert challenge.expires == NOON + 600
    assert challenge.matches(challenge.digits, NOON)


def test_spaces_around_a_code_do_not_matter() -> None:
    challenge = issued(codes())
    assert challenge.matches(f" {challenge.digits}\n", NOON)


@pytest.mark.parametrize("attempt", ["", "0", "12345", "1234567", "café", "١٢٣٤٥٦", "\0", "-00001"])
def test_anything_else_is_wrong(attempt: str) -> None:
    assert not issued(codes()).matches(attempt, NOON)


def test_a_code_bears_five_tries() -> None:
    challenge = issued(codes())
    for _ in range(4):
        assert not challenge.matches(wrong(challenge), NOON)
        assert not challenge.spent(NOON)
    assert challenge.matches(challenge.digits, NOON)

    challenge = issued(codes())
    for _ in range(5):
        assert not challenge.matches(wrong(challenge), NOON)
    assert challenge.spent(NOON)
    assert not challenge.matches(challenge.digits, NOON)


def test_a_code_is_good_for_ten_minutes() -> None:
    challenge = issued(codes())
    assert not challenge.spent(NOON + 599)
    assert challenge.matches(challenge.digits, NOON + 599)
    assert not challenge.matches(challenge.digits, NOON + 600)
    assert challenge.spent(NOON + 600)


def test_few_codes_an_hour_go_to_one_address_however_it_is_written() -> None:
    some = codes()
    for email in ("john@example.org", "John@example.org", "JOHN@EXAMPLE.ORG"):
        issued(some, email)
    assert some.issue(JOHN, "john@example.org", HOST, NOON + 1) is None
    issued(some, "mary@example.org")


def test_after_an_hour_there_is_another_and_a_refusal_does_not_count() -> None:
    some = codes()
    for after in (0, 10, 20):
        issued(some, now=NOON + after)
    assert some.issue(JOHN, "john@example.org", HOST, NOON + HOUR - 1) is None
    issued(some, now=NOON + HOUR)
    assert some.issue(JOHN, "john@example.org", HOST, NOON + HOUR + 9) is None
    issued(some, now=NOON + HOUR + 10)


@given(st.lists(st.tuples(st.floats(0, 2000), st.sampled_from(["a@x.org", "A@x.org", "b@x.org"])), max_size=40))
def test_in_no_hour_does_an_address_get_more(asked: list[tuple[float, str]]) -> None:
    some, now = codes(), NOON
    given: dict[str, list[float]] = {"a@x.org": [], "b@x.org": []}
    for gap, email in asked:
        now += gap
        times = given[email.lower()]
        lately = sum(time > now - HOUR for time in times)
        challenge = some.issue(JOHN, email, HOST, now)
        assert (challenge is None) == (lately >= 3)
        if challenge is not None:
            times.append(now)


def test_what_a_stranger_asks_for_keeps_nobody_from_their_code() -> None:
    some = codes()
    for host in ("192.0.2.66", "192.0.2.66", "192.0.2.66", "192.0.2.66"):
        some.issue(JOHN, "john@example.org", host, NOON)
    issued(some)


def test_many_hosts_together_cannot_flood_a_mailbox() -> None:
    some = codes()
    given = [some.issue(JOHN, "john@example.org", f"192.0.2.{number}", NOON) for number in range(20)]
    assert sum(challenge is not None for challenge in given) == 6


def test_this_machine_asks_for_as_many_as_people_behind_it_need() -> None:
    some = codes()
    for host in ("127.0.0.1", "::1"):
        assert None not in [some.issue(JOHN, f"{number}@{len(host)}.example", host, NOON) for number in range(100)]


def test_a_site_of_ipv6_is_one_host() -> None:
    some = codes()
    given = [some.issue(JOHN, "john@example.org", f"2001:db8::{number}", NOON) for number in range(4)]
    assert [challenge is not None for challenge in given] == [True, True, True, False]


def test_one_host_cannot_have_codes_sent_to_everybody() -> None:
    some = codes()
    for number in range(60):
        issued(some, f"{number}@example.org")
    assert some.issue(JOHN, "one.more@example.org", HOST, NOON + 1) is None
    assert some.issue(JOHN, "one.more@example.org", "192.0.2.8", NOON + 1) is not None
    issued(some, "one.more@example.org", NOON + HOUR)
