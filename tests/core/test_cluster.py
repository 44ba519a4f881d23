"""Which servers live, and which one leads: one always does, never two, and nobody is given up who lives."""

from chatmail.core.cluster import BEAT, LAPSE
from chatmail.core.wire import Dm, Left, Message, Say
from tests.core.house import House
from tests.core.houses import Server, Street, at_once

LEADS = "this server sends the mail of all from now on"


def leaders(street: Street) -> list[str]:
    return [server.node for server in street.houses if server.hub.cluster.leads]


class TestAlone:
    def test_a_server_that_shares_nothing_leads_and_says_nothing_of_it(self) -> None:
        house = House()
        assert house.hub.cluster.is_alone
        assert house.hub.cluster.leads
        assert house.told == []


class TestLeading:
    def test_the_first_server_leads(self) -> None:
        (one,) = Street().open(1)
        assert one.hub.cluster.leads
        assert not one.hub.cluster.is_alone
        assert one.told == [LEADS]

    def test_one_that_comes_later_does_not(self) -> None:
        one, two = Street().open(2)
        two.wait(60)
        assert leaders(one.street) == ["server-1"]
        assert two.told == ["server-1 sends the mail of all from now on"]

    def test_of_two_that_would_lead_one_does(self) -> None:
        street = Street()
        one, two = Server(street), Server(street)
        one.beat()
        two.beat()
        at_once(one, two)
        two.commit()
        one.settle()
        assert leaders(street) == ["server-2"]
        assert one.told == ["the server server-2 is here", "server-2 sends the mail of all from now on"]
        assert two.told == [LEADS]

    def test_a_store_that_takes_longer_than_a_beat_is_asked_once(self) -> None:
        (one,) = Street().open(1)
        one.end()
        late = Server(one.street)
        late.beat()
        at_once(late)
        late.beat()
        late.settle()
        assert late.told == [LEADS]

    def test_when_the_store_would_not_have_it_the_next_beat_asks_again(self) -> None:
        street = Street()
        one = Server(street)
        one.beat()
        one.refuse()
        assert not one.hub.cluster.leads
        street.beat()
        assert one.hub.cluster.leads

    def test_when_it_ends_as_it_should_another_one_does_at_the_next_beat(self) -> None:
        one, two = Street().open(2)
        one.end()
        two.wait(BEAT)
        assert two.hub.cluster.leads

    def test_when_it_dies_another_one_does_and_gives_it_up(self) -> None:
        one, two = Street().open(2)
        one.die()
        two.wait(LAPSE - BEAT)
        assert not two.hub.cluster.leads
        two.wait(3 * BEAT)
        assert two.hub.cluster.leads
        assert two.told[-2:] == [LEADS, "the server server-1 is gone"]
        assert list(two.street.beats) == ["server-2"]

    def test_when_it_dies_and_two_are_left_one_of_them_does(self) -> None:
        one, two, three = Street().open(3)
        one.die()
        two.wait(LAPSE + 3 * BEAT)
        assert len(leaders(two.street)) == 1
        assert list(two.street.beats) == ["server-2", "server-3"]

    def test_one_that_was_thought_dead_has_nothing_stored_any_more_and_starts_anew(self) -> None:
        """It may be that it only stood still; its people come back by themselves."""
        one, two = Street().open(2)
        mary, john = one.join("Mary"), two.join("John")
        mary.frames()
        one.is_cut = True
        mary.send(Say(text="does anybody hear me?"))
        two.wait(LAPSE + 3 * BEAT)
        one.is_cut = False
        one.settle()
        assert not mary.connected
        assert one.node == "server-3"
        assert leaders(one.street) == ["server-2"]
        again = one.peer()
        again.join("Mary", token=mary.token)
        two.wait(60)
        assert john.frames() == []
        again.ask(Say(text="now?"))
        assert john.only(Message).text == "now?"

    def test_one_that_was_thought_dead_and_has_nothing_to_say_starts_anew_as_well(self) -> None:
        one, two = Street().open(2)
        one.is_cut = True
        two.wait(LAPSE + 3 * BEAT)
        one.is_cut = False
        one.street.beat()
        assert one.node == "server-3"
        assert leaders(one.street) == ["server-2"]


