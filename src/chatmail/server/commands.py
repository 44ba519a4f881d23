"""The operator's commands: one table, and what each of them does and answers. Pure.

What takes the store a moment (a ban, a broadcast) has no answer here: it is told, like everything that happens, when it
is done.
"""

import resource
import sys
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from ipaddress import ip_address
from typing import Literal

from msgspec import Struct

from chatmail.core.accounts import Bans
from chatmail.core.names import BadEmail, BadName, check_email, check_name
from chatmail.core.operator import Operator, Profile
from chatmail.core.records import Ban, Letter
from chatmail.core.wire import Refused
from chatmail.server.lines import DAY, clip, clock_time, moment, parse_span, several, size, span, table

BAN_MAX = 10 * 366 * DAY
"""A ban for longer than this, in seconds, had better be one for good."""
QUOTED_MAX = 40
REASON_SHOWN = 24
"""So much of a reason for being away fits into a row of /who; /whois shows all of it."""
CLEAR = "-"
"""As the message of the day: none."""


class Mistake(Exception):  # noqa: N818 - an answer, not a fault
    """The line can't be done; ``str()`` says why, and what would do."""


class Command(Struct, frozen=True):
    """One line of the table.

    ``words``: how many may follow the name, at least and at most (None: any number). ``offers``: what Tab completes
    the first of them with. ``prose``: whether they may run over several lines. ``more``: what ``/help`` adds.
    """

    name: str
    usage: str
    help: str
    words: tuple[int, int | None]
    run: "Callable[[House, str, float], Iterable[str]]"
    offers: Literal["", "people", "bans", "commands", "retry"] = ""
    prose: bool = False
    more: str = ""


def peak_memory() -> int:
    """The most memory this process ever had, in bytes (getrusage(2) counts in KiB, but in bytes on macOS)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class House(Struct, frozen=True):
    """What the commands work on.

    ``quit`` ends the server; ``started`` is when it started, in seconds since the epoch; ``memory`` tells how much it
    has needed, in bytes.
    """

    operator: Operator
    quit: Callable[[], None]
    started: float
    memory: Callable[[], int]


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
    keys = {Bans.key(one.name), Bans.key(one.email), Bans.key(one.host or "")}
    return table(
        ("name", one.name),
        ("email", one.email),
        ("here", here),
        ("away", "no" if one.away is None else one.away),
        ("mail", f"{one.notify}; {several(one.mails, 'message')} waiting to be mailed"),
        ("unread", several(one.unseen, "direct message")),
        *(("banned", _ban_words(ban, now)) for ban in house.operator.bans(now) if ban.what in keys),
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
    try:
        ip_address(what)
    except ValueError:
        pass
    else:
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


# Mail, and the house.


def _mail(house: House, rest: str, now: float) -> Iterable[str]:
    if rest:
        if rest.casefold() != "retry":
            raise Mistake(f"use {BY_NAME['/mail'].usage}: {BY_NAME['/mail'].help}")
        count = house.operator.retry(now)
        return [f"trying {several(count, 'letter')} again" if count else "there is no letter to try again"]
    figures = house.operator.figures()
    going, dead = house.operator.letters()
    waiting = f"{several(figures.mails_waiting, 'message')} waiting to be mailed"
    lines = [f"{waiting}, {several(figures.mails_sent, 'mail')} sent, {len(dead):,} failed"]
    if going or dead:
        letters = [_letter(letter, now) for letter in going] + [_letter(letter, now) for letter in dead]
        lines += table(("TO", "HOLDS", "STATE", "THE MAIL SERVER SAID"), *letters)
    if dead:
        lines.append("/mail retry tries them all again")
    return lines


def _letter(letter: Letter, now: float) -> tuple[str, str, str, str]:
    holds = several(len(letter.mails), "message") if letter.mails else "a code"
    if letter.state == "failed":
        state = f"failed, {moment(letter.made, now)}"
    elif letter.tries and letter.due > now:
        state = f"try {letter.tries + 1} at {clock_time(letter.due)}"
    else:
        state = "on its way"
    return letter.address, holds, state, letter.reply


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


def _motd(house: House, rest: str, now: float) -> Iterable[str]:  # noqa: ARG001
    if rest:
        house.operator.motd("" if rest == CLEAR else rest)
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


TABLE = (
    Command("/broadcast", "/broadcast TEXT", "say something to everybody", (1, None), _broadcast, prose=True),
    Command(
        "/kick", "/kick NAME [REASON]", "close somebody's connection", (1, None), _kick, "people",
        more="They may come back at once; /ban keeps them out. They are told the reason.",
    ),
    Command(
        "/ban", "/ban NAME|ADDRESS|IP [DURATION] [REASON]", "keep somebody out", (1, None), _ban, "people",
        more="A duration is 30m, 2h, 7d, 1w or 1d12h; without one it is for good. Who is here must go. "
        "A reason can't begin with a digit.",
    ),
    Command("/unban", "/unban NAME|ADDRESS|IP", "let them in again", (1, 1), _unban, "bans"),
    Command("/bans", "/bans", "who is banned, and until when", (0, 0), _bans),
    Command("/who", "/who", "who is here", (0, 0), _who),
    Command("/whois", "/whois NAME", "what is known of somebody", (1, 1), _whois, "people"),
    Command(
        "/forget", "/forget NAME", "delete an account", (1, 1), _forget, "people",
        more="The name is free for another address then, and mail that still waits for its person is dropped.",
    ),
    Command(
        "/mail", "/mail [retry]", "mail on its way, and failed", (0, 1), _mail, "retry",
        more="/mail retry tries it all again now.",
    ),
    Command("/stats", "/stats", "the server in numbers", (0, 0), _stats),
    Command(
        "/motd", "/motd [TEXT]", f"the message of the day; {CLEAR} for none", (0, None), _motd, prose=True,
        more=f"Everybody is shown it when they come in. /motd shows it, /motd {CLEAR} means that there is none.",
    ),
    Command("/help", "/help [COMMAND]", "this list, or more about a command", (0, 1), _help, "commands"),
    Command("/quit", "/quit", "end the server (so does Ctrl-D)", (0, 0), _quit),
)  # fmt: skip

BY_NAME = {command.name: command for command in TABLE}

_ELSEWHERE = {
    "/say": "/broadcast", "/wall": "/broadcast", "/announce": "/broadcast", "/notice": "/broadcast",
    "/names": "/who", "/users": "/who", "/list": "/who", "/people": "/who", "/pardon": "/unban", "/banlist": "/bans",
    "/delete": "/forget", "/remove": "/forget", "/queue": "/mail", "/retry": "/mail", "/status": "/stats",
    "/uptime": "/stats", "/exit": "/quit", "/stop": "/quit", "/shutdown": "/quit", "/q": "/quit", "/?": "/help",
    "/commands": "/help",
}  # fmt: skip
"""What the same is called elsewhere: answered with the name it has here."""
