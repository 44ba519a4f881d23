"""How a frame looks: a frame goes in, formatted text comes out. Pure: no terminal and no clock.

Only ``Days`` remembers something: of which day the last entry was.

Each line begins so that nobody can write one that looks the same. After the time comes

    ``John: ``                  what John said to everybody; ``you: `` for what I said
    ``* John ``                 what John does (``/me``)
    ``John → you (direct): ``   what John said to me alone
    ``+ John`` / ``- John``     he came, he left
    ``!! notice: ``             what the operator said

and a line about the client's own business begins with ``-- ``. Names hold no such signs and no spaces, and a text
has no way to begin a line (see ``terminal.text``). ``plain`` gives the same lines without styles: colour only helps.
"""

from collections.abc import Callable
from datetime import date

from msgspec import UNSET

from chatmail.client import commands
from chatmail.client.entry import LOOK, PALETTE, Look, clock, draw_entry, draw_name, name_style
from chatmail.client.lookback import HISTORY_MAX, Found
from chatmail.core import wire
from chatmail.terminal.spans import span
from chatmail.terminal.text import CONTINUED, Fragments, paragraph, plain, visible

__all__ = ["PALETTE", "STYLE", "Days", "Look", "clock", "draw", "look_back", "name_style", "plain", "status"]

IDLE_SHOWN = 60
"""Who has been silent for less than so many seconds is not called idle."""
LISTED_MAX = 12
"""So many names are spelled out in one sentence."""
QUOTED_MAX = 60
"""So many characters of an own line are quoted when it was refused."""

STYLE = {
    "time": "#808080",
    "escape": "reverse #d75f5f",
    "continued": "#808080",
    "own": "bold underline",
    "direct": "bold #d700af",
    "mention": "bold reverse",
    "action": "italic",
    "presence": "#808080",
    "marker": "bold #af5f00",
    "notice": "bold #d75f00",
    "status": "#808080",
    "trouble": "bold #d75f5f",
    "prompt": "bold",
    "toolbar.trouble": "bold",
    "toolbar.news": "bold",
}
"""What the classes look like, in prompt-toolkit's words."""


def draw(
    frame: wire.ServerFrame,
    *,
    me: str,
    answered: wire.Frame | None = None,
    look: Look = LOOK,
    count: int = 0,
    away: str | None = None,
) -> Fragments:
    """One frame as formatted text, without a newline at its end; nothing for a frame that says nothing to people.

    Args:
        frame: what the server sent.
        me: the name under which this client is in.
        answered: our own frame that an ``error`` or an ``ack`` answers.
        look: how times and own messages look.
        count: how much came while we were away, which an ``ack`` ends.
        away: why the reader that a ``receipt`` tells of is away, if so.
    """
    match frame:
        case wire.Message() | wire.Direct() | wire.Notice() | wire.Joined() | wire.Left():
            return draw_entry(frame, me, look)
        case wire.Welcome():
            return _welcome(frame)
        case wire.Challenge():
            ask = f"; type it here, it is good until {clock(frame.expires)}"
            sent = visible(frame.email, "class:status")
            return [("class:status", "-- a code was sent to "), *sent, ("class:status", ask)]
        case wire.Ack():
            return _done(answered, count)
        case wire.Receipt():
            return _receipt(frame, away)
        case wire.People():
            return _people(frame, me)
        case wire.Profile():
            return _profile(frame, me)
        case wire.Gap():
            were = "message was" if frame.missed == 1 else "messages were"
            return [("class:trouble", f"-- {frame.missed:,} {were} missed: this connection was too far behind")]
        case wire.Error():
            return _refused(frame, answered)
        case wire.Bye():
            return [("class:trouble", "-- the server says goodbye: "), *paragraph(frame.reason, "class:trouble")]
        case _:
            return []


def status(text: str, *, trouble: bool = False) -> Fragments:
    """A line about the client's own business; it may quote others, so it is made harmless as well."""
    style = "class:trouble" if trouble else "class:status"
    return [(style, "-- "), *paragraph(text, style)]


class Days:
    """Says which day it is, where the entries before and after it are of different ones.

    Args:
        today: the local date now; nothing needs to be said about that.
    """

    def __init__(self, today: date) -> None:
        self._day = today.isoformat()

    def before(self, frame: wire.ServerFrame) -> Fragments:
        """The line that goes before this frame, if one does."""
        if not isinstance(frame, wire.EntryFrame):
            return []
        day, self._day = self._day, clock(frame.time, "%Y-%m-%d")
        return [] if day == self._day else status(clock(frame.time, "%A, %Y-%m-%d"))


def look_back(found: Found, *, me: str, today: date, look: Look = LOOK) -> list[Fragments]:
    """What was looked for, between a line that says what it is and one that says where it ends."""
    days = Days(today)
    lines = [status(_head(found))]
    for entry in found.entries:
        lines += filter(None, (days.before(entry), draw_entry(entry, me, look)))
    if found.entries:
        lines.append(status(_end(found)))
    return lines


def _head(found: Found) -> str:
    words = found.wanted.words
    count = len(found.entries)
    if not count:
        return "nothing was said yet" if words is None else f"nothing was said with '{words}'"
    if words is None:
        return "the last message:" if count == 1 else f"the last {count:,} messages:"
    messages = "1 message" if count == 1 else f"{count:,} messages"
    return f"the newest {messages} with '{words}':" if found.more else f"{messages} with '{words}':"


