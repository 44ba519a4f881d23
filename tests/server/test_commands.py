"""What the operator's lines do and answer, on a real hub and store."""

import time
from collections.abc import Iterator

import pytest

from chatmail.core.records import Fate
from chatmail.core.wire import Leave
from chatmail.server.commands import TABLE
from chatmail.server.desk import Desk
from tests.server.house import NOW, House

HINT = "this is not sent; /broadcast TEXT says it to everybody"


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


class Console:
    def __init__(self, house: House) -> None:
        self.house = house
        self.quits = 0
        self.desk = Desk(house.operator, self._quit, NOW - 93_784, memory=lambda: 47_500_000)

    def _quit(self) -> None:
        self.quits += 1

    async def type(self, line: str, now: float = NOW) -> list[str]:
        """The answer, and then what was told."""
        answer = self.desk.answer(line, now)
        await self.house.settle()
        told, self.house.told[:] = list(self.house.told), []
        return answer + told


async def console(*people: str) -> Console:
    return Console(await House.open(*people))


async def test_plain_text_is_not_sent() -> None:
    c = await console("John")
    last = c.house.hub.journal.last
    assert await c.type("hello everybody") == [HINT]
    assert await c.type(" ") == []
    assert c.house.hub.journal.last == last


async def test_a_forgotten_slash_is_noticed() -> None:
    c = await console()
    assert await c.type("Quit") == ["commands begin with a slash: /quit"]
    assert c.quits == 0


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("/brodcast hello", "there is no command /brodcast; did you mean /broadcast?"),
        ("/exit", "there is no command /exit; did you mean /quit?"),
        ("/ broadcast hello", "there is no command /; /help lists them"),
        ("/zzz\x1b[2J", r"there is no command /zzz\x1b[2J; /help lists them"),
    ],
)
async def test_an_unknown_command_gets_the_closest_one(line: str, hint: str) -> None:
    c = await console()
    assert await c.type(line) == [hint]


@pytest.mark.parametrize(
    "line",
    ["/broadcast", "/kick", "/ban", "/unban", "/unban a b", "/bans x", "/who x", "/whois", "/whois a b", "/forget",
     "/forget a b", "/mail x", "/mail retry x", "/stats x", "/help x y", "/quit now"],
)  # fmt: skip
async def test_wrong_words_are_answered_with_the_usage(line: str) -> None:
    c = await console("a", "b", "x")
    command = next(command for command in TABLE if command.name == line.split()[0])
    assert await c.type(line) == [f"use {command.usage}: {command.help}"]
    assert c.quits == 0


async def test_broadcast() -> None:
    c = await console("John", "Mary")
    assert await c.type("/Broadcast  back  at\nnoon ") == ["broadcast to 2 people"]
    data = c.house.hub.journal.read(c.house.hub.journal.last - 1, 0)[0]
    assert b'"notice"' in data
    assert rb'"text":"back  at\nnoon"' in data


async def test_a_broadcast_the_wire_cannot_carry_is_mended_or_refused() -> None:
    c = await console("John")
    assert await c.type("/broadcast \udc80") == ["broadcast to 1 person"]
    assert await c.type("/broadcast a\0b") == ["this text holds a NUL character"]
    assert await c.type("/broadcast " + "x" * 4001) == ["this text has 4,001 characters; at most 4,000 are allowed"]


async def test_kick() -> None:
    c = await console("John", "Mary")
    assert await c.type("/kick john  be good") == ["John left: kicked: be good"]
    assert await c.type("/kick john") == ["John is not here"]
    assert await c.type("/kick Jonh") == ["nobody here was ever called 'Jonh'; did you mean John?"]
    assert await c.type("/kick mary " + "x" * 201) == ["this reason has 201 characters; at most 200 are allowed"]
    assert await c.type("/kick mary") == ["Mary left: kicked"]


async def test_several_lines_are_no_command() -> None:
    c = await console("John")
    assert await c.type("/kick John\n/kick Mary") == ["nothing is done: /kick is one line, and this has several"]


