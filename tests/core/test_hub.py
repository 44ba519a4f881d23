"""What the hub promises as a whole: nothing before it is stored, everything in order, resume, history, gaps, time."""

import pytest

from chatmail.core.digest import DAY
from chatmail.core.journal import READ_MAX
from chatmail.core.limits import Limits
from chatmail.core.records import Account, Change, Earlier, Entry, Fate, Motd, Outcome, Snapshot
from chatmail.core.session import IN_FLIGHT_MAX, OWED_MAX
from chatmail.core.wire import (
    Ack,
    Away,
    Bye,
    Code,
    Direct,
    Dm,
    Error,
    Frame,
    Gap,
    Joined,
    Leave,
    Left,
    Message,
    Notify,
    Ping,
    Pong,
    Receipt,
    Refused,
    Resume,
    Say,
    Who,
    stamp,
)
from tests.core.house import NOON, House, Peer, joining

FULL = "the disk is full"


def talk(frames: list[Frame]) -> list[str]:
    """What was said, of all that came."""
    return [frame.text for frame in frames if isinstance(frame, Message | Direct)]


def numbers(frames: list[Frame]) -> list[int]:
    return [frame.seq for frame in frames if isinstance(frame, Message | Direct | Joined | Left)]


def pair(limits: Limits | None = None) -> tuple[House, Peer, Peer]:
    """Mary and John, with nothing unread."""
    house = House(limits)
    mary, john = house.join("Mary"), house.join("John")
    mary.frames()
    return house, mary, john


class TestCommitted:
    """Visible state changes when the store has the change, and not before."""

    def test_nothing_is_seen_before_the_store_has_it(self) -> None:
        house, mary, john = pair()
        john.send(Say(text="one", id="1"), Dm(to="Mary", text="two", id="2"), Notify(when="never", id="3"), Ping())
        house.tick(1)
        house.take()
        house.tick(1)
        assert (mary.frames(), john.frames()) == ([], [])
        house.commit()
        assert talk(mary.frames()) == ["one", "two"]
        assert [type(frame) for frame in john.frames()] == [Message, Direct, Receipt, Ack, Pong]

    def test_a_join_is_not_seen_either(self) -> None:
        house = House()
        mary = house.join("Mary")
        john = house.peer()
        john.send(joining("John"))
        house.tick(0.1)
        assert (mary.frames(), john.frames()) == ([], [])
        assert house.names_here() == ["Mary"]

    def test_batches_are_answered_one_by_one(self) -> None:
        house, mary, john = pair()
        john.send(Say(text="one"))
        house.take()
        john.send(Say(text="two"), Ping())
        house.commit()
        assert talk(mary.frames()) == ["one"]
        assert [type(frame) for frame in john.frames()] == [Message]
        house.commit()
        assert talk(mary.frames()) == ["two"]
        assert [type(frame) for frame in john.frames()] == [Message, Pong]

    def test_the_answer_of_one_does_not_wait_for_the_others(self) -> None:
        house, mary, john = pair()
        john.send(Say(text="slow"))
        mary.send(Ping())
        house.flush()
        assert mary.frames() == [Pong()]

    def test_the_server_may_wait_for_company_as_long_as_somebody_asks_for_something(self) -> None:
        house, _, john = pair()
        assert not house.hub.is_asked()
        john.send(Say(text="one"))
        assert house.hub.is_asked()
        house.commit()
        assert not house.hub.is_asked()


