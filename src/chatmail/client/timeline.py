"""What this client knows: what it has seen, who is here, and which of its own lines are not confirmed yet. Pure.

Entries of the journal come in rising order of their numbers, and within one epoch each number is one entry. So
"seen" is one integer: an entry at or below it is a repetition (the history after a reconnect), one above it is
new. Numbers that are left out are other people's direct messages, or are counted by a ``gap``.

An own line is shown when it comes back, not when it is typed. Until then it is *unconfirmed*: kept, in order, and
sent again under the same id after every reconnect, whatever happened to the epoch.
"""

import re
from collections.abc import Container
from functools import lru_cache

from msgspec import UNSET, Struct, structs

from chatmail.core import wire

Kept = wire.Say | wire.Dm | wire.Notify | wire.Away

SPEAKERS_MAX = 100
"""So many names are remembered in the order in which they last spoke."""


class News(Struct, frozen=True):
    """A frame that is worth showing.

    ``answered`` is our own frame that it settles, ``fresh`` says that it is no history, ``missed`` that others said it
    while the person was not connected, ``ring`` that the person should look up. ``above`` counts what was unread before
    it, and the direct messages among that. For an ``ack`` that ends being away, ``count`` tells how much came
    meanwhile; for a ``receipt``, ``away`` why its reader is away, if so.
    """

    frame: wire.ServerFrame
    answered: Kept | None = None
    fresh: bool = True
    missed: bool = False
    ring: bool = False
    above: tuple[int, int] = (0, 0)
    count: int = 0
    away: str | None = None


@lru_cache(maxsize=16)
def mention_of(name: str) -> re.Pattern[str]:
    """Finds the name as a word of its own: in "John:" and "@john.", but neither in "Johnny" nor in "john.smith"."""
    return re.compile(rf"(?<!\w)(?<!\w[.-])@?{re.escape(name)}(?!\w|[.-]\w)", re.IGNORECASE)


