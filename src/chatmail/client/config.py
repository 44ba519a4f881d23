"""What a person has chosen once for all starts: ``config.toml``, read, checked and written.

Everything wrong in it is told at once, each in a sentence with the file, the key, the value and what would be right.
An option of the command line wins over what stands here.
"""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
from msgspec import Struct, structs

from chatmail.client.address import HOST, PORT, server_of
from chatmail.client.screen import STYLE
from chatmail.core.names import check_email, check_name
from chatmail.files import write_private

TIMES_MAX = 40
"""So many characters may stand before each line to tell when it was said."""
QUOTED_MAX = 60
"""So many characters are quoted of a value that is wrong."""


class Profile(Struct, frozen=True):
    """The keys of the file, with their defaults."""

    server: str = f"{HOST}:{PORT}"
    name: str = ""
    email: str = ""
    theme: Literal["color", "mono"] = "color"
    times: str = "%H:%M"
    bell: Literal["all", "direct", "off"] = "all"
    notice: Literal["off", "osc9", "osc777"] = "off"
    keys: Literal["emacs", "vi"] = "emacs"
    style: Mapping[str, str] = {}


class WrongError(Exception):
    """The file can't be used; ``sentences`` say why, all of it."""

    def __init__(self, sentences: list[str]) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = sentences


_TYPES = {field.name: field.type for field in structs.fields(Profile)}
_HEAD = "What chatmail starts with. An option of the command line wins over what stands here."
_COMMENTS = {
    "server": "Where the server is: HOST or HOST:PORT.",
    "name": "Your name in the chat. Empty: you are asked, and offered the one of last time.",
    "email": "Your email address. Empty: as for the name.",
    "theme": 'Colours ("color"), or none ("mono"). The environment variable NO_COLOR makes it "mono" as well.',
    "times": "What tells the time before each line, in the words of strftime. Empty: no times.",
    "bell": 'When the terminal rings: for direct messages and when your name falls ("all"), only for direct\n'
    'messages ("direct"), or never ("off").',
    "notice": 'Whether the terminal is asked to notify you of the same, and how: "osc9" (iTerm2, WezTerm, kitty),\n'
    '"osc777" (foot, urxvt, Ghostty), or not at all ("off").',
    "keys": 'The keys of the input line: "emacs" or "vi".',
}
_STYLE_COMMENT = """\
What things look like, in prompt-toolkit's words: a colour ("#d75f5f", "ansired"), "bg:" with a colour, bold,
underline, italic, reverse, dim. These are the defaults; take the # away to change one."""


def check_times(text: str) -> str:
    """Gives back a form of time, or raises ValueError."""
    try:
        shown = datetime(2000, 9, 30, 22, 58).strftime(text)
        fits = shown.isprintable() and len(shown) <= TIMES_MAX
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"{text!r} is no form of time: that is one like %H:%M or %I:%M %p, or empty for no times")
    return text


def choices(key: str) -> tuple[str, ...]:
    """The values that a key can have; none where that can't be told."""
    return get_args(_TYPES[key])


_CHECKS: dict[str, Callable[[str], object]] = {
    "server": server_of,
    "name": lambda text: text and check_name(text),
    "email": lambda text: text and check_email(text),
    "times": check_times,
}


def read(path: Path, *, styles: bool) -> Profile:
    """What is chosen in this file; the defaults where there is none.

    Args:
        path: of the file.
        styles: whether anything will be drawn, so that styles must be right as well.

    Raises:
        WrongError: something in it is wrong.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return Profile()
    except OSError as error:
        raise WrongError([f"{path} can't be read: {error.strerror or error}"]) from None
    except UnicodeDecodeError:
        raise WrongError([f"{path} can't be read: it is not UTF-8"]) from None
    import tomllib  # only where there is a file

    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise WrongError([f"{path} is no TOML: {error}"]) from None
    if isinstance(data.get("style"), dict):
        data["style"] = dict(_flat(data["style"]))
    wrong = [f"{path}: {sentence}" for key, value in data.items() for sentence in _mistakes(key, value, styles=styles)]
    if wrong:
        raise WrongError(wrong)
    return msgspec.convert(data, Profile)


def mistakes(profile: Profile) -> list[str]:
    """What is wrong with values that did not come from a file."""
    values = structs.asdict(profile)
    return [sentence for key, value in values.items() for sentence in _mistakes(key, value, styles=False)]


def init(path: Path, profile: Profile) -> None:
    """Write a file that explains itself. Raises OSError, FileExistsError where there is one."""
    if path.exists() or path.is_symlink():
        raise FileExistsError
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(path, _text(profile).encode())


def _text(profile: Profile) -> str:
    parts = [_comment(_HEAD)]
    for key, comment in _COMMENTS.items():
        parts.append(f"{_comment(comment)}{key} = {_quoted(getattr(profile, key))}\n")
    styles = "".join(f"# {name} = {_quoted(look)}\n" for name, look in STYLE.items())
    parts.append(f"[style]\n{_comment(_STYLE_COMMENT)}{styles}")
    return "\n".join(parts)


def _comment(text: str) -> str:
    return "".join(f"# {line}\n" for line in text.splitlines())


def _quoted(text: str) -> str:
    """A text as TOML and JSON both write it; all texts here are printable."""
    return msgspec.json.encode(text).decode()


def _flat(table: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """The names of classes hold dots, which TOML takes for tables in tables."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _mistakes(key: str, value: Any, *, styles: bool) -> Iterator[str]:
    """What is wrong with one key of the file."""
    if key not in _TYPES:
        yield f"{key}: there is no such key; {_suggestion(key, _TYPES)}"
    elif key == "style" and isinstance(value, dict):
        for name, look in value.items():
            yield from _style_mistakes(name, look, styles=styles)
    else:
        try:
            msgspec.convert(value, _TYPES[key])
            _CHECKS.get(key, str)(value)
        except msgspec.ValidationError:
            yield f"{key} = {_shown(value)}: {_right(key)}"
        except ValueError as mistake:
            yield f"{key}: {mistake}"


def _right(key: str) -> str:
    if key == "style":
        return "it is a table: [style], and below it a line for each class"
    values = [_quoted(choice) for choice in choices(key)]
    return f"it is {', '.join(values[:-1])} or {values[-1]}" if values else 'it is a text, in quotes: "…"'


def _style_mistakes(name: str, look: Any, *, styles: bool) -> Iterator[str]:
    if name not in STYLE:
        yield f"[style] {name}: there is no such class; {_suggestion(name, STYLE)}"
    elif not isinstance(look, str):
        yield f"[style] {name} = {_shown(look)}: {_right('name')}"
    elif styles and not _is_style(look):
        yield f'[style] {name} = {_shown(look)}: it is made of words like "bold", "underline", "#d75f5f", "bg:ansired"'


def _is_style(look: str) -> bool:
    from prompt_toolkit.styles import Style  # only where there is a terminal

    try:
        Style.from_dict({"a": look})
    except ValueError:
        return False
    return all(re.fullmatch("ansi[a-z]+|[0-9A-Fa-f]{3}|[0-9A-Fa-f]{6}", code) for code in re.findall(r"#(\S*)", look))


def _suggestion(word: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= QUOTED_MAX else f"{text[:QUOTED_MAX]}…"
