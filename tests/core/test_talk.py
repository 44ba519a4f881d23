"""What people do once they are in: say, send direct messages, choose, ping. The hub's answers are in test_hub."""

import pytest
from msgspec import UNSET

from chatmail.core.limits import Limits
from chatmail.core.wire import (
    LINE_MAX,
    Ack,
    Away,
    Code,
    Direct,
    Dm,
    Error,
    History,
    Leave,
    Message,
    Notice,
    Notify,
    Page,
    People,
    Person,
    Ping,
    Pong,
    Profile,
    Receipt,
    Say,
    Search,
    Who,
    Whois,
    encode,
    stamp,
)
from tests.core.house import House, Peer, joining


def pair(limits: Limits | None = None) -> tuple[House, Peer, Peer]:
    """Mary and John, with nothing unread."""
    house = House(limits)
    mary, john = house.join("Mary"), house.join("John")
    mary.frames()
    return house, mary, john


class TestSay:
    def test_everybody_gets_the_same_line_its_author_included(self) -> None:
        house, mary, john = pair()
        (echo,) = john.ask(Say(text="hello", id="7"))
        assert echo == Message(seq=3, time=stamp(house.now), sender="John", text="hello", id="7")
        assert mary.frames() == [echo]

    def test_without_an_id_too(self) -> None:
        house, mary, john = pair()
        (echo,) = john.ask(Say(text="hello"))
        assert isinstance(echo, Message)
        assert echo.id is UNSET


