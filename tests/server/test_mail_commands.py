"""What ``/mail`` shows, and what can be done about it."""

import pytest

from chatmail.core.records import Fate, Letter, Outcome
from chatmail.server.mail_commands import short_ids
from tests.server.house import NOW, Console

pytestmark = pytest.mark.usefixtures("utc")


async def post() -> tuple[Console, dict[str, str]]:
    """One mail sent, one refused for good, one for now, one on its way; the IDs of these by their names."""
    c = await Console.open("John", "Mary", "Eve", "Bob")
    await c.house.mail("John", "Bob", Fate.SENT)
    await c.house.mail("John", "Mary", Fate.FAILED, "550 5.1.1 no\x9bsuch user")
    await c.house.mail("John", "Eve", Fate.LATER, "451 4.7.1 come\nback")
    await c.house.mail("Eve", "John", None)
    c.house.told.clear()
    lines = await c.type("/mail")
    return c, {line.split()[1].split("@")[0]: line.split()[0] for line in lines if "@" in line}


async def test_mail_of_a_house_without_any() -> None:
    c = await Console.open()
    assert await c.type("/mail") == [
        "0 messages waiting to be mailed",
        "0 mails sent since the start, 0 failed for good",
    ]
    assert await c.type("/mail retry") == ["there is no letter to try again"]


async def test_mail() -> None:
    c, ids = await post()
    assert await c.type("/mail", NOW + 29) == [
        "2 messages waiting to be mailed, the oldest for 29s, to Eve",
        "1 mail sent since the start, 1 failed for good",
        "ID      TO                HOLDS      STATE",
        f"{ids['eve']}  eve@example.org   1 message  try 2 at 14:02:41",
        r"│ 451 4.7.1 come\nback",
        f"{ids['john']}  john@example.org  1 message  on its way",
        f"{ids['mary']}  mary@example.org  1 message  failed, 14:02",
        r"│ 550 5.1.1 no\x9bsuch user",
        "/mail retry ID tries one again now, /mail drop ID gives it up",
    ]


async def test_what_waits_for_its_window_waits_too() -> None:
    c = await Console.open("John", "Mary")
    await c.house.mail("John", "Mary", Fate.SENT)
    await c.house.dm("John", "Mary", NOW + 1)
    await c.house.dm("John", "Mary", NOW + 2)
    c.house.told.clear()
    assert await c.type("/mail", NOW + 32) == [
        "2 messages waiting to be mailed, the oldest for 31s, to Mary",
        "1 mail sent since the start, 0 failed for good",
        "ID  TO                HOLDS       STATE",
        "-   mary@example.org  2 messages  next mail at 14:03:11",
    ]


async def test_a_code_is_shown_while_it_is_on_its_way() -> None:
    c = await Console.open()
    code = Letter(message_id="<ab12cd34ef@x>", address="new@example.org", content=b"1", made=NOW, expires=NOW + 600)
    c.house.hub.mailroom.send(code)
    assert (await c.type("/mail"))[3] == "ab12cd  new@example.org  a code  on its way"
    assert await c.type("/mail drop ab12cd") == ["mail to new@example.org is dropped"]


@pytest.mark.parametrize("words", ["retry", "retry all", "RETRY ALL"])
async def test_retry_all(words: str) -> None:
    c, _ = await post()
    assert await c.type(f"/mail {words}") == ["trying 3 letters again"]
    assert (await c.type("/mail"))[:2] == [
        "3 messages waiting to be mailed, the oldest for 0s, to Mary",
        "1 mail sent since the start, 0 failed for good",
    ]


async def test_retry_one() -> None:
    c, ids = await post()
    assert await c.type(f"/mail retry {ids['mary'].upper()}") == ["trying the mail to mary@example.org again"]
    going, dead = c.house.operator.letters()
    assert [(letter.address, letter.due) for letter in going] == [
        ("eve@example.org", NOW + 30),
        ("john@example.org", 0.0),
        ("mary@example.org", NOW),
    ]
    assert dead == []