class TestRefused:
    """The store surely has nothing: whoever asked is told, and everything goes on afterwards."""

    def test_each_is_told_by_its_id(self) -> None:
        house, mary, john = pair()
        john.send(
            Say(text="one", id="1"), Dm(to="Mary", text="two", id="2"), Notify(when="never", id="3"), Away(id="4")
        )
        house.refuse(FULL)
        assert john.frames() == [Error(code=Code.UNAVAILABLE, text=FULL, id=id) for id in "1234"]
        assert mary.frames() == []
        assert john.ask(Notify(when="always", id="5")) == [Ack(id="5")]

    def test_without_an_id_too(self) -> None:
        house, mary, john = pair()
        john.send(Say(text="one"), Notify(when="never"))
        house.refuse(FULL)
        assert john.frames() == [Error(code=Code.UNAVAILABLE, text=FULL)] * 2

    def test_pong_keeps_its_place(self) -> None:
        house, mary, john = pair()
        john.send(Say(text="one", id="1"), Ping(), Say(text="two", id="2"), Who())
        house.refuse(FULL)
        first, pong, second, _ = john.frames()
        assert (first, pong) == (Error(code=Code.UNAVAILABLE, text=FULL, id="1"), Pong())
        assert second == Error(code=Code.UNAVAILABLE, text=FULL, id="2")

    def test_everything_goes_on_and_numbers_have_no_hole(self) -> None:
        house, mary, john = pair()
        john.send(Say(text="one", id="1"), Dm(to="Mary", text="two", id="2"))
        house.refuse(FULL)
        john.frames()
        john.ask(Say(text="one", id="1"), Dm(to="Mary", text="two", id="2"))
        assert numbers(mary.frames()) == [3, 4]

    def test_a_refused_mail_is_not_sent(self) -> None:
        house, mary, john = pair()
        john.send(Dm(to="Mary", text="two", id="2"))
        house.refuse(FULL)
        assert house.deliver() == []

    def test_a_join_may_be_tried_again(self) -> None:
        house = House()
        john = house.peer()
        john.send(joining("John"), joining("John"))
        house.refuse(FULL)
        assert john.frames() == [Error(code=Code.UNAVAILABLE, text=FULL)]
        house.settle()
        assert john.session.account is not None

    def test_the_name_of_a_refused_join_is_free_for_another_address(self) -> None:
        house = House()
        john = house.peer()
        john.send(joining("John"))
        house.refuse(FULL)
        assert house.peer().join("John", "other@example.org").name == "John"

    def test_a_refused_join_counts_among_the_errors(self) -> None:
        house = House(Limits(join_errors=2))
        john = house.peer()
        john.send(joining("John"))
        house.refuse(FULL)
        john.send(joining("John"))
        house.refuse(FULL)
        assert [type(frame) for frame in john.frames()][-1] is Bye

    def test_a_refused_join_of_somebody_gone_is_nothing(self) -> None:
        house, mary, _ = pair()
        ada = house.peer()
        ada.send(joining("Ada"))
        ada.cut()
        house.refuse(FULL)
        house.wait(60)
        assert mary.frames() == []


class TestMust:
    """What has happened already is submitted until the store takes it, whatever becomes of the rest."""

    def test_a_mail_that_went_out_while_the_disk_was_full_is_told_when_it_is_stored(self) -> None:
        house, mary, john = pair()
        john.ask(Dm(to="Mary", text="psst"))
        john.frames()
        letter = house.compose()
        assert letter is not None
        house.hub.mailroom.outcome(letter, Outcome(fate=Fate.SENT), house.now)
        john.send(Say(text="lost", id="1"))
        house.refuse(FULL)
        house.refuse(FULL)
        assert john.frames() == [Error(code=Code.UNAVAILABLE, text=FULL, id="1")]
        john.send(Ping())
        house.settle()
        assert [type(frame) for frame in john.frames()] == [Pong, Receipt]
        assert house.store.snapshot().letters[0].state == "sent"

    def test_it_keeps_its_order_and_comes_before_what_is_new(self) -> None:
        house, mary, john = pair()
        for text in ("one", "two"):
            house.hub.submit(Change(rows=(Motd(text=text),), must=True))
            house.take()
            house.refuse(FULL)
        house.operator.motd("three", house.now)
        house.settle()
        assert house.store.snapshot().motd == "three"
        assert house.hub.take() == []

    def test_what_came_while_it_was_with_the_store_comes_after_it(self) -> None:
        house, mary, john = pair()
        house.hub.submit(Change(rows=(Motd(text="one"),), must=True))
        house.take()
        house.hub.submit(Change(rows=(Motd(text="two"),), must=True))
        house.refuse(FULL)
        house.settle()
        assert house.store.snapshot().motd == "two"

    def test_what_waits_for_the_store_can_be_named(self) -> None:
        house, mary, john = pair()
        changes = [Change(rows=(Motd(text=text),), must=text == "must") for text in ("one", "two", "must")]
        house.hub.submit(changes[0])
        house.hub.take()
        for change in changes[1:]:
            house.hub.submit(change)
        assert house.hub.waiting() == [changes[2], changes[1]]

    def test_it_holds_up_no_answer(self) -> None:
        house, mary, john = pair()
        house.hub.submit(Change(must=True))
        house.refuse(FULL)
        john.send(Ping())
        house.flush()
        assert john.frames() == [Pong()]


class TestExpiry:
    def test_what_the_store_let_go_of_nobody_is_shown(self) -> None:
        house, mary, john = pair()
        john.ask(Say(text="old", id="1"), Say(text="new", id="2"))
        house.hub.expire(3)
        newcomer = house.peer()
        newcomer.join("Ada")
        assert talk(newcomer.frames()) == ["new"]
        house.hub.expire(0)
        assert house.hub.journal.first == 4


class TestClock:
    def test_who_comes_after_the_clock_was_put_back_must_join_in_time_all_the_same(self) -> None:
        house = House()
        first = house.peer()
        house.tick(-3_600)
        second = house.peer()
        house.tick(house.limits.join_time + 1)
        assert [type(frame) for frame in second.frames()] == [Bye]
        assert first.frames() == []
        house.tick(3_600)
        assert [type(frame) for frame in first.frames()] == [Bye]


