"""Looking back at what was said: from a command to frames, page after page, to a whole answer. Pure.

    LookBack ──> frame ──> page ──> frame ──> page ──> Found, or NotFound
                                │
                                └─ asks for what comes before this page, while that is wanted and there is more

What is found this way is no news, whatever its numbers: the timeline never hears of it.
"""

from msgspec import UNSET, Struct, UnsetType

from chatmail.core import wire

HISTORY_MAX = 1_000
"""So many entries are shown at once at most."""

Asked = wire.History | wire.Search


class LookBack(Struct, frozen=True):
    """What somebody wants to see again: the last ``count`` things said, or (``words``) those that hold all of these.

    ``before``: only what has a lower number than this.
    """

    count: int = wire.COUNT
    words: str | None = None
    before: int | UnsetType = UNSET


class Found(Struct, frozen=True):
    """The whole answer, oldest first; ``more``: there is older still."""

    wanted: LookBack
    entries: tuple[wire.EntryFrame, ...]
    more: bool


class NotFound(Struct, frozen=True):
    """There is no answer; ``text`` says why."""

    text: str


class LookBacks:
    """Those without an answer yet. They mean nothing on another connection than the one they began on."""

    def __init__(self) -> None:
        self._open: dict[str, _Pages] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, wanted: LookBack) -> Asked:
        """Begin a look back; the result is what to send."""
        self._count += 1
        id = f"look-{self._count}"
        self._open[id] = pages = _Pages(wanted, id)
        return pages.next()

    def receive(self, frame: wire.ServerFrame) -> Asked | Found | NotFound | None:
        """Take in a frame: what to send next, or how a look back ends; None: it is about none of them."""
        match frame:
            case wire.Page(id=str(id)) if id in self._open:
                outcome = self._open[id].receive(frame)
                if isinstance(outcome, Found):
                    del self._open[id]
                return outcome
            case wire.Error(id=str(id)) if id in self._open:
                del self._open[id]
                return NotFound(f"not looked for: {frame.text or frame.code}")
        return None

    def lose(self) -> list[NotFound]:
        """The connection is lost: end them all."""
        lost = [NotFound("no answer: the connection was lost; ask again") for _ in self._open]
        self._open.clear()
        return lost


class _Pages:
    """The pages of one look back, put together."""

    def __init__(self, wanted: LookBack, id: str) -> None:
        self._wanted = wanted
        self._id = id
        self._entries: list[wire.EntryFrame] = []

    @property
    def _missing(self) -> int:
        return self._wanted.count - len(self._entries)

    @property
    def _before(self) -> int | UnsetType:
        return self._entries[0].seq if self._entries else self._wanted.before

    def next(self) -> Asked:
        """What to send for the next page."""
        count, before, words = min(self._missing, wire.COUNT_MAX), self._before, self._wanted.words
        if words is None:
            return wire.History(count=count, before=before, id=self._id)
        return wire.Search(words=words, count=count, before=before, id=self._id)

    def receive(self, page: wire.Page) -> Asked | Found:
        """Take in a page. One that brings nothing older is the last, whatever it says: there is always an end."""
        before = self._before
        older = [entry for entry in page.entries if before is UNSET or entry.seq < before]
        newest = older[-self._missing :]
        self._entries[:0] = newest
        more = page.more or len(newest) < len(older)
        if newest and more and self._missing:
            return self.next()
        return Found(self._wanted, tuple(self._entries), more)
