"""What the operator may do, and what it looks like from inside."""

import pytest

from chatmail.core.limits import Limits
from chatmail.core.operator import Operator, Standing
from chatmail.core.records import Ban, Fate, Found, Letter
from chatmail.core.wire import (
    Away,
    Bye,
    Challenge,
    Code,
    Direct,
    Dm,
    Joined,
    Leave,
    Left,
    Message,
    Notice,
    Refused,
    Resume,
    Say,
    Verify,
    Welcome,
    stamp,
)
from tests.core.house import House, Peer, joining
from tests.core.houses import at_once, couple

HOST = "192.0.2.1"


def pair() -> tuple[House, Peer, Peer]:
    """Mary and John, with nothing unread; John comes from another machine."""
    house = House()
    mary, john = house.join("Mary"), house.join("John", host=HOST)
    mary.frames()
    house.told.clear()
    return house, mary, john


class TestBroadcast:
    def test_everybody_gets_a_notice(self) -> None:
        house, mary, john = pair()
        house.operator.broadcast("coffee!", house.now)
        assert mary.frames() == []
        house.settle()
        assert mary.frames() == john.frames() == [Notice(seq=3, time=stamp(house.now), text="coffee!")]
        assert house.told == ["broadcast to 2 people"]

    def test_one_is_one_person(self) -> None:
        house = House()
        house.join("Mary")
        house.operator.broadcast("coffee!", house.now)
        house.settle()
        assert house.told[-1] == "broadcast to 1 person"

    @pytest.mark.parametrize(("text", "code"), [("", Code.BAD_FRAME), ("x" * 4_001, Code.TOO_LONG)])
    def test_a_text_that_is_none_is_refused(self, text: str, code: Code) -> None:
        with pytest.raises(Refused) as refused:
            House().operator.broadcast(text, 0)
        assert refused.value.code == code

    def test_one_that_the_store_refuses_is_told_the_operator(self) -> None:
        house, mary, john = pair()
        house.operator.broadcast("coffee!", house.now)
        house.refuse("the disk is full")
        assert house.told == ["not done: /broadcast coffee!: the disk is full"]
        assert mary.frames() == []


class TestKick:
    def test_a_goodbye_and_a_left(self) -> None:
        house, mary, john = pair()
        house.operator.kick("john", "spam", house.now)
        house.settle()
        assert john.frames() == [Bye(reason="kicked: spam", retry=False)]
        assert mary.only(Left).reason == "kicked: spam"
        assert house.told == ["John left: kicked: spam"]
        house.wait(60)
        assert mary.frames() == []

    def test_what_was_submitted_before_is_still_delivered(self) -> None:
        house, mary, john = pair()
        john.send(Say(text="last words"), Dm(to="Mary", text="and these"))
        house.operator.kick("John", "", house.now)
        john.send(Say(text="and one more"))
        house.settle()
        assert [type(frame) for frame in mary.frames()] == [Message, Direct, Left]

    def test_the_goodbye_does_not_wait_for_the_store(self) -> None:
        house, mary, john = pair()
        house.operator.kick("John", "", house.now)
        house.flush()
        assert john.frames() == [Bye(reason="kicked", retry=False)]

    def test_the_person_may_come_back(self) -> None:
        house, mary, john = pair()
        house.operator.kick("John", "", house.now)
        house.settle()
        assert house.peer().join("John").name == "John"

    def test_who_is_cut_off_at_the_moment_has_left(self) -> None:
        house, mary, john = pair()
        john.cut()
        house.operator.kick("John", "", house.now)
        house.settle()
        assert mary.only(Left).reason == "kicked"

    def test_twice_is_once(self) -> None:
        house, mary, john = pair()
        house.operator.kick("John", "", house.now)
        with pytest.raises(Refused, match="John is not here"):
            house.operator.kick("John", "", house.now)
        house.settle()
        assert mary.only(Left).name == "John"

    def test_one_that_the_store_refuses_is_done_all_the_same_a_little_later(self) -> None:
        """The connection is cut, which never waits for the store; the left is."""
        house, mary, john = pair()
        house.operator.kick("John", "", house.now)
        house.refuse()
        assert john.frames() == [Bye(reason="kicked", retry=False)]
        assert mary.frames() == []
        house.wait(Limits().grace)
        assert mary.only(Left).name == "John"

    def test_nobody_to_kick(self) -> None:
        house, _, _ = pair()
        with pytest.raises(Refused, match=r"nobody here was ever called 'Jon'; did you mean John\?"):
            house.operator.kick("Jon", "", house.now)
        with pytest.raises(Refused, match="at most 200"):
            house.operator.kick("John", "x" * 201, house.now)


