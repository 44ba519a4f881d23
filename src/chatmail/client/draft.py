"""What stands in the input line until it is sent: what is wrong with it, whether it may go, where else it is kept."""

from collections.abc import Iterable

from prompt_toolkit.application.run_in_terminal import in_terminal
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document

from chatmail.client.doubt import doubt
from chatmail.core import wire
from chatmail.terminal.display import Display
from chatmail.terminal.editor import edit


class Draft:
    """The line that is being typed.

    Args:
        buffer: where it is typed.
    """

    def __init__(self, buffer: Buffer) -> None:
        self.wrong = ""
        """What is wrong with it, until it is changed."""
        self._buffer = buffer
        self._doubted: str | None = None
        """The text that goes when Enter is pressed once more, unless it is changed before."""
        self._tried = False
        """Whether Enter was pressed on what became this line: somebody meant it, so it is not lost."""
        buffer.on_text_changed += self._changed

    @property
    def text(self) -> str:
        """All of it."""
        return self._buffer.text

    def doubt(self, action: wire.Say | wire.Dm, names: Iterable[str]) -> str:
        """Why it should be looked at before it is sent; empty: it may go, or was looked at. As in ``doubt``."""
        if self._buffer.text == self._doubted:
            return ""
        self._doubted = self._buffer.text
        return doubt(action, names)

    def stay(self, wrong: str) -> None:
        """It can't go so: say why, until it is changed."""
        self.wrong = wrong
        self._tried = True

    def done(self) -> None:
        """It has done what it was for."""
        self._tried = False
        self._changed()

    def clear(self) -> None:
        """Begin anew. What Enter was pressed on is in the history then."""
        self._buffer.reset(append_to_history=self._tried)
        self._tried = False
        self._changed()

    def drop(self) -> None:
        """Begin anew; it is nothing for the history."""
        self._tried = False
        self.clear()

    def keep(self) -> None:
        """It was not finished: it is in the history next time."""
        self._buffer.append_to_history()

    async def edit(self, display: Display) -> None:
        """Go on in an editor, which has the terminal meanwhile.

        Raises:
            EditorError: nothing came of it.
            OSError: the terminal is gone.
        """
        self._buffer.complete_state = None
        with display.aside():
            async with in_terminal():
                text = await edit(self._buffer.text)
        self._buffer.save_to_undo_stack()
        self._buffer.document = Document(text)

    def _changed(self, _: object = None) -> None:
        self.wrong = ""
        self._doubted = None
