"""Direct messages become mails, and their authors learn what became of them."""

import pytest

from chatmail.core.digest import DAY
from chatmail.core.hourly import HOUR
from chatmail.core.mailroom import PER_SENDER
from chatmail.core.records import Account, Failure, Fate, Gone, Letter, Mail, Outcome, Snapshot
from chatmail.core.wire import Away, Direct, Dm, Joined, Leave, Notify, Ping, Receipt, Refused, Say, Welcome, stamp
from tests.core.house import NOON, House, Peer
from tests.core.mail import WINDOW, dm, pair, texts


class TestReceipts:
    def test_queued_then_sent(self) -> None:
        house, mary, john = pair()
        assert dm(john).mail == "queued"
        (letter,) = house.deliver()
        assert (letter.address, letter.content) == ("mary@example.org", b"hello")
        assert john.only(Receipt) == Receipt(id="1", seq=3, to="Mary", online=True, mail="sent")

    def test_saved_where_there_is_no_mail_account(self) -> None:
        house, mary, john = pair()
        dm(john)
        house.deliver(Fate.SAVED)
        assert john.only(Receipt).mail == "saved"

    def test_held_while_the_window_lasts_and_then_gathered(self) -> None:
        house, mary, john = pair()
        dm(john)
        house.deliver()
        assert [dm(john, text, text).mail for text in ("two", "three")] == ["held", "held"]
        house.wait(WINDOW - 1)
        assert house.deliver() == []
        house.wait(1)
        john.frames()
        assert texts(house.deliver()) == ["two\nthree"]
        assert [(frame.id, frame.mail) for frame in john.all(Receipt)] == [("two", "sent"), ("three", "sent")]

    def test_held_once_when_it_must_be_tried_again(self) -> None:
        house, mary, john = pair()
        dm(john)
        john.frames()
        house.deliver(Fate.LATER, "the mail server is busy (4.5.1)", "451 busy")
        receipt = john.only(Receipt)
        assert (receipt.mail, receipt.detail) == ("held", "the mail server is busy (4.5.1)")
        assert (
            house.told[-1] == "mail to mary@example.org will be tried again: the mail server is busy (4.5.1) [451 busy]"
        )
        house.wait(30)
        house.deliver(Fate.LATER, "still busy")
        assert john.frames() == []
        house.wait(60)
        house.deliver()
        assert john.only(Receipt).mail == "sent"

    def test_failed_for_good(self) -> None:
        house, mary, john = pair()
        dm(john)
        (letter,) = house.deliver(Fate.FAILED, "no such mailbox (5.1.1)", "550 no such user here")
        receipt = john.only(Receipt)
        assert (receipt.mail, receipt.detail) == ("failed", "no such mailbox (5.1.1)")
        assert house.told[-1] == (
            "mail to mary@example.org is given up: no such mailbox (5.1.1) [550 no such user here]"
        )
        on_their_way, dead = house.operator.letters()
        assert on_their_way == []
        assert [(each.message_id, each.reply) for each in dead] == [(letter.message_id, "550 no such user here")]

    def test_a_failure_is_kept_until_the_next_welcome_of_its_author(self) -> None:
        house, mary, john = pair()
        dm(john)
        john.ask(Leave())
        house.deliver(Fate.FAILED, "no such mailbox")
        mary.ask(Say(text="anybody?"))
        john = house.peer()
        john.join("John")
        assert [(frame.id, frame.mail, frame.detail) for frame in john.all(Receipt)] == [
            ("1", "failed", "no such mailbox")
        ]
        john.ask(Ping())
        john.ask(Ping(), Leave())
        john = house.peer()
        john.join("John")
        assert john.all(Receipt) == []

    def test_it_comes_after_the_history(self) -> None:
        house, mary, john = pair()
        dm(john)
        john.ask(Leave())
        house.deliver(Fate.FAILED, "no such mailbox")
        john = house.peer()
        welcome = john.join("John")
        assert isinstance(welcome, Welcome)
        assert [type(frame) for frame in john.frames()] == [Direct, Joined, Receipt]

    def test_who_is_closing_has_not_read_it(self) -> None:
        house, mary, john = pair()
        dm(john)
        john.stall()
        house.hub.dismiss(john.session, "enough", retry=True)
        house.deliver(Fate.FAILED, "no such mailbox")
        john.go_on()
        assert john.all(Receipt) == []
        again = house.peer()
        again.join("John", token=john.token)
        assert [frame.mail for frame in again.all(Receipt)] == ["failed"]

    def test_of_other_outcomes_who_is_gone_hears_nothing(self) -> None:
        house, mary, john = pair()
        dm(john)
        john.ask(Leave())
        house.deliver()
        john = house.peer()
        john.join("John")
        assert john.all(Receipt) == []

    def test_a_code_has_no_receipt_but_the_operator_hears_when_it_fails(self) -> None:
        house, mary, john = pair()
        letter = Letter(message_id="<c>", address="x@example.org", content=b"1", made=house.now, expires=house.now + 9)
        house.hub.mailroom.send(letter)
        house.deliver(Fate.FAILED, "no such mailbox", "550")
        assert house.told[-1] == "mail to x@example.org is given up: no such mailbox [550]"
        assert house.take() == []


