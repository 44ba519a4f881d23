"""A model of mail that keeps everything: what was written, what is in which letter, in which mailbox, and who was told.

A direct message is a ``Text``. It is asked for, and then it waits, until it is dropped or frozen into a ``Parcel``: a
letter as the store has it, and what became of it in the world outside. The ``Post`` is told every step, in whatever
order they come, and holds each against what is promised: every text whose reader wants it comes at least once, in
order; a second time only where nobody can know whether it had come, and then as the very same letter; never too many;
and whoever wrote what cannot be delivered hears of it, once.
"""

from collections import Counter, deque
from typing import Literal

from hypothesis import event

from chatmail.core.records import (
    Account,
    Change,
    Draft,
    Earlier,
    Failure,
    Fate,
    Gone,
    Letter,
    Mail,
    Patch,
    Snapshot,
    Stored,
)
from chatmail.core.wire import Receipt
from tests.core.house import House, Peer

DAY = 86_400.0
A_DAY = 48
"""So many letters go to one address within 24 hours."""
HOUR = 3_600.0
AN_HOUR = 60
"""So many letters within an hour hold something of one author."""
FIRST_WAIT, LAST_WAIT = 30.0, 3_600.0
"""Seconds until something is tried again: doubling, from one to the other."""
KEPT = 30 * DAY
"""So long the store knows what was said, and its id."""
EPSILON = 1e-3
"""Seconds that rounding may take."""


class Person:
    """Somebody who writes and is written to: the connection, and the account as the store has it."""

    def __init__(self, name: str, email: str) -> None:
        self.name = name
        self.email = email
        self.address = email.casefold()
        self.peer: Peer | None = None
        self.inside = False
        self.leaving = False
        self.active = 0.0
        """When it last sent something other than a ping."""
        self.shown: set[int] = set()
        """The numbers of the direct messages that it was sent."""
        self.notify: int | str | None = "always"
        self.away: int | str | None = None
        self.seen = 0

    def is_away(self, now: float, idle: float) -> bool:
        return not self.inside or self.leaving or self.away is not None or now > self.active + idle


class Text:
    """One direct message.

    ``expected``: whether it must be taken; None where that hangs on something that is just going on. ``droppable``: its
    reader did not want it by mail at some time since, or had read it.
    """

    def __init__(self, id: str, author: Person, reader: Person, text: str, *, expected: bool | None) -> None:
        self.id = id
        self.author = author
        self.reader = reader
        self.text = text
        self.mailed = reader.notify != "never"
        self.expected = expected
        self.behind = False
        self.state: Literal["asked", "lost", "waiting", "dropped", "frozen", "off"] = "asked"
        self.number = 0
        self.written = 0.0
        self.droppable = False
        self.parcel: Parcel | None = None
        self.told: Counter[str] = Counter()
        self.excused = 0
        """How often a crash came between telling that it failed, and having stored that this was told."""


class Parcel:
    """A letter as it was frozen.

    ``doubts``: how often it may have been delivered without anybody knowing. ``reports``: outcomes that are on their
    way to the store, and when they came. ``unsure``: it was delivered, and the store does not know yet.
    """

    def __init__(self, letter: Letter, texts: list[Text]) -> None:
        self.letter = letter
        self.texts = texts
        self.state = "waiting"
        self.due = 0.0
        self.tries = 0
        self.delivered = 0
        self.doubts = 0
        self.unsure = False
        self.reports: deque[tuple[Fate, float]] = deque()

    def after(self, fate: Fate, now: float) -> tuple[str, float]:
        """What becomes of it with this outcome, and when it is tried again."""
        due = now + min(FIRST_WAIT * 2**self.tries, LAST_WAIT)
        if fate is Fate.LATER and due < self.letter.expires:
            return "waiting", due
        return ("sent" if fate is Fate.SENT else "failed"), self.due

    def may_be_over(self) -> bool:
        """Whether something on its way to the store may end it."""
        return any(fate is not Fate.LATER or now + LAST_WAIT >= self.letter.expires for fate, now in self.reports)