async def test_what_was_tried_again_is_told_each_time_it_was_asked_for() -> None:
    """Otherwise a letter that fails again is not mentioned: it fails for hours."""
    c, ids = await post()
    letter = c.house.hub.mailroom.digest.letters()[0]

    async def fail() -> list[str]:
        taken = c.house.hub.mailroom.take(NOW + 31)
        assert isinstance(taken, Letter)
        assert taken.message_id == letter.message_id
        c.house.hub.mailroom.outcome(taken, Outcome(fate=Fate.LATER, detail="busy", reply="451"), NOW + 31)
        await c.house.settle()
        told = list(c.house.told)
        c.house.told.clear()
        return told

    await c.type(f"/mail retry {ids['eve']}", NOW + 31)
    assert await fail() == ["mail to eve@example.org will be tried again: busy [451]"]
    c.house.hub.mailroom.digest.reschedule(c.house.hub.mailroom.digest.letters()[0], NOW + 31)
    assert await fail() == []
    await c.type(f"/mail retry {ids['eve']}", NOW + 31)
    assert await fail() == ["mail to eve@example.org will be tried again: busy [451]"]


async def test_drop() -> None:
    c, ids = await post()
    assert c.desk.answer(f"/mail drop {ids['mary']}", NOW) == []
    assert c.house.told == []  # until the store has it
    await c.house.settle()
    assert c.house.told == ["mail to mary@example.org is dropped"]
    c.house.told.clear()
    assert await c.type(f"/mail drop {ids['eve']}") == ["mail to eve@example.org is dropped"]
    assert await c.type(f"/mail drop {ids['john']}") == [
        "mail to john@example.org is being sent just now; it can be dropped if that does not work"
    ]
    assert (await c.type("/mail"))[:2] == [
        "1 message waiting to be mailed, the oldest for 0s, to John",
        "1 mail sent since the start, 0 failed for good",
    ]
    assert await c.type(f"/mail drop {ids['eve']}") == [
        f"no letter has the ID {ids['eve']}; /mail shows those there are"
    ]


@pytest.mark.parametrize("id", ["1", "eve", "eve@example.org", "all", "abcdef\x1b", "x" * 50])
async def test_an_id_that_no_letter_has(id: str) -> None:
    c, _ = await post()
    shown = id[:40].replace("\x1b", r"\x1b")
    assert await c.type(f"/mail drop {id}") == [f"no letter has the ID {shown}; /mail shows those there are"]


async def test_fewer_digits_than_are_shown_drop_nothing() -> None:
    """They may be a slip: the number of a line, say."""
    c, ids = await post()
    assert await c.type(f"/mail drop {ids['eve'][:5]}") == [
        f"no letter has the ID {ids['eve'][:5]}; /mail shows those there are"
    ]
    assert await c.type(f"/mail drop {ids['eve']}ee") == ["mail to eve@example.org is dropped"]


async def test_an_id_that_several_letters_have() -> None:
    c = await Console.open()
    for end in ("00", "01"):
        code = Letter(message_id=f"<abcdef{end}@x>", address="x@example.org", content=b"", made=NOW, expires=NOW + 600)
        c.house.hub.mailroom.send(code)
    assert await c.type("/mail drop abcdef") == ["the IDs of 2 letters begin with abcdef; /mail shows more of them"]
    assert (await c.type("/mail"))[3].startswith("abcdef00  x@")
    assert await c.type("/mail drop abcdef01") == ["mail to x@example.org is dropped"]
    assert [letter.message_id for letter in c.house.operator.letters()[0]] == ["<abcdef00@x>"]


def test_ids_are_as_short_as_tells_letters_apart_and_6_digits_at_least() -> None:
    def letters(*keys: str) -> list[Letter]:
        return [Letter(message_id=f"<{key}@x>", address="", content=b"", made=0, expires=0) for key in keys]

    assert short_ids([]) == {}
    assert list(short_ids(letters("0123456789", "a123456789"))) == ["012345", "a12345"]
    assert list(short_ids(letters("0123456789", "a123456789", "0123457"))) == ["0123456", "a123456", "0123457"]
    same = [*letters("0123456789"), Letter(message_id="<0123456789@y>", address="", content=b"", made=0, expires=0)]
    assert short_ids(same) == {"0123456789@x": same[0], "0123456789@y": same[1]}


async def test_what_tab_offers() -> None:
    c, ids = await post()
    three = [ids["eve"], ids["john"], ids["mary"]]
    assert c.offers("/mail r") == ["retry "]
    assert c.offers("/mail retry ") == ["all", *three]
    assert c.offers("/mail DROP ") == three
    assert c.offers(f"/mail drop {ids['eve'][:4].upper()}") == [ids["eve"]]
    assert [offer.about for offer in c.desk.offers("/mail retry ", NOW + 29)] == [
        "3 letters",
        "to eve@example.org, try 2 at 14:02:41",
        "to john@example.org, on its way",
        "to mary@example.org, failed, 14:02",
    ]
    assert c.offers("/mail x ") == []
    assert c.offers("/mail drop x ") == []
