"""Opening a connection: TCP, and TLS with nobody but the right one.

    a certificate is pinned ──> shake hands with anybody ──> is it that certificate? ──yes──> go
                                                                  │ no
    none is                 ──> shake hands by the rules <────────┘
                                 authority and name are right? ──yes──> go
                                                                  │ no
                                look at the certificate, and refuse

What is trusted without an authority was looked at by a person (``trust``). Nothing is written on any of these
connections before the certificate was accepted.
"""

import asyncio
import contextlib
import ssl

from chatmail.client.link import Server, Timing
from chatmail.client.trust import NoTlsError, Stranger, UntrustedError, fingerprint
from chatmail.client.wording import why

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG"})
"""What OpenSSL calls bytes that are no record of TLS."""


async def dial(server: Server, timing: Timing) -> Streams:
    """A connection over which everything may be sent.

    Raises:
        OSError: there is none; TimeoutError, ConnectionResetError: nobody answered, not even that there is no TLS;
            NoTlsError, ssl.SSLError: there is none in TLS.
        UntrustedError: nothing says that it is the right one.
    """
    if not server.tls:
        return await asyncio.open_connection(server.host, server.port)
    if server.pin is not None:
        streams, found = await _with_anybody(server, timing)
        if found == server.pin:
            return streams
        await _hang_up(streams)
    try:
        return await _shake_hands(server, timing, ssl.create_default_context())
    except ssl.SSLCertVerificationError as error:
        wrong = why(error)
    streams, found = await _with_anybody(server, timing)
    await _hang_up(streams)
    raise UntrustedError(Stranger(found, wrong, server.pin))


async def _with_anybody(server: Server, timing: Timing) -> tuple[Streams, str]:
    """A connection to whoever is there, and the fingerprint of the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    streams = await _shake_hands(server, timing, context)
    certificate = streams[1].get_extra_info("ssl_object").getpeercert(binary_form=True)
    return streams, fingerprint(certificate)


async def _shake_hands(server: Server, timing: Timing, context: ssl.SSLContext) -> Streams:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        return await asyncio.open_connection(server.host, server.port, ssl=context, ssl_handshake_timeout=timing.tls)
    except ConnectionAbortedError:  # silent for too long, in asyncio's words
        raise TimeoutError from None
    except ssl.SSLError as error:
        if getattr(error, "reason", None) in _NO_TLS:
            raise NoTlsError from None
        raise


async def _hang_up(streams: Streams) -> None:
    _, writer = streams
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
