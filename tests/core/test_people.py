"""Who is here: cuts and comings back, goodbyes, takeovers, large rooms, lists that fit a line."""

from msgspec import UNSET

from chatmail.core.cluster import BEAT, LAPSE
from chatmail.core.limits import Limits
from chatmail.core.records import Account, Snapshot
from chatmail.core.wire import (
    LINE_MAX,
    Ack,
    Away,
    Bye,
    Dm,
    Error,
    Frame,
    Joined,
    Leave,
    Left,
    Message,
    Notify,
    People,
    Ping,
    Pong,
    Receipt,
    Resume,
    Say,
    Welcome,
    Who,
    encode,
    stamp,
)
from tests.core.house import NOON, House, Peer, joining
from tests.core.houses import Street, at_once, couple

GRACE = Limits().grace


def names(people: People | Welcome) -> list[str]:
    return [person.name for person in people.people]


def comings(frames: list[Frame]) -> list[str]:
    return [f"{type(frame).__name__} {frame.name}" for frame in frames if isinstance(frame, Joined | Left)]


class TestCut:
    def test_a_cut_is_announced_after_the_grace_only(self) -> None:
        house = House()
        mary, john = house.join("Mary"), house.join("John")
        mary.frames()
        john.cut()
        house.wait(GRACE - 0.1)
        assert mary.frames() == []
        assert house.names_here() == ["Mary", "John"]
        house.wait(0.2)
        left = mary.only(Left)
        assert (left.name, left.reason) == ("John", "connection lost")
        assert house.names_here() == ["Mary"]

    def test_the_shell_says_why_the_connection_ended(self) -> None:
        house = House()
        mary, john = house.join("Mary"), house.join("John")
        mary.frames()
        john.cut("too slow")
        house.wait(GRACE)
        assert mary.only(Left).reason == "too slow"

    def test_who_is_back_within_the_grace_was_never_away_to_others(self) -> None:
        house = House()
        mary, john = house.join("Mary"), house.join("John")
        seq = house.hub.journal.last
        token = john.token
        mary.frames()
        john.cut()
        house.wait(GRACE - 0.1)
        john = house.peer()
        welcome = john.join("John", token=token, resume=Resume(epoch="first", seq=seq))
        house.wait(2 * GRACE)
        assert welcome.resumed
        assert names(welcome) == ["John", "Mary"]
        assert mary.frames() == []
        assert john.frames() == []

    def test_name_and_address_are_enough_to_be_back_where_names_are_trusted(self) -> None:
        house = House()
        mary, john = house.join("Mary"), house.join("John")
        mary.frames()
        john.cut()
        house.join("John")
        house.wait(2 * GRACE)
        assert mary.frames() == []

    def test_each_cut_has_a_grace_of_its_own(self) -> None:
        """The end of an earlier grace does not cut a later one short."""
        house = House()
        mary, john = house.join("Mary"), house.join("John")
        mary.frames()
        john.cut()
        house.wait(1)
        john = house.join("John")
        house.wait(2)
        john.cut()
        house.wait(GRACE - 0.1)  # the first grace has long run out
        assert mary.frames() == []
        house.wait(0.1)
        assert mary.only(Left).name == "John"

    def test_a_join_that_is_with_the_store_when_the_grace_ends_is_in_time(self) -> None:
        house = House()
        mary, john = house.join("Mary"), house.join("John")
        mary.frames()
        john.cut()
        house.tick(GRACE - 1)
        john = house.peer()
        john.send(joining("John"))
        house.tick(2)
        house.settle()
        assert isinstance(john.frames()[0], Welcome)
        house.wait(2 * GRACE)
        assert mary.frames() == []

    def test_a_join_that_is_refused_then_leaves_the_grace_to_try_again(self) -> None:
        house = House()
        mary, john = house.join("Mary"), house.join("John")
        mary.frames()
        john.cut()
        house.tick(GRACE - 1)
        john = house.peer()
        john.send(joining("John"))
        house.tick(2)
        house.refuse()
        assert mary.frames() == []
        john.frames()
        john.join("John")
        house.wait(2 * GRACE)
        assert mary.frames() == []

    def test_who_is_cut_off_while_the_join_is_with_the_store_has_joined_and_then_left(self) -> None:
        house = House()
        mary = house.join("Mary")
        john = house.peer()
        john.send(joining("John"))
        john.cut()
        house.settle()
        house.wait(GRACE)
        assert comings(mary.frames()) == ["Joined John", "Left John"]
        assert house.names_here() == ["Mary"]

    def test_a_left_that_the_store_does_not_take_is_tried_again(self) -> None:
        house = House()
        mary, john = house.join("Mary"), house.join("John")
        mary.frames()
        john.cut()
        house.tick(GRACE)
        house.refuse()
        assert mary.frames() == []
        house.wait(GRACE)
        assert mary.only(Left).name == "John"


