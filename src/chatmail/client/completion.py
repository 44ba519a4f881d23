"""What Tab offers: commands, and the names of those who spoke last before all others."""

from collections.abc import Iterable, Iterator

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from chatmail.client import commands
from chatmail.client.timeline import Timeline
from chatmail.terminal.text import plain, visible

_NOTIFY = ("always", "away", "never")


class ChatCompleter(Completer):
    """Completes the word before the cursor."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Commands at the start of a line, a name after ``/dm``, and names anywhere in a text."""
        del complete_event  # Tab is the only way here
        before = document.text_before_cursor
        *words, word = before.split(" ")
        if not words and word.startswith("/"):
            return _matching(word, (command.name for command in commands.TABLE), " ")
        if words == ["/dm"]:
            return _matching(word.removeprefix("@"), self._names(), " ", at=len(word))
        if words == ["/notify"]:
            return _matching(word, _NOTIFY, "")
        if not word or "\n" in word:
            return []
        if word.startswith("@"):
            return _matching(word, (f"@{name}" for name in self._names()), " ")
        return _matching(word, self._names(), " " if words else ": ")

    def _names(self) -> Iterator[str]:
        """Everybody else once: the latest speakers, then those who are here."""
        names = dict.fromkeys([*self._timeline.speakers, *sorted(self._timeline.roster, key=str.casefold)])
        return (name for name in names if name != self._timeline.me and plain(visible(name)) == name)


def _matching(word: str, candidates: Iterable[str], after: str, *, at: int | None = None) -> list[Completion]:
    start = -len(word) if at is None else -at
    begin = word.casefold()
    return [Completion(name + after, start, display=name) for name in candidates if name.casefold().startswith(begin)]
