"""The mail schedule: nobody is mail-bombed, nothing is left out, nothing goes out twice or out of order."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from chatmail.core.digest import DAY, LETTER_LIFE, PER_DAY, WINDOW_MAX, Digest, next_free
from chatmail.core.records import Draft, Fate, Letter, Mail, Outcome

MARY, MARY2, BOB = 1, 2, 3
ADDRESS = {MARY: "mary@example.org", MARY2: "Mary@Example.org", BOB: "bob@example.org"}
NOON = 1_000_000.0

SENT = Outcome(fate=Fate.SENT)
LATER = Outcome(fate=Fate.LATER, reply="451 later")
FAILED = Outcome(fate=Fate.FAILED, reply="550 no")


def mail(seq: int, reader: int = MARY) -> Mail:
    return Mail(
        seq=seq,
        reader=reader,
        author=9,
        sender="John",
        to=f"reader {reader}",
        text=f"text {seq}",
        time=datetime(2026, 11, 22, tzinfo=UTC),
    )


def letter_of(draft: Draft) -> Letter:
    """As the composer makes it."""
    return Letter(
        message_id=f"<{draft.mails[0].seq}@example.org>",
        address=draft.address,
        content=b"\n".join(mail.text.encode() for mail in draft.mails),
        made=draft.made,
        expires=draft.made + LETTER_LIFE,
        reader=draft.reader,
        mails=draft.mails,
    )


class Office:
    """A digest, and somebody who does what it says at once."""

    def __init__(self, window: float = 60.0, capacity: int = 1000) -> None:
        self.capacity = capacity
        self.verdicts: dict[int, Literal["send", "drop", "wait"]] = {}
        self.patience: dict[int, float] = {}
        """Until when a mail is to wait."""
        self.dropped: list[int] = []
        self.digest = Digest(window, self.fits, self.judge, lambda mail: self.dropped.append(mail.seq))

    def fits(self, mails: Sequence[Mail]) -> int:
        assert mails
        return min(len(mails), self.capacity)

    def judge(self, mail: Mail, now: float) -> Literal["send", "drop", "wait"]:
        if now < self.patience.get(mail.seq, 0.0):
            return "wait"
        return self.verdicts.get(mail.seq, "send")

    def add(self, *seqs: int, reader: int = MARY, now: float = NOON) -> list[Literal["queued", "held"]]:
        return [self.digest.add(mail(seq, reader), ADDRESS[reader], now) for seq in seqs]

    def draft(self, now: float) -> Draft:
        """Take what is due, which must be a draft."""
        draft = self.digest.take(now)
        assert isinstance(draft, Draft)
        return draft

    def freeze(self, now: float) -> Letter:
        """Take a draft and have it frozen."""
        letter = letter_of(self.draft(now))
        self.digest.frozen(letter)
        return letter

    def send(self, now: float) -> list[int]:
        """Take a draft, freeze it, send it; the numbers of its mails."""
        letter = self.freeze(now)
        self.digest.outcome(letter, SENT, now)
        return [mail.seq for mail in letter.mails]


def due(office: Office) -> float:
    when = office.digest.due()
    assert when is not None
    return when


# The window.


def test_the_first_email_may_go_at_once() -> None:
    assert next_free([], 60.0) == 0.0


def test_after_one_email_comes_one_window() -> None:
    assert next_free([NOON], 60.0) == NOON + 60


def test_under_steady_traffic_the_window_doubles_up_to_half_an_hour() -> None:
    made = [NOON]
    for _ in range(8):
        made.append(next_free(made, 60.0))
    assert [after - before for before, after in pairwise(made)] == [60, 120, 240, 480, 960, 1800, 1800, 1800]


def test_after_a_quiet_spell_it_is_short_again() -> None:
    made = [NOON, NOON + 60, NOON + 180]
    assert next_free(made, 60.0) == NOON + 180 + 240
    assert next_free([*made, NOON + 180 + 480], 60.0) == NOON + 180 + 480 + 480
    assert next_free([*made, NOON + 180 + 481], 60.0) == NOON + 180 + 481 + 60


def test_a_window_longer_than_half_an_hour_stays_as_it_is() -> None:
    assert next_free([NOON, NOON + 7200], 7200.0) == NOON + 2 * 7200


def test_after_48_emails_within_a_day_the_next_waits_until_the_first_is_a_day_old() -> None:
    assert PER_DAY == 48
    made = [NOON + 200.0 * at for at in range(PER_DAY)]
    assert next_free(made[1:], 60.0) == made[-1] + 60
    assert next_free(made, 60.0) == NOON + DAY


times = st.lists(st.sampled_from([0.0, 1.0, 60.0, 120.0, 121.0, 600.0, 3601.0]) | st.floats(0, 90_000), min_size=1)


@given(times, st.sampled_from([1.0, 60.0, 1800.0, 4000.0]))
def test_the_wait_is_never_shorter_than_the_window_nor_longer_than_half_an_hour_without_48_a_day(
    gaps: list[float], window: float
) -> None:
    made = [sum(gaps[: at + 1]) for at in range(len(gaps))][: PER_DAY - 1]
    assert window <= next_free(made, window) - made[-1] + 1e-6
    assert next_free(made, window) - made[-1] <= max(window, WINDOW_MAX) + 1e-6


# One box.


def test_the_first_mail_goes_out_at_once_and_alone() -> None:
    office = Office()
    assert office.digest.due() is None
    assert office.digest.take(NOON) is None
    assert office.add(1) == ["queued"]
    assert due(office) <= NOON
    draft = office.draft(NOON)
    assert draft == Draft(reader=MARY, name="reader 1", address="mary@example.org", mails=(mail(1),), made=NOON)
    assert office.digest.take(NOON) is None


def test_what_comes_within_the_window_is_gathered_in_one_email_in_order() -> None:
    office = Office()
    office.add(1)
    assert office.send(NOON) == [1]
    assert office.add(2, now=NOON + 1) == ["held"]
    assert office.add(3, 4, now=NOON + 2) == ["held", "held"]
    assert due(office) == NOON + 60
    assert office.digest.take(NOON + 59) is None
    assert office.send(NOON + 60) == [2, 3, 4]
    assert office.digest.due() is None


def test_after_the_window_a_mail_goes_out_at_once_again() -> None:
    office = Office()
    office.add(1)
    office.send(NOON)
    assert office.add(2, now=NOON + 60) == ["queued"]
    assert office.send(NOON + 60) == [2]


def test_addresses_do_not_wait_for_each_other() -> None:
    office = Office()
    office.add(1)
    office.send(NOON)
    assert office.add(2, reader=BOB) == ["queued"]
    assert office.send(NOON) == [2]


def test_an_address_is_one_box_however_it_is_written_but_a_letter_is_for_one_reader() -> None:
    office = Office()
    office.add(1)
    office.add(2, reader=MARY2)
    office.add(3)
    assert office.digest.waiting("MARY@example.org") == 3
    assert office.send(NOON) == [1, 3]
    assert due(office) == NOON + 60
    assert office.send(NOON + 60) == [2]


def test_what_does_not_fit_waits_for_the_next_email() -> None:
    office = Office(capacity=2)
    office.add(1, 2, 3, 4, 5)
    assert office.send(NOON) == [1, 2]
    assert due(office) == NOON + 60
    assert office.send(NOON + 60) == [3, 4]
    assert office.send(NOON + 180) == [5]


def test_one_email_to_an_address_is_on_its_way_at_a_time() -> None:
    office = Office()
    office.add(1)
    draft = office.draft(NOON)
    assert office.add(2, now=NOON + 100) == ["held"]
    assert office.digest.take(NOON + 1000) is None
    letter = letter_of(draft)
    office.digest.frozen(letter)
    assert office.add(3, now=NOON + 1000) == ["held"]
    assert office.digest.take(NOON + 1000) is None
    office.digest.outcome(letter, SENT, NOON + 1000)
    assert office.send(NOON + 1000) == [2, 3]


def test_waiting_and_size_count_what_has_not_reached_its_address() -> None:
    office = Office(capacity=1)
    assert office.digest.waiting("mary@example.org") == 0
    office.add(1, 2)
    office.add(3, reader=BOB)
    letter = office.freeze(NOON)
    assert office.digest.letters() == [letter]
    assert (office.digest.waiting("mary@example.org"), office.digest.size()) == (2, 3)
    office.digest.outcome(letter, SENT, NOON)
    assert office.digest.letters() == []
    assert (office.digest.waiting("mary@example.org"), office.digest.size()) == (1, 2)


def test_the_postman_is_told_the_earliest_time_of_all() -> None:
    office = Office()
    office.add(1)
    office.add(2, reader=BOB)
    office.send(NOON)
    office.send(NOON + 10)
    office.add(3, now=NOON + 20)
    office.add(4, reader=BOB, now=NOON + 20)
    assert due(office) == NOON + 60
    office.send(NOON + 60)
    assert due(office) == NOON + 70


# The reader's choice.


def test_a_mail_that_is_to_wait_is_judged_again_after_a_window() -> None:
    office = Office()
    office.verdicts[1] = "wait"
    assert office.add(1) == ["held"]
    assert office.digest.take(NOON) is None
    assert due(office) == NOON + 60
    assert office.digest.take(NOON + 60) is None
    office.verdicts[1] = "send"
    assert office.send(NOON + 120) == [1]


def test_a_mail_that_is_to_be_dropped_is_and_nothing_is_sent() -> None:
    office = Office()
    office.verdicts[1] = "drop"
    assert office.add(1) == ["held"]
    assert office.digest.take(NOON) is None
    assert office.dropped == [1]
    assert office.digest.due() is None
    assert office.digest.size() == 0


def test_those_that_wait_or_are_dropped_do_not_stop_the_others() -> None:
    office = Office(capacity=2)
    office.verdicts |= {1: "wait", 2: "drop"}
    office.add(1, 2, 3, 4, 5)
    assert office.send(NOON) == [3, 4]
    assert office.dropped == [2]
    office.verdicts.clear()
    assert office.send(NOON + 60) == [1, 5]


def test_a_window_of_no_time_does_not_spin_over_a_mail_that_waits() -> None:
    office = Office(window=0.0)
    office.verdicts[1] = "wait"
    office.add(1)
    assert office.digest.take(NOON) is None
    assert due(office) == NOON + 1


# Sending, and trying again.


def test_a_letter_that_was_sent_keeps_only_that_it_was() -> None:
    for fate in (Fate.SENT, Fate.SAVED):
        office = Office()
        office.add(1)
        letter = office.freeze(NOON)
        after = office.digest.outcome(letter, Outcome(fate=fate), NOON + 1)
        assert after == replace(letter, state="sent", content=b"", mails=())
        assert office.digest.due() is None


def test_something_temporary_is_tried_again_after_30_s_doubling_to_an_hour_for_3_days() -> None:
    office = Office()
    office.add(1)
    first = letter = office.freeze(NOON)
    now, waits = NOON, []
    while letter.state == "waiting":
        letter = office.digest.outcome(letter, LATER, now)
        assert letter.reply == "451 later"
        if letter.state == "waiting":
            assert letter.due == due(office)
            waits.append(letter.due - now)
            now = letter.due
            assert office.digest.take(now - 0.1) is None
            assert office.digest.take(now) == letter
            assert replace(letter, tries=0, due=0.0, reply="") == first
    assert waits[:8] == [30, 60, 120, 240, 480, 960, 1920, 3600]
    assert set(waits[8:]) == {3600}
    assert letter == replace(first, state="failed", tries=len(waits), due=now, reply="451 later")
    assert 3 * 86_400 - 3600 <= now - NOON < 3 * 86_400
    assert office.digest.due() is None
    assert office.digest.letters() == []


def test_what_comes_meanwhile_waits_for_the_next_letter() -> None:
    office = Office()
    office.add(1)
    letter = office.freeze(NOON)
    office.digest.outcome(letter, LATER, NOON)
    assert office.add(2, now=NOON + 10) == ["held"]
    assert due(office) == NOON + 30
    again = office.digest.take(NOON + 30)
    assert isinstance(again, Letter)
    assert again.mails == (mail(1),)
    office.digest.outcome(again, SENT, NOON + 30)
    assert due(office) == NOON + 60
    assert office.send(NOON + 60) == [2]


def test_a_letter_that_is_refused_for_good_is_given_up_and_the_next_goes_on() -> None:
    office = Office()
    office.add(1)
    letter = office.freeze(NOON)
    office.add(2, now=NOON + 1)
    after = office.digest.outcome(letter, FAILED, NOON + 2)
    assert after == replace(letter, state="failed", reply="550 no")
    assert office.digest.waiting("mary@example.org") == 1
    assert office.send(NOON + 60) == [2]


def test_when_the_store_would_not_have_the_letter_its_mails_wait_a_window_in_their_order() -> None:
    office = Office(capacity=2)
    office.add(1, 2, 3)
    draft = office.draft(NOON)
    assert office.digest.waiting("mary@example.org") == 3
    office.digest.thaw(draft, NOON)
    assert office.digest.waiting("mary@example.org") == 3
    assert due(office) == NOON + 60
    assert office.send(NOON + 60) == [1, 2]
    assert office.send(NOON + 120) == [3]


def test_after_that_a_new_mail_which_the_store_took_takes_the_others_along_at_once() -> None:
    office = Office()
    office.add(1, 2)
    office.digest.thaw(office.draft(NOON), NOON)
    assert office.add(3, now=NOON + 10) == ["queued"]
    assert office.send(NOON + 10) == [1, 2, 3]


def test_a_letter_that_waits_can_be_hurried() -> None:
    office = Office()
    office.add(1)
    letter = office.digest.outcome(office.freeze(NOON), LATER, NOON)
    office.digest.reschedule(letter, NOON + 1)
    hurried = office.digest.take(NOON + 1)
    assert hurried == replace(letter, due=NOON + 1)
    office.digest.outcome(hurried, SENT, NOON + 2)
    assert office.digest.take(NOON + 30) is None


def test_a_letter_that_is_in_somebodys_hands_is_not_hurried() -> None:
    office = Office()
    office.add(1)
    letter = office.freeze(NOON)
    office.digest.reschedule(letter, NOON)
    assert office.digest.take(NOON) is None
    assert office.digest.outcome(letter, LATER, NOON).due == NOON + 30


def test_a_letter_that_had_failed_is_sent_after_all_with_3_days_of_tries() -> None:
    office = Office()
    office.add(1)
    failed = office.digest.outcome(office.freeze(NOON), FAILED, NOON)
    later = NOON + 5 * DAY
    revived = office.digest.revive(failed, later)
    assert revived == replace(failed, state="waiting", due=later, expires=later + LETTER_LIFE)
    assert office.digest.letters() == [revived]
    assert office.digest.take(later) == revived
    again = office.digest.outcome(revived, LATER, later)
    assert again.due == later + 30
    assert office.digest.take(again.due) == again


def test_a_letter_that_is_no_digest_goes_at_once_whatever_the_window() -> None:
    office = Office()
    office.add(1)
    office.send(NOON)
    code = Letter(message_id="<code@x>", address=ADDRESS[MARY], content=b"123456", made=NOON, expires=NOON + 600)
    office.digest.post(code)
    assert office.digest.take(NOON + 1) == code
    later = office.digest.outcome(code, LATER, NOON + 1)
    assert office.digest.take(NOON + 31) == later
    assert office.digest.outcome(later, LATER, NOON + 599).state == "failed"
    office.add(2, now=NOON + 60)
    assert office.send(NOON + 60) == [2]


# Looking on, and giving up.


def test_the_oldest_of_all_that_waits_whether_in_a_letter_or_not() -> None:
    office = Office()
    assert office.digest.oldest() is None
    office.add(3, reader=BOB)
    office.add(1)
    assert office.digest.oldest() == mail(1)
    letter = office.digest.outcome(office.freeze(NOON), LATER, NOON)
    assert letter.mails == (mail(3, BOB),)
    assert office.send(NOON) == [1]
    office.add(4)
    assert office.digest.oldest() == mail(3, BOB)
    office.digest.post(replace(letter, message_id="<code@x>", address="new@example.org", mails=()))
    office.digest.drop(letter)
    assert office.digest.oldest() == mail(4)


def test_what_waits_behind_a_letter_that_is_given_up_goes_on() -> None:
    office = Office()
    office.add(1)
    letter = office.digest.outcome(office.freeze(NOON), LATER, NOON)
    office.add(2, now=NOON + 10)
    assert office.digest.take(NOON + 30) == letter
    letter = office.digest.outcome(letter, LATER, NOON + 30)
    assert due(office) == NOON + 90
    office.digest.drop(letter)
    assert office.digest.letters() == []
    assert office.digest.letter(letter.message_id) is None
    assert due(office) == NOON + 60
    assert office.send(NOON + 60) == [2]


def test_where_nothing_waits_behind_it_nothing_is_due() -> None:
    office = Office()
    office.add(1)
    letter = office.digest.outcome(office.freeze(NOON), LATER, NOON)
    office.digest.drop(letter)
    assert office.digest.due() is None
    assert office.digest.size() == 0
    assert office.add(2, now=NOON + 60) == ["queued"]
    assert office.send(NOON + 60) == [2]


def test_of_two_letters_the_other_one_keeps_its_time() -> None:
    office = Office()
    letters = [stored(1, NOON, due=NOON + 5), stored(2, NOON + 60, due=NOON + 90)]
    office.digest.restore([], letters)
    office.digest.drop(letters[0])
    assert due(office) == NOON + 90
    assert office.digest.take(NOON + 90) == letters[1]


def test_a_letter_given_up_while_another_of_its_address_is_in_somebodys_hands() -> None:
    office = Office()
    office.add(1)
    failed = office.digest.outcome(office.freeze(NOON), FAILED, NOON)
    office.add(2, 3)
    draft = office.draft(NOON + 60)
    revived = office.digest.revive(failed, NOON + 60)
    assert not office.digest.is_taken(revived)  # a draft is
    going = letter_of(draft)
    office.digest.frozen(going)
    assert office.digest.is_taken(going)
    assert not office.digest.is_taken(revived)
    office.digest.drop(revived)
    assert office.digest.due() is None
    later = office.digest.outcome(going, LATER, NOON + 61)
    assert not office.digest.is_taken(later)
    assert office.digest.take(NOON + 91) == later


# After a restart.


def stored(seq: int, made: float, **fields: object) -> Letter:
    draft = Draft(reader=MARY, name="Mary", address=ADDRESS[MARY], mails=(mail(seq),), made=made)
    return replace(letter_of(draft), **fields)


def test_mails_that_waited_are_taken_up_in_order() -> None:
    office = Office()
    office.digest.restore([(mail(1), ADDRESS[MARY]), (mail(2, BOB), ADDRESS[BOB]), (mail(3), ADDRESS[MARY])], [])
    assert office.digest.size() == 3
    assert office.send(NOON) == [1, 3]
    assert office.send(NOON) == [2]


def test_emails_of_earlier_runs_count_for_the_window() -> None:
    office = Office()
    office.digest.restore(
        [(mail(3), ADDRESS[MARY])],
        [stored(1, NOON, state="sent"), stored(2, NOON + 60, state="failed")],
    )
    assert office.digest.letters() == []
    assert due(office) == NOON + 180
    assert office.add(4, now=NOON + 179) == ["held"]
    assert office.send(NOON + 180) == [3, 4]


def test_a_letter_that_was_on_its_way_goes_on_when_its_time_comes_and_before_what_waits() -> None:
    office = Office()
    letter = stored(1, NOON, tries=3, due=NOON + 240, reply="451 later")
    office.digest.restore([(mail(2), ADDRESS[MARY])], [letter])
    assert due(office) == NOON + 240
    assert office.digest.take(NOON + 240) == letter
    assert office.digest.outcome(letter, LATER, NOON + 240).due == NOON + 240 + 240
    again = office.digest.take(NOON + 480)
    assert isinstance(again, Letter)
    office.digest.outcome(again, SENT, NOON + 480)
    assert office.send(NOON + 480) == [2]


def test_of_two_letters_that_were_on_their_way_none_is_lost() -> None:
    """One had failed and was revived."""
    office = Office()
    letters = [stored(1, NOON, due=NOON + 5), stored(2, NOON + 60, due=NOON + 90)]
    office.digest.restore([], letters)
    assert office.digest.letters() == letters
    assert office.digest.take(NOON + 100) == letters[0]
    assert office.digest.take(NOON + 100) is None  # one at a time goes to an address
    office.digest.outcome(letters[0], SENT, NOON + 101)
    assert office.digest.take(NOON + 101) == letters[1]


def test_a_letter_revived_while_another_is_on_its_way_waits_for_it() -> None:
    office = Office()
    office.add(1)
    failed = office.digest.outcome(office.freeze(NOON), FAILED, NOON)
    office.add(2)
    going = office.freeze(NOON + 60)
    revived = office.digest.revive(failed, NOON + 61)
    assert office.digest.waiting(ADDRESS[MARY]) == 2
    assert office.digest.take(NOON + 61) is None
    office.digest.outcome(going, SENT, NOON + 62)
    assert office.digest.take(NOON + 62) == revived


# A day with a virtual clock.


class Day:
    """Runs a digest as its server does: with some time between taking a job and reporting back."""

    def __init__(self, office: Office, trouble: Sequence[str], slowness: float) -> None:
        self.office = office
        self.digest = office.digest
        self.trouble = list(trouble)
        self.slowness = slowness
        self.made: dict[str, list[float]] = {}
        self.letters: dict[str, Letter] = {}
        self.handed: list[tuple[float, Draft | Letter]] = []
        self.bytes: dict[str, bytes] = {}
        self.now = NOON

    def run(self, arrivals: Sequence[tuple[float, Mail]]) -> None:
        """Until all has arrived and nothing is left to do."""
        coming = list(arrivals)
        while True:
            moments = [when for when in (self.digest.due(),) if when is not None]
            moments += [coming[0][0]] if coming else []
            moments += [when for when, _ in self.handed]
            if not moments:
                return
            self.now = max(self.now, min(moments))
            if coming and coming[0][0] <= self.now:
                _, mail = coming.pop(0)
                self.digest.add(mail, ADDRESS[mail.reader], self.now)
            elif self.handed and self.handed[0][0] <= self.now:
                self.report(self.handed.pop(0)[1])
            else:
                self.take()

    def take(self) -> None:
        job = self.digest.take(self.now)
        if job is None:
            return
        in_hands = [other.address.casefold() for _, other in self.handed]
        assert job.address.casefold() not in in_hands
        self.handed.append((self.now + self.slowness, job))

    def report(self, job: Draft | Letter) -> None:
        trouble = self.trouble.pop() if self.trouble else ""
        if isinstance(job, Draft):
            if trouble == "disk full":
                self.digest.thaw(job, self.now)
                return
            letter = letter_of(job)
            assert letter.message_id not in self.letters
            self.letters[letter.message_id] = letter
            self.made.setdefault(letter.address.casefold(), []).append(letter.made)
            self.digest.frozen(letter)
            self.handed.append((self.now + self.slowness, letter))
            return
        frozen = self.letters[job.message_id]
        assert (job.content, job.mails, job.address) == (frozen.content, frozen.mails, frozen.address)
        outcome = {"451": LATER, "given up": LATER, "550": FAILED}.get(trouble, SENT)
        after = self.digest.outcome(job, outcome, self.now)
        if trouble == "given up" and after.state == "waiting":
            self.digest.drop(after)

    def check(self, arrivals: Sequence[tuple[float, Mail]], window: float) -> None:
        """Every mail in exactly one letter, in order; no mailbox flooded."""
        for reader in {mail.reader for _, mail in arrivals}:
            told = [mail for letter in self.letters.values() if letter.reader == reader for mail in letter.mails]
            kept = [mail for _, mail in arrivals if mail.reader == reader and mail.seq not in self.office.dropped]
            assert told == kept
        for made in self.made.values():
            assert all(after - before >= window - 1e-6 for before, after in pairwise(made))
            assert all(after - before >= DAY - 1e-6 for before, after in zip(made, made[PER_DAY:], strict=False))
        assert self.digest.size() == 0
        assert self.digest.letters() == []


gaps = st.sampled_from([0.0, 0.5, 30.0, 61.0, 121.0, 1801.0, 3601.0]) | st.floats(0, 5_000)
arriving = st.lists(st.tuples(gaps, st.sampled_from([MARY, MARY, MARY2, BOB])), max_size=80)


@settings(deadline=None, max_examples=120)
@given(
    arriving,
    st.lists(st.sampled_from(["", "451", "550", "given up", "disk full"]), max_size=30),
    st.sampled_from([0.0, 5.0, 100.0]),
    st.sampled_from([1.0, 60.0, 600.0]),
    st.sampled_from([1, 3, 1000]),
    st.sets(st.integers(1, 80)),
    st.sets(st.sampled_from([MARY, BOB])),
)
def test_whatever_arrives_every_mail_is_in_one_letter_in_order_and_nobody_is_mail_bombed(
    arriving: list[tuple[float, int]],
    trouble: list[str],
    slowness: float,
    window: float,
    capacity: int,
    unwanted: set[int],
    patient: set[int],
) -> None:
    office = Office(window, capacity)
    office.verdicts = dict.fromkeys(unwanted, "drop")
    now, arrivals = NOON, []
    for seq, (gap, reader) in enumerate(arriving, 1):
        now += gap
        arrivals.append((now, mail(seq, reader)))
        if reader in patient:
            office.patience[seq] = now + window
    day = Day(office, trouble, slowness)
    day.run(arrivals)
    day.check(arrivals, window)


@pytest.mark.parametrize("every", [7.0, 61.0, 121.0, 600.0])
def test_two_days_of_steady_traffic_make_at_most_48_emails_a_day(every: float) -> None:
    office = Office()
    arrivals = [(NOON + every * at, mail(at + 1)) for at in range(int(2 * DAY / every))]
    day = Day(office, [], 1.0)
    day.run(arrivals)
    day.check(arrivals, 60.0)
    assert PER_DAY < sum(letter.made < NOON + 2 * DAY for letter in day.letters.values()) <= 2 * PER_DAY


# In nobody's hands.


def test_what_is_laid_down_is_the_first_that_is_taken() -> None:
    office = Office()
    office.add(1)
    letter = office.freeze(NOON)
    office.add(2, reader=BOB)
    office.digest.lay_down(letter)
    assert office.digest.take(NOON) == letter


def test_what_is_put_off_waits_though_it_is_laid_down() -> None:
    office = Office()
    office.add(1)
    letter = office.freeze(NOON)
    assert office.digest.put_off(NOON + 60) == [replace(letter, due=NOON + 60)]
    assert office.digest.due() is None
    office.digest.lay_down(letter)
    assert due(office) == NOON + 60
