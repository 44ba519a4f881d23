"""TLS for the chat: the certificate it speaks with, and the fingerprint that people compare.

The certificate is the one of TLS_CERT and TLS_KEY, or else one that the server makes for itself. No authority vouches
for its own, so people trust it by its fingerprint, and it has to stay the same: it is made once and kept in one file,
``chatmail-tls.pem``, with its key, so that there is never half a pair. Only making it takes the package
``cryptography``, which is why nothing else loads that.
"""

import socket
import ssl
from asyncio import sslproto
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import NamedTuple

from chatmail.files import alone_in, write_private
from chatmail.server import values
from chatmail.server.settings import Settings, SettingsError

YEARS = 10
"""How long a certificate of the server's own is valid."""
READ_SIZE = 16 * 1024
"""How much of what came in is decrypted at once, in bytes: a record of TLS (RFC 8446, 5.1)."""
SKEW = timedelta(days=1)
"""How far behind a clock may be without finding a new certificate not yet valid."""


class Tls(NamedTuple):
    """What listening with TLS takes, and the fingerprint of its certificate as people compare it."""

    context: ssl.SSLContext
    fingerprint: str


def prepare(settings: Settings) -> Tls | None:
    """What these settings ask for, None where the chat speaks no TLS; makes a certificate where there is none yet.

    Raises SettingsError, with what would be right, when there is no certificate to be had.
    """
    if not settings.tls_on:
        return None
    # Each connection has a buffer of this size as long as it lives. With the 256 KiB of asyncio, a person costs 305 KB
    # of memory, so 59 KB (measured), and reading costs no more time. asyncio makes the buffer before we have a say, so
    # that this holds for all TLS of this process: also where it sends mail, of which the answers are short.
    sslproto.SSLProtocol.max_size = READ_SIZE
    if settings.tls_cert is not None and settings.tls_key is not None:
        return _given(settings.tls_cert, settings.tls_key)
    path = settings.own_certificate
    try:
        if not path.exists():
            with alone_in(path.parent):
                if not path.exists():  # of servers that share a folder, the first one makes it for all
                    write_private(path, _make(settings.chat_host))
    except ImportError as error:
        mistake = (
            f"CHAT_HOST={settings.chat_host} wants TLS, and making a certificate takes a package that is not installed "
            f"({error}). Install it, in the clone of chatmail: .venv/bin/pip install -e '.[tls]'; or set TLS_CERT and "
            "TLS_KEY to a certificate and its key; or set TLS=off, and everything said crosses the network in clear"
        )
        raise SettingsError([mistake]) from None
    except OSError as error:
        mistake = f"{path}, where the server keeps its TLS certificate, can't be made: {error.strerror or error}"
        raise SettingsError([mistake]) from None
    return _own(path)


def _given(cert: Path, key: Path) -> Tls:
    try:
        context = _context(cert, key)
        return Tls(context, _fingerprint(_shown(context)))
    except (OSError, ValueError) as error:
        pair = f"TLS_CERT={cert} with TLS_KEY={key}"
        right = "a certificate and its key, both PEM files, the key without a password"
        raise SettingsError([f"{pair} can't be used ({error}); they must be {right}"]) from None


def _own(path: Path) -> Tls:
    try:
        context = _context(path)
        return Tls(context, _fingerprint(_shown(context, trusted=path)))
    except (OSError, ValueError) as error:
        why = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else error
        mistake = (
            f"{path}, the TLS certificate that the server made, can't be used ({why}). Delete the file, and the next "
            "start makes a new one; its fingerprint is another, and people's clients refuse it until told to trust it"
        )
        raise SettingsError([mistake]) from None


def _context(cert: Path, key: Path | None = None) -> ssl.SSLContext:
    """For the server, with this pair; the key is in the same file when there is none of its own."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key, password="")  # never asked for at the prompt
    return context


def _shown(context: ssl.SSLContext, trusted: Path | None = None) -> bytes:
    """The certificate (DER) that a client is shown by this server: the two shake hands in memory.

    Args:
        context: the server's.
        trusted: the only certificate the client trusts; with None it trusts any.

    Raises SSLCertVerificationError when the client does not trust it, because it has expired, say.
    """
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    theirs.check_hostname = False
    if trusted is None:
        theirs.verify_mode = ssl.CERT_NONE
    else:
        theirs.load_verify_locations(trusted)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = theirs.wrap_bio(back, there)
    server = context.wrap_bio(there, back, server_side=True)
    for end in (client, server) * 3:  # TLS 1.3 takes two rounds, TLS 1.2 three
        with suppress(ssl.SSLWantReadError):
            end.do_handshake()
    return client.getpeercert(binary_form=True) or b""


def _fingerprint(certificate: bytes) -> str:
    """As clients show it: the way ssh writes fingerprints of keys."""
    return f"SHA256:{b64encode(sha256(certificate).digest()).decode().rstrip('=')}"


def _names(host: str) -> Iterator[str | IPv4Address | IPv6Address]:
    """What the server may be called: the address it listens on, if that is one, the machine's name, localhost."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        yield host
    else:
        if not address.is_unspecified:
            yield address
    with suppress(ValueError):
        yield values.host(socket.gethostname(), Path())
    yield "localhost"


def _make(host: str) -> bytes:
    """A new key and its self-signed certificate (RFC 5280), as PEM. Raises ImportError without ``cryptography``."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "chatmail")])
    called = [
        x509.DNSName(known) if isinstance(known, str) else x509.IPAddress(known)
        for known in dict.fromkeys(_names(host))
    ]
    usages = dict.fromkeys(
        (
            *("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
            *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
        ),
        False,
    )
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + timedelta(days=365 * YEARS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, **usages), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(called), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + certificate.public_bytes(Encoding.PEM)