class TestBan:
    @pytest.mark.parametrize("what", ["john", "john@example.org", HOST, "192.0.2.0/24"])
    def test_who_is_here_must_go(self, what: str) -> None:
        house, mary, john = pair()
        house.operator.ban(what.upper(), None, "spam", house.now)
        assert john.frames() == []
        house.settle()
        assert john.frames() == [Bye(reason="banned: spam", retry=False)]
        assert mary.only(Left).reason == "banned: spam"
        assert house.names_here() == ["Mary"]
        assert house.told[0] == f"{what} is banned for good"

    def test_who_is_cut_off_at_the_moment_too(self) -> None:
        house, mary, john = pair()
        john.cut()
        house.operator.ban("John", None, "", house.now)
        house.settle()
        assert mary.only(Left).reason == "banned"

    @pytest.mark.parametrize("what", ["John", "john@example.org", HOST])
    def test_tokens_of_who_was_banned_are_void_though_the_ban_is_lifted(self, what: str) -> None:
        house = House(Limits(verify_email=True))
        john, mary = house.peer(HOST), house.peer("192.0.2.9")
        for peer, name in ((john, "John"), (mary, "Mary")):
            peer.ask(joining(name))
            peer.ask(Verify(code=house.codes[-1][1]))
        accounts = house.hub.accounts
        tokens = [accounts.token(accounts.known(name), 0, verified=True) for name in ("John", "Mary")]
        house.operator.ban(what, None, "", house.now)
        house.settle()
        house.operator.unban(what, house.now)
        house.settle()
        again, mary_again = house.peer(HOST), house.peer("192.0.2.9")
        assert isinstance(again.ask(joining("John", token=tokens[0]))[0], Challenge)
        assert isinstance(mary_again.ask(joining("Mary", token=tokens[1]))[0], Welcome)
        assert [account.revoked for account in house.store.snapshot().accounts] == [1, 0]

    def test_a_network_shuts_out_all_its_hosts(self) -> None:
        house, mary, john = pair()
        house.operator.ban("192.0.2.77/24", None, "", house.now)
        house.settle()
        with pytest.raises(Refused, match="banned"):
            house.peer("192.0.2.200")
        house.peer("192.0.3.1")
        house.operator.unban("192.0.2.1/24", house.now)
        house.settle()
        house.peer("192.0.2.200")

    def test_connections_of_a_banned_host_that_have_not_joined_end(self) -> None:
        house, mary, john = pair()
        peer, other = house.peer(HOST), house.peer("192.0.2.2")
        house.operator.ban(HOST, None, "", house.now)
        house.settle()
        assert peer.frames() == [Bye(reason="banned", retry=False)]
        assert other.connected

    def test_a_connection_without_an_address_has_none_to_ban(self) -> None:
        house = House()
        house.join("Ada", host="")
        house.operator.ban(HOST, None, "", house.now)
        house.settle()
        assert house.names_here() == ["Ada"]

    def test_a_ban_may_end(self) -> None:
        house, mary, john = pair()
        house.operator.ban("John", 60, "", house.now)
        house.settle()
        assert house.operator.bans(house.now) == [Ban(what="john", until=house.now + 60, reason="")]
        house.wait(59)
        peer = house.peer()
        assert [type(frame).__name__ for frame in peer.ask(joining("John"))] == ["Error", "Bye"]
        house.wait(1)
        assert house.operator.bans(house.now) == []
        assert house.peer().join("John").name == "John"

    def test_or_be_lifted(self) -> None:
        house, mary, john = pair()
        house.operator.ban("John", None, "", house.now)
        house.settle()
        house.operator.unban("JOHN", house.now)
        house.operator.unban("john", house.now)  # twice in a hurry
        house.settle()
        assert house.told[-1] == "john is no longer banned"
        assert house.peer().join("John").name == "John"

    def test_only_what_is_banned_can_be_lifted(self) -> None:
        with pytest.raises(Refused, match="zoe is not banned; /bans lists who is"):
            House().operator.unban("Zoe", 0)

    def test_one_that_the_store_refuses_is_none(self) -> None:
        house, mary, john = pair()
        house.operator.ban("John", None, "", house.now)
        house.refuse()
        assert house.operator.bans(house.now) == []
        assert john.frames() == []


