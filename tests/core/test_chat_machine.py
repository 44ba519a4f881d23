"""Hub and journal against a model that keeps everything: whatever happens, in whatever order.

The model is a ledger of all entries that were ever stored. A ``Watcher`` holds what one connection is sent against
it: numbers without a hole, or a gap that counts what is missing; nothing twice; nothing that is not for its eyes.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from msgspec import UNSET, UnsetType

from chatmail.core.limits import Limits
from chatmail.core.records import Account, Change, Entry, Patch
from chatmail.core.wire import (
    Ack,
    Bye,
    Code,
    Direct,
    Dm,
    Error,
    Frame,
    Gap,
    Joined,
    Leave,
    Left,
    Message,
    Notice,
    People,
    Ping,
    Pong,
    Receipt,
    Resume,
    Say,
    Welcome,
    Who,
)
from tests.core.house import House, Peer, joining

NAMES = ("Ada", "Bo", "Cy", "Di")
HISTORY = 4
ENTRIES_MAX = 9
"""So few that whoever stalls for a moment falls behind."""
GRACE = 5.0
EPSILON = 0.002
"""Times of entries are rounded to the millisecond."""
BIG = "\U0001f409" * 4_000
"""As many bytes as a text can have: five of them are more than one read."""


class Ledger:
    """All entries ever stored, and what follows from them."""

    def __init__(self) -> None:
        self.entries: dict[int, Entry] = {}
        self.here: list[set[str]] = [set()]
        """Who is here after each number."""
        self.doubtful: set[str] = set()
        """Who left while the store was refusing: they may have been on their way back in already."""
        self.numbers: dict[tuple[str, str], list[int]] = {}
        """The numbers that an id of somebody got."""

    @property
    def last(self) -> int:
        return len(self.entries)

    def first(self, last: int) -> int:
        """The first number a journal that ends here still holds."""
        return max(1, last - ENTRIES_MAX + 1)

    def add(self, number: int, entry: Entry) -> None:
        """The store has one more."""
        assert number == self.last + 1
        self.entries[number] = entry
        here = set(self.here[-1])
        if entry.kind == "joined":
            assert entry.sender not in here or entry.sender in self.doubtful, f"{entry.sender} joined twice"
            here.add(entry.sender)
        elif entry.kind == "left":
            assert entry.sender in here, f"{entry.sender} left without being here"
            here.remove(entry.sender)
        self.here.append(here)
        if isinstance(entry.id, str):
            numbers = self.numbers.setdefault((entry.sender, entry.id), [])
            assert not numbers or numbers[-1] < self.first(number), "one id, accepted twice"
            numbers.append(number)

    def sees(self, name: str, number: int) -> bool:
        entry = self.entries[number]
        return entry.kind != "direct" or name in (entry.sender, entry.to)

    def between(self, name: str, after: int, before: int) -> list[int]:
        """What this person may see of the numbers between two others."""
        return [number for number in range(after + 1, before) if self.sees(name, number)]

    def open(self, number: int) -> bool:
        return self.entries[number].kind != "direct"

    def history(self, name: str, last: int, journal_last: int, seen: int) -> list[int]:
        """What a newcomer is told of the numbers up to ``last``."""
        first = self.first(journal_last)
        own = [number for number in self.between(name, 0, last + 1) if not self.open(number)]
        kept = [number for number in own if number >= first]
        said = [
            number
            for number in range(first, last + 1)
            if self.entries[number].kind in {"message", "notice"} or number in kept
        ]
        return sorted(set(said[-HISTORY:]) | {number for number in own if number > seen})


class Client:
    """What one person's client remembers from one connection to the next."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.token: str | None = None
        self.seq = 0
        self.first: int | None = None
        """The last number there was when this person first asked to come in."""
        self.sent: dict[str, tuple[str | None, str]] = {}
        self.cut_at = 0.0
        self.watcher: Watcher | None = None
        """The newest connection."""
        self.seen = 0


