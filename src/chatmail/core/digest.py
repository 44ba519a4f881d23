"""The mail schedule: which direct message becomes which email, and when.

Every address has a box. The first message goes out at once; what comes within the window after an email waits and is
gathered in the next one. Under steady traffic the window doubles up to half an hour, after a quiet spell it is
short again; more than 48 emails a day never go to one address. One email an address is on its way at a time, and
what was frozen into it stays in it, however often it has to be sent.

    add ──> waiting ──take──> Draft ──freeze──> Letter ──take──> (SMTP) ──outcome──> sent, later or failed
                                                  ^                                    │
                                                  └────────── due again ───────────────┘

Nothing here sends, stores or knows the time: the hub tells it what happened, and asks what is due.

Where several servers share a store, each knows all boxes, so that any of them can go on; but only the one that leads
takes anything out of them.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from heapq import heappop, heappush
from itertools import count, pairwise
from typing import Literal

from msgspec.structs import replace

from chatmail.core.names import same_email
from chatmail.core.records import Draft, Fate, Letter, Mail, Outcome

DAY = 86_400.0
WINDOW_MAX = 1_800.0
PER_DAY = 48
LETTER_LIFE = 3 * DAY
"""A letter is tried for so long, in seconds."""
RETRY_MIN = 30.0
RETRY_MAX = 3_600.0


def next_free(made: Sequence[float], window: float) -> float:
    """When the next email may be made, from the times of the earlier ones (oldest first, seconds).

    The window doubles with each email that follows the one before it within two windows, up to WINDOW_MAX (or the
    window asked for, when that is longer); otherwise it starts again.
    """
    if not made:
        return 0.0
    current = window
    for before, after in pairwise(made):
        current = min(2 * current, max(window, WINDOW_MAX)) if after - before <= 2 * current else window
    free = made[-1] + current
    return max(free, made[-PER_DAY] + DAY) if len(made) >= PER_DAY else free


class _Box:
    """What waits for one address."""

    def __init__(self) -> None:
        self.waiting: deque[Mail] = deque()
        self.made: deque[float] = deque(maxlen=PER_DAY)
        self.letters: dict[str, Letter] = {}  # by Message-ID; more than one only where a dead one was revived
        self.taken: Draft | Letter | None = None  # in somebody's hands
        self.due: float | None = None
        self.shared = True
        """Another server that leads would see to it."""

    def next_letter(self) -> Letter | None:
        """The letter that is due first."""
        return min(self.letters.values(), key=lambda letter: letter.due, default=None)

    def __len__(self) -> int:
        in_hands = len(self.taken.mails) if isinstance(self.taken, Draft) else 0
        return len(self.waiting) + in_hands + sum(len(letter.mails) for letter in self.letters.values())


class Digest:
    """All boxes.

    Args:
        window: seconds between two emails to one address, at the least.
        fits: how many of these mails, from the first on, go into one letter (at least one).
        judge: whether a waiting mail is to be sent, dropped or left waiting at a time.
        drop: called with each mail that is dropped.
        leads: whether this server takes what is in the boxes.
    """

    def __init__(
        self,
        window: float,
        fits: Callable[[Sequence[Mail]], int],
        judge: Callable[[Mail, float], Literal["send", "drop", "wait"]],
        drop: Callable[[Mail], None],
        *,
        leads: bool = True,
    ) -> None:
        self._window = window
        self._fits = fits
        self._judge = judge
        self._drop = drop
        self._leads = leads
        self._boxes: dict[str, _Box] = {}
        self._flying: dict[str, _Box] = {}  # by Message-ID
        self._places: dict[int, _Box] = {}
        """By number, where each mail is that is neither frozen nor dropped."""
        self._agenda: list[tuple[float, int, str, _Box]] = []
        self._order = count()

    def _box(self, address: str) -> _Box:
        return self._boxes.setdefault(same_email(address), _Box())

    def waiting(self, address: str) -> int:
        """How many texts have not reached this address yet."""
        box = self._boxes.get(same_email(address))
        return len(box) if box else 0

    def size(self) -> int:
        """How many texts wait in all."""
        return sum(map(len, self._boxes.values()))

    def oldest(self) -> Mail | None:
        """Of the texts that wait, the one that was written first."""
        first = [box.waiting[0] for box in self._boxes.values() if box.waiting]
        first += [letter.mails[0] for letter in self.letters() if letter.mails]
        return min(first, key=lambda mail: mail.seq, default=None)

    def gathering(self) -> list[tuple[str, int, float]]:
        """For each address with texts that wait for the next letter: how many, and when that may be made."""
        return [
            (address, len(box.waiting), next_free(box.made, self._window))
            for address, box in self._boxes.items()
            if box.waiting
        ]

    def letters(self) -> list[Letter]:
        """The letters that are on their way, or will be tried again."""
        return [box.letters[message_id] for message_id, box in self._flying.items()]

    def letter(self, message_id: str) -> Letter | None:
        """The one of these with this Message-ID."""
        box = self._flying.get(message_id)
        return None if box is None else box.letters[message_id]

    def is_taken(self, letter: Letter) -> bool:
        """Whether this letter is in somebody's hands, who may have sent it already."""
        taken = self._flying[letter.message_id].taken
        return isinstance(taken, Letter) and taken.message_id == letter.message_id

    def restore(self, mails: Iterable[tuple[Mail, str]], letters: Iterable[Letter]) -> None:
        """Take up what the store held: mails with their addresses, letters (oldest first)."""
        for letter in letters:
            box = self._box(letter.address)
            box.made.append(letter.made)
            if letter.state == "waiting":
                self._fly(box, letter)
                self._schedule(box, letter.address)
        for mail, address in mails:
            self.add(mail, address, 0.0)

    def add(self, mail: Mail, address: str, now: float) -> Literal["queued", "held"]:
        """Put a mail into its box: ``queued`` goes out at once, ``held`` waits for its window."""
        box = self._box(address)
        box.waiting.append(mail)
        self._places[mail.seq] = box
        free = not box.letters and box.taken is None
        if free:
            self._schedule(box, address)
        at_once = free and next_free(box.made, self._window) <= now
        return "queued" if at_once and self._judge(mail, now) == "send" else "held"

    def post(self, letter: Letter) -> None:
        """Send a letter that is no digest, at once and whatever the window."""
        box = _Box()
        box.shared = False
        self._fly(box, letter)
        self._schedule(box, letter.address)

    def due(self) -> float | None:
        """When ``take`` will have something to do; None: not before something is added."""
        while self._agenda and self._agenda[0][3].due != self._agenda[0][0]:
            heappop(self._agenda)
        return self._agenda[0][0] if self._agenda else None

    def take(self, now: float) -> Draft | Letter | None:
        """What is to be done now: a draft to freeze, or a letter to send. It is the taker's until it reports back."""
        while (when := self.due()) is not None and when <= now:
            _, _, address, box = heappop(self._agenda)
            box.due = None
            job = box.next_letter() or self._draft(box, address, now)
            if job is not None:
                box.taken = job
                return job
            if box.waiting:
                self._wake(box, address, now + max(1.0, self._window))
        return None

    def _draft(self, box: _Box, address: str, now: float) -> Draft | None:
        """The mails that may go now, all to the reader of the first, as many as one letter holds."""
        chosen: list[Mail] = []
        staying: list[Mail] = []
        for mail in box.waiting:
            fate = self._judge(mail, now)
            if fate == "drop":
                del self._places[mail.seq]
                self._drop(mail)
            elif fate == "send" and mail.reader == (chosen or [mail])[0].reader:
                chosen.append(mail)
            else:
                staying.append(mail)
        fitting = self._fits(chosen) if chosen else 0
        box.waiting = deque(sorted(chosen[fitting:] + staying, key=lambda mail: mail.seq))
        if not chosen:
            return None
        return Draft(
            reader=chosen[0].reader, name=chosen[0].to, address=address, mails=tuple(chosen[:fitting]), made=now
        )

    def may_freeze(self, draft: Draft) -> bool:
        """Whether a draft that was taken is still this server's to freeze, and no other one has frozen any of it."""
        return self._leads and self._box(draft.address).taken == draft

    def frozen(self, letter: Letter) -> None:
        """The store has this letter, made from a draft that was taken."""
        box = self._box(letter.address)
        box.made.append(letter.made)
        box.taken = letter
        self._take_out(box, {mail.seq for mail in letter.mails})
        self._fly(box, letter)

    def lay_down(self, letter: Letter) -> None:
        """Whoever has this letter does not send it now: it is the first that the next one takes."""
        if letter.message_id not in self._flying:
            self.let_go(letter)
            return
        box = self._flying[letter.message_id]
        box.taken = None
        self._wake(box, letter.address, box.letters[letter.message_id].due or float("-inf"))

    def thaw(self, draft: Draft, now: float) -> None:
        """The store would not have the letter: its mails wait again, for a window or until the next one comes."""
        box = self._box(draft.address)
        mails = () if box.taken is None else box.taken.mails  # all of the draft, unless another server was faster
        box.waiting.extendleft(reversed(mails))
        box.taken = None
        self._wake(box, draft.address, now + max(1.0, self._window))

    def outcome(self, letter: Letter, outcome: Outcome, now: float) -> Letter:
        """How sending went; the letter as it is from now on: sent, failed, or waiting for its next try."""
        box = self._flying[letter.message_id]
        box.taken = None
        due = now + min(RETRY_MIN * 2 ** min(letter.tries, 30), RETRY_MAX)
        match outcome.fate:
            case Fate.SENT | Fate.SAVED:
                letter = replace(letter, state="sent", content=b"", mails=())
            case Fate.LATER if due < letter.expires:
                letter = replace(letter, tries=letter.tries + 1, due=due, reply=outcome.reply)
            case _:
                letter = replace(letter, state="failed", reply=outcome.reply)
        if letter.state == "waiting":
            box.letters[letter.message_id] = letter
        else:
            del box.letters[letter.message_id], self._flying[letter.message_id]
        self._schedule(box, letter.address)
        return letter

    def reschedule(self, letter: Letter, due: float) -> Letter:
        """Try a letter that waits for its next try at another time; as it is from now on."""
        letter = replace(letter, due=due)
        self._fly(self._flying[letter.message_id], letter)
        self._schedule(self._flying[letter.message_id], letter.address)
        return letter

    def drop(self, letter: Letter) -> None:
        """Give up a letter; what waits behind it goes on, once nobody has it in hands."""
        box = self._flying.pop(letter.message_id)
        del box.letters[letter.message_id]
        self._schedule(box, letter.address)

    # What another server did.

    def lead(self, *, leads: bool) -> None:
        """From now on this server takes what is in the boxes, or no longer."""
        self._leads = leads
        for address, box in self._boxes.items():
            box.due = None
            self._schedule(box, address)

    def put_off(self, until: float) -> list[Letter]:
        """Leave alone what is frozen, which another server may be sending; the letters that would be due before."""
        early = [letter for letter in self.letters() if letter.due < until and self._flying[letter.message_id].shared]
        return [self.reschedule(letter, until) for letter in early]

    def learn(self, letter: Letter) -> None:
        """Another server has this letter in the store, as it is now: made, or to be tried again."""
        box = self._box(letter.address)
        if letter.message_id not in box.letters:
            self._take_out(box, {mail.seq for mail in letter.mails})
            if not letter.tries and letter.due == 0.0:  # no dead one that was revived
                box.made.append(letter.made)
        self._fly(box, letter)
        self._schedule(box, letter.address)

    def pick(self, seq: int) -> Mail | None:
        """Take out a mail that another server has dropped; None when it does not wait, or is in somebody's hands."""
        box = self._places.get(seq)
        if box is None:
            return None
        mail = next((mail for mail in box.waiting if mail.seq == seq), None)
        self._take_out(box, {seq})
        return mail

    def _take_out(self, box: _Box, seqs: Collection[int]) -> None:
        """These mails wait no longer, and won't if what is in hands comes to nothing."""
        box.waiting = deque(mail for mail in box.waiting if mail.seq not in seqs)
        if isinstance(box.taken, Draft):
            box.taken = replace(box.taken, mails=tuple(mail for mail in box.taken.mails if mail.seq not in seqs))
        for seq in seqs:
            self._places.pop(seq, None)

    def let_go(self, letter: Letter) -> None:
        """Whoever has this letter finds that another server has settled it."""
        box = self._box(letter.address)
        box.taken = None
        self._schedule(box, letter.address)

    def revive(self, letter: Letter, now: float) -> Letter:
        """Send a letter after all that had failed for good; as it is from now on."""
        letter = replace(letter, state="waiting", tries=0, due=now, expires=now + LETTER_LIFE)
        box = self._box(letter.address)
        self._fly(box, letter)
        self._schedule(box, letter.address)
        return letter

    def _fly(self, box: _Box, letter: Letter) -> None:
        box.letters[letter.message_id] = letter
        self._flying[letter.message_id] = box

    def _schedule(self, box: _Box, address: str) -> None:
        """Wake up for this box when something of it is due; not while it is in somebody's hands, who will report."""
        letter = box.next_letter()
        if box.taken is not None:
            return
        if letter is not None:
            self._wake(box, address, letter.due)
        elif box.waiting:
            self._wake(box, address, next_free(box.made, self._window))
        else:
            box.due = None

    def _wake(self, box: _Box, address: str, when: float) -> None:
        """Wake up for this box at this time, and not at any time said before."""
        if box.shared and not self._leads:
            return
        box.due = when
        heappush(self._agenda, (when, next(self._order), address, box))
