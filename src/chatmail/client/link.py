"""What a connection and those who use it agree on: where to, how long, in which state, to what end. Pure."""

from collections.abc import Callable
from enum import Enum
from ipaddress import ip_address
from typing import Protocol

from msgspec import Struct

from chatmail.client.lookback import Found, NotFound
from chatmail.client.timeline import News
from chatmail.client.trust import Stranger
from chatmail.core import wire


class Timing(Struct, frozen=True):
    """All times, in seconds."""

    connect: float = 10.0
    """For the connection itself (TCP, and TLS)."""
    tls: float = 5.0
    """For one TLS handshake."""
    ping: float = 25.0
    """We send a ping after so much silence of our own."""
    dead: float = 20.0
    """The connection is dead when nothing comes for so long after a ping, or after asking to join."""
    shown: float = 0.5
    """A ping reports a direct message that was shown, so long after it."""
    leave: float = 2.0
    """The server has so long to close after a ``leave``."""
    first: float = 0.5
    """The shortest wait before a reconnect."""
    longest: float = 30.0
    """The longest wait before a reconnect, and how long a connection must last to count as a good one."""


class State(Enum):
    """Where the connection stands, in a word for people."""

    CONNECTING = "connecting"
    CHALLENGED = "code needed"
    JOINED = "connected"
    WAITING = "reconnecting"
    ENDED = "not connected"


class How(Enum):
    """How it ended."""

    LEFT = "left"
    REFUSED = "refused"
    """At the door; ``error`` says why, unless the server asked for a code and nobody could answer."""
    BYE = "bye"
    """The server closed and wants no return."""
    UNREACHABLE = "unreachable"
    """There never was a connection."""
    LOST = "lost"
    """There was one, but patience ran out."""


class Ending(Struct, frozen=True):
    """The end of ``run``: how, and a sentence."""

    how: How
    text: str = ""
    error: wire.Error | None = None
    stranger: Stranger | None = None
    """The certificate for which there was no connection."""


class Lost(Struct, frozen=True):
    """The end of one socket: worth another one; ``stranger`` as in ``Ending``."""

    text: str
    stranger: Stranger | None = None


class Face(Protocol):
    """What a connection tells, and the one question that it asks."""

    def news(self, news: News) -> None:
        """Show a frame."""

    def found(self, answer: Found | NotFound) -> None:
        """Show what a look back brought."""

    def state(self, state: State, text: str) -> None:
        """The connection is in this state now; ``text`` is a sentence, or empty where ``news`` tells the same."""

    async def code(self, challenge: wire.Challenge, wrong: str) -> str | None:
        """Ask the person for the code; ``wrong`` says why the last one was none. None: there is nobody to ask."""


class Server(Struct, frozen=True):
    """Where to, whether TLS is spoken there, and the fingerprint of the certificate that is trusted there without an
    authority.
    """

    host: str
    port: int
    tls: bool = False
    pin: str | None = None

    @property
    def key(self) -> str:
        """What it is called in files."""
        return str(self).lower()

    @property
    def loopback(self) -> bool:
        """Whether it is on this machine, so that nobody is in between."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def backoff(attempt: int, timing: Timing, rand: Callable[[], float]) -> float:
    """Seconds to wait before reconnect number ``attempt`` (from 0).

    Spread over the whole span from the shortest wait to one that doubles each time, so that all the clients of a
    server that was restarted do not come back at once.
    """
    top = min(timing.longest, timing.first * 2.0 ** min(attempt + 1, 32))
    return timing.first + rand() * (top - timing.first)
