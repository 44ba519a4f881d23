"""Who wrote what could not be mailed hears of it, until that has surely reached them."""

from chatmail.core.limits import Limits
from chatmail.core.records import Fate, Outcome
from chatmail.core.wire import Dm, Leave, Ping, Receipt
from tests.core.house import House, Peer
from tests.core.houses import at_once, couple
from tests.core.mail import dm, pair


def test_nobody_is_left_to_be_told_who_was_forgotten_meanwhile() -> None:
    one, two, _, john = couple()
    dm(john)
    letter = one.compose()
    assert letter is not None
    one.hub.mailroom.outcome(letter, Outcome(fate=Fate.FAILED), one.now)
    two.operator.forget("John", two.now)
    at_once(one, two)
    two.commit()
    one.settle()
    for server in (one, two):
        assert server.hub.mailroom.failures._owed == {}


class TestSurelyTold:
    """That a mail failed is kept until it has surely reached its author."""

    @staticmethod
    def failed() -> tuple[House, Peer]:
        house, _, john = pair()
        dm(john)
        house.deliver(Fate.FAILED, "no such mailbox")
        return house, john

    @staticmethod
    def kept(house: House) -> int:
        return len(house.store.snapshot().failures)

    def test_signs_of_life_after_it_are_a_proof(self) -> None:
        house, john = self.failed()
        assert john.all(Receipt)[-1].mail == "failed"
        for left in (1, 0):
            john.ask(Ping())
            assert self.kept(house) == left

    def test_what_was_told_into_a_dead_connection_is_told_again(self) -> None:
        house, _, john = pair()
        dm(john)
        john.stall()
        house.deliver(Fate.FAILED, "no such mailbox")
        john.cut()
        again = house.peer()
        again.join("John", token=john.token)
        assert [frame.mail for frame in again.all(Receipt)] == ["failed"]

    def test_who_only_types_the_name_neither_hears_of_it_nor_hides_it(self) -> None:
        house = House(Limits(trust_names=False))
        john = house.join("John")
        house.join("Mary")
        john.ask(Dm(to="Mary", text="hello", id="1"), Leave())
        house.deliver(Fate.FAILED, "no such mailbox")
        stranger = house.peer()
        stranger.join("John")
        stranger.ask(Ping())
        stranger.ask(Ping())
        stranger.ask(Ping())
        assert stranger.all(Receipt) == []
        stranger.ask(Leave())
        again = house.peer()
        again.join("John", token=john.token)
        assert [frame.mail for frame in again.all(Receipt)] == ["failed"]


class TestSeveralServers:
    def test_what_was_told_at_one_is_told_at_no_other(self) -> None:
        one, two, mary, john = couple()
        for reader in ("Mary", "John"):
            john.ask(Dm(to=reader, text="hello", id=reader))
        one.deliver(Fate.FAILED, "no such mailbox")
        for _ in range(2):
            john.ask(Ping())
        assert one.store.snapshot().failures == ()
        assert not one.hub.mailroom.failures._owed
        john.ask(Leave())
        assert one.join("John").all(Receipt) == []
