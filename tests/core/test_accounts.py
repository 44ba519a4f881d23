"""Accounts: a name has one owner, a token proves one account."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from chatmail.core.accounts import Accounts
from chatmail.core.names import BadName, check_name
from chatmail.core.records import Account
from chatmail.core.wire import Code, Refused

SECRET = b"s" * 32
NOON = 1_000_000.0


def account(id: int, name: str) -> Account:
    return Account(id=id, name=name, email=f"{id}@example.org", first=0, seen=0)


JOHN, MARY = account(1, "John"), account(2, "Straße")


def house(*accounts: Account, secret: bytes = SECRET) -> Accounts:
    return Accounts(accounts, 1 + max((account.id for account in accounts), default=0), secret)


# Names.


def test_a_name_that_nobody_could_have_takes_no_time() -> None:
    """To normalize so many marks takes seconds, in which nobody else would be heard."""
    marks = "\u0301" * 16_000 + "\u0316" * 16_000
    accounts = house(JOHN)
    began = time.process_time()
    assert accounts.find(marks) is None
    with pytest.raises(Refused, match="nobody here was ever called"):
        accounts.known(marks)
    with pytest.raises(BadName, match="it has 32,000 characters"):
        check_name(marks)
    assert time.process_time() - began < 0.5


def test_an_account_is_found_by_its_name_in_any_case_and_by_its_id() -> None:
    accounts = house(JOHN, MARY)
    assert accounts.find("JOHN") is JOHN
    assert accounts.find("STRASSE") is MARY
    assert accounts.find("Jo") is None
    assert accounts.get(1) is JOHN
    assert accounts.get(3) is None
    assert accounts.names() == ["John", "Straße"]
    assert len(accounts) == 2


def test_a_look_alike_is_never_found_but_stands_in_the_way() -> None:
    accounts = house(JOHN)
    assert accounts.find("Jоhn") is None
    assert accounts.taken_by("Jоhn") == "John"
    assert accounts.taken_by("john") == "John"
    assert accounts.taken_by("Joan") is None


def test_ian_and_lan_can_both_be_here_and_neither_is_given_for_the_other() -> None:
    accounts = house(JOHN)
    ian = account(accounts.reserve("Ian"), "Ian")
    assert accounts.taken_by("Lan") is None
    lan = account(accounts.reserve("Lan"), "Lan")
    accounts.add(ian)
    accounts.add(lan)
    assert accounts.find("ian") is ian
    assert accounts.find("LAN") is lan
    assert accounts.taken_by("1an") in {"Ian", "Lan"}
    assert accounts.taken_by("lan") == "Lan", "the same name rather than one that looks like it"
    accounts.forget(lan)
    assert accounts.taken_by("lan") == "Ian"
    assert accounts.taken_by("Lan") is None
    accounts.forget(ian)
    assert accounts.taken_by("lan") is None


def test_whoever_is_known_is_given_and_whoever_was_perhaps_meant_is_named() -> None:
    accounts = house(JOHN, MARY)
    assert accounts.known("john") is JOHN
    for name in ("Jоhn", "Jonh"):
        with pytest.raises(Refused, match="did you mean John") as caught:
            accounts.known(name, "7c1e-1")
        assert (caught.value.code, caught.value.id, caught.value.field) == (Code.NO_SUCH_PERSON, "7c1e-1", "to")


def test_nobody_is_named_where_no_name_is_near() -> None:
    with pytest.raises(Refused) as caught:
        house(JOHN).known("Xavier")
    assert caught.value.text == "nobody here was ever called 'Xavier'"
    assert caught.value.id is UNSET


def test_a_name_that_is_far_too_long_is_not_repeated_at_length() -> None:
    with pytest.raises(Refused) as caught:
        house(JOHN).known("x\n" * 30_000)
    assert len(caught.value.text) < 200
    assert caught.value.text.isprintable()


def test_a_name_that_is_being_taken_stands_in_the_way_at_once() -> None:
    accounts = house(JOHN)
    assert accounts.reserve("Mary") == 2
    assert accounts.taken_by("mаry") == "Mary"
    assert accounts.find("Mary") is None
    accounts.release("Mary")
    assert accounts.taken_by("mary") is None


def test_ids_are_never_given_twice() -> None:
    accounts = Accounts([JOHN], 7, SECRET)
    assert accounts.reserve("Mary") == 7
    accounts.release("Mary")
    assert accounts.reserve("Mary") == 8
    accounts.add(account(8, "Mary"))
    accounts.forget(account(8, "Mary"))
    assert accounts.reserve("Mary") == 9


def test_a_reserved_name_becomes_an_account() -> None:
    accounts = house(JOHN)
    mary = account(accounts.reserve("Mary"), "Mary")
    accounts.add(mary)
    assert accounts.find("mary") is accounts.get(2) is mary
    assert accounts.taken_by("MARY") == "Mary"


def test_who_is_forgotten_leaves_the_name_free() -> None:
    accounts = house(JOHN, MARY)
    accounts.forget(JOHN)
    assert accounts.find("John") is None
    assert accounts.get(1) is None
    assert accounts.taken_by("John") is None
    assert accounts.names() == ["Straße"]


def test_who_is_forgotten_twice_takes_nothing_from_the_next_of_that_name() -> None:
    """The operator may say it twice before the store has answered once."""
    accounts = house(JOHN)
    accounts.forget(JOHN)
    id = accounts.reserve("John")
    accounts.forget(JOHN)
    assert accounts.taken_by("John") == "John"
    accounts.add(next_john := account(id, "John"))
    accounts.forget(JOHN)
    assert accounts.find("John") is next_john


# Tokens.


@given(st.integers(0, 2**63), st.integers(0, 2**63))
def test_a_token_proves_its_account_with_its_floor(id: int, floor: int) -> None:
    accounts, john = house(), account(id, "John")
    assert accounts.floor(john, accounts.token(john, floor)) == floor


def test_a_token_is_good_after_a_restart_with_the_same_secret_only() -> None:
    token = house(JOHN).token(JOHN, 41)
    assert house(JOHN).floor(JOHN, token) == 41
    assert house(JOHN, secret=b"t" * 32).floor(JOHN, token) is None


def test_where_addresses_are_to_be_proved_a_token_from_before_proves_nothing() -> None:
    accounts = house(JOHN)
    assert accounts.floor(JOHN, accounts.token(JOHN, 41), verified=True) is None
    token = accounts.token(JOHN, 41, verified=True)
    assert accounts.floor(JOHN, token, verified=True) == accounts.floor(JOHN, token) == 41


def test_a_token_of_somebody_else_proves_nothing() -> None:
    accounts = house(JOHN, MARY)
    assert accounts.floor(JOHN, accounts.token(MARY, 0)) is None
    assert accounts.floor(account(11, "x"), accounts.token(account(1, "x"), 0)) is None


def test_the_token_of_who_was_forgotten_proves_nothing_about_the_next_of_that_name() -> None:
    accounts = house(JOHN)
    token = accounts.token(JOHN, 0)
    accounts.forget(JOHN)
    assert accounts.floor(account(accounts.reserve("John"), "John"), token) is None


@given(st.text() | st.builds("{}.{}.{}".format, st.integers(0, 3), st.integers(), st.text(max_size=50)))
def test_no_text_that_was_not_given_out_is_a_token(text: str) -> None:
    assert house(JOHN).floor(JOHN, text) is None


@given(st.integers(0, 60), st.characters(codec="ascii"))
def test_a_token_with_one_character_changed_proves_nothing(at: int, char: str) -> None:
    accounts = house(JOHN)
    token = accounts.token(JOHN, 41)
    at %= len(token)
    forged = token[:at] + char + token[at + 1 :]
    assert (accounts.floor(JOHN, forged) == 41) == (forged == token)
