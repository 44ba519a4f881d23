"""The desk: a line that the operator typed goes in, the lines that answer it come out. Pure.

Nothing is ever said to people but by ``/broadcast``: a line that is no command gets a hint.
"""

import logging
from collections.abc import Callable, Iterable

from chatmail.core.operator import Operator
from chatmail.core.wire import Refused
from chatmail.server.command import QUOTED_MAX, House, Mistake
from chatmail.server.commands import BY_NAME, TABLE, find, peak_memory
from chatmail.terminal.text import harmless

_log = logging.getLogger(__name__)


class Desk:
    """Where the operator's lines are answered.

    Args:
        operator: does what they ask for.
        show: shows what a command has to say later, harmless for a terminal.
        quit: ends the server.
        started: when the server started, in seconds since the epoch.
        memory: tells how much memory it has needed, in bytes.
    """

    def __init__(
        self,
        operator: Operator,
        show: Callable[[Iterable[str]], None],
        quit: Callable[[], None],
        started: float,
        memory: Callable[[], int] = peak_memory,
    ) -> None:
        self.ended = False
        """The server was asked to end: no more lines are wanted."""
        self._show = show
        self._quit = quit
        self._house = House(operator, self.show, self.quit, started, memory)

    def quit(self) -> None:
        """Ask the server to end."""
        self.ended = True
        self._quit()

    def show(self, lines: Iterable[str]) -> None:
        """Show what a command has to say later."""
        try:
            shown = list(map(harmless, lines))
        except Exception:
            _log.exception("a fault of this server, in what a command says later")
        else:
            self._show(shown)

    def answer(self, line: str, now: float) -> list[str]:
        """Do what the line asks for; what there is to say at once, harmless for a terminal."""
        try:
            return [harmless(text) for text in self._answer(line, now)]
        except (Mistake, Refused) as mistake:
            return [harmless(str(mistake))]
        except Exception:  # whatever is wrong with a command, people chat on
            _log.exception("a fault of this server, in the command %s", line[:QUOTED_MAX])
            return []

    def _answer(self, line: str, now: float) -> Iterable[str]:
        line = line.encode("utf-8", "replace").decode().strip()  # lone surrogates can't be sent
        if not line:
            return ()
        word = line.split(maxsplit=1)[0]
        if not word.startswith("/"):
            if f"/{line.casefold()}" in BY_NAME:
                raise Mistake(f"commands begin with a slash: /{line.casefold()}")
            raise Mistake("this is not sent; /broadcast TEXT says it to everybody")
        command = find(word)
        rest = line.removeprefix(word).strip()
        if "\n" in rest and not command.prose:
            raise Mistake(f"nothing is done: {command.name} is one line, and this has several")
        least, most = command.words
        if not least <= len(rest.split()) <= (len(rest) if most is None else most):
            raise command.misused()
        return command.run(self._house, rest, now)

    def offers(self, before: str, now: float) -> list[str]:
        """What the last word before the cursor may become."""
        *words, begun = before.split(" ")
        if not words:
            return [f"{command.name} " for command in TABLE if before and command.name.startswith(begun.casefold())]
        command = BY_NAME.get(words[0].casefold())
        earlier = list(filter(None, words[1:]))
        if command is None or len(earlier) >= len(command.offers):
            return []
        offers = command.offers[len(earlier)](self._house, earlier, now)
        return [offer for offer in offers if offer.casefold().startswith(begun.casefold())]
