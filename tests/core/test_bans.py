"""Bans: a name, an address, a host or a network, for as long as it says."""

import pytest

from chatmail.core.bans import Bans
from chatmail.core.records import Ban

NOON = 1_000_000.0


def ban(what: str, until: float | None = None) -> Ban:
    return Ban(what=Bans.key(what), until=until, reason="spam")


@pytest.mark.parametrize(
    ("banned", "comes"),
    [
        ("John", "JOHN"),
        ("ＪＯＨＮ", "john"),
        ("John@Example.org", "john@example.ORG"),
        ("192.0.2.7", "192.0.2.7"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("192.0.2.0/24", "192.0.2.7"),
        ("192.0.2.99/24", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8::/32", "2001:db8:1:2:3::4"),
        ("0.0.0.0/0", "192.0.2.7"),
    ],
)
def test_a_ban_is_found_however_its_name_or_address_is_written(banned: str, comes: str) -> None:
    bans = Bans([ban(banned)])
    found = bans.find(NOON, "somebody", comes)
    assert found is not None
    assert found.reason == "spam"
    assert bans.find(NOON, "somebody", "else@example.org", "fd00::1") is None


def test_a_ban_for_a_time_holds_until_then() -> None:
    bans = Bans([])
    bans.add(ban("John", NOON + 60))
    assert bans.find(NOON + 59, "john") is not None
    assert bans.find(NOON + 60, "john") is None


def test_one_that_has_run_out_does_not_hide_another() -> None:
    bans = Bans([ban("John", NOON), ban("192.0.2.7")])
    found = bans.find(NOON, "John", "192.0.2.7")
    assert found is not None
    assert found.what == "192.0.2.7"


def test_the_current_bans_are_those_that_hold_oldest_first() -> None:
    bans = Bans([ban("b", NOON + 1), ban("a"), ban("c", NOON - 1)])
    assert [ban.what for ban in bans.current(NOON)] == ["b", "a"]


def test_a_new_ban_takes_the_place_of_the_old_one() -> None:
    bans = Bans([ban("John", NOON + 1)])
    bans.add(ban("john"))
    assert bans.current(NOON + 2) == [ban("John")]


def test_a_ban_that_is_lifted_is_gone_and_may_be_lifted_twice() -> None:
    """The operator may say it twice before the store has answered once."""
    bans = Bans([ban("John")])
    bans.remove("john")
    assert bans.find(NOON, "John") is None
    bans.remove("john")


def test_what_lies_next_to_a_banned_network_is_not_banned() -> None:
    bans = Bans([ban("192.0.2.0/24"), ban("2001:db8::/64")])
    assert bans.find(NOON, "192.0.3.1", "2001:db8:0:1::1", "John", "a@192.0.2.7") is None


def test_a_network_is_banned_for_a_time_too_and_hides_no_other() -> None:
    bans = Bans([ban("192.0.2.0/24", NOON), ban("192.0.0.0/16")])
    found = bans.find(NOON, "192.0.2.7")
    assert found is not None
    assert found.what == "192.0.0.0/16"
    bans.remove("192.0.0.0/16")
    assert bans.find(NOON, "192.0.2.7") is None