class TestOrder:
    """A session's answers keep the order of its frames, and follow what the journal held."""

    def test_pong_is_a_barrier(self) -> None:
        house, mary, john = pair()
        told = john.ask(Ping(), Say(text="one", id="1"), Ping(), Dm(to="nobody", text="x", id="2"), Who(), Ping())
        assert [type(frame).__name__ for frame in told] == [
            "Pong",
            "Message",
            "Pong",
            "Error",
            "People",
            "Pong",
        ]

    def test_errors_wait_for_what_was_sent_before(self) -> None:
        house, mary, john = pair()
        john.send(Say(text="one", id="1"), b"{nonsense}\n", Who(), joining("John"))
        assert john.frames() == []
        house.commit()
        said, bad, _, joined = john.frames()
        assert isinstance(said, Message)
        assert isinstance(bad, Error)
        assert isinstance(joined, Error)
        assert (bad.code, joined.code) == (Code.BAD_FRAME, Code.ALREADY_JOINED)

    def test_an_answer_comes_after_what_the_journal_held_for_a_slow_reader(self) -> None:
        house, mary, john = pair()
        mary.send(Say(text="before"), Ping())
        mary.stall()
        john.ask(*(Say(text="\N{DRAGON}" * 4_000) for _ in range(9)))
        mary.go_on()
        told = [type(frame) for frame in mary.frames()]
        assert told.count(Pong) == 1
        assert told[0] is Message

    def test_frames_behind_a_join_wait_for_its_answer(self) -> None:
        house = House()
        john = house.peer()
        john.send(joining("John"), Say(text="hello", id="1"), Ping())
        assert len(house.take()) == 1
        house.settle()
        assert [type(frame).__name__ for frame in john.frames()] == ["Welcome", "Joined", "Message", "Pong"]

    def test_owed_answers_survive_a_slow_reader(self) -> None:
        """However much is owed, it comes; only, no more is read from who is owed too much."""
        house, mary, john = pair()
        for number in range(200):
            house.join(f"p{number}")
        john.frames()
        john.stall()
        john.session.deaf = False
        asked = 0
        while not john.session.overfull:
            house.hub.receive(john.session, Who(), house.now)
            asked += 1
        assert asked == OWED_MAX
        john.send(Ping())
        john.go_on()
        told = john.frames()
        assert len(told) == asked + 1
        assert told[-1] == Pong()
        assert not john.session.overfull

    def test_while_the_store_takes_its_time_one_session_submits_only_so_much(self) -> None:
        """And is read again as soon as the store has answered some of it."""
        house, mary, john = pair()
        john.send(*[Say(text="hello")] * (IN_FLIGHT_MAX + 5))
        mary.send(Say(text="me too"))
        assert len(house.take()) == IN_FLIGHT_MAX + 1
        assert john.session.overfull
        house.settle()
        assert not john.session.overfull
        assert talk(mary.frames()).count("hello") == IN_FLIGHT_MAX + 5

    def test_who_is_dismissed_gets_what_is_there_and_nothing_later(self) -> None:
        house, mary, john = pair()
        mary.stall()
        john.ask(Say(text="before"))
        house.operator.kick("Mary", "", house.now)
        house.settle()
        john.ask(Say(text="after"))
        mary.go_on()
        told = mary.frames()
        assert talk(told)[0] == "before"
        assert told[-1] == Bye(reason="kicked", retry=False)
        assert house.hub.read(mary.session) == (b"", False)

    def test_dismissing_twice_is_one_goodbye(self) -> None:
        house, mary, _ = pair()
        house.hub.dismiss(mary.session, "one", retry=True)
        house.hub.dismiss(mary.session, "two", retry=False)
        house.flush()
        assert mary.frames() == [Bye(reason="one", retry=True)]

    def test_who_is_dismissed_is_heard_no_more(self) -> None:
        house, mary, john = pair()
        mary.stall()
        house.hub.dismiss(mary.session, "enough", retry=True)
        house.hub.receive(mary.session, Say(text="one more thing"), house.now)
        house.hub.refuse(mary.session, Refused(Code.BAD_FRAME, "nonsense"), house.now)
        house.settle()
        mary.go_on()
        assert mary.frames() == [Bye(reason="enough", retry=True)]
        assert john.frames() == []

    def test_who_hangs_up_gets_the_answers_to_all_it_sent(self) -> None:
        house, mary, john = pair()
        house.hub.receive(john.session, Say(text="last words", id="1"), house.now)
        house.hub.receive(john.session, Ping(), house.now)
        house.hub.hang_up(john.session)
        house.settle()
        told = john.frames()
        assert talk(told) == ["last words"]
        assert told[1:] == [Pong(), Bye(reason="you hung up", retry=True)]
        assert talk(mary.frames()) == ["last words"]

    def test_a_goodbye_on_the_way_in_is_the_last_word(self) -> None:
        """The server goes down while a join is with the store: no welcome follows the goodbye."""
        house = House()
        mary = house.join("Mary")
        john = house.peer()
        john.send(joining("John"))
        john.stall()
        house.hub.dismiss(john.session, "the server is going down", retry=True)
        house.settle()
        john.go_on()
        assert john.frames() == [Bye(reason="the server is going down", retry=True)]
        assert house.hub.read(john.session) == (b"", False)
        house.wait(Limits().grace)
        assert [type(frame) for frame in mary.frames()] == [Joined, Left]
        assert house.names_here() == ["Mary"]


