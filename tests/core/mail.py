"""What tests of mail share: two people, a direct message, what is in letters."""

from chatmail.core.limits import Limits
from chatmail.core.records import Letter
from chatmail.core.wire import Dm, Receipt
from tests.core.house import House, Peer

WINDOW = Limits().mail_window


def pair() -> tuple[House, Peer, Peer]:
    """Mary and John, with nothing unread."""
    house = House()
    mary, john = house.join("Mary"), house.join("John")
    mary.frames()
    return house, mary, john


def dm(john: Peer, text: str = "hello", id: str = "1") -> Receipt:
    """John writes to Mary; what he is told of it."""
    *_, receipt = john.ask(Dm(to="Mary", text=text, id=id))
    assert isinstance(receipt, Receipt)
    return receipt


def texts(letters: list[Letter]) -> list[str]:
    return [letter.content.decode() for letter in letters]
