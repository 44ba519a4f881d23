"""Fingerprints are read as people have them; a server has one pinned certificate, whatever else is in the file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatmail.client.trust import fingerprint, pin_of, read_fingerprint, with_pin

EMPTY = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
PAIRS = "E3:B0:C4:42:98:FC:1C:14:9A:FB:F4:C8:99:6F:B9:24:27:AE:41:E4:64:9B:93:4C:A4:95:99:1B:78:52:B8:55"
"""Of nothing, as NIST's examples have it."""
OTHER = fingerprint(b"other")

fingerprints = st.binary(max_size=50).map(fingerprint)
servers = st.sampled_from(["chat.example.org:6245", "chat.example.org:624", "[::1]:6245", "x"])


def test_a_fingerprint_is_the_sha256_of_the_whole_certificate() -> None:
    assert fingerprint(b"") == EMPTY


@pytest.mark.parametrize(
    "text",
    [
        EMPTY,
        EMPTY.replace("SHA256:", "SHA256 "),
        EMPTY.replace("SHA256:", "sha256:"),
        EMPTY.removeprefix("SHA256:"),
        f"  {EMPTY}=\n",
        f"{EMPTY[:20]}\n {EMPTY[20:]}",
        PAIRS,
        f"SHA256:{PAIRS}",
        f"SHA256 {PAIRS}",
        PAIRS.lower(),
        PAIRS.replace(":", ""),
    ],
)
def test_a_fingerprint_may_be_written_in_many_ways(text: str) -> None:
    assert read_fingerprint(text) == EMPTY


@pytest.mark.parametrize(
    "text",
    [
        *("", "SHA256:", EMPTY[:-1], f"{EMPTY}A", f"{PAIRS}:00", EMPTY.replace("+", "%"), PAIRS.replace("E3", "G3")),
        *(EMPTY.replace("SHA256", "SHA1"), "٣" * 64, "٣" * 43),
    ],
)
def test_what_is_no_fingerprint_is_told_what_one_is(text: str) -> None:
    with pytest.raises(ValueError, match="43 letters, digits"):
        read_fingerprint(text)


@given(st.lists(st.text()), servers, fingerprints, fingerprints)
def test_the_last_one_pinned_is_the_one_whatever_else_there_is(
    lines: list[str], server: str, former: str, new: str
) -> None:
    twice = with_pin(server, new, with_pin(server, former, lines))
    assert pin_of(server, twice) == new
    assert sum(line.startswith(f"{server} ") for line in twice) == 1


@given(st.lists(st.tuples(servers, fingerprints)), servers, fingerprints)
def test_pinning_at_one_server_changes_no_other_line(others: list[tuple[str, str]], server: str, new: str) -> None:
    lines = ["# what I trust", "", *(f"{other} {pin}" for other, pin in others if other != server)]
    assert with_pin(server, new, lines) == [*lines, f"{server} {new}"]


def test_a_line_that_is_damaged_pins_nothing_and_gives_way() -> None:
    damaged = [f"chat.example.org:6245 {EMPTY[:-9]}"]
    assert pin_of("chat.example.org:6245", damaged) is None
    assert with_pin("chat.example.org:6245", OTHER, damaged) == [f"chat.example.org:6245 {OTHER}"]


def test_a_line_may_be_written_by_hand() -> None:
    assert pin_of("x:1", [f"  x:1\tSHA256 {PAIRS.lower()}  "]) == EMPTY
