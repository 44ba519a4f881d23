"""What a script wants of the client, and what it is told by the exit code. Pure."""

from datetime import UTC, datetime

from msgspec import Struct

from chatmail.core import wire

WAIT = 10.0
"""Seconds for which the mails of direct messages are waited for, where that is what the script is about."""

_EVER = datetime.max.replace(tzinfo=UTC)
_NEVER = datetime.min.replace(tzinfo=UTC)


class Script(Struct, frozen=True):
    """How lines are read and written.

    Args:
        to: each line is a direct message to this person; None: a line is a message or a command.
        json: lines are frames.
        follow: nothing is read; write what is said, without end.
        history: so many of the things said before are written first.
        wait: seconds for which the mails of direct messages are waited for; None: they are nobody's concern.
    """

    to: str | None = None
    json: bool = False
    follow: bool = False
    history: int = 0
    wait: float | None = None


class Since:
    """Tells what was said since we came from what was said before.

    A server that starts anew with an empty journal, or with an older copy of its file, knows no place of ours to go
    on from: what it sends then is new if its time says so, by the server's own clock.
    """

    def __init__(self) -> None:
        self._base = 0
        """Entries numbered up to here came with the last welcome, as history."""
        self._known = _EVER
        """Of those, what was said up to this time is not new."""
        self._latest = _NEVER
        self._came = False

    def welcome(self, frame: wire.Welcome) -> None:
        """We are in, or in again."""
        self._base = 0 if frame.resumed else frame.seq
        self._known = self._latest if self._came else _EVER
        self._came = True

    def is_new(self, frame: wire.EntryFrame) -> bool:
        """Whether it was said since we first came."""
        self._latest = max(self._latest, frame.time)
        return frame.seq > self._base or frame.time > self._known


class Mails:
    """The direct messages of this run, by their ids: who has been reached."""

    def __init__(self) -> None:
        self.open: set[str] = set()
        """Those that were neither shown to their reader nor mailed yet."""
        self.failed = False
        self._all: set[str] = set()

    def said(self, frame: wire.Frame) -> None:
        """We have said something."""
        if isinstance(frame, wire.Dm) and isinstance(frame.id, str):
            self._all.add(frame.id)
            self.open.add(frame.id)

    def receive(self, frame: wire.ServerFrame) -> None:
        """Take in what the server tells about one of them."""
        match frame:
            case wire.Receipt(id=str(id)) if id in self._all:
                self.failed |= frame.mail == "failed"
                if frame.online or frame.mail not in {"queued", "held"}:
                    self.open.discard(id)
            case wire.Error(id=str(id)):
                self.open.discard(id)
