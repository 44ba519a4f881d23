"""What a typed line means: something to send, something to do, or a sentence that says what is wrong with it. Pure.

A line that was meant as a command never reaches everybody: whatever begins with a slash and is no command is
refused, also after spaces. A message that shall begin with a slash is typed with two.
"""

import difflib
from collections.abc import Callable

from msgspec import Struct

from chatmail.client.lookback import HISTORY_MAX, LookBack
from chatmail.core import wire
from chatmail.core.names import BadName, check_name

SLASHES = "/／⁄∕"
"""The slash, and what keyboards and eyes take for one."""


CLOSE = 0.7
"""So much alike are a word and the command that was perhaps meant (``difflib``)."""
AWAY = "away"
"""The reason of somebody who gives none."""


class Help(Struct, frozen=True):
    """Show the table of commands, or tell more ``about`` one of them."""

    about: str = ""


class Quit(Struct, frozen=True):
    """Leave."""


class Nothing(Struct, frozen=True):
    """An empty line."""


class Ignore(Struct, frozen=True):
    """Hear no more of somebody, or (``off``) hear them again; without a name: show whom that is about."""

    name: str = ""
    off: bool = False


class Mistake(Struct, frozen=True):
    """The line can't be meant so; ``text`` says why, and what would do. ``unsaid`` would be said, were it shorter."""

    text: str
    unsaid: str = ""


Action = (
    wire.Say | wire.Dm | wire.Who | wire.Whois | wire.Notify | wire.Away | LookBack | Ignore | Help | Quit | Nothing
)
Parsed = Action | Mistake


class Command(Struct, frozen=True):
    """One line of the table.

    ``read`` takes what follows the name and the last partner of a direct message; ``more`` is what ``/help`` adds.
    """

    name: str
    usage: str
    help: str
    read: Callable[[str, str | None], Parsed]
    more: str = ""


def parse(line: str, partner: str | None = None) -> Parsed:
    """What the line means; ``partner`` is whom ``/r`` answers. A line may hold newlines (a paste)."""
    line = line.encode("utf-8", "replace").decode().rstrip()  # lone surrogates can't be sent
    bare = line.lstrip(" \t\n\r\f\v\u00a0\u200b\ufeff")
    if not bare:
        return Nothing()
    if bare[0] not in SLASHES:
        return _say(line)
    if line.startswith("//"):
        return _say(line[1:])
    if bare != line or bare[0] != "/":
        return Mistake("not sent: a command begins with a plain / and nothing before it (// sends a /)")
    word, rest = _split(bare)
    if command := _find(word):
        return command.read(rest, partner)
    meant = "".join(bare.split(maxsplit=2)[:2]) if word == "/" else word
    return Mistake(f"not sent: there is no command {word[:40]}; {_suggestion(meant)}")


def text_of(line: str, partner: str | None) -> str:
    """The text that the line would say to somebody, also if it is too long to be said; empty where it says nothing."""
    match parse(line, partner):
        case wire.Say(text=text) | wire.Dm(text=text) | Mistake(unsaid=text):
            return text
    return ""


def argument(before: str) -> str | None:
    """What the command that stands there alone takes first, as its usage calls it; None: there is none, or nothing."""
    words = before.split()
    if len(words) != 1 or "\n" in before or not before.startswith("/"):
        return None
    command = _find(words[0])
    return command.usage.split()[1].strip("[]") if command and " " in command.usage else None


def help_text(about: str = "") -> str:
    """The table of commands, and what else is worth knowing, as lines; or more about one of them."""
    if command := _find(about):
        return "\n".join(filter(None, (command.usage, command.help, command.more)))
    lines = [f"{command.usage:{WIDTH}}  {command.help}" for command in TABLE]
    lines.append(f"{'//TEXT':{WIDTH}}  say a text that begins with a slash")
    return "\n".join(lines)


def _split(text: str) -> tuple[str, str]:
    """The first word, and the rest without the one separator after it."""
    word = text.split(maxsplit=1)[0]
    rest = text.removeprefix(word)
    return word, rest[1:] if rest[:1] != "\n" else rest.lstrip("\n")


def _find(word: str) -> Command | None:
    return next((command for command in TABLE if word.casefold() == command.name), None)


def _suggestion(word: str) -> str:
    if word.casefold() in _NAMING:
        return "a name is chosen at the start: chatmail --name NAME"
    known = {command.name: command.name for command in TABLE} | _ELSEWHERE
    close = difflib.get_close_matches(word[:40].casefold(), known, n=1, cutoff=CLOSE)
    return f"did you mean {known[close[0]]}?" if close else "/help lists them (// sends a /)"


def _say(text: str) -> Parsed:
    wrong = wire.unfit_text(text, wire.TEXT_MAX, "text")
    return Mistake(f"not sent: {wrong.text}", text) if wrong else wire.Say(text=text)


def _dm(rest: str, _: str | None = None) -> Parsed:
    if not rest.strip():
        return _usage("/dm")
    to, text = _split(rest.lstrip())
    return _to(to.removeprefix("@").rstrip(":,"), text)


def _reply(rest: str, partner: str | None) -> Parsed:
    if partner is None:
        return Mistake("not sent: there is no direct message to answer yet; /dm NAME TEXT begins one")
    return _to(partner, rest) if rest.strip() else _usage("/r")


def _to(name: str, text: str) -> Parsed:
    if not name or not text.strip():
        return _usage("/dm")
    wrong = wire.unfit_text(text, wire.TEXT_MAX, "text")
    return Mistake(f"not sent: {wrong.text}", text) if wrong else wire.Dm(to=name, text=text)