class TestLeave:
    def test_leaving_is_told_at_once(self) -> None:
        house = House()
        mary, john = house.join("Mary"), house.join("John")
        mary.frames()
        left, bye = john.ask(Leave())
        assert isinstance(left, Left)
        assert bye == Bye(reason="you left", retry=False)
        assert (mary.only(Left).name, left.reason) == ("John", "left")
        assert john.shut
        assert house.names_here() == ["Mary"]
        house.wait(2 * GRACE)
        assert mary.frames() == []

    def test_what_was_said_before_comes_first_and_what_comes_after_counts_no_more(self) -> None:
        house = House()
        mary, john = house.join("Mary"), house.join("John")
        mary.frames()
        john.send(Say(text="bye all"), Leave(), Say(text="and another thing"))
        house.settle()
        said, left = mary.frames()
        assert isinstance(said, Message)
        assert isinstance(left, Left)

    def test_who_cuts_the_connection_right_after_leaving_has_left(self) -> None:
        house = House()
        mary, john = house.join("Mary"), house.join("John")
        mary.frames()
        john.send(Leave())
        john.cut()
        house.wait(2 * GRACE)
        assert mary.only(Left).reason == "left"

    def test_leaving_before_joining_is_a_goodbye(self) -> None:
        house = House()
        peer = house.peer()
        assert peer.ask(Leave()) == [Bye(reason="you left", retry=False)]
        assert peer.shut

    def test_a_leave_that_the_store_does_not_take_still_closes_the_connection(self) -> None:
        house = House()
        mary, john = house.join("Mary"), house.join("John")
        mary.frames()
        john.send(Leave())
        house.refuse()
        assert john.frames() == [Bye(reason="you left (the disk is full)", retry=False)]
        assert mary.frames() == []
        house.wait(GRACE)
        assert mary.only(Left).name == "John"


class TestTakeover:
    def test_with_the_token_a_second_terminal_takes_over_and_nobody_sees_it(self) -> None:
        house = House()
        mary, john = house.join("Mary"), house.join("John")
        mary.frames()
        other = house.peer()
        welcome = other.join("John", token=john.token)
        assert names(welcome) == ["John", "Mary"]
        assert john.frames() == [Bye(reason="you came in from another terminal", retry=False)]
        house.wait(2 * GRACE)
        assert mary.frames() == []
        assert other.ask(Ping()) == [Pong()]

    def test_what_the_first_one_had_said_is_still_delivered(self) -> None:
        house = House()
        mary, john = house.join("Mary"), house.join("John")
        mary.frames()
        other = house.peer()
        other.send(joining("John", token=john.token))
        john.send(Say(text="last words"))
        house.settle()
        assert mary.only(Message).text == "last words"

    def test_a_leave_of_the_first_one_does_not_throw_out_the_second(self) -> None:
        house = House()
        mary, john = house.join("Mary"), house.join("John")
        mary.frames()
        other = house.peer()
        other.send(joining("John", token=john.token))
        john.send(Leave())
        house.wait(2 * GRACE)
        assert mary.frames() == []
        assert isinstance(other.frames()[0], Welcome)
        assert other.ask(Ping()) == [Pong()]

    def test_two_takeovers_at_once_end_with_one_terminal(self) -> None:
        house = House()
        john = house.join("John")
        first, second = house.peer(), house.peer()
        for peer in (first, second):
            peer.send(joining("John", token=john.token))
        house.settle()
        assert isinstance(first.frames()[0], Welcome)
        assert [frame.code for frame in second.frames() if hasattr(frame, "code")] == ["unavailable"]

    def test_two_at_once_under_a_name_that_is_away_end_with_one_terminal(self) -> None:
        """The second is told that the name is in use, though the first is only on its way in."""
        house = House()
        mary, john = house.join("Mary"), house.join("John")
        john.ask(Leave())
        mary.frames()
        first, second = house.peer(), house.peer()
        for peer in (first, second):
            peer.send(joining("John"))
        house.settle()
        assert isinstance(first.frames()[0], Welcome)
        assert [frame.code for frame in second.frames() if hasattr(frame, "code")] == ["name-taken"]
        assert comings(mary.frames()) == ["Joined John"]

    def test_a_refused_takeover_leaves_the_first_one_where_it_is(self) -> None:
        house = House()
        mary, john = house.join("Mary"), house.join("John")
        mary.frames()
        other = house.peer()
        other.send(joining("John", token=john.token))
        house.refuse()
        house.wait(2 * GRACE)
        assert mary.frames() == []
        assert john.ask(Ping()) == [Pong()]


