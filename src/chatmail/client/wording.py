"""Sentences for what goes wrong on the way to a server. Pure."""

import errno
import os
import socket
import ssl

import chatmail
from chatmail.client.address import HOST, PORT
from chatmail.client.link import Server
from chatmail.client.trust import NoTlsError, Stranger
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
        case ConnectionResetError():
            return "it closed the connection"
        case ssl.SSLCertVerificationError(verify_code=code, verify_message=message):
            what = "nobody known here has signed it" if code in _NO_AUTHORITY else message.rstrip(".")
            return f"its certificate is not trusted ({what})"
        case ssl.SSLError():
            what = getattr(error, "reason", None) or str(error)  # those that Python itself raises have none
            return f"its TLS does not fit ours ({what.replace('_', ' ').lower()})"
    if _is_refusal(error):
        return "nothing listens there (is the server running?)"
    return (error.strerror or str(error) or type(error).__name__).lower()


def unreachable(server: Server, error: OSError, *, known: bool = False) -> str:
    """What to say about a server to which there is no connection; ``known``: somebody was in there before."""
    if not isinstance(error, NoTlsError):
        return f"can't reach {server}: {why(error)}{_hint(server, error)}"
    if server.loopback:
        return f"can't reach {server}: it speaks no TLS; without --tls, nothing is encrypted"
    if known or server.pin is not None:
        return f"can't reach {server}: it speaks no TLS now; perhaps somebody in between prevents it: ask the operator"
    return (
        f"can't reach {server}: it speaks no TLS; perhaps it was never set up there, perhaps somebody in between "
        "prevents it; --no-tls goes on without, and everybody on the way can read all"
    )


def _hint(server: Server, error: OSError) -> str:
    """What to do about it, where that is not plain."""
    match error:
        case socket.gaierror():
            return "; see whether the name is right"
        case TimeoutError():
            return "; the server is down, or a firewall is in between: ask the operator"
        case ConnectionResetError():
            return "; is a chatmail server there?"
    if _is_refusal(error):
        return "; chatmail-server starts one on this machine" if server.loopback else "; see whether the port is right"
    return ""


def _is_refusal(error: OSError) -> bool:
    # asyncio joins the errors of several addresses of one host into one text without a number.
    return error.errno == errno.ECONNREFUSED or os.strerror(errno.ECONNREFUSED) in str(error)


def closed(server: Server, first: bytes) -> str:
    """What to say about a server that closed before it let us in; ``first`` is how it began."""
    if first.startswith(_TLS_ALERT):
        return f"{server} speaks TLS: {_how_to_tls(server)}"
    if first:
        return f"{server} closed the connection"
    hint = "" if server.tls else f" If it speaks TLS now, {_how_to_tls(server)}"
    return f"{server} closed the connection without a word; is a chatmail server there?{hint}"


def refused(server: Server, error: wire.Error) -> str:
    """What to say about a server that did not let us in; mostly it has said itself what to do."""
    match error.code:
        case wire.Code.UNSUPPORTED:
            return (
                f"{server} speaks another version of the protocol than this chatmail {chatmail.__version__} "
                f"({error.text}); ask the operator which version is right there, and install that one"
            )
        case wire.Code.BANNED | wire.Code.SERVER_FULL | wire.Code.UNAVAILABLE:
            return f"{server} does not let you in: {error.text}"
        case _:
            return error.text or error.code


def trying(why: str) -> str:
    """What to say while the client tries again by itself, as the server may have asked for."""
    return f"{why.removesuffix(' later').removesuffix('; try again')}; trying again"


def _how_to_tls(server: Server) -> str:
    if not server.loopback:
        return "leave --no-tls away"
    where = "" if server.key == str(Server(HOST, PORT)) else f" {server}"
    return f"chatmail --tls{where} joins there"


def in_clear(server: Server) -> str:
    """What to say before anything goes out that anybody can read."""
    return f"--no-tls: everybody on the way to {server} can read all, also what proves who you are"


def who_is_it(server: Server, stranger: Stranger) -> str:
    """What somebody reads who is to say whether a certificate is trusted."""
    return (
        f"{server} is new to you, and {stranger.why}. The fingerprint:\n"
        f"{stranger.found}\n"
        "The operator sees the same at the server's start. If that is another one, somebody is in between."
    )


def untrusted(server: Server, stranger: Stranger) -> str:
    """What to say about a certificate that is refused, and what to do where it is right nevertheless."""
    if stranger.pinned is None:
        return (
            f"can't reach {server}: {stranger.why}; where the operator sees this fingerprint when the server starts, "
            f"add --trust {stranger.found}; an authority of your own is made known by SSL_CERT_FILE"
        )
    return (
        f"can't reach {server}: its certificate is not the one you trust.\n"
        "It may be an attack, or the operator has made a new certificate: ask.\n"
        f"you trust {stranger.pinned}\n"
        f"there is  {stranger.found}\n"
        f"--trust {stranger.found} takes the new one, when it is the operator's"
    )


def nonsense(server: Server, error: wire.WireError, first: bytes | None) -> str:
    """What to say about a line that is no frame; ``first`` is how the other end began, if it never was a server."""
    if first is None or first.lstrip().startswith(b"{"):
        return (
            f"{server} sent something that this chatmail {chatmail.__version__} does not understand: {error.text}; "
            "if the server is newer, install its version here"
        )
    line = first.split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    shown = plain(visible(line[:QUOTED_MAX])) + ("…" if len(line) > QUOTED_MAX else "")
    return f"{server} is no chatmail server; it said: {shown}"