def _act(rest: str, _: str | None) -> Parsed:
    return _say(f"/me {rest}") if rest.strip() else _usage("/me")


def _history(rest: str, _: str | None) -> Parsed:
    number = rest.strip()
    if not number:
        return LookBack()
    if number.isascii() and number.isdigit() and len(number) < 6 and 1 <= int(number) <= HISTORY_MAX:
        return LookBack(count=int(number))
    return _usage("/history")


def _search(rest: str, _: str | None) -> Parsed:
    words = " ".join(rest.split())
    if not words:
        return _usage("/search")
    wrong = wire.unfit_search(words)
    return Mistake(wrong.text) if wrong else LookBack(words=words)


def _whois(rest: str, _: str | None) -> Parsed:
    name = rest.strip().removeprefix("@")
    return wire.Whois(name=name) if name else _usage("/whois")


def _ignore(rest: str, _: str | None) -> Parsed:
    return _ignored(rest, off=False) or Ignore()


def _unignore(rest: str, _: str | None) -> Parsed:
    return _ignored(rest, off=True) or _usage("/unignore")


def _ignored(rest: str, *, off: bool) -> Parsed | None:
    try:
        return Ignore(check_name(rest.strip().removeprefix("@")), off) if rest.strip() else None
    except BadName as wrong:
        return Mistake(str(wrong))


def _away(rest: str, _: str | None) -> Parsed:
    reason = " ".join(rest.split()) or AWAY
    wrong = wire.unfit_text(reason, wire.REASON_MAX, "reason")
    return Mistake(wrong.text) if wrong else wire.Away(reason=reason)


def _notify(rest: str, _: str | None) -> Parsed:
    match rest.strip().casefold():
        case "always":
            return wire.Notify(when="always")
        case "away":
            return wire.Notify(when="away")
        case "never":
            return wire.Notify(when="never")
        case _:
            return _usage("/notify")


def _help(rest: str, _: str | None) -> Parsed:
    word = f"/{rest.strip().removeprefix('/')}" if rest.strip() else ""
    return Help(word) if not word or _find(word) else Mistake(f"there is no command {word[:40]}; {_suggestion(word)}")


def _alone(action: Action) -> Callable[[str, str | None], Parsed]:
    """A command that takes nothing: with something after it, it was probably meant as something else."""

    def read(rest: str, _: str | None) -> Parsed:
        return Mistake("not sent: this command takes nothing after its name") if rest.strip() else action

    return read


def _usage(name: str) -> Mistake:
    command = next(command for command in TABLE if command.name == name)
    return Mistake(f"use {command.usage} ({command.help})")


TABLE = (
    Command(
        "/dm", "/dm NAME TEXT", "say it to one person, who gets it by email too", _dm,
        "It waits for somebody who is not here. Tab completes the name, the latest speakers first.",
    ),
    Command(
        "/r", "/r TEXT", "answer the last direct message", _reply,
        "After the space it turns into /dm NAME, so that you see whom it will reach.",
    ),
    Command("/me", "/me TEXT", "say what you do: * John waves", _act),
    Command("/who", "/who", "who is here", _alone(wire.Who())),
    Command("/whois", "/whois NAME", "what is known of one person, here or not", _whois),
    Command("/history", "/history [N]", f"the last {wire.COUNT} things said; or N, up to {HISTORY_MAX}", _history),
    Command(
        "/search", "/search WORDS", "what was said with all these words in it", _search,
        f"At most {wire.WORDS_COUNT} words; each also finds those that begin so. Of many, the newest are shown.",
    ),
    Command(
        "/away", "/away [REASON]", "say that you are away", _away,
        "Others read it in /who. It lasts until /back or until you leave; what you say does not end it.",
    ),
    Command("/back", "/back", "say that you are back", _alone(wire.Away())),
    Command(
        "/notify", "/notify always|away|never", "when direct messages reach you by email", _notify,
        "always: each of them. away: those that you have not seen here, while you are away, not connected, "
        "or silent for ten minutes. never: none.",
    ),
    Command("/ignore", "/ignore [NAME]", "see no more of what somebody says; whom you ignore", _ignore),
    Command("/unignore", "/unignore NAME", "see it again", _unignore),
    Command("/help", "/help [COMMAND]", "this list; or more about one of these", _help),
    Command("/quit", "/quit", "leave (so does Ctrl-D)", _alone(Quit())),
)  # fmt: skip
WIDTH = max(len(command.usage) for command in TABLE)
"""Of what is typed, in the list of commands."""

_ELSEWHERE = {
    "/md": "/dm", "/msg": "/dm", "/query": "/dm", "/w": "/dm", "/whisper": "/dm", "/tell": "/dm",
    "/reply": "/r", "/action": "/me",
    "/names": "/who", "/users": "/who", "/list": "/who", "/people": "/who",
    "/last": "/history", "/log": "/history", "/logs": "/history", "/backlog": "/history", "/scrollback": "/history",
    "/chathistory": "/history", "/find": "/search", "/grep": "/search", "/lastlog": "/search",
    "/exit": "/quit", "/q": "/quit", "/leave": "/quit", "/part": "/quit", "/bye": "/quit",
    "/commands": "/help", "/?": "/help", "/h": "/help",
}  # fmt: skip
"""What the same is called in other chats: answered with the name it has here."""
_NAMING = frozenset({"/nick", "/name", "/rename"})
