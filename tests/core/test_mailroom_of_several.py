"""Mail where several servers share the store: one of them sends, any of them could go on."""

import pytest

from chatmail.core.cluster import BEAT, LAPSE, SEND_TIME
from chatmail.core.limits import Limits
from chatmail.core.records import Draft, Fate, Letter, Outcome
from chatmail.core.wire import Dm, Leave, Notify, Ping, Receipt
from tests.core.house import Peer
from tests.core.houses import Server, Street, at_once, couple
from tests.core.mail import WINDOW, dm, texts


def in_hands() -> tuple[Server, Server, Peer, Letter]:
    """The one that leads has a letter in hands, with what John wrote at the other one."""
    one, two, _, john = couple()
    dm(john)
    letter = one.compose()
    assert letter is not None
    return one, two, john, letter


def change_leader(one: Server, *others: Server) -> None:
    """The first server falls silent for so long that another one leads; it is not given up yet, and back."""
    one.is_cut = True
    while not any(other.hub.cluster.leads for other in others):
        others[0].wait(BEAT)
    one.is_cut = False


def mailed(server: Server) -> list[bytes]:
    """What it sends once the one that led before can be in the middle of nothing any more."""
    server.wait(SEND_TIME)
    return [letter.content for letter in server.deliver()]


class TestSeveralServers:
    """The first one leads. John writes at the second one."""

    def test_queued_then_sent(self) -> None:
        one, two, _, john = couple()
        assert dm(john).mail == "queued"
        (letter,) = one.deliver()
        assert (letter.address, letter.content) == ("mary@example.org", b"hello")
        assert john.only(Receipt) == Receipt(id="1", seq=3, to="Mary", online=True, mail="sent")
        assert two.hub.mailroom.digest.size() == 0

    def test_saved(self) -> None:
        one, _, _, john = couple()
        dm(john)
        one.deliver(Fate.SAVED)
        assert john.only(Receipt).mail == "saved"

    def test_messages_at_two_servers_share_one_window(self) -> None:
        one, two, mary, john = couple()
        ada = one.join("Ada")
        dm(john)
        one.deliver()
        assert ada.ask(Dm(to="Mary", text="from Ada"))[-1].mail == "held"  # type: ignore[attr-defined]
        assert dm(john, "from John", "2").mail == "held"
        for server in (one, two):
            ((_, count, _),) = server.operator.gathering()
            assert count == 2
        one.wait(WINDOW)
        assert texts(one.deliver()) == ["from Ada\nfrom John"]
        assert two.operator.gathering() == []

    def test_held_once_when_it_must_be_tried_again(self) -> None:
        one, two, _, john = couple()
        dm(john)
        john.frames()
        one.deliver(Fate.LATER, "the mail server is busy (4.5.1)", "451 busy")
        receipt = john.only(Receipt)
        assert (receipt.mail, receipt.detail) == ("held", "the mail server is busy (4.5.1)")
        one.wait(30)
        one.deliver(Fate.LATER, "still busy")
        assert john.frames() == []
        one.wait(60)
        one.deliver()
        assert john.only(Receipt).mail == "sent"

    def test_failed_is_told_once_where_its_author_is(self) -> None:
        one, two, _, john = couple()
        dm(john)
        john.frames()
        one.deliver(Fate.FAILED, "no such mailbox", "550 no")
        assert john.only(Receipt).mail == "failed"
        assert [letter.address for letter in two.operator.letters()[1]] == ["mary@example.org"]
        for _ in range(3):
            john.ask(Ping())
        john.ask(Leave())
        again = one.join("John")
        assert again.all(Receipt) == []

    def test_failed_is_told_to_an_author_who_comes_to_another_server_later(self) -> None:
        one, two, _, john = couple()
        dm(john)
        john.ask(Leave())
        one.deliver(Fate.FAILED, "no such mailbox", "550 no")
        again = two.peer()
        again.join("John")
        assert [receipt.mail for receipt in again.all(Receipt)] == ["failed"]

    def test_off_is_told_where_the_author_is(self) -> None:
        """When its time comes it is no longer wanted."""
        one, two, mary, john = couple()
        dm(john)
        one.deliver()
        dm(john, "two", "2")
        mary.ask(Notify(when="never"))
        john.frames()
        one.wait(WINDOW)
        assert one.deliver() == []
        one.settle()
        receipt = john.only(Receipt)
        assert (receipt.id, receipt.mail) == ("2", "off")
        assert two.hub.mailroom.digest.size() == 0

    def test_off_at_once_for_a_reader_who_was_forgotten_at_that_moment(self) -> None:
        one, two, mary, john = couple()
        john.send(Dm(to="Mary", text="hello", id="1"))
        one.operator.forget("Mary", one.now)
        at_once(one, two)
        one.commit()
        one.settle()
        assert [(receipt.id, receipt.mail) for receipt in john.all(Receipt)] == [("1", "off")]
        john.frames()
        one.end()
        two.wait(BEAT)
        assert john.all(Receipt) == []
        assert two.store.snapshot().mails == ()

    def test_who_is_in_the_chat_at_another_server_is_not_mailed_but_when_away(self) -> None:
        one, two, mary, john = couple()
        john.ask(Notify(when="away"))
        mary.ask(Dm(to="John", text="hello"))
        one.wait(WINDOW)
        assert one.deliver() == []
        john.ask(Leave())
        one.wait(WINDOW)
        assert texts(one.deliver()) == ["hello"]

    def test_who_has_read_it_at_another_server_is_not_mailed(self) -> None:
        one, two, mary, john = couple()
        john.ask(Notify(when="away"))
        mary.ask(Dm(to="John", text="hello", id="1"))
        john.ask(Ping(seq=two.hub.journal.last))
        john.ask(Leave())
        one.wait(2 * WINDOW)
        assert one.deliver() == []
        one.settle()
        assert mary.all(Receipt)[-1].mail == "off"