class TestDm:
    def test_the_two_get_it_and_nobody_else(self) -> None:
        house, mary, john = pair()
        ada = house.join("Ada")
        mary.frames()
        john.frames()
        direct, receipt = john.ask(Dm(to="mary", text="psst", id="7"))
        assert direct == Direct(seq=4, time=stamp(house.now), sender="John", to="Mary", text="psst", id="7")
        assert receipt == Receipt(id="7", seq=4, to="Mary", online=True, mail="queued")
        assert mary.frames() == [direct]
        assert ada.frames() == []

    def test_to_oneself_it_comes_once(self) -> None:
        house, mary, john = pair()
        told = john.ask(Dm(to="John", text="note"))
        assert [type(frame) for frame in told] == [Direct, Receipt]

    def test_to_somebody_who_is_not_here(self) -> None:
        house, mary, john = pair()
        mary.ask(Leave())
        john.frames()
        _, receipt = john.ask(Dm(to="Mary", text="psst"))
        assert receipt == Receipt(seq=4, to="Mary", online=False, mail="queued")

    @pytest.mark.parametrize(
        ("to", "text"),
        [
            ("Zoe", "nobody here was ever called 'Zoe'"),
            ("Mari", "nobody here was ever called 'Mari'; did you mean Mary?"),
            ("M\N{CYRILLIC SMALL LETTER A}ry", "nobody here was ever called 'M\u0430ry'; did you mean Mary?"),
            ("x" * 40, f"nobody here was ever called '{'x' * 32}'…"),
        ],
    )
    def test_to_nobody(self, to: str, text: str) -> None:
        """A look-alike is never taken for the name it looks like."""
        house, mary, john = pair()
        assert john.ask(Dm(to=to, text="psst", id="7")) == [
            Error(code=Code.NO_SUCH_PERSON, text=text, id="7", field="to")
        ]
        assert mary.frames() == []

    def test_to_who_wants_no_mail(self) -> None:
        house, mary, john = pair()
        mary.ask(Notify(when="never"))
        _, receipt = john.ask(Dm(to="Mary", text="psst", id="7"))
        assert receipt == Receipt(id="7", seq=3, to="Mary", online=True, mail="off", detail="Mary wants no mail")
        assert house.deliver() == []

    def test_which_the_store_refuses_for_who_wants_no_mail(self) -> None:
        house, mary, john = pair()
        mary.ask(Notify(when="never"))
        john.send(Dm(to="Mary", text="psst", id="7"))
        house.refuse("the disk is full")
        assert john.frames() == [Error(code=Code.UNAVAILABLE, text="the disk is full", id="7")]

    def test_at_most_so_many_texts_wait_for_one_person(self) -> None:
        house, mary, john = pair(Limits(mails_waiting=3))
        john.ask(*(Dm(to="Mary", text=f"{number}", id=f"{number}") for number in range(2)))
        told = john.ask(*(Dm(to="Mary", text=f"{number}", id=f"{number}") for number in range(2, 5)))
        text = "3 messages wait to be mailed to Mary; try again when some have gone out"
        assert [frame for frame in told if isinstance(frame, Error)] == [
            Error(code=Code.TOO_FAST, text=text, id=id) for id in "34"
        ]
        assert [frame.text for frame in mary.frames() if isinstance(frame, Direct)] == ["0", "1", "2"]

    def test_a_thousand_by_default(self) -> None:
        house, mary, john = pair()
        told = john.ask(*(Dm(to="Mary", text="x") for _ in range(1_001)))
        (error,) = [frame for frame in told if isinstance(frame, Error)]
        assert error.code == Code.TOO_FAST
        assert error.text.startswith("1,000 messages wait to be mailed to Mary")

    def test_room_is_made_by_what_goes_out_and_by_what_is_refused(self) -> None:
        house, mary, john = pair(Limits(mails_waiting=1))
        john.send(Dm(to="Mary", text="one", id="1"))
        house.refuse()
        assert john.all(Error)[0].code == Code.UNAVAILABLE
        john.ask(Dm(to="Mary", text="one", id="1"))
        assert [type(frame) for frame in john.ask(Dm(to="Mary", text="two", id="2"))] == [Error]
        house.deliver()
        john.frames()
        assert [type(frame) for frame in john.ask(Dm(to="Mary", text="two", id="2"))] == [Direct, Receipt]

    def test_an_id_that_was_accepted_is_acknowledged_though_there_is_no_room(self) -> None:
        house, mary, john = pair(Limits(mails_waiting=1))
        john.ask(Dm(to="Mary", text="one", id="1"))
        assert john.ask(Dm(to="Mary", text="one", id="1")) == [Ack(id="1", seq=3)]

    def test_nor_is_it_while_the_first_one_is_with_the_store(self) -> None:
        house, mary, john = pair(Limits(mails_waiting=1))
        john.send(Dm(to="Mary", text="one", id="1"), Dm(to="Mary", text="one", id="1"), Ping())
        house.settle()
        told = john.frames()
        assert [type(frame) for frame in told] == [Direct, Receipt, Ack, Pong]
        assert Ack(id="1", seq=3) in told

    def test_and_is_told_when_the_store_refuses_both(self) -> None:
        house, mary, john = pair(Limits(mails_waiting=1))
        john.send(Dm(to="Mary", text="one", id="1"), Dm(to="Mary", text="one", id="1"))
        house.refuse("the disk is full")
        assert john.frames() == 2 * [Error(code=Code.UNAVAILABLE, text="the disk is full", id="1")]

    def test_and_another_one_is_told_what_is_wrong(self) -> None:
        house, mary, john = pair(Limits(mails_waiting=1))
        john.ask(Dm(to="Mary", text="one", id="1"))
        (another, new, last) = john.ask(
            Dm(to="Mary", text="two", id="1"), Dm(to="Mary", text="two", id="2"), Dm(to="Mary", text="three")
        )
        assert isinstance(another, Error)
        assert isinstance(new, Error)
        assert isinstance(last, Error)
        assert (another.code, another.id, another.field) == (Code.BAD_FRAME, "1", "id")
        assert [(new.code, new.id), last.code] == [(Code.TOO_FAST, "2"), Code.TOO_FAST]

    def test_nor_is_it_when_the_store_can_not_say(self) -> None:
        house, mary, john = pair(Limits(mails_waiting=1))
        john.ask(Dm(to="Mary", text="one", id="1"))
        house.slow_lookups = True
        john.ask(Dm(to="Mary", text="one", id="1"), Say(text="two"))
        (lookup,) = house.hub.lookups
        lookup.failed("the disk is broken")
        house.hub.lookups.clear()
        told = john.ask()
        assert told[0] == Error(code=Code.UNAVAILABLE, text="the disk is broken", id="1")
        assert [getattr(frame, "text", "") for frame in told[1:]] == ["two"]


class TestChoices:
    def test_notify_is_acknowledged_and_kept(self) -> None:
        house, mary, _ = pair()
        assert mary.ask(Notify(when="never", id="7")) == [Ack(id="7")]
        assert house.operator.whois("Mary", house.now).notify == "never"

    def test_a_refused_one_changes_nothing(self) -> None:
        house, mary, _ = pair()
        mary.send(Notify(when="never", id="7"), Away(reason="lunch", id="8"))
        house.refuse("the disk is full")
        assert mary.frames() == [Error(code=Code.UNAVAILABLE, text="the disk is full", id=id) for id in "78"]
        profile = house.operator.whois("Mary", house.now)
        assert (profile.notify, profile.away) == ("always", None)

    def test_away_and_back(self) -> None:
        house, mary, _ = pair()
        assert mary.ask(Away(reason="lunch", id="7")) == [Ack(id="7")]
        assert house.operator.whois("Mary", house.now).away == "lunch"
        assert mary.ask(Away()) == [Ack()]
        assert house.operator.whois("Mary", house.now).away is None


