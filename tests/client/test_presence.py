"""Who comes and goes is told at once or folded, but always told, unless it came to nothing."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from chatmail.client.presence import LATELY, REMEMBERED_MAX, WINDOW, Coming, Presence
from chatmail.core import wire
from tests.client.scripted import NOW, direct, message

SOON = NOW + timedelta(seconds=1)


def came(name: str, seq: int = 1) -> wire.Joined:
    return wire.Joined(seq=seq, time=NOW, name=name)


def went(name: str, reason: str = "left", seq: int = 1) -> wire.Left:
    return wire.Left(seq=seq, time=NOW, name=name, reason=reason)


def test_the_first_is_told_at_once_and_those_that_follow_together() -> None:
    presence = Presence()
    assert presence.tells(came("Ann"), NOW)
    assert presence.due is None
    assert not presence.tells(came("Bob"), SOON)
    assert not presence.tells(went("Eve"), SOON)
    assert presence.due == NOW + WINDOW
    assert presence.tick(NOW + WINDOW - timedelta(seconds=1)) == []
    assert presence.tick(NOW + WINDOW) == [came("Bob"), went("Eve")]
    assert presence.due is None


def test_in_a_steady_stream_there_is_one_line_each_half_minute() -> None:
    presence = Presence()
    assert presence.tells(came("Ann"), NOW)
    assert not presence.tells(came("Bob"), SOON)
    assert presence.tick(NOW + WINDOW) == [came("Bob")]
    assert not presence.tells(came("Cem"), NOW + WINDOW)
    assert presence.tick(NOW + 2 * WINDOW) == [came("Cem")]


def test_after_a_quiet_while_the_next_is_the_first_again() -> None:
    presence = Presence()
    assert presence.tells(came("Ann"), NOW)
    assert presence.tells(came("Bob"), NOW + WINDOW)


def test_another_line_ends_the_run() -> None:
    presence = Presence()
    assert presence.tells(came("Ann"), NOW)
    assert not presence.tells(came("Bob"), SOON)
    assert presence.flush() == [came("Bob")]
    assert presence.tells(came("Cem"), SOON)


def test_who_went_and_is_back_is_not_told_of() -> None:
    presence = Presence()
    assert presence.tells(came("Ann"), NOW)
    assert not presence.tells(went("Bob"), NOW)
    assert not presence.tells(came("Bob"), SOON)
    assert presence.due is None
    assert presence.flush() == []


def test_who_was_told_to_be_gone_is_told_to_be_back() -> None:
    presence = Presence()
    assert presence.tells(went("Ann"), NOW)
    assert not presence.tells(came("Ann"), SOON)
    assert presence.flush() == [came("Ann")]


def test_who_spoke_lately_is_told_at_once() -> None:
    presence = Presence()
    presence.heard(message(1, sender="Bob"))
    assert presence.tells(came("Ann"), NOW)
    assert presence.tells(went("Bob"), NOW)
    later = NOW + LATELY + timedelta(seconds=1)
    assert not presence.tells(wire.Joined(seq=3, time=later, name="Bob"), NOW)


def test_with_whom_there_were_direct_messages_is_always_told_at_once() -> None:
    presence = Presence()
    presence.heard(direct(1, sender="John", to="Bob"))
    presence.heard(direct(2, sender="Eve", to="John"))
    assert presence.tells(came("Ann"), NOW)
    much_later = NOW + timedelta(days=1)
    assert presence.tells(wire.Joined(seq=3, time=much_later, name="Bob"), NOW)
    assert presence.tells(wire.Left(seq=4, time=much_later, name="Eve", reason=""), NOW)


def test_who_was_made_to_go_is_told_at_once() -> None:
    presence = Presence()
    assert presence.tells(came("Ann"), NOW)
    assert presence.tells(went("Bob", "kicked: spam"), NOW)
    assert not presence.tells(went("Eve", "connection lost"), NOW)
    assert not presence.tells(went("Sam", "their server ended"), NOW)


def test_not_all_who_ever_spoke_are_remembered() -> None:
    presence = Presence()
    for number in range(REMEMBERED_MAX + 1):
        presence.heard(message(number, sender=f"p{number}"))
    assert presence.tells(came("Ann"), NOW)
    assert not presence.tells(went("p0"), NOW)
    assert presence.tells(went("p1"), NOW)


moves = st.lists(st.tuples(st.sampled_from("ABCD"), st.sampled_from([0, 1, 29, 30, 31]), st.sampled_from("mtf")))


@given(moves)
def test_what_is_told_ends_with_who_is_here(moves: list[tuple[str, int, str]]) -> None:
    """Whatever is folded or left out: a reader who keeps a list has the right one."""
    presence, now = Presence(), NOW
    here: set[str] = set()
    told: set[str] = set()

    def tell(frames: list[Coming]) -> None:
        for frame in frames:
            assert (frame.name in told) == isinstance(frame, wire.Left)
            (told.add if isinstance(frame, wire.Joined) else told.discard)(frame.name)

    for name, seconds, what in moves:
        now += timedelta(seconds=seconds)
        tell(presence.tick(now))
        if what == "f":
            tell(presence.flush())
            continue
        frame = went(name) if name in here else came(name)
        here ^= {name}
        if presence.tells(frame, now):
            tell([frame])
    tell(presence.flush())
    assert told == here
