"""What is held back until Enter is pressed once more: it may not be meant for everybody, or be too much. Pure.

Everything else that can be sent is sent at once: who is asked often says yes without reading.
"""

from collections.abc import Iterable

from chatmail.core import wire
from chatmail.core.names import fold

LINES_MAX = 10
"""A text of more lines is shown before it is sent."""
DIRECT = frozenset({"dm", "msg", "pm", "privmsg", "query", "w", "whisper"})
"""What begins a direct message here or in other chats, but hardly a sentence."""
COMMANDS = {"help": "/help", "who": "/who", "quit": "/quit", "exit": "/quit"}
"""What hardly anybody says with nothing else, and which command was perhaps meant."""
SIGNS = ".,!;:\\-'"
"""What a finger hits in place of the slash, or in other chats begins a command."""


def doubt(frame: wire.Say | wire.Dm, names: Iterable[str]) -> str:
    """Why this should be looked at before it is sent, in a sentence; empty: it may go.

    Args:
        frame: what a line means.
        names: of people to whom somebody may want to write.
    """
    if isinstance(frame, wire.Say) and (name := _perhaps_to(frame.text, names)):
        return f"not sent: did you mean /dm {name} …? (Enter once more sends it as it is)"
    if isinstance(frame, wire.Say) and (command := COMMANDS.get(frame.text.strip().casefold())):
        return f"not sent: did you mean {command}? (Enter once more sends it as it is)"
    lines = frame.text.count("\n") + 1
    return f"{lines} lines: Enter once more sends them" if lines > LINES_MAX else ""


def _perhaps_to(text: str, names: Iterable[str]) -> str | None:
    """The one for whom alone this text was perhaps meant."""
    word, name, *_ = *text.split(maxsplit=2), "", ""
    bare = word.rstrip(":").casefold()
    if bare[1:] not in DIRECT | {"tell"} if bare[:1] in SIGNS else bare not in DIRECT:
        return None
    wanted = fold(name.removeprefix("@").rstrip(":,"))
    return next((known for known in names if fold(known) == wanted), None)
