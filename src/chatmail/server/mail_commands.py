"""``/mail``: what waits to be mailed, what failed; trying it again, giving it up. Pure.

A letter is called by the first digits of its Message-ID, as git calls a commit.
"""

from collections.abc import Iterable, Sequence

from chatmail.core.operator import Operator
from chatmail.core.records import Letter
from chatmail.server.command import QUOTED_MAX, Command, House, Mistake, Offer
from chatmail.server.lines import clock_time, moment, several, table
from chatmail.terminal.spans import span
from chatmail.terminal.text import CONTINUED

ID_MIN = 6
"""So many digits call a letter, or more where two begin alike; with fewer, a slip could drop a mail."""


def _mail(house: House, rest: str, now: float) -> Iterable[str]:
    operator = house.operator
    match rest.casefold().split():
        case []:
            return _overview(operator, now)
        case ["retry"] | ["retry", "all"]:
            count = operator.retry(now)
            return [f"trying {several(count, 'letter')} again" if count else "there is no letter to try again"]
        case ["retry", id]:
            letter = _find(operator, id)
            operator.retry(now, letter.message_id)
            return [f"trying the mail to {letter.address} again"]
        case ["drop", id]:
            operator.drop(_find(operator, id).message_id, now)
            return ()
        case _:
            raise MAIL.misused()


def _deeds(house: House, words: Sequence[str], now: float) -> Iterable[Offer]:  # noqa: ARG001 - offers are called alike
    return Offer("retry ", "try again now"), Offer("drop ", "give up")


def _ids(house: House, words: Sequence[str], now: float) -> Iterable[Offer]:
    letters = short_ids(_letters(house.operator))
    ids = [Offer(id, f"to {letter.address}, {_row(id, letter, now)[-1]}") for id, letter in letters.items()]
    match words[0].casefold():
        case "retry":
            return [Offer("all", several(len(ids), "letter")), *ids]
        case "drop":
            return ids
        case _:
            return ()


def short_ids(letters: Sequence[Letter]) -> dict[str, Letter]:
    """Letters by their IDs: as few digits as tell them all apart."""
    keys = list(map(_key, letters))
    digits = ID_MIN
    while len({key[:digits] for key in keys}) < len(keys):
        digits += 1
    return {key[:digits]: letter for key, letter in zip(keys, letters, strict=True)}


def _key(letter: Letter) -> str:
    return letter.message_id.strip("<>").casefold()


def _letters(operator: Operator) -> list[Letter]:
    going, dead = operator.letters()
    return going + dead


def _find(operator: Operator, id: str) -> Letter:
    """The letter with this ID. Raises Mistake."""
    found = [letter for letter in _letters(operator) if len(id) >= ID_MIN and _key(letter).startswith(id)]
    if not found:
        raise Mistake(f"no letter has the ID {id[:QUOTED_MAX]}; /mail shows those there are")
    if len(found) > 1:
        raise Mistake(f"the IDs of {several(len(found), 'letter')} begin with {id}; /mail shows more of them")
    return found[0]


def _overview(operator: Operator, now: float) -> list[str]:
    figures = operator.figures()
    oldest = operator.oldest_mail()
    waiting = f"{several(figures.mails_waiting, 'message')} waiting to be mailed"
    if oldest is not None:
        waiting += f", the oldest for {span(now - oldest.time.timestamp())}, to {oldest.to}"
    sent = f"{several(figures.mails_sent, 'mail')} sent since the start, {figures.mails_dead:,} failed for good"
    letters = short_ids(_letters(operator))
    gathering = [
        ("-", address, several(count, "message"), f"next mail at {clock_time(max(free, now))}")
        for address, count, free in operator.gathering()
    ]
    if not letters and not gathering:
        return [waiting, sent]
    found = [_row(id, letter, now) for id, letter in letters.items()]
    head, *rows = table(("ID", "TO", "HOLDS", "STATE"), *found, *gathering)
    lines = [waiting, sent, head]
    for row, letter in zip(rows, letters.values(), strict=False):
        lines += [row, CONTINUED + letter.reply] if letter.reply else [row]
    lines += rows[len(letters) :]
    return [*lines, "/mail retry ID tries one again now, /mail drop ID gives it up"] if letters else lines


def _row(id: str, letter: Letter, now: float) -> tuple[str, str, str, str]:
    holds = several(len(letter.mails), "message") if letter.mails else "a code"
    if letter.state == "failed":
        state = f"failed, {moment(letter.made, now)}"
    elif letter.tries and letter.due > now:
        state = f"try {letter.tries + 1} at {clock_time(letter.due)}"
    else:
        state = "on its way"
    return id, letter.address, holds, state


MAIL = Command(
    "/mail",
    "/mail [retry [ID|all] | drop ID]",
    "mail on its way, and failed",
    (0, 2),
    _mail,
    (_deeds, _ids),
    more="/mail retry tries again now what waits or failed: all of it, or the letter with this ID. /mail drop gives "
    "one up: it is deleted, and who wrote what is in it is told.",
)