class TestIds:
    """The same id from the same account is accepted once, however often it is sent."""

    def test_an_id_that_was_accepted_is_acknowledged_with_its_number(self) -> None:
        house, mary, john = pair()
        john.ask(Say(text="one", id="1"), Dm(to="Mary", text="two", id="2"))
        mary.frames()
        assert john.ask(Say(text="one", id="1")) == [Ack(id="1", seq=3)]
        assert john.ask(Dm(to="mary", text="two", id="2")) == [Ack(id="2", seq=4)]
        assert mary.frames() == []

    def test_while_the_first_one_is_with_the_store_too(self) -> None:
        house, mary, john = pair()
        john.send(Say(text="one", id="1"), Say(text="one", id="1"))
        house.take()
        john.send(Say(text="one", id="1"))
        house.settle()
        said, *acks = john.frames()
        assert isinstance(said, Message)
        assert acks == [Ack(id="1", seq=3)] * 2
        assert talk(mary.frames()) == ["one"]

    def test_another_message_under_it_is_a_bad_frame(self) -> None:
        house, mary, john = pair()
        john.ask(Say(text="one", id="1"), Dm(to="Mary", text="two", id="2"))
        wrong = [Say(text="two", id="1"), Dm(to="Mary", text="one", id="1"), Dm(to="John", text="two", id="2")]
        told = john.ask(*wrong)
        assert told == [
            Error(code=Code.BAD_FRAME, text=f"the id '{id}' was used for another message", id=id, field="id")
            for id in "112"
        ]

    def test_others_may_use_the_same_id(self) -> None:
        house, mary, john = pair()
        john.ask(Say(text="one", id="1"))
        mary.ask(Say(text="two", id="1"))
        assert talk(john.frames()) == ["two"]

    def test_after_a_refused_batch_the_id_is_free(self) -> None:
        house, mary, john = pair()
        john.send(Say(text="one", id="1"), Say(text="one", id="1"))
        house.refuse(FULL)
        assert john.frames() == 2 * [Error(code=Code.UNAVAILABLE, text=FULL, id="1")]
        assert talk(john.ask(Say(text="another", id="1"))) == ["another"]

    def test_a_line_sent_by_the_terminal_that_was_taken_over_is_not_said_twice_nor_refused(self) -> None:
        """Sent just before, and again by the new terminal while it is with the store: the answer waits for that."""
        house, mary, john = pair()
        other = house.peer()
        other.send(joining("John", token=john.token))
        house.take()
        john.send(Say(text="one", id="1"))
        house.commit()
        other.frames()
        other.send(Say(text="one", id="1"), Ping())
        house.take()
        house.settle()
        told = other.frames()
        assert [type(frame) for frame in told] == [Message, Ack, Pong]
        assert Ack(id="1", seq=3) in told
        assert talk(mary.frames()) == ["one"]

    def test_and_is_refused_when_the_store_refuses_both(self) -> None:
        house, mary, john = pair()
        other = house.peer()
        other.send(joining("John", token=john.token))
        house.take()
        john.send(Say(text="one", id="1"))
        house.commit()
        other.frames()
        other.send(Say(text="one", id="1"))
        house.refuse(FULL)
        assert [frame.code for frame in other.all(Error)] == [Code.UNAVAILABLE]
        assert talk(other.ask(Say(text="one", id="1"))) == ["one"]

    def test_ids_survive_a_restart(self) -> None:
        house = restarted()
        mary = house.peer()
        mary.join("Mary")
        mary.frames()
        assert mary.ask(Say(text="one", id="1")) == [Ack(id="1", seq=2)]

    def test_ids_that_left_the_journal_are_known_to_the_store(self) -> None:
        house, mary, john = pair(Limits(entries_max=2))
        john.ask(Say(text="one", id="1"), Dm(to="Mary", text="one", id="2"), Say(text="two"), Say(text="three"))
        mary.frames()
        again = john.ask(Say(text="one", id="1"), Dm(to="Mary", text="one", id="2"), Say(text="new", id="3"))
        assert again[1:] == [Ack(id="1", seq=3), Ack(id="2", seq=4)]
        assert talk(again[:1]) == talk(mary.frames()) == ["new"]
        john.send(Say(text="another", id="1"), Say(text="one", id="2"))
        house.settle()
        wrong = john.all(Error)
        assert [(error.code, error.id, error.field) for error in wrong] == [
            (Code.BAD_FRAME, "1", "id"),
            (Code.BAD_FRAME, "2", "id"),
        ]
        assert house.hub.mailroom.digest.size() == 1, "the room that was kept for the second mail is free again"

    def test_who_goes_on_using_ids_twice_is_sent_away(self) -> None:
        house, mary, john = pair()
        for number in range(7):
            john.send(Say(text=f"{number}", id="1"))
            house.settle()
        told = john.frames()
        assert [frame.code for frame in told if isinstance(frame, Error)] == [Code.BAD_FRAME] * 6
        assert told[-1] == Bye(reason="more than 5 bad frames", retry=False)

    def test_only_what_somebody_said_was_said_before(self) -> None:
        house, mary, john = pair()
        batch = [(Change(), None)]
        with pytest.raises(AssertionError):
            house.hub.committed(batch, [Earlier(1, Entry(kind="message", time=stamp(NOON)))], NOON)

    def test_who_sends_such_an_id_twice_at_once_has_two_answers(self) -> None:
        house, mary, john = pair(Limits(entries_max=2))
        john.ask(Say(text="one", id="1"), Say(text="two"), Say(text="three"))
        assert john.ask(Say(text="one", id="1"), Say(text="one", id="1")) == [Ack(id="1", seq=3)] * 2

    def test_ids_live_as_long_as_their_entry(self) -> None:
        house, mary, john = pair(Limits(entries_max=2))
        john.ask(Say(text="one", id="1"), Say(text="two"), Say(text="three"))
        while house.store.index() or house.store.tidy(NOON + 31 * DAY):
            pass
        assert talk(john.ask(Say(text="another", id="1"))) == ["another"]


