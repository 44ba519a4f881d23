"""A line becomes something to send, something to do, or a sentence; a command never reaches everybody."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatmail.client.commands import SLASHES, TABLE, Help, Mistake, Nothing, Parsed, Quit, help_text, parse, text_of
from chatmail.client.lookback import LookBack
from chatmail.core import wire
from chatmail.core.decoder import Decoder


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("hello", wire.Say(text="hello")),
        ("  indented", wire.Say(text="  indented")),
        ("hello  \n", wire.Say(text="hello")),
        ("one\n/two", wire.Say(text="one\n/two")),
        ("//etc/passwd", wire.Say(text="/etc/passwd")),
        ("", Nothing()),
        (" \t\n", Nothing()),
        ("/dm Mary hello", wire.Dm(to="Mary", text="hello")),
        ("/DM @Mary: hello", wire.Dm(to="Mary", text="hello")),
        ("/dm Mary line 1\nline 2", wire.Dm(to="Mary", text="line 1\nline 2")),
        ("/dm Mary\nline 1\n  line 2", wire.Dm(to="Mary", text="line 1\n  line 2")),
        ("/r yes", wire.Dm(to="Bob", text="yes")),
        ("/me waves", wire.Say(text="/me waves")),
        ("/who", wire.Who()),
        ("/history", LookBack(count=20)),
        ("/history  1 ", LookBack(count=1)),
        ("/History 1000", LookBack(count=1000)),
        ("/search tea", LookBack(words="tea")),
        ("/search  green\n tea ", LookBack(words="green tea")),
        ("/search " + "x" * 200, LookBack(words="x" * 200)),
        ("/away", wire.Away(reason="away")),
        ("/away at  lunch", wire.Away(reason="at lunch")),
        ("/back", wire.Away()),
        ("/notify Never", wire.Notify(when="never")),
        ("/notify always", wire.Notify(when="always")),
        ("/notify away", wire.Notify(when="away")),
        ("/help", Help()),
        ("/help notify", Help("/notify")),
        ("/help /DM ", Help("/DM")),
        ("/quit", Quit()),
    ],
)
def test_meaning(line: str, meaning: Parsed) -> None:
    assert parse(line, "Bob") == meaning


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (" /dm Mary secret", "nothing before it"),
        ("\u200b/dm Mary secret", "nothing before it"),
        ("／dm Mary secret", "plain /"),
        ("/dmm Mary secret", "did you mean /dm?"),
        ("/msg Mary secret", "did you mean /dm?"),
        ("/exit", "did you mean /quit?"),
        ("/ dm Mary secret", "did you mean /dm?"),
        ("/help notfy", "did you mean /notify?"),
        ("/help xyzzy", "/help"),
        ("/find tea", "did you mean /search?"),
        ("/grep tea", "did you mean /search?"),
        ("/log", "did you mean /history?"),
        ("/last 5", "did you mean /history?"),
        ("/xyzzy", "/help"),
        ("/nick Mary", "there is no command /nick; a name is chosen at the start: chatmail --name NAME"),
        ("/Name Mary", "chatmail --name NAME"),
        ("/help rename", "chatmail --name NAME"),
        ("/help nope", "there is no command /nope; /help lists them"),
        ("/md Mary secret", "did you mean /dm?"),
        ("/dm", "/dm NAME TEXT"),
        ("/dm Mary", "/dm NAME TEXT"),
        ("/dm @ hello", "/dm NAME TEXT"),
        ("/r", "/r TEXT"),
        ("/me", "/me TEXT"),
        ("/who Mary", "takes nothing"),
        ("/history 0", "/history [N]"),
        ("/history -1", "/history [N]"),
        ("/history 1001", "up to 1000"),
        ("/history ²", "/history [N]"),
        ("/history 5 6", "/history [N]"),
        ("/history " + "9" * 10_000, "/history [N]"),
        ("/search", "/search WORDS"),
        ("/search \n", "/search WORDS"),
        ("/search " + "x" * 201, "201 characters; at most 200"),
        ("/search a\0b", "NUL"),
        ("/notify", "always|away|never"),
        ("/notify sometimes", "always|away|never"),
        ("x" * 4_001, "4,001 characters"),
        ("/dm Mary " + "x" * 4_001, "4,001 characters"),
        ("/me " + "x" * 4_000, "4,004 characters"),
        ("/away " + "x" * 201, "201 characters"),
        ("a\0b", "NUL"),
    ],
)
def test_mistakes(line: str, says: str) -> None:
    mistake = parse(line, "Bob")
    assert isinstance(mistake, Mistake)
    assert says in mistake.text


def test_r_needs_somebody_to_answer() -> None:
    assert isinstance(parse("/r yes", None), Mistake)


@given(st.text(" \t\u00a0\u200b\ufeff"), st.sampled_from(SLASHES), st.text(), st.none() | st.text())
def test_what_looks_like_a_command_is_never_said_to_all(
    before: str, slash: str, rest: str, partner: str | None
) -> None:
    action = parse(before + slash + rest, partner)
    if isinstance(action, wire.Say):
        assert (before, slash) == ("", "/")
        assert rest.startswith("/") or action.text.startswith("/me ")


@given(st.text())
def test_every_line_means_something_that_can_be_sent(line: str) -> None:
    action = parse(line, "Bob")
    if isinstance(action, wire.Frame):
        (frame,) = Decoder[wire.ClientFrame](wire.ClientFrame).feed(wire.encode(action))
        assert frame == action


def test_lone_surrogates_can_be_sent() -> None:
    assert parse("caf\udce9") == wire.Say(text="caf?")


def test_help_lists_every_command() -> None:
    for command in TABLE:
        assert command.usage in help_text()
        assert command.help in help_text()
        assert command.more in help_text(command.name)


@pytest.mark.parametrize(
    ("line", "text"),
    [("hi ", "hi"), ("/dm Mary hi", "hi"), ("/r hi", "hi"), ("/me waves", "/me waves"),
     ("/dm Mary " + "x" * 5_000, "x" * 5_000),
     ("x" * 4_001, "x" * 4_001), ("/who", ""), ("/dm Mary", ""), ("/dmm Mary hi", "")],
)  # fmt: skip
def test_the_text_of_a_line_is_what_others_would_see(line: str, text: str) -> None:
    assert text_of(line, "Bob") == text
