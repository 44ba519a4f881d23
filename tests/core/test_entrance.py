"""Coming in: how long it may take, what a newcomer is told, and what happens on the way."""

import pytest
from msgspec import UNSET

from chatmail.core.cluster import BEAT, LAPSE
from chatmail.core.limits import Limits
from chatmail.core.records import Fate, Outcome
from chatmail.core.wire import (
    Ack,
    Away,
    Bye,
    Code,
    Dm,
    Error,
    Joined,
    Leave,
    Left,
    Notify,
    Ping,
    Pong,
    Resume,
    Say,
    Verify,
    Welcome,
    Who,
    encode,
)
from tests.core.house import House, joining
from tests.core.houses import Street, at_once

VERIFIED = Limits(verify_email=True)


class TestDeadline:
    def test_who_does_not_join_within_ten_seconds_must_go(self) -> None:
        house = House()
        peer = house.peer()
        house.wait(9.9)
        assert peer.connected
        house.wait(0.1)
        assert peer.frames() == [Bye(reason="no join within 10 s", retry=True)]
        assert not peer.connected

    def test_who_has_joined_may_stay(self) -> None:
        house = House()
        mary = house.join("Mary")
        house.wait(60)
        assert mary.connected

    def test_an_answered_error_starts_the_ten_seconds_anew(self) -> None:
        house = House()
        peer = house.peer()
        for _ in range(3):
            house.wait(9)
            assert [type(frame) for frame in peer.ask(joining("bad name"))] == [Error]
        house.wait(9.9)
        assert peer.connected
        house.wait(2)
        assert not peer.connected

    def test_twenty_times_at_most(self) -> None:
        house = House()
        peer = house.peer()
        for _ in range(19):
            assert [type(frame) for frame in peer.ask(joining("bad name"))] == [Error]
        error, bye = peer.ask(joining("bad name"))
        assert isinstance(error, Error)
        assert bye == Bye(reason="20 errors without joining", retry=False)

    def test_a_join_that_is_with_the_store_is_in_time(self) -> None:
        house = House()
        mary = house.peer()
        mary.send(joining("Mary"))
        house.tick(60)
        assert mary.connected
        house.settle()
        assert isinstance(mary.frames()[0], Welcome)

    def test_who_is_gone_or_on_the_way_out_is_not_asked(self) -> None:
        house = House()
        gone, closing = house.peer(), house.peer()
        gone.cut()
        closing.stall()
        house.hub.dismiss(closing.session, "enough", retry=False)
        house.wait(60)
        closing.go_on()
        assert closing.frames() == [Bye(reason="enough", retry=False)]


class TestBadFrames:
    def test_more_than_five_close_the_connection(self) -> None:
        house = House()
        mary = house.join("Mary")
        bad = [b"nonsense\n", b'{"type":"dance"}\n', b"[]\n", b'{"type":"say"}\n', b'{"type":"say","text":""}\n']
        told = mary.ask(*bad)
        assert [frame.code for frame in told if isinstance(frame, Error)] == [
            Code.BAD_FRAME,
            Code.UNSUPPORTED,
            Code.BAD_FRAME,
            Code.BAD_FRAME,
            Code.BAD_FRAME,
        ]
        assert mary.ask(Ping()) == [Pong()]
        error, bye = mary.ask(b"nonsense\n")
        assert isinstance(error, Error)
        assert bye == Bye(reason="more than 5 bad frames", retry=False)

    def test_before_joining_too(self) -> None:
        house = House()
        peer = house.peer()
        told = peer.ask(*[b"nonsense\n"] * 9)
        assert [type(frame) for frame in told] == [Error] * 6 + [Bye]

    def test_other_mistakes_do_not_count(self) -> None:
        house = House()
        mary = house.join("Mary")
        told = mary.ask(*[Dm(to="nobody", text="hello")] * 9)
        assert [type(frame) for frame in told] == [Error] * 9

    def test_another_version_is_unsupported(self) -> None:
        (error,) = House().peer().ask(b'{"type":"join","name":"Mary","email":"m@example.org","version":2}\n')
        assert error == Error(
            code=Code.UNSUPPORTED,
            text="version 2 of the protocol is not spoken here, only version 1",
            field="version",
        )

    def test_a_line_that_is_too_long_is_final(self) -> None:
        """4 KiB before joining; the tail of the line must never be read as a new frame."""
        peer = House().peer()
        error, bye = peer.ask(b"x" * 4_098, b"\n", joining("Mary"))
        assert isinstance(error, Error)
        assert error.code == Code.TOO_LONG
        assert bye == Bye(reason=error.text, retry=False)

    def test_a_long_line_is_fine_once_inside(self) -> None:
        mary = House().join("Mary")
        (error,) = mary.ask(b'{"type":"say","text":"' + b"x" * 4_001 + b'","id":"7"}\n')
        assert error == Error(
            code=Code.TOO_LONG,
            text="this text has 4,001 characters; at most 4,000 are allowed",
            id="7",
            field="text",
        )

    def test_a_second_join_is_one_too_many(self) -> None:
        mary = House().join("Mary")
        for frame in (joining("John"), Verify(code="1")):
            assert mary.ask(frame) == [Error(code=Code.ALREADY_JOINED, text="you are here already, as Mary")]

    @pytest.mark.parametrize("frame", [Dm(to="x", text="y", id="7"), Notify(when="never", id="7"), Away(id="7")])
    def test_before_joining_there_is_nothing_to_do_but_join(self, frame: Dm | Notify | Away) -> None:
        assert House().peer().ask(frame) == [Error(code=Code.NOT_JOINED, text="join first: this needs a name", id="7")]

    @pytest.mark.parametrize("frame", [Who(), Ping()])
    def test_nor_to_ask(self, frame: Who | Ping) -> None:
        assert House().peer().ask(frame) == [Error(code=Code.NOT_JOINED, text="join first: this needs a name")]


