"""The operator's commands: one table, and what each of them does and answers. Pure.

What takes the store a moment has no answer here. A ban or a broadcast is told, like everything that happens, when it is
done; what was said is shown when the store has found it.
"""

import re
import resource
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches

from chatmail.core.bans import Bans
from chatmail.core.hosts import network
from chatmail.core.names import BadEmail, BadName, check_email, check_name
from chatmail.core.operator import Profile
from chatmail.core.records import Ban, Entry, Found
from chatmail.core.wire import COUNT, COUNT_MAX, Refused
from chatmail.server.command import QUOTED_MAX, Command, House, Mistake
from chatmail.server.lines import DAY, clip, moment, parse_span, several, size, span, table
from chatmail.server.mail_commands import MAIL
from chatmail.terminal.text import paragraph, plain

BAN_MAX = 10 * 366 * DAY
"""A ban for longer than this, in seconds, had better be one for good."""
REASON_SHOWN = 24
"""So much of a reason for being away fits into a row of /who; /whois shows all of it."""
CLEAR = "-"
"""As the message of the day: none."""
_PRIVATE = "Direct messages are between two people, and not shown here."


def peak_memory() -> int:
    """The most memory this process ever had, in bytes (getrusage(2) counts in KiB, but in bytes on macOS)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def find(word: str) -> Command:
    """The command of this name. Raises Mistake, with the one that was perhaps meant."""
    command = BY_NAME.get(word.casefold())
    if command is None:
        known = {name: name for name in BY_NAME} | _ELSEWHERE
        close = get_close_matches(word.casefold()[:QUOTED_MAX], known, n=1) if len(word) > 1 else []
        hint = f"did you mean {known[close[0]]}?" if close else "/help lists them"
        raise Mistake(f"there is no command {word[:QUOTED_MAX]}; {hint}")
    return command


# People.


def _broadcast(house: House, rest: str, now: float) -> Iterable[str]:
    house.operator.broadcast(rest, now)
    return ()


def _kick(house: House, rest: str, now: float) -> Iterable[str]:
    name, *reason = rest.split(maxsplit=1)
    house.operator.kick(name, "".join(reason), now)
    return ()


def _who(house: House, rest: str, now: float) -> Iterable[str]:  # noqa: ARG001 - each command is called alike
    people = house.operator.who(now)
    if not people:
        return ["nobody is here"]
    lines = [(one.name, one.email, *_here(one, now), clip(one.away or "", REASON_SHOWN)) for one in people]
    return [
        several(len(people), "person") + " here",
        *table(("NAME", "EMAIL", "HOST", "SINCE", "IDLE", "AWAY"), *lines),
    ]


def _here(one: Profile, now: float) -> tuple[str, str, str]:
    """From where, since when, and for how long without a word."""
    since = "-" if one.since is None else moment(one.since, now)
    return one.host or "cut off", since, "-" if one.idle is None else span(one.idle)


def _whois(house: House, rest: str, now: float) -> Iterable[str]:
    one = house.operator.whois(rest, now)
    host, since, idle = _here(one, now)
    here = "no" if one.since is None else f"since {since}, from {host}, idle {idle}"
    if one.since is not None and one.host is None:
        here = f"since {since}, but cut off"
    whats = (one.name, one.email, *([one.host] if one.host else []))
    return table(
        ("name", one.name),
        ("email", one.email),
        ("here", here),
        ("away", "no" if one.away is None else one.away),
        ("mail", f"{one.notify}; {several(one.mails, 'message')} waiting to be mailed"),
        ("unread", several(one.unseen, "direct message")),
        *(("banned", _ban_words(ban, now)) for ban in house.operator.bans(now) if Bans([ban]).find(now, *whats)),
    )


def _forget(house: House, rest: str, now: float) -> Iterable[str]:
    house.operator.forget(rest, now)
    return ()


# Bans.


def _ban(house: House, rest: str, now: float) -> Iterable[str]:
    what, *words = rest.split()
    note = _doubt(house, what, now)
    duration = None
    if words and words[0][0].isdigit():
        duration = parse_span(words[0])
        if duration is None or duration > BAN_MAX:
            wrong = words.pop(0)[:QUOTED_MAX]
            raise Mistake(f"nobody is banned: {wrong!r} is no duration; 30m, 2h, 7d, 1w are, none is for good")
        del words[0]
    house.operator.ban(what, duration, " ".join(words), now)
    return note


def _doubt(house: House, what: str, now: float) -> list[str]:
    """A remark on the ban of a name. Raises Mistake when nobody could ever be called so."""
    if "/" in what and network(what) is None:
        raise Mistake(f"nobody is banned: {what[:QUOTED_MAX]!r} is no network; 192.0.2.0/24 and 2001:db8::/32 are")
    if network(what) is not None:
        return []
    try:
        if "@" in what:
            check_email(what)
            return []
        check_name(what)
    except (BadName, BadEmail) as mistake:
        raise Mistake(f"nobody is banned: {mistake}") from None
    try:
        email = house.operator.whois(what, now).email
    except Refused as unknown:
        return [f"{unknown.text} (it is banned all the same)"]
    return [f"that bans the name only; /ban {email} keeps its person out under any name"]


def _unban(house: House, rest: str, now: float) -> Iterable[str]:
    house.operator.unban(rest, now)
    return ()


def _bans(house: House, rest: str, now: float) -> Iterable[str]:  # noqa: ARG001
    bans = house.operator.bans(now)
    if not bans:
        return ["nobody is banned"]
    lines = [(ban.what, "for good" if ban.until is None else moment(ban.until, now), ban.reason) for ban in bans]
    return table(("WHO", "UNTIL", "REASON"), *lines)


def _ban_words(ban: Ban, now: float) -> str:
    until = "for good" if ban.until is None else f"until {moment(ban.until, now)}"
    return f"{ban.what}, {until}" + (f": {ban.reason}" if ban.reason else "")


def _audit(house: House, rest: str, now: float) -> Iterable[str]:
    count = _count(rest)

    def lines(found: Found) -> Iterator[str]:
        last = "the last act" if len(found.acts) == 1 else f"the last {len(found.acts)} acts"
        yield f"{last} of the operator" if found.acts else "nothing was done here yet"
        for act in found.acts:
            yield from f"{moment(act.time, now)} {plain(paragraph(act.text))}".split("\n")
        if found.more:
            yield f"there is more; /audit {COUNT_MAX} goes further back" if count < COUNT_MAX else "there is more"

    house.operator.audit(count, lambda found: house.show(lines(found)), _not_shown(house))
    return ()


# What was said.


def _history(house: House, rest: str, now: float) -> Iterable[str]:
    count = _count(rest)

    def head(found: int) -> str:
        last = "the last thing" if found == 1 else f"the last {found:,} things"
        return f"{last} said" if found else "nothing has been said"

    more = f"there is more; /history {COUNT_MAX} goes further back" if count < COUNT_MAX else "there is more"
    _look_back(house, count, None, now, head, more)
    return ()


def _count(rest: str) -> int:
    """How many are asked for. Raises Mistake."""
    if rest and not (re.fullmatch("[0-9]{1,3}", rest) and 1 <= int(rest) <= COUNT_MAX):
        raise Mistake(f"{rest[:QUOTED_MAX]} is no number from 1 to {COUNT_MAX}")
    return int(rest or COUNT)


def _search(house: House, rest: str, now: float) -> Iterable[str]:
    def head(found: int) -> str:
        return f"{found or 'nothing'} found for {rest}"

    _look_back(house, COUNT_MAX, rest, now, head, "there is more; more words find less")
    return ()


def _look_back(house: House, count: int, words: str | None, now: float, head: Callable[[int], str], more: str) -> None:
    def lines(found: Found) -> Iterator[str]:
        yield head(len(found.entries))
        for _, entry in found.entries:
            yield from _said(entry, now)
        if found.more:
            yield more

    house.operator.look_back(count, words, lambda found: house.show(lines(found)), _not_shown(house))


def _not_shown(house: House) -> Callable[[str], None]:
    return lambda why: house.show([f"nothing can be shown: {why}"])


def _said(entry: Entry, now: float) -> list[str]:
    """An entry as lines, of which all but the first are marked."""
    who = "!! notice" if entry.kind == "notice" else entry.sender
    return f"{moment(entry.time.timestamp(), now)} {who}: {plain(paragraph(entry.text))}".split("\n")


# The house.


def _stats(house: House, rest: str, now: float) -> Iterable[str]:  # noqa: ARG001
    figures = house.operator.figures()
    return table(
        ("up", f"{span(now - house.started)}, since {moment(house.started, now)}"),
        ("people", f"{figures.people:,} here, {several(figures.accounts, 'account')}"),
        ("connections", f"{figures.connections:,}"),
        ("journal", f"{figures.entries:,} entries, {size(figures.journal_size)}; the last is number {figures.last:,}"),
        ("mail", f"{figures.mails_waiting:,} waiting, {figures.mails_sent:,} sent, {figures.mails_dead:,} failed"),
        ("memory", f"{size(house.memory())} at most so far"),
    )


def _motd(house: House, rest: str, now: float) -> Iterable[str]:
    if rest:
        house.operator.motd("" if rest == CLEAR else rest, now)
        return ()
    text = house.operator.current_motd()
    return [f"the message of the day: {text}" if text else "there is no message of the day; /motd TEXT sets one"]


def _help(house: House, rest: str, now: float) -> Iterable[str]:  # noqa: ARG001
    if not rest:
        return table(*((command.usage, command.help) for command in TABLE))
    command = find(rest if rest.startswith("/") else f"/{rest}")
    return [f"{command.usage}: {command.help}", *([command.more] if command.more else [])]


def _quit(house: House, rest: str, now: float) -> Iterable[str]:  # noqa: ARG001
    house.quit()
    return ()


# What Tab offers.


def _people(house: House, words: Sequence[str], now: float) -> Iterable[str]:  # noqa: ARG001 - offers are called alike
    return [f"{name} " for name in house.operator.names()]


def _banned(house: House, words: Sequence[str], now: float) -> Iterable[str]:  # noqa: ARG001
    return [ban.what for ban in house.operator.bans(now)]


def _names(house: House, words: Sequence[str], now: float) -> Iterable[str]:  # noqa: ARG001
    return [command.name for command in TABLE]


TABLE = (
    Command("/broadcast", "/broadcast TEXT", "say something to everybody", (1, None), _broadcast, prose=True),
    Command(
        "/kick", "/kick NAME [REASON]", "close somebody's connection", (1, None), _kick, (_people,),
        more="They may come back at once; /ban keeps them out. They are told the reason.",
    ),
    Command(
        "/ban", "/ban NAME|ADDRESS|IP|NETWORK [DURATION] [REASON]", "keep somebody out", (1, None), _ban, (_people,),
        more="A duration is 30m, 2h, 7d, 1w or 1d12h; without one it is for good. Who is here must go. "
        "A reason can't begin with a digit. A network is 192.0.2.0/24.",
    ),
    Command("/unban", "/unban NAME|ADDRESS|IP|NETWORK", "let them in again", (1, 1), _unban, (_banned,)),
    Command("/bans", "/bans", "who is banned, and until when", (0, 0), _bans),
    Command("/who", "/who", "who is here", (0, 0), _who),
    Command("/whois", "/whois NAME", "what is known of somebody", (1, 1), _whois, (_people,)),
    Command(
        "/forget", "/forget NAME", "delete an account", (1, 1), _forget, (_people,),
        more="The name is free for another address then, and mail that still waits for its person is dropped.",
    ),
    MAIL,
    Command(
        "/history", "/history [N]", "the last things said", (0, 1), _history,
        more=f"Without a number the last {COUNT}, at most {COUNT_MAX}. {_PRIVATE}",
    ),
    Command(
        "/search", "/search WORDS", "what was said with all these words", (1, None), _search,
        more=f"What holds them all, or words that begin so; the last {COUNT_MAX} at most. {_PRIVATE}",
    ),
    Command(
        "/audit", "/audit [N]", "the last things done here", (0, 1), _audit,
        more=f"What the operator did to people and mail: without a number the last {COUNT}, at most {COUNT_MAX}.",
    ),
    Command("/stats", "/stats", "the server in numbers", (0, 0), _stats),
    Command(
        "/motd", "/motd [TEXT]", f"the message of the day; {CLEAR} for none", (0, None), _motd, prose=True,
        more=f"Everybody is shown it when they come in. /motd shows it, /motd {CLEAR} means that there is none.",
    ),
    Command("/help", "/help [COMMAND]", "this list, or more about a command", (0, 1), _help, (_names,)),
    Command("/quit", "/quit", "end the server (so does Ctrl-D)", (0, 0), _quit),
)  # fmt: skip

BY_NAME = {command.name: command for command in TABLE}

_ELSEWHERE = {
    "/say": "/broadcast", "/wall": "/broadcast", "/announce": "/broadcast", "/notice": "/broadcast",
    "/names": "/who", "/users": "/who", "/list": "/who", "/people": "/who", "/pardon": "/unban", "/banlist": "/bans",
    "/delete": "/forget", "/remove": "/forget", "/queue": "/mail", "/retry": "/mail", "/drop": "/mail",
    "/log": "/history", "/last": "/history", "/find": "/search", "/grep": "/search", "/status": "/stats",
    "/uptime": "/stats", "/exit": "/quit", "/stop": "/quit", "/shutdown": "/quit", "/q": "/quit", "/?": "/help",
    "/commands": "/help",
}  # fmt: skip
"""What the same is called elsewhere: answered with the name it has here."""