async def test_ban_for_a_while_and_for_good() -> None:
    c = await console("John", "Mary")
    assert await c.type("/bans") == ["nobody is banned"]
    assert await c.type("/ban John 1d12h no  manners") == [
        "that bans the name only; /ban john@example.org keeps its person out under any name",
        "john is banned",
        "John left: banned: no manners",
    ]
    assert await c.type("/ban Eve@example.org") == ["eve@example.org is banned"]
    assert await c.type("/ban 2001:DB8::1 spam") == ["2001:db8::1 is banned"]
    assert await c.type("/bans") == [
        "WHO              UNTIL             REASON",
        "john             2026-11-24 02:02  no manners",
        "eve@example.org  for good",
        "2001:db8::1      for good          spam",
    ]
    assert await c.type("/whois john") == [
        "name    John",
        "email   john@example.org",
        "here    no",
        "away    no",
        "mail    always; 0 messages waiting to be mailed",
        "unread  0 direct messages",
        "banned  john, until 2026-11-24 02:02: no manners",
    ]
    assert await c.type("/bans", NOW + 2 * 86_400) == [
        "WHO              UNTIL     REASON",
        "eve@example.org  for good",
        "2001:db8::1      for good  spam",
    ]


async def test_who_is_connected_from_a_banned_ip_must_go() -> None:
    c = await console()
    await c.house.join("John", "192.0.2.7")
    await c.house.join("Mary", "192.0.2.8")
    c.house.told.clear()
    assert await c.type("/ban 192.0.2.7") == ["192.0.2.7 is banned", "John left: banned"]


@pytest.mark.parametrize("duration", ["30", "2x", "0m", "1.5h", "7days", "99999w", "²h", "5M"])
async def test_what_begins_like_a_duration_must_be_one(duration: str) -> None:
    """A slip must not ban somebody for good."""
    c = await console("John")
    assert await c.type(f"/ban John {duration} spam") == [
        f"nobody is banned: '{duration}' is no duration; 30m, 2h, 7d, 1w are, none is for good"
    ]
    assert await c.type("/bans") == ["nobody is banned"]


@pytest.mark.parametrize("what", ["192.0.2.0/24", "@example.org", "john@localhost", "-x", "everyone", "x" * 33])
async def test_what_nobody_can_be_called_is_not_banned(what: str) -> None:
    c = await console()
    [answer] = await c.type(f"/ban {what}")
    assert answer.startswith("nobody is banned: ")


async def test_banning_a_name_nobody_has_is_remarked_on() -> None:
    c = await console("John")
    assert await c.type("/ban Jonh") == [
        "nobody here was ever called 'Jonh'; did you mean John? (it is banned all the same)",
        "jonh is banned",
    ]


async def test_unban() -> None:
    c = await console("John")
    await c.type("/ban John")
    assert await c.type("/unban JOHN") == ["john is no longer banned"]
    assert await c.type("/unban John") == ["john is not banned; /bans lists who is"]


@pytest.mark.parametrize("line", ["/forget John", "/unban Eve", "/kick John", "/ban John"])
async def test_the_same_command_twice_before_the_store_answers(line: str) -> None:
    """Lines from a pipe come faster than the store is."""
    c = await console("John")
    await c.type("/ban Eve")
    c.desk.answer(line, NOW)
    await c.type(line)
    await c.type("/broadcast still here")


async def test_who() -> None:
    c = await console("John")
    assert await c.type("/kick John") == ["John left: kicked"]
    await c.house.join("Mary", "2001:db8::7")
    await c.house.away("Mary", "at \x1b[31m lunch\u202e until\nthree")
    c.house.told.clear()
    assert await c.type("/who", NOW + 3_900) == [
        "1 person here",
        "NAME  EMAIL             HOST         SINCE  IDLE   AWAY",
        r"Mary  mary@example.org  2001:db8::7  14:02  1h05m  at \x1b[31m lunch\u202e…",
    ]
    assert await c.type("/kick Mary") == ["Mary left: kicked"]
    assert await c.type("/who") == ["nobody is here"]


async def test_who_is_aligned_by_what_the_eye_sees() -> None:
    c = await console("John", "千代子")
    _, head, john, chiyoko = await c.type("/who")
    assert head.startswith("NAME    EMAIL")
    assert john.startswith("John    john@")
    assert chiyoko.startswith("千代子  ")


async def test_somebody_cut_off_is_shown_as_such() -> None:
    c = await console("John")
    c.house.hub.disconnected(c.house.sessions["John"], NOW)
    assert (await c.type("/who"))[2] == "John  john@example.org  cut off  14:02  -"
    assert (await c.type("/whois john"))[2] == "here    since 14:02, but cut off"


async def test_whois() -> None:
    c = await console("John", "Mary")
    await c.house.mail("Mary", "John", None)
    assert await c.type("/whois JOHN", NOW + 61) == [
        "name    John",
        "email   john@example.org",
        "here    since 14:02, from 192.0.2.1, idle 1m",
        "away    no",
        "mail    always; 1 message waiting to be mailed",
        "unread  1 direct message",
    ]
    assert await c.type("/whois nobody") == ["nobody here was ever called 'nobody'"]