class TestChoices:
    def test_never_is_off(self) -> None:
        house, mary, john = pair()
        mary.ask(Notify(when="never"))
        assert dm(john).mail == "off"

    def test_never_chosen_later_drops_what_waits(self) -> None:
        house, mary, john = pair()
        dm(john)
        mary.ask(Notify(when="never"))
        assert house.compose() is None
        (change,) = house.take()
        assert change.rows == (Gone(table="mail", key=3),)
        house.settle()
        receipt = john.only(Receipt)
        assert (receipt.mail, receipt.detail) == ("off", "it was read in the chat, or is not wanted")

    def test_away_waits_a_window_and_is_sent_when_it_was_not_seen(self) -> None:
        house, mary, john = pair()
        mary.ask(Notify(when="away"), Leave())
        assert dm(john).mail == "held"
        assert house.deliver() == []
        house.wait(WINDOW)
        assert texts(house.deliver()) == ["hello"]

    def test_away_is_dropped_when_it_was_seen(self) -> None:
        house, mary, john = pair()
        mary.ask(Notify(when="away"))
        assert dm(john).mail == "held"
        house.deliver()
        mary.ask(Ping(seq=3))
        house.wait(WINDOW)
        assert house.deliver() == []
        house.settle()
        assert john.only(Receipt).mail == "off"

    def test_away_is_who_said_so_and_who_only_pings(self) -> None:
        house, mary, john = pair()
        mary.ask(Notify(when="away"))
        dm(john)
        assert house.deliver() == []
        house.wait(WINDOW)
        assert house.deliver() == []  # she is there, and may read it any moment
        mary.ask(Away(reason="lunch"))
        house.wait(WINDOW)
        assert texts(house.deliver()) == ["hello"]
        mary.ask(Away())
        dm(john, "two", "2")
        for _ in range(20):
            mary.ask(Ping())
            house.wait(30)
            assert house.deliver() == []
        mary.ask(Ping())
        house.wait(WINDOW)
        assert texts(house.deliver()) == ["two"]


class TestStore:
    """Every step is stored before the next."""

    def test_a_letter_is_sent_only_when_it_is_stored(self) -> None:
        house, mary, john = pair()
        dm(john)
        draft = house.hub.mailroom.take(house.now)
        assert draft is not None
        assert not isinstance(draft, Letter)
        letter = house.letter(draft)
        heard: list[bool] = []
        house.hub.mailroom.freeze(draft, letter, heard.append, house.now)
        assert heard == []
        (change,) = house.take()
        assert change.rows == (letter, Gone(table="mail", key=3))
        house.commit()
        assert heard == [True]

    def test_a_letter_that_is_refused_waits_for_a_window(self) -> None:
        house, mary, john = pair()
        dm(john)
        draft = house.hub.mailroom.take(house.now)
        assert draft is not None
        assert not isinstance(draft, Letter)
        heard: list[bool] = []
        house.hub.mailroom.freeze(draft, house.letter(draft), heard.append, house.now)
        house.refuse("the disk is full")
        assert heard == [False]
        assert house.told[-1] == "mail to mary@example.org waits: the disk is full"
        assert house.deliver() == []
        house.wait(WINDOW)
        assert texts(house.deliver()) == ["hello"]

    def test_whoever_sends_is_told_that_there_is_something(self) -> None:
        house, mary, john = pair()
        before = house.posts
        dm(john)
        assert house.posts == before + 1

    def test_after_a_restart_mail_failures_and_dead_letters_are_there_again(self) -> None:
        mary = Account(id=1, name="Mary", email="mary@example.org", first=0, seen=0)
        john = Account(id=2, name="John", email="john@example.org", first=0, seen=0)
        mail = Mail(seq=3, reader=1, author=2, sender="John", to="Mary", text="hello", time=stamp(NOON))
        orphan = Mail(seq=4, reader=9, author=2, sender="John", to="Gone", text="hello", time=stamp(NOON))
        receipts = [Receipt(seq=seq, to="Ada", online=False, mail="failed") for seq in (1, 2)]
        dead = Letter(message_id="<d>", address="a@x.org", content=b"1", made=0, expires=1, reader=8, state="failed")
        snapshot = Snapshot(
            epoch="first",
            secret=b"a secret",
            accounts=(mary, john),
            next_account=3,
            mails=(mail, orphan),
            letters=(dead,),
            failures=tuple(Failure(author=2, receipt=receipt) for receipt in receipts),
        )
        house = House(None, snapshot)
        assert house.operator.figures().mails_dead == 1
        assert texts(house.deliver()) == ["hello"]
        peer = house.peer()
        peer.join("John")
        assert peer.all(Receipt) == receipts


