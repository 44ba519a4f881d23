"""A token goes to nobody but the server that gave it, and never in clear when it came through TLS."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from chatmail.client.link import Server
from chatmail.client.tokens import TOKEN_MAX, token_of, with_token

CLEAR = Server("chat.example.org", 6245)
TLS = structs.replace(CLEAR, tls=True)
JOHN = ("John", "john@example.org")


def test_a_token_is_for_one_account_at_one_server() -> None:
    lines = with_token(TLS, *JOHN, "t1", [])
    assert token_of(TLS, *JOHN, lines) == "t1"
    assert token_of(TLS, "Mary", JOHN[1], lines) is None
    assert token_of(TLS, JOHN[0], "mary@example.org", lines) is None
    assert token_of(structs.replace(TLS, host="example.org"), *JOHN, lines) is None
    assert token_of(structs.replace(TLS, port=6246), *JOHN, lines) is None


def test_an_account_and_a_server_are_the_same_however_they_are_typed() -> None:
    lines = with_token(TLS, *JOHN, "t1", [])
    assert token_of(structs.replace(TLS, host="Chat.Example.ORG"), "ＪOHN", "John@Example.org", lines) == "t1"
    assert len(with_token(structs.replace(TLS, pin="x"), "john", JOHN[1].upper(), "t2", lines)) == 1


def test_a_token_that_came_through_tls_is_never_shown_without() -> None:
    lines = with_token(TLS, *JOHN, "t1", [])
    assert token_of(CLEAR, *JOHN, lines) is None
    assert with_token(CLEAR, *JOHN, "t2", lines) == lines


def test_a_token_that_came_in_clear_is_shown_and_gives_way() -> None:
    lines = with_token(CLEAR, *JOHN, "t1", [])
    assert token_of(CLEAR, *JOHN, lines) == "t1"
    assert token_of(TLS, *JOHN, lines) == "t1"
    lines = with_token(TLS, *JOHN, "t1", lines)
    assert token_of(CLEAR, *JOHN, lines) is None
    assert token_of(TLS, *JOHN, lines) == "t1"


def test_the_same_token_again_changes_nothing() -> None:
    lines = [*with_token(TLS, *JOHN, "t1", []), *with_token(CLEAR, "Mary", "mary@example.org", "t2", [])]
    assert with_token(TLS, *JOHN, "t1", lines) == lines


def test_a_token_that_is_longer_than_any_is_not_kept() -> None:
    lines = with_token(TLS, *JOHN, "t1", [])
    assert with_token(TLS, *JOHN, "x" * (TOKEN_MAX + 1), lines) == lines


@given(st.text(), st.lists(st.text(st.characters())))  # the lines may be anything, no UTF-8 as well
def test_any_token_of_any_server_is_one_line_and_leaves_the_others(token: str, lines: list[str]) -> None:
    kept = with_token(TLS, *JOHN, token, lines)
    assert kept[:-1] == lines
    assert "\n" not in kept[-1]
    assert token_of(TLS, *JOHN, kept) == token
