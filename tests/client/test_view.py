"""What stands around the input line is drawn again when it may have changed, and not twice for the same."""

from chatmail.client.screen import Look
from chatmail.client.timeline import News, Timeline
from chatmail.client.view import View
from chatmail.core import wire
from chatmail.terminal.display import Display
from tests.client.scripted import message
from tests.terminal.screen import at_terminal


def nothing(seq: int, *, direct: bool) -> None:
    """Nobody is told what was shown."""


async def test_only_what_shows_nothing_above_asks_for_a_redraw_of_its_own() -> None:
    """Else each of 200 messages a second would cost two: the display draws the prompt again after each line."""
    redraws: list[None] = []
    async with at_terminal() as terminal:
        timeline = Timeline("John", "p")
        view = View(Display({}), timeline, nothing, lambda: redraws.append(None), look=Look(""), bell="off")
        view.news(News(message(1, "hello")))
        assert "Mary: hello" in terminal.text
        assert not redraws
        view.news(News(wire.Ack()))  # as for a line that was accepted before: nothing is shown, but one less waits
        assert len(redraws) == 1
        view.end()
