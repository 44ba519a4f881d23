"""Who comes into a stream in its middle gets all that comes after, and nothing else."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.benchmarks.crowd import Crowd
from tests.benchmarks.followers import Entries, Followers
from tests.benchmarks.slow import Sluggards
from tests.benchmarks.tally import LoadError
from tests.benchmarks.test_tally import delivered

FIRST = 41
LINES = [delivered("chat", number, seq=FIRST + number) for number in range(6)]
STREAM = b"".join(LINES)
JOINED = b'{"type":"joined","seq":47,"time":"2026-01-01T00:00:00Z","name":"reader7"}\n'


def following(stream: bytes = STREAM, *, gaps: bool = False) -> tuple[bytearray, Followers]:
    heard = bytearray(stream)
    return heard, Followers(heard, Entries(heard, FIRST - 1), gaps=gaps)


def hear(followers: Followers, number: int, data: bytes, at: int = 0) -> None:
    for piece in (data[:at], data[at:]):
        if piece:
            followers.hear(number, bytearray(piece), len(piece))


def gap(missed: int) -> bytes:
    return b'{"type":"gap","missed":%d}\n' % missed


def test_entries_are_found_by_their_numbers_as_the_stream_grows() -> None:
    stream = bytearray(STREAM)
    entries = Entries(stream, FIRST - 1)
    assert entries.end(FIRST - 1) == 0
    assert entries.end(FIRST + 1) == len(LINES[0] + LINES[1])
    assert entries.end(FIRST + 6) is None
    assert entries.end(FIRST - 2) is None
    stream += JOINED
    assert entries.end(FIRST + 6) == len(stream)
    assert entries.at(len(STREAM)) == FIRST + 5
    assert entries.at(len(STREAM) - 1) == FIRST + 4


def test_history_is_what_was_said_and_not_who_came() -> None:
    stream = bytearray(STREAM + JOINED)
    entries = Entries(stream, FIRST - 1)
    assert entries.end(FIRST + 6)
    assert entries.history(FIRST + 6, 2) == LINES[4] + LINES[5]
    assert entries.history(FIRST + 1, 50) == LINES[0] + LINES[1]


@pytest.mark.parametrize("at", range(0, len(LINES[0]) + 2, 9))
def test_each_hears_all_that_comes_after_their_place(at: int) -> None:
    """One begins after entry 42, one after 44, with something that has come already."""
    _, followers = following()
    followers.enter(0, FIRST + 1)
    followers.enter(1, FIRST + 3, LINES[4])
    hear(followers, 0, b"".join(LINES[2:]), at)
    assert not followers.done()
    hear(followers, 1, LINES[5], at)
    assert followers.done()
    assert followers.missed == 0


def test_what_comes_before_the_stream_has_come_so_far_waits() -> None:
    stream, followers = following(b"".join(LINES[:3]))
    followers.enter(0, FIRST + 1)
    hear(followers, 0, LINES[2] + LINES[3] + LINES[4][:30])
    assert not followers.done()
    stream += LINES[3] + LINES[4]
    assert not followers.done()
    hear(followers, 0, LINES[4][30:])
    assert followers.done()


def test_who_leaves_is_told_from_where_to_go_on() -> None:
    """What they have of a line that is not whole counts for nothing."""
    _, followers = following()
    followers.enter(0, FIRST - 1)
    hear(followers, 0, LINES[0] + LINES[1] + LINES[2][:-1])
    assert followers.leave(0) == FIRST + 1
    assert followers.done() is True  # nobody is left


WRONG = {
    "lost": LINES[1],
    "doubled": LINES[0] + LINES[0],
    "changed": LINES[0].replace(b"...", b"..!"),
    "somebody else's": b'{"type":"direct"}\n',
    "a gap that is not allowed": LINES[0] + gap(2) + LINES[3],
}


@pytest.mark.parametrize("how", WRONG)
def test_what_is_not_in_the_stream_there_is_seen(how: str) -> None:
    _, followers = following()
    followers.enter(0, FIRST - 1)
    with pytest.raises(LoadError, match="connection 0 got"):
        hear(followers, 0, WRONG[how])


@pytest.mark.parametrize("at", range(0, 2 * len(LINES[0]), 3))
def test_a_gap_tells_how_many_were_left_out(at: int) -> None:
    _, followers = following(gaps=True)
    followers.enter(0, FIRST - 1)
    hear(followers, 0, LINES[0] + gap(2) + LINES[3] + gap(1) + LINES[5], at)
    assert followers.done()
    assert followers.missed == 3


@pytest.mark.parametrize("missed", [1, 3])
def test_a_gap_that_tells_too_few_or_too_many_is_seen(missed: int) -> None:
    _, followers = following(gaps=True)
    followers.enter(0, FIRST - 1)
    with pytest.raises(LoadError, match="connection 0 got something else than others after entry"):
        hear(followers, 0, LINES[0] + gap(missed) + LINES[3])


def test_a_gap_within_an_entry_is_seen() -> None:
    _, followers = following(gaps=True)
    followers.enter(0, FIRST - 1)
    with pytest.raises(LoadError, match="connection 0 got a gap of 1 after entry"):
        hear(followers, 0, LINES[0][:50] + gap(1))


def test_a_gap_to_beyond_the_stream_waits_for_it() -> None:
    stream, followers = following(b"".join(LINES[:2]), gaps=True)
    followers.enter(0, FIRST - 1)
    hear(followers, 0, LINES[0] + gap(3) + LINES[4])
    assert not followers.done()
    stream += b"".join(LINES[2:5])
    assert followers.done()
    assert followers.missed == 3


def test_nobody_goes_on_after_what_nobody_has_heard_of() -> None:
    _, followers = following()
    with pytest.raises(LoadError, match="connection 0 is to go on after entry 99, which nobody has heard of"):
        followers.enter(0, 99)


@contextmanager
def sluggards(people: int) -> Iterator[tuple[Sluggards, list[socket.socket]]]:
    """So many slow ones, and the server's ends of their connections."""
    _, followers = following()
    with socket.create_server(("127.0.0.1", 0)) as server:
        crowd = Crowd(server.getsockname()[1], "chat", people, 0, people)
        ends = []
        try:
            for number in range(people):
                followers.enter(number, FIRST - 1)
                crowd.connect(number, b"")
                ends.append(server.accept()[0])
            yield Sluggards(crowd, followers), ends
        finally:
            crowd.close()
            for end in ends:
                end.close()


def test_slow_ones_read_on_to_the_end_but_those_cut_off_for_reading_nothing() -> None:
    with sluggards(4) as (slow, ends):
        for end in ends[:3]:
            end.sendall(STREAM)
        ends[3].close()
        slow.read_on()
        assert slow.cut == 1


def test_nobody_is_cut_off_who_takes_a_trickle() -> None:
    with sluggards(4) as (slow, ends):
        ends[0].close()
        with pytest.raises(LoadError, match="the server hung up on connection 0"):
            slow.read_on()
