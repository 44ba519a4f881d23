"""What one server has stored does the same at all: whoever is where, everybody sees one chat."""

from msgspec import UNSET

from chatmail.core.limits import Limits
from chatmail.core.wire import Away, Bye, Code, Direct, Dm, Error, Message, People, Say, Welcome, Who
from tests.core.house import joining
from tests.core.houses import at_once, couple

HOST = "192.0.2.1"


class TestWhatIsSaid:
    def test_at_one_server_is_read_at_the_other(self) -> None:
        one, two, mary, john = couple(host=HOST)
        mary.ask(Say(text="hello"))
        message = john.only(Message)
        assert (message.seq, message.sender, message.text) == (3, "Mary", "hello")

    def test_at_two_servers_at_once_has_the_same_order_at_both(self) -> None:
        one, two, mary, john = couple(host=HOST)
        mary.send(Say(text="hello"))
        john.send(Say(text="hi"))
        at_once(one, two)
        two.commit()
        one.settle()
        read = mary.all(Message)
        assert [(message.seq, message.text) for message in read] == [(3, "hi"), (4, "hello")]
        assert john.all(Message) == read

    def test_to_one_person_is_read_by_nobody_else(self) -> None:
        one, two, mary, john = couple(host=HOST)
        ada = two.join("Ada")
        mary.frames()
        mary.ask(Dm(to="John", text="a secret"))
        assert john.all(Direct)[0].text == "a secret"
        assert ada.frames() == []

    def test_by_somebody_who_is_forgotten_at_the_same_moment_is_read_all_the_same(self) -> None:
        one, two, mary, john = couple(host=HOST)
        ada = one.join("Ada")
        john.frames()
        john.send(Dm(to="Mary", text="hello"), Say(text="goodbye"))
        one.operator.forget("John", one.now)
        at_once(one, two)
        one.settle()
        assert [message.text for message in ada.all(Message)] == ["goodbye"]
        assert john.all(Bye)[0].reason == "forgotten by the operator"


class TestWhatIsChosen:
    def test_who_is_away_is_so_everywhere(self) -> None:
        one, two, mary, john = couple(host=HOST)
        john.ask(Away(reason="lunch"))
        (people,) = mary.ask(Who())
        assert isinstance(people, People)
        assert people.people[1].away == "lunch"
        assert two.hub.accounts.known("John").away == one.hub.accounts.known("John").away == "lunch"

    def test_by_somebody_who_is_forgotten_at_the_same_moment_changes_nothing(self) -> None:
        one, two, mary, john = couple(host=HOST)
        john.send(Away(reason="lunch"))
        two.take()
        one.operator.forget("John", one.now)
        one.commit()
        two.commit()
        one.settle()
        assert one.hub.accounts.find("John") is two.hub.accounts.find("John") is None