def _end(found: Found) -> str:
    count, words = found.wanted.count, found.wanted.words
    if words is not None:
        return "end of the search" + ("; there are older ones: add a word to narrow it" if found.more else "")
    if not found.more:
        return "end of the look back; there is nothing older"
    if count >= HISTORY_MAX:
        return "end of the look back; there are older ones: /search finds them"
    return f"end of the look back; /history {min(2 * count, HISTORY_MAX)} shows more"


def _welcome(frame: wire.Welcome) -> Fragments:
    again = "connected again as " if frame.resumed else "you are in as "
    others = [person.name for person in frame.people if person.name != frame.name]
    line: Fragments = [("class:status", f"-- {again}"), *draw_name(frame.name, frame.name)]
    if frame.resumed:
        return line
    line.append(("class:status", ", with " if others else ", nobody else is here yet"))
    listed = others[:LISTED_MAX]
    more = frame.total - 1 - len(listed)
    for number, name in enumerate(listed):
        last = number == len(listed) - 1 and more <= 0
        between = "" if not number else " and " if last else ", "
        line += [("class:status", between), *draw_name(name, frame.name)]
    if others and more > 0:
        line.append(("class:status", f" and {more:,} more"))
    if frame.notify != "always":
        mailed = "never mailed to you" if frame.notify == "never" else "mailed to you only while you are away"
        line.append(("class:status", f"; direct messages are {mailed} (/notify)"))
    if frame.motd:
        line += [("", "\n"), ("class:notice", "!! "), *paragraph(frame.motd, "class:notice")]
    return line


def _done(answered: wire.Frame | None, count: int) -> Fragments:
    match answered:
        case wire.Notify(when="always"):
            return status("direct messages to you are always sent by email as well")
        case wire.Notify(when="away"):
            return status("direct messages to you are sent by email while you are away")
        case wire.Notify(when="never"):
            return status("direct messages to you are never sent by email")
        case wire.Away(reason=commands.AWAY):
            return status("you are away")
        case wire.Away(reason=str(reason)):
            return status(f"you are away: {reason}")
        case wire.Away():
            return status(f"you are back; {count:,} new while you were away" if count else "you are back")
        case _:
            return []


_MAIL: dict[wire.MailState, Callable[[str, str], str]] = {
    "queued": lambda to, how: f"{to} is {how}; an email is on its way as well",
    "held": lambda to, how: f"{to} is {how}; the email waits a little, to carry what comes next too",
    "off": lambda to, how: f"{to} is {how}; no email is sent",
    "sent": lambda to, _: f"the email to {to} is sent",
    "saved": lambda to, _: f"the email to {to} is in the server's outbox (it has no mail account)",
    "failed": lambda to, _: f"the email to {to} failed",
}


def _receipt(frame: wire.Receipt, away: str | None) -> Fragments:
    how = "here" if frame.online else "not here now"
    if away is not None:
        how = "away" if away == commands.AWAY else f"away ({away})"
    words = plain(visible(_MAIL[frame.mail](frame.to, how)))
    if frame.mail == "off" and frame.detail and not frame.detail.startswith(frame.to):
        words = plain(visible(f"no email to {frame.to} was needed"))  # this comes minutes later
    if frame.mail == "held" and frame.detail:
        words = plain(visible(f"the email to {frame.to} has not gone out yet, it is tried again"))
    return status(f"{words}: {frame.detail}" if frame.detail else words, trouble=frame.mail == "failed")


def _people(frame: wire.People, me: str) -> Fragments:
    are = "person is" if frame.total == 1 else "people are"
    table: Fragments = [("class:status", f"-- {frame.total:,} {are} here")]
    width = max((len(plain(visible(person.name))) for person in frame.people), default=0)
    for person in frame.people:
        pad = " " * (width - len(plain(visible(person.name))))
        since = f"{pad}  since {clock(person.since, '%Y-%m-%d %H:%M')}"
        table += [("", "\n"), ("class:continued", CONTINUED), *draw_name(person.name, me), ("class:time", since)]
        table += visible(_state(person), "class:status")
        if person.name == me:
            table.append(("class:status", "  (you)"))
    if frame.total > len(frame.people):
        more = f"and {frame.total - len(frame.people):,} more"
        table += [("", "\n"), ("class:continued", CONTINUED), ("class:status", more)]
    return table


def _state(person: wire.Person | wire.Profile) -> str:
    """Whether somebody who is here says or does anything."""
    idle = f"  idle {span(person.idle)}" if person.idle is not UNSET and person.idle >= IDLE_SHOWN else ""
    if person.away is UNSET:
        return idle
    return f"{idle}  away" + (f": {person.away}" if person.away != commands.AWAY else "")


_MAILED = {"always": "always", "away": "while they are away", "never": "never"}


def _profile(frame: wire.Profile, me: str) -> Fragments:
    is_here = ", not here now"
    if frame.since is not UNSET:
        is_here = f", here since {clock(frame.since, '%Y-%m-%d %H:%M')}{_state(frame)}".replace("  ", ", ")
    mailed = f"; direct messages also go out by email: {_MAILED[frame.mailed]}"
    return [("class:status", "-- "), *draw_name(frame.name, me), *visible(f"{is_here}{mailed}", "class:status")]


def _refused(frame: wire.Error, answered: wire.Frame | None) -> Fragments:
    match answered:
        case wire.Say(text=text) | wire.Dm(text=text):
            quoted = plain(visible(text[:QUOTED_MAX])) + ("…" if len(text) > QUOTED_MAX else "")
            return status(f"not sent: {frame.text} (your line was: {quoted})", trouble=True)
        case _:
            return status(frame.text or frame.code, trouble=True)