def restarted(limits: Limits | None = None) -> House:
    """A house whose store held Mary, John and what they said."""
    time = stamp(NOON - 60)
    entries = (
        (1, Entry(kind="joined", time=time, author=1, sender="Mary")),
        (2, Entry(kind="message", time=time, author=1, sender="Mary", text="one", id="1")),
        (3, Entry(kind="direct", time=time, author=2, sender="John", reader=1, to="Mary", text="two", id="1")),
        (4, Entry(kind="notice", time=time, text="going down")),
    )
    accounts = (
        Account(id=1, name="Mary", email="mary@example.org", first=0, seen=0),
        Account(id=2, name="John", email="john@example.org", first=1, seen=0),
    )
    snapshot = Snapshot(
        epoch="first", secret=b"a secret", last=4, entries=entries, accounts=accounts, next_account=3, motd="be kind"
    )
    return House(limits, snapshot)


class TestRestart:
    def test_history_ids_and_the_message_of_the_day_are_there_again_and_nobody_is_present(self) -> None:
        house = restarted()
        mary = house.peer()
        welcome = mary.join("Mary")
        assert (welcome.seq, welcome.motd, welcome.total) == (4, "be kind", 1)
        assert [frame.seq for frame in mary.frames() if hasattr(frame, "seq")] == [2, 3, 4, 5]

    def test_a_client_resumes_across_it(self) -> None:
        before = House()
        mary = before.join("Mary")
        house = restarted()
        again = house.peer()
        welcome = again.join("Mary", token=mary.token, resume=Resume(epoch="first", seq=2))
        assert welcome.resumed
        assert [frame.seq for frame in again.frames() if hasattr(frame, "seq")] == [3, 4, 5]

    def test_a_number_goes_on(self) -> None:
        house = restarted()
        assert house.hub.journal.last == 4
        ada = house.peer()
        assert ada.join("Ada").seq == 4