class TestLists:
    def test_who_is_answered_with_everybody_oneself_first(self) -> None:
        house = House()
        house.join("Mary")
        john = house.join("John")
        (people,) = john.ask(Who())
        assert isinstance(people, People)
        assert names(people) == ["John", "Mary"]
        assert people.total == 2
        assert people.people[0].since == house.hub.roster.all()[1].since

    def test_who_is_away_is_shown_with_the_reason(self) -> None:
        house = House()
        mary, john = house.join("Mary"), house.join("John")
        assert mary.ask(Away(reason="lunch", id="a"))[-1:] == [Ack(id="a")]
        (people,) = john.ask(Who())
        assert isinstance(people, People)
        assert [person.away for person in people.people] == [UNSET, "lunch"]
        mary.ask(Away())
        (people,) = john.ask(Who())
        assert isinstance(people, People)
        assert [person.away for person in people.people] == [UNSET, UNSET]

    def test_who_is_cut_off_is_listed_but_not_online(self) -> None:
        house = House()
        mary, john = house.join("Mary"), house.join("John")
        mary.cut()
        (people,) = john.ask(Who())
        assert isinstance(people, People)
        assert names(people) == ["John", "Mary"]
        (receipt,) = [frame for frame in john.ask(Dm(to="Mary", text="there?")) if isinstance(frame, Receipt)]
        assert not receipt.online

    def test_welcome_tells_the_state_at_its_number(self) -> None:
        """Joins that are stored together: each list holds those before, and oneself; the later ones are told."""
        house = House()
        peers = [house.peer() for _ in range(3)]
        for peer, name in zip(peers, ("Ada", "Bo", "Cy"), strict=True):
            peer.send(joining(name))
        house.settle()
        told = [peer.frames() for peer in peers]
        welcomes = [frames[0] for frames in told]
        assert [(names(each), each.seq) for each in welcomes if isinstance(each, Welcome)] == [
            (["Ada"], 0),
            (["Bo", "Ada"], 1),
            (["Cy", "Ada", "Bo"], 2),
        ]
        assert [comings(frames) for frames in told] == [
            ["Joined Ada", "Joined Bo", "Joined Cy"],
            ["Joined Bo", "Joined Cy"],
            ["Joined Cy"],
        ]


