"""Lines above the prompt, while somebody types in it.

prompt-toolkit has to take the prompt away, let the lines be written and draw it again. That costs a round trip to the
terminal, so all that has come in meanwhile is written at once.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from prompt_toolkit.application.current import get_app_session
from prompt_toolkit.application.run_in_terminal import run_in_terminal
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.styles import Style
from prompt_toolkit.utils import get_cwidth

from chatmail.client import screen
from chatmail.client.text import Fragments, wrap

BATCH = 500
"""So many lines are written at once at most, so that keys are not kept waiting."""


class Display:
    """Writes what it is given, in order; ``run`` is its task, ``close`` ends it after the last line."""

    def __init__(self) -> None:
        self._queue: deque[tuple[Fragments, bool, Callable[[], None] | None]] = deque()
        self._more = asyncio.Event()
        self._closed = False
        self._style = Style.from_dict(screen.STYLE)

    def show(self, fragments: Fragments, *, ring: bool = False, then: Callable[[], None] | None = None) -> None:
        """Write this on lines of its own; ``then`` is called when it has been written."""
        if fragments:
            self._queue.append((fragments, ring, then))
            self._more.set()

    def close(self) -> None:
        """Nothing more will come."""
        self._closed = True
        self._more.set()

    async def run(self) -> None:
        """Write until closed."""
        while self._queue or not self._closed:
            await self._more.wait()
            self._more.clear()
            while self._queue:
                # Shielded: cut short between taking the prompt away and drawing it again, it would never end.
                await asyncio.shield(run_in_terminal(self._write))

    def _write(self) -> None:
        output = get_app_session().output
        width = output.get_size().columns
        batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
        lines: Fragments = []
        for fragments, _, _ in batch:
            lines += [*wrap(fragments, width, get_cwidth), ("", "\n")]
        print_formatted_text(output, FormattedText(lines), self._style)
        if any(ring for _, ring, _ in batch):
            output.bell()
        output.flush()
        for _, _, then in batch:
            if then:
                then()