class TestHistory:
    """Fresh join: the last things said, notices and own direct messages; and all own ones not seen yet."""

    def test_the_last_fifty(self) -> None:
        house, mary, john = pair()
        john.ask(*(Say(text=f"{number}") for number in range(60)))
        ada = house.peer()
        welcome = ada.join("Ada")
        assert not welcome.resumed
        history = [frame for frame in ada.frames() if isinstance(frame, Message)]
        assert [frame.text for frame in history] == [f"{number}" for number in range(10, 60)]
        assert history[-1].seq == welcome.seq

    def test_comings_and_goings_are_no_history_and_dms_of_others_neither(self) -> None:
        house, mary, john = pair()
        john.ask(Dm(to="Mary", text="psst"), Say(text="hello"), Leave())
        ada = house.join("Ada")
        assert ada.frames() == []
        bo = house.peer()
        bo.join("Bo")
        assert [type(frame) for frame in bo.frames()] == [Message, Joined]

    def test_a_dm_to_somebody_away_is_kept_and_shown_on_joining(self) -> None:
        house, mary, john = pair()
        mary.ask(Leave())
        john.ask(Dm(to="Mary", text="for later"))
        john.ask(*(Say(text=f"{number}") for number in range(60)))
        mary = house.peer()
        mary.join("Mary")
        assert talk(mary.frames())[0] == "for later"

    def test_what_was_seen_is_not_kept_for_that(self) -> None:
        house, mary, john = pair()
        john.ask(Dm(to="Mary", text="now"))
        mary.ask(Ping(seq=3), Leave())
        john.ask(*(Say(text=f"{number}") for number in range(60)))
        mary = house.peer()
        mary.join("Mary")
        assert "now" not in talk(mary.frames())

    def test_dms_that_left_the_journal_come_from_the_store(self) -> None:
        house, mary, john = pair(Limits(history=3, entries_max=5))
        mary.ask(Leave())
        john.ask(Dm(to="Mary", text="first"), Say(text="open"), Dm(to="Mary", text="second"))
        john.ask(*(Say(text=f"{number}") for number in range(9)))
        mary = house.peer()
        mary.join("Mary")
        told = mary.frames()
        assert talk(told) == ["first", "second", "6", "7", "8"]
        assert [frame for frame in told if isinstance(frame, Gap)] == []

    @pytest.mark.parametrize("since", range(12))
    def test_the_first_one_not_seen_comes_wherever_the_journal_starts(self, since: int) -> None:
        """And comes once, whether it is in the last things said, in the journal only, or in the store only."""
        house, mary, john = pair(Limits(history=3, entries_max=6))
        john.ask(Dm(to="Mary", text="seen"))
        mary.ask(Ping(seq=3))
        john.ask(Dm(to="Mary", text="not seen"))
        mary.ask(Leave())
        john.ask(*(Say(text=f"{number}") for number in range(since)))
        mary = house.peer()
        mary.join("Mary")
        told = talk(mary.frames())
        assert told.count("not seen") == 1
        assert told.count("seen") == (since < 2)

    @pytest.mark.parametrize("presence_max", [200, 0])
    def test_news_wait_while_the_store_looks_them_up(self, presence_max: int) -> None:
        """Whether or not coming in is an entry, which one has yet to read, or not."""
        house, mary, john = pair(Limits(history=3, entries_max=5, presence_max=presence_max))
        mary.ask(Leave())
        john.ask(Dm(to="Mary", text="first"), *(Say(text=f"{number}") for number in range(9)))
        house.slow_lookups = True
        mary = house.peer()
        mary.join("Mary")
        john.ask(Say(text="news"))
        assert mary.frames() == []
        house.look_up()
        house.flush()
        assert talk(mary.frames()) == ["first", "6", "7", "8", "news"]

    def test_who_is_cut_off_meanwhile_gets_nothing(self) -> None:
        house, mary, john = pair(Limits(history=3, entries_max=5))
        mary.ask(Leave())
        john.ask(Dm(to="Mary", text="first"), *(Say(text=f"{number}") for number in range(9)))
        house.slow_lookups = True
        mary = house.peer()
        mary.join("Mary")
        mary.cut()
        house.look_up()
        house.flush()
        assert mary.frames() == []

    def test_what_was_missed_and_cannot_be_read_sends_away_to_come_again(self) -> None:
        house, mary, john = pair(Limits(entries_max=4))
        house.slow_lookups = True
        mary.stall()
        john.ask(Dm(to="Mary", text="psst"), *(Say(text=f"{number}") for number in range(6)))
        mary.go_on()
        lookup = house.hub.lookups.pop()
        lookup.failed("the file is damaged")
        house.flush()
        bye = mary.only(Bye)
        assert bye.retry
        assert "the file is damaged" in bye.reason

    def test_long_history_comes_in_pieces(self) -> None:
        house, mary, john = pair()
        john.ask(*(Say(text="\N{DRAGON}" * 4_000) for _ in range(12)))
        ada = house.peer()
        ada.send(joining("Ada"))
        ada.stall()
        house.settle()
        pieces = list(iter(ada.sip, b""))
        assert max(map(len, pieces)) <= READ_MAX
        assert sum(isinstance(frame, Message) for frame in ada.frames()) == 12

    def test_no_history_at_all_may_be_asked_for(self) -> None:
        house, mary, john = pair(Limits(history=0))
        john.ask(Say(text="hello"))
        ada = house.peer()
        ada.join("Ada")
        assert [type(frame) for frame in ada.frames()] == [Joined]

    def test_dms_of_a_namesake_before_are_nobodys(self) -> None:
        """A forgotten name with a new owner: an account of its own, which inherits nothing."""
        house, mary, john = pair()
        mary.ask(Leave())
        john.ask(Dm(to="Mary", text="secret"))
        house.operator.forget("Mary", house.now)
        house.settle()
        mary = house.peer()
        mary.join("Mary", "new@example.org")
        assert talk(mary.frames()) == []

    def test_who_proved_nothing_sees_no_dms(self) -> None:
        """Off loopback and without mail a name and an address prove nothing: no old direct messages, no resume."""
        house, mary, john = pair(Limits(trust_names=False))
        john.ask(Dm(to="Mary", text="secret"), Say(text="open"))
        mary.ask(Leave())
        john.ask(Dm(to="Mary", text="another"))
        mary = house.peer()
        welcome = mary.join("Mary", resume=Resume(epoch="first", seq=1))
        assert not welcome.resumed
        assert talk(mary.frames()) == ["open"]
        token = mary.token
        john.ask(Dm(to="Mary", text="from now on"))
        mary.ask(Leave())
        mary = house.peer()
        mary.join("Mary", token=token)
        assert talk(mary.frames()) == ["open", "from now on"]


