"""Who is known here: accounts by name, and the tokens that prove whose they are.

A name belongs to the address that first took it. Names are compared folded (NFKC and casefold); one that looks like
one that is taken (UTS 39) cannot be taken either.
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Iterable

from msgspec import UNSET, UnsetType

from chatmail.core.names import NAME_MAX, WRITTEN_MAX, alike, closest, fold, same_email, skeleton
from chatmail.core.records import Account
from chatmail.core.wire import Code, Refused

SEARCHED_MAX = 1_000
"""Among more names than these no similar one is searched for: it would hold up the chat for milliseconds."""


class Accounts:
    """All accounts, and the names that are being taken at this moment.

    Args:
        accounts: those there are.
        next_id: the id of the next one; ids are never used twice, so that a token of a forgotten account is void.
        secret: signs tokens.
    """

    def __init__(self, accounts: Iterable[Account], next_id: int, secret: bytes) -> None:
        self._secret = secret
        self._next_id = next_id
        self._by_id: dict[int, Account] = {}
        self._by_name: dict[str, Account] = {}
        # skeleton -> the names that have it, taken or being taken: hardly ever more than one
        self._by_skeleton: dict[str, tuple[str, ...]] = {}
        for account in accounts:
            self.add(account)

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, id: int) -> Account | None:
        """The account with this id, None when it was forgotten."""
        return self._by_id.get(id)

    def names(self) -> list[str]:
        """The names of all accounts."""
        return [account.name for account in self._by_id.values()]

    def find(self, name: str) -> Account | None:
        """The account with this name, never one that only looks like it."""
        return self._by_name.get(fold(name)) if len(name) <= WRITTEN_MAX else None

    def known(self, name: str, id: str | UnsetType = UNSET) -> Account:
        """The account with this name; raises Refused, with a suggestion, where nobody ever had it."""
        account = self.find(name)
        if account is None:
            meant = self._meant(name) if len(name) <= WRITTEN_MAX else None
            hint = f"; did you mean {meant}?" if meant is not None else ""
            shown = repr(name) if len(name) <= NAME_MAX else f"{name[:NAME_MAX]!r}…"
            raise Refused(Code.NO_SUCH_PERSON, f"nobody here was ever called {shown}{hint}", id=id, field="to")
        return account

    def _meant(self, name: str) -> str | None:
        """The name that was perhaps meant."""
        meant = self.taken_by(name)
        return closest(name, self.names()) if meant is None and len(self) <= SEARCHED_MAX else meant

    def taken_by(self, name: str) -> str | None:
        """The name that stands in the way of a new account of this name: the same, or one that looks like it."""
        near = self._by_skeleton.get(skeleton(name), ())
        same = next((other for other in near if fold(other) == fold(name)), None)
        return same or next((other for other in near if alike(name, other)), None)

    def reserve(self, name: str) -> int:
        """Hold a free name until ``add`` or ``release``, and give out an id for it."""
        self._take(name)
        self._next_id += 1
        return self._next_id - 1

    def release(self, name: str) -> None:
        """The name is free again after all, unless somebody at another server has it by now."""
        owner = self._by_name.get(fold(name))
        if owner is not None and owner.name == name:
            return
        look = skeleton(name)
        near = tuple(other for other in self._by_skeleton.get(look, ()) if other != name)
        if near:
            self._by_skeleton[look] = near
        else:
            self._by_skeleton.pop(look, None)

    def add(self, account: Account) -> None:
        """Take in an account that is in the store."""
        self._by_id[account.id] = account
        self._by_name[fold(account.name)] = account
        self._take(account.name)

    def forget(self, account: Account) -> None:
        """Let go of an account, if that was not done yet: its name is free, its token void."""
        if self._by_id.pop(account.id, None) is None:
            return
        del self._by_name[fold(account.name)]
        self.release(account.name)

    def _take(self, name: str) -> None:
        look = skeleton(name)
        near = self._by_skeleton.get(look, ())
        if name not in near:
            self._by_skeleton[look] = (*near, name)

    def of(self, what: str) -> list[Account]:
        """The accounts with this address, or the one with this name."""
        if "@" in what:
            return [account for account in self._by_id.values() if same_email(account.email) == same_email(what)]
        account = self.find(what)
        return [] if account is None else [account]

    def token(self, account: Account, floor: int, *, verified: bool = False) -> str:
        """The token that proves an account, with sight of its direct messages after the number ``floor``.

        ``verified``: its bearer has proved the address.
        """
        return f"{account.id}.{floor}.{self._signature(account, floor, verified=verified)}"

    def floor(self, account: Account, token: str, *, verified: bool = False) -> int | None:
        """The number after which the bearer of this token may see direct messages; None: it proves nothing.

        ``verified``: it counts only if its bearer has proved the address.
        """
        match token.split("."):
            case [id, floor, signature] if id == str(account.id) and floor.isdecimal() and len(floor) < 20:
                for kind in (True,) if verified else (True, False):
                    genuine = self._signature(account, int(floor), verified=kind)
                    if hmac.compare_digest(signature.encode(), genuine.encode()):
                        return int(floor)
        return None

    def _signature(self, account: Account, floor: int, *, verified: bool) -> str:
        claim = f"{account.id}.{floor}.{account.revoked}{'.verified' * verified}"
        return urlsafe_b64encode(hmac.digest(self._secret, claim.encode(), "sha256")).decode().rstrip("=")