class TestWelcome:
    def test_it_tells_the_newcomer_who_and_where(self) -> None:
        house = House()
        house.operator.motd("be kind", house.now)
        house.join("Ada").ask(Notify(when="away"))
        mary = house.peer()
        welcome = mary.join("Mary")
        assert (welcome.name, welcome.epoch, welcome.seq, welcome.notify) == ("Mary", "first", 1, "always")
        assert (welcome.motd, welcome.total) == ("be kind", 2)
        joined = mary.only(Joined)
        assert (joined.seq, joined.name) == (2, "Mary")
        assert house.told[-1] == "Mary <mary@example.org> joined from 127.0.0.1"

    def test_without_a_message_of_the_day_there_is_none(self) -> None:
        assert House().peer().join("Mary").motd is UNSET

    def test_what_somebody_chose_is_kept(self) -> None:
        house = House()
        mary = house.join("Mary")
        mary.ask(Notify(when="never", id="1"), Leave())
        assert house.peer().join("Mary").notify == "never"

    def test_who_is_back_hears_how_far_they_had_seen(self) -> None:
        house = House()
        mary = house.peer()
        assert mary.join("Mary").seen is UNSET  # there was nothing to see
        house.join("John").ask(Say(text="one"), Say(text="two"))
        mary.frames()
        mary.ask(Ping(seq=3), Leave())
        again = house.peer()
        assert again.join("Mary").seen == 3
        again.ask(Ping(seq=4))
        again.cut()
        resumed = house.peer().join("Mary", token=mary.token, resume=Resume(epoch="first", seq=4))
        assert (resumed.resumed, resumed.seen) == (True, 4)

    def test_nobody_else_hears_it(self) -> None:
        house = House(Limits(trust_names=False))
        mary = house.join("Mary")
        mary.ask(Ping(seq=1), Leave())
        assert house.peer().join("Mary").seen is UNSET

    def test_a_fresh_join_is_back_from_being_away(self) -> None:
        house = House()
        mary = house.join("Mary")
        mary.ask(Away(reason="lunch", id="1"), Leave())
        assert house.peer().join("Mary").people[0].away is UNSET

    def test_a_resumed_one_is_as_away_as_before(self) -> None:
        house = House()
        mary = house.join("Mary")
        assert mary.ask(Away(reason="lunch", id="1")) == [Ack(id="1")]
        mary.cut()
        welcome = house.peer().join("Mary", token=mary.token, resume=Resume(epoch="first", seq=1))
        assert welcome.people[0].away == "lunch"

    def test_the_token_is_worth_nothing_under_another_name(self) -> None:
        house = House()
        mary = house.join("Mary")
        house.join("John")
        (error,) = house.peer().ask(joining("John", token=mary.token))
        assert isinstance(error, Error)
        assert error.code == Code.NAME_TAKEN

    def test_nobody_learns_an_address(self) -> None:
        house = House()
        house.join("Mary", "secret@example.org")
        john = house.peer()
        john.send(joining("John"))
        house.settle()
        told = [*john.frames(), *john.ask(Who(), Dm(to="Mary", text="hello"))]
        assert b"secret@example.org" not in b"".join(map(encode, told))


