"""The mailroom: direct messages become mails, and their authors learn what became of them.

It joins three things: the digest (when), the store (every step is a Change) and the people (receipts). Mails are
sent by somebody else, who takes jobs here and reports back. Where several servers share the store, one of them leads
and sends the mail of all; the others follow, and could go on at any time.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from chatmail.core.cluster import LEADER, SEND_TIME
from chatmail.core.digest import Digest
from chatmail.core.failures import Failures
from chatmail.core.hourly import Hourly
from chatmail.core.names import same_email
from chatmail.core.records import (
    Account,
    Change,
    Draft,
    Failure,
    Fate,
    Gone,
    Letter,
    Mail,
    Outcome,
    Snapshot,
    Told,
)
from chatmail.core.wire import Code, MailState, Receipt, Refused

if TYPE_CHECKING:
    from chatmail.core.hub import Hub


def fate(message_id: str) -> str:
    """The claim of a change that decides what becomes of a letter that is frozen."""
    return f"letter:{message_id}"


PER_SENDER = 60
"""Mails in an hour that hold something of one sender. What else they write waits: no address is left out for good."""


class _Report(Struct):
    """How sending a letter went, what it is ``after`` that, and whether another server has settled it meanwhile."""

    letter: Letter
    outcome: Outcome
    after: Letter
    settled: bool = False


class Mailroom:
    """Everything between a direct message and its email.

    Args:
        hub: whose people these are; changes go through it.
        snapshot: what waited when the server last ended.
        fits: how many of these mails go into one letter.
        post: becomes ``wake``.
    """

    def __init__(
        self, hub: "Hub", snapshot: Snapshot, fits: Callable[[Sequence[Mail]], int], post: Callable[[], None]
    ) -> None:
        self._hub = hub
        self.wake = post
        """Tells the one who sends that there may be something to take."""
        self._senders = Hourly(PER_SENDER)  # it starts anew with the server
        self.digest = Digest(hub.limits.mail_window, fits, self._judge, self._dropped, leads=hub.cluster.leads)
        self.dead: dict[str, Letter] = {
            letter.message_id: letter for letter in snapshot.letters if letter.state == "failed"
        }
        self.sent = 0
        self.directs = 0
        """So many direct messages were said since the start, mailed or not."""
        self._asked: dict[str, Callable[[str], None]] = {}
        """By Message-ID, who asked for the next try of a letter, and hears how it ends."""
        self._reports: dict[str, _Report] = {}
        """By Message-ID, how sending letters went, until that is stored."""
        self._reserved: Counter[str] = Counter()
        self.failures = Failures(hub, snapshot.failures, self._hand)
        mails = [(mail, hub.accounts.get(mail.reader)) for mail in snapshot.mails]
        self.digest.restore([(mail, reader.email) for mail, reader in mails if reader], snapshot.letters)
        self._strays = [mail for mail, reader in mails if reader is None]
        """Mails to readers who were forgotten in the meantime."""
        self._drop_strays()

    def reserve(self, reader: Account, id: str | UnsetType) -> None:
        """Keep room for one more text, until ``add`` or ``release``; raises Refused when too many wait already."""
        limit = self._hub.limits.mails_waiting
        address = same_email(reader.email)
        if self.digest.waiting(address) + self._reserved[address] >= limit:
            text = f"{limit:,} messages wait to be mailed to {reader.name}; try again when some have gone out"
            raise Refused(Code.TOO_FAST, text, id=id)
        self._reserved[address] += 1

    def release(self, reader: Account) -> None:
        """The store has answered; whether the text waits from now on is the digest's to say."""
        address = same_email(reader.email)
        self._reserved[address] -= 1
        if not self._reserved[address]:
            del self._reserved[address]

    def add(self, mail: Mail, now: float) -> None:
        """The store has this mail: it takes its way, and its author is told."""
        reader = self._hub.accounts.get(mail.reader)
        if reader is None:
            self._strays.append(mail)
            self._drop_strays()
            return
        state = self.digest.add(mail, reader.email, now)
        self.tell(mail, state)
        self.wake()

    def _drop_strays(self) -> None:
        if self._hub.cluster.leads:
            strays, self._strays = self._strays, []
            for mail in strays:
                self._dropped(mail)

    def tell(self, mail: Mail, state: MailState, detail: str = "") -> None:
        """Send the author of a mail a receipt, if they are connected."""
        self._hand(mail.author, self._receipt(mail, state, detail))

    def _hand(self, author: int, receipt: Receipt) -> bool:
        """Send a receipt to whoever is connected as its author, and may know of what they wrote then."""
        session = self._hub.roster.reach(author)
        return session is not None and receipt.seq > session.floor and self._hub.owe(author, lambda: receipt)

    def _receipt(self, mail: Mail, state: MailState, detail: str) -> Receipt:
        online = self._hub.roster.is_connected(mail.reader)
        return Receipt(id=mail.id, seq=mail.seq, to=mail.to, online=online, mail=state, detail=detail or UNSET)

    def _judge(self, mail: Mail, now: float) -> Literal["send", "drop", "wait"]:
        """What becomes of a waiting mail now: its reader's own choice, unless its sender has caused enough."""
        fate = self._choice(mail, now)
        return "wait" if fate == "send" and self._senders.is_spent(mail.author, now) else fate

    def _choice(self, mail: Mail, now: float) -> Literal["send", "drop", "wait"]:
        """What the reader's own choice makes of a waiting mail."""
        reader = self._hub.accounts.get(mail.reader)
        if reader is None or reader.notify == "never":
            return "drop"
        if reader.notify == "always":
            return "send"
        if reader.seen >= mail.seq:
            return "drop"
        waited = now >= mail.time.timestamp() + self._hub.limits.mail_window
        return "send" if waited and self._hub.roster.is_away(reader, now) else "wait"

    def _dropped(self, mail: Mail) -> None:
        gone = Gone(table="mail", key=mail.seq)
        self._hub.submit(Change(rows=(gone,), then=lambda _: self._drop_told(mail), must=True))

    def _drop_told(self, mail: Mail) -> None:
        self.tell(mail, "off", "it was read in the chat, or is not wanted")

    def forget(self, reader: Account) -> None:
        """Drop what is frozen for somebody who is forgotten, but for what is being sent; failures are nobody's.

        What still waits to be frozen is dropped when its time comes.
        """
        self.failures.forget(reader.id)
        if self._hub.cluster.leads:
            self._drop_frozen()

    def _drop_frozen(self) -> None:
        """Drop what is frozen for those who were forgotten."""
        for letter in [*self.digest.letters(), *self.dead.values()]:
            nobody = letter.reader is not None and self._hub.accounts.get(letter.reader) is None
            if nobody and (letter.state == "failed" or not self.digest.is_taken(letter)):
                self.drop(letter.message_id)

    def send(self, letter: Letter) -> None:
        """Send a letter that is no digest, at once."""
        self.digest.post(letter)
        self.wake()

    # For the one who sends.

    @property
    def leads(self) -> bool:
        """Whether direct messages are mailed from here, and not by another server."""
        return self._hub.cluster.leads

    def take(self, now: float) -> Draft | Letter | None:
        """The next thing to do: a draft to compose and ``freeze``, or a letter to send."""
        job = self.digest.take(now)
        if isinstance(job, Draft):
            for author in {mail.author for mail in job.mails}:
                self._senders.count(author, now)
        return job

    def lay_down(self, letter: Letter) -> None:
        """Leave a letter that is frozen to whoever sends next; until then it can be dropped."""
        self.digest.lay_down(letter)
        self.wake()

    def freeze(self, draft: Draft, letter: Letter, then: Callable[[bool], None], now: float) -> None:
        """Have the letter made from a draft stored; ``then`` hears whether it is, and may be sent."""

        def stored(_: int | None) -> None:
            self.digest.frozen(letter)
            then(True)

        def overtaken() -> None:
            self.digest.thaw(draft, now)
            then(False)

        def refused(why: str) -> None:
            self._hub.tell(f"mail to {letter.address} waits: {why}")
            overtaken()

        if not self.digest.may_freeze(draft):
            overtaken()
            return
        gone = tuple(Gone(table="mail", key=mail.seq) for mail in letter.mails)
        self._hub.submit(
            Change(rows=(letter, *gone), then=stored, failed=refused, claims=(LEADER,), overtaken=overtaken)
        )

    def outcome(self, letter: Letter, outcome: Outcome, now: float) -> None:
        """A letter was sent, or not: store it, tell the authors, and the operator when it is their business."""
        others = letter.reader is not None and not self._hub.cluster.leads
        if self.digest.letter(letter.message_id) is None or (others and outcome.fate is Fate.LATER):
            self.digest.let_go(letter)  # another server has settled that, or will try
            return
        after = self.digest.outcome(letter, outcome, now)
        state: MailState = "held"
        match after.state:
            case "sent":
                self.sent += 1
                state = "saved" if outcome.fate is Fate.SAVED else "sent"
            case "failed":
                state = "failed"
        asked = self._asked.pop(letter.message_id, None)
        tell = asked or self._hub.tell
        if after.state != "sent" and (after.tries <= 1 or asked):
            doing = "is given up" if state == "failed" else "will be tried again"
            tell(f"mail to {letter.address} {doing}: {outcome.detail} [{outcome.reply}]")
        elif after.state == "sent" and (letter.tries or asked):
            at = f", at try {letter.tries + 1}" if letter.tries else ""
            tell(f"mail to {letter.address} is {state}{at}")
        self.wake()
        if letter.reader is None:
            return

        failures = self._failures_of(letter, outcome.detail) if state == "failed" else ()
        detail = outcome.detail if state != "sent" else ""
        report = _Report(letter, outcome, after)

        def stored(_: int | None) -> None:
            if self._reports.get(after.message_id) is report:
                del self._reports[after.message_id]
            self.dead.pop(after.message_id, None)
            if state == "failed":
                self.dead[after.message_id] = after
                self.failures.admit(failures)
            elif state != "held" or after.tries == 1:
                for mail in letter.mails:
                    self.tell(mail, state, detail)

        told = () if state == "failed" or (state == "held" and after.tries > 1) else letter.mails
        abroad = (mail for mail in told if self._hub.roster.is_elsewhere(mail.author))
        receipts = (Told(author=mail.author, receipt=self._receipt(mail, state, detail)) for mail in abroad)
        change = Change(rows=(after, *failures, *receipts), then=stored, must=True, claims=(fate(after.message_id),))

        def overtaken() -> None:
            if self._reports.get(after.message_id) is not report:
                return  # a later one tells what happened since
            if after.state == "sent" or not report.settled:
                self._hub.submit(change)
            else:
                del self._reports[after.message_id]

        change.overtaken = overtaken
        self._reports[after.message_id] = report
        self._hub.submit(change)

    def unreported(self) -> list[tuple[Letter, Outcome]]:
        """The outcomes that the store does not know yet: where this server starts anew, they are reported once more."""
        return [(report.letter, report.outcome) for report in self._reports.values()]

    def _failures_of(self, letter: Letter, detail: str) -> tuple[Failure, ...]:
        """What the authors are to be told of a letter that failed, stored together with that."""
        return tuple(
            Failure(author=mail.author, receipt=self._receipt(mail, "failed", detail)) for mail in letter.mails
        )

    def retry(self, now: float, tell: Callable[[str], None], message_id: str | None = None) -> int:
        """Try letters again now: those waiting for their next try and the dead, or the one with this id.

        ``tell`` hears how each of these tries ends.
        """
        waiting = [letter for letter in self.digest.letters() if message_id in (None, letter.message_id)]
        dead = [letter for letter in self.dead.values() if message_id in (None, letter.message_id)]
        for letter in waiting:
            self._hurry(letter.message_id, now, tell)
        for letter in dead:
            self._asked[letter.message_id] = tell
            revived = self.digest.revive(self.dead.pop(letter.message_id), now)
            self._try_again(revived)
        self.wake()
        return len(waiting) + len(dead)

    def _hurry(self, message_id: str, now: float, tell: Callable[[str], None]) -> None:
        """Try a letter now, if it still waits for its next try, whatever others make of it at this moment."""
        letter = self.digest.letter(message_id)
        if letter is not None:
            self._asked[message_id] = tell
            hurried = self.digest.reschedule(letter, now)
            if not self._hub.cluster.leads:
                self._try_again(hurried, lambda: self._hurry(message_id, now, tell))

    def _try_again(self, letter: Letter, overtaken: Callable[[], None] = lambda: None) -> None:
        """Have it stored, unless another server knows better by now."""
        change = Change(rows=(letter,), must=True, claims=(fate(letter.message_id),), overtaken=overtaken)
        self._hub.submit(change)

    def drop(self, message_id: str, tell: Callable[[str], None] | None = None) -> Letter:
        """Give up a letter that is dead or waits for its next try, and return it. Raises Refused for any other.

        Its authors are told, and the operator (or ``tell``), once the store has let go of it.
        """
        dead = self.dead.pop(message_id, None)
        letter = dead or self.digest.letter(message_id)
        if letter is None:
            raise Refused(Code.UNAVAILABLE, "there is no such letter any more; /mail shows those there are")
        if dead is None:
            if self.digest.is_taken(letter):
                text = f"mail to {letter.address} is being sent just now; it can be dropped if that does not work"
                raise Refused(Code.UNAVAILABLE, text)
            self.digest.drop(letter)
        self._asked.pop(message_id, None)
        address = letter.address
        failures = self._failures_of(letter, "the operator of this chat dropped it") if dead is None else ()

        def stored(_: int | None) -> None:
            self.failures.admit(failures)
            (tell or self._hub.tell)(f"mail to {address} is dropped")

        def overtaken() -> None:
            text = "was sent, dropped or tried again at another server at that moment"
            (tell or self._hub.tell)(f"mail to {address} {text}; /mail shows it if it is still there")
            if self._hub.cluster.leads:
                self._drop_frozen()

        change = Change(
            rows=(Gone(table="letter", key=message_id), *failures),
            then=stored,
            must=True,
            claims=(fate(message_id),),
            overtaken=overtaken,
        )
        self._hub.submit(change)
        self.wake()
        return letter

    # Where several servers share the store.

    def lead(self, now: float, *, after_lapse: bool) -> None:
        """Who leads is another one: this server takes what is due from now on, or no longer.

        ``after_lapse``: the one before may still be sending, and say so later.
        """
        self.digest.lead(leads=self._hub.cluster.leads)
        self._drop_strays()
        if self._hub.cluster.leads:
            self._drop_frozen()
            for letter in self.digest.put_off(now + SEND_TIME) if after_lapse else ():
                self._try_again(letter)
        self.wake()

    def learn(self, change: Change, number: int | None, now: float) -> None:
        """Another server has this in the store: what it does to mail."""
        self.directs += change.entry is not None and change.entry.kind == "direct"
        frozen = {mail.seq for row in change.rows if isinstance(row, Letter) for mail in row.mails}
        for row in change.rows:
            match row:
                case Mail():
                    self.add(replace(row, seq=number or 0), now)
                case Letter():
                    self._learn_letter(row)
                case Told():
                    self._hand(row.author, row.receipt)
                case Failure():
                    self.failures.admit([row])
                case Gone(table="mail", key=int(seq)) if seq not in frozen:
                    mail = self.digest.pick(seq) or self._pick_stray(seq)
                    if mail is not None:
                        self._drop_told(mail)
                case Gone(table="letter", key=str(message_id)):
                    letter = self.dead.get(message_id) or self.digest.letter(message_id)
                    if letter is not None:
                        self._answer(letter, "is dropped")
                    self._settled(message_id)
                case Gone(table="failure", key=int(seq)):
                    self.failures.settle(seq)

    def _pick_stray(self, seq: int) -> Mail | None:
        mail = next((mail for mail in self._strays if mail.seq == seq), None)
        if mail is not None:
            self._strays.remove(mail)
        return mail

    def _learn_letter(self, letter: Letter) -> None:
        before = self.digest.letter(letter.message_id)
        tries = 0 if before is None else before.tries
        if letter.state == "waiting":
            report = self._reports.get(letter.message_id)
            if report is None or report.after.state == "waiting":  # else it is known here what happened since
                self.dead.pop(letter.message_id, None)
                self.digest.learn(replace(letter, tries=max(letter.tries, tries)))
                self.wake()
        else:
            self._settled(letter.message_id)
            self.sent += letter.state == "sent"
            if letter.state == "failed":
                self.dead[letter.message_id] = letter
        if letter.tries > tries or letter.state != "waiting":
            reply = f" [{letter.reply}]" if letter.reply and letter.state != "sent" else ""
            doing = {"waiting": "will be tried again", "failed": "is given up", "sent": "is sent"}[letter.state]
            self._answer(letter, f"{doing}{reply}")

    def _answer(self, letter: Letter, what: str) -> None:
        """Tell who asked for the next try of a letter what another server made of it."""
        asked = self._asked.pop(letter.message_id, None)
        if asked is not None:
            asked(f"mail to {letter.address} {what}")

    def _settled(self, message_id: str) -> None:
        """A letter is neither waiting nor dead any more."""
        if message_id in self._reports:
            self._reports[message_id].settled = True
        self.dead.pop(message_id, None)
        letter = self.digest.letter(message_id)
        if letter is not None:
            self.digest.drop(letter)
