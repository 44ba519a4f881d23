"""What Tab offers: commands, the names of those who spoke last before all others, and emoji."""

import re
from collections.abc import Iterable

from msgspec import UNSET, UnsetType
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from chatmail.client import commands, shortcodes
from chatmail.client.screen import IDLE_SHOWN
from chatmail.client.timeline import Timeline
from chatmail.core import wire
from chatmail.terminal.spans import span
from chatmail.terminal.text import plain, shows_itself, visible

_SHORTCODE = re.compile(r"(?<![\w:]):([A-Za-z0-9_+-]+)(:?)\Z")
"""Not the one in ``10:30``."""


class ChatCompleter(Completer):
    """Completes the word before the cursor."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """A command at the start, after it what it takes; names and emoji anywhere in a text."""
        del complete_event  # Tab is the only way here
        before = document.text_before_cursor
        word = re.split(r"\s", before)[-1]
        head = before.removesuffix(word)
        if code := _SHORTCODE.search(word):
            return _emoji(code)
        if not head and word.startswith("/"):
            return _matching(word, ((command.name, command.help) for command in commands.TABLE), " ")
        match commands.argument(head):
            case "NAME":
                return _matching(word.removeprefix("@"), self._people(), " ", at=len(word))
            case "COMMAND":
                known = ((command.name, command.help) for command in commands.TABLE)
                return _matching(f"/{word.removeprefix('/')}", known, "", at=len(word))
            case str(choices) if "|" in choices:
                return _matching(word, ((choice, "") for choice in choices.split("|")), "")
        if word.startswith("@"):
            return _matching(word, ((f"@{name}", presence) for name, presence in self._people()), " ")
        return _matching(word, self._people(), " " if head else ": ") if word else []

    def _people(self) -> Iterable[tuple[str, str]]:
        return ((name, presence(name, self._timeline)) for name in people(self._timeline) if shows_itself(name))


def people(timeline: Timeline) -> list[str]:
    """Everybody else to whom one may want to write, once: the latest speakers, then those who are here."""
    names = dict.fromkeys([*timeline.speakers, *sorted(timeline.roster, key=str.casefold)])
    names.pop(timeline.me, None)
    return list(names)


def presence(name: str, timeline: Timeline) -> str:
    """Whether somebody would see at once what is said to them, in a word or two."""
    person = timeline.roster.get(name)
    if person is None:
        if timeline.total > len(timeline.roster):  # it may hold only some
            return ""
        gone = timeline.gone.get(name)
        return _mailed("not here", gone.mailed if gone is not None else UNSET)
    idle = "" if person.idle is UNSET or person.idle < IDLE_SHOWN else f" {span(person.idle)}"
    if person.away is not UNSET:
        reason = f": {plain(visible(person.away))}" if person.away != commands.AWAY else ""
        return _mailed(f"away{idle}{reason}", person.mailed)
    return f"here, idle{idle}" if idle else "here"


def _mailed(presence: str, mailed: wire.When | UnsetType) -> str:
    """What is known of whether an absent person gets direct messages by email as well."""
    return presence if mailed is UNSET else f"{presence}, will {'not ' * (mailed == 'never')}be emailed"


def _emoji(code: re.Match[str]) -> list[Completion]:
    typed, name, end = code.group(0, 1, 2)
    found = [(name, shortcodes.table()[name])] if end and name in shortcodes.table() else []
    offered = found if end else shortcodes.find(name)
    return [Completion(emoji, -len(typed), display=f":{name}: {emoji}") for name, emoji in offered]


def _matching(
    word: str, candidates: Iterable[tuple[str, str]], after: str, *, at: int | None = None
) -> list[Completion]:
    """Those that begin like the word; the second of each pair tells about the first."""
    start = -len(word) if at is None else -at
    begin = word.casefold()
    return [
        Completion(text + after, start, display=text, display_meta=about)
        for text, about in candidates
        if text.casefold().startswith(begin)
    ]