class TestPeople:
    def test_who_is_here_and_how_long_they_have_been_silent(self) -> None:
        house, mary, john = pair()
        came = stamp(house.now)
        house.wait(61)
        mary.ask(Ping(), Away(reason="tea"))
        house.wait(2)
        mary.ask(Ping())
        john.frames()
        (people,) = john.ask(Who())
        assert people == People(
            people=[
                Person(name="John", since=came, idle=0, mailed="always"),
                Person(name="Mary", since=came, idle=2, away="tea", mailed="always"),
            ],
            total=2,
        )

    def test_of_somebody_who_is_cut_off_nothing_is_said_of_that(self) -> None:
        house, mary, john = pair()
        mary.cut()
        assert john.ask(Whois(name="Mary")) == [Profile(name="Mary", since=stamp(house.now), mailed="always")]

    def test_one_person_may_be_asked_about_here_or_not(self) -> None:
        house, mary, john = pair()
        came = stamp(house.now)
        mary.ask(Notify(when="never"), Away(reason="tea"))
        house.wait(5)
        told = john.ask(Whois(name="mary", id="i"))
        assert told == [Profile(name="Mary", since=came, away="tea", idle=5, mailed="never", id="i")]
        mary.ask(Leave())
        john.frames()
        assert john.ask(Whois(name="Mary")) == [Profile(name="Mary", mailed="never")]

    def test_nobody_is_told_about_who_never_was_here(self) -> None:
        _, _, john = pair()
        (error,) = john.ask(Whois(name="Marry", id="i"))
        assert isinstance(error, Error)
        assert (error.code, error.id) == (Code.NO_SUCH_PERSON, "i")
        assert "did you mean Mary?" in error.text


class TestPing:
    def seen(self, house: House) -> int:
        account = house.hub.accounts.find("Mary")
        assert account is not None
        return account.seen

    def test_it_tells_what_was_seen(self) -> None:
        house, mary, john = pair()
        john.ask(Dm(to="Mary", text="one"), Dm(to="Mary", text="two"))
        assert house.operator.whois("Mary", house.now).unseen == 2
        assert mary.ask(Ping(seq=3))[-1:] == [Pong()]
        assert self.seen(house) == 3
        assert house.operator.whois("Mary", house.now).unseen == 1

    def test_never_more_than_was_sent(self) -> None:
        house, mary, john = pair()
        mary.stall()
        mary.stalled = False
        house.hub.receive(mary.session, Ping(seq=2**63 - 1), house.now)
        house.settle()
        assert self.seen(house) == 0

    def test_nor_less_than_before(self) -> None:
        house, mary, john = pair()
        john.ask(Say(text="one"), Say(text="two"))
        mary.ask(Ping(seq=4), Ping(seq=3))
        assert self.seen(house) == 4
        mary.ask(Ping(seq=2))
        assert self.seen(house) == 4

    def test_what_the_store_did_not_take_the_next_one_says_again(self) -> None:
        house, mary, john = pair()
        john.ask(Dm(to="Mary", text="one"))
        mary.frames()
        mary.send(Ping(seq=3))
        house.refuse("the disk is full")
        assert mary.frames() == [Pong()]
        assert self.seen(house) == 0
        assert mary.ask(Ping(seq=3)) == [Pong()]
        assert self.seen(house) == 3

    def test_without_a_number_it_is_only_a_sign_of_life(self) -> None:
        house, mary, john = pair()
        assert house.take() == []
        assert mary.ask(Ping()) == [Pong()]
        assert self.seen(house) == 0


class TestWithoutProof:
    """Where names are not trusted and no codes are sent, whoever knows name and address comes in."""

    def test_a_guest_cannot_mark_as_seen_what_the_owner_has_not(self) -> None:
        house = House(Limits(trust_names=False))
        john, mary = house.join("John"), house.join("Mary")
        token = mary.token
        mary.ask(Leave())
        john.ask(Dm(to="Mary", text="for your eyes"))
        guest = house.join("Mary")
        assert guest.ask(Ping(seq=house.hub.journal.last)) == [Pong()]
        guest.ask(Leave())
        back = house.peer()
        told = back.ask(joining("Mary", token=token))
        assert "for your eyes" in [frame.text for frame in told if isinstance(frame, Direct)]

    def test_nor_choose_how_the_owner_gets_mail(self) -> None:
        house = House(Limits(trust_names=False))
        house.join("Mary").ask(Leave())
        (error,) = house.join("Mary").ask(Notify(when="never", id="7"))
        assert isinstance(error, Error)
        assert (error.code, error.id) == (Code.NOT_ALLOWED, "7")
        assert house.operator.whois("Mary", house.now).notify == "always"


def texts(page: Page) -> list[str]:
    return [entry.text for entry in page.entries if isinstance(entry, Message | Direct | Notice)]


