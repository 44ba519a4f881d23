"""What Tab offers at the operator's prompt, and what is said about each."""

from collections.abc import Callable, Iterable

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from chatmail.server.desk import Desk


class DeskCompleter(Completer):
    """Completes the word before the cursor with what the desk offers.

    Args:
        desk: where the line will be answered.
        clock: seconds since the epoch.
    """

    def __init__(self, desk: Desk, clock: Callable[[], float]) -> None:
        self._desk = desk
        self._clock = clock

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """The offers for this line."""
        del complete_event  # Tab is the only way here
        before = document.text_before_cursor
        begun = before.rpartition(" ")[2]
        for offer in self._desk.offers(before, self._clock()):
            yield Completion(offer.text, -len(begun), display=offer.text.strip(), display_meta=offer.about)