class TestOnTheWay:
    """What the operator does while a join is with the store."""

    def test_a_ban_that_was_stored_before_keeps_the_newcomer_out(self) -> None:
        house = House()
        mary = house.join("Mary")
        john = house.peer()
        house.operator.ban("John", None, "spam", house.now)
        john.send(joining("John"))
        house.settle()
        assert john.frames() == [Bye(reason="banned: spam", retry=False)]
        assert [type(frame) for frame in mary.frames()] == [Joined, Left]
        assert house.names_here() == ["Mary"]

    def test_a_ban_that_is_stored_after_it_throws_the_newcomer_out(self) -> None:
        house = House()
        john = house.peer()
        john.send(joining("John"))
        house.operator.ban("John", None, "", house.now)
        house.settle()
        welcome, _, bye = john.frames()
        assert isinstance(welcome, Welcome)
        assert bye == Bye(reason="banned", retry=False)
        assert house.names_here() == []

    def test_the_account_may_be_forgotten_before(self) -> None:
        house = House()
        house.join("John").ask(Away(reason="lunch"), Leave())
        house.operator.forget("John", house.now)
        john = house.peer()
        john.send(joining("John"))
        house.settle()
        assert john.frames() == [Bye(reason="forgotten by the operator", retry=False)]
        assert house.names_here() == []
        assert house.peer().join("John", "other@example.org").name == "John"

    def test_or_after(self) -> None:
        house = House()
        house.join("John").ask(Leave())
        john = house.peer()
        john.send(joining("John"))
        house.operator.forget("John", house.now)
        house.settle()
        assert john.frames()[-1] == Bye(reason="forgotten by the operator", retry=False)
        assert house.names_here() == []

    def test_a_kick_of_who_is_coming_back_closes_the_new_connection(self) -> None:
        house = House()
        mary, john = house.join("Mary"), house.join("John")
        mary.frames()
        john.cut()
        again = house.peer()
        again.send(joining("John"))
        house.operator.kick("John", "", house.now)
        house.settle()
        assert again.frames()[-1] == Bye(reason="kicked", retry=False)
        assert mary.only(Left).reason == "kicked"
        assert house.names_here() == ["Mary"]


