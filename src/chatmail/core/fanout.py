"""The fan-out: who may have something to take, and one write of the same bytes to each who is in step.

A busy server's time goes here. Whoever stands where the last fan-out ended, is owed nothing else and may see no more
than all, is not even asked: it is handed the bytes that all of them get. The others are told, and read on their own.
"""

from typing import Protocol

from chatmail.core.journal import Journal, Lagged
from chatmail.core.session import Session


class Outlet(Protocol):
    """Where what a session is owed goes out."""

    def flush(self) -> None:
        """There may be something for this session: take it, as far as there is room."""

    def write(self, data: bytes) -> bool:
        """Take this, unless there is no room for anything; whether it was taken."""


class FanOut:
    """All sessions, and which of them may have something to take.

    Args:
        journal: what they follow.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._outlets: dict[Session, Outlet] = {}
        self.sessions = self._outlets.keys()
        """All there are at any time."""
        self._some: set[Session] = set()
        self._all = False
        self._front = 0
        """Where the last fan-out ended."""

    def add(self, session: Session, outlet: Outlet) -> None:
        """A session, and where it takes what it is owed."""
        self._outlets[session] = outlet

    def remove(self, session: Session) -> None:
        """A session is gone."""
        del self._outlets[session]
        self._some.discard(session)

    def outlet(self, session: Session) -> Outlet:
        """Where this session's goes out."""
        return self._outlets[session]

    def touch(self, session: Session) -> None:
        """A session may have something to take."""
        self._some.add(session)

    def touch_all(self) -> None:
        """There is something for all."""
        self._all = True

    def flush(self) -> None:
        """Have every session take what there may be for it."""
        some, self._some = self._some, set()
        if self._all:
            self._all = False
            self._hand_out()
        else:
            for session in some:
                self._outlets[session].flush()

    def _hand_out(self) -> None:
        front, self._front = self._front, self._journal.last
        try:
            data, end, apart = self._journal.read_open(front)
        except Lagged:  # so much came at once
            data, end, apart = b"", front, set()
        for session, outlet in list(self._outlets.items()):
            account = session.account
            if (
                data
                and session.cursor == front
                and account is not None
                and account.id not in apart
                and not (session.answers or session.prologue or session.looking_up or session.closing)
                and outlet.write(data)
            ):
                session.cursor = end
                if end == self._front:
                    continue
            outlet.flush()