class TestAnotherLeader:
    """The mail goes on where it was, and nothing goes out twice."""

    def test_a_draft_in_hands_is_dropped_when_another_server_has_frozen_it(self) -> None:
        one, two, _, john = couple()
        dm(john)
        draft = one.hub.mailroom.take(one.now)
        assert isinstance(draft, Draft)
        change_leader(one, two)
        assert texts(two.deliver()) == ["hello"]
        may: list[bool] = []
        one.hub.mailroom.freeze(draft, one.letter(draft), may.append, one.now)
        one.settle()
        two.wait(10 * WINDOW)
        assert may == [False]
        assert two.deliver() == one.deliver() == []
        assert one.hub.mailroom.digest.size() == two.hub.mailroom.digest.size() == 0

    def test_what_is_frozen_at_the_moment_another_server_leads_goes_to_that_one(self) -> None:
        one, two, _, john = couple()
        dm(john)
        draft = one.hub.mailroom.take(one.now)
        assert isinstance(draft, Draft)
        may: list[bool] = []
        one.hub.mailroom.freeze(draft, one.letter(draft), may.append, one.now)
        one.take()
        change_leader(one, two)
        one.settle()
        assert may == [False]
        two.wait(WINDOW)
        assert one.deliver() == []
        assert texts(two.deliver()) == ["hello"]
        assert [receipt.mail for receipt in john.all(Receipt)][-1] == "sent"

    def test_part_of_a_draft_may_be_frozen_by_another_one_and_the_rest_waits(self) -> None:
        one, two, _, john = couple()
        dm(john)
        one.deliver()
        for text in ("two", "three"):
            dm(john, text, text)
        one.wait(WINDOW)
        draft = one.hub.mailroom.take(one.now)
        assert isinstance(draft, Draft)
        change_leader(one, two)
        two.letter_holds = 1
        (letter,) = two.deliver()
        assert letter.content == b"two"
        one.settle()
        may: list[bool] = []
        one.hub.mailroom.freeze(draft, one.letter(draft), may.append, one.now)
        one.take()
        one.settle()
        assert one.hub.mailroom.digest.size() == two.hub.mailroom.digest.size()
        two.wait(4 * WINDOW)
        assert texts(two.deliver()) == ["three"]

    def test_what_another_one_has_dropped_of_a_draft_does_not_wait_any_more(self) -> None:
        one, two, mary, john = couple(Limits(silence=1_000.0))
        dm(john)
        draft = one.hub.mailroom.take(one.now)
        assert isinstance(draft, Draft)
        mary.ask(Notify(when="never"))
        change_leader(one, two)
        assert two.compose() is None
        one.settle()
        may: list[bool] = []
        one.hub.mailroom.freeze(draft, one.letter(draft), may.append, one.now)
        one.settle()
        assert may == [False]
        assert one.hub.mailroom.digest.size() == two.hub.mailroom.digest.size() == 0

    def test_a_letter_in_hands_that_was_sent_is_sent_no_more(self) -> None:
        one, two, john, letter = in_hands()
        change_leader(one, two)
        one.settle()
        assert not one.hub.cluster.leads
        one.report(letter, Fate.SENT)
        assert two.deliver() == []
        assert john.all(Receipt)[-1].mail == "sent"

    def test_a_letter_in_hands_that_could_not_be_sent_is_sent_by_the_one_that_leads(self) -> None:
        one, two, john, letter = in_hands()
        change_leader(one, two)
        one.settle()
        one.report(letter, Fate.LATER, "the mail server is busy")
        assert one.deliver() == []
        assert mailed(two) == [letter.content]
        one.wait(10 * WINDOW)
        assert one.deliver() == two.deliver() == []

    def test_a_letter_in_hands_that_another_one_has_sent_is_left_at_that(self) -> None:
        one, two, john, letter = in_hands()
        change_leader(one, two)
        assert mailed(two) == [letter.content]
        one.settle()
        john.frames()
        one.report(letter, Fate.FAILED, "no")
        assert john.frames() == []
        assert one.operator.letters() == two.operator.letters() == ([], [])

    def test_one_that_could_not_be_sent_is_tried_again_by_the_next_when_it_is_due(self) -> None:
        one, two, _, john = couple()
        dm(john)
        one.deliver(Fate.LATER, "the mail server is busy")
        one.end()
        two.wait(28)
        assert two.deliver() == []
        two.wait(2)
        assert texts(two.deliver()) == ["hello"]

    def test_what_waits_for_its_window_goes_out_in_time(self) -> None:
        one, two, _, john = couple()
        dm(john)
        one.deliver()
        dm(john, "two", "2")
        one.end()
        two.wait(WINDOW - 2)
        assert two.deliver() == []
        two.wait(2)
        assert texts(two.deliver()) == ["two"]

    def test_what_was_frozen_for_a_forgotten_reader_is_dropped_by_the_next_one(self) -> None:
        one, two, mary, john = couple()
        dm(john)
        letter = one.compose()
        assert letter is not None
        two.operator.forget("Mary", two.now)
        two.settle()
        assert len(two.operator.letters()[0]) == 1  # it is in hands, and may be sent already
        one.end()
        two.wait(BEAT)
        assert two.deliver() == []
        assert two.operator.letters() == ([], [])

    @pytest.mark.parametrize(
        ("first", "second", "told"),
        [(Fate.FAILED, Fate.SENT, ["sent"]), (Fate.SENT, Fate.FAILED, ["failed", "sent"])],
    )
    def test_a_letter_that_one_sent_at_the_moment_it_failed_at_another_is_sent(
        self, first: Fate, second: Fate, told: list[str]
    ) -> None:
        one, two, john, letter = in_hands()
        change_leader(one, two)
        one.settle()
        john.frames()
        two.wait(SEND_TIME)
        assert two.compose() is not None
        two.hub.mailroom.outcome(letter, Outcome(fate=second), two.now)
        one.hub.mailroom.outcome(letter, Outcome(fate=first), one.now)
        at_once(one, two)
        two.commit()
        one.settle()
        assert [receipt.mail for receipt in john.all(Receipt)] == told
        assert one.operator.letters() == two.operator.letters() == ([], [])
        assert [kept.state for kept in one.store.snapshot().letters] == ["sent"]

    def test_what_is_laid_down_goes_to_the_one_that_leads_by_then(self) -> None:
        one, two, john, letter = in_hands()
        change_leader(one, two)
        one.settle()
        one.hub.mailroom.lay_down(letter)
        assert one.deliver() == []
        assert mailed(two) == [letter.content]

    def test_what_is_laid_down_after_another_one_sent_it_is_left_at_that(self) -> None:
        one, two, john, letter = in_hands()
        change_leader(one, two)
        assert mailed(two) == [letter.content]
        one.settle()
        one.hub.mailroom.lay_down(letter)
        assert one.deliver() == two.deliver() == []

    def test_what_two_drop_at_once_is_told_as_off_once(self) -> None:
        """The one that led has just dropped it when it hears that another one leads, which does the same."""
        one, two, mary, john = couple()
        dm(john)
        one.deliver()
        for text in ("two", "three"):
            dm(john, text, text)
        mary.ask(Notify(when="never"))
        john.frames()
        change_leader(one, two)
        one.street.now += WINDOW
        for server in (one, two):
            server.tick(WINDOW)
            assert server.compose() is None
        at_once(one, two)
        one.settle()
        assert [(receipt.id, receipt.mail) for receipt in john.all(Receipt)] == [("two", "off"), ("three", "off")]

    def test_each_server_knows_which_of_many_was_dropped(self) -> None:
        one, two, mary, john = couple(Limits(silence=1_000.0))
        ada = two.join("Ada")
        for reader in ("Mary", "Ada"):
            john.ask(Dm(to=reader, text="hello"))
        one.deliver()
        for reader in ("Ada", "Mary", "Mary"):
            john.ask(Dm(to=reader, text=f"to {reader}", id=f"{two.hub.journal.last}"))
        mary.ask(Notify(when="away"), Ping(seq=one.hub.journal.last - 1))
        ada.frames()
        john.frames()
        one.wait(WINDOW)
        assert texts(one.deliver()) == ["to Ada"]
        one.settle()
        assert [(receipt.to, receipt.mail) for receipt in john.all(Receipt)] == [("Ada", "sent"), ("Mary", "off")]
        assert [(address, count) for address, count, _ in two.operator.gathering()] == [("mary@example.org", 1)]

    def test_nor_does_it_matter_who_else_reads_that_mailbox(self) -> None:
        one, two, mary, john = couple(Limits(silence=1_000.0))
        ada = one.join("Ada", "mary@example.org")
        mary.ask(Notify(when="away"))
        for reader in ("Mary", "Ada"):
            john.ask(Dm(to=reader, text="hello", id=reader))
        ada.ask(Notify(when="never"))
        john.frames()
        one.wait(WINDOW)
        assert one.deliver() == []
        one.settle()
        assert [(receipt.to, receipt.mail) for receipt in john.all(Receipt)] == [("Ada", "off")]
        assert [(address, count) for address, count, _ in two.operator.gathering()] == [("mary@example.org", 1)]