class TestLargeRooms:
    """Above PRESENCE_MAX people, comings and goings are not told; on falling below, everybody gets the list."""

    def small(self, count: int) -> tuple[House, list[Peer]]:
        house = House(Limits(presence_max=3))
        return house, [house.join(name) for name in ("Ada", "Bo", "Cy", "Di", "Ed")[:count]]

    def test_up_to_the_limit_comings_are_told(self) -> None:
        house, (ada, *_) = self.small(3)
        assert comings(ada.frames()) == ["Joined Bo", "Joined Cy"]

    def test_above_it_no_longer(self) -> None:
        house, (ada, *_, ed) = self.small(5)
        ada.frames()
        ed.ask(Leave())
        assert ada.frames() == []

    def test_a_list_holds_so_many_and_a_total(self) -> None:
        house, (*_, ed) = self.small(5)
        (people,) = ed.ask(Who())
        assert isinstance(people, People)
        assert (names(people), people.total) == (["Ed", "Ada", "Bo"], 5)

    def test_every_newcomer_is_told_who_is_here_by_then(self) -> None:
        """Somebody on the list is away, or back, or leaves; who comes after all others, there is no room for."""
        house, (ada, bo, *_) = self.small(4)
        ada.ask(Away(reason="lunch"))
        welcome = house.peer().join("Ed")
        assert (names(welcome), welcome.people[1].away, welcome.total) == (["Ed", "Ada", "Bo"], "lunch", 5)
        bo.ask(Leave())
        ada.ask(Away())
        welcome = house.peer().join("Flo")
        assert (names(welcome), welcome.people[1].away, welcome.total) == (["Flo", "Ada", "Cy"], UNSET, 5)
        house.tick(1)
        welcome = house.peer().join("Bo")
        assert (names(welcome), welcome.total) == (["Bo", "Ada", "Cy"], 6)
        ada.ask(Leave())
        welcome = house.peer().join("Gil")
        assert (names(welcome), welcome.total) == (["Gil", "Cy", "Di"], 6)

    def test_on_falling_below_everybody_gets_the_list(self) -> None:
        house, (ada, bo, cy, di, ed) = self.small(5)
        di.ask(Leave())
        for peer in (ada, bo, cy, ed):
            peer.frames()
        ed.ask(Leave())
        for peer in (ada, bo, cy):
            people = peer.only(People)
            assert (set(names(people)), people.total) == ({"Ada", "Bo", "Cy"}, 3)

    def test_who_leaves_together_leaves_no_ghosts(self) -> None:
        """The room falls below while another goodbye is on its way that is not told either: the lists hold neither."""
        house, (ada, bo, cy, di) = self.small(4)
        for peer in (cy, di):
            peer.send(Leave())
        house.settle()
        for peer in (ada, bo):
            assert names(peer.all(People)[-1]) in (["Ada", "Bo"], ["Bo", "Ada"])

    def test_who_comes_while_others_leave_is_known(self) -> None:
        """One too many to be told when asking to come in, but not any more on arriving."""
        house, (ada, bo, cy) = self.small(3)
        cy.send(Leave())
        di = house.peer()
        di.send(joining("Di"))
        house.settle()
        for peer in (ada, bo):
            assert set(names(peer.all(People)[-1])) == {"Ada", "Bo", "Di"}

    def test_a_list_of_the_longest_names_and_reasons_fits_a_line(self) -> None:
        """Everything as long as it may be, the message of the day too: the decoder of a peer takes no longer line."""
        longest = [chr(0x20000 + number) * 32 for number in range(250)]
        accounts = tuple(
            Account(id=number, name=name, email=f"p{number}@example.org", first=0, seen=0)
            for number, name in enumerate(longest, 1)
        )
        house = House(Limits(), Snapshot(epoch="first", secret=b"a secret", accounts=accounts, next_account=251))
        house.now += 0.123
        house.operator.motd("\x01" * 4_000, house.now)
        house.settle()
        for number, name in enumerate(longest, 1):
            peer = house.peer()
            peer.join(name, f"p{number}@example.org")
            peer.ask(Away(reason="\x01" * 200))
        peer.cut()
        last = house.peer()
        welcome = last.join(longest[-1], "p250@example.org", token=peer.token, resume=Resume(epoch="first", seq=0))
        assert len(encode(welcome)) <= LINE_MAX
        assert welcome.total == 250
        assert 20 < len(welcome.people) <= 200
        assert welcome.people[0].name == longest[-1]

    def test_of_short_names_a_list_holds_two_hundred(self) -> None:
        house = House()
        for number in range(205):
            house.join(f"p{number}")
        (people,) = house.peers[0].ask(Who())[-1:]
        assert isinstance(people, People)
        assert (len(people.people), people.total) == (200, 205)


class TestOneTick:
    def test_a_list_is_never_older_than_its_place_in_the_stream(self) -> None:
        """Somebody leaves in the tick in which somebody else asks."""
        house = House()
        john, mary = house.join("John"), house.join("Mary")
        john.frames()
        john.stall()
        house.hub.receive(john.session, Who(), house.now)
        mary.ask(Leave())
        john.go_on()
        left, people = john.frames()
        assert isinstance(left, Left)
        assert isinstance(people, People)
        assert names(people) == ["John"]

    def test_many_who_leave_a_large_room_at_once_cost_the_others_one_list(self) -> None:
        house = House(Limits(presence_max=2))
        stays, *others = [house.join(name) for name in ("Ada", "Bo", "Cy", "Di", "Ed")]
        stays.frames()
        for other in others:
            other.send(Leave())
        house.settle()
        (people,) = stays.frames()
        assert isinstance(people, People)
        assert (len(people.people), people.total) == (1, 1)


