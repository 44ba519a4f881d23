"""What Tab offers, without a terminal."""

import subprocess
import sys

import pytest
from msgspec import structs
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import to_plain_text

from chatmail.client import commands, shortcodes
from chatmail.client.completion import ChatCompleter, people
from chatmail.client.timeline import Timeline
from chatmail.core import wire
from chatmail.terminal.text import shows_itself
from tests.client.scripted import NOW, direct, message, person, welcome


@pytest.fixture
def timeline() -> Timeline:
    """John's, who is here with Mary, Max and Bob."""
    timeline = Timeline("John", "p")
    timeline.receive(welcome("John", "Mary", "Max", "Bob"))
    return timeline


def offered(timeline: Timeline, typed: str) -> list[tuple[str, str]]:
    """What the line becomes with each thing that Tab offers, and what is said about it."""
    found = ChatCompleter(timeline).get_completions(Document(typed), CompleteEvent(completion_requested=True))
    return [(typed[: len(typed) + each.start_position] + each.text, to_plain_text(each.display_meta)) for each in found]


def texts(timeline: Timeline, typed: str) -> list[str]:
    return [text for text, _ in offered(timeline, typed)]


def test_commands_are_offered_with_their_help(timeline: Timeline) -> None:
    assert offered(timeline, "/") == [(f"{command.name} ", command.help) for command in commands.TABLE]
    assert texts(timeline, "/DM") == ["/dm "]
    assert texts(timeline, "hi /d") == []


@pytest.mark.parametrize("typed", ["/dm m", "/dm @m", "/whois M", "/ignore m", "/unignore M", "/DM m"])
def test_a_command_that_takes_a_name_is_offered_names(timeline: Timeline, typed: str) -> None:
    command = typed.split()[0]
    assert texts(timeline, typed) == [f"{command} Mary ", f"{command} Max "]


def test_what_else_a_command_takes(timeline: Timeline) -> None:
    assert texts(timeline, "/notify a") == ["/notify always", "/notify away"]
    assert texts(timeline, "/help wh") == ["/help /who", "/help /whois"]
    assert texts(timeline, "/help /dm") == ["/help /dm"]
    assert texts(timeline, "/history ") == texts(timeline, "/who ") == texts(timeline, "/nothing ") == []


def test_names_in_a_text(timeline: Timeline) -> None:
    assert texts(timeline, "bo") == ["Bob: "]
    assert texts(timeline, "hi bo") == ["hi Bob "]
    assert texts(timeline, "@bo") == ["@Bob "]
    assert texts(timeline, "one\nbo") == ["one\nBob "]
    assert texts(timeline, "/dm Mary ask @bo") == ["/dm Mary ask @Bob "]
    assert texts(timeline, "") == texts(timeline, "hi ") == []


def test_who_spoke_last_comes_first_and_nobody_twice(timeline: Timeline) -> None:
    timeline.receive(message(1, sender="Max"))
    timeline.receive(direct(2, sender="Mary"))
    assert texts(timeline, "/dm ") == ["/dm Mary ", "/dm Max ", "/dm Bob "]
    assert "John" not in people(timeline)


def test_presence_is_told_with_the_name(timeline: Timeline) -> None:
    timeline.receive(message(1, sender="Zoe"))
    there = [person("Mary", away="lunch"), person("Max", away="away"), person("Ann")]
    idle = structs.replace(person("Bob"), idle=300)
    timeline.receive(wire.People(people=[*there, idle, structs.replace(person("Cy"), idle=59)], total=5))
    assert offered(timeline, "/dm ") == [
        ("/dm Zoe ", "not here"),
        ("/dm Ann ", "here"),
        ("/dm Bob ", "here, idle 5m"),
        ("/dm Cy ", "here"),
        ("/dm Mary ", "away: lunch"),
        ("/dm Max ", "away"),
    ]


@pytest.mark.parametrize(
    ("mailed", "told"), [("always", "will be emailed"), ("away", "will be emailed"), ("never", "will not be emailed")]
)
def test_whether_mail_reaches_somebody_is_told_where_it_is_known(
    timeline: Timeline, mailed: wire.When, told: str
) -> None:
    zoe = structs.replace(person("Zoe"), idle=7_200, mailed=mailed)
    timeline.receive(message(1, sender="Zoe"))
    timeline.receive(wire.People(people=[zoe], total=1))
    assert offered(timeline, "/dm z") == [("/dm Zoe ", "here, idle 2h00m")]
    timeline.receive(wire.People(people=[structs.replace(zoe, away="away")], total=1))
    assert offered(timeline, "/dm z") == [("/dm Zoe ", f"away 2h00m, {told}")]
    timeline.receive(wire.Left(seq=2, time=NOW, name="Zoe", reason="left"))
    assert offered(timeline, "/dm z") == [("/dm Zoe ", f"not here, {told}")]


def test_whom_we_wrote_to_is_offered_though_they_never_were_here(timeline: Timeline) -> None:
    timeline.receive(direct(1, sender="John", to="Dan"))
    assert offered(timeline, "/dm d") == [("/dm Dan ", "not here")]


def test_nobody_is_said_to_be_gone_where_the_list_has_no_room_for_all(timeline: Timeline) -> None:
    timeline.receive(message(1, sender="Zoe"))
    timeline.receive(wire.People(people=[person("Mary")], total=300))
    assert offered(timeline, "/dm z") == [("/dm Zoe ", "")]


def test_nothing_is_offered_that_could_drive_a_terminal(timeline: Timeline) -> None:
    timeline.receive(message(1, sender="Ma\u202e"))
    timeline.receive(wire.People(people=[person("Mary", away="\x1b[2J")], total=1))
    assert offered(timeline, "/dm m") == [("/dm Mary ", "away: \\x1b[2J")]


@pytest.mark.parametrize("before", ["", "hi ", "/dm Mary (", "one\n"])
def test_emoji_by_their_names(timeline: Timeline, before: str) -> None:
    assert texts(timeline, f"{before}:smi")[:2] == [f"{before}😄", f"{before}😏"]
    assert texts(timeline, f"{before}:Smile:") == []
    assert texts(timeline, f"{before}:smile:") == [f"{before}😄"]
    assert texts(timeline, f"{before}:+1") == [f"{before}👍"]


@pytest.mark.parametrize("typed", ["10:30", "a:smile", ":)", "::smile", ":nothingiscalledso", ":smi "])
def test_what_is_no_emoji(timeline: Timeline, typed: str) -> None:
    assert texts(timeline, typed) == []


def test_a_word_within_a_name_counts_but_less() -> None:
    names = [name for name, _ in shortcodes.find("heart")]
    assert names[0] == "heart"
    assert "green_heart" in names
    assert len(names) == shortcodes.OFFERED_MAX


def test_every_emoji_is_seen_as_one_by_others() -> None:
    assert len(shortcodes.table()) > 3_000
    assert all(map(shows_itself, shortcodes.table().values()))


def test_without_the_package_there_are_none_and_it_is_loaded_by_nothing_else() -> None:
    code = """
import sys
from chatmail.client import completion, prompt, shortcodes
assert "emoji" not in sys.modules
sys.modules["emoji"] = None
assert shortcodes.find("smi") == []
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
