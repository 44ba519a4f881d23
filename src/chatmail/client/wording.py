"""Sentences for what goes wrong on the way to a server. Pure."""

import errno
import os
import socket
import ssl

from chatmail.client.text import plain, visible
from chatmail.core import wire

QUOTED_MAX = 60
"""So many characters are quoted of what another kind of server said."""


def why(error: OSError) -> str:
    """Why there is no connection, without numbers and without a traceback."""
    match error:
        case socket.gaierror():
            return "there is no such host, or no network"
        case TimeoutError():
            return "no answer"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted ({error.verify_message})"
        case ssl.SSLError():
            return "it speaks no TLS"
    # asyncio joins the errors of several addresses of one host into one text without a number.
    if error.errno == errno.ECONNREFUSED or os.strerror(errno.ECONNREFUSED) in str(error):
        return "nothing listens there (is the server running?)"
    return (error.strerror or str(error) or type(error).__name__).lower()


def nonsense(server: str, error: wire.WireError, first: bytes | None) -> str:
    """What to say about a line that is no frame; ``first`` is how the other end began, if it never was a server."""
    if first is None or first.lstrip().startswith(b"{"):
        return f"{server} sent something that this client does not understand: {error.text}"
    line = first.split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    shown = plain(visible(line[:QUOTED_MAX])) + ("…" if len(line) > QUOTED_MAX else "")
    return f"{server} is no chatmail server; it said: {shown}"
