"""Nothing is lost, doubled or changed unseen, whatever a server speaks."""

from collections.abc import Iterable

import pytest

from tests.benchmarks.tally import Alike, LoadError, Tally, check
from tests.benchmarks.wires import TEXT, TEXT_SIZE, TOLD, WIRES

AROUND = {
    "chat": (b'{"type":"message","seq":%d,"time":"2026-01-01T00:00:00Z","from":"reader%d","text":"', b'","id":"m1"}\n'),
    "framed": (b'{"type":"message","seq":7,"time":"2026-01-01T00:00:00Z","from":"reader0","text":"', b'","id":"m1"}\n'),
    "irc": (b":u%d!~u@localhost PRIVMSG #c :", b"\r\n"),
    "line": (b"", b"\n"),
    "nats": (b"MSG c 1 100\r\n", b"\r\n"),
    "redis": (b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$100\r\n", b"\r\n"),
}
"""What stands around a text as it is delivered."""


def delivered(wire: str, number: int, sender: int = 0, seq: int = 0) -> bytes:
    before, after = AROUND[wire]
    facts = {"chat": (seq or number + 1, sender), "irc": (sender,)}.get(wire, ())
    return (before % facts) + (TEXT % (sender, 0)) % number + after


def hear(tally: Tally, number: int, pieces: Iterable[bytes]) -> None:
    data = b"".join(pieces)
    # Not all at once, nor at the end of a line.
    for piece in (data[:150], data[150:]):
        tally.hear[number](number, bytearray(piece), len(piece))


def heard_by_all(wire: str, senders: int, at_last: list[bytes], *, ordered: bool = True) -> Tally:
    """A tally of three people who should all hear messages 0 to 2 of each sender; the last one hears what is given."""
    tally = Tally(WIRES[wire], people=3, senders=senders, ordered=ordered)
    for number in (0, 1, 2):
        heard = [who for who in range(senders) if WIRES[wire].echoes or who != number]
        hear(tally, number, at_last if number == 2 else [delivered(wire, n, who) for n in (0, 1, 2) for who in heard])
    if reply := WIRES[wire].reply:
        for sender in range(senders):
            hear(tally, 3 + sender, [reply % 3] * 3)
    return tally


def finish(tally: Tally, senders: int) -> None:
    """What a load does: wait until all is there (here nothing more comes), then read it."""
    if not tally.done(3):
        raise LoadError("out of patience")
    tally.check([range(3)] * senders, None)


CHANGES = {"lost": [0, 2], "the last is lost": [0, 1], "doubled": [0, 1, 1, 2], "doubled for another": [0, 1, 1]}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("ordered", [True, False], ids=["in order", "in any order"])
@pytest.mark.parametrize("senders", [1, 2])
@pytest.mark.parametrize("wire", WIRES)
def test_each_message_comes_to_everybody_once(wire: str, senders: int, ordered: bool, change: str) -> None:
    right = [delivered(wire, number, sender) for number in (0, 1, 2) for sender in range(senders)]
    finish(heard_by_all(wire, senders, right, ordered=ordered), senders)
    wrong = [delivered(wire, n, sender) for n in CHANGES[change] for sender in range(senders)]
    with pytest.raises(LoadError):
        finish(heard_by_all(wire, senders, wrong, ordered=ordered), senders)


@pytest.mark.parametrize("wire", WIRES)
def test_what_was_not_said_is_seen(wire: str) -> None:
    frames = [delivered(wire, number) for number in (0, 1)]
    check(WIRES[wire], b"".join(frames), {0: range(2)})
    with pytest.raises(LoadError, match="PING"):
        check(WIRES[wire], b"PING\r\n".join(frames), {0: range(2)})


def test_in_another_order_nothing_is_amiss_where_none_is_promised() -> None:
    frames = [delivered("nats", number, sender) for sender in (0, 1) for number in (0, 1, 2)]
    finish(heard_by_all("nats", 2, frames, ordered=False), 2)
    with pytest.raises(LoadError):
        finish(heard_by_all("nats", 2, frames), 2)


def test_a_publisher_is_held_to_its_replies() -> None:
    tally = Tally(WIRES["redis"], people=2, senders=1, ordered=True)
    for number in (0, 1):
        hear(tally, number, [delivered("redis", 0)])
    hear(tally, 2, [b":1\r\n"])
    with pytest.raises(LoadError, match="other replies"):
        tally.done(1)


@pytest.mark.parametrize("seqs", [(9, 11), (9, 9), (10, 11)])
def test_numbers_of_the_server_have_no_hole(seqs: tuple[int, int]) -> None:
    stream = delivered("chat", 5, seq=9) + delivered("chat", 6, seq=10)
    check(WIRES["chat"], stream, {0: range(5, 7)}, last=8)
    with pytest.raises(LoadError):
        check(
            WIRES["chat"],
            b"".join(delivered("chat", 5 + n, seq=seq) for n, seq in enumerate(seqs)),
            {0: range(5, 7)},
            8,
        )


def test_numbers_that_went_to_others_are_no_hole_and_others_must_not_be_missing() -> None:
    stream = delivered("chat", 5, seq=9) + delivered("chat", 6, seq=12)
    check(WIRES["chat"], stream, {0: range(5, 7)}, 8, {10, 11})
    for others in ({10}, {10, 11, 12}, {9, 10, 11}):
        with pytest.raises(LoadError):
            check(WIRES["chat"], stream, {0: range(5, 7)}, 8, others)


def test_who_came_and_went_is_told_between_messages_and_has_a_number_too() -> None:
    left = b'{"type":"left","seq":2,"time":"2026-01-01T00:00:00Z","name":"reader3","reason":"left"}\n'
    joined = b'{"type":"joined","seq":3,"time":"2026-01-01T00:00:00Z","name":"reader3"}\n'
    first, last = delivered("chat", 0, seq=1), delivered("chat", 1, seq=4)
    check(TOLD, first + left + joined + last, {0: range(2)}, 0)
    for wrong in (first + joined + left + last, first + left + last, first + left + left + joined + last):
        with pytest.raises(LoadError):
            check(TOLD, wrong, {0: range(2)}, 0)


def test_whoever_hears_it_first_says_what_all_must_hear() -> None:
    line, other = bytearray(b"one\ntwo\n"), bytearray(b"one\nten\n")
    heard = Alike(range(3), newlines=1)
    heard.hear(1, line, 4)
    heard.hear(0, line, len(line))
    assert heard.messages == 2
    assert not heard.done(2)
    heard.hear(1, bytearray(b"two\n"), 4)
    with pytest.raises(LoadError, match="connection 2 got something else than others: b'ten'"):
        heard.hear(2, other, len(other))


@pytest.mark.parametrize("wire", WIRES)
def test_every_text_is_of_the_same_size(wire: str) -> None:
    for number in (0, 999_999_999):
        frame = WIRES[wire].template(49, 10**18) % ((number,) * WIRES[wire].mentions)
        text = b"049 %09d 1000000000000000000 " % number
        at = frame.index(text)
        assert frame[at : at + TEXT_SIZE] == text.ljust(TEXT_SIZE, b".")