class TestForget:
    def test_the_name_is_free_and_the_token_void(self) -> None:
        house, mary, john = pair()
        token, seq = john.token, house.hub.journal.last
        house.operator.forget("John", house.now)
        house.settle()
        assert john.frames() == [Bye(reason="forgotten by the operator", retry=False)]
        assert mary.only(Left).name == "John"
        other = house.peer()
        welcome = other.join("John", "other@example.org", token=token, resume=Resume(epoch="first", seq=seq))
        assert not welcome.resumed
        assert isinstance(mary.only(Joined), Joined)

    def test_who_is_away_can_be_forgotten_too(self) -> None:
        house, mary, john = pair()
        john.ask(Leave())
        house.operator.forget("John", house.now)
        house.settle()
        assert house.told[-1] == "John is forgotten"
        with pytest.raises(Refused):
            house.operator.whois("John", house.now)

    def test_twice_in_a_hurry_is_once(self) -> None:
        house, mary, john = pair()
        for _ in range(2):
            house.operator.forget("John", house.now)
        house.settle()
        assert house.operator.figures().accounts == 1

    def test_one_that_the_store_refuses_is_none(self) -> None:
        house, mary, john = pair()
        house.operator.forget("John", house.now)
        house.refuse()
        assert house.operator.whois("John", house.now).name == "John"


class TestMotd:
    def test_it_is_shown_to_who_comes_from_now_on(self) -> None:
        house = House()
        house.operator.motd("be kind", house.now)
        assert house.operator.current_motd() == ""
        house.settle()
        assert house.operator.current_motd() == "be kind"
        assert house.told == ["the message of the day is set"]
        assert house.peer().join("Mary").motd == "be kind"

    def test_an_empty_one_is_none(self) -> None:
        house = House()
        house.operator.motd("be kind", house.now)
        house.operator.motd("", house.now)
        house.settle()
        assert house.operator.current_motd() == ""
        assert house.told[-1] == "no message of the day"

    def test_one_that_is_too_long_is_refused(self) -> None:
        with pytest.raises(Refused, match="at most 4,000"):
            House().operator.motd("x" * 4_001, 0.0)


class TestLookingBack:
    @staticmethod
    def talk() -> tuple[House, list[Found]]:
        house, mary, john = pair()
        mary.ask(Say(text="the key is on my desk"))
        john.ask(Dm(to="Mary", text="my key is lost"))
        house.operator.broadcast("keys are kept by Ada", house.now)
        house.settle()
        john.ask(Say(text="thanks"))
        return house, []

    def test_what_was_said_to_all_and_nothing_that_was_not(self) -> None:
        house, answers = self.talk()
        house.operator.look_back(20, None, answers.append, pytest.fail)
        assert answers == []
        house.settle()
        assert [entry.text for _, entry in answers[0].entries] == [
            "the key is on my desk", "keys are kept by Ada", "thanks",
        ]  # fmt: skip
        assert not answers[0].more

    def test_no_more_than_was_asked_for(self) -> None:
        house, answers = self.talk()
        house.operator.look_back(1, None, answers.append, pytest.fail)
        house.settle()
        assert [entry.text for _, entry in answers[0].entries] == ["thanks"]
        assert answers[0].more

    def test_what_holds_some_words(self) -> None:
        house, answers = self.talk()
        house.operator.look_back(20, "KEY ke", answers.append, pytest.fail)
        house.settle()
        assert [entry.sender for _, entry in answers[0].entries] == ["Mary", ""]

    def test_what_is_said_later_is_no_part_of_the_answer(self) -> None:
        house, answers = self.talk()
        house.slow_lookups = True
        house.operator.look_back(1, None, answers.append, pytest.fail)
        house.operator.broadcast("too late", house.now)
        house.settle()
        house.look_up()
        assert [entry.text for _, entry in answers[0].entries] == ["thanks"]

    def test_when_the_store_cannot_answer_its_reason_is_told(self) -> None:
        house, answers = self.talk()
        reasons: list[str] = []
        house.slow_lookups = True
        house.operator.look_back(20, None, answers.append, reasons.append)
        (lookup,) = house.hub.lookups
        lookup.failed("the disk is gone")
        assert (answers, reasons) == ([], ["the disk is gone"])

    @pytest.mark.parametrize("words", ["x" * 201, "  ", "a\0"])
    def test_words_that_nobody_can_say_are_refused(self, words: str) -> None:
        house = House()
        with pytest.raises(Refused, match="this search"):
            house.operator.look_back(20, words, lambda _: None, lambda _: None)
        assert house.hub.lookups == []


