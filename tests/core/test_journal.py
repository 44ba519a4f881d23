"""The journal: contiguous or lagged, nothing twice, nobody sees another's direct message, and shared bytes."""

import tracemalloc
from collections.abc import Iterable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from chatmail.core.journal import BYTES_MAX, ENTRIES_MAX, READ_MAX, SHARED_MAX, Journal, Lagged

A, B, C, D = 1, 2, 3, 4


def journal_of(*data: bytes, last: int = 0) -> Journal:
    journal = Journal(last)
    for entry in data:
        journal.append(entry)
    return journal


def ends(journal: Journal, cursor: int, account: int) -> list[int]:
    """Where the reads of somebody who starts at this cursor end."""
    cursors = []
    while cursor < journal.last:
        after = journal.read(cursor, account)[1]
        assert after > cursor
        cursors.append(cursor := after)
    return cursors


def read_all(journal: Journal, cursor: int, account: int) -> bytes:
    """All that an account may see after its cursor."""
    starts = [cursor, *ends(journal, cursor, account)]
    return b"".join(journal.read(start, account)[0] for start in starts)


# Numbers.


def test_entries_are_numbered_from_one() -> None:
    journal = Journal()
    assert [journal.append(b"x\n") for _ in range(3)] == [1, 2, 3]
    assert (journal.first, journal.last) == (1, 3)


def test_numbers_go_on_after_those_there_were() -> None:
    journal = Journal(41)
    assert (journal.first, journal.last) == (42, 41)
    assert journal.read(41, A) == (b"", 41)
    assert journal.append(b"x\n") == 42
    assert journal.read(41, A) == (b"x\n", 42)
    with pytest.raises(Lagged):
        journal.read(40, A)


def test_lag_is_how_many_entries_come_after() -> None:
    journal = journal_of(b"1", b"2", b"3")
    assert [journal.lag(cursor) for cursor in range(4)] == [3, 2, 1, 0]


# Reading.


def test_a_read_goes_on_where_the_last_one_ended() -> None:
    journal = journal_of(b"1", b"2")
    assert journal.read(0, A) == (b"12", 2)
    assert journal.read(2, A) == (b"", 2)
    journal.append(b"3")
    assert journal.read(2, A) == (b"3", 3)


def test_a_direct_message_is_read_by_its_two_people_only() -> None:
    journal = journal_of(b"1")
    journal.append(b"secret", (A, B))
    journal.append(b"3")
    assert journal.read(0, A) == (b"1secret3", 3)
    assert journal.read(0, B) == (b"1secret3", 3)
    assert journal.read(0, C) == (b"13", 3)
    assert journal.read(1, C) == (b"3", 3)


def test_where_all_is_for_others_the_cursor_moves_over_nothing() -> None:
    journal = Journal()
    journal.append(b"secret", (A, B))
    assert journal.read(0, C) == (b"", 1)


def test_a_note_to_oneself_is_read_once() -> None:
    journal = Journal(entries_max=1)
    journal.append(b"note", (A, A))
    assert journal.read(0, A) == (b"note", 1)
    assert list(journal.history(A, 5, unseen=0, floor=0)) == [b"note"]
    journal.append(b"next")
    assert list(journal.history(A, 5, unseen=0, floor=0)) == [b"next"]


# Sharing.


def test_readers_in_step_get_the_very_same_bytes() -> None:
    journal = journal_of(b"1", b"2")
    assert journal.read(0, A)[0] is journal.read(0, B)[0]
    assert journal.read(1, A)[0] is journal.read(1, C)[0]


def test_a_direct_message_costs_the_others_nothing_and_its_readers_are_in_step_again_after_it() -> None:
    journal = journal_of(b"1")
    journal.append(b"secret", (A, B))
    journal.append(b"3")
    journal.append(b"4")
    shared, end = journal.read(0, C)
    assert journal.read(0, D)[0] is shared
    assert journal.read(0, A)[1] == end
    after = journal.read(2, D)[0]
    assert after == b"34"
    assert journal.read(1, C)[0] is journal.read(2, A)[0] is after
    journal.append(b"5")
    journal.append(b"6")
    shared, _ = journal.read(end, C)
    assert [journal.read(end, account)[0] is shared for account in (A, B, D)] == [True] * 3


