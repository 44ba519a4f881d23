"""Mailroom and store against a model that keeps everything: no mail is lost, doubled or sent too often.

The model is in ``post``. Here is what people do, what the postman does, one step at a time, and what befalls both: mail
servers that are busy, refuse, hang or fall silent after the final dot, a store that refuses, a server that dies
between any two steps.
"""

import sys
from functools import partial
from typing import TypeVar, cast

import pytest
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from msgspec import UnsetType

from chatmail.core.failures import SURELY_TOLD
from chatmail.core.limits import Limits
from chatmail.core.records import Draft, Fate, Letter, Outcome
from chatmail.core.wire import (
    Ack,
    Away,
    Bye,
    Code,
    Direct,
    Dm,
    Error,
    Frame,
    Leave,
    Notify,
    Ping,
    Receipt,
    Welcome,
    When,
)
from tests.core.house import House, joining
from tests.core.post import A_DAY, DAY, EPSILON, KEPT, Person, Post

ADDRESSES = {"Ada": "ada@example.org", "Bo": "bo@example.org", "Cy": "BO@example.org"}
"""Two of them share a mailbox."""
WINDOW = 60.0
LIMITS = Limits(mail_window=WINDOW, mails_waiting=5, entries_max=9, silence=float("inf"))
HOLDS = 3
"""So few texts go into one letter."""

OK, BUSY, REFUSED, SILENT = "250 OK", "451 try again", "550 no such user", "no reply after the dot"
FATES = {OK: Fate.SENT, BUSY: Fate.LATER, REFUSED: Fate.FAILED, SILENT: Fate.LATER}

T = TypeVar("T")

places = st.integers(0, 99)
"""One of those that there are when it comes to it."""
rarely = st.integers(0, 3).map(lambda dice: dice == 3)
steps = st.integers(0, 5)
whens: st.SearchStrategy[When] = st.sampled_from(["always", "always", "away", "never"])
replies = st.sampled_from(list(FATES))


class Job:
    """What is in somebody's hands: a draft, the letter it has become, and the reply that this has got."""

    def __init__(self, job: Draft | Letter) -> None:
        self.address = job.address.casefold()
        self.draft = job if isinstance(job, Draft) else None
        self.letter = job if isinstance(job, Letter) else None
        self.reply = ""