class TestLookBack:
    def test_history_is_what_was_said_oldest_first(self) -> None:
        house, mary, john = pair()
        john.ask(*(Say(text=str(number)) for number in range(30)))
        mary.frames()
        mary.send(History(id="7"))
        house.settle()
        page = mary.only(Page)
        assert (texts(page), page.more, page.id) == ([str(number) for number in range(10, 30)], True, "7")
        mary.send(History(count=2))
        house.settle()
        latest = mary.only(Page)
        assert (texts(latest), latest.more, latest.id) == (["28", "29"], True, UNSET)
        mary.send(History(count=100, before=latest.entries[0].seq))
        house.settle()
        older = mary.only(Page)
        assert (texts(older), older.more) == ([str(number) for number in range(28)], False)

    def test_it_holds_ones_own_direct_messages_and_nobody_elses(self) -> None:
        house, mary, john = pair()
        ada = house.join("Ada")
        john.ask(Dm(to="Mary", text="psst"), Say(text="all"))
        for peer, seen in ((john, ["psst", "all"]), (mary, ["psst", "all"]), (ada, ["all"])):
            peer.frames()
            peer.send(History(), Search(words="psst"))
            house.settle()
            history, search = peer.all(Page)
            assert texts(history) == seen
            assert texts(search) == [text for text in seen if text == "psst"]

    def test_who_proved_nothing_sees_no_direct_messages_of_before(self) -> None:
        house = House(Limits(trust_names=False))
        mary, john = house.join("Mary"), house.join("John")
        john.ask(Dm(to="Mary", text="secret"), Say(text="all"))
        mary.cut()
        house.wait(10)
        stranger = house.join("Mary")
        john.ask(Dm(to="Mary", text="new"))
        stranger.frames()
        stranger.send(History(), Search(words="secret"))
        house.settle()
        history, search = stranger.all(Page)
        assert texts(history) == ["all", "new"]
        assert texts(search) == []

    def test_it_reaches_back_beyond_the_journal(self) -> None:
        house, mary, john = pair(Limits(entries_max=2))
        john.ask(*(Say(text=f"tea {number}") for number in range(5)))
        mary.frames()
        mary.send(Search(words="TEA 1", count=1))
        house.settle()
        page = mary.only(Page)
        assert page.entries == [Message(seq=4, time=stamp(house.now), sender="John", text="tea 1")]
        assert not page.more

    def test_what_nobody_has_seen_yet_is_not_found(self) -> None:
        house, mary, john = pair()
        john.send(Say(text="soon"))
        house.take()
        mary.send(History(before=99))
        house.flush()
        assert texts(mary.only(Page)) == []
        house.commit()
        mary.frames()
        mary.send(History())
        house.flush()
        assert texts(mary.only(Page)) == ["soon"]

    def test_a_page_is_no_longer_than_a_line_may_be(self) -> None:
        house, mary, john = pair()
        john.ask(*(Say(text="\0409" + "\u0007" * 3_900) for _ in range(10)))
        mary.frames()
        mary.send(History())
        house.settle()
        page = mary.only(Page)
        assert len(encode(page)) <= LINE_MAX
        assert 0 < len(page.entries) < 10
        assert page.more
        assert page.entries[-1].seq == house.hub.journal.last

    def test_the_answer_keeps_its_place_and_nothing_is_read_meanwhile(self) -> None:
        house, mary, john = pair()
        house.slow_lookups = True
        john.send(Say(text="a"), History(), Ping(), Say(text="b"))
        house.settle()
        assert [type(frame) for frame in john.frames()] == [Message]
        house.look_up()
        house.settle()
        assert [type(frame) for frame in john.frames()] == [Page, Pong, Message]

    def test_who_asks_right_behind_saying_has_the_echo_first(self) -> None:
        house, mary, john = pair()
        john.send(Say(text="a", id="1"), History(id="2"))
        assert john.frames() == []
        house.commit()
        assert [type(frame) for frame in john.frames()] == [Message, Page]

    def test_before_joining_there_is_nothing_to_ask(self) -> None:
        house = House()
        peer = house.peer()
        peer.send(History(id="7"), Search(words="x"))
        house.flush()
        errors = peer.all(Error)
        assert [(error.code, error.id) for error in errors] == [(Code.NOT_JOINED, "7"), (Code.NOT_JOINED, UNSET)]

    def test_what_cannot_be_read_is_said(self) -> None:
        house, mary, john = pair()
        house.slow_lookups = True
        john.send(History(id="7"), Ping())
        (lookup,) = house.hub.lookups
        lookup.failed("the file is damaged")
        house.hub.lookups.clear()
        house.settle()
        assert john.frames() == [Error(code=Code.UNAVAILABLE, text="the file is damaged", id="7"), Pong()]

    def test_who_is_gone_meanwhile_is_not_answered(self) -> None:
        house, mary, john = pair()
        house.slow_lookups = True
        john.send(History())
        john.cut()
        house.look_up()
        house.settle()
        assert john.frames() == []