class Post:
    """All texts, letters and mailboxes.

    Args:
        house: whose time, limits and letters count.
        people: everybody there is.
    """

    def __init__(self, house: House, people: list[Person]) -> None:
        self.house = house
        self.limits = house.limits
        self.people = people
        self.accounts: dict[int, Person] = {}
        self.asked: dict[str, Text] = {}
        self.texts: dict[int, Text] = {}
        self.parcels: dict[str, Parcel] = {}
        self.made: dict[str, list[float]] = {}
        """When the letters to an address were made."""
        self.caused: dict[str, list[float]] = {}
        """When the letters with something of an author were."""
        self.mailboxes: dict[str, list[tuple[str, bytes]]] = {}
        """Message-ID and content of every letter that ever came to an address."""
        self.failures: set[int] = set()
        """Numbers of texts that failed, as the store remembers them for their authors."""
        self.news: list[tuple[Text, set[str]]] = []
        """What authors who are here must hear at once, one of these each."""

    # What people do.

    def write(self, id: str, author: Person, reader: Person, text: str) -> None:
        """Somebody asks for a direct message."""
        expected: bool | None = True
        if reader.notify != "never":
            least, most = self._waiting(reader.address)
            limit = self.limits.mails_waiting
            expected = False if least >= limit else True if most < limit else None
        # It may be read only when there is an answer to what was said before it, and all may be different then.
        behind = author.peer is not None and author.peer.session.blocked
        self.asked[id] = Text(id, author, reader, text, expected=None if behind else expected)
        self.asked[id].behind = behind

    def _waiting(self, address: str) -> tuple[int, int]:
        """How many texts wait for this address, at the least and at the most."""
        least = most = 0
        for text in self.asked.values():
            parcel = text.parcel
            if not text.mailed or text.reader.address != address:
                continue
            if text.state == "asked":
                sure, maybe = text.expected is True, text.expected is not False
            elif text.state == "waiting":
                sure, maybe = not text.droppable, True
            else:
                maybe = parcel is not None and parcel.state == "waiting"
                sure = maybe and parcel is not None and not parcel.may_be_over()
            least += sure
            most += maybe
        return least, most

    def too_fast(self, id: str) -> None:
        """A direct message was refused, because too many wait."""
        text = self.asked[id]
        if text.number:  # asked for once more
            assert self._waiting(text.reader.address)[1] >= self.limits.mails_waiting
            return
        assert text.state == "asked", "refused, and stored all the same"
        assert text.expected is not True, "refused, though there is room"
        text.state = "lost"

    def lose(self, batch: list[Change]) -> None:
        """The store has nothing of this batch."""
        for change in batch:
            if change.entry is not None and isinstance(change.entry.id, str):
                text = self.asked[change.entry.id]
                text.state = "lost" if text.state == "asked" else text.state

    # What the store has.

    def record(self, batch: list[Change], results: list[Stored]) -> None:
        """The store has this batch, and nobody knows yet."""
        for change, result in zip(batch, results, strict=True):
            letters = [row for row in change.rows if isinstance(row, Letter)]
            for row in () if isinstance(result, Earlier) else change.rows:
                match row:
                    case Account():
                        self.accounts[row.id] = next(person for person in self.people if person.name == row.name)
                    case Patch():
                        setattr(self.accounts[row.account], row.field, row.value)
                    case Mail():
                        assert isinstance(result, int)
                    case Letter():
                        self._outcome(row) if row.message_id in self.parcels else self._frozen(row, change)
                    case Failure():
                        assert self._parcel(row.receipt.seq).state == "failed"
                        assert self.accounts[row.author] is self.texts[row.receipt.seq].author
                        self.failures.add(row.receipt.seq)
                    case Gone(table="failure", key=int(number)):
                        self.failures.discard(number)
                    case Gone(table="mail", key=int(number)) if not letters:
                        text = self.texts[number]
                        assert text.state == "waiting"
                        assert text.droppable, "its reader wanted it, and has not seen it"
                        text.state = "dropped"
                        self._tell(text, "off")
            if change.entry is not None and change.entry.kind == "direct":
                self._accepted(change, result)
        for text in self.texts.values():
            reader = text.reader
            seen = reader.notify == "away" and reader.seen >= text.number
            text.droppable = text.droppable or reader.notify == "never" or seen

    def _accepted(self, change: Change, number: Stored) -> None:
        entry = change.entry
        assert entry is not None
        assert isinstance(entry.id, str)
        text = self.asked[entry.id]
        if isinstance(number, Earlier):
            event("the store alone knew an id")
            assert number.seq == text.number
            return
        assert isinstance(number, int)
        assert text.state == "asked", "accepted twice"
        self.texts[number] = text
        assert text.expected is not False, f"more than {self.limits.mails_waiting} wait for {text.reader.address}"
        assert (entry.sender, entry.to, entry.text) == (text.author.name, text.reader.name, text.text)
        if text.behind:
            text.mailed = bool(change.rows)
        assert [type(row) for row in change.rows] == ([Mail] if text.mailed else [])
        text.number = number
        text.written = entry.time.timestamp()
        text.state = "waiting" if text.mailed else "off"
        self._tell(text, *(["queued", "held"] if text.mailed else ["off"]))

    def _frozen(self, letter: Letter, change: Change) -> None:
        """A letter is made, and its texts wait no longer on their own."""
        texts = [self.texts[mail.seq] for mail in letter.mails]
        parcel = self.parcels[letter.message_id] = Parcel(letter, texts)
        assert [text.state for text in texts] == ["waiting"] * len(texts)
        assert {row.key for row in change.rows if isinstance(row, Gone)} == {text.number for text in texts}
        for text in texts:
            text.state = "frozen"
            text.parcel = parcel
        made = self.made.setdefault(letter.address.casefold(), [])
        assert not made or letter.made >= made[-1] + self.limits.mail_window - EPSILON, "too soon after the last letter"
        assert len(made) < A_DAY or letter.made >= made[-A_DAY] + DAY - EPSILON, f"more than {A_DAY} in 24 h"
        made.append(letter.made)
        for author in {text.author.name for text in texts}:
            caused = self.caused.setdefault(author, [])
            assert len(caused) < AN_HOUR or letter.made >= caused[-AN_HOUR] + HOUR, "too many of one author"
            caused.append(letter.made)

    def _outcome(self, letter: Letter) -> None:
        parcel = self.parcels[letter.message_id]
        fate, now = parcel.reports.popleft()
        assert parcel.state == "waiting"
        assert (letter.state, letter.due) == parcel.after(fate, now)
        parcel.state = letter.state
        parcel.due = letter.due
        parcel.tries += fate is Fate.LATER
        if letter.state == "sent":
            parcel.unsure = False
        else:
            self._same(letter, parcel)
        if letter.state != "waiting":
            for text in parcel.texts:
                self._tell(text, letter.state)

    @staticmethod
    def _same(letter: Letter, parcel: Parcel) -> None:
        for field in ("content", "address", "mails", "made", "expires", "reader"):
            assert getattr(letter, field) == getattr(parcel.letter, field), f"its {field} has changed"

    def _parcel(self, number: int) -> Parcel:
        parcel = self.texts[number].parcel
        assert parcel is not None
        return parcel

    # What the postman does.

    def drafted(self, draft: Draft) -> None:
        """These mails are to go into one letter: all that should by now, or as many as it holds."""
        reader = self.accounts[draft.reader]
        assert (draft.name, draft.address.casefold(), draft.made) == (reader.name, reader.address, self.house.now)
        chosen = [mail.seq for mail in draft.mails]
        assert 0 < len(chosen) <= self.house.letter_holds
        for mail in draft.mails:
            text = self.texts[mail.seq]
            assert (mail.sender, mail.to, mail.text) == (text.author.name, reader.name, text.text)
            assert self._is_wanted(text), "its reader does not want it, or not yet"
        must = [number for number, text in self.texts.items() if text.reader is reader and self._is_wanted(text)]
        must = [number for number in must if not self.texts[number].droppable or number in chosen]
        assert chosen == sorted(must)[: len(chosen)], "something is left out"
        assert len(chosen) == min(self.house.letter_holds, len(must))

    def _is_wanted(self, text: Text) -> bool:
        """Whether a text should go out as a mail now."""
        reader = text.reader
        if text.state != "waiting" or reader.notify == "never":
            return False
        if reader.notify == "always":
            return True
        waited = self.house.now >= text.written + self.limits.mail_window
        return reader.seen < text.number and waited and reader.is_away(self.house.now, self.limits.idle)

    def taken(self, letter: Letter) -> None:
        """A letter is to be sent."""
        parcel = self.parcels[letter.message_id]
        assert parcel.state == "waiting"
        assert self.house.now >= parcel.due
        self._same(letter, parcel)

    def deliver(self, letter: Letter) -> None:
        """A letter comes into its mailbox."""
        parcel = self.parcels[letter.message_id]  # so it was stored before it was sent
        self.taken(letter)
        mailbox = self.mailboxes.setdefault(letter.address.casefold(), [])
        if not parcel.delivered:
            before = [self.parcels[message_id] for message_id, _ in mailbox]
            numbers = [
                mail.seq for other in before if other.letter.reader == letter.reader for mail in other.letter.mails
            ]
            assert max(numbers, default=0) < letter.mails[0].seq, "out of order"
        mailbox.append((letter.message_id, letter.content))
        parcel.delivered += 1
        parcel.unsure = True
        assert parcel.delivered <= 1 + parcel.doubts, "delivered twice, and nothing had gone wrong"

    def doubt(self, letter: Letter) -> None:
        """It was delivered, but that never came to be known."""
        parcel = self.parcels[letter.message_id]
        parcel.doubts += parcel.unsure
        parcel.unsure = False

    def report(self, letter: Letter, fate: Fate) -> None:
        """The outcome is on its way to the store."""
        self.parcels[letter.message_id].reports.append((fate, self.house.now))

    # What authors are told.

    def receive(self, person: Person, receipt: Receipt) -> None:
        """Somebody is told what became of a mail."""
        text = self.texts[receipt.seq]
        assert text.author is person, "a receipt for somebody else's message"
        assert (receipt.id, receipt.to) == (text.id, text.reader.name)
        text.told[receipt.mail] += 1
        told = text.told[receipt.mail]
        match receipt.mail:
            case "off":
                assert text.state in {"off", "dropped"}
                assert told == 1
            case "queued" | "held":
                assert text.mailed
                assert text.told["queued"] <= 1
                assert text.told.total() <= 2, "once when it is stored, once when it must be tried again"
            case "sent" | "failed":
                assert self._parcel(receipt.seq).state == receipt.mail
                assert told <= 1 + text.excused, f"told twice that it {receipt.mail}"
            case _:
                raise AssertionError(receipt)

    def _tell(self, text: Text, *states: str) -> None:
        if text.author.inside and not text.author.leaving:
            self.news.append((text, set(states)))

    def welcome(self, person: Person) -> None:
        """Somebody who is welcome hears what failed meanwhile."""
        for number in self.failures:
            text = self.texts[number]
            if text.author is person:
                event("told of a failure at the welcome")
                self.news.append((text, {"failed"}))
                text.excused += text.told["failed"] > text.excused  # it may have been lost with a connection

    def check_news(self) -> None:
        """Whoever is here knows what there is to know."""
        for text, states in self.news:
            assert text.told.keys() & states, f"{text.author.name} was not told"
        self.news.clear()

    # The end of everything.

    def check_kept(self, kept: Snapshot) -> None:
        """This is what the store holds."""
        assert {mail.seq for mail in kept.mails} == {
            text.number for text in self.asked.values() if text.state == "waiting"
        }
        states = {letter.message_id: letter.state for letter in kept.letters if letter.state != "sent"}
        known = {id: parcel.state for id, parcel in self.parcels.items() if parcel.state != "sent"}
        for id in known.keys() - states.keys():
            old = self.parcels[id].letter.made < self.house.now - KEPT
            assert old, "what failed is kept as long as what was said"
            assert known.pop(id) == "failed"
        assert states == known
        assert {failure.receipt.seq for failure in kept.failures} == self.failures
        for account in kept.accounts:
            person = self.accounts[account.id]
            assert (account.notify, account.away) == (person.notify, person.away)
            assert account.seen == max(person.seen, account.first)

    def restart(self) -> None:
        """The server has died: nobody is here, and nobody knows what was on its way."""
        for text in self.asked.values():
            if text.state == "asked":
                text.state = "lost"
        for number in self.failures:
            self.texts[number].excused += self.texts[number].told["failed"] > self.texts[number].excused
        for parcel in self.parcels.values():
            self.doubt(parcel.letter)
            parcel.reports.clear()
        self.news.clear()
        for person in self.people:
            person.inside = False

    def check(self) -> None:
        """There was time enough, and everybody is here: nothing waits, nothing is missing."""
        for text in self.texts.values():
            assert text.state in {"off", "dropped", "frozen"}
            if text.parcel is not None:
                assert text.parcel.state in {"sent", "failed"}
                assert text.parcel.delivered or text.parcel.state == "failed"
                assert text.told["failed"] or text.parcel.state == "sent", "nobody told its author that it failed"
        for person in self.people:
            numbers = [text.number for text in self.texts.values() if text.reader is person]
            came = [
                text for text in map(self.texts.__getitem__, sorted(numbers)) if text.parcel and text.parcel.delivered
            ]
            letters = [
                id for id, _ in self.mailboxes.get(person.address, ()) if self.parcels[id].texts[0].reader is person
            ]
            contents = dict(self.mailboxes.get(person.address, ()))
            read = [line for id in dict.fromkeys(letters) for line in contents[id].decode().split("\n")]
            assert read == [text.text for text in came]
