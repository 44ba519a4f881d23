"""Several servers, one chat: whatever crosses on its way to the store, at rest all of them know the same.

What is checked at every step is in ``annals``: it reads along in the log of what is committed. Here is what people,
operators and postmen do, and what befalls servers: batches that cross, servers that hear nothing for a while, die, are
given up, and new ones.
"""

import sys
from collections import Counter
from contextlib import suppress
from itertools import pairwise
from typing import TypeVar

import pytest
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec import UNSET

from chatmail.core.cluster import BEAT, LAPSE, SEND_TIME
from chatmail.core.limits import Limits
from chatmail.core.records import Departure, Draft, Fate, Letter, Outcome
from chatmail.core.wire import Dm, Frame, Leave, Notify, Ping, Refused, Resume, Say, Welcome, When
from chatmail.server.stores import Outdated
from tests.core.annals import Annals
from tests.core.house import Peer, joining
from tests.core.houses import Server, Street

NAMES = ("Ada", "Bo", "Cy")
GRACE = 5.0
WINDOW = 6.0
SERVERS_MAX = 3

T = TypeVar("T")

names = st.sampled_from(NAMES)
places = st.integers(0, 99)
"""One of those that there are when it comes to it."""
rarely = st.integers(0, 3).map(lambda dice: dice == 3)
whens: st.SearchStrategy[When] = st.sampled_from(["always", "away", "never"])
fates = st.sampled_from([Fate.SENT, Fate.LATER, Fate.FAILED])


class Person:
    """Somebody who comes and goes, here and there, and what they remember."""

    def __init__(self, name: str, email: str) -> None:
        self.name = name
        self.email = email
        self.peers: list[Peer] = []
        self.token = ""
        self.seq = 0
        self.sent: list[Say | Dm] = []


class Job:
    """What a postman has in hands."""

    def __init__(self, server: Server, job: Draft | Letter) -> None:
        self.server = server
        self.hub = server.hub
        self.draft = job if isinstance(job, Draft) else None
        self.letter = job if isinstance(job, Letter) else None
        self.frozen: list[bool] = []