class Timeline:
    """The state of one client, changed by every frame that is received and by every line that is typed.

    Args:
        me: the name to go by until the server says how it is written.
        prefix: begins the ids of own lines; random, so that no other run of this client uses the same.
    """

    def __init__(self, me: str, prefix: str) -> None:
        self.me = me
        self.ignored: Container[str] = frozenset()
        """Whose lines are not shown."""
        self.epoch: str | None = None
        self.seq = 0
        """The last number that was seen."""
        self.is_another = False
        """Since the last welcome, what the server knows is not what it knew before."""
        self.roster: dict[str, wire.Person] = {}
        self.total = 0
        """How many are here; the roster may hold fewer."""
        self.away: str | None = None
        self.unread = 0
        """What others said since ``mark_read``; once it is marked, what stands below the marker."""
        self.unread_direct = 0
        self._while_away = 0
        """What others said since the person is away."""
        self.marked = False
        """Whether there is a marker before what is unread."""
        self.unconfirmed: dict[str, Kept] = {}
        """Own frames without an answer yet, by id, in the order in which they were typed."""
        self.speakers: list[str] = []
        """Others who spoke, or to whom we wrote, the latest first."""
        self.gone: dict[str, wire.Person] = {}
        """Of these, who left, as they were last known."""
        self.quiet = 0
        """So many lists of people were asked for that nobody wants to see."""
        self.partner: str | None = None
        """Whom ``/r`` answers."""
        self._answers = False
        """Whether ``partner`` wrote to us (which is stronger) or we to them."""
        self._prefix = prefix
        self._count = 0
        self.base = 0
        """The number up to which entries are history, the roster includes them."""
        self.after: int | None = None
        """The number up to which the person had seen what is history; None: nobody knows."""
        self._catching_up = False

    @property
    def resume(self) -> wire.Resume | None:
        """Where to go on after a reconnect."""
        return None if self.epoch is None else wire.Resume(epoch=self.epoch, seq=self.seq)

    @property
    def unsaid(self) -> list[wire.Say | wire.Dm]:
        """The unconfirmed lines, without the settings among them."""
        return [frame for frame in self.unconfirmed.values() if isinstance(frame, wire.Say | wire.Dm)]

    def keep(self, frame: Kept) -> Kept:
        """Give an own frame an id, unless it has one, and keep it until it is answered; the result is what to send."""
        if isinstance(frame.id, str):
            id = frame.id
        else:
            self._count += 1
            id = f"{self._prefix}-{self._count}"
            frame = structs.replace(frame, id=id)
        self.unconfirmed[id] = frame
        if isinstance(frame, wire.Dm) and not self._answers:
            self.partner = frame.to
        return frame

    def again(self) -> list[wire.Frame]:
        """What to send after a ``welcome``: the state that the server may have lost, and all that is unconfirmed."""
        frames: list[wire.Frame] = [] if self.away is None else [wire.Away(reason=self.away)]
        return frames + list(self.unconfirmed.values())

    def mark_read(self) -> None:
        """The person has looked: nothing is unread."""
        self.unread = self.unread_direct = 0
        self.marked = False

    def mark(self, news: News) -> None:
        """A marker stands before this: what was unread above it was seen."""
        above, direct = news.above
        self.unread = max(0, self.unread - above)
        self.unread_direct = max(0, self.unread_direct - direct)

    def receive(self, frame: wire.ServerFrame) -> News | None:
        """Take in one frame; what of it is to be shown, if anything."""
        match frame:
            case wire.Message() | wire.Direct() | wire.Notice() | wire.Joined() | wire.Left():
                return self._entry(frame)
            case wire.Welcome():
                self._welcome(frame)
            case wire.People():
                self._people(frame.people, frame.total)
                if self.quiet:
                    self.quiet -= 1
                    return None
            case wire.Ack():
                return self._ack(frame)
            case wire.Error():
                return News(frame, answered=self._settle(frame.id))
            case wire.Receipt():
                reader = self.roster.get(frame.to) if frame.online else None
                return News(frame, away=None if reader is None or reader.away is UNSET else reader.away)
            case wire.Pong() | wire.Page():
                return None
        return News(frame)

    def _welcome(self, frame: wire.Welcome) -> None:
        # Numbers that went back are those of an older copy of the server's file: what we have seen means nothing there.
        another = frame.epoch != self.epoch or (frame.seq < self.seq and not frame.resumed)
        self.is_another = another and self.epoch is not None
        if another:
            self.epoch = frame.epoch
            self.seq = 0
        self.me = frame.name
        self.base = frame.seq
        # The server's number is behind ours when the connection broke before we could report what was shown.
        self.after = max(self.seq, frame.seen) if frame.seen is not UNSET else self.seq or None
        self._catching_up = frame.resumed
        self.quiet = 0
        self._people(frame.people, frame.total)

    def _people(self, people: list[wire.Person], total: int) -> None:
        self.roster = {person.name: person for person in people}
        self.total = total

    def _entry(self, frame: wire.EntryFrame) -> News | None:
        answered = None
        if isinstance(frame, wire.Message | wire.Direct) and frame.sender == self.me:
            answered = self._settle(frame.id)
        if frame.seq <= self.seq:
            return None
        self.seq = frame.seq
        live = frame.seq > self.base
        match frame:
            case wire.Joined():
                return self._joined(frame, live=live)
            case wire.Left():
                return self._left(frame, live=live)
            case wire.Message() | wire.Direct() if frame.sender != self.me and frame.sender in self.ignored:
                return None
            case wire.Message() | wire.Direct():
                return self._said(frame, answered, fresh=live or self._catching_up)
            case wire.Notice():
                fresh = live or self._catching_up
                return News(
                    frame, fresh=fresh, missed=self._is_missed(frame.seq), above=self._count_unread(fresh=fresh)
                )

    def _count_unread(self, *, fresh: bool, direct: bool = False) -> tuple[int, int]:
        """Count what somebody else said; the result is what there was before, as in ``News.above``."""
        above = self.unread, self.unread_direct
        self.unread += fresh
        self.unread_direct += fresh and direct
        self._while_away += fresh and self.away is not None
        return above

    def _is_missed(self, seq: int) -> bool:
        return self.after is not None and self.after < seq <= self.base

    def _joined(self, frame: wire.Joined, *, live: bool) -> News | None:
        if live:
            self.total += frame.name not in self.roster
            self.roster[frame.name] = wire.Person(name=frame.name, since=frame.time)
        return News(frame, fresh=live)

    def _left(self, frame: wire.Left, *, live: bool) -> News | None:
        if live and frame.name in self.roster:
            person = self.roster.pop(frame.name)
            if frame.name in self.speakers:
                self.gone[frame.name] = person
            self.total -= 1
        elif live and self.total > len(self.roster):
            self.total -= 1  # one of those that the list had no room for
        return News(frame, fresh=live)

    def _said(self, frame: wire.Message | wire.Direct, answered: Kept | None, *, fresh: bool) -> News:
        direct = isinstance(frame, wire.Direct)
        if frame.sender == self.me:
            if isinstance(frame, wire.Direct):
                self._met(frame.to)
                self.partner = self.partner if self._answers else frame.to
            return News(frame, answered=answered, fresh=fresh)
        self._met(frame.sender)
        if direct:
            self.partner = frame.sender
            self._answers = True
        above = self._count_unread(fresh=fresh, direct=direct)
        ring = fresh and (direct or bool(mention_of(self.me).search(frame.text)))
        return News(frame, fresh=fresh, missed=self._is_missed(frame.seq), ring=ring, above=above)

    def _met(self, name: str) -> None:
        """Somebody spoke, or was written to."""
        if name == self.me:
            return
        if name in self.speakers:
            self.speakers.remove(name)
        self.speakers.insert(0, name)
        for forgotten in self.speakers[SPEAKERS_MAX:]:
            self.gone.pop(forgotten, None)
        del self.speakers[SPEAKERS_MAX:]

    def _ack(self, frame: wire.Ack) -> News | None:
        answered = self._settle(frame.id)
        count = 0
        match answered:
            case wire.Notify():
                pass
            case wire.Away(reason=reason):
                self.away = None if reason is UNSET else reason
                if self.away is None:
                    count, self._while_away = self._while_away, 0
            case _:
                return None  # a line that was accepted before: it is shown when it comes, under its number
        return News(frame, answered=answered, count=count)

    def _settle(self, id: object) -> Kept | None:
        return self.unconfirmed.pop(id, None) if isinstance(id, str) else None