class TestLooking:
    def test_who_is_here(self) -> None:
        house, mary, john = pair()
        house.tick(60)
        john.cut()
        first, second = house.operator.who(house.now)
        assert (first.name, first.email, first.host, first.idle) == ("Mary", "mary@example.org", "127.0.0.1", 60)
        assert first.since == house.now - 60
        assert (second.name, second.host, second.idle, second.since) == ("John", None, None, house.now - 60)

    def test_who_somebody_is(self) -> None:
        house, mary, john = pair()
        mary.ask(Leave())
        john.ask(Dm(to="Mary", text="one"), Dm(to="Mary", text="two"))
        profile = house.operator.whois("mary", house.now)
        assert (profile.name, profile.since, profile.away, profile.notify) == ("Mary", None, None, "always")
        assert (profile.unseen, profile.mails) == (2, 2)

    def test_names_for_completion_those_here_first(self) -> None:
        house, mary, john = pair()
        house.join("Ada").ask(Leave())
        mary.ask(Leave())
        assert house.operator.names() == ["John", "Ada", "Mary"]

    def test_figures(self) -> None:
        house, mary, john = pair()
        house.peer()
        john.ask(Dm(to="Mary", text="one"))
        house.deliver()
        john.ask(Dm(to="Mary", text="two"))
        figures = house.operator.figures()
        assert (figures.people, figures.connections, figures.accounts) == (2, 3, 2)
        assert (figures.entries, figures.last, figures.journal_size) == (4, 4, house.hub.journal.size)
        assert (figures.mails_waiting, figures.mails_sent, figures.mails_dead) == (1, 1, 0)

    def test_the_mail_that_has_waited_longest(self) -> None:
        house, mary, john = pair()
        assert house.operator.oldest_mail() is None
        john.ask(Dm(to="Mary", text="one"))
        house.deliver(Fate.LATER)
        house.wait(60)
        mary.ask(Dm(to="John", text="two"))
        oldest = house.operator.oldest_mail()
        assert oldest is not None
        assert (oldest.to, oldest.time) == ("Mary", stamp(house.now - 60))


