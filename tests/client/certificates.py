"""Certificates of all kinds, for servers in tests."""

import ssl
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import trustme


def serving(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """What a server with this certificate listens with."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    return context


def issue(*names: str, by: trustme.CA | None = None, expired: bool = False) -> trustme.LeafCert:
    """A certificate for these names (127.0.0.1 when there are none), from an authority that nobody knows."""
    until = datetime.now(UTC) - timedelta(days=1) if expired else None
    since = datetime.now(UTC) - timedelta(days=2) if expired else None
    names = names or ("127.0.0.1",)
    return (by or trustme.CA()).issue_cert(*names, not_before=since, not_after=until)


def fingerprint_of(certificate: trustme.LeafCert) -> str:
    """As ``openssl x509 -fingerprint -sha256`` has it, but written as ssh writes those of keys."""
    whole = ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode())
    return f"SHA256:{b64encode(sha256(whole).digest()).decode().rstrip('=')}"