class TestSeveralServers:
    def test_everybody_hears_of_everybody_wherever_they_are(self) -> None:
        one, two = Street().open(2)
        mary = one.join("Mary")
        john = two.peer()
        assert names(john.join("John")) == ["John", "Mary"]
        assert comings(mary.frames()) == ["Joined John"]
        (people,) = mary.ask(Who())
        assert isinstance(people, People)
        assert names(people) == ["Mary", "John"]
        john.ask(Leave())
        assert comings(mary.frames()) == ["Left John"]
        assert one.names_here() == two.names_here() == ["Mary"]

    def test_the_operator_hears_of_everybody_and_where_they_are(self) -> None:
        one, two = Street().open(2)
        john = two.join("John")
        assert one.told[-1] == "John <john@example.org> joined from 127.0.0.1, at server-2"
        john.ask(Leave())
        assert one.told[-1] == "John left"
        two.join("John")
        assert one.told[-1] == "John <john@example.org> joined from 127.0.0.1, at server-2"

    def test_the_list_says_how_long_somebody_elsewhere_has_been_silent(self) -> None:
        """What they say and choose is heard of everywhere, and what they read is neither there nor here a sign."""
        one, two, mary, john = couple()
        for deed in (Say(text="hello"), Away(reason="tea"), Notify(when="away")):
            one.wait(30)
            john.ask(deed)
            one.wait(8)
            john.ask(Ping(seq=two.hub.journal.last))
            one.wait(1)
            (three,) = one.street.open(1)
            idle = {server.node: server.operator.whois("John", server.now).idle for server in (one, two, three)}
            assert idle["server-1"] == idle["server-2"] == 9
            assert idle[three.node] == 9 or not isinstance(deed, Say), "what was chosen leaves no time behind"
            three.end()

    def test_what_was_seen_stays_so_though_an_older_word_of_it_comes_later(self) -> None:
        one, two, mary, john = couple()
        for text in ("a", "b", "c"):
            mary.ask(Say(text=text))
        last = two.hub.journal.last
        again = one.peer()
        john.send(Ping(seq=last))
        two.take()
        two.is_cut = True
        again.join("John", token=john.token)
        again.send(Ping(seq=last - 1))
        one.take()
        two.is_cut = False
        two.commit()
        one.settle()
        (three,) = one.street.open(1)
        for server in (one, two, three):
            account = server.hub.accounts.known("John")
            assert account.seen == last

    def test_who_comes_in_at_another_server_takes_over_and_nobody_else_notices(self) -> None:
        one, two, mary, john = couple()
        again = one.peer()
        welcome = again.join("John", token=john.token)
        one.wait(2 * GRACE)
        assert names(welcome) == ["John", "Mary"]
        assert john.only(Bye).reason == "you came in from another terminal"
        assert not john.connected
        assert mary.frames() == []
        assert one.names_here() == two.names_here() == ["Mary", "John"]

    def test_who_is_here_and_since_when_is_the_same_everywhere(self) -> None:
        """Also after a return and a takeover, at a server that starts later, and by clocks that do not agree."""
        one, two, mary, john = couple()
        two.now -= 90
        ada = two.join("Ada")
        one.wait(10)
        mary.cut()
        back = two.peer()
        back.join("Mary", token=mary.token)
        ada.cut()
        again = one.peer()
        again.join("Ada", token=ada.token)
        (three,) = one.street.open(1)
        lists = []
        for peer in (back, again, three.join("Eve")):
            (people,) = peer.ask(Who())[-1:]
            assert isinstance(people, People)
            lists.append([(person.name, person.since) for person in people.people if person.name != "Eve"])
        for server in (one, two, three):
            assert server.names_here() == ["Ada", "Mary", "John", "Eve"]
            assert [(who.name, stamp(who.since or 0)) for who in server.operator.who(server.now)][:3] == [
                ("Ada", stamp(NOON - 90)), ("Mary", stamp(NOON)), ("John", stamp(NOON))
            ]  # fmt: skip
        assert [dict(people) for people in lists] == 3 * [dict(lists[0])]

    def test_who_comes_while_their_going_fails_is_here_since_then_everywhere(self) -> None:
        one, two, mary, john = couple()
        one.operator.kick("Mary", "", one.now)
        one.take()
        one.tick(3)
        again = one.peer()
        again.send(joining("Mary", token=mary.token))
        one.refuse("Redis is full")
        one.settle()
        assert one.names_here() == two.names_here() == ["John", "Mary"]

    def test_who_is_cut_comes_back_at_another_server_and_has_missed_nothing(self) -> None:
        one, two, mary, john = couple()
        seq = two.hub.journal.last
        john.cut()
        mary.ask(Say(text="are you there?"))
        one.wait(GRACE - 1)
        again = one.peer()
        assert again.join("John", token=john.token, resume=Resume(epoch="first", seq=seq)).resumed
        one.wait(2 * GRACE)
        assert again.only(Message).text == "are you there?"
        assert mary.frames() == []

    def test_who_is_cut_and_does_not_come_back_is_announced_once_everywhere(self) -> None:
        one, two, mary, john = couple()
        ada = two.join("Ada")
        mary.frames()
        john.cut("too slow")
        one.wait(GRACE - 1)
        assert mary.frames() == ada.frames() == []
        one.wait(2 * GRACE)
        assert mary.only(Left) == ada.only(Left)
        assert two.told[-1] == one.told[-1] == "John left: too slow"

    def test_a_goodbye_that_crosses_a_coming_in_elsewhere_is_one_of_that_terminal_only(self) -> None:
        one, two, mary, john = couple()
        again = one.peer()
        john.send(Leave())
        again.send(joining("John", token=john.token))
        at_once(one, two)
        one.settle()
        one.wait(2 * GRACE)
        assert isinstance(again.frames()[0], Welcome)
        assert isinstance(john.only(Bye), Bye)
        assert mary.frames() == []
        assert one.names_here() == two.names_here() == ["Mary", "John"]

    def test_who_leaves_just_before_they_come_in_elsewhere_is_shown_as_gone_and_back(self) -> None:
        one, two, mary, john = couple()
        again = one.peer()
        john.send(Leave())
        again.send(joining("John", token=john.token))
        at_once(one, two)
        two.commit()
        one.settle()
        assert [type(frame) for frame in john.frames()] == [Left, Bye]
        assert isinstance(again.frames()[0], Welcome)
        assert comings(mary.frames()) == ["Left John", "Joined John"]

    def test_who_comes_in_here_and_there_while_their_goodbye_is_with_the_store_was_never_away(self) -> None:
        one, two, mary, john = couple()
        again, third = one.peer(), two.peer()
        john.send(Leave())
        two.take()
        again.send(joining("John", token=john.token))
        one.commit()
        two.learn()
        third.send(joining("John", token=john.token))
        one.settle()
        assert isinstance(third.frames()[0], Welcome)
        assert comings(mary.frames()) == []

    def test_an_end_of_grace_that_crosses_a_coming_back_elsewhere_is_none(self) -> None:
        one, two, mary, john = couple()
        john.cut()
        two.tick(GRACE)
        again = one.peer()
        again.send(joining("John", token=john.token))
        at_once(one, two)
        one.settle()
        one.wait(2 * GRACE)
        assert isinstance(again.frames()[0], Welcome)
        assert mary.frames() == []
        assert one.names_here() == two.names_here() == ["Mary", "John"]

    def test_who_is_elsewhere_and_silent_gets_mail_as_one_who_is_away(self) -> None:
        one, two, mary, john = couple(Limits(idle=100.0))
        mary.ask(Notify(when="away"))
        one.wait(60)
        mary.ask(Say(text="I am here"))
        one.wait(60)
        john.ask(Dm(to="Mary", text="hello"))
        one.wait(70)
        assert len(one.deliver()) == 1

    def test_the_list_is_sent_everywhere_once_a_large_room_is_small_again(self) -> None:
        one, two, mary, john = couple(Limits(presence_max=2))
        ada = two.join("Ada")
        assert mary.frames() == john.frames() == []
        ada.ask(Leave())
        assert names(mary.only(People)) == names(john.only(People)) == ["Mary", "John"]

    def test_who_was_forgotten_while_their_join_was_with_the_store_was_never_here_to_other_servers(self) -> None:
        one, two, mary, john = couple()
        john.ask(Leave())
        again = two.peer()
        two.operator.forget("John", two.now)
        again.send(joining("John"))
        two.settle()
        assert again.all(Bye)[0].reason == "forgotten by the operator"
        assert one.names_here() == two.names_here() == ["Mary"]

    def test_who_is_forgotten_and_about_to_be_gone_is_not_here_to_a_server_that_starts_now(self) -> None:
        one, two, mary, john = couple()
        john.ask(Leave())
        two.peer().send(joining("John"))
        two.take()
        two.operator.forget("John", two.now)
        two.commit()
        two.commit()
        (three,) = one.street.open(1)
        assert three.names_here() == ["Mary"]