class TestAudit:
    @staticmethod
    def acts(house: House, count: int = 100) -> list[str]:
        found: list[Found] = []
        house.operator.audit(count, found.append, lambda why: None)
        house.flush()
        return [act.text for act in found[0].acts] + ["more"] * found[0].more

    def test_every_act_is_kept(self) -> None:
        house, mary, john = pair()
        operator, now = house.operator, house.now
        john.ask(Dm(to="Mary", text="psst"))
        (letter,) = house.deliver(Fate.FAILED)
        for act in (
            lambda: operator.begin(now),
            lambda: operator.broadcast("hello\nall", now),
            lambda: operator.kick("John", "rude", now),
            lambda: operator.ban("eve", 3_600, "spam", now),
            lambda: operator.ban("192.0.2.0/24", None, "", now),
            lambda: operator.unban("eve", now),
            lambda: operator.motd("be kind", now),
            lambda: operator.motd("", now),
            lambda: operator.retry(now, letter.message_id),
            lambda: house.deliver(Fate.LATER),
            lambda: operator.drop(letter.message_id, now),
            lambda: operator.forget("John", now),
            lambda: operator.end(now),
        ):
            act()
            house.settle()
        assert self.acts(house) == [
            "the server started",
            "broadcast: hello\nall",
            "kicked John: rude",
            f"banned eve until {stamp(now + 3_600):%Y-%m-%d %H:%M} UTC: spam",
            "banned 192.0.2.0/24 for good",
            "unbanned eve",
            "message of the day: be kind",
            "message of the day: none",
            "tried the mail to mary@example.org (1 message) again",
            "dropped the mail to mary@example.org (1 message)",
            "forgot John <john@example.org>",
            "ended the server",
        ]
        assert self.acts(house, 1) == ["ended the server", "more"]

    def test_what_was_refused_was_not_done(self) -> None:
        house, mary, john = pair()
        house.operator.motd("be kind", house.now)
        house.refuse()
        house.settle()
        assert self.acts(house) == []

    def test_what_happened_though_the_disk_was_full_is_noted_later(self) -> None:
        house, mary, john = pair()
        house.operator.kick("John", "", house.now)
        house.refuse()
        house.settle()
        assert self.acts(house) == ["kicked John"]

    def test_what_was_tried_again_and_dropped_is_named_by_what_it_is(self) -> None:
        house, mary, john = pair()
        ann = house.join("Ann")
        john.ask(Dm(to="Mary", text="one"))
        letters = house.deliver(Fate.FAILED)
        john.ask(Dm(to="Mary", text="two"), Dm(to="Mary", text="three"), Dm(to="Ann", text="psst"))
        house.wait(60)
        letters += house.deliver(Fate.FAILED)
        assert ann.frames()
        for letter in letters:
            house.operator.retry(house.now, letter.message_id)
            house.settle()
        house.deliver(Fate.FAILED)
        house.operator.retry(house.now)
        house.settle()
        assert sorted(self.acts(house)) == [
            "tried 3 mails again",
            "tried the mail to ann@example.org (1 message) again",
            "tried the mail to mary@example.org (1 message) again",
            "tried the mail to mary@example.org (2 messages) again",
        ]

    def test_a_mail_with_a_code_is_one(self) -> None:
        house = House()
        code = Letter(message_id="<c@x>", address="x@example.org", content=b"1", made=house.now, expires=house.now + 9)
        house.hub.mailroom.send(code)
        house.operator.drop("<c@x>", house.now)
        house.settle()
        assert self.acts(house) == ["dropped the mail to x@example.org (a code)"]


class TestAnswers:
    def test_what_became_of_what_was_asked_for_is_told_to_who_asked(self) -> None:
        house, mary, john = pair()
        john.ask(Dm(to="Mary", text="psst"))
        (letter,) = house.deliver(Fate.FAILED)
        house.told.clear()
        heard: list[str] = []
        operator = Operator(house.hub, heard.append)
        operator.broadcast("hello", house.now)
        operator.kick("John", "rude", house.now)
        operator.retry(house.now, letter.message_id)
        house.settle()
        house.deliver(Fate.FAILED, "no", "550")
        operator.drop(letter.message_id, house.now)
        house.settle()
        operator.motd("be kind", house.now)
        house.refuse("the disk is full")
        assert heard == [
            "broadcast to 2 people",
            "John left: kicked: rude",
            "mail to mary@example.org is given up: no [550]",
            "mail to mary@example.org is dropped",
            "not done: /motd be kind: the disk is full",
        ]
        assert house.told == []

    def test_an_operator_is_owed_an_answer_until_it_is_there(self) -> None:
        house, mary, john = pair()
        operator, answered = house.operator, []
        operator.answered = lambda: answered.append(operator.owed)
        operator.broadcast("hello", house.now)
        operator.kick("John", "", house.now)
        operator.look_back(10, None, lambda _: None, lambda _: None)
        operator.audit(10, lambda _: None, lambda _: None)
        assert (operator.owed, answered) == (5, [])
        house.settle()
        house.flush()
        assert (operator.owed, answered) == (0, [0])
        operator.motd("be kind", house.now)
        house.refuse("the disk is full")
        assert (operator.owed, answered) == (0, [0, 0])
        why: list[str] = []
        operator.look_back(1, None, lambda _: None, why.append)
        operator.audit(1, lambda _: None, why.append)
        for lookup in house.hub.lookups:
            lookup.failed("the disk is gone")
        assert (operator.owed, why) == (0, ["the disk is gone"] * 2)


