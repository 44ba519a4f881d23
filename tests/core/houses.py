"""Several houses that share a store, in one thread: each server's hub, one log of what is committed.

    one, two = Street().open(2)
    mary = one.join("Mary")
    john = two.join("John")
    mary.ask(Say(text="hello"))      john.frames() holds it, too: at rest everybody knows all
    two.is_cut = True                two hears and says nothing any more, until it may again
    two.die()                        it is gone, without a word

A street does what a store does that servers share, and the engine around it: see ``stores/__init__``.
"""

import weakref
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from chatmail.core.cluster import BEAT, HOLD
from chatmail.core.limits import Limits
from chatmail.core.records import (
    Arrival,
    Change,
    Departure,
    Draft,
    Earlier,
    Entry,
    Gone,
    Leader,
    Letter,
    Overtaken,
    Snapshot,
    Stored,
)
from chatmail.server.stores import Outdated
from chatmail.server.stores.database import MEMORY, Database
from chatmail.server.stores.redis.codec import change_of, encode_batch, pack
from tests.core.house import NOON, House, Peer


class Street:
    """What is shared: what was committed, in order, and the state at its end.

    Args:
        limits: what the operator allows, at all servers.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.now = NOON
        self.store = Database(MEMORY, keep_days=30)
        weakref.finalize(self, self.store.close)
        self.store.open()
        self.log: list[tuple[str, Change, int | None]] = []
        """Who committed what, and the number of its entry; each change as others get to know it."""
        self.beats: dict[str, int] = {}
        self.leader = ""
        self.arrivals: dict[int, Arrival] = {}
        self.servers = 0
        self.houses: list[Server] = []
        """Those that run."""

    def open(self, count: int) -> "list[Server]":
        """Open so many servers; the first one leads."""
        servers = [Server(self) for _ in range(count)]
        self.beat()
        return servers

    def snapshot(self) -> Snapshot:
        """What a new server has to know, under its own name."""
        self.servers += 1
        node = f"server-{self.servers}"
        self.beats[node] = 0
        return replace(
            self.store.snapshot(),
            epoch="first",
            secret=b"a secret",
            node=node,
            nodes=tuple(self.beats),
            leader=self.leader,
            arrivals=tuple(self.arrivals.values()),
            next_account=(self.servers << 32) + 1,
        )

    def commit(self, node: str, batch: Sequence[Change], position: int) -> list[Stored]:
        """Write what is not overtaken by what others claimed after this position. Raises Outdated."""
        if node not in self.beats:
            raise Outdated("the other servers have given this one up")
        claimed = {claim for by, change, _ in self.log[position:] if by != node for claim in change.claims}
        faster = [not claimed.isdisjoint(change.claims) for change in batch]
        answers = iter(
            self.store.commit([_kept(change) for change, late in zip(batch, faster, strict=True) if not late])
        )
        results = [Overtaken() if late else next(answers) for late in faster]
        for change, result in zip(batch, results, strict=True):
            if not isinstance(result, Earlier | Overtaken) and (change.entry or change.rows):
                self.log.append((node, *_on_the_wire(change, result)))
                self._keep(change)
        return results

    def _keep(self, change: Change) -> None:
        for row in change.rows:
            match row:
                case Arrival():
                    self.arrivals[row.account] = row
                case Departure():
                    self.arrivals.pop(row.account, None)
                case Leader():
                    self.leader = row.node
                case Gone(table="node", key=str(node)):
                    self.beats.pop(node, None)

    def settle(self) -> None:
        """Commit and learn until nothing is on its way any more, but at those that are cut off."""
        busy = True
        while busy:
            busy = False
            for house in self.within():
                house.flush()
                house.learn()
                if house.take():
                    house.commit()
                    busy = True
                else:
                    house.rest()

    def within(self) -> "list[Server]":
        """The servers that run and are not cut off."""
        return [house for house in self.houses if not house.is_cut]

    def beat(self) -> None:
        """Every server shows that it lives, and hears who does."""
        for house in self.within():
            house.beat()
        self.settle()

    def wait(self, seconds: float) -> None:
        """Time passes everywhere, beats are heard, and whatever comes of it is stored."""
        while seconds > 0:
            step = min(BEAT, seconds)
            seconds -= step
            self.now += step
            for house in list(self.houses):
                house.tick(step)
            self.beat()

    def said(self) -> list[tuple[int, Entry]]:
        """Every entry with its number."""
        return [(number, change.entry) for _, change, number in self.log if change.entry and number]


class Server(House):
    """One of the servers of a street: a house that knows what others commit only once it has learned it."""

    def __init__(self, street: Street) -> None:
        self.street = street
        self.is_cut = False
        super().__init__(street.limits, street.snapshot())
        self.store.close()
        self.store = street.store
        self.now = street.now
        street.houses.append(self)

    def _start(self, snapshot: Snapshot) -> None:
        super()._start(snapshot)
        self.node = snapshot.node
        self.position = self._decided = len(self.street.log)
        """So much of the log it knows; so much it knew when the batch that is on its way was decided on."""
        self.beaten = float("-inf")
        """When it last showed that it lives."""
        self.written: list[Stored] | None = None
        """What became of that batch, before the server has heard of it."""
        self._upto = 0

    def take(self) -> list[Change]:
        if self._batch is None:
            self._decided = self.position
        return super().take()

    def write(self) -> list[Stored]:
        """The store has the batch, and this server does not know it yet. Raises Outdated."""
        if self.written is None:
            batch = self.take()
            self._upto = len(self.street.log)
            self.written = self.street.commit(self.node, batch, self._decided)
        return self.written

    def commit(self) -> list[Stored]:
        """The store has the batch, and what others committed before is learned; or else the server starts anew."""
        try:
            results = self.write()
        except Outdated:
            self.anew()
            return []
        self.learn(self._upto)
        own = sum(by == self.node for by, _, _ in self.street.log[self.position :])
        self.written = None
        self.hub.committed(self._taken(), results, self.now)
        self.position += own
        self.flush()
        return results

    def learn(self, upto: int | None = None) -> None:
        """Take in what others have committed; what comes after a batch of its own only once that is answered."""
        for by, change, number in self.street.log[self.position : upto]:
            if by == self.node:
                break
            self.position += 1
            self.hub.learn(change, number, self.now)
        self.flush()

    def rest(self) -> None:
        """There is nothing to commit."""
        self._batch = self.written = None

    def settle(self) -> None:
        """Everything is stored, and known everywhere."""
        self.street.settle()

    def wait(self, seconds: float) -> None:
        self.street.wait(seconds)

    def beat(self) -> None:
        """Show that it lives, and hear who does; or else it starts anew."""
        if self.node not in self.street.beats:
            self.anew()
        self.street.beats[self.node] += 1
        self.beaten = self.street.now
        self.hub.cluster.hear(dict(self.street.beats), self.now)

    def may_send(self) -> bool:
        """Whether mail is this one's to send."""
        return self.hub.mailroom.leads and self.street.now < self.beaten + HOLD

    def die(self) -> None:
        """It is gone, and nobody was told."""
        self.street.houses.remove(self)
        self._hang_up()

    def end(self) -> None:
        """It ends as it should, and the others are told."""
        self.street.commit(self.node, [Change(rows=(Gone(table="node", key=self.node),))], self.position)
        self.die()
        self.street.settle()

    def anew(self) -> None:
        """What it knows holds no longer: it opens the store anew, and its people have to come back."""
        self._hang_up()
        operator, unreported = self.operator, self.hub.mailroom.unreported()
        operator.leave()
        self._start(self.street.snapshot())
        for letter, outcome in unreported:
            self.hub.mailroom.outcome(letter, outcome, self.now)
        operator.move(self.hub)
        self.operator = operator

    def _hang_up(self) -> None:
        for peer in self.peers:
            peer.connected = False
        self.peers.clear()

    def letter(self, draft: Draft) -> Letter:
        letter = super().letter(draft)
        return replace(letter, message_id=f"<{self.node}.{self._letters}>")


