r"""Names and email addresses: which are accepted, and which count as the same.

What may be a name follows the IdentifierClass of PRECIS (RFC 8264, 9.1): letters, decimal digits and the marks that
many scripts write vowels with. A name is shown in NFKC as its owner wrote it, and compared in two ways:

    fold   "Straße", "STRASSE"             the same name: both reach the same person
    alike  "Bill", "BiII", "Вill", "B1ll"  look-alikes: they cannot exist side by side

Names are alike when they have the same ``skeleton``, which is made from the fold alone. So a character has the same
look in both cases: ``i`` and ``l`` count as one, since a capital I looks like an l. Only of these two it matters how
they are written: Ian and Lan can both be here. A character whose cases pass for *different* ASCII letters (the Greek
nu: N and v) counts as the capital's; the other case is refused among Latin letters.

A mistake is answered by ``BadName`` or ``BadEmail``, whose text is for the person who made it. Nothing else is raised,
whatever the text.
"""

import re
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache, lru_cache

from chatmail.core.hosts import network
from chatmail.core.lookalikes import TABLE, TWO_FACED

NAME_MAX = 32
"""Longest name, in characters after NFKC."""
MARKS_MAX = 4
"""Most nonspacing marks on one letter, and no mark twice (UTS 39, 5.4)."""
RESERVED = frozenset({
    "server", "admin", "operator", "moderator", "root", "system", "chatmail", "notice",
    "everyone", "all", "here", "you", "me",
})  # fmt: skip
"""Names that nobody may have, in any spelling: they would pass for the operator, for everybody, or for oneself."""

WRITTEN_MAX = 8 * NAME_MAX
"""A text with more characters is no name, however it is normalized, which takes time: more than in step with length."""

KEPT = 1_024
"""So many folds and skeletons are kept: each of a name is asked for several times while somebody takes it."""

LOCAL_MAX = 64
"""Longest part before the @, in characters (RFC 5321, 4.5.3.1.1)."""
EMAIL_MAX = 254
"""Longest address, in characters: a path of 256 less its angle brackets (RFC 5321, 4.5.3.1.3).

The 255 of a domain (4.5.3.1.2) are never reached within it.
"""

_QUOTED_MAX = 40

_MARKS = frozenset({"Mn", "Mc"})

# Letters and marks by their category, but without any ink (Default_Ignorable_Code_Point): fillers of Hangul, inherent
# vowels of Khmer, variation selectors of Mongolian. What else there is of the kind is in no script, or not in NFKC.
_BLANK = frozenset("\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f")

# A small i has its dot and a capital L its foot; but a capital I looks like a small l.
_APART = frozenset(map(frozenset, ("il", "iL", "IL")))

