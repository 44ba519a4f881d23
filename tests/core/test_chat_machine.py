"""Hub, journal and store against a model that keeps everything: whatever happens, in whatever order.

The model is in ``ledger``. Here is what people do, what befalls them, and what store and server do: they refuse, answer
late, and die between any two steps.
"""

import sys
from typing import TypeVar

import pytest
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from msgspec import UNSET

from chatmail.core.limits import Limits
from chatmail.core.records import Account, Change, Earlier, Patch, Stored
from chatmail.core.wire import Dm, Leave, Ping, Resume, Say, Who
from tests.core.house import House, joining
from tests.core.ledger import Client, Ledger, Watcher, What

NAMES = ("Ada", "Bo", "Cy", "Di")
HISTORY = 4
ENTRIES_MAX = 9
"""So few that whoever stalls for a moment falls behind, and that ids are soon known to the store alone."""
GRACE = 5.0
EPSILON = 0.002
"""Times of entries are rounded to the millisecond."""
BIG = "\U0001f409" * 4_000
"""As many bytes as a text can have: five of them are more than one read."""

T = TypeVar("T")

names = st.sampled_from(NAMES)
places = st.integers(0, 99)
"""One of those that there are when it comes to it."""
rarely = st.integers(0, 3).map(lambda dice: dice == 3)


