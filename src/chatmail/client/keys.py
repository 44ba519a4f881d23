"""Whom we trust, what proves who we are, and who we were, kept from one start to the next."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from msgspec import structs

from chatmail.client.last import last_of, with_last
from chatmail.client.link import Server
from chatmail.client.state import Lines, lament
from chatmail.client.tokens import token_of, with_token
from chatmail.client.trust import pin_of, with_pin


class Keys:
    """The files ``known_servers``, ``tokens`` and ``last``.

    Nothing here raises anything: what can't be kept is not, and that is told once.

    Args:
        folder: where they are, None for nowhere.
        report: where sentences go.
    """

    def __init__(self, folder: Path | None, report: Callable[[str], None]) -> None:
        self.report = report
        self._pins = Lines(folder / "known_servers") if folder else None
        self._tokens = Lines(folder / "tokens") if folder else None
        self._last = Lines(folder / "last") if folder else None
        self._told = False

    def pinned(self, server: Server) -> Server:
        """The server, with the certificate that is trusted there."""
        return structs.replace(server, pin=pin_of(server.key, self._read(self._pins)))

    def trust(self, server: Server, fingerprint: str) -> Server:
        """Trust this certificate from now on, and no other one there that nobody known has signed."""
        self._change(self._pins, partial(with_pin, server.key, fingerprint))
        return structs.replace(server, pin=fingerprint)

    def token(self, server: Server, name: str, email: str) -> str | None:
        """What proves this account there; None: nothing."""
        return token_of(server, name, email, self._read(self._tokens))

    def keep(self, server: Server, name: str, email: str, token: str) -> None:
        """Keep what the server gave us as a proof."""
        self._change(self._tokens, partial(with_token, server, name, email, token))

    def last(self, server: Server, name: str = "") -> tuple[str, str]:
        """The name and the address with which somebody last came in there, under this name or any; may be empty."""
        return last_of(server, self._read(self._last), name)

    def came_in(self, server: Server, name: str, email: str) -> None:
        """Offer these next time."""
        self._change(self._last, partial(with_last, server, name, email))

    def _read(self, file: Lines | None) -> list[str]:
        try:
            return file.read() if file else []
        except OSError as error:
            self._tell(file, error)
            return []

    def _change(self, file: Lines | None, edit: Callable[[list[str]], list[str]]) -> None:
        try:
            if file:
                file.change(edit)
        except OSError as error:
            self._tell(file, error)

    def _tell(self, file: Lines | None, error: OSError) -> None:
        if file and not self._told:
            self._told = True
            self.report(f"not kept for the next start: {lament(file.path, error)}")