class TestReportsThatAreLate:
    """The leader has a letter in hands. What it reports of it is on its way when it is tried again elsewhere."""

    def test_what_went_out_meanwhile_is_not_tried_again(self) -> None:
        one, two, john, letter = in_hands()
        one.hub.mailroom.outcome(letter, Outcome(fate=Fate.LATER), one.now)
        one.take()
        two.operator.retry(two.now)
        two.take()
        two.commit()
        one.learn()
        again = one.compose()
        assert again is not None
        one.hub.mailroom.outcome(again, Outcome(fate=Fate.SENT), one.now)
        one.commit()
        one.settle()
        assert john.only(Receipt).mail == "sent"
        assert one.operator.letters() == two.operator.letters() == ([], [])
        assert [kept.state for kept in one.store.snapshot().letters] == ["sent"]

    def test_what_is_given_up_meanwhile_is_not_tried_again_without_that_being_asked_once_more(self) -> None:
        one, two, john, letter = in_hands()
        one.hub.mailroom.outcome(letter, Outcome(fate=Fate.LATER, detail="too late"), letter.expires)
        one.take()
        two.operator.retry(two.now)
        two.take()
        two.commit()
        one.settle()
        assert one.deliver() == []
        assert john.only(Receipt).mail == "failed"
        for server in (one, two):
            assert [[kept.state for kept in kind] for kind in server.operator.letters()] == [[], ["failed"]]

    def test_a_retry_holds_that_is_asked_for_at_the_moment_the_letter_is_put_off(self) -> None:
        street = Street()
        one, two, three = street.open(3)
        one.join("Mary")
        dm(two.join("John"))
        assert one.compose() is not None
        one.is_cut = True
        for _ in range(10):
            if two.hub.cluster.leads or three.hub.cluster.leads:
                break
            street.now += BEAT
            for server in (two, three):
                server.tick(BEAT)
                server.beat()
            for server in (two, three):
                server.learn()
                if server.take():
                    server.commit()
                else:
                    server.rest()
        leader, other = (two, three) if two.hub.cluster.leads else (three, two)
        other.learn()
        other.operator.retry(other.now)
        at_once(leader, other)
        leader.commit()
        other.settle()
        assert texts(leader.deliver()) == ["hello"]
        assert other.told[-1] == "mail to mary@example.org is sent"

    def test_tries_are_counted_on(self) -> None:
        one, two, _, letter = in_hands()
        one.hub.mailroom.outcome(letter, Outcome(fate=Fate.LATER, detail="busy", reply="451 busy"), one.now)
        one.take()
        two.operator.retry(two.now)
        two.take()
        two.commit()
        one.learn()
        again = one.compose()
        assert again is not None
        assert again.tries == 1
        one.hub.mailroom.outcome(again, Outcome(fate=Fate.LATER, detail="busy", reply="451 busy"), one.now)
        one.settle()
        assert [kept.tries for kept in one.store.snapshot().letters] == [2]

    def test_who_asked_for_a_retry_that_was_overtaken_hears_how_it_ends(self) -> None:
        one, two, _, letter = in_hands()
        one.hub.mailroom.outcome(letter, Outcome(fate=Fate.LATER, detail="busy", reply="451 busy"), one.now)
        two.operator.retry(two.now)
        at_once(one, two)
        one.commit()
        one.settle()
        assert texts(one.deliver()) == ["hello"]
        one.settle()
        assert two.told[-1] == "mail to mary@example.org is sent"

    def test_that_a_letter_is_put_off_is_no_answer_to_who_asked_for_a_retry(self) -> None:
        one, two, three = Street().open(3)
        one.join("Mary")
        dm(three.join("John"))
        one.deliver(Fate.LATER, "busy", "451 busy")
        one.die()
        two.operator.retry(two.now)
        three.operator.retry(three.now)
        change_leader(one, two, three)
        assert not [line for line in two.told + three.told if "will be tried again" in line]

    def test_where_a_mail_waited_is_forgotten(self) -> None:
        one, two, john, letter = in_hands()
        one.hub.mailroom.outcome(letter, Outcome(fate=Fate.SENT), one.now)
        dm(john, "two", "2")
        mary = next(peer for peer in one.peers if peer.session.account and peer.session.account.name == "Mary")
        mary.ask(Notify(when="never"))
        one.wait(WINDOW)
        assert one.deliver() == []
        one.settle()
        for server in (one, two):
            assert server.hub.mailroom.digest.size() == 0
            assert server.hub.mailroom.digest._places == {}