class TestNumbers:
    def test_what_is_said_is_counted_and_who_comes_and_goes_is_not(self) -> None:
        house, mary, john = pair()
        before = house.operator.messages()
        john.ask(Say(text="hello"), Dm(to="Mary", text="psst"))
        house.operator.broadcast("hi", house.now)
        house.join("Ann")
        mary.ask(Leave())
        john.cut()
        house.wait(60)
        house.settle()
        assert house.operator.messages() == before + 3
        figures = house.operator.figures()
        assert (figures.people, figures.most, figures.directs) == (1, 3, 1)

    def test_in_a_large_room_too(self) -> None:
        house = House(Limits(presence_max=1))
        john, mary = house.join("John"), house.join("Mary")
        before = house.operator.messages()
        john.ask(Say(text="hello"))
        mary.ask(Leave())
        house.join("Ann")
        assert house.operator.messages() == before + 1

    def test_how_people_are_here(self) -> None:
        house, mary, john = pair()
        mary.ask(Away(reason="lunch"))
        now = house.now
        house.wait(10)
        john.cut()
        house.settle()
        assert house.operator.here() == {"Mary": Standing(now, "lunch"), "John": Standing(None, None)}
        house.operator.kick("Mary", "", house.now)
        assert [one.name for one in house.operator.who(house.now)] == ["John"]


