"""Sentences for what goes wrong on the way to a server. Pure."""

import errno
import os
import socket
import ssl

from chatmail.client.link import Server
from chatmail.core import wire
from chatmail.terminal.text import plain, visible

QUOTED_MAX = 60
"""So many characters are quoted of what another kind of server said."""

_NO_AUTHORITY = frozenset({18, 19, 20, 21})
"""X509_V_ERR_* (openssl/x509_vfy.h) for a certificate that nobody signed who is known here."""
_TLS_ALERT = b"\x15\x03"
"""How a TLS server begins its answer to what is no TLS (RFC 8446, section 5.1)."""


def why(error: OSError) -> str:
    """Why there is no connection, without numbers and without a traceback."""
    match error:
        case socket.gaierror():
            return "there is no such host, or no network"
        case TimeoutError():
            return "no answer"
        case ssl.SSLCertVerificationError():
            own = "; for one of your own, name its authority's file in SSL_CERT_FILE"
            hint = own if error.verify_code in _NO_AUTHORITY else ""
            return f"its certificate is not trusted ({error.verify_message.rstrip('.')}){hint}"
        case ssl.SSLError():
            return "it speaks no TLS; without --tls, what you say crosses the network in clear"
    # asyncio joins the errors of several addresses of one host into one text without a number.
    if error.errno == errno.ECONNREFUSED or os.strerror(errno.ECONNREFUSED) in str(error):
        return "nothing listens there (is the server running?)"
    return (error.strerror or str(error) or type(error).__name__).lower()


def closed(server: Server, first: bytes) -> str:
    """What to say about a server that closed before it let us in; ``first`` is how it began."""
    if first.startswith(_TLS_ALERT):
        return f"{server} speaks TLS: add --tls"
    if first:
        return f"{server} closed the connection"
    hint = "" if server.tls else " If it speaks TLS, add --tls."
    return f"{server} closed the connection without a word; is a chatmail server there?{hint}"


def nonsense(server: Server, error: wire.WireError, first: bytes | None) -> str:
    """What to say about a line that is no frame; ``first`` is how the other end began, if it never was a server."""
    if first is None or first.lstrip().startswith(b"{"):
        return f"{server} sent something that this client does not understand: {error.text}"
    line = first.split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    shown = plain(visible(line[:QUOTED_MAX])) + ("…" if len(line) > QUOTED_MAX else "")
    return f"{server} is no chatmail server; it said: {shown}"