class TestGivingUp:
    def test_nobody_is_given_up_who_beats(self) -> None:
        one, _, _ = Street().open(3)
        one.wait(10 * LAPSE)
        assert list(one.street.beats) == ["server-1", "server-2", "server-3"]

    def test_one_that_is_away_for_a_moment_is_not_given_up(self) -> None:
        one, two = Street().open(2)
        mary, john = one.join("Mary"), two.join("John")
        mary.frames()
        two.is_cut = True
        one.wait(LAPSE - BEAT)
        mary.ask(Say(text="hello"))
        two.is_cut = False
        one.wait(2 * LAPSE)
        assert john.only(Message).text == "hello"
        assert not [frame for frame in mary.frames() if isinstance(frame, Left)]
        assert two.node == "server-2"

    def test_one_that_was_deaf_gives_nobody_up_for_what_it_could_not_hear(self) -> None:
        one, two, three = Street().open(3)
        one.is_cut = two.is_cut = True
        three.wait(LAPSE - BEAT)
        one.is_cut = False  # it leads, and has heard nothing of the second one for long
        one.wait(BEAT)
        assert list(one.street.beats) == ["server-1", "server-2", "server-3"]
        two.is_cut = False
        one.wait(5 * LAPSE)
        assert list(one.street.beats) == ["server-1", "server-2", "server-3"]

    def test_one_whose_beats_take_long_still_finds_who_is_dead(self) -> None:
        """Up to five seconds Redis may take for each."""
        one, two = Street().open(2)
        one.die()
        for _ in range(4):
            two.street.now += 6
            two.tick(6)
            two.street.beat()
        assert two.hub.cluster.leads

    def test_beats_that_are_told_late_bring_nobody_back(self) -> None:
        one, two = Street().open(2)
        before = dict(two.street.beats)
        one.end()
        two.told.clear()
        two.hub.cluster.hear(before, two.now)
        assert two.told == []
        two.street.beat()
        assert two.told == [LEADS]

    def test_one_that_was_deaf_for_long_does_not_take_over(self) -> None:
        one, two = Street().open(2)
        for server in (one, two):
            server.is_cut = True
        one.wait(10 * LAPSE)
        for server in (two, one):
            server.is_cut = False
            one.street.beat()
        assert leaders(one.street) == ["server-1"]
        assert list(one.street.beats) == ["server-1", "server-2"]

    def test_only_the_one_that_leads_gives_up_another(self) -> None:
        one, two, three = Street().open(3)
        three.die()
        one.is_cut = True
        two.wait(LAPSE - BEAT)
        one.is_cut = False  # so one hears for less long that the third is silent
        two.wait(BEAT)
        assert "server-3" in two.street.beats
        two.wait(LAPSE + BEAT)
        assert list(two.street.beats) == ["server-1", "server-2"]

    def test_one_that_no_longer_leads_gives_nobody_up(self) -> None:
        """Its decision crosses the news that another one leads."""
        one, two, three = Street().open(3)
        for beats in range(1, 8):
            one.tick(BEAT)
            one.hub.cluster.hear({"server-1": beats, "server-2": beats, "server-3": 1}, one.now)
            two.hub.cluster.hear({"server-1": 1, "server-2": beats, "server-3": beats}, one.now)
        at_once(one, two)
        two.commit()
        one.settle()
        assert leaders(one.street) == ["server-2"]
        assert list(one.street.beats) == ["server-1", "server-2", "server-3"]

    def test_where_the_store_takes_nothing_the_next_beat_tries_again(self) -> None:
        one, two = Street().open(2)
        two.die()
        for _ in range(6):
            one.tick(BEAT)
            one.beat()
            one.refuse("Redis is full")
        assert "server-2" in one.street.beats
        one.street.beat()
        assert list(one.street.beats) == ["server-1"]


class TestMail:
    def test_the_mail_of_all_is_sent_by_the_one_that_leads(self) -> None:
        one, two = Street().open(2)
        mary, john = one.join("Mary"), two.join("John")
        john.ask(Dm(to="Mary", text="hello"))
        mary.ask(Dm(to="John", text="hi"))
        assert two.deliver() == []
        assert sorted(letter.address for letter in one.deliver()) == ["john@example.org", "mary@example.org"]

    def test_another_one_that_leads_goes_on(self) -> None:
        one, two = Street().open(2)
        one.join("Mary")
        john = two.join("John")
        john.ask(Dm(to="Mary", text="hello"))
        one.end()
        two.wait(BEAT)
        assert [letter.address for letter in two.deliver()] == ["mary@example.org"]