# HTML Living Standard, 4.10.5.1.5 "Email state": the definition of a valid email address.
_EMAIL = re.compile(
    r"[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+"
    r"@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    r"(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*"
)
_LOCAL = re.compile(_EMAIL.pattern.partition("@")[0])


class BadName(ValueError):  # noqa: N818 - it says what is bad, as the wire's code does
    """A text that is no name; ``str()`` says why, to the person who typed it."""


class BadEmail(ValueError):  # noqa: N818
    """A text that is no email address; ``str()`` says why, to the person who typed it."""


def check_name(text: str) -> str:
    """The name as it will be shown: in NFKC, its case kept.

    Raises:
        BadName: it is too long, holds something else than letters, digits, ``_ . -``, or is reserved.
    """
    name = _nfkc(text[:WRITTEN_MAX])
    if not name:
        raise BadName(f"a name is missing: it has 1 to {NAME_MAX} letters, digits, _ . -")
    quoted = _quote(text)
    if len(text) > WRITTEN_MAX or len(name) > NAME_MAX:
        length = len(text) if len(text) > WRITTEN_MAX else len(name)
        raise BadName(f"{quoted} is too long for a name: it has {length:,} characters, at most {NAME_MAX} are allowed")
    for at, char in enumerate(name):
        if unicodedata.category(char) in _MARKS and not _is_borne(name, at):
            where = "where it does not belong; a mark follows a letter of its own script"
            raise BadName(f"{quoted} is no name: it holds {_describe(char)} {where}")
        if not (_is_alphanumeric(char) or unicodedata.category(char) in _MARKS or char in "_.-"):
            raise BadName(f"{quoted} is no name: it holds {_describe(char)}; letters, digits and _ . - are allowed")
    if not _is_alphanumeric(name[0]):
        raise BadName(f"{quoted} is no name: it starts with {_describe(name[0])}; the first is a letter or a digit")
    masked = next((char for char in name if char in TWO_FACED), None)
    if masked and any(char.isascii() and char.isalpha() for char in name):
        raise BadName(f"{quoted} is no name: among Latin letters {_describe(masked)} passes for another one")
    if network(name) is not None:
        raise BadName(f"{quoted} is no name: it is an IP address")
    if reserved := _reserved(name):
        like = "is" if fold(name) == reserved else f"looks like {reserved!r}, which is"
        raise BadName(f"{quoted} {like} reserved; choose another name")
    return name


@lru_cache(KEPT)
def fold(name: str) -> str:
    """What two names are compared by: NFKC and casefold, until neither changes anything."""
    folded = _nfkc(_nfkc(name).casefold())
    return name if folded == name else fold(folded)


@lru_cache(KEPT)
def skeleton(name: str) -> str:
    """What names that look alike have in common (UTS 39, section 4, after folding); never shown to anybody."""
    return _nfd(_nfd(fold(name)).translate(TABLE))


def alike(one: str, other: str) -> bool:
    """Whether two names cannot exist side by side: they are the same, or look alike as they are written."""
    return skeleton(one) == skeleton(other) and not any(
        frozenset(pair) in _APART for pair in zip(_strokes(one), _strokes(other), strict=False)
    )


def script(char: str) -> str:
    """The script of a letter or a mark, by the first word of its name; one for all marks that belong to none."""
    return unicodedata.name(char, "").partition(" ")[0]


def closest(name: str, names: Iterable[str]) -> str | None:
    """The one of these names that was perhaps meant: one that looks the same, or else is spelled nearly so."""
    by_fold = {fold(other): other for other in names}
    look = skeleton(name)
    for other in by_fold.values():
        if skeleton(other) == look:
            return other
    near = get_close_matches(fold(name)[: 2 * NAME_MAX], by_fold, n=1)
    return by_fold[near[0]] if near else None


def check_email(text: str) -> str:
    """The address with its domain in lower case; the part before the @ stays as it is (RFC 5321, 2.4).

    Raises:
        BadEmail: it is no address by the HTML Living Standard, has no dot in its domain, or is too long.
    """
    if mistake := _email_mistake(text):
        raise BadEmail(f"{_quote(text)} is no email address: {mistake}" if text else mistake)
    local, _, domain = text.partition("@")
    return f"{local}@{domain.lower()}"


def same_email(email: str) -> str:
    """What two addresses are compared by: the whole address without case.

    Mail servers may tell Bob@x.org from bob@x.org (RFC 5321, 2.4), but hardly any does. People write either, and one
    mailbox must not count as several: in bans, in limits, and as the owner of a name.
    """
    return email.casefold()


def mask_email(email: str) -> str:
    """An address that only its owner recognizes, as in ``j***@example.org``."""
    local, _, domain = email.rpartition("@")
    return f"{local[:1] if len(local) > 1 else ''}***@{domain}"


def _nfkc(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def _is_alphanumeric(char: str) -> bool:
    category = unicodedata.category(char)
    return (category[0] == "L" or category == "Nd") and char not in _BLANK


def _is_borne(name: str, at: int) -> bool:
    """Whether the mark at this place stands where it may.

    That is on a letter of its own script. NFKC has composed what Latin, Greek and Cyrillic letters bear, and the
    marks that it leaves belong to no script: of those that overlay a letter, nobody could tell what is below.
    """
    letter = at - 1
    while letter >= 0 and unicodedata.category(name[letter]) in _MARKS:
        letter -= 1
    if letter < 0 or unicodedata.category(name[letter])[0] != "L" or name[at] in _BLANK:
        return False
    marks = name[letter + 1 : at + 1]
    nonspacing = sum(unicodedata.category(mark) == "Mn" for mark in marks)
    return script(name[letter]) == script(name[at]) and nonspacing <= MARKS_MAX and marks.count(name[at]) == 1


def _strokes(name: str) -> str:
    """How each i of the skeleton is written: as an i or an l, small or large, or (1) as something else."""
    return "".join((char if char in "iIlL" else "1") * skeleton(char).count("i") for char in _nfd(_nfkc(name)))


@cache
def _looks_of_reserved() -> dict[str, str]:
    return {skeleton(reserved): reserved for reserved in RESERVED}


def _reserved(name: str) -> str | None:
    """The reserved name that this one is, or looks like, whether that is written small or large."""
    reserved = _looks_of_reserved().get(skeleton(name))
    if reserved is None or not (alike(name, reserved) or alike(name, reserved.upper())):
        return None  # it is called Ali, say
    return reserved


def _email_mistake(text: str) -> str | None:
    """What is wrong with an address, None when nothing is."""
    if not text:
        return "an email address is missing: it looks like name@example.org"
    if len(text) > EMAIL_MAX:
        return f"it has {len(text):,} characters, at most {EMAIL_MAX} are allowed"
    for char in text:
        if char.isspace() or not (char.isascii() and char.isprintable()):
            return f"it holds {_describe(char)}; only the letters a to z, digits and some signs are allowed"
    local, at, domain = text.partition("@")
    if not at:
        return "there is no @ in it, as in name@example.org"
    if "@" in domain:
        return "there is more than one @ in it; write a single address, as in name@example.org"
    if not local:
        return "before the @ comes the name of a mailbox, as in name@example.org"
    if len(local) > LOCAL_MAX:
        return f"before the @ there are {len(local)} characters, at most {LOCAL_MAX} are allowed"
    if not _LOCAL.fullmatch(local):
        return "before the @ there are only letters, digits and the signs .!#$%&'*+/=?^_`{|}~- allowed"
    if "." not in domain:
        return "after the @ comes a domain with a dot, as in name@example.org"
    if not _EMAIL.fullmatch(text):
        return (
            "after the @ comes a domain, as in name@example.org: parts of 1 to 63 letters, digits and hyphens, "
            "with single dots between them and no hyphen at the ends of a part"
        )
    return None


def _quote(text: str) -> str:
    """A text in quotes on one line, without anything that could disturb a terminal, and not too long."""
    return repr(text if len(text) <= _QUOTED_MAX else text[: _QUOTED_MAX - 1] + "…")


def _describe(char: str) -> str:
    """A character for people: itself when every keyboard has it, else as in ``U+00B7 MIDDLE DOT``."""
    if char == " ":
        return "a space"
    if "!" <= char <= "~":
        return repr(char)
    return f"U+{ord(char):04X} {unicodedata.name(char, 'CONTROL' if unicodedata.category(char) == 'Cc' else 'UNNAMED')}"