class TestSeveralServers:
    """Two come at once, at two servers that do not know of each other yet."""

    @pytest.mark.parametrize("sent", [True, False], ids=["with the store", "with the hub"])
    def test_a_name_belongs_to_who_is_first(self, sent: bool) -> None:
        one, two = Street().open(2)
        first, second = one.peer(), two.peer()
        first.send(joining("Mary"))
        second.send(joining("Mary", "other@example.org"))
        at_once(*([one, two] if sent else [one]))
        one.settle()
        assert isinstance(first.frames()[0], Welcome)
        error = second.only(Error)
        assert (error.code, error.field) == ("name-taken", "name")
        assert "belongs to somebody with another address" in error.text
        assert second.join("Marian", "other@example.org").name == "Marian"

    def test_so_does_a_name_that_looks_like_it(self) -> None:
        one, two = Street().open(2)
        first, second = one.peer(), two.peer()
        first.send(joining("Mary"))
        second.send(joining("M\u0430ry", "other@example.org"))
        at_once(one, two)
        one.settle()
        assert isinstance(first.frames()[0], Welcome)
        assert "looks like" in second.only(Error).text

    def test_who_was_too_late_leaves_the_name_guarded_against_those_that_look_like_it(self) -> None:
        one, two = Street().open(2)
        first, second, third = one.peer(), two.peer(), two.peer()
        first.send(joining("Mary"))
        second.send(joining("Mary", "other@example.org"))
        at_once(one, two)
        one.settle()
        third.send(joining("M\u0430ry", "third@example.org"))
        one.settle()
        assert "looks like" in third.only(Error).text

    def test_a_name_that_is_taken_and_forgotten_meanwhile_is_free(self) -> None:
        one, two = Street().open(2)
        first, second = one.peer(), two.peer()
        second.send(joining("Mary", "other@example.org"))
        two.take()
        first.send(joining("Mary"))
        one.commit()
        one.operator.forget("Mary", one.now)
        one.commit()
        one.settle()
        assert isinstance(second.frames()[0], Welcome)
        assert one.hub.accounts.known("Mary").email == "other@example.org"

    def test_the_same_person_twice_comes_in_once(self) -> None:
        one, two = Street().open(2)
        first, second = one.peer(), two.peer()
        first.send(joining("Mary"))
        second.send(joining("Mary"))
        at_once(one, two)
        one.settle()
        assert isinstance(first.frames()[0], Welcome)
        assert "is here already" in second.only(Error).text

    def test_the_same_person_twice_with_a_proof_ends_up_where_they_came_last(self) -> None:
        one, two = Street().open(2)
        mary = one.join("Mary")
        mary.ask(Leave())
        first, second = one.peer(), two.peer()
        for peer in (first, second):
            peer.send(joining("Mary", token=mary.token))
        at_once(one, two)
        one.settle()
        assert [type(frame) for frame in first.frames()] == [Welcome, Joined, Bye]
        assert [type(frame) for frame in second.frames()] == [Welcome]
        assert [entry.kind for _, entry in one.street.said()] == ["joined", "left", "joined"]
        assert one.names_here() == two.names_here() == ["Mary"]

    def test_who_gave_up_waiting_and_went_elsewhere_stays_there(self) -> None:
        one, two = Street().open(2)
        mary = one.join("Mary")
        mary.ask(Leave())
        waiting, elsewhere = two.peer(), one.peer()
        waiting.send(joining("Mary", token=mary.token))
        two.take()
        one.now += 5
        elsewhere.send(joining("Mary", token=mary.token))
        one.commit()
        one.settle()
        assert waiting.frames() == [Bye(reason="you came in from another terminal", retry=False)]
        assert [type(frame) for frame in elsewhere.frames()] == [Welcome, Joined]
        assert one.names_here() == two.names_here() == ["Mary"]

    def test_a_connection_that_ends_before_it_is_judged_again_leaves_nothing(self) -> None:
        one, two = Street().open(2)
        first, second = one.peer(), two.peer()
        first.send(joining("Mary"))
        second.send(joining("Mary", "other@example.org"))
        at_once(one, two)
        second.cut()
        one.settle()
        assert isinstance(first.frames()[0], Welcome)
        assert two.names_here() == ["Mary"]
        assert two.peer().join("Other").name == "Other"

    def test_a_code_is_mailed_by_the_server_that_was_asked_whoever_leads(self) -> None:
        one, two = Street(VERIFIED).open(2)
        mary = two.peer()
        mary.ask(joining("Mary"))
        assert one.deliver() == []
        (letter,) = two.deliver()
        assert letter.address == "mary@example.org"
        ((_, code),) = two.codes
        assert isinstance(mary.ask(Verify(code=code))[0], Welcome)

    def test_a_code_goes_on_its_way_though_its_server_leads_no_longer(self) -> None:
        one, two = Street(VERIFIED).open(2)
        mary = one.peer()
        mary.ask(joining("Mary"))
        one.is_cut = True
        two.wait(LAPSE + BEAT)
        assert two.hub.cluster.leads
        letter = one.compose()
        assert letter is not None
        one.hub.mailroom.outcome(letter, Outcome(fate=Fate.LATER), one.now)
        one.tick(30)
        assert one.compose() is not None

    def test_who_proves_the_same_new_name_at_two_servers_has_it_and_is_where_they_came_last(self) -> None:
        one, two = Street(VERIFIED).open(2)
        first, second = one.peer(), two.peer()
        for server, peer in ((one, first), (two, second)):
            peer.ask(joining("Mary"))
            ((_, code),) = server.codes
            peer.send(Verify(code=code))
        at_once(one, two)
        one.settle()
        assert [type(frame) for frame in first.frames()] == [Welcome, Joined, Bye]
        assert [type(frame) for frame in second.frames()] == [Welcome]
        assert len(one.hub.accounts) == len(two.hub.accounts) == 1