class TestRetry:
    def test_what_waits_for_its_next_try_is_tried_now(self) -> None:
        house, mary, john = pair()
        dm(john)
        house.deliver(Fate.LATER, "busy")
        assert house.deliver() == []
        assert house.operator.retry(house.now) == 1
        assert texts(house.deliver()) == ["hello"]

    def test_the_dead_are_tried_again(self) -> None:
        house, mary, john = pair()
        dm(john)
        (letter,) = house.deliver(Fate.FAILED, "no such mailbox")
        assert house.operator.retry(house.now) == 1
        change, _ = house.take()
        (revived,) = change.rows
        assert isinstance(revived, Letter)
        assert (revived.message_id, revived.state) == (letter.message_id, "waiting")
        john.frames()
        assert [again.message_id for again in house.deliver()] == [letter.message_id]
        assert john.only(Receipt).mail == "sent"
        assert house.operator.figures().mails_dead == 0

    def test_only_one_of_them_where_its_id_is_given(self) -> None:
        house, mary, john = pair()
        dm(john)
        (letter,) = house.deliver(Fate.FAILED, "no such mailbox")
        assert house.operator.retry(house.now, "<another>") == 0
        assert house.operator.retry(house.now, letter.message_id) == 1

    def test_how_it_ends_is_told_once(self) -> None:
        """At whatever try: who has asked wants to know, and need not be told of the tries nobody asked for."""
        house, mary, john = pair()
        dm(john)
        house.deliver(Fate.LATER, "busy", "451")
        for fate, told in (
            (Fate.LATER, ["mail to mary@example.org will be tried again: busy [451]"]),
            (Fate.FAILED, ["mail to mary@example.org is given up: busy [451]"]),
            (Fate.SAVED, ["mail to mary@example.org is saved"]),
        ):
            house.told.clear()
            assert house.operator.retry(house.now) == 1
            house.settle()
            assert len(house.deliver(fate, "busy", "451")) == 1
            assert house.told == told

    def test_what_was_dropped_since_is_told_of_no_more(self) -> None:
        house, mary, john = pair()
        dm(john)
        (letter,) = house.deliver(Fate.FAILED, "no")
        house.operator.retry(house.now)
        house.settle()
        house.told.clear()
        house.operator.drop(letter.message_id, house.now)
        house.settle()
        assert house.told == ["mail to mary@example.org is dropped"]