class Chat(RuleBasedStateMachine):
    """A house with four people and all that can befall them."""

    @initialize(people=st.integers(1, len(NAMES)))
    def open(self, people: int) -> None:
        self.house = House(Limits(history=HISTORY, entries_max=ENTRIES_MAX, grace=GRACE))
        self.house.slow_lookups = True
        self.ledger = Ledger(HISTORY, ENTRIES_MAX)
        self.clients = {name: Client(name) for name in NAMES}
        self.accounts: dict[int, Client] = {}
        self.watchers: list[Watcher] = []
        self.lasts: set[int] = set()
        """The last numbers there were when somebody asked to come in."""
        self.ids = 0
        for name in NAMES[:people]:
            self._join(self.clients[name], resume=False, with_token=False)
        self.commit()

    # What people do.

    @rule(name=names, resume=st.booleans(), with_token=st.booleans(), second=rarely, at_once=st.booleans())
    def join(self, name: str, resume: bool, with_token: bool, second: bool, at_once: bool) -> None:
        client = self.clients[name]
        if client.watcher is None or not client.watcher.peer.connected or second:
            self._join(client, resume, with_token)
            self._commit(at_once)

    def _join(self, client: Client, resume: bool, with_token: bool) -> None:
        rivals = [watcher for watcher in self.watchers if watcher.client is client]
        peer = self.house.peer()
        token = client.token if with_token else None
        at = Resume(epoch="first", seq=client.seq) if resume and token is not None else None
        client.watcher = Watcher(client, self.ledger, peer, at, rival=bool(rivals))
        self.watchers.append(client.watcher)
        self.lasts.add(self.ledger.last)
        peer.send(joining(client.name, token=token, resume=at))

    @rule(at=places, count=st.integers(1, 6), big=rarely, at_once=st.booleans())
    def say(self, at: int, count: int, big: bool, at_once: bool) -> None:
        for watcher in self._one(self._inside(), at):
            for _ in range(count):
                self.ids += 1
                self._say(watcher, f"{self.ids}", (None, BIG if big else f"text {self.ids}"))
            self._commit(at_once)

    @rule(at=places, to=names, at_once=st.booleans())
    def dm(self, at: int, to: str, at_once: bool) -> None:
        for watcher in self._one(self._inside(), at):
            self.ids += 1
            self._say(watcher, f"{self.ids}", (to, f"secret {self.ids}"))
            self._commit(at_once)

    @rule(at=places, other=rarely, at_once=st.booleans())
    def say_again(self, at: int, other: bool, at_once: bool) -> None:
        """An id is used once more, one of the oldest or of the newest."""
        lines = [(watcher, id) for watcher in self._inside() for id in watcher.repeatable]
        for watcher, id in self._one(lines[:3] + lines[-3:], at):
            to, text = watcher.client.sent[id][0]
            self._say(watcher, id, (to, "another text" if other else text))
            self._commit(at_once)

    def _say(self, watcher: Watcher, id: str, what: What) -> None:
        to, text = what
        watcher.say(Say(text=text, id=id) if to is None else Dm(to=to, text=text, id=id), id, what)

    @rule(at=places, seen=st.booleans())
    def ping(self, at: int, seen: bool) -> None:
        for watcher in self._one(self._inside(), at):
            watcher.send(Ping(seq=watcher.client.seq if seen else UNSET), "pong")

    @rule(at=places)
    def who(self, at: int) -> None:
        for watcher in self._one(self._inside(), at):
            watcher.send(Who(), "people")

    @rule(at=places)
    def leave(self, at: int) -> None:
        for watcher in self._one(self._inside(), at):
            watcher.peer.send(Leave())

    # What befalls them.

    @rule(at=places)
    def stall(self, at: int) -> None:
        for watcher in self._one(self._connected(), at):
            watcher.peer.stall()

    @rule(at=places)
    def sip(self, at: int) -> None:
        for watcher in self._one([watcher for watcher in self._connected() if watcher.peer.stalled], at):
            assert len(watcher.peer.sip()) < 128 * 1024
            self._drain()

    @rule(at=places)
    def go_on(self, at: int) -> None:
        for watcher in self._one([watcher for watcher in self._connected() if watcher.peer.stalled], at):
            watcher.peer.go_on()
            self._drain()

    @rule(name=names)
    def cut(self, name: str) -> None:
        watcher = self.clients[name].watcher
        if watcher is not None and watcher.peer.connected:
            if watcher.peer.session.account is not None and not watcher.peer.session.closing:
                self.clients[name].cut_at = self.house.now
            watcher.peer.cut()

    @rule(name=names, seconds=st.sampled_from([0.4, 4.0]))
    def blip(self, name: str, seconds: float) -> None:
        self.cut(name)
        self.time(seconds)
        self._join(self.clients[name], resume=True, with_token=True)
        self.commit()

    @rule(name=names)
    def kick(self, name: str) -> None:
        account = self.house.hub.accounts.find(name)
        if account is not None and self.house.hub.roster.get(account.id) is not None:
            self.house.operator.kick(name, "", self.house.now)
            self._flush()

    @rule()
    def broadcast(self) -> None:
        self.house.operator.broadcast("hear, hear", self.house.now)

    @rule(seconds=st.sampled_from([0.4, 2.0, 5.1]))
    def time(self, seconds: float) -> None:
        self.house.tick(seconds)
        self._drain()

    # What the store does.

    @rule()
    def take(self) -> None:
        self.house.take()

    @rule()
    def settle(self) -> None:
        for _ in range(3):
            self.house.look_up()
            self.commit()

    def _commit(self, at_once: bool) -> None:
        if at_once:
            self.commit()

    @rule()
    def commit(self) -> None:
        batch = self.house.take()
        self._record(batch, self.house.commit())
        self._drain()

    def _record(self, batch: list[Change], results: list[Stored]) -> None:
        """What the store has, and nobody has seen yet."""
        for watcher in self.watchers:
            if watcher.welcome is None:
                watcher.seens.add(watcher.client.seen)
        for change, result in zip(batch, results, strict=True):
            for row in change.rows:
                if isinstance(row, Account):
                    client = self.accounts[row.id] = self.clients[row.name]
                    assert client.first is None, "a second account for one person"
                    assert row.first in self.lasts
                    client.first = row.first
                if isinstance(row, Patch) and row.field == "seen":
                    self._saw(self.accounts[row.account], row.value)
            if change.entry is not None and isinstance(result, Earlier):
                event("the store alone knew an id")
                self.ledger.add_again(change.entry, result)
            elif change.entry is not None:
                assert isinstance(result, int)
                self.ledger.add(result, change.entry)
                if change.entry.kind == "left" and change.entry.text == "connection lost":
                    cut_at = self.clients[change.entry.sender].cut_at
                    assert change.entry.time.timestamp() >= cut_at + GRACE - EPSILON

    def _saw(self, client: Client, number: int | str | None) -> None:
        assert isinstance(number, int)
        assert number > client.seen
        client.seen = number
        for watcher in self.watchers:
            if watcher.welcome is None and watcher.client is client:
                watcher.seens.add(number)

    @rule(really=rarely)
    def refuse(self, really: bool) -> None:
        if not really:
            return
        for change in self.house.take():
            if change.entry is not None and change.entry.kind == "left":
                self.ledger.doubtful.add(change.entry.sender)
        self.house.refuse()
        self.ledger.refusals += 1
        self._drain()

    @rule(stored=st.booleans(), alone=rarely)
    def restart(self, stored: bool, alone: bool) -> None:
        """The server dies; mostly everybody is back at once. ``stored``: the store has the batch, and nobody knows."""
        self._restart(stored=stored)
        if not alone:
            self._all_back()

    def _restart(self, *, stored: bool) -> None:
        if stored:
            batch = self.house.take()
            self._record(batch, self.house.write())
            event(f"killed after {'a' if batch else 'no'} batch")
        self.house.restart()
        self.ledger.restart()
        self.watchers.clear()
        assert self.house.names_here() == []
        kept = self.house.store.snapshot()
        assert dict(kept.entries) == self.ledger.entries
        assert {account.name: account.seen for account in kept.accounts} == {
            client.name: max(client.seen, client.first) for client in self.clients.values() if client.first is not None
        }

    @rule()
    def look_up(self) -> None:
        self.house.look_up()
        self._flush()

    def _all_back(self) -> None:
        for client in self.clients.values():
            self._join(client, resume=True, with_token=True)
        self.commit()

    # The model's own.

    def _inside(self) -> list[Watcher]:
        return [watcher for watcher in self.watchers if watcher.inside]

    def _connected(self) -> list[Watcher]:
        return [watcher for watcher in self.watchers if watcher.peer.connected]

    def _one(self, choice: list[T], at: int) -> list[T]:
        """One of these, if there is one."""
        return [choice[at % len(choice)]] if choice else []

    def _flush(self) -> None:
        self.house.flush()
        self._drain()

    def _drain(self) -> None:
        for watcher in self.watchers:
            watcher.drain()

    def teardown(self) -> None:
        """All is read and stored; then, after a last restart, everybody comes back and has everything."""
        if not hasattr(self, "house") or sys.exception() is not None:
            return  # nothing is to be expected of a house in which something went wrong
        for watcher in self._connected():
            watcher.peer.go_on()
        self._rest()
        self._restart(stored=False)
        self._all_back()
        self._rest()
        assert len(self._inside()) == len(NAMES)

    def _rest(self) -> None:
        """Everything is stored and read: everybody has everything."""
        self.commit()
        while self.house.take() or self.house.hub.lookups:
            self.house.look_up()
            self.commit()
        self._flush()
        for watcher in self._inside():
            watcher.rest()


class AtLength(Chat):
    """The same, for longer."""


BRIEF = settings(max_examples=50, stateful_step_count=50, deadline=None, report_multiple_bugs=False)
TestChat = Chat.TestCase
TestChat.settings = BRIEF
TestChatAtLength = pytest.mark.slow(AtLength.TestCase)
TestChatAtLength.settings = settings(BRIEF, max_examples=200)
