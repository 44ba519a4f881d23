"""Frames as lines, for scripts that would rather not read what is written for people. Pure."""

import json

import msgspec

from chatmail.client.commands import Mistake, Nothing, Quit
from chatmail.core import wire
from chatmail.core.decoder import Decoder

Ours = wire.Say | wire.Dm | wire.Notify | wire.Away | wire.Who | wire.Whois | wire.History | wire.Search
"""What a script may send; the rest is the client's own business."""

_encode = msgspec.json.Encoder().encode


class Reader:
    """Makes of each line a frame to send, or a sentence that says what is wrong with it."""

    def __init__(self) -> None:
        self._decoder = Decoder[wire.ClientFrame](wire.ClientFrame)

    def read(self, line: str) -> Ours | Quit | Nothing | Mistake:
        """What one line means."""
        data = line.encode("utf-8", "replace")
        if not data.strip():
            return Nothing()
        if len(data) > wire.LINE_MAX:
            return Mistake(f"not sent: this line is longer than {wire.LINE_MAX:,} bytes")
        (frame,) = self._decoder.feed(data + b"\n")
        match frame:
            case wire.WireError():
                return Mistake(f"not sent: {frame.text}")
            case wire.Leave():
                return Quit()
            case wire.Join() | wire.Verify() | wire.Ping():
                kind = type(frame).__name__.lower()
                return Mistake(f"not sent: '{kind}' is the client's own business; its options say who joins")
            case _:
                return frame


def write(frame: wire.ServerFrame, *, harmless: bool = False) -> str:
    """A frame as it came, without what is nobody else's: the proof of who we are.

    Args:
        frame: what the server sent.
        harmless: write all that is not ASCII as escapes; at a terminal it could drive that.
    """
    if not harmless and not isinstance(frame, wire.Welcome):
        return _encode(frame).decode()
    fields = msgspec.to_builtins(frame)
    fields.pop("token", None)
    return json.dumps(fields) if harmless else _encode(fields).decode()