class TestADeadServer:
    def test_its_people_are_announced_after_the_grace_once(self) -> None:
        one, two, mary, john = couple()
        (three,) = one.street.open(1)
        ada = three.join("Ada")
        mary.frames()
        two.die()
        one.wait(LAPSE + 3)
        assert one.told[-1] == three.told[-1] == "the server server-2 is gone"
        assert mary.frames() == ada.frames() == []
        one.wait(GRACE)
        left = mary.only(Left)
        assert (left.name, left.reason) == ("John", "connection lost")
        assert ada.only(Left) == left
        assert one.names_here() == three.names_here() == ["Mary", "Ada"]

    def test_who_comes_back_elsewhere_before_was_never_away_to_others(self) -> None:
        one, two, mary, john = couple()
        two.die()
        one.wait(LAPSE + 3)
        again = one.peer()
        again.join("John", token=john.token)
        one.wait(3 * GRACE)
        assert mary.frames() == []
        assert one.names_here() == ["Mary", "John"]

    def test_who_comes_back_elsewhere_before_it_is_given_up_was_never_away_either(self) -> None:
        one, two, mary, john = couple()
        two.die()
        one.peer().join("John", token=john.token)
        one.wait(LAPSE + 3 * GRACE)
        assert mary.frames() == []

    def test_a_name_without_proof_may_come_back_once_its_server_is_given_up(self) -> None:
        """Where it may come back at all while its person is cut off."""
        one, two, mary, john = couple()
        two.die()
        assert isinstance(one.peer().ask(joining("John"))[0], Error)
        one.wait(LAPSE + 3)
        assert isinstance(one.peer().ask(joining("John"))[0], Welcome)

    def test_one_that_ends_as_it_should_is_no_loss_either(self) -> None:
        one, two, mary, john = couple()
        two.end()
        assert one.told[-1] == "the server server-2 has ended"
        one.wait(GRACE - 1)
        assert mary.frames() == []
        one.wait(2)
        left = mary.only(Left)
        assert (left.name, left.reason) == ("John", "their server ended")

    def test_when_the_one_that_leads_ends_the_next_one_says_so_as_well(self) -> None:
        one, two, mary, john = couple()
        one.end()
        two.wait(BEAT + GRACE + 1)
        assert john.only(Left).reason == "their server ended"

    def test_who_was_at_a_server_that_ended_and_is_cut_off_later_was_cut_off(self) -> None:
        one, two, mary, john = couple()
        two.end()
        (three,) = one.street.open(1)
        three.peer().join("John", token=john.token)
        three.die()
        one.wait(LAPSE + 3 + GRACE)
        assert mary.only(Left).reason == "connection lost"

    def test_when_the_one_that_leads_dies_the_next_one_announces_its_people(self) -> None:
        one, two, mary, john = couple()
        one.die()
        two.wait(LAPSE + 6)
        assert john.frames() == []
        two.wait(GRACE)
        assert john.only(Left).name == "Mary"

    def test_when_the_one_that_leads_dies_within_the_grace_the_next_one_announces(self) -> None:
        one, two, mary, john = couple()
        (three,) = one.street.open(1)
        ada = three.join("Ada")
        one.street.wait(1)
        two.die()
        one.wait(LAPSE + 3)
        one.die()
        three.wait(LAPSE + 6)
        three.wait(GRACE)
        assert comings(ada.frames()) == ["Left Mary", "Left John"]

    def test_a_server_that_starts_later_knows_who_is_cut_off(self) -> None:
        one, two, mary, john = couple()
        two.die()
        one.wait(LAPSE + 3)
        (three,) = one.street.open(1)
        (people,) = three.join("Ada").ask(Who())
        assert isinstance(people, People)
        assert [(person.name, person.idle is UNSET) for person in people.people] == [
            ("Ada", False),
            ("Mary", False),
            ("John", True),
        ]

    def test_the_last_one_may_die_and_the_next_one_announces_whom_it_left(self) -> None:
        (one,) = Street().open(1)
        one.join("Mary")
        one.die()
        (two,) = one.street.open(1)
        john = two.join("John")
        two.wait(LAPSE + 6 + GRACE)
        assert comings(john.frames()) == ["Left Mary"]
