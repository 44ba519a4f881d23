"""What the operator does to people: who is here, who must go, who stays out. Pure."""

from collections.abc import Iterable, Sequence

from chatmail.core.bans import Bans
from chatmail.core.hosts import network
from chatmail.core.names import BadEmail, BadName, check_email, check_name
from chatmail.core.operator import Profile, Standing
from chatmail.core.records import Ban
from chatmail.core.wire import Refused
from chatmail.server.command import QUOTED_MAX, Command, House, Mistake, Offer
from chatmail.server.lines import clip, day, moment, parse_span, several, table
from chatmail.terminal.spans import DAY, span

BAN_MAX = 10 * 366 * DAY
"""A ban for longer than this, in seconds, had better be one for good."""
REASON_SHOWN = 16
"""So much of a reason for being away fits into a row of /who; /whois shows all of it."""


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
        *table(("NAME", "EMAIL", "HOST", "SINCE", "IDLE", "AWAY"), *lines, columns=house.machine.columns()),
    ]


def _here(one: Profile, now: float) -> tuple[str, str, str]:
    """From where, since when, and for how long without a word."""
    since = "-" if one.since is None else day(one.since, now)
    return one.host or "cut off", since, "-" if one.idle is None else span(one.idle)


def _whois(house: House, rest: str, now: float) -> Iterable[str]:
    one = house.operator.whois(rest, now)
    here = "no"
    if one.since is not None:
        where = "cut off" if one.idle is None else f"from {one.host}, idle {span(one.idle)}"
        here = f"since {moment(one.since, now)}, {'but ' if one.idle is None else ''}{where}"
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


def _until(ban: Ban, now: float) -> str:
    until = "for good" if ban.until is None else f"until {moment(ban.until, now)}"
    return until + (f": {ban.reason}" if ban.reason else "")


def _ban_words(ban: Ban, now: float) -> str:
    return f"{ban.what}, {_until(ban, now)}"


# What Tab offers.


def _people(house: House, words: Sequence[str], now: float) -> Iterable[Offer]:  # noqa: ARG001 - offers are called alike
    here = house.operator.here()
    for name in house.operator.names():
        yield Offer(f"{name} ", _standing(here[name], now) if name in here else "not here")


def _standing(one: Standing, now: float) -> str:
    """How somebody is here, in a few words."""
    if one.active is None:
        return "cut off"
    if one.away is None:
        return f"here, idle {span(now - one.active)}"
    return f"away: {one.away}" if one.away else "away"


def _durations(house: House, words: Sequence[str], now: float) -> Iterable[Offer]:  # noqa: ARG001
    spans = {"30m ": "half an hour", "2h ": "two hours", "7d ": "seven days", "1w ": "a week"}
    return [Offer(text, about) for text, about in spans.items()]


def _banned(house: House, words: Sequence[str], now: float) -> Iterable[Offer]:  # noqa: ARG001
    return [Offer(ban.what, _until(ban, now)) for ban in house.operator.bans(now)]


PEOPLE = (
    Command(
        "/kick", "/kick NAME [REASON]", "close somebody's connection", (1, None), _kick, (_people,),
        more="They may come back at once; /ban keeps them out. They are told the reason.",
    ),
    Command(
        "/ban", "/ban NAME|ADDRESS|IP|NETWORK [DURATION] [REASON]", "keep somebody out", (1, None), _ban,
        (_people, _durations),
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
)  # fmt: skip
