"""The desk: a line that the operator typed goes in, the lines that answer it come out. Pure.

Nothing is ever said to people but by ``/broadcast``: a line that is no command gets a hint.
"""

import logging
from collections.abc import Callable, Iterable

from msgspec.structs import replace

from chatmail.core.operator import Operator
from chatmail.core.pace import Pace
from chatmail.core.wire import Refused
from chatmail.server.command import QUOTED_MAX, House, Machine, Mistake, Offer
from chatmail.server.commands import BY_NAME, find, names
from chatmail.server.lines import several
from chatmail.terminal.text import harmless

AGAIN = 10.0
"""For so many seconds, a second /quit is meant as one."""

ANYTIME = frozenset({"/help", "/log", "/quit"})
"""Commands that can be done while there is no hub."""

_log = logging.getLogger(__name__)


class Desk:
    """Where the operator's lines are answered.

    Args:
        operator: does what they ask for.
        show: shows lines, harmless for a terminal.
        quit: ends the server.
        started: when the server started, in seconds since the epoch.
        machine: what there is around the chat.
        asks: whether a ``/quit`` is taken for a slip, the first time, while people are here.
    """

    def __init__(
        self,
        operator: Operator,
        show: Callable[[Iterable[str]], None],
        quit: Callable[[], None],
        started: float,
        machine: Machine,
        *,
        asks: bool = False,
    ) -> None:
        self.ended = False
        """The server was asked to end: no more lines are wanted."""
        self.pace = Pace(operator.messages(), started)
        self._operator = operator
        self._show = show
        self._end = quit
        self._asks = asks
        self._asked: float | None = None
        self._house = House(operator, self.show, self._quit, started, machine, self.pace)

    def end(self) -> None:
        """Ask the server to end."""
        self.ended = True
        self._end()

    def _quit(self, now: float) -> Iterable[str]:
        """Ask the server to end, or first the operator; the question."""
        if self._operator.away:
            self.end()
            return ()
        figures = self._operator.figures()
        people, several_servers = figures.own, figures.servers > 1
        sure = self._asked is not None and 0 <= now - self._asked <= AGAIN
        if self._asks and people and not sure:
            self._asked = now
            verb = "is" if people == 1 else "are"
            if several_servers:
                return [f"{several(people, 'person')} {verb} at this server; /quit again ends it, the others go on"]
            return [f"{several(people, 'person')} {verb} here; /quit again ends the server"]
        self.end()
        return ()

    def look(self, now: float) -> None:
        """Look how busy the chat is; to be called every few seconds."""
        self.pace.look(self._operator.messages(), now)

    def show(self, lines: Iterable[str]) -> None:
        """Show what a command has to say later."""
        try:
            shown = list(map(harmless, lines))
        except Exception:
            _log.exception("a fault of this server, in what a command says later")
        else:
            self._show(shown)

    def enter(self, line: str, now: float) -> None:
        """Do what the line asks for, and show what there is to say at once."""
        self._show(self.answer(line, now))

    @property
    def owes(self) -> bool:
        """Whether something that was asked for is still to be done, or to be found."""
        return bool(self._operator.owed)

    def when_answered(self, call: Callable[[], None]) -> None:
        """Call this whenever nothing is owed any more."""
        self._operator.answered = call

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
        if word.casefold() != "/quit":
            self._asked = None
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
        if self._operator.away and command.name not in ANYTIME:
            raise Mistake("not now: this server starts anew; try again in a moment")
        return command.run(self._house, rest, now)

    def offers(self, before: str, now: float) -> list[Offer]:
        """What the last word before the cursor may become."""
        *words, begun = before.split(" ")
        if not words:
            return _matching(begun, (replace(name, text=f"{name.text} ") for name in names())) if before else []
        command = BY_NAME.get(words[0].casefold())
        earlier = list(filter(None, words[1:]))
        if command is None or len(earlier) >= len(command.offers):
            return []
        return _matching(begun, command.offers[len(earlier)](self._house, earlier, now))


def _matching(begun: str, offers: Iterable[Offer]) -> list[Offer]:
    """Those that begin so, with what is said about them harmless for a terminal."""
    begin = begun.casefold()
    return [replace(offer, about=harmless(offer.about)) for offer in offers if offer.text.casefold().startswith(begin)]
