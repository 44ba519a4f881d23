"""Bans: who may not come in, by name, address, host or network."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network

from chatmail.core.hosts import network
from chatmail.core.names import fold, same_email
from chatmail.core.records import Ban


class Bans:
    """All bans; of one thing there is one, the latest."""

    def __init__(self, bans: Iterable[Ban]) -> None:
        self._bans: dict[str, Ban] = {}
        self._networks: dict[str, IPv4Network | IPv6Network] = {}
        for ban in bans:
            self.add(ban)

    @staticmethod
    def key(what: str) -> str:
        """What is banned, in the form in which it is compared: a name, an email address, a host or a network."""
        if "@" in what:
            return same_email(what)
        where = network(what)
        if where is None:
            return fold(what)
        return str(where.network_address) if where.num_addresses == 1 else str(where)

    def add(self, ban: Ban) -> None:
        """Take in a ban that is in the store."""
        self._bans[ban.what] = ban
        where = network(ban.what)
        if where is not None:
            self._networks[ban.what] = where

    def remove(self, what: str) -> None:
        """Lift one, if it was not lifted yet."""
        self._bans.pop(what, None)
        self._networks.pop(what, None)

    def current(self, now: float) -> list[Ban]:
        """Those that hold now, oldest first."""
        return [ban for ban in self._bans.values() if ban.until is None or now < ban.until]

    def get(self, key: str, now: float) -> Ban | None:
        """The ban of just this, if it holds now."""
        ban = self._bans.get(key)
        return ban if ban is not None and (ban.until is None or now < ban.until) else None

    def find(self, now: float, *whats: str) -> Ban | None:
        """A ban that holds now against any of these names, addresses and hosts."""
        if not self._bans:
            return None
        for what in whats:
            ban = self.get(self.key(what), now)
            if ban is not None:
                return ban
            host = network(what) if self._networks else None
            for key, where in self._networks.items():
                if host is not None and host.version == where.version and host.network_address in where:
                    ban = self.get(key, now)
                    if ban is not None:
                        return ban
        return None
