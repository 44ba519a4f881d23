"""A whole hub with its store, without sockets and without a loop: for tests of what the operator does."""

import weakref
from collections.abc import Callable, Sequence
from random import Random

from chatmail.core.hub import Hub
from chatmail.core.limits import Limits
from chatmail.core.operator import Operator
from chatmail.core.records import Draft, Fate, Letter, Mail, Outcome
from chatmail.core.session import Session
from chatmail.core.wire import Away, ClientFrame, Dm, Join
from chatmail.server.command import COLUMNS, Machine
from chatmail.server.desk import Desk
from chatmail.server.stores.database import MEMORY, Database

NOW = 1_795_356_131.0


class Nowhere:
    """What a session is owed stays where it is."""

    def flush(self) -> bool:
        return False

    def write(self, data: bytes) -> bool:
        return False


class House:
    """``await settle()`` has all stored and looked up that was asked for; ``told`` is what the operator heard."""

    @classmethod
    async def open(cls, *people: str) -> "House":
        """A house with these people in it."""
        store = Database(MEMORY, keep_days=30)
        house = cls()
        weakref.finalize(house, store.close)
        house.told = []
        house.wake = lambda: None
        house.store = store
        house.hub = Hub(
            store.open(),
            Limits(),
            random=Random(1),
            wake=lambda: house.wake(),
            post=lambda: None,
            tell=house.told.append,
            fits=_fits,
            code_letter=_code_letter,
        )
        house.operator = Operator(house.hub)
        house.sessions = {}
        for name in people:
            await house.join(name)
        house.told.clear()
        return house

    store: Database
    wake: Callable[[], None]
    hub: Hub
    operator: Operator
    told: list[str]
    sessions: dict[str, Session]

    async def settle(self) -> None:
        while batch := self.hub.take():
            self.hub.committed(batch, self.store.commit([change for change, _ in batch]), NOW)
        lookups, self.hub.lookups = self.hub.lookups, []
        for lookup in lookups:
            while self.store.index():
                pass
            lookup.then(self.store.look_up(lookup.query))

    async def join(self, name: str, host: str = "192.0.2.1", now: float = NOW) -> None:
        self.sessions[name] = self.hub.connect(host, now, Nowhere())
        email = f"{name.lower() if name.isascii() else len(self.sessions)}@example.org"
        await self.send(name, Join(name=name, email=email), now)

    async def send(self, name: str, frame: ClientFrame, now: float = NOW) -> None:
        self.hub.receive(self.sessions[name], frame, now)
        await self.settle()

    async def away(self, name: str, reason: str) -> None:
        await self.send(name, Away(reason=reason))

    async def dm(self, sender: str, to: str, now: float = NOW) -> None:
        await self.send(sender, Dm(to=to, text="hello"), now)

    async def mail(self, sender: str, to: str, fate: Fate | None, reply: str = "") -> None:
        """A direct message; its letter is frozen, and (with a fate) sent with that outcome."""
        await self.dm(sender, to)
        draft = self.hub.mailroom.take(NOW)
        assert isinstance(draft, Draft)
        letter = Letter(
            message_id=f"<{draft.mails[0].seq:02x}c0ffee@x>",
            address=draft.address,
            content=b"",
            made=NOW,
            expires=NOW + 86_400,
            reader=draft.reader,
            mails=draft.mails,
        )
        self.hub.mailroom.freeze(draft, letter, lambda _: None, NOW)
        await self.settle()
        if fate is not None:
            self.hub.mailroom.outcome(letter, Outcome(fate=fate, detail="no", reply=reply), NOW)
            await self.settle()


class Console:
    """Somebody who types at the desk of a house that was opened a good day ago.

    What the machine around it tells can be set.
    """

    def __init__(self, house: House, *, blocks: bool = True, asks: bool = False, place: str = "") -> None:
        self.house = house
        self.quits = 0
        self.shown: list[str] = []
        self.memory: int | None = 46_000_000
        self.disk: int | None = 1_300_000
        self.columns = COLUMNS
        self.level = "info"
        machine = Machine(
            memory=lambda: self.memory,
            peak=lambda: 47_500_000,
            disk=lambda: self.disk,
            place=place,
            level=lambda: self.level,
            set_level=self._set_level,
            columns=lambda: self.columns,
            blocks=blocks,
        )
        self.desk = Desk(house.operator, self.shown.extend, self._quit, NOW - 93_784, machine, asks=asks)

    @classmethod
    async def open(cls, *people: str, blocks: bool = True, asks: bool = False, place: str = "") -> "Console":
        """One in a house with these people in it."""
        return cls(await House.open(*people), blocks=blocks, asks=asks, place=place)

    def _set_level(self, level: str) -> None:
        self.level = level

    def offers(self, before: str, now: float = NOW) -> list[str]:
        """What Tab offers, without what is said about it."""
        return [offer.text for offer in self.desk.offers(before, now)]

    def _quit(self) -> None:
        self.quits += 1

    async def type(self, line: str, now: float = NOW) -> list[str]:
        """The answer, what was told then, and what was shown later."""
        answer = self.desk.answer(line, now)
        await self.house.settle()
        later = self.house.told + self.shown
        self.house.told.clear()
        self.shown.clear()
        return answer + later


def _fits(mails: Sequence[Mail]) -> int:
    return len(mails)


def _code_letter(*_: object) -> Letter:
    raise AssertionError
