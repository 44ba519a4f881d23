"""The operator's commands: one table of all. Pure.

What takes the store a moment has no answer here. A ban or a broadcast is told, like everything that happens, when it is
done; what was said is shown when the store has found it.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from chatmail.server.command import QUOTED_MAX, Command, House, Mistake, Offer
from chatmail.server.house_commands import HOUSE
from chatmail.server.lines import table
from chatmail.server.mail_commands import MAIL
from chatmail.server.people_commands import PEOPLE
from chatmail.server.said_commands import BROADCAST, SAID


def find(word: str) -> Command:
    """The command of this name. Raises Mistake, with the one that was perhaps meant."""
    command = BY_NAME.get(word.casefold())
    if command is None:
        known = {name: name for name in BY_NAME} | _ELSEWHERE
        close = get_close_matches(word.casefold()[:QUOTED_MAX], known, n=1) if len(word) > 1 else []
        hint = f"did you mean {known[close[0]]}?" if close else "/help lists them"
        raise Mistake(f"there is no command {word[:QUOTED_MAX]}; {hint}")
    return command


def names() -> list[Offer]:
    """All commands, as Tab offers them."""
    return [Offer(command.name, command.help) for command in TABLE]


def _help(house: House, rest: str, now: float) -> Iterable[str]:  # noqa: ARG001 - each command is called alike
    if not rest:
        return table(*((command.usage, command.help) for command in TABLE))
    command = find(rest if rest.startswith("/") else f"/{rest}")
    return [f"{command.usage}: {command.help}", *([command.more] if command.more else [])]


def _quit(house: House, rest: str, now: float) -> Iterable[str]:  # noqa: ARG001
    return house.quit(now)


def _names(house: House, words: Sequence[str], now: float) -> Iterable[Offer]:  # noqa: ARG001 - offers, too
    return names()


TABLE = (
    BROADCAST,
    *PEOPLE,
    MAIL,
    *SAID,
    *HOUSE,
    Command("/help", "/help [COMMAND]", "this list, or more about a command", (0, 1), _help, (_names,)),
    Command(
        "/quit", "/quit", "end the server (so does Ctrl-D)", (0, 0), _quit,
        more="While people are at this server, it takes a second /quit.",
    ),
)  # fmt: skip

BY_NAME = {command.name: command for command in TABLE}

_ELSEWHERE = {
    "/say": "/broadcast", "/wall": "/broadcast", "/announce": "/broadcast", "/notice": "/broadcast",
    "/names": "/who", "/users": "/who", "/list": "/who", "/people": "/who", "/pardon": "/unban", "/banlist": "/bans",
    "/delete": "/forget", "/remove": "/forget", "/queue": "/mail", "/retry": "/mail", "/drop": "/mail",
    "/last": "/history", "/find": "/search", "/grep": "/search", "/level": "/log", "/verbose": "/log",
    "/debug": "/log", "/status": "/stats", "/uptime": "/stats", "/exit": "/quit", "/stop": "/quit",
    "/shutdown": "/quit", "/q": "/quit", "/?": "/help", "/commands": "/help",
}  # fmt: skip
"""What the same is called elsewhere: answered with the name it has here."""
