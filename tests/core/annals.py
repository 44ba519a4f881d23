"""Reads along in the log that several servers share, and knows what must be true of it, and of them at rest."""

from chatmail.core.names import fold
from chatmail.core.records import Account, Arrival, Change, Departure, Gone, Letter, Mail
from chatmail.core.wire import Direct, Frame, Joined, Left, Message, Notice, encode
from tests.core.houses import Server, Street


class Annals:
    """What was committed, so far.

    Args:
        street: the servers, and their log.
        always_told: whether every coming and going is an entry.
    """

    def __init__(self, street: Street, *, always_told: bool) -> None:
        self._street = street
        self._told = always_told
        self._at = 0
        self.frames: dict[int, Frame] = {}
        self.audiences: dict[int, tuple[int, ...] | None] = {}
        self.accounts: dict[int, str] = {}
        self.emails: dict[int, str] = {}
        """Of all accounts there ever were."""
        self.here: set[int] = set()
        self.doubtful: set[int] = set()
        """Whose going was refused by the store, though they may have been back by then."""
        self.said: set[tuple[int | None, str]] = set()
        self.mails: dict[int, Mail] = {}
        self.waiting: set[int] = set()
        """The numbers of the mails that are neither frozen nor dropped."""
        self.frozen: dict[str, tuple[int, ...]] = {}

    def read(self) -> None:
        """Go on to the end of the log."""
        for _, change, number in self._street.log[self._at :]:
            self._entry(change, number)
            self._people(change)
            self._mail(change)
        self._at = len(self._street.log)

    def _entry(self, change: Change, number: int | None) -> None:
        entry = change.entry
        if entry is None:
            return
        assert number == len(self.frames) + 1
        self.frames[number] = entry.frame(number)
        self.audiences[number] = entry.audience
        if isinstance(entry.id, str):
            assert (entry.author, entry.id) not in self.said, "said twice"
            self.said.add((entry.author, entry.id))

    def _people(self, change: Change) -> None:
        for row in change.rows:
            match row:
                case Account():
                    assert row.id not in self.emails, "an id for two"
                    assert fold(row.name) not in map(fold, self.accounts.values()), "a name for two"
                    self.accounts[row.id] = row.name
                    self.emails[row.id] = row.email
                case Gone(table="account", key=int(id)):
                    self.accounts.pop(id, None)
                case Arrival():
                    coming = row.account not in self.here
                    sure = self._told and row.account not in self.doubtful
                    assert not sure or coming == (change.entry is not None), "told wrongly of a coming"
                    self.here.add(row.account)
                case Departure():
                    assert row.account in self.here, "gone twice"
                    assert not self._told or change.entry is not None, "told nothing of a going"
                    self.here.remove(row.account)

    def _mail(self, change: Change) -> None:
        for row in change.rows:
            match row:
                case Mail():
                    self.mails[row.seq] = row
                    self.waiting.add(row.seq)
                case Letter() if row.message_id not in self.frozen:
                    numbers = tuple(mail.seq for mail in row.mails)
                    assert self.waiting.issuperset(numbers), "frozen twice"
                    self.waiting.difference_update(numbers)
                    self.frozen[row.message_id] = numbers
                case Gone(table="mail", key=int(seq)):
                    self.waiting.discard(seq)

    def check(self, frame: Frame) -> int | None:
        """A frame that somebody was sent: if it is of an entry, it is that of all, under its number."""
        if not isinstance(frame, Message | Direct | Notice | Joined | Left):
            return None
        self.read()
        assert self.frames[frame.seq] == frame
        return frame.seq

    def compare(self) -> None:
        """At rest, all servers know the same, and no more or less than is in the log."""
        for server in self._street.houses:
            self._compare_journal(server)
            hub = server.hub
            assert {id: name for id, name in self.accounts.items() if hub.accounts.get(id)} == self.accounts
            assert len(hub.accounts) == len(self.accounts)
            present = {presence.account.id: presence for presence in hub.roster.all()}
            assert set(present) == self.here & set(self.accounts)
            assert not hub.roster.entering
            for id, presence in present.items():
                arrival = self._street.arrivals[id]
                assert (presence.node, presence.host, presence.leaving) == (arrival.node, arrival.host, False)
                assert presence.elsewhere == (arrival.node in self._street.beats and arrival.node != server.node)
            kept = self._street.store.snapshot()
            assert {mail.seq for mail in kept.mails} == self.waiting
            letters, dead = server.operator.letters()
            waiting = {letter.message_id for letter in kept.letters if letter.state == "waiting"}
            assert {letter.message_id for letter in letters if letter.reader} == waiting
            assert {letter.message_id for letter in dead} == {
                letter.message_id for letter in kept.letters if letter.state == "failed"
            }
            for address in set(self.emails.values()):
                frozen = sum(len(letter.mails) for letter in letters if letter.address == address)
                readers = [reader for reader, email in self.emails.items() if email == address]
                waits = [self.mails[seq].reader for seq in self.waiting if self.mails[seq].reader in readers]
                wanted = [reader for reader in waits if reader in self.accounts]
                # What waits for somebody forgotten is dropped when its time comes, and is in no box after a start.
                assert len(wanted) <= hub.mailroom.digest.waiting(address) - frozen <= len(waits)

    def _compare_journal(self, server: Server) -> None:
        journal = server.hub.journal
        assert journal.last == len(self.frames)
        for account in self.accounts:
            data, cursor = b"", journal.first - 1
            while cursor < journal.last:
                piece, cursor = journal.read(cursor, account)
                data += piece
            assert data == b"".join(
                encode(frame)
                for number, frame in self.frames.items()
                if number >= journal.first and account in (self.audiences[number] or (account,))
            )
