"""The fan-out: who may have something to take, and one write of the same bytes to each who is in step.

A busy server's time goes here. Whoever has read all and is owed nothing is *in step*: all of those have one cursor, the
front, and are not even asked, but handed what is open to all. Whoever is touched steps out, with a cursor of its own,
reads on its own, and steps in again once it has read all. Whoever is full is left alone until it reads on by itself.

    journal   ... 41  42  43  44  45  46  47
                      |               | front: thousands in step, who get 46 47 in one write each
                      | one who is slow
"""

from collections.abc import Callable, Collection, Iterator
from itertools import chain
from typing import Any, Protocol

from chatmail.core.journal import Journal, Lagged
from chatmail.core.session import Session


class Outlet(Protocol):
    """Where what a session is owed goes out."""

    def flush(self) -> bool:
        """There may be something for this session: take it; whether there was room for all.

        If not, it goes on by itself once there is.
        """

    def write(self, data: bytes) -> bool:
        """Take this, unless there is no room for anything; whether it was taken."""


def one_by_one(outlets: Collection[Any], data: bytes) -> set[Any]:
    """Have each of these outlets take the same; those that had no room for it."""
    return {outlet for outlet in outlets if not outlet.write(data)}


class FanOut(Collection[Session]):
    """All sessions, and which of them may have something to take.

    Args:
        journal: what they follow.
        write_all: the same as ``one_by_one``, for the outlets there are.
    """

    def __init__(self, journal: Journal, write_all: Callable[[Collection[Any], bytes], set[Any]] = one_by_one) -> None:
        self._journal = journal
        self._write_all = write_all
        self._front = journal.last
        self._in_step: dict[Session, Outlet] = {}
        self._apart: dict[Session, Outlet] = {}
        self._full: dict[Session, Outlet] = {}
        self._touched: set[Session] = set()

    def __len__(self) -> int:
        return len(self._in_step) + len(self._apart) + len(self._full)

    def __iter__(self) -> Iterator[Session]:
        return chain(self._in_step, self._apart, self._full)

    def __contains__(self, session: object) -> bool:
        return session in self._in_step or session in self._apart or session in self._full

    def add(self, session: Session, outlet: Outlet) -> None:
        """A session, and where it takes what it is owed."""
        self._apart[session] = outlet

    def remove(self, session: Session) -> None:
        """A session is gone."""
        self.step_out(session)
        del self._apart[session]
        self._touched.discard(session)

    def step_out(self, session: Session) -> None:
        """A session is about to read, or to be owed something: it gets a cursor of its own."""
        outlet = self._in_step.pop(session, None)
        if outlet is not None:
            session.cursor = self._front
        else:
            outlet = self._full.pop(session, None)
        if outlet is not None:
            self._apart[session] = outlet

    def cursor(self, session: Session) -> int:
        """The number of the last entry this session has, or that is not for it."""
        return self._front if session in self._in_step else session.cursor

    def touch(self, session: Session) -> None:
        """A session may have something to take."""
        self.step_out(session)
        self._touched.add(session)

    def flush(self) -> None:
        """Have every session take what there may be for it."""
        touched, self._touched = self._touched, set()
        # Whoever is apart, and was not touched, has something only if there is something for all.
        asked = self._apart if self._hand_out() else self._apart.keys() & touched
        for session in list(asked):
            if not self._apart[session].flush():
                self._full[session] = self._apart.pop(session)
            elif session.has_read_all(self._front):
                self._in_step[session] = self._apart.pop(session)

    def _hand_out(self) -> bool:
        """Bring those in step to the end of the journal; whether there was something for all."""
        some = False
        while self._front < self._journal.last:
            try:
                data, end = self._journal.read_open(self._front)
            except Lagged:  # so much came at once
                some = True
                data, end = b"", self._journal.last
                for session in list(self._in_step):
                    self.step_out(session)
            if data:
                some = True
                full = self._write_all(self._in_step.values(), data)
                if full:
                    self._set_aside(full)
            self._front = end
        return some

    def _set_aside(self, full: Collection[Outlet]) -> None:
        """Leave alone those in step whose outlets have no room."""
        for session in [session for session, outlet in self._in_step.items() if outlet in full]:
            self.step_out(session)
            self._full[session] = self._apart.pop(session)