class TestBans:
    def test_somebody_at_another_server_must_go_and_may_not_come_back(self) -> None:
        one, two, mary, john = couple(host=HOST)
        one.operator.ban("John", None, "spam", one.now)
        one.settle()
        assert john.all(Bye)[0].reason == "banned: spam"
        for server in (one, two):
            assert server.names_here() == ["Mary"]
            error, _ = server.peer().ask(joining("John"))
            assert isinstance(error, Error)
            assert error.code == Code.BANNED

    def test_it_meets_who_is_cut_off_at_another_server(self) -> None:
        one, two, mary, john = couple(host=HOST)
        john.cut()
        one.operator.ban("john@example.org", None, "", one.now)
        one.settle()
        assert one.names_here() == two.names_here() == ["Mary"]

    def test_it_meets_a_host_and_who_connects_from_there_at_any_server(self) -> None:
        one, two, mary, john = couple(host=HOST)
        newcomer = two.peer(HOST)
        one.operator.ban(HOST, None, "", one.now)
        one.settle()
        assert newcomer.all(Bye)[0].reason == john.all(Bye)[0].reason == "banned"

    def test_it_meets_who_comes_in_elsewhere_at_the_same_moment(self) -> None:
        one, two, mary, john = couple(host=HOST)
        ada = two.peer()
        ada.send(joining("Ada"))
        one.operator.ban("Ada", None, "", one.now)
        at_once(one, two)
        one.settle()
        assert ada.all(Bye)[0].reason == "banned"
        assert one.names_here() == two.names_here() == ["Mary", "John"]

    def test_two_at_once_are_one(self) -> None:
        one, two, mary, john = couple(host=HOST)
        one.operator.ban("John", None, "spam", one.now)
        two.operator.ban("John", None, "noise", two.now)
        at_once(one, two)
        one.settle()
        assert len(john.all(Bye)) == 1
        assert one.hub.bans.current(one.now) == two.hub.bans.current(one.now)
        assert [entry.kind for _, entry in one.street.said()].count("left") == 1
        assert one.names_here() == two.names_here() == ["Mary"]

    def test_one_that_is_lifted_is_lifted_everywhere(self) -> None:
        one, two, mary, john = couple(host=HOST)
        one.operator.ban("John", None, "spam", one.now)
        one.settle()
        two.operator.unban("John", two.now)
        one.settle()
        assert isinstance(one.peer().ask(joining("John"))[0], Welcome)

    def test_a_token_from_before_proves_nothing_anywhere(self) -> None:
        one, two, mary, john = couple(Limits(trust_names=False))
        one.operator.ban("John", 1, "", one.now)
        one.settle()
        one.wait(2)
        assert two.peer(HOST).join("John", token=john.token).seen is UNSET


class TestTheMessageOfTheDay:
    def test_it_is_the_same_at_all_servers(self) -> None:
        one, two, mary, john = couple(host=HOST)
        one.operator.motd("welcome!", one.now)
        one.settle()
        assert two.peer().join("Ada").motd == one.peer().join("Bo").motd == "welcome!"

    def test_of_two_at_once_the_later_holds_everywhere(self) -> None:
        one, two, mary, john = couple(host=HOST)
        one.operator.motd("one", one.now)
        two.operator.motd("two", two.now)
        at_once(one, two)
        two.commit()
        one.settle()
        assert one.operator.current_motd() == two.operator.current_motd() == "one"
        (three,) = one.street.open(1)
        assert three.operator.current_motd() == "one"


class TestForgetting:
    def test_a_name_is_free_everywhere_and_its_person_gone(self) -> None:
        one, two, mary, john = couple(host=HOST)
        one.operator.forget("John", one.now)
        one.settle()
        assert john.all(Bye)[0].reason == "forgotten by the operator"
        for server in (one, two):
            assert server.names_here() == ["Mary"]
            assert server.hub.accounts.find("John") is None
        assert isinstance(two.peer().ask(joining("John", "other@example.org"))[0], Welcome)

    def test_two_at_once_are_one(self) -> None:
        one, two, mary, john = couple(host=HOST)
        john.ask()
        for server in (one, two):
            server.told.clear()
            server.operator.forget("John", server.now)
        at_once(one, two)
        one.settle()
        assert [entry.kind for _, entry in one.street.said()].count("left") == 1
        assert one.told[-1] == "John is forgotten"
        assert two.told[-1] == "not done: /forget John: John was forgotten at another server"
        assert one.operator.owed == two.operator.owed == 0

    def test_who_has_the_name_by_then_is_not_meant(self) -> None:
        one, two, mary, john = couple(host=HOST)
        two.operator.forget("John", two.now)
        two.take()
        two.is_cut = True
        one.operator.forget("John", one.now)
        one.settle()
        other = one.peer()
        other.join("John", "other@example.org")
        two.is_cut = False
        two.settle()
        assert two.told[-1] == "not done: /forget John: John was forgotten at another server"
        assert other.all(Bye) == []
        for server in (one, two):
            assert server.operator.whois("John", server.now).email == "other@example.org"