async def test_forget() -> None:
    c = await console("John")
    assert await c.type("/forget John") == ["John left: forgotten by the operator", "John is forgotten"]
    assert await c.type("/whois John") == ["nobody here was ever called 'John'"]
    await c.house.join("John")
    assert (await c.type("/who"))[0] == "1 person here"


async def test_mail() -> None:
    c = await console("John", "Mary", "Eve", "Bob")
    assert await c.type("/mail") == ["0 messages waiting to be mailed, 0 mails sent, 0 failed"]
    assert await c.type("/mail retry") == ["there is no letter to try again"]
    await c.house.mail("John", "Bob", Fate.SENT)
    await c.house.mail("John", "Mary", Fate.FAILED, "550 5.1.1 no\x9bsuch user")
    await c.house.mail("John", "Eve", Fate.LATER, "451 4.7.1 come\nback")
    await c.house.mail("Eve", "John", None)
    c.house.told.clear()
    assert await c.type("/mail") == [
        "2 messages waiting to be mailed, 1 mail sent, 1 failed",
        "TO                HOLDS      STATE              THE MAIL SERVER SAID",
        r"eve@example.org   1 message  try 2 at 14:02:41  451 4.7.1 come\nback",
        "john@example.org  1 message  on its way",
        r"mary@example.org  1 message  failed, 14:02      550 5.1.1 no\x9bsuch user",
        "/mail retry tries them all again",
    ]
    assert await c.type("/mail retry") == ["trying 3 letters again"]
    assert (await c.type("/mail"))[0] == "3 messages waiting to be mailed, 1 mail sent, 0 failed"


async def test_stats() -> None:
    c = await console("John", "Mary")
    await c.house.send("Mary", Leave())
    c.house.told.clear()
    size = c.house.hub.journal.size
    assert await c.type("/stats") == [
        "up           1d2h, since 2026-11-21 11:59",
        "people       1 here, 2 accounts",
        "connections  2",
        f"journal      3 entries, {size} B; the last is number 3",
        "mail         0 waiting, 0 sent, 0 failed",
        "memory       45.3 MiB at most so far",
    ]


async def test_motd() -> None:
    c = await console()
    assert await c.type("/motd") == ["there is no message of the day; /motd TEXT sets one"]
    assert await c.type("/motd be kind\nor else") == ["the message of the day is set"]
    assert await c.type("/motd") == [r"the message of the day: be kind\nor else"]
    assert await c.type("/motd -") == ["no message of the day"]
    assert c.house.hub.motd == ""


async def test_help_lists_every_command_within_80_columns() -> None:
    c = await console()
    lines = await c.type("/help")
    assert [line.split()[0] for line in lines] == [command.name for command in TABLE]
    assert max(map(len, lines)) < 80


async def test_help_on_one_command() -> None:
    c = await console()
    assert await c.type("/help who") == ["/who: who is here"]
    assert (await c.type("/help /BAN"))[1].startswith("A duration is 30m")
    assert await c.type("/help bam") == ["there is no command /bam; did you mean /ban?"]


async def test_quit() -> None:
    c = await console()
    assert await c.type("/quit") == []
    assert c.quits == 1
    assert c.desk.ended


async def test_what_tab_offers() -> None:
    c = await console("John", "Joan", "Mary")
    await c.type("/kick Joan")
    await c.type("/ban Eve")
    offers = c.desk.offers
    assert offers("", NOW) == []
    assert offers("hello", NOW) == []
    assert offers("/ba", NOW) == ["/ban ", "/bans "]
    assert offers("/kick j", NOW) == ["John ", "Joan "]  # who is here comes first
    assert offers("/kick John j", NOW) == []
    assert offers("/unban ", NOW) == ["eve"]
    assert offers("/help /q", NOW) == ["/quit"]
    assert offers("/mail ", NOW) == ["retry"]
    assert offers("/who ", NOW) == []


async def test_a_fault_in_a_command_is_logged_and_the_next_one_works(caplog: pytest.LogCaptureFixture) -> None:
    c = await console()
    desk = Desk(c.house.operator, c._quit, NOW, memory=lambda: 1 // 0)
    assert desk.answer("/stats", NOW) == []
    assert "in the command /stats" in caplog.text
    assert "ZeroDivisionError" in caplog.text
    assert desk.answer("/who", NOW) == ["nobody is here"]