class TestDrop:
    """The operator gives a letter up."""

    def test_the_store_first_then_its_authors_and_the_operator_are_told(self) -> None:
        house, mary, john = pair()
        dm(john)
        (letter,) = house.deliver(Fate.LATER, "busy")
        john.frames()
        house.told.clear()
        house.operator.drop(letter.message_id, NOON)
        change, _ = house.take()
        gone, failure = change.rows
        assert (gone, change.must) == (Gone(table="letter", key=letter.message_id), True)
        assert isinstance(failure, Failure)
        house.flush()
        assert (john.frames(), house.told) == ([], [])
        house.refuse()
        assert (john.frames(), house.told) == ([], [])
        house.settle()
        receipt = john.only(Receipt)
        assert (receipt.id, receipt.seq, receipt.mail) == ("1", 3, "failed")
        assert receipt.detail == "the operator of this chat dropped it"
        assert house.told == ["mail to mary@example.org is dropped"]
        assert house.operator.letters() == ([], [])
        assert house.operator.figures().mails_waiting == 0

    def test_what_waits_behind_it_goes_out_and_whoever_sends_is_told(self) -> None:
        house, mary, john = pair()
        dm(john)
        (letter,) = house.deliver(Fate.LATER, "busy")
        dm(john, "two", "2")
        house.wait(30)
        house.deliver(Fate.LATER, "busy")
        house.wait(WINDOW - 30)
        assert house.deliver() == []
        before = house.posts
        house.operator.drop(letter.message_id, NOON)
        assert house.posts == before + 1
        assert texts(house.deliver()) == ["two"]

    def test_each_author_of_a_text_in_it_hears_of_it_at_the_next_welcome_at_the_latest(self) -> None:
        house, mary, john = pair()
        ada = house.join("Ada")
        dm(john)
        house.deliver()
        dm(john, "two", "2")
        ada.ask(Dm(to="Mary", text="three", id="3"))
        john.ask(Leave())
        house.wait(WINDOW)
        (letter,) = house.deliver(Fate.LATER, "busy")
        ada.frames()
        house.operator.drop(letter.message_id, NOON)
        house.settle()
        assert [(frame.id, frame.mail) for frame in ada.all(Receipt)] == [("3", "failed")]
        john = house.peer()
        john.join("John")
        assert [(frame.id, frame.mail) for frame in john.all(Receipt)] == [("2", "failed")]

    def test_of_a_dead_one_they_have_heard(self) -> None:
        house, mary, john = pair()
        dm(john)
        (letter,) = house.deliver(Fate.FAILED, "no such mailbox")
        john.frames()
        house.operator.drop(letter.message_id, NOON)
        assert house.operator.retry(house.now) == 0
        house.settle()
        assert john.frames() == []
        assert house.told[-1] == "mail to mary@example.org is dropped"
        assert house.operator.letters() == ([], [])

    def test_one_that_is_being_sent_may_arrive_so_it_stays(self) -> None:
        house, mary, john = pair()
        dm(john)
        letter = house.compose()
        assert letter is not None
        with pytest.raises(Refused, match=r"mail to mary@example\.org is being sent just now"):
            house.operator.drop(letter.message_id, NOON)
        assert house.take() == []
        house.report(letter, Fate.LATER, "busy")
        house.operator.drop(letter.message_id, NOON)
        house.settle()
        assert house.deliver() == []

    def test_its_first_failure_is_told_before(self) -> None:
        house, mary, john = pair()
        dm(john)
        letter = house.compose()
        assert letter is not None
        john.frames()
        house.hub.mailroom.outcome(letter, Outcome(fate=Fate.LATER), house.now)
        house.operator.drop(letter.message_id, NOON)
        house.take()
        house.refuse()
        house.settle()
        assert [frame.mail for frame in john.all(Receipt)] == ["held", "failed"]

    def test_a_code_is_nobodys_message(self) -> None:
        house, mary, john = pair()
        letter = Letter(message_id="<c>", address="x@example.org", content=b"1", made=house.now, expires=house.now + 99)
        house.hub.mailroom.send(letter)
        house.deliver(Fate.LATER, "busy")
        assert [one.message_id for one in house.operator.letters()[0]] == ["<c>"]
        house.operator.drop("<c>", NOON)
        house.settle()
        assert house.told[-1] == "mail to x@example.org is dropped"
        house.wait(30)
        assert house.deliver() == []

    def test_twice_in_a_hurry_is_once(self) -> None:
        house, mary, john = pair()
        dm(john)
        (letter,) = house.deliver(Fate.LATER, "busy")
        house.operator.drop(letter.message_id, NOON)
        with pytest.raises(Refused, match="there is no such letter any more"):
            house.operator.drop(letter.message_id, NOON)
        house.settle()
        assert house.told.count("mail to mary@example.org is dropped") == 1


def test_mail_to_somebody_forgotten_is_dropped_and_failures_of_theirs_too() -> None:
    house, mary, john = pair()
    dm(john)
    mary.ask(Dm(to="John", text="hi", id="9"))
    house.operator.forget("Mary", house.now)
    house.settle()
    assert [letter.address for letter in house.deliver(Fate.FAILED)] == ["john@example.org"]
    house.settle()
    assert [frame.mail for frame in john.all(Receipt)] == ["off"]


def test_an_outcome_that_the_store_refuses_is_not_told() -> None:
    house, mary, john = pair()
    dm(john)
    letter = house.compose()
    assert letter is not None
    house.hub.mailroom.outcome(letter, Outcome(fate=Fate.SENT), house.now)
    house.refuse()
    assert john.frames() == []


def test_the_operator_sees_what_gathers_for_the_next_mail() -> None:
    house, mary, john = pair()
    assert house.operator.gathering() == []
    dm(john)
    house.deliver()
    dm(john, "two", "2")
    dm(john, "three", "3")
    assert house.operator.gathering() == [("mary@example.org", 2, house.now + WINDOW)]