class TestResume:
    """A client that was cut off says the last number it saw and gets exactly what it missed."""

    def missed(self, house: House, mary: Peer, john: Peer) -> int:
        """Mary is cut off, and something is said; the number she saw last."""
        seq = house.hub.journal.last
        mary.cut()
        john.ask(Say(text="one"), Dm(to="Mary", text="two"), Dm(to="John", text="own"), Say(text="three"))
        return seq

    def test_exactly_what_was_missed(self) -> None:
        house, mary, john = pair()
        seq = self.missed(house, mary, john)
        again = house.peer()
        welcome = again.join("Mary", token=mary.token, resume=Resume(epoch="first", seq=seq))
        assert (welcome.resumed, welcome.seq) == (True, seq + 4)
        assert talk(again.frames()) == ["one", "two", "three"]

    def test_without_the_token_it_is_a_fresh_join(self) -> None:
        house, mary, john = pair()
        seq = self.missed(house, mary, john)
        again = house.peer()
        assert not again.join("Mary", resume=Resume(epoch="first", seq=seq)).resumed

    def test_with_a_wrong_token_too(self) -> None:
        house, mary, john = pair()
        seq = self.missed(house, mary, john)
        for token in (john.token, mary.token + "x", "", "é", "1.0"):
            again = house.peer()
            assert not again.join("Mary", token=token, resume=Resume(epoch="first", seq=seq)).resumed
            again.cut()

    @pytest.mark.parametrize("resume", [Resume(epoch="another", seq=2), Resume(epoch="first", seq=7)])
    def test_a_number_of_another_epoch_or_beyond_the_end_means_nothing(self, resume: Resume) -> None:
        house, mary, john = pair()
        self.missed(house, mary, john)
        again = house.peer()
        assert not again.join("Mary", token=mary.token, resume=resume).resumed
        assert talk(again.frames()) == ["one", "two", "three"]

    def test_never_before_the_first_entry_of_the_account(self) -> None:
        house, mary, john = pair()
        john.ask(Say(text="long ago"))
        ada = house.join("Ada")
        ada.cut()
        again = house.peer()
        assert again.join("Ada", token=ada.token, resume=Resume(epoch="first", seq=0)).resumed
        assert [frame.name for frame in again.frames() if isinstance(frame, Joined)] == ["Ada"]

    def test_a_gap_may_follow_that_counts_what_was_open_and_swallows_no_dm(self) -> None:
        house, mary, john = pair(Limits(entries_max=5))
        seq = self.missed(house, mary, john)
        john.ask(*(Say(text=f"{number}") for number in range(5)))
        again = house.peer()
        assert again.join("Mary", token=mary.token, resume=Resume(epoch="first", seq=seq)).resumed
        told = again.frames()
        direct, gap = told[:2]
        assert isinstance(direct, Direct)
        assert (direct.text, gap) == ("two", Gap(missed=2))
        assert talk(told[2:]) == ["0", "1", "2", "3", "4"]

    def test_where_all_that_is_missing_was_for_others_there_is_no_gap(self) -> None:
        house, mary, john = pair(Limits(entries_max=2))
        seq = house.hub.journal.last
        mary.cut()
        john.ask(Dm(to="John", text="note"), Say(text="one"), Say(text="two"))
        again = house.peer()
        again.join("Mary", token=mary.token, resume=Resume(epoch="first", seq=seq))
        assert [type(frame) for frame in again.frames()] == [Message, Message]