class Watcher:
    """Holds everything that one connection is sent against the ledger."""

    def __init__(self, client: Client, ledger: Ledger, peer: Peer, resume: Resume | None, *, rival: bool) -> None:
        self.client = client
        self.ledger = ledger
        self.peer = peer
        self.resume = resume
        self.rival = rival
        """Whether another connection of the same person may have been there, or on its way in, when this one asked."""
        self.welcome: Welcome | None = None
        self.refused = False
        self.over = False
        self.pos = 0
        self.skipped = 0
        """Open entries that were passed over and wait for a gap that counts them."""
        self.history: list[int] = []
        self.seens: set[int] = set()
        """What its person may have seen when it was welcome."""
        self.owed: list[str] = []
        """What was sent and has no answer: an id, or the type of the frame."""
        self.echoed: list[str] = []
        self.roster: set[str] = set()
        self.gaps = 0

    @property
    def inside(self) -> bool:
        return self.welcome is not None and not self.over and self.peer.connected

    def send(self, frame: Frame, owed: str) -> None:
        self.owed.append(owed)
        self.peer.send(frame)

    def drain(self) -> None:
        for frame in self.peer.frames():
            assert not self.over, f"after the goodbye: {frame}"
            self._take(frame)

    def _take(self, frame: Frame) -> None:
        if self.welcome is None:
            self._outside(frame)
            return
        match frame:
            case Message() | Direct() | Notice() | Joined() | Left():
                self._entry(frame)
            case Gap():
                self._gap(frame)
            case Pong():
                self._answered("pong")
            case People():
                self._answered("people")
                assert frame.total == len(frame.people)
                assert {person.name for person in frame.people} in self.ledger.here
            case Ack():
                assert isinstance(frame.id, str)
                assert frame.seq in self.ledger.numbers[self.client.name, frame.id]
                if frame.id in self.owed:
                    self._answered(frame.id)
                else:  # it was sent again before its echo came with what was missed
                    self.echoed.remove(frame.id)
            case Error(code=Code.UNAVAILABLE, id=UnsetType()):
                assert "pong" in self.owed, "only what a ping reports has no id"
            case Error():
                assert isinstance(frame.id, str), frame
                assert frame.code in {Code.UNAVAILABLE, Code.NO_SUCH_PERSON}
                self._answered(frame.id)
            case Receipt():
                assert self.client.name == self.ledger.entries[frame.seq].sender
            case Bye():
                self.over = True
            case _:
                raise AssertionError(frame)

    def _outside(self, frame: Frame) -> None:
        match frame:
            case Welcome():
                self._welcome(frame)
            case Error(code=Code.UNAVAILABLE):
                self.refused = True
            case Error(code=Code.NAME_TAKEN):
                assert self.rival
                self.refused = True
            case Bye():
                self.over = True
            case _:
                raise AssertionError(frame)

    def _welcome(self, frame: Welcome) -> None:
        assert not self.refused
        self.welcome = frame
        self.client.token = frame.token
        assert frame.resumed == (self.resume is not None)
        self.pos = frame.seq
        if self.resume is not None:
            assert self.client.first is not None
            self.pos = max(self.resume.seq, self.client.first)
        self.roster = {person.name for person in frame.people}
        assert self.roster == self.ledger.here[frame.seq] | {self.client.name}
        assert frame.total == len(frame.people) == len(self.roster)

    def _entry(self, frame: Message | Direct | Notice | Joined | Left) -> None:
        number = frame.seq
        assert self.welcome is not None
        assert number in self.ledger.entries, "seen before it was stored"
        assert frame == self.ledger.entries[number].frame(number)
        assert self.ledger.sees(self.client.name, number), "somebody else's direct message"
        if not self.welcome.resumed and number <= self.welcome.seq:
            assert self.pos == self.welcome.seq, "history after news"
            assert not self.history or number > self.history[-1]
            self.history.append(number)
        else:
            self.check_history()
            self._pass(number)
            direct = isinstance(frame, Direct)
            assert direct or not self.skipped, f"{self.skipped} entries before {number} are missing without a gap"
            self.pos = number
            if number > self.welcome.seq and isinstance(frame, Joined):
                self.roster.add(frame.name)
            if number > self.welcome.seq and isinstance(frame, Left):
                self.roster.discard(frame.name)
        self.client.seq = max(self.client.seq, number)
        if isinstance(frame, Message | Direct) and frame.sender == self.client.name and frame.id in self.owed:
            assert isinstance(frame.id, str)
            self.owed.remove(frame.id)
            self.echoed.append(frame.id)

    def _pass(self, number: int) -> None:
        """All between the last number and this one was left out: that may be open entries, for a gap."""
        assert number > self.pos, f"{number} comes twice, or too late"
        for missing in self.ledger.between(self.client.name, self.pos, number):
            assert self.ledger.open(missing), f"the direct message {missing} got lost"
            self.skipped += 1

    def _gap(self, frame: Gap) -> None:
        self.gaps += 1
        assert frame.missed > 0
        while self.skipped < frame.missed:
            self.pos += 1
            if self.ledger.sees(self.client.name, self.pos):
                assert self.ledger.open(self.pos), f"the direct message {self.pos} got lost in a gap"
                self.skipped += 1
        assert self.skipped == frame.missed
        self.skipped = 0

    def _answered(self, what: str) -> None:
        """An answer keeps its place: everything before it is answered too, or lies in a gap that was told."""
        assert self.skipped == 0
        at = self.owed.index(what)
        for earlier in self.owed[:at]:
            if self.peer.session.closing:
                break  # whoever is too far behind by then is not told what was missed
            assert self._swallowed(earlier), f"{what} is answered before {earlier}"
        del self.owed[: at + 1]

    def _swallowed(self, id: str) -> bool:
        numbers = self.ledger.numbers.get((self.client.name, id), ())
        return any(number <= self.pos for number in numbers) and self.gaps > 0

    def check_history(self) -> None:
        """A fresh join was told what was said last, and its own direct messages that were not seen."""
        if self.welcome is None or self.welcome.resumed:
            return
        seq = self.welcome.seq
        own = self.ledger.entries.get(seq + 1)
        came = own is not None and own.kind == "joined" and own.sender == self.client.name
        told = [self.ledger.history(self.client.name, seq, seq + came, seen) for seen in self.seens]
        assert self.history in told

    def rest(self) -> None:
        """Nothing is on its way any more: nothing is owed either."""
        self.check_history()
        assert self.pos <= self.ledger.last
        assert self.ledger.between(self.client.name, self.pos, self.ledger.last + 1) == []
        assert self.skipped == 0
        assert [what for what in self.owed if not self._swallowed(what)] == []
        if not self.gaps:
            assert self.roster == self.ledger.here[-1]