class TestSeveralServers:
    def test_a_notice_is_for_all_of_them(self) -> None:
        one, _, mary, john = couple(host=HOST)
        one.operator.broadcast("coffee!", one.now)
        one.settle()
        assert mary.frames() == john.frames() == [Notice(seq=3, time=stamp(one.now), text="coffee!")]
        assert one.told == ["broadcast to 2 people"]

    def test_a_kick_reaches_somebody_at_another_server(self) -> None:
        one, two, mary, john = couple(host=HOST)
        one.operator.kick("John", "spam", one.now)
        one.settle()
        assert john.all(Bye) == [Bye(reason="kicked: spam", retry=False)]
        assert mary.only(Left).reason == "kicked: spam"
        assert one.told == two.told == ["John left: kicked: spam"]

    def test_of_two_kicks_at_once_one_is_told(self) -> None:
        one, two, mary, john = couple(host=HOST)
        for server in (one, two):
            server.operator.kick("John", "", server.now)
        at_once(one, two)
        one.settle()
        assert len(john.all(Bye)) == len(mary.all(Left)) == 1

    def test_who_comes_in_elsewhere_at_the_moment_of_a_kick_must_go_there_too(self) -> None:
        one, two, mary, john = couple(host=HOST)
        again = one.peer()
        again.send(joining("John", token=john.token))
        two.operator.kick("John", "", two.now)
        at_once(one, two)
        one.settle()
        assert [type(frame) for frame in again.frames()] == [Welcome, Left, Bye]
        assert john.only(Bye).reason == "kicked"
        assert mary.only(Left).name == "John"
        assert one.names_here() == two.names_here() == ["Mary"]

    def test_a_kick_that_the_store_does_not_take_is_told(self) -> None:
        one, _, _, john = couple(host=HOST)
        one.operator.kick("John", "", one.now)
        one.refuse("Redis is full")
        assert one.told == ["John is still here: Redis is full"]
        assert john.all(Bye) == []
        assert one.operator.owed == 0
        found: list[Found] = []
        one.operator.audit(1, found.append, one.told.append)
        one.settle()
        assert found[0].acts == (), "nobody was kicked"

    def test_a_kick_of_somebody_here_that_the_store_does_not_take_is_one_all_the_same(self) -> None:
        one, two, mary, _ = couple(host=HOST)
        one.operator.kick("Mary", "", one.now)
        one.refuse("Redis is full")
        assert one.told == ["Mary is cut off, and gone once that can be stored: Redis is full"]
        assert mary.only(Bye).reason == "kicked"
        one.settle()
        assert one.operator.owed == 0
        found: list[Found] = []
        two.operator.audit(1, found.append, two.told.append)
        two.settle()
        assert [act.text for act in found[0].acts] == ["kicked Mary (at server-1)"]

    def test_such_a_kick_is_the_reason_that_is_told_in_the_end(self) -> None:
        one, two, mary, john = couple(host=HOST)
        one.operator.kick("Mary", "rude", one.now)
        one.take()
        one.hub.refused(one._taken(), "Redis is full")
        one.now += 0.5
        one.hub.disconnected(mary.session, one.now)
        one.peers.remove(mary)
        one.wait(2 * one.hub.limits.grace)
        assert john.only(Left).reason == "kicked: rude"

    def test_a_kick_of_somebody_who_has_just_gone_is_answered(self) -> None:
        one, two, _, john = couple(host=HOST)
        john.send(Leave())
        one.operator.kick("John", "", one.now)
        at_once(one, two)
        two.commit()
        one.settle()
        assert one.told == ["John left", "John is not here any more"]
        assert two.told == ["John left"]
        assert one.operator.owed == 0

    def test_who_comes_in_elsewhere_at_the_moment_they_are_forgotten_is_forgotten(self) -> None:
        one, two, mary, john = couple(host=HOST)
        again = one.peer()
        again.send(joining("John", token=john.token))
        two.operator.forget("John", two.now)
        at_once(one, two)
        one.settle()
        assert again.all(Bye) == [Bye(reason="forgotten by the operator", retry=False)]
        assert mary.only(Left).name == "John"
        assert "John is forgotten" in two.told
        assert one.operator.names() == two.operator.names() == ["Mary"]

    def test_whoever_is_asked_where_somebody_is_knows(self) -> None:
        one, _, _, john = couple(host=HOST)
        assert [(profile.name, profile.host) for profile in one.operator.who(one.now)] == [
            ("Mary", "127.0.0.1"),
            ("John", "192.0.2.1 at server-2"),
        ]
        assert one.operator.whois("John", one.now).idle == 0

    def test_the_audit_says_at_which_server_it_was(self) -> None:
        one, two, _, _ = couple(host=HOST)
        one.operator.kick("John", "", one.now)
        two.operator.motd("welcome!", two.now)
        one.settle()
        found: list[Found] = []
        two.operator.audit(2, found.append, two.told.append)
        two.settle()
        assert [act.text for act in found[0].acts] == [
            "kicked John (at server-1)",
            "message of the day: welcome! (at server-2)",
        ]

    def test_where_the_server_starts_anew_the_operator_waits_for_nothing_of_before(self) -> None:
        one, two, _, _ = couple(host=HOST)
        answered: list[bool] = []
        one.operator.answered = lambda: answered.append(True)
        one.is_cut = True
        one.operator.motd("welcome!", one.now)
        one.take()
        while "server-1" in one.street.beats:
            two.wait(2)
        assert answered == []
        one.is_cut = False
        one.settle()
        assert answered == [True]
        assert "what was asked for last may not be done: look, and ask for it again" in one.told
        assert one.operator.owed == 0
        assert one.operator.current_motd() == ""
        one.operator.motd("welcome!", one.now)
        one.settle()
        assert two.operator.current_motd() == "welcome!"

    def test_an_operator_who_asked_for_nothing_is_told_nothing_of_that(self) -> None:
        one, two, _, _ = couple(host=HOST)
        answered: list[bool] = []
        one.operator.answered = lambda: answered.append(True)
        one.is_cut = True
        while "server-1" in one.street.beats:
            two.wait(2)
        one.is_cut = False
        one.street.beat()
        assert one.node == "server-3"
        assert answered == []
        assert not any("may not be done" in told for told in one.told)

    def test_the_figures_count_what_was_told_and_said_everywhere(self) -> None:
        one, two, mary, john = couple(host=HOST)
        john.ask(Say(text="hello"))
        assert one.operator.messages() == two.operator.messages() == 1
        assert one.operator.figures().people == two.operator.figures().people == 2
