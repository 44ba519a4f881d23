"""The duplicate-id rule: an id that a client chose is accepted once, however often it is sent.

A client that was cut off cannot know whether its last line arrived, so it sends it again. An id is reserved when it
is submitted, gets its number when the entry is in the journal, and lives as long as that entry.
"""

from collections import deque

from msgspec import UNSET, Struct, UnsetType

from chatmail.core.records import Earlier, Entry
from chatmail.core.wire import Ack, Code, Error, Refused

Key = tuple[int | None, str | UnsetType]
"""An account, and an id it chose."""


class Accepted(Struct, gc=False):
    """What was said under an id (as a hash), and the number it got, UNSET until then."""

    said: int
    seq: int | UnsetType = UNSET


def _used(id: str | UnsetType) -> Refused:
    return Refused(Code.BAD_FRAME, f"the id {id!r} was used for another message", id=id, field="id")


class Ids:
    """All ids in use, by account."""

    def __init__(self) -> None:
        self._accepted: dict[Key, Accepted] = {}
        self._by_age: deque[tuple[int, Key]] = deque()

    def __len__(self) -> int:
        return len(self._accepted)

    def find(self, account: int, id: str | UnsetType, reader: int | None, text: str) -> Accepted | None:
        """What has this id already, None when it is free. Raises Refused when that is another message.

        ``reader`` and ``text`` are what is to be said under it now, to an account or (None) to all.
        """
        if id is UNSET:
            return None
        accepted = self._accepted.get((account, id))
        if accepted is not None and accepted.said != hash((reader, text)):
            raise _used(id)
        return accepted

    def reserve(self, entry: Entry) -> None:
        """An entry is on its way to the store."""
        if entry.author is not None and entry.id is not UNSET:
            self._accepted[entry.author, entry.id] = Accepted(hash((entry.reader, entry.text)))

    def publish(self, entry: Entry, seq: int) -> None:
        """An entry is in the journal, under this number. Those of an earlier run were never reserved in this one."""
        if entry.author is not None and entry.id is not UNSET:
            key = (entry.author, entry.id)
            accepted = self._accepted.get(key)
            if accepted is None:
                self.reserve(entry)
                accepted = self._accepted[key]
            accepted.seq = seq
            self._by_age.append((seq, key))

    def release(self, entry: Entry) -> None:
        """An entry did not get into the store: its id is free again."""
        if entry.author is not None and entry.id is not UNSET:
            del self._accepted[entry.author, entry.id]

    def repeat(self, entry: Entry, earlier: Earlier) -> Ack | Error:
        """The answer to an entry that the store has had for long: it was said, or another was under its id."""
        if (entry.reader, entry.text) != (earlier.entry.reader, earlier.entry.text):
            self.release(entry)
            return _used(entry.id).frame()
        self._accepted.pop((entry.author, entry.id)).seq = earlier.seq  # for whoever sent it once more meanwhile
        return Ack(id=entry.id, seq=earlier.seq)

    def expire(self, first: int) -> None:
        """Entries before this number are gone, and their ids with them."""
        by_age, accepted = self._by_age, self._accepted
        while by_age and by_age[0][0] < first:
            del accepted[by_age.popleft()[1]]
