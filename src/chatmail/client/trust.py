"""Which certificates are trusted although nobody known has signed them. Pure.

It goes as with ssh. The first time, a person compares the fingerprint of the certificate with the one that the
operator sees, and says yes. From then on this certificate is right at that server (it is *pinned*), and another one
that nobody known has signed is refused. A certificate that is properly signed needs none of this, and no pin forbids
it: who moves to one has nothing to tell to anybody.

A fingerprint is the SHA-256 of the whole certificate (DER), written as ssh writes those of keys. ``known_servers`` has
a line for each server:

    chat.example.org:6245 SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from hashlib import sha256

from msgspec import Struct

KIND = "SHA256"


class Stranger(Struct, frozen=True):
    """A certificate that is not trusted: its fingerprint, why, and the fingerprint that is trusted there, if one is."""

    found: str
    why: str
    pinned: str | None = None


class UntrustedError(Exception):
    """There was a connection, but to whom is not sure; nothing was sent over it."""

    def __init__(self, stranger: Stranger) -> None:
        super().__init__(stranger.why)
        self.stranger = stranger


class NoTlsError(OSError):
    """The other end does not answer in TLS."""


def fingerprint(certificate: bytes) -> str:
    """Of a certificate (DER), in the form in which fingerprints are kept and compared."""
    return _written(sha256(certificate).digest())


def read_fingerprint(text: str) -> str:
    """What somebody typed or copied, in that same form; also as pairs of hexadecimal digits. Raises ValueError."""
    digits = re.sub(rf"^{KIND}:?", "", re.sub(r"\s", "", text), flags=re.IGNORECASE)
    pairs = digits.replace(":", "")
    if re.fullmatch(f"[0-9A-Fa-f]{{{2 * sha256().digest_size}}}", pairs):
        return _written(bytes.fromhex(pairs))
    if re.fullmatch("[0-9A-Za-z+/]{43}=?", digits):
        return _written(b64decode(f"{digits[:43]}="))
    raise ValueError(f"{text!r} is no fingerprint: that is {KIND}: and 43 letters, digits, + and /")


def _written(digest: bytes) -> str:
    return f"{KIND}:{b64encode(digest).decode().rstrip('=')}"


# The lines of known_servers.


def pin_of(server: str, lines: Sequence[str]) -> str | None:
    """The fingerprint that is pinned at a server (``Server.key``); a line that can't be read pins nothing."""
    for line in lines:
        if _is_about(server, line):
            try:
                return read_fingerprint("".join(line.split()[1:]))
            except ValueError:
                return None
    return None


def with_pin(server: str, fingerprint: str, lines: Sequence[str]) -> list[str]:
    """The lines with this certificate pinned, and no other one at the same server."""
    return [*(line for line in lines if not _is_about(server, line)), f"{server} {fingerprint}"]


def _is_about(server: str, line: str) -> bool:
    return line.split()[:1] == [server]
