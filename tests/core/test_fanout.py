"""The fan-out: who is in step gets the same bytes unasked, who is apart is asked, and nobody gets anything twice."""

from chatmail.core.fanout import FanOut
from chatmail.core.journal import Journal
from chatmail.core.records import Account
from chatmail.core.session import Session
from chatmail.core.wire import Pong

NOW = 1_795_356_000.0


class Reader:
    """A session and its outlet, which reads as the server's does; ``full``: it takes nothing at the moment."""

    def __init__(self, fan_out: FanOut, journal: Journal, id: int) -> None:
        self.session = Session("127.0.0.1", NOW, NOW + 10)
        self.session.account = Account(id=id, name=f"n{id}", email=f"n{id}@example.org", first=0, seen=0)
        self.session.cursor = journal.last
        self.got: list[bytes] = []
        self.asked = 0
        self.full = False
        self._fan_out = fan_out
        self._journal = journal
        fan_out.add(self.session, self)
        fan_out.touch(self.session)

    def flush(self) -> bool:
        self.asked += 1
        self._fan_out.step_out(self.session)
        while not self.full and self.session.cursor < self._journal.last:
            assert self.session.account is not None
            data, self.session.cursor = self._journal.read(self.session.cursor, self.session.account.id)
            if data:
                self.got.append(data)
        if not self.full:
            self.session.take_answers()
        return not self.full

    def write(self, data: bytes) -> bool:
        if not self.full:
            self.got.append(data)
        return not self.full


def house(entries_max: int = 100) -> tuple[FanOut, Journal, list[Reader]]:
    """Three who are in step."""
    journal = Journal(entries_max=entries_max)
    fan_out = FanOut(journal)
    readers = [Reader(fan_out, journal, id) for id in (1, 2, 3)]
    fan_out.flush()
    for reader in readers:
        reader.asked = 0
    return fan_out, journal, readers


def test_who_is_in_step_gets_the_very_same_bytes_and_is_not_asked() -> None:
    fan_out, journal, readers = house()
    journal.append(b"1")
    journal.append(b"2")
    fan_out.flush()
    assert [reader.got for reader in readers] == [[b"12"]] * 3
    assert len({id(reader.got[0]) for reader in readers}) == 1
    assert [reader.asked for reader in readers] == [0, 0, 0]
    assert [fan_out.cursor(reader.session) for reader in readers] == [2, 2, 2]


def test_who_was_touched_reads_alone_once_and_is_in_step_again() -> None:
    fan_out, journal, (ann, bob, eve) = house()
    journal.append(b"1")
    journal.append(b"[2]", (1, 2))
    fan_out.touch(ann.session)
    fan_out.touch(bob.session)
    journal.append(b"3")
    fan_out.flush()
    assert (ann.got, bob.got, eve.got) == ([b"1[2]3"], [b"1[2]3"], [b"13"])
    journal.append(b"4")
    fan_out.flush()
    assert (ann.asked, bob.asked, eve.asked) == (1, 1, 0)
    assert ann.got[-1] is bob.got[-1] is eve.got[-1] == b"4"


def test_what_is_for_two_only_costs_a_third_nothing() -> None:
    fan_out, journal, (ann, bob, eve) = house()
    journal.append(b"[1]", (1, 2))
    fan_out.touch(ann.session)
    fan_out.touch(bob.session)
    fan_out.flush()
    assert (ann.got, bob.got, eve.got, eve.asked) == ([b"[1]"], [b"[1]"], [], 0)
    assert [fan_out.cursor(each.session) for each in (ann, bob, eve)] == [1, 1, 1]


def test_who_takes_no_more_stands_where_it_was_and_misses_nothing() -> None:
    fan_out, journal, (ann, bob, eve) = house()
    journal.append(b"1")
    fan_out.flush()
    ann.full = True
    for data in (b"2", b"3"):
        journal.append(data)
        fan_out.flush()
    assert (ann.got, bob.got, fan_out.cursor(ann.session)) == ([b"1"], [b"1", b"2", b"3"], 1)
    ann.full = False
    ann.flush()
    journal.append(b"4")
    fan_out.flush()
    assert ann.got == [b"1", b"23", b"4"]
    assert ann.asked == 2, "by itself, and once with all; not while it was full"
    journal.append(b"5")
    asked = ann.asked
    fan_out.flush()
    assert (ann.got[-1], ann.asked) == (b"5", asked)


def test_who_reads_of_itself_between_two_flushes_gets_nothing_twice() -> None:
    """When its socket has room again, say, though it never stood still for long."""
    fan_out, journal, (ann, bob, eve) = house()
    journal.append(b"1")
    ann.flush()
    fan_out.flush()
    journal.append(b"2")
    fan_out.flush()
    assert ann.got == bob.got == [b"1", b"2"]


def test_who_is_owed_something_is_not_in_step_until_it_has_it() -> None:
    fan_out, journal, (ann, bob, eve) = house()
    ann.full = True
    ann.session.answer(Pong, 0)
    fan_out.touch(ann.session)
    fan_out.flush()
    journal.append(b"1")
    fan_out.flush()
    assert (ann.got, ann.asked) == ([], 1)
    ann.full = False
    ann.flush()
    journal.append(b"2")
    fan_out.flush()
    assert (ann.got, ann.asked, ann.session.answers) == ([b"1", b"2"], 3, ())


def test_so_much_at_once_that_nobody_can_be_in_step_is_read_by_each() -> None:
    fan_out, journal, readers = house(entries_max=2)
    for number in range(5):
        journal.append(b"%d" % number)
    for reader in readers:
        reader.session.cursor = 3  # as the hub does for who has fallen behind
        reader.flush = lambda: True  # type: ignore[method-assign]
    fan_out.flush()
    assert [fan_out.cursor(reader.session) for reader in readers] == [0, 0, 0], "each has its own cursor, far behind"


def test_more_than_one_read_goes_out_in_several_writes() -> None:
    fan_out, journal, (ann, bob, eve) = house()
    for number in range(3):
        journal.append(b"%d" % number * 40_000)
    fan_out.flush()
    assert [len(data) for data in ann.got] == [40_000, 40_000, 40_000]
    assert ann.got == bob.got
    assert ann.asked == 0


def test_who_is_gone_gets_nothing_more_and_is_counted_no_more() -> None:
    fan_out, journal, (ann, bob, eve) = house()
    fan_out.touch(bob.session)
    eve.full = True
    journal.append(b"0")
    fan_out.flush()
    assert len(fan_out) == 3
    eve.full = False
    eve.flush()
    for each in (ann, bob, eve):
        each.got.clear()
    fan_out.touch(bob.session)
    for reader in (ann, bob):
        fan_out.remove(reader.session)
        assert reader.session not in fan_out
    journal.append(b"1")
    fan_out.flush()
    assert (ann.got, bob.got, eve.got) == ([], [], [b"1"])
    assert list(fan_out) == [eve.session]
    assert len(fan_out) == 1


def test_who_is_gone_while_it_was_full_is_gone() -> None:
    fan_out, journal, (ann, bob, eve) = house()
    ann.full = True
    journal.append(b"1")
    fan_out.flush()
    assert ann.session in fan_out
    fan_out.remove(ann.session)
    assert ann.session not in fan_out
    assert set(fan_out) == {bob.session, eve.session}
