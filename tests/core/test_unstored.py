"""What becomes of what is not in the store: whoever asked is told, in their turn, and may go on."""

from chatmail.core.records import Change, Motd
from chatmail.core.wire import Ack, Bye, Code, Error, Leave, Message, Ping, Pong, Say, Welcome
from tests.core.house import joining
from tests.core.houses import Street, at_once


class TestOvertaken:
    def test_what_was_asked_before_is_done_all_the_same(self) -> None:
        one, two = Street().open(2)
        mary, john = one.join("Mary"), two.join("John")
        mary.frames()
        john.send(Say(text="see you"), Leave())
        two.take()
        one.peer().join("John", token=john.token)
        assert mary.only(Message).text == "see you"
        assert isinstance(john.only(Bye), Bye)
        assert one.names_here() == two.names_here() == ["Mary", "John"]

    def test_what_waits_with_the_hub_keeps_its_turn(self) -> None:
        """It is decided anew when it comes to it, not when the news come."""
        one, two = Street().open(2)
        mary = one.join("Mary")
        first, second = one.peer(), two.peer()
        second.send(joining("John", "other@example.org"))
        first.send(joining("John"))
        one.commit()
        two.learn()
        assert second.frames() == []
        two.settle()
        assert second.only(Error).code == Code.NAME_TAKEN
        assert mary.connected

    def test_what_the_store_refuses_then_is_told_as_that(self) -> None:
        one, two = Street().open(2)
        first, second = one.peer(), two.peer()
        second.send(joining("John", "other@example.org"))
        first.send(joining("John"))
        one.commit()
        two.learn()
        two.refuse("Redis is full")
        error = second.only(Error)
        assert (error.code, error.text) == (Code.UNAVAILABLE, "Redis is full")
        assert isinstance(second.ask(joining("Johann", "other@example.org"))[0], Welcome)

    def test_while_a_batch_is_under_way_for_too_long_what_waits_is_refused(self) -> None:
        one, _ = Street().open(2)
        john = one.join("John")
        john.send(Say(text="first", id="1"))
        one.take()
        john.send(Say(text="second", id="2"))
        one.hub.refuse_waiting("no answer")
        one.flush()
        assert [(error.code, error.id) for error in john.all(Error)] == [(Code.UNAVAILABLE, "2")]
        one.settle()
        assert john.only(Message).text == "first"

    def test_what_is_refused_so_keeps_its_turn(self) -> None:
        one, _ = Street().open(2)
        john = one.join("John")
        john.send(Say(text="first", id="1"))
        one.take()
        john.send(Say(text="second", id="2"), Ping())
        for _ in range(2):
            one.hub.refuse_waiting("no answer")
        one.flush()
        assert [type(frame) for frame in john.frames()] == [Error]
        one.settle()
        assert [type(frame) for frame in john.frames()] == [Message, Pong]

    def test_what_cannot_be_decided_anew_is_refused(self) -> None:
        one, two = Street().open(2)
        mary, john = one.join("Mary"), two.join("John")
        mary.frames()
        for peer in (mary, john):
            hub = peer.house.hub
            hub.submit(Change(rows=(Motd(text=peer.name),), claims=("motd",)), peer.session)
        at_once(one, two)
        two.commit()
        one.settle()
        assert mary.only(Error).code == Code.UNAVAILABLE
        assert john.frames() == []
        assert one.hub.motd == two.hub.motd == "John"

    def test_what_the_operator_asked_for_is_done_all_the_same(self) -> None:
        one, two = Street().open(2)
        john = two.join("John")
        john.ask(Leave())
        two.peer().send(joining("John"))
        one.operator.forget("John", one.now)
        at_once(one, two)
        two.commit()
        one.settle()
        assert "John is forgotten" in one.told
        assert one.names_here() == two.names_here() == []


class TestSaidBefore:
    def test_a_line_that_is_sent_again_at_another_server_is_acknowledged(self) -> None:
        one, two = Street().open(2)
        mary = one.join("Mary")
        mary.ask(Say(text="hello", id="1"))
        mary.cut()
        again = two.peer()
        again.join("Mary", token=mary.token)
        again.frames()
        assert again.ask(Say(text="hello", id="1")) == [Ack(id="1", seq=2)]

    def test_another_line_under_its_id_is_a_mistake(self) -> None:
        one, two = Street().open(2)
        mary = one.join("Mary")
        mary.ask(Say(text="hello", id="1"))
        mary.cut()
        again = two.peer()
        again.join("Mary", token=mary.token)
        again.frames()
        (error,) = again.ask(Say(text="goodbye", id="1"))
        assert isinstance(error, Error)
        assert error.code == Code.BAD_FRAME