class TestAfterALapse:
    """The one that led may be in the middle of a letter, or have sent it and not be able to say so."""

    def test_the_next_one_leaves_what_is_frozen_alone_for_as_long_as_sending_takes(self) -> None:
        one, two, john, letter = in_hands()
        one.die()
        change_leader(one, two)
        two.wait(SEND_TIME - BEAT)
        assert two.deliver() == []
        two.wait(BEAT)
        (again,) = two.deliver()
        assert (again.message_id, again.content, again.tries) == (letter.message_id, letter.content, 0)

    def test_what_was_sent_is_sent_once_when_the_first_is_back_in_time(self) -> None:
        one, two, john, letter = in_hands()
        one.is_cut = True
        one.hub.mailroom.outcome(letter, Outcome(fate=Fate.SENT), one.now)
        change_leader(one, two)
        assert two.deliver() == []
        one.settle()
        assert john.all(Receipt)[-1].mail == "sent"
        assert mailed(two) == []

    @pytest.mark.parametrize("fate", [Fate.SENT, Fate.FAILED])
    def test_so_it_is_when_the_first_was_given_up_and_starts_anew(self, fate: Fate) -> None:
        one, two, john, letter = in_hands()
        one.is_cut = True
        one.hub.mailroom.outcome(letter, Outcome(fate=fate), one.now)
        two.wait(2 * LAPSE)
        one.is_cut = False
        two.street.beat()
        assert one.node == "server-3"
        assert [receipt.mail for receipt in john.all(Receipt)][-1] == fate
        assert mailed(two) == []
        assert one.hub.mailroom.unreported() == []

    def test_what_the_first_could_not_send_is_tried_by_the_next_one(self) -> None:
        one, two, john, letter = in_hands()
        one.is_cut = True
        one.hub.mailroom.outcome(letter, Outcome(fate=Fate.LATER), one.now)
        two.wait(2 * LAPSE)
        one.is_cut = False
        two.street.beat()
        assert mailed(two) == [letter.content]

    def test_what_the_next_one_has_settled_meanwhile_is_left_at_that(self) -> None:
        one, two, john, letter = in_hands()
        one.is_cut = True
        one.hub.mailroom.outcome(letter, Outcome(fate=Fate.FAILED), one.now)
        two.wait(2 * LAPSE)
        assert mailed(two) == [letter.content]
        john.frames()
        one.is_cut = False
        two.street.beat()
        assert one.node == "server-3"
        assert john.frames() == []
        assert one.operator.letters() == two.operator.letters() == ([], [])

    @pytest.mark.parametrize("first", [0, 1])
    @pytest.mark.parametrize("fate", [Fate.SENT, Fate.FAILED])
    def test_what_the_first_reports_at_the_very_moment_it_is_put_off_holds(self, fate: Fate, first: int) -> None:
        one, two, john, letter = in_hands()
        while not two.hub.cluster.leads:
            one.street.now += BEAT
            two.tick(BEAT)
            two.beat()
            two.commit()
        one.hub.mailroom.outcome(letter, Outcome(fate=fate), one.now)
        at_once(one, two)
        (one, two)[first].commit()
        one.settle()
        assert [receipt.mail for receipt in john.all(Receipt)][-1] == fate
        assert mailed(two) == []

    def test_of_two_reports_of_one_letter_the_second_is_known_until_it_is_stored(self) -> None:
        one, two, john, letter = in_hands()
        one.hub.mailroom.outcome(letter, Outcome(fate=Fate.LATER), one.now)
        one.take()
        one.tick(30)
        again = one.hub.mailroom.take(one.now)
        assert isinstance(again, Letter)
        one.hub.mailroom.outcome(again, Outcome(fate=Fate.SENT), one.now)
        one.commit()
        assert one.hub.mailroom.unreported() == [(again, Outcome(fate=Fate.SENT))]
        one.commit()
        assert one.hub.mailroom.unreported() == []

    def test_one_that_ended_in_good_order_leaves_nothing_to_wait_for(self) -> None:
        one, two, john, letter = in_hands()
        one.end()
        two.wait(BEAT)
        assert two.deliver() == [letter]

    def test_what_is_due_later_keeps_its_time(self) -> None:
        one, two, _, john = couple()
        dm(john)
        for _ in range(4):
            one.deliver(Fate.LATER)
            one.wait(10 * WINDOW)
        one.deliver(Fate.LATER)
        (letter,) = two.hub.mailroom.digest.letters()
        assert letter.due > two.now + LAPSE + 2 * BEAT + SEND_TIME
        one.is_cut = True
        change_leader(one, two)
        assert two.hub.mailroom.digest.letters() == [letter]

    def test_what_is_not_frozen_and_codes_go_out_at_once(self) -> None:
        one, two, john, letter = in_hands()
        code = Letter(message_id="<code>", address="ann@example.org", content=b"123456", made=0.0, expires=9e9)
        two.hub.mailroom.send(code)
        john.ask(Dm(to="John", text="note to self"))
        one.is_cut = True
        change_leader(one, two)
        assert texts(two.deliver()) == ["123456", "note to self"]

    @pytest.mark.parametrize("at", [1, 2], ids=["at the one that leads", "elsewhere"])
    def test_an_operator_who_asks_for_the_next_try_has_it_at_once(self, at: int) -> None:
        one, two, three = Street().open(3)
        one.join("Mary")
        dm(two.join("John"))
        letter = one.compose()
        assert letter is not None
        one.die()
        change_leader(one, two, three)
        leader, other = (two, three) if two.hub.cluster.leads else (three, two)
        assert leader.deliver() == []
        (leader if at == 1 else other).operator.retry(leader.now)
        leader.settle()
        assert texts(leader.deliver()) == ["hello"]

    @pytest.mark.parametrize("newcomer", [False, True])
    def test_when_yet_another_one_leads_it_waits_for_the_rest_of_the_time(self, newcomer: bool) -> None:
        """Be it one that has started only since."""
        one, two, john, letter = in_hands()
        three = None if newcomer else Server(two.street)
        one.die()
        change_leader(one, two, *filter(None, [three]))
        two.settle()
        three = three or Server(two.street)
        (leader,) = (server for server in (two, three) if server.hub.cluster.leads)
        other = three if leader is two else two
        leader.end()
        other.wait(SEND_TIME - BEAT)
        assert other.hub.cluster.leads
        assert other.deliver() == []
        other.wait(BEAT)
        assert texts(other.deliver()) == ["hello"]

    def test_who_starts_after_all_were_killed_waits_too(self) -> None:
        one, two, john, letter = in_hands()
        one.die()
        two.die()
        three = Server(one.street)
        change_leader(one, three)
        assert three.deliver() == []
        assert mailed(three) == [letter.content]