class TestSlowReaders:
    def test_who_does_not_read_is_continued_where_it_stopped(self) -> None:
        house, mary, john = pair()
        mary.stall()
        john.ask(Say(text="one"), Say(text="two"))
        assert mary.frames() == []
        mary.go_on()
        assert talk(mary.frames()) == ["one", "two"]

    def test_who_falls_off_the_journal_is_told_what_was_missed(self) -> None:
        house, mary, john = pair(Limits(entries_max=3))
        mary.stall()
        john.ask(Dm(to="Mary", text="psst"), *(Say(text=f"{number}") for number in range(6)))
        mary.go_on()
        told = mary.frames()
        assert isinstance(told[0], Direct)
        assert told[1] == Gap(missed=3)
        assert talk(told[2:]) == ["3", "4", "5"]

    def test_and_may_do_so_again_while_that_is_looked_up(self) -> None:
        house, mary, john = pair(Limits(entries_max=3))
        house.slow_lookups = True
        mary.stall()
        john.ask(*(Say(text=f"{number}") for number in range(6)))
        mary.go_on()
        john.ask(*(Say(text=f"{number}") for number in range(6, 12)))
        for _ in range(2):
            house.look_up()
            house.flush()
        told = mary.frames()
        assert [frame.missed for frame in told if isinstance(frame, Gap)] == [3, 6]
        assert talk(told) == ["9", "10", "11"]

    def test_who_is_dismissed_meanwhile_gets_nothing_but_the_goodbye(self) -> None:
        """What is missing was not told, so nothing of the journal may follow."""
        house, mary, john = pair(Limits(entries_max=3))
        house.slow_lookups = True
        mary.stall()
        john.ask(Dm(to="Mary", text="psst"), *(Say(text=f"{number}") for number in range(6)))
        mary.go_on()
        house.operator.kick("Mary", "", house.now)
        mary.stall()
        house.settle()
        house.look_up()
        mary.go_on()
        assert mary.frames() == [Bye(reason="kicked", retry=False)]

    def test_who_is_dismissed_and_too_far_behind_too(self) -> None:
        house, mary, john = pair(Limits(entries_max=3))
        mary.stall()
        house.operator.kick("Mary", "", house.now)
        john.ask(*(Say(text=f"{number}") for number in range(6)))
        mary.go_on()
        assert mary.frames() == [Bye(reason="kicked", retry=False)]

    def test_one_read_is_bounded(self) -> None:
        house, mary, john = pair()
        mary.stall()
        john.ask(*(Say(text="\N{DRAGON}" * 4_000) for _ in range(12)))
        pieces = list(iter(mary.sip, b""))
        assert len(pieces) > 2
        assert max(map(len, pieces)) <= READ_MAX

    def test_what_is_for_others_costs_nothing(self) -> None:
        """Reading goes on over whole blocks that hold nothing for this session."""
        house, mary, john = pair()
        ada = house.join("Ada")
        ada.stall()
        john.ask(*(Dm(to="Mary", text="\N{DRAGON}" * 4_000) for _ in range(12)))
        john.ask(Say(text="hello"))
        assert b"hello" in ada.sip()
        assert ada.sip() == b""


class TestTime:
    def test_who_has_pinged_is_gone_after_silence(self) -> None:
        house, mary, john = pair()
        mary.ask(Ping())
        house.wait(44.9)
        assert mary.frames() == []
        house.wait(0.2)
        assert mary.frames() == [Bye(reason="no sign of life for 45 s", retry=True)]
        house.wait(5)
        assert [frame.name for frame in john.frames() if isinstance(frame, Left)] == ["Mary"]

    def test_any_frame_is_a_sign_of_life(self) -> None:
        house, mary, john = pair()
        mary.ask(Ping())
        for frame in (Who(), Ping(), Say(text="still here"), b"nonsense\n"):
            house.wait(40)
            mary.ask(frame)
        assert mary.connected

    def test_who_never_pinged_may_be_silent(self) -> None:
        house, mary, john = pair()
        house.wait(3_600)
        assert mary.ask(Ping()) == [Pong()]

    def test_silence_does_not_count_while_the_server_is_deaf(self) -> None:
        house, mary, john = pair()
        mary.ask(Ping())
        mary.stall()
        house.wait(60)
        house.wait(60)
        mary.go_on()
        house.wait(44)
        assert mary.connected
        house.wait(2)
        assert not mary.connected

    def test_who_is_gone_anyhow_is_not_looked_after(self) -> None:
        house, mary, john = pair()
        mary.ask(Ping())
        john.ask(Ping())
        mary.cut()
        john.stall()
        house.hub.dismiss(john.session, "enough", retry=False)
        house.wait(60)
        john.go_on()
        assert john.frames()[-1] == Bye(reason="enough", retry=False)

    def test_due_says_when_to_call_again(self) -> None:
        house = House()
        assert house.hub.due(house.now) is None
        house.peer()
        assert house.hub.due(house.now) == house.now + 10
        assert house.hub.due(house.now + 10) is None

    def test_the_hub_wakes_whoever_drives_it(self) -> None:
        """Whatever is left to take, look up, flush or wait for."""
        house = House()
        mary = house.peer()
        woken = [house.wakes]
        mary.send(joining("Mary"))
        woken.append(house.wakes)
        house.commit()
        woken.append(house.wakes)
        mary.send(Who())
        woken.append(house.wakes)
        assert woken == sorted(set(woken))

    def test_nothing_is_due_for_who_has_joined(self) -> None:
        """The time they had for that is forgotten at once, and not only when it is up."""
        house = House()
        house.join("Mary")
        late = house.peer()
        house.wait(1)
        house.join("John")
        assert house.hub.due(house.now) == house.now + 9
        late.cut()
        assert house.hub.due(house.now) is None