class Servers(RuleBasedStateMachine):
    """A street with a few servers, a few people, and all that can cross."""

    @initialize(count=st.integers(2, SERVERS_MAX), large=rarely)
    def open(self, count: int, large: bool) -> None:
        limits = Limits(
            grace=GRACE,
            mail_window=WINDOW,
            entries_max=12,
            join_time=1e9,
            silence=1e9,
            presence_max=1 if large else 200,
        )
        self.street = Street(limits)
        self.street.open(count)
        self.annals = Annals(self.street, always_told=not large)
        self.people = {name: Person(name, f"{name.lower()}@example.org") for name in NAMES}
        self.people["a thief"] = Person(NAMES[0], "thief@example.org")
        self.jobs: list[Job] = []
        self.sent = Counter[str]()
        """By Message-ID, how often letters came into their mailbox."""
        self.doubtful: set[str] = set()
        """Those that may come there once more: nobody could know, or an operator did not want to wait."""
        self.ids = 0
        for at, name in enumerate(NAMES):
            self._join(self.people[name], self._server(at))
        self.street.settle()
        self._drain()

    # What people do.

    @rule(name=names, at=places, with_token=st.booleans(), resume=st.booleans(), at_once=rarely)
    def join(self, name: str, at: int, with_token: bool, resume: bool, at_once: bool) -> None:
        self._join(self.people[name], self._server(at), with_token=with_token, resume=resume)
        self._commit(self._server(at), at_once)

    @rule(name=names, at=places, other=places)
    def join_twice(self, name: str, at: int, other: int) -> None:
        """At two servers, which have it on their way to the store before they know of each other."""
        for server in (self._server(at), self._server(other)):
            self._join(self.people[name], server, with_token=True)
            server.take()

    @rule(at=places)
    def steal(self, at: int) -> None:
        """Another address tries to have the name."""
        self._join(self.people["a thief"], self._server(at))

    def _join(self, person: Person, server: Server, *, with_token: bool = False, resume: bool = False) -> None:
        peer = server.peer()
        token = person.token if with_token and person.token else None
        at = Resume(epoch="first", seq=person.seq) if resume and token else None
        peer.send(joining(person.name, person.email, token=token, resume=at))
        person.peers.append(peer)

    @rule(at=places)
    def all_in(self, at: int) -> None:
        """Whoever is nowhere comes in."""
        inside = {person.name for person, _ in self._inside()}
        for name in NAMES:
            if name not in inside:
                self._join(self.people[name], self._server(at), with_token=True)
        self.settle()

    @rule(at=places, at_once=rarely)
    def say(self, at: int, at_once: bool) -> None:
        for person, peer in self._one(self._inside(), at):
            self._say(person, peer, Say(text=f"text {self.ids}", id=f"{self.ids}"))
            self._commit(peer.house, at_once)

    @rule(at=places, to=names, count=st.integers(1, 3), at_once=rarely)
    def dm(self, at: int, to: str, count: int, at_once: bool) -> None:
        for person, peer in self._one(self._inside(), at):
            for _ in range(count):
                self._say(person, peer, Dm(to=to, text=f"secret {self.ids}", id=f"{self.ids}"))
            self._commit(peer.house, at_once)

    def _say(self, person: Person, peer: Peer, line: Say | Dm) -> None:
        self.ids += 1
        person.sent.append(line)
        peer.send(line)

    @rule(at=places, which=places)
    def say_again(self, at: int, which: int) -> None:
        for person, peer in self._one(self._inside(), at):
            for line in self._one(person.sent, which):
                peer.send(line)

    @rule(at=places, when=whens)
    def choose(self, at: int, when: When) -> None:
        for _, peer in self._one(self._inside(), at):
            peer.send(Notify(when=when))

    @rule(at=places)
    def see(self, at: int) -> None:
        for person, peer in self._one(self._inside(), at):
            peer.send(Ping(seq=person.seq or UNSET))

    @rule(at=places)
    def leave(self, at: int) -> None:
        for _, peer in self._one(self._inside(), at):
            peer.send(Leave())

    @rule(at=places)
    def cut(self, at: int) -> None:
        for _, peer in self._one([pair for pair in self._peers() if pair[1].connected], at):
            peer.cut()

    # What operators do.

    @rule(name=names, at=places)
    def kick(self, name: str, at: int) -> None:
        server = self._server(at)
        with suppress(Refused):
            server.operator.kick(name, "", server.now)

    @rule(name=names, at=places, really=rarely)
    def forget(self, name: str, at: int, really: bool) -> None:
        server = self._server(at)
        if really:
            with suppress(Refused):
                server.operator.forget(name, server.now)

    @rule(at=places)
    def retry(self, at: int) -> None:
        server = self._server(at)
        self.doubtful.update(letter.message_id for letter in server.operator.letters()[0])
        server.operator.retry(server.now)

    @rule(at=places, which=places)
    def drop(self, at: int, which: int) -> None:
        server = self._server(at)
        for letter in self._one([letter for kind in server.operator.letters() for letter in kind], which):
            with suppress(Refused):
                server.operator.drop(letter.message_id, server.now)

    # What postmen do.

    @rule(at=places)
    def take_mail(self, at: int) -> None:
        server = self._server(at)
        job = server.hub.mailroom.take(server.now)
        if job is not None:
            self.jobs.append(Job(server, job))
            event(f"took a {type(job).__name__}")

    @rule(at=places, to=names, fate=fates)
    def errand(self, at: int, to: str, fate: Fate) -> None:
        """Somebody writes, and it is mailed at once, as far as may be."""
        self.dm(at, to, 1, at_once=False)
        self.settle()
        for server in self._one([server for server in self.street.houses if server.hub.cluster.leads], at):
            place = self.street.houses.index(server)
            self.take_mail(place)
            self.freeze(-1)
            if not server.is_cut:
                server.commit()
            self.deliver(-1, fate, lay_down=False)

    @rule(at=places)
    def freeze(self, at: int) -> None:
        drafts = [job for job in self._current() if job.draft and job.letter is None]
        for job in self._one(drafts, at):
            assert job.draft is not None
            job.letter = job.server.letter(job.draft)
            job.hub.mailroom.freeze(job.draft, job.letter, job.frozen.append, job.server.now)

    @rule(at=places, fate=fates, lay_down=rarely)
    def deliver(self, at: int, fate: Fate, lay_down: bool) -> None:
        ready = [job for job in self._current() if job.letter and (job.draft is None or job.frozen == [True])]
        for job in self._one(ready, at):
            assert job.letter is not None
            self.jobs.remove(job)
            if lay_down or not job.server.may_send():
                job.hub.mailroom.lay_down(job.letter)
            else:
                if fate is Fate.SENT:
                    self._arrived(job.letter)
                job.hub.mailroom.outcome(job.letter, Outcome(fate=fate, reply="as it is"), job.server.now)

    def _arrived(self, letter: Letter) -> None:
        again = self.sent[letter.message_id] > 0
        assert not again or letter.message_id in self.doubtful, "sent twice, though who sent it first lives"
        event("sent twice" if again else "sent")
        self.sent[letter.message_id] += 1

    def _doubt(self, server: Server) -> None:
        """What this one has sent and not reported may never be known, or too late."""
        self.doubtful.update(letter.message_id for letter, _ in server.hub.mailroom.unreported())

    def _current(self) -> list[Job]:
        """What is in hands still: not what a server had that died, nor what was not to be frozen."""
        self.jobs = [
            job
            for job in self.jobs
            if job.server in self.street.houses and job.hub is job.server.hub and job.frozen != [False]
        ]
        return self.jobs

    # What befalls the servers.

    @rule(at=places)
    def take(self, at: int) -> None:
        self._server(at).take()

    @rule(at=places)
    def write(self, at: int) -> None:
        for server in self._one(self.street.within(), at):
            with suppress(Outdated):
                server.write()

    @rule(at=places)
    def commit(self, at: int) -> None:
        for server in self._one(self.street.within(), at):
            server.commit()

    @rule(at=places, count=st.integers(1, 4))
    def learn(self, at: int, count: int) -> None:
        for server in self._one(self.street.within(), at):
            server.learn(server.position + count)

    @rule(at=places, really=rarely)
    def refuse(self, at: int, really: bool) -> None:
        server = self._server(at)
        if really and server.written is None:
            rows = [row for change in server.take() for row in change.rows]
            self.annals.doubtful.update(row.account for row in rows if isinstance(row, Departure))
            server.refuse()

    @rule(at=places, hears=st.booleans())
    def isolate(self, at: int, hears: bool) -> None:
        self._server(at).is_cut = not hears

    @rule(at=places, beats=st.integers(1, 8))
    def stand_still(self, at: int, beats: int) -> None:
        """A server hears and says nothing for so long, and is back."""
        server = self._server(at)
        server.is_cut = True
        self.time(beats)
        server.is_cut = False

    @rule(at=places, to=names, fate=fates, beats=st.integers(4, 9))
    def lapse(self, at: int, to: str, fate: Fate, beats: int) -> None:
        """One that leads mails something, and before it can say so it hears and says nothing for so long."""
        self.errand(at, to, fate)
        for server in self._one([server for server in self.street.houses if server.hub.cluster.leads], at):
            self.stand_still(self.street.houses.index(server), beats)

    @rule(at=places, really=rarely, replace=st.booleans())
    def die(self, at: int, really: bool, replace: bool) -> None:
        if really and len(self.street.houses) > 1:
            self._doubt(self._server(at))
            self._server(at).die()
            if replace:
                Server(self.street)

    @rule(at=places, really=rarely)
    def end(self, at: int, really: bool) -> None:
        server = self._server(at)
        if really and len(self.street.houses) > 1 and not server.is_cut and server.node in self.street.beats:
            self._doubt(server)
            server.end()

    @rule()
    def open_another(self) -> None:
        if len(self.street.houses) < SERVERS_MAX:
            Server(self.street)

    @rule(beats=st.integers(1, 6))
    def time(self, beats: int) -> None:
        for _ in range(beats):
            self.street.now += BEAT
            for server in list(self.street.houses):
                server.tick(BEAT)
            for server in self.street.houses:
                if self.street.now >= server.beaten + SEND_TIME:
                    self._doubt(server)
            for server in self.street.within():
                server.beat()

    @rule()
    def settle(self) -> None:
        self.street.settle()

    @rule()
    def rest(self) -> None:
        """For a while nothing happens; then everybody knows all."""
        for server in self.street.houses:
            server.is_cut = False
        self.street.wait(BEAT)
        self.street.wait(BEAT)
        self._drain()
        self.annals.read()
        self.annals.compare()
        self._compare_people()

    @invariant()
    def all_is_well(self) -> None:
        if hasattr(self, "street"):
            self._drain()
            self.annals.read()

    # What is true at rest.

    def _compare_people(self) -> None:
        inside = [(person.name, peer) for person, peer in self._inside()]
        assert len({name for name, _ in inside}) == len(inside), "somebody is connected twice"
        for name, peer in inside:
            presence = peer.house.hub.roster.get(peer.house.hub.accounts.known(name).id)
            assert presence is not None
            assert presence.session is peer.session

    def teardown(self) -> None:
        """Nothing happens any more for long: whoever is not connected is gone, and all mail is sent."""
        if not hasattr(self, "street") or sys.exception() is not None:
            return
        self.rest()
        self.street.wait(LAPSE + 3 * BEAT + 2 * GRACE)
        self.rest()
        (leader,) = [server for server in self.street.houses if server.hub.cluster.leads]
        assert set(self.street.beats) == {server.node for server in self.street.houses}
        here = sorted(person.name for person, _ in self._inside())
        for server in self.street.houses:
            assert sorted(server.names_here()) == here
        for _ in list(self._current()):
            self.freeze(0)
        self.street.settle()
        for job in self._current():
            assert job.letter is not None
            job.hub.mailroom.lay_down(job.letter)
        for name in here:
            self._send_now(name, Notify(when="always"))
        for _ in range(3):
            while (letters := leader.deliver()) != []:
                for letter in letters:
                    self._arrived(letter)
            self.street.wait(100 * WINDOW)
        self.rest()
        assert leader.operator.letters()[0] == []
        assert self.annals.waiting == set()

    def _send_now(self, name: str, frame: Frame) -> None:
        for person, peer in self._inside():
            if person.name == name:
                peer.ask(frame)

    # The model's own.

    def _server(self, at: int) -> Server:
        return self.street.houses[at % len(self.street.houses)]

    def _commit(self, server: object, at_once: bool) -> None:
        assert isinstance(server, Server)
        if at_once and not server.is_cut:
            server.commit()

    def _peers(self) -> list[tuple[Person, Peer]]:
        return [(person, peer) for person in self.people.values() for peer in person.peers]

    def _inside(self) -> list[tuple[Person, Peer]]:
        return [
            (person, peer)
            for person, peer in self._peers()
            if peer.connected and peer.session.account is not None and not peer.session.closing
        ]

    def _one(self, choice: list[T], at: int) -> list[T]:
        """One of these, if there is one."""
        return [choice[at % len(choice)]] if choice else []

    def _drain(self) -> None:
        for person, peer in self._peers():
            frames = peer.frames()
            for frame in frames:
                if isinstance(frame, Welcome):
                    person.token = frame.token
            numbers = [seq for frame in frames if isinstance(seq := self.annals.check(frame), int)]
            assert all(before < after for before, after in pairwise(numbers))
            person.seq = max([person.seq, *numbers])
        for person in self.people.values():
            person.peers = [peer for peer in person.peers if peer.connected]


class AtLength(Servers):
    """The same, for longer."""


BRIEF = settings(max_examples=40, stateful_step_count=50, deadline=None, report_multiple_bugs=False)
TestServers = Servers.TestCase
TestServers.settings = BRIEF
TestServersAtLength = pytest.mark.slow(AtLength.TestCase)
TestServersAtLength.settings = settings(BRIEF, max_examples=200)