def test_what_was_shared_before_an_append_is_not_handed_out_after_it() -> None:
    journal = journal_of(b"1")
    journal.read(0, A)
    journal.append(b"2")
    assert journal.read(0, B) == (b"12", 2)


# One read.


def test_one_read_is_at_most_64_kib() -> None:
    journal = journal_of(*[b"x" * 1024] * 200)
    assert [end - start for start, end in zip([0, 64, 128, 192], ends(journal, 0, A), strict=True)] == [64, 64, 64, 8]


def test_an_entry_that_is_longer_by_itself_is_one_read() -> None:
    journal = journal_of(b"1", b"x" * (READ_MAX + 1), b"3")
    assert ends(journal, 0, A) == [1, 2, 3]
    assert ends(journal_of(b"x" * (READ_MAX + 1)), 0, A) == [1]


def test_reads_end_at_the_same_places_wherever_they_start() -> None:
    journal = journal_of(*[b"x" * 1024] * 200)
    for cursor in range(200):
        assert ends(journal, cursor, A) == [end for end in (64, 128, 192, 200) if end > cursor]


@pytest.mark.parametrize("first", [0, 1])
def test_a_direct_message_at_the_end_of_a_read_stops_nobody(first: int) -> None:
    """Who skips it stands where others begin: neither may get the other's bytes."""
    journal = journal_of(b"1")
    journal.append(b"x" * (READ_MAX - 1), (A, B))
    journal.append(b"3" * 100)
    for cursor in (first, 1 - first, 2):
        assert journal.read(cursor, C) == ((b"1", 2), (b"", 2), (b"3" * 100, 3))[cursor]
    assert ends(journal, 1, A) == ends(journal, 1, C) == [2, 3]
    assert read_all(journal, 0, C) == b"1" + b"3" * 100
    assert read_all(journal, 0, A) == b"1" + b"x" * (READ_MAX - 1) + b"3" * 100


def test_what_is_for_others_takes_no_room_in_a_read() -> None:
    """As much is said to single people as to all, and more than one read holds: all the same, one read is enough."""
    journal = Journal()
    for reader in range(40):
        journal.append(b"x" * 1024)
        journal.append(b"y" * 1024, (A, 100 + reader) if reader < 20 else (B, 100 + reader))
    for account in (A, B, C, 100):
        assert ends(journal, 0, account) == [80]
    assert len(journal.read(0, A)[0]) == 60 * 1024
    for reader in range(10):
        journal.append(b"y" * 1024, (A, 100 + reader))
    assert ends(journal, 0, C) == ends(journal, 0, A) == [80, 90], "with these, A would get too much at once"


def test_who_reads_on_first_does_not_lengthen_the_read_of_who_comes_after() -> None:
    journal = journal_of(b"1")
    journal.append(b"x" * (READ_MAX - 1), (A, B))
    journal.append(b"3" * READ_MAX)
    assert journal.read(2, C) == (b"3" * READ_MAX, 3)
    assert journal.read(1, C) == (b"", 2)
    assert journal.read(1, A) == (b"x" * (READ_MAX - 1), 2)


# The front.


def test_it_keeps_what_was_promised() -> None:
    assert (ENTRIES_MAX, BYTES_MAX, READ_MAX) == (10_000, 16_777_216, 65_536)


def test_at_most_so_many_entries_are_kept() -> None:
    journal = Journal(entries_max=3)
    for number in range(1, 6):
        journal.append(b"%d" % number)
    assert (journal.first, journal.last, journal.size) == (3, 5, 3)
    assert journal.read(2, A) == (b"345", 5)
    with pytest.raises(Lagged):
        journal.read(1, A)


def test_at_most_so_many_bytes_are_kept_but_the_newest_always_is() -> None:
    journal = Journal(bytes_max=10)
    for size in (4, 4, 2, 1):
        journal.append(b"x" * size)
    assert (journal.first, journal.size) == (2, 7)
    journal.append(b"x" * 100)
    assert (journal.first, journal.last, journal.size) == (5, 5, 100)
    assert journal.read(4, A) == (b"x" * 100, 5)


