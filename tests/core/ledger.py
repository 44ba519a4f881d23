"""A model of the chat that keeps everything, and holds whatever a connection is sent against it.

The ``Ledger`` has all entries that were ever stored. A ``Client`` is what one person's program remembers from one
connection to the next, and a ``Watcher`` reads one connection: numbers without a hole, or a gap that counts what is
missing; nothing twice; nothing that is not for its eyes; an answer to everything, in order; and nothing but the old
answer to what was said before, however long ago and whatever befell the server since.
"""

from msgspec import Struct, UnsetType

from chatmail.core.records import Earlier, Entry
from chatmail.core.wire import (
    Ack,
    Bye,
    Code,
    Direct,
    Error,
    Frame,
    Gap,
    Joined,
    Left,
    Message,
    Notice,
    People,
    Pong,
    Receipt,
    Resume,
    Welcome,
)
from tests.core.house import Peer

What = tuple[str | None, str]
"""What somebody says: to whom (None: to all), and the text."""


class Ledger:
    """All entries ever stored, and what follows from them.

    Args:
        history: how many things said a newcomer is shown.
        entries_max: how many entries a journal holds.
    """

    def __init__(self, history: int, entries_max: int) -> None:
        self._history = history
        self._entries_max = entries_max
        self.entries: dict[int, Entry] = {}
        self.numbers: dict[tuple[str, str], int] = {}
        """The number that an id of somebody has, for good."""
        self.here: list[set[str]] = [set()]
        """Who is here after each number."""
        self.doubtful: set[str] = set()
        """Who left while the store was refusing: they may have been on their way back in already."""
        self.refusals = 0
        """How many batches the store would not take."""

    @property
    def last(self) -> int:
        return len(self.entries)

    def first(self, last: int) -> int:
        """The first number a journal that ends here still holds."""
        return max(1, last - self._entries_max + 1)

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
            assert (entry.sender, entry.id) not in self.numbers, "one id, accepted twice"
            self.numbers[entry.sender, entry.id] = number

    def add_again(self, entry: Entry, earlier: Earlier) -> None:
        """The store would not have this one: its id was used before."""
        assert isinstance(entry.id, str)
        assert earlier.seq == self.numbers[entry.sender, entry.id]
        assert earlier.entry == self.entries[earlier.seq]

    def restart(self) -> None:
        """The server has died: whoever was here is no longer, without a word."""
        self.here[-1] = set()
        self.doubtful.clear()

    def what(self, name: str, id: str) -> What | None:
        """What was said by somebody under an id, None if nothing was."""
        number = self.numbers.get((name, id))
        return (self.entries[number].to or None, self.entries[number].text) if number is not None else None

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
        return sorted(set(said[-self._history :]) | {number for number in own if number > seen})


class Client:
    """What one person's program remembers from one connection to the next, and what the model knows of its account."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.token: str | None = None
        self.seq = 0
        """The highest number it was sent."""
        self.first: int | None = None
        """The last number there was when its account was made."""
        self.seen = 0
        """The last number its person was shown, as the store has it."""
        self.sent: dict[str, list[What]] = {}
        """By id: all that it ever tried to say under it."""
        self.cut_at = 0.0
        self.watcher: Watcher | None = None
        """The newest connection."""


class Asked(Struct, frozen=True):
    """Something with an id that was sent: what, and how often the store had refused by then."""

    what: What
    refusals: int


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
        self.asked: dict[str, Asked] = {}
        self.echoed: list[str] = []
        """Ids that were sent again, and came with what was missed: their answer is perhaps still to come."""
        self.roster: set[str] = set()
        self.gaps = 0

    @property
    def repeatable(self) -> list[str]:
        """The ids that can be sent once more, and it will be clear what is answered."""
        return [id for id in self.client.sent if id not in self.owed and id not in self.echoed]

    @property
    def inside(self) -> bool:
        return self.welcome is not None and not self.over and self.peer.connected

    def say(self, frame: Frame, id: str, what: What) -> None:
        """Send something that has an id."""
        self.client.sent.setdefault(id, []).append(what)
        self.asked[id] = Asked(what, self.ledger.refusals)
        self.send(frame, id)

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
            case Error(code=Code.UNAVAILABLE, id=UnsetType()):
                assert "pong" in self.owed, "only what a ping reports has no id"
            case Ack(id=str(id)) | Error(id=str(id)):
                self._judged(frame, id)
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
            if len(self.client.sent[frame.id]) > 1:
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
        assert self.pos < self.ledger.first(self.ledger.last), "a gap, though the journal has it still"
        self.skipped = 0

    def _judged(self, frame: Ack | Error, id: str) -> None:
        """What was sent under an id was said before, or is not said now."""
        asked = self.asked[id]
        others = any(what != asked.what for what in self.client.sent[id])
        accepted = self.ledger.what(self.client.name, id)
        match frame:
            case Ack():
                assert accepted == asked.what, "something else was said"
                assert frame.seq == self.ledger.numbers[self.client.name, id]
            case Error(code=Code.BAD_FRAME):
                assert others, "nothing else was ever sent under this id"
            case Error(code=Code.UNAVAILABLE):
                assert others or self.ledger.refusals > asked.refusals, "the store has refused nothing meanwhile"
            case Error(code=Code.NO_SUCH_PERSON):
                assert accepted is None
            case _:
                raise AssertionError(frame)
        if id in self.owed:
            self._answered(id)
        else:
            self.echoed.remove(id)

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
        number = self.ledger.numbers.get((self.client.name, id))
        return number is not None and number <= self.pos and self.gaps > 0

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