class TestASenderOfMuch:
    """Nobody floods many mailboxes either: what is too much for an hour waits, and nothing is left out."""

    @staticmethod
    def busy(more: int) -> tuple[House, Peer, list[Peer]]:
        """John has written to as many people as he may, and then to some more."""
        house = House()
        readers = [house.join(f"Reader{number}") for number in range(PER_SENDER + more)]
        john = house.join("John")
        for number in range(PER_SENDER + more):
            john.send(Dm(to=f"Reader{number}", text=f"hello {number}", id=str(number)))
        house.settle()
        return house, john, readers

    def test_so_many_mails_go_out_in_an_hour_and_the_others_in_the_next(self) -> None:
        house, john, readers = self.busy(3)
        receipts = {frame.id: frame.mail for frame in john.all(Receipt)}
        assert list(receipts.values()) == ["queued"] * (PER_SENDER + 3)
        assert len(house.deliver()) == PER_SENDER
        for _ in range(int(HOUR // WINDOW) - 1):
            house.wait(WINDOW)
            assert house.deliver() == []
        assert house.operator.figures().mails_waiting == 3
        john.frames()
        house.wait(WINDOW)
        assert texts(house.deliver()) == [f"hello {PER_SENDER + number}" for number in range(3)]
        assert [frame.mail for frame in john.all(Receipt)] == ["sent"] * 3
        assert house.operator.figures().mails_waiting == 0

    def test_further_messages_are_held_and_come_together(self) -> None:
        house, john, readers = self.busy(1)
        house.deliver()
        *_, receipt = john.ask(Dm(to=f"Reader{PER_SENDER}", text="and more"))
        assert isinstance(receipt, Receipt)
        assert receipt.mail == "held"
        assert house.deliver() == []
        house.wait(HOUR)
        assert texts(house.deliver()) == [f"hello {PER_SENDER}\nand more"]

    def test_one_mail_with_many_of_their_texts_counts_once(self) -> None:
        house, mary, john = pair()
        for _ in range(10):
            for number in range(PER_SENDER):
                dm(john, "x", f"{house.now} {number}")
            assert len(house.deliver()) == 1
            house.wait(HOUR)

    def test_nobody_else_has_to_wait(self) -> None:
        house, john, readers = self.busy(1)
        house.deliver()
        readers[0].frames()
        *_, receipt = readers[0].ask(Dm(to=f"Reader{PER_SENDER}", text="hello from me"))
        assert isinstance(receipt, Receipt)
        assert receipt.mail == "queued"
        assert texts(house.deliver()) == ["hello from me"]
        house.wait(HOUR)
        assert texts(house.deliver()) == [f"hello {PER_SENDER}"]

    def test_who_wants_no_mail_any_more_gets_none_though_it_waited(self) -> None:
        house, john, readers = self.busy(1)
        house.deliver()
        readers[-1].ask(Notify(when="never"))
        house.wait(HOUR)
        assert house.deliver() == []
        house.settle()
        assert house.operator.figures().mails_waiting == 0

    def test_after_a_restart_what_waited_goes_out(self) -> None:
        house, john, readers = self.busy(2)
        house.deliver()
        house.restart()
        assert len(house.deliver()) == 2


class TestForgotten:
    def test_what_is_frozen_for_them_is_dropped_and_its_author_told(self) -> None:
        house, mary, john = pair()
        dm(john)
        house.deliver(Fate.LATER, "busy")
        john.frames()
        house.operator.forget("Mary", house.now)
        house.settle()
        assert [frame.mail for frame in john.all(Receipt)] == ["failed"]
        house.tick(DAY)
        assert house.deliver() == []
        assert house.store.snapshot().letters == ()

    def test_so_is_what_failed_and_what_is_being_sent_goes_on(self) -> None:
        house, mary, john = pair()
        dm(john)
        house.deliver(Fate.FAILED)
        house.tick(DAY)
        dm(john, "two", "2")
        letter = house.compose()
        assert letter is not None
        house.operator.forget("Mary", house.now)
        house.settle()
        assert house.operator.letters() == ([letter], [])
        house.report(letter, Fate.SENT)

    def test_what_waited_is_dropped_at_the_next_start_too(self) -> None:
        house, mary, john = pair()
        dm(john)
        house.deliver()
        dm(john, "two", "2")
        house.operator.forget("Mary", house.now)
        house.settle()
        assert len(house.store.snapshot().mails) == 1
        house.restart()
        house.settle()
        assert house.store.snapshot().mails == ()