def test_a_cursor_at_the_front_lags_only_once_its_next_entry_is_gone() -> None:
    journal = Journal(entries_max=2)
    journal.append(b"1")
    assert journal.read(0, A) == (b"1", 1)
    journal.append(b"2")
    assert journal.read(0, A) == (b"12", 2)
    journal.append(b"3")
    assert journal.read(1, A) == (b"23", 3)
    with pytest.raises(Lagged):
        journal.read(0, A)


def test_reads_end_where_they_did_however_many_went_before() -> None:
    journal = Journal(bytes_max=20 * READ_MAX)
    longest, half = b"x" * READ_MAX, b"x" * (READ_MAX // 2)
    for _ in range(3000):
        journal.append(longest)
    assert ends(journal, journal.first - 1, A) == list(range(journal.first, 3001))
    for _ in range(6):
        journal.append(half)
    assert ends(journal, 2998, A) == [2999, 3000, 3002, 3004, 3006]


def test_and_however_often_it_was_read() -> None:
    journal = Journal(entries_max=20)
    for number in range(1, 3001):
        journal.append(b"x" * (READ_MAX // 2 + 1))
        assert journal.read(number - 1, A)[1] == number
    assert ends(journal, journal.first - 1, A) == list(range(journal.first, 3001))


# Who is in step.


def test_what_was_added_since_the_last_read_is_one_read_if_it_fits() -> None:
    """Wherever those before it ended: or who is in step would get it in two."""
    journal = journal_of(*[b"x" * 1024] * 40)
    assert ends(journal, 0, A) == [40]
    for _ in range(40):
        journal.append(b"y" * 1024)
    assert ends(journal, 40, A) == [80]
    assert ends(journal, 0, A) == [40, 80]
    for _ in range(100):
        journal.append(b"z" * 1024)
    assert ends(journal, 80, A) == [144, 180]
    journal.append(b"0")
    assert ends(journal, 180, A) == [181]
    assert ends(journal, 0, A) == [40, 80, 144, 181]


def test_so_much_at_once_that_it_pushes_itself_out_can_still_be_read() -> None:
    journal = Journal(entries_max=10)
    for number in range(1, 31):
        journal.append(b"%02d" % number * (READ_MAX // 4))
    assert read_all(journal, 20, A) == b"".join(b"%02d" % number * (READ_MAX // 4) for number in range(21, 31))


def test_direct_messages_stand_where_they_were_said() -> None:
    """At the beginning, side by side, and at the end; of others, there is nothing."""
    journal = journal_of(b"1")
    for data, audience in (
        (b"[2]", (A, B)),
        (b"[3]", (A, C)),
        (b"4", None),
        (b"[5]", (B, C)),
        (b"6", None),
        (b"[7]", (C, A)),
        (b"[8]", (A, A)),
    ):
        journal.append(data, audience)
    assert journal.read(0, A) == (b"1[2][3]46[7][8]", 8)
    assert journal.read(1, A) == (b"[2][3]46[7][8]", 8)
    assert journal.read(3, A) == (b"46[7][8]", 8)
    assert journal.read(0, B) == (b"1[2]4[5]6", 8)
    assert journal.read(1, C) == (b"[3]4[5]6[7]", 8)
    assert journal.read(6, C) == (b"[7]", 8)
    assert journal.read_open(0) == journal.read(0, D) == (b"146", 8)


# History.


def history(journal: Journal, account: int, count: int, *, unseen: int = 0, floor: int = 0) -> bytes:
    return b"".join(journal.history(account, count, unseen=unseen, floor=floor))


def spoken() -> Journal:
    journal = Journal()
    journal.append(b"1")
    journal.append(b"-", said=False)
    journal.append(b"b", (A, B))
    journal.append(b"4")
    journal.append(b"c", (A, C))
    journal.append(b"-", said=False)
    journal.append(b"7")
    return journal


def test_history_is_the_last_things_said_that_one_may_see() -> None:
    journal = spoken()
    assert history(journal, D, 10) == b"147"
    assert history(journal, D, 2) == b"47"
    assert history(journal, A, 10) == b"1b4c7"
    assert history(journal, A, 2, unseen=7) == b"c7"
    assert history(journal, B, 2, unseen=7) == b"47"


def test_direct_messages_not_seen_come_however_long_ago_they_were() -> None:
    journal = spoken()
    assert history(journal, A, 1) == b"bc7"
    assert history(journal, A, 1, unseen=3) == b"c7"
    assert history(journal, A, 0, unseen=2) == b"bc"
    assert history(journal, D, 0) == b""


def test_what_has_left_the_journal_is_no_history() -> None:
    journal = Journal(entries_max=2)
    journal.append(b"1")
    journal.append(b"b", (A, B))
    journal.append(b"3")
    assert history(journal, D, 10) == b"3"
    journal.append(b"4")
    assert history(journal, A, 10) == b"34"


def test_nothing_private_up_to_the_floor_is_ever_told() -> None:
    journal = spoken()
    assert history(journal, A, 10, floor=3) == b"14c7"
    assert history(journal, A, 10, floor=7) == b"147"


def test_unseen_counts_the_direct_messages_after_a_number() -> None:
    journal = spoken()
    assert [journal.unseen(A, seen) for seen in (0, 2, 3, 4, 5, 9)] == [2, 2, 1, 1, 0, 0]
    assert journal.unseen(D, 0) == 0


# Against a model that keeps everything.


class Everything(RuleBasedStateMachine):
    """The journal beside a list of all that was ever appended, and readers who keep all they were given."""

    ENTRIES_MAX = 7
    BYTES_MAX = 3 * READ_MAX

    @initialize(last=st.integers(0, 50))
    def begin(self, last: int) -> None:
        self.journal = Journal(last, entries_max=self.ENTRIES_MAX, bytes_max=self.BYTES_MAX)
        self.start = last
        self.entries: list[tuple[bytes, tuple[int, ...] | None, bool]] = []
        self.readers = {account: [last] * 2 for account in (A, B, C, D)}

    def entry(self, number: int) -> tuple[bytes, tuple[int, ...] | None, bool]:
        return self.entries[number - self.start - 1]

    def visible(self, numbers: Iterable[int], account: int) -> bytes:
        """What the account may see of these entries."""
        entries = map(self.entry, numbers)
        return b"".join(data for data, audience, _ in entries if audience is None or account in audience)

    @rule(
        size=st.sampled_from([0, 0, 0, 900, READ_MAX // 3, READ_MAX // 2, READ_MAX, READ_MAX + 9]),
        audience=st.sampled_from([None, None, (A, B), (B, A), (A, C), (A, A)]),
        said=st.booleans(),
    )
    def append(self, size: int, audience: tuple[int, ...] | None, said: bool) -> None:
        number = self.journal.last + 1
        data = (b"%d," % number).ljust(size, b".")
        assert self.journal.append(data, audience, said=said) == number
        self.entries.append((data, audience, said))

    @rule(account=st.sampled_from([A, B, C, D]), which=st.sampled_from([0, 1]))
    def read(self, account: int, which: int) -> None:
        cursor = self.readers[account][which]
        if cursor < self.journal.first - 1:
            with pytest.raises(Lagged):
                self.journal.read(cursor, account)
            self.readers[account][which] = self.journal.first - 1
            return
        data, end = self.journal.read(cursor, account)
        assert cursor < end <= self.journal.last or cursor == end == self.journal.last
        assert data == self.visible(range(cursor + 1, end + 1), account)
        assert len(data) <= READ_MAX or end == cursor + 1
        self.readers[account][which] = end

    @rule(start=st.integers(0, ENTRIES_MAX), order=st.permutations([0, 1, 2, 3, 4, 5]))
    def read_from_near(self, start: int, order: list[int]) -> None:
        """Whoever reads first, from wherever: the same ends, the same bytes."""
        at: dict[int, int] = {}
        for step in order:
            cursor = min(self.journal.first - 1 + start + step, self.journal.last)
            for account in (A, C, D, B):
                data, end = self.journal.read(cursor, account)
                assert data == self.visible(range(cursor + 1, end + 1), account)
                assert at.setdefault(cursor, end) == end
        for cursor, end in at.items():
            assert all(other_end == end for other, other_end in at.items() if cursor <= other < end)

    @rule(start=st.integers(0, ENTRIES_MAX))
    def share(self, start: int) -> None:
        cursor = min(self.journal.first - 1 + start, self.journal.last)
        shared, end = self.journal.read(cursor, D)
        for account in (A, B, C):
            private = any(account in (audience or ()) for _, audience, _ in map(self.entry, range(cursor + 1, end + 1)))
            later = any(
                account in (audience or ()) for _, audience, _ in map(self.entry, range(end + 1, self.journal.last + 1))
            )
            if not private and not later:
                assert self.journal.read(cursor, account)[0] is shared
        if cursor < end and self.entry(cursor + 1)[1] is not None:
            assert self.journal.read(cursor + 1, D)[0] is shared or cursor + 1 == end

    @rule(
        account=st.sampled_from([A, B, C, D]),
        count=st.integers(0, 8),
        unseen=st.integers(0, 60),
        floor=st.integers(0, 60),
    )
    def look_back(self, account: int, count: int, unseen: int, floor: int) -> None:
        told, own = [], []
        for number in range(self.journal.first, self.journal.last + 1):
            _, audience, said = self.entry(number)
            if audience is not None and account in audience and number > floor:
                own.append(number)
            if (audience is None and said) or number in own[-1:]:
                told.append(number)
        expected = sorted({*(told[-count:] if count else ()), *(number for number in own if number > unseen)})
        history = self.journal.history(account, count, unseen=unseen, floor=floor)
        assert list(history) == [self.entry(number)[0] for number in expected]
        assert self.journal.unseen(account, max(unseen, floor)) == sum(number > unseen for number in own)

    @invariant()
    def keeps_no_more_and_no_less_than_it_should(self) -> None:
        first, last = self.journal.first, self.journal.last
        assert last == self.start + len(self.entries)
        kept = [len(self.entry(number)[0]) for number in range(first, last + 1)]
        assert self.journal.size == sum(kept)
        assert len(kept) <= self.ENTRIES_MAX
        assert sum(kept) <= self.BYTES_MAX or len(kept) == 1
        if first > self.start + 1:
            dropped = len(self.entry(first - 1)[0])
            assert len(kept) == self.ENTRIES_MAX or dropped + sum(kept) > self.BYTES_MAX


Everything.TestCase.settings = settings(deadline=None, max_examples=80, stateful_step_count=40)
TestAgainstAModelThatKeepsEverything = Everything.TestCase


# What is shared.


def test_readers_at_very_many_places_do_not_fill_the_memory() -> None:
    """Each that comes back may say any number it has seen; 2,000 reads of one block would be 60 MB."""
    journal = journal_of(*[b"x" * 31 + b"\n"] * 2000)
    tracemalloc.start()
    try:
        for cursor in range(2000):
            assert journal.read(cursor, A) == (b"".join([b"x" * 31 + b"\n"] * (2000 - cursor)), 2000)
        assert tracemalloc.get_traced_memory()[0] < 2 * SHARED_MAX * READ_MAX
    finally:
        tracemalloc.stop()


# What is kept no longer.


def test_what_is_trimmed_can_no_longer_be_read() -> None:
    journal = journal_of(b"a\n", b"b\n", b"c\n")
    assert journal.read(0, A) == (b"a\nb\nc\n", 3)
    journal.trim(2)
    assert (journal.first, journal.last) == (3, 3)
    assert journal.read(2, A) == (b"c\n", 3)
    with pytest.raises(Lagged):
        journal.read(0, A)
    assert list(journal.history(A, 9, unseen=0, floor=0)) == [b"c\n"]


def test_all_of_it_may_be_trimmed_and_numbers_go_on() -> None:
    journal = journal_of(b"a\n", b"b\n")
    journal.trim(99)
    assert (journal.first, journal.last, journal.size) == (3, 2, 0)
    assert journal.append(b"c\n") == 3
    assert journal.read(2, A) == (b"c\n", 3)