def tried(fate: Fate, detail: str, reply: str = "") -> tuple[Server, Server, Peer]:
    """John, at the second one, has written a mail that the first one could not send."""
    one, two, _, john = couple()
    dm(john)
    one.deliver(fate, detail, reply)
    two.told.clear()
    return one, two, john


class TestTheOperatorAtAServerThatDoesNotLead:
    def test_has_a_letter_tried_again_now_and_hears_how_it_went(self) -> None:
        one, two, _ = tried(Fate.LATER, "the mail server is busy")
        assert two.operator.retry(two.now) == 1
        two.settle()
        one.deliver()
        assert two.told == ["mail to mary@example.org is sent"]
        assert two.deliver() == []

    def test_hears_that_it_must_wait_once_more(self) -> None:
        one, two, _ = tried(Fate.LATER, "the mail server is busy", "451 busy")
        two.operator.retry(two.now)
        two.settle()
        one.deliver(Fate.LATER, "the mail server is busy", "451 busy")
        assert two.told == ["mail to mary@example.org will be tried again [451 busy]"]

    def test_has_a_dead_letter_sent_after_all(self) -> None:
        one, two, _ = tried(Fate.FAILED, "no such mailbox", "550 no")
        two.operator.retry(two.now)
        two.settle()
        assert one.operator.letters()[1] == []
        one.deliver()
        assert two.told == ["mail to mary@example.org is sent"]
        assert one.operator.letters() == two.operator.letters() == ([], [])

    def test_hears_that_a_dead_letter_is_dead_again(self) -> None:
        one, two, _ = tried(Fate.FAILED, "no such mailbox", "550 no")
        two.operator.retry(two.now)
        two.settle()
        one.deliver(Fate.FAILED, "no such mailbox", "550 no")
        assert two.told == ["mail to mary@example.org is given up [550 no]"]

    def test_drops_a_letter_and_its_author_is_told(self) -> None:
        one, two, mary, john = couple()
        ada = one.join("Ada")
        ada.ask(Dm(to="Mary", text="hello", id="1"))
        one.deliver(Fate.LATER, "the mail server is busy")
        ada.frames()
        (letter,), _ = two.operator.letters()
        two.operator.drop(letter.message_id, two.now)
        two.settle()
        receipt = ada.only(Receipt)
        assert (receipt.mail, receipt.detail) == ("failed", "the operator of this chat dropped it")
        assert two.told[-1] == "mail to mary@example.org is dropped"
        one.wait(100)
        assert one.deliver() == []
        assert one.operator.letters() == two.operator.letters() == ([], [])

    def test_drops_a_letter_that_failed_for_good(self) -> None:
        one, two, _, john = couple()
        dm(john)
        one.deliver(Fate.FAILED, "no such mailbox", "550 no")
        _, (letter,) = two.operator.letters()
        two.operator.drop(letter.message_id, two.now)
        two.settle()
        assert one.operator.letters() == two.operator.letters() == ([], [])

    def test_hears_that_a_letter_that_was_to_be_tried_again_is_dropped_elsewhere(self) -> None:
        one, two, _ = tried(Fate.LATER, "the mail server is busy")
        two.operator.retry(two.now)
        two.settle()
        (letter,), _ = one.operator.letters()
        one.operator.drop(letter.message_id, one.now)
        one.settle()
        assert two.told == ["mail to mary@example.org is dropped"]
        assert two.hub.mailroom._asked == {}

    def test_a_letter_that_is_dropped_while_it_is_being_sent_is_not_tried_again(self) -> None:
        one, two, john, letter = in_hands()
        two.operator.drop(letter.message_id, two.now)
        two.settle()
        one.report(letter, Fate.LATER, "the mail server is busy")
        one.wait(1_000)
        assert one.deliver() == two.deliver() == []

    def test_a_letter_that_is_sent_at_the_moment_it_is_to_be_tried_again_is_not_sent_twice(self) -> None:
        one, two, _, john = couple()
        dm(john)
        one.deliver(Fate.LATER, "the mail server is busy")
        one.wait(30)
        letter = one.compose()
        assert letter is not None
        two.told.clear()
        two.operator.retry(two.now)
        two.take()
        one.hub.mailroom.outcome(letter, Outcome(fate=Fate.SENT), one.now)
        one.commit()
        one.settle()
        one.wait(1_000)
        assert one.deliver() == two.deliver() == []
        assert two.told == ["mail to mary@example.org is sent"]
        assert {kept.state for kept in one.store.snapshot().letters} == {"sent"}

    def test_not_even_when_the_store_took_nothing_in_between(self) -> None:
        one, two, _, john = couple()
        dm(john)
        one.deliver(Fate.LATER, "the mail server is busy")
        two.operator.retry(two.now)
        two.take()
        one.wait(30)
        assert len(one.deliver()) == 1
        two.learn()
        for _ in range(3):
            two.take()
            two.refuse()
        two.settle()
        one.wait(1_000)
        assert one.deliver() == two.deliver() == []

    def test_nor_when_it_waits_for_its_turn_once_more(self) -> None:
        one, two, _, john = couple()
        dm(john)
        one.deliver(Fate.LATER, "the mail server is busy")
        two.operator.retry(two.now)
        two.take()
        two.refuse()
        two.is_cut = True
        one.tick(30)
        assert len(one.deliver()) == 1
        two.is_cut = False
        two.learn()
        two.settle()
        one.wait(1_000)
        assert one.deliver() == two.deliver() == []
        assert {kept.state for kept in one.store.snapshot().letters} == {"sent"}

    def test_a_letter_that_is_to_be_tried_again_at_the_moment_it_is_sent_is_sent_once(self) -> None:
        one, two, john, letter = in_hands()
        two.told.clear()
        two.operator.retry(two.now)
        one.hub.mailroom.outcome(letter, Outcome(fate=Fate.SENT), one.now)
        at_once(one, two)
        two.commit()
        one.settle()
        assert one.deliver() == two.deliver() == []
        assert two.told == ["mail to mary@example.org is sent"]
        assert one.operator.letters() == two.operator.letters() == ([], [])

    def test_a_letter_for_who_is_forgotten_at_the_moment_it_is_tried_again_is_dropped(self) -> None:
        one, two, mary, john = couple()
        dm(john)
        one.deliver(Fate.LATER, "the mail server is busy")
        two.operator.retry(two.now)
        one.operator.forget("Mary", one.now)
        one.commit()
        at_once(one, two)
        two.commit()
        one.settle()
        assert one.deliver() == two.deliver() == []
        assert one.operator.letters() == two.operator.letters() == ([], [])

    def test_hears_that_a_letter_is_not_dropped_which_was_sent_at_that_moment(self) -> None:
        one, two, john, letter = in_hands()
        john.frames()
        two.told.clear()
        two.operator.drop(letter.message_id, two.now)
        one.hub.mailroom.outcome(letter, Outcome(fate=Fate.SENT), one.now)
        at_once(one, two)
        one.settle()
        (told,) = two.told
        assert told.startswith("mail to mary@example.org was sent, dropped or tried again at another server")

    def test_a_letter_that_is_sent_at_the_moment_it_is_dropped_has_not_failed(self) -> None:
        one, two, john, letter = in_hands()
        john.frames()
        two.told.clear()
        two.operator.drop(letter.message_id, two.now)
        two.take()
        one.hub.mailroom.outcome(letter, Outcome(fate=Fate.SENT), one.now)
        one.commit()
        one.settle()
        assert [receipt.mail for receipt in john.all(Receipt)] == ["sent"]

    def test_a_letter_that_is_to_be_tried_again_at_the_moment_it_is_dropped_elsewhere_is_tried_again(self) -> None:
        """Where it is dropped, it is not even stored yet that it could not be sent."""
        one, two, john, letter = in_hands()
        two.operator.retry(two.now)
        one.hub.mailroom.outcome(letter, Outcome(fate=Fate.LATER), one.now)
        one.operator.drop(letter.message_id, one.now)
        at_once(one, two)
        two.commit()
        one.settle()
        assert [kept.state for kept in one.store.snapshot().letters] == ["waiting"]
        assert texts(one.deliver()) == ["hello"]

    def test_a_letter_that_fails_at_the_moment_it_is_dropped_has_failed_once(self) -> None:
        one, two, john, letter = in_hands()
        john.frames()
        two.operator.drop(letter.message_id, two.now)
        one.hub.mailroom.outcome(letter, Outcome(fate=Fate.FAILED), one.now)
        at_once(one, two)
        two.commit()
        one.settle()
        assert [receipt.mail for receipt in john.all(Receipt)] == ["failed"]
        assert one.operator.letters() == two.operator.letters() == ([], [])

    def test_a_letter_that_two_revive_at_once_is_sent_once(self) -> None:
        one, two, _, john = couple()
        dm(john)
        one.deliver(Fate.FAILED, "no such mailbox", "550 no")
        for server in (one, two):
            server.operator.retry(server.now)
        at_once(one, two)
        one.commit()
        assert len(one.deliver()) == 1
        one.wait(1_000)
        assert one.deliver() == two.deliver() == []
