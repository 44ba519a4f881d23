"""The servers that share a store: which of them live, and which one leads.

Every server shows now and then that it lives: it beats. One whose beats stay away is given up, and who was there is
cut off. One server leads: it sends the mail of all, announces whom a dead server leaves, and gives up the dead. When
it is dead itself, another one takes its place.

Who leads, and who is given up, changes only as the store has it, in the one order of all changes; and both claim the
same. So of two servers that would lead one is overtaken, and one that led, was thought dead and comes back finds that
nothing is stored any more that only a leader may do. No clock is shared: a server judges the others' beats by its own,
and not by those it could not have heard. (Gray and Cheriton, Leases, SOSP 1989, let a lease end by the clock; here only
the holder's own clock ends it, see ``HOLD``.)
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from chatmail.core.people import CUT, ENDED
from chatmail.core.records import Change, Gone, Leader, Row, Snapshot

if TYPE_CHECKING:
    from chatmail.core.hub import Hub

BEAT = 2.0
"""Seconds between two beats of a server."""
LAPSE = 10.0
"""A server that does not beat for so many seconds is given up."""
HOLD = 6.0
"""The one that leads sends mail only so many seconds after a beat of its own: less than LAPSE, so that it has stopped
when another takes over, even if it did not notice how time passed."""
SEND_TIME = 60.0
"""Sending a letter takes no longer, in seconds. One that led and lapsed may be in the middle of it, or have sent it and
not be able to say so: for so long the next one leaves alone what is frozen. As the other began within HOLD, it is done
by then, and can say so if it has found its way back."""
DEAF = 7.0
"""Who has not heard for so many seconds how often the others have beaten proves nothing by what it heard before: it may
be that the store stood still, and nobody could beat. Short enough that they beat again before LAPSE is over, and longer
than from one beat to the next at most, which may take BEAT_TIME."""
BEAT_TIME = 4.0
"""A beat that takes more seconds is none."""
LEADER = "leader"
"""The claim of a change that only the one that leads may make, or that changes who leads."""


class Cluster:
    """All servers of a chat, as one of them sees them. A server whose store is its own leads, and is alone.

    Args:
        hub: this server's; changes go through it.
        snapshot: who lived, and led, at the start.
    """

    def __init__(self, hub: "Hub", snapshot: Snapshot) -> None:
        self._hub = hub
        self.node = snapshot.node
        """The name of this server, "" for one that shares nothing."""
        self.leader = snapshot.leader
        self.nodes = set(snapshot.nodes)
        """Those that live, as far as is known."""
        self._heard: dict[str, tuple[int, float]] = {}
        """How often each has beaten, and when that was first heard."""
        self._last = float("-inf")
        self._buried = set[str]()
        """Those that ended, or are given up: no other ever has their names."""
        self._deciding = False
        """Who leads, or who is given up, is with the store."""

    @property
    def is_alone(self) -> bool:
        """Whether no other server shares the store."""
        return not self.node

    @property
    def leads(self) -> bool:
        """Whether this server leads."""
        return self.leader == self.node

    def hear(self, beats: Mapping[str, int], now: float) -> None:
        """How often each server has beaten by now, on a clock of this server that only ever goes forward."""
        if now > self._last + DEAF:
            self._heard.clear()
        self._last = now
        beats = {node: count for node, count in beats.items() if node not in self._buried}  # they may be of before
        for node, count in beats.items():
            if self._heard.get(node, (None, now))[0] != count:
                self._heard[node] = (count, now)
        self._heard = {node: heard for node, heard in self._heard.items() if node in beats}
        for node in sorted(beats.keys() - self.nodes):
            self._hub.tell(f"the server {node} is here")
        self.nodes = set(beats)
        dead = [node for node, (_, since) in self._heard.items() if now >= since + LAPSE and node != self.node]
        if self.leader not in beats or self.leader in dead:
            self._decide(Leader(node=self.node))
        elif self.leads and dead:
            self._decide(*[Gone(table="node", key=node) for node in dead])

    def _decide(self, *rows: Row) -> None:
        """Have the store decide that; whatever comes of it, the next beat finds what is left to do."""

        def answered(_: object = None) -> None:
            self._deciding = False

        if not self._deciding:
            self._deciding = True
            self._hub.submit(Change(rows=rows, then=answered, failed=answered, claims=(LEADER,), overtaken=answered))

    def follow(self, leader: str, now: float) -> None:
        """The store has it who leads from now on."""
        lapsed = self.leader in self.nodes  # one that ended in good order is in there no more
        self.leader = leader
        self._hub.mailroom.lead(now, after_lapse=lapsed)
        self._hub.tell(f"{'this server' if self.leads else leader} sends the mail of all from now on")
        if self.leads:
            self._hub.roster.expect_all(self.nodes, now)

    def bury(self, node: str, now: float, *, by_leader: bool) -> None:
        """The store has it that a server is given up by the one that leads, or has ended as it should."""
        self.nodes.discard(node)
        self._buried.add(node)
        self._hub.tell(f"the server {node} {'is gone' if by_leader else 'has ended'}")
        self._hub.roster.strand(node, CUT if by_leader else ENDED)
        if self.leads:
            self._hub.roster.expect_all(self.nodes, now)
