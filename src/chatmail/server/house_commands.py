"""What the operator asks of the house itself: how it does, how much is logged, what newcomers are told. Pure."""

from collections.abc import Iterable, Sequence

from chatmail.server.command import QUOTED_MAX, Command, House, Mistake, Offer
from chatmail.server.lines import bars, moment, several, size, table
from chatmail.server.log import LEVELS
from chatmail.terminal.spans import span

CLEAR = "-"
"""As the message of the day: none."""
_ABOUT = dict(
    zip(LEVELS, ("connections and refusals, too", "what happens", "what needs a look", "what went wrong"), strict=True)
)


def _stats(house: House, rest: str, now: float) -> Iterable[str]:  # noqa: ARG001 - each command is called alike
    figures = house.operator.figures()
    chart, pace = _pace(house, now)
    oldest = house.operator.oldest_mail()
    mails = f"{figures.mails_waiting:,} waiting, {figures.mails_sent:,} sent, {figures.mails_dead:,} failed"
    waits = f"; the oldest for {span(now - oldest.time.timestamp())}" if oldest is not None else ""
    memory, disk = house.machine.memory(), house.machine.disk()
    elsewhere = f"all is in {house.machine.place}" if house.machine.place else "nothing is kept"
    most = f"{size(max(house.machine.peak(), memory or 0))} at most"  # of the two, the system knows the first better
    postman = "this one" if figures.leader == figures.node else figures.leader or "none of them yet"
    servers = f"{figures.servers:,}, this is {figures.node}; {postman} sends the mail"
    return table(
        ("up", f"{span(now - house.started)}, since {moment(house.started, now)}"),
        *([("servers", servers)] if figures.node else []),
        ("people", f"{figures.people:,} here, {figures.most:,} at most; {several(figures.accounts, 'account')}"),
        ("connections", f"{figures.connections:,}"),
        ("messages", chart),
        ("", pace),
        ("direct", f"{several(figures.directs, 'message')} since the start"),
        ("mail", mails + waits),
        ("journal", f"{figures.entries:,} entries, {size(figures.journal_size)}; the last is number {figures.last:,}"),
        ("memory", most if memory is None else f"{size(memory)} now, {most}"),
        ("disk", elsewhere if disk is None else size(disk)),
    )


def _pace(house: House, now: float) -> tuple[str, str]:
    """How busy the last hour was: a bar for each minute, or for some, where a line is short; and in words."""
    house.pace.look(house.operator.messages(), now)
    room = house.machine.columns() - len("connections  ")
    each = next((each for each in (1, 2, 3, 4, 5, 6) if 60 / each <= room), 10)
    minutes = house.pace.minutes()
    chart = bars(house.pace.minutes(each), blocks=house.machine.blocks)
    return chart, f"{minutes[-1]:,.0f} a minute now, {max(minutes):,.0f} at most in the last hour"


def _log(house: House, rest: str, now: float) -> Iterable[str]:  # noqa: ARG001
    level = rest.casefold()
    if level and level not in LEVELS:
        raise Mistake(f"{rest[:QUOTED_MAX]} is no level; {', '.join(LEVELS)} are")
    if level:
        house.machine.set_level(level)
    shown = house.machine.level()
    return [f"what is logged, and shown here: {shown} ({_ABOUT[shown]})" + ("" if level == "error" else " and above")]


def _motd(house: House, rest: str, now: float) -> Iterable[str]:
    if rest:
        house.operator.motd("" if rest == CLEAR else rest, now)
        return ()
    text = house.operator.current_motd()
    return [f"the message of the day: {text}" if text else "there is no message of the day; /motd TEXT sets one"]


# What Tab offers.


def _levels(house: House, words: Sequence[str], now: float) -> Iterable[Offer]:  # noqa: ARG001
    return [Offer(level, about) for level, about in _ABOUT.items()]


HOUSE = (
    Command("/stats", "/stats", "the server in numbers", (0, 0), _stats),
    Command(
        "/log", "/log [LEVEL]", "how much is logged, and shown here", (0, 1), _log, (_levels,),
        more=f"{', '.join(f'{level}: {about}' for level, about in _ABOUT.items())}. "
        "What you ask for is answered at any level.",
    ),
    Command(
        "/motd", "/motd [TEXT]", f"the message of the day; {CLEAR} for none", (0, None), _motd, prose=True,
        more=f"Everybody is shown it when they come in. /motd shows it, /motd {CLEAR} means that there is none.",
    ),
)  # fmt: skip