def couple(limits: Limits | None = None, host: str = "127.0.0.1") -> tuple[Server, Server, Peer, Peer]:
    """Mary at the server that leads, John (who comes from this host) at another one, with nothing unread."""
    one, two = Street(limits).open(2)
    mary, john = one.join("Mary"), two.join("John", host=host)
    mary.frames()
    for server in (one, two):
        server.told.clear()
    return one, two, mary, john


def at_once(*servers: Server) -> None:
    """What was submitted at these servers is on its way to the store: none of them knows of the others'."""
    for server in servers:
        server.take()


def _kept(change: Change) -> Change:
    """What of a change the database knows to keep."""
    rows = tuple(row for row in change.rows if not (isinstance(row, Gone) and row.table == "node"))
    return Change(entry=change.entry, rows=rows)


def _on_the_wire(change: Change, number: int | None) -> tuple[Change, int | None]:
    """A change as it comes out at others: what does not go through the codec is lost on the way."""
    (parts,) = msgspec.msgpack.decode(encode_batch([change], keep=0.0))
    entry, _, _, claims, rows = [*parts, None, None, None, None][:5]
    fields: list[bytes] = [b"n", b"server"]
    fields += [b"e", entry.encode()] if entry else []
    fields += [b"r", rows.encode()] if rows else []
    fields += [b"c", pack(claims)] if claims else []
    return change_of(number or 0, fields)