class Mailing(RuleBasedStateMachine):
    """A house with three people, two mailboxes and as many postmen as there is work for."""

    @initialize(busy=rarely, whens=st.lists(whens, min_size=len(ADDRESSES), max_size=len(ADDRESSES)))
    def open(self, busy: bool, whens: list[When]) -> None:
        self.house = House(LIMITS)
        self.house.letter_holds = HOLDS
        self.people = [Person(name, email) for name, email in ADDRESSES.items()]
        self.post = Post(self.house, self.people)
        self.jobs: list[Job] = []
        self.ids = 0
        self._all_in()
        if busy:  # so many letters that there are no more today
            for _ in range(A_DAY + 1):
                self.time(2 * WINDOW + 1)
                self._dm(self.people[0], self.people[1], 1)
                self._all_errands()
        for person, when in zip(self.people, whens, strict=True):
            self._send(person, Notify(when=when))
        self.commit()

    # What people do.

    @rule(at=places, leave=st.booleans(), at_once=st.booleans())
    def come_or_go(self, at: int, leave: bool, at_once: bool) -> None:
        person = self.people[at % len(self.people)]
        if person.peer is None:
            self._join(person)
        elif not leave:
            person.peer.cut()
        elif person.inside and not person.leaving:
            self._send(person, Leave())
            person.leaving = True
        self._drain()
        self._commit(at_once)

    def _join(self, person: Person) -> None:
        person.peer = self.house.peer()
        person.leaving = False
        person.active = self.house.now
        person.peer.send(joining(person.name, person.email))

    def _all_in(self) -> None:
        for person in self.people:
            if person.peer is None:
                self._join(person)
        self.commit()

    @rule(at=places, to=places, count=st.integers(1, 3), later=rarely)
    def dm(self, at: int, to: int, count: int, later: bool) -> None:
        for author in self._one(self._inside(), at):
            self._dm(author, self.people[to % len(self.people)], count)
            self._commit(not later)

    def _dm(self, author: Person, reader: Person, count: int) -> None:
        for _ in range(count):
            self.ids += 1
            id, text = f"{self.ids}", f"secret {self.ids}"
            self.post.write(id, author, reader, text)
            self._send(author, Dm(to=reader.name, text=text, id=id))

    @rule(at=places)
    def dm_again(self, at: int) -> None:
        """A direct message that the store has is sent once more."""
        kept = [text for text in self.post.texts.values() if self.house.now < text.written + KEPT]
        texts = [text for text in kept if text.author in self._inside()]
        for text in self._one(texts, at):
            self._send(text.author, Dm(to=text.reader.name, text=text.text, id=text.id))
            self.commit()
            self.commit()  # one batch may have been on its way already

    @rule(
        at=places,
        choice=st.sampled_from(["always", "away", "never", "lunch", "back"]),
        at_once=st.booleans(),
    )
    def choose(self, at: int, choice: str, at_once: bool) -> None:
        for person in self._one(self._inside(), at):
            match choice:
                case "lunch":
                    self._send(person, Away(reason=choice))
                case "back":
                    self._send(person, Away())
                case _:
                    self._send(person, Notify(when=cast("When", choice)))
            self._commit(at_once)

    @rule(at=places, but=st.integers(0, 2), at_once=st.booleans())
    def read(self, at: int, but: int, at_once: bool) -> None:
        """Somebody has seen their direct messages but for the last ones."""
        for person in self._one([person for person in self._inside() if len(person.shown) > but], at):
            self._send(person, Ping(seq=sorted(person.shown)[-1 - but]))
            self._commit(at_once)

    def _send(self, person: Person, frame: Frame) -> None:
        assert person.peer is not None
        if not isinstance(frame, Ping):
            person.active = self.house.now
        person.peer.send(frame)
        self._drain()

    # What the postmen do.

    @rule(at=places, reply=replies)
    def work(self, at: int, reply: str) -> None:
        """A postman takes the next step with something, or takes something more."""
        for job in self._one([*self.jobs, None], at):
            if job is None:
                self._take()
            elif job.draft is not None:
                self._freeze(job, job.draft)
            elif job.letter is None:
                self.commit()
            elif not job.reply:
                self._mail(job, job.letter, reply)
            else:
                self._report(job, job.letter)

    def _take(self) -> None:
        job = self.house.hub.mailroom.take(self.house.now)
        if job is None:
            return
        assert job.address.casefold() not in [other.address for other in self.jobs], "two letters to one address"
        if isinstance(job, Draft):
            self.post.drafted(job)
        else:
            self.post.taken(job)
        self.jobs.append(Job(job))

    def _freeze(self, job: Job, draft: Draft) -> None:
        letter = self.house.letter(draft)
        self.house.hub.mailroom.freeze(draft, letter, partial(self._frozen, job, letter), self.house.now)
        job.draft = None

    def _frozen(self, job: Job, letter: Letter, stored: bool) -> None:
        if stored:
            job.letter = letter
        else:
            self.jobs.remove(job)

    def _mail(self, job: Job, letter: Letter, reply: str) -> None:
        job.reply = reply
        event(reply)
        if reply in {OK, SILENT}:
            self.post.deliver(letter)
        if reply == SILENT:
            self.post.doubt(letter)

    def _report(self, job: Job, letter: Letter) -> None:
        self.jobs.remove(job)
        fate = FATES[job.reply]
        self.post.report(letter, fate)
        self.house.hub.mailroom.outcome(letter, Outcome(fate=fate, reply=job.reply), self.house.now)

    @rule(steps=steps, reply=replies)
    def errand(self, steps: int, reply: str) -> None:
        """A postman waits for what is due next, and goes so many steps of the way, which has five."""
        if steps and not self.jobs:
            self.time(max(0.0, (self._due() or 0.0) - self.house.now) + EPSILON)
            self._take()
        for _ in range(steps):
            if self.jobs:
                self.work(0, reply)
            else:
                self.commit()

    @rule(rounds=st.lists(st.tuples(places, replies), min_size=1, max_size=4))
    def live_on(self, rounds: list[tuple[int, str]]) -> None:
        """Somebody writes, and an errand is done; some times over."""
        for at, reply in rounds:
            self.dm(at, at // len(self.people), 1, later=False)
            self.errand(5, reply)

    def _amid_work(self, at: int, steps: int, reply: str) -> None:
        """Somebody has written, an errand is under way, and somebody is just writing."""
        if steps:
            self.dm(at, at // len(self.people), 1, later=False)
            self.errand(steps, reply)
            self.dm(at, at // len(self.people), 1, later=True)

    def _all_errands(self) -> None:
        """Until nothing is left to do."""
        self.errand(5, OK)
        while self.house.take() or self.jobs or self._due() is not None:
            self.commit()
            self.errand(5, OK)

    def _due(self) -> float | None:
        return self.house.hub.mailroom.digest.due()

    # What befalls them.

    @rule(seconds=st.sampled_from([1.0, 31.0, 61.0, 121.0, 601.0, 3_601.0, 50_000.0, 300_000.0, 3_000_000.0]))
    def time(self, seconds: float) -> None:
        if seconds > KEPT:  # nothing is on its way for longer than its id is known
            self.commit()
        self.house.tick(seconds)
        self.house.tidy()
        self._drain()
        if seconds >= DAY:
            self.post.check_kept(self.house.store.snapshot())

    @rule()
    def commit(self) -> None:
        batch = self.house.take()
        self.post.record(batch, self.house.commit())
        self._drain()
        self.post.check_news()

    def _commit(self, at_once: bool) -> None:
        if at_once:
            self.commit()

    @rule(at=places, steps=steps, reply=replies)
    def refuse(self, at: int, steps: int, reply: str) -> None:
        """The store refuses what it is given; just so, or after some steps of an errand."""
        self._amid_work(at, steps, reply)
        batch = self.house.take()
        event(f"refused {'something that must be' if any(change.must for change in batch) else 'nothing of moment'}")
        self.post.lose(batch)
        self.house.refuse()
        self._drain()

    @rule(at=places, steps=steps, reply=replies, stored=st.booleans(), alone=rarely)
    def restart(self, at: int, steps: int, reply: str, stored: bool, alone: bool) -> None:
        """The server dies, just so, or after some steps of an errand; mostly everybody is back at once.

        ``stored``: the store has the last batch, and nobody knows.
        """
        self._amid_work(at, steps, reply)
        if stored:
            batch = self.house.take()
            self.post.record(batch, self.house.write())
        for job in self.jobs:
            event(f"killed with {'a draft' if job.letter is None else job.reply or 'a letter'} in hands")
        self.jobs.clear()
        self.post.check_kept(self.house.store.snapshot())
        self.post.restart()
        self.house.restart()
        self._drain()
        if not alone:
            self._all_in()

    # The model's own.

    def _inside(self) -> list[Person]:
        return [person for person in self.people if person.inside and not person.leaving]

    def _one(self, choice: list[T], at: int) -> list[T]:
        """One of these, if there is one."""
        return [choice[at % len(choice)]] if choice else []

    def _drain(self) -> None:
        for person in self.people:
            peer = person.peer
            for frame in peer.frames() if peer is not None else ():
                self._hear(person, frame)
            if peer is not None and not peer.connected:
                person.peer = None
                person.inside = False

    def _hear(self, person: Person, frame: Frame) -> None:
        match frame:
            case Direct(seq=seq):
                person.shown.add(seq)
            case Welcome():
                person.inside = True
                self.post.welcome(person)
            case Receipt():
                self.post.receive(person, frame)
            case Ack(id=str(id)):
                assert frame.seq == self.post.asked[id].number
            case Error(code=Code.TOO_FAST, id=str(id)):
                event("too many wait")
                self.post.too_fast(id)
            case Error(code=Code.UNAVAILABLE | Code.NAME_TAKEN, id=UnsetType()) if not person.inside:
                assert person.peer is not None
                if person.peer.connected:  # it may have been told to go in the same breath: it came too long ago
                    person.peer.cut()
            case Error(code=code):
                assert code == Code.UNAVAILABLE
            case Bye():
                person.inside = False

    def teardown(self) -> None:
        """Time passes, everybody is away, and all mail servers are well; then everybody comes back."""
        if not hasattr(self, "house") or sys.exception() is not None:
            return  # nothing is to be expected of a house in which something went wrong
        for person in self.people:
            if person.peer is not None:
                person.peer.cut()
        self._drain()
        self._all_errands()
        self._all_in()
        self._all_errands()
        self.post.check()
        for _ in range(SURELY_TOLD):
            for person in self.people:
                self._send(person, Ping())
            self.commit()
        kept = self.house.store.snapshot()
        assert (kept.mails, kept.failures) == ((), ())
        assert "waiting" not in [letter.state for letter in kept.letters]


class AtLength(Mailing):
    """The same, for longer."""


BRIEF = settings(max_examples=50, stateful_step_count=50, deadline=None, report_multiple_bugs=False)
TestMailing = Mailing.TestCase
TestMailing.settings = BRIEF
TestMailingAtLength = pytest.mark.slow(AtLength.TestCase)
TestMailingAtLength.settings = settings(BRIEF, max_examples=200)
