"""What is new to a script, and whether whom it wrote to has been reached."""

from datetime import timedelta

import pytest

from chatmail.client import frames
from chatmail.client.commands import Mistake, Nothing, Quit
from chatmail.client.script import Mails, Since
from chatmail.core import wire
from tests.client.scripted import NOW, message, welcome


def said(seq: int, minutes: int) -> wire.Message:
    return wire.Message(seq=seq, time=NOW + timedelta(minutes=minutes), sender="Mary", text="x")


def test_what_was_said_before_we_came_is_not_new() -> None:
    since = Since()
    since.welcome(welcome(seq=5))
    assert [since.is_new(message(seq)) for seq in (4, 5, 6)] == [False, False, True]


def test_what_was_missed_is_new() -> None:
    since = Since()
    since.welcome(welcome(seq=5))
    since.welcome(welcome(seq=9, resumed=True))
    assert since.is_new(message(6))


def test_at_a_server_that_began_anew_the_time_tells() -> None:
    since = Since()
    since.welcome(welcome(seq=5))
    assert not since.is_new(said(5, minutes=1))
    assert since.is_new(said(6, minutes=2))
    since.welcome(welcome(seq=3, epoch="e2"))
    assert [since.is_new(said(1, 1)), since.is_new(said(2, 2)), since.is_new(said(3, 3))] == [False, False, True]


def receipt(mail: wire.MailState, *, online: bool = False, id: str = "a") -> wire.Receipt:
    return wire.Receipt(id=id, seq=1, to="Mary", online=online, mail=mail)


@pytest.mark.parametrize(
    ("mail", "online", "is_open", "failed"),
    [
        ("queued", False, True, False),
        ("held", False, True, False),
        ("queued", True, False, False),
        ("sent", False, False, False),
        ("saved", False, False, False),
        ("off", False, False, False),
        ("failed", False, False, True),
    ],
)
def test_when_somebody_has_been_reached(mail: wire.MailState, online: bool, is_open: bool, failed: bool) -> None:
    mails = Mails()
    mails.said(wire.Dm(to="Mary", text="x", id="a"))
    mails.receive(receipt(mail, online=online))
    assert (bool(mails.open), mails.failed) == (is_open, failed)


def test_only_our_own_messages_count() -> None:
    mails = Mails()
    mails.said(wire.Say(text="x", id="a"))
    mails.receive(receipt("failed"))
    assert (mails.open, mails.failed) == (set(), False)
    mails.said(wire.Dm(to="Nobody", text="x", id="b"))
    mails.receive(wire.Error(code="no-such-person", text="?", id="b"))
    assert mails.open == set()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"type":"join","name":"x","email":"y@x.org"}', "'join' is the client's own business"),
        ('{"type":"ping"}', "'ping' is the client's own business"),
        ('{"type":"verify","code":"1"}', "'verify' is the client's own business"),
        ('{"type":"shout"}', "'shout' is no type of frame"),
        ('{"type":"say"}', "missing required field `text`"),
        ('{"type":"say","text":" "}', "this text is empty"),
        ("hello", "no JSON object"),
        ("[" * wire.LINE_MAX + "[", "longer than 65,536 bytes"),
    ],
)
def test_a_line_that_is_no_frame_of_a_script_is_told_in_a_sentence(line: str, told: str) -> None:
    meant = frames.Reader().read(line)
    assert isinstance(meant, Mistake)
    assert told in meant.text


def test_frames_are_read_and_after_a_mistake_as_well() -> None:
    reader = frames.Reader()
    for bad in ("x", "[" * 70_000):
        reader.read(bad)
    assert reader.read('{"type":"say","text":"hi","id":"1"}') == wire.Say(text="hi", id="1")
    assert reader.read(' {"type":"who"}\r') == wire.Who()
    assert reader.read('{"type":"leave"}') == Quit()
    assert reader.read("  ") == Nothing()


def test_frames_are_written_as_they_came_but_for_the_proof() -> None:
    assert frames.write(message(1, "tea ☕")) + "\n" == wire.encode(message(1, "tea ☕")).decode()
    assert frames.write(welcome()) == wire.encode(welcome()).decode().strip().replace('"token":"t1",', "")


def test_at_a_terminal_nothing_in_them_can_drive_it() -> None:
    shown = frames.write(message(1, "\x9b2J\u202e"), harmless=True)
    assert shown.isascii()
    assert shown.isprintable()
    assert '"token"' not in frames.write(welcome(), harmless=True)