class Chat(RuleBasedStateMachine):
    """A house with four people and all that can befall them."""

    @initialize()
    def open(self) -> None:
        self.house = House(Limits(history=HISTORY, entries_max=ENTRIES_MAX, grace=GRACE))
        self.house.slow_lookups = True
        self.ledger = Ledger()
        self.clients = {name: Client(name) for name in NAMES}
        self.accounts: dict[int, Client] = {}
        self.watchers: list[Watcher] = []
        self.ids = 0
        for client in self.clients.values():
            self._join(client, resume=False, with_token=False)
        self.commit()

    # What people do.

    @rule(name=st.sampled_from(NAMES), resume=st.booleans(), with_token=st.booleans(), dice=st.integers(0, 3))
    def join(self, name: str, resume: bool, with_token: bool, dice: int) -> None:
        client = self.clients[name]
        if dice and client.watcher is not None and client.watcher.peer.connected:
            return  # a second terminal is the exception
        self._join(client, resume, with_token)

    def _join(self, client: Client, resume: bool, with_token: bool) -> None:
        rivals = [watcher for watcher in self.watchers if watcher.client is client]
        peer = self.house.peer()
        token = client.token if with_token else None
        at = Resume(epoch="first", seq=client.seq) if resume and token is not None else None
        client.watcher = Watcher(client, self.ledger, peer, at, rival=bool(rivals))
        self.watchers.append(client.watcher)
        if client.first is None or client.token is None:
            client.first = self.ledger.last
        peer.send(joining(client.name, token=token, resume=at))

    @rule(name=st.sampled_from(NAMES), count=st.integers(1, 6), big=st.integers(0, 5).map(lambda dice: dice == 0))
    def say(self, name: str, count: int, big: bool) -> None:
        watcher = self._inside(name)
        for _ in range(count if watcher is not None else 0):
            assert watcher is not None
            self.ids += 1
            self._say(watcher, f"{self.ids}", None, BIG if big else f"text {self.ids}")

    @rule(name=st.sampled_from(NAMES), to=st.sampled_from(NAMES))
    def dm(self, name: str, to: str) -> None:
        watcher = self._inside(name)
        if watcher is not None:
            self.ids += 1
            self._say(watcher, f"{self.ids}", to, f"secret {self.ids}")

    @rule(name=st.sampled_from(NAMES), back=st.integers(1, 3))
    def say_again(self, name: str, back: int) -> None:
        watcher = self._inside(name)
        sent = self.clients[name].sent
        if watcher is not None and len(sent) >= back:
            id = list(sent)[-back]
            if id not in watcher.owed:  # on one connection it would not tell which of the two is answered
                self._say(watcher, id, *sent[id])

    def _say(self, watcher: Watcher, id: str, to: str | None, text: str) -> None:
        watcher.client.sent[id] = (to, text)
        watcher.send(Say(text=text, id=id) if to is None else Dm(to=to, text=text, id=id), id)

    @rule(name=st.sampled_from(NAMES), seen=st.booleans())
    def ping(self, name: str, seen: bool) -> None:
        watcher = self._inside(name)
        if watcher is not None:
            watcher.send(Ping(seq=self.clients[name].seq if seen else UNSET), "pong")

    @rule(name=st.sampled_from(NAMES))
    def who(self, name: str) -> None:
        watcher = self._inside(name)
        if watcher is not None:
            watcher.send(Who(), "people")

    @rule(name=st.sampled_from(NAMES))
    def leave(self, name: str) -> None:
        watcher = self._inside(name)
        if watcher is not None:
            watcher.peer.send(Leave())

    # What befalls them.

    @rule(name=st.sampled_from(NAMES))
    def stall(self, name: str) -> None:
        watcher = self.clients[name].watcher
        if watcher is not None and watcher.peer.connected:
            watcher.peer.stall()

    @rule(name=st.sampled_from(NAMES))
    def sip(self, name: str) -> None:
        watcher = self.clients[name].watcher
        if watcher is not None and watcher.peer.connected and watcher.peer.stalled:
            assert len(watcher.peer.sip()) < 128 * 1024
            self._drain()

    @rule(name=st.sampled_from(NAMES))
    def go_on(self, name: str) -> None:
        watcher = self.clients[name].watcher
        if watcher is not None and watcher.peer.connected:
            watcher.peer.go_on()
            self._drain()

    @rule(name=st.sampled_from(NAMES))
    def cut(self, name: str) -> None:
        watcher = self.clients[name].watcher
        if watcher is not None and watcher.peer.connected:
            if watcher.peer.session.account is not None and not watcher.peer.session.closing:
                self.clients[name].cut_at = self.house.now
            watcher.peer.cut()

    @rule(name=st.sampled_from(NAMES), seconds=st.sampled_from([0.4, 4.0]))
    def blip(self, name: str, seconds: float) -> None:
        self.cut(name)
        self.time(seconds)
        self._join(self.clients[name], resume=True, with_token=True)
        self.commit()

    @rule(name=st.sampled_from(NAMES))
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

    @rule()
    def commit(self) -> None:
        batch = self.house.take()
        self._record(batch)
        self.house.commit()
        self._drain()

    def _record(self, batch: list[Change]) -> None:
        """What the store is about to have."""
        number = self.ledger.last
        for watcher in self.watchers:
            if watcher.welcome is None:
                watcher.seens.add(watcher.client.seen)
        for row in (row for change in batch for row in change.rows):
            if isinstance(row, Account):
                self.accounts[row.id] = self.clients[row.name]
            if isinstance(row, Patch) and row.field == "seen":
                client = self.accounts[row.account]
                assert isinstance(row.value, int)
                assert row.value > client.seen
                client.seen = row.value
                for watcher in self.watchers:
                    if watcher.welcome is None and watcher.client is client:
                        watcher.seens.add(client.seen)
        for change in batch:
            entry = change.entry
            if entry is None:
                continue
            number += 1
            self.ledger.add(number, entry)
            if entry.kind == "left" and entry.text == "connection lost":
                assert entry.time.timestamp() >= self.clients[entry.sender].cut_at + GRACE - EPSILON

    @rule(dice=st.integers(0, 2))
    def refuse(self, dice: int) -> None:
        if dice == 0:
            for change in self.house.take():
                if change.entry is not None and change.entry.kind == "left":
                    self.ledger.doubtful.add(change.entry.sender)
            self.house.refuse()
            self._drain()

    @rule()
    def look_up(self) -> None:
        self.house.look_up()
        self._flush()

    # The model's own.

    def _inside(self, name: str) -> Watcher | None:
        watcher = self.clients[name].watcher
        return watcher if watcher is not None and watcher.inside else None

    def _flush(self) -> None:
        self.house.flush()
        self._drain()

    def _drain(self) -> None:
        for watcher in self.watchers:
            watcher.drain()

    def teardown(self) -> None:
        if not hasattr(self, "house"):
            return
        for watcher in self.watchers:
            if watcher.peer.connected:
                watcher.peer.go_on()
        self.commit()
        while self.house.take() or self.house.hub.lookups:
            self.house.look_up()
            self.commit()
        self._flush()
        for watcher in self.watchers:
            if watcher.inside:
                watcher.rest()


TestChat = Chat.TestCase
TestChat.settings = settings(max_examples=200, stateful_step_count=50, deadline=None, report_multiple_bugs=False)
