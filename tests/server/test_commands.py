"""What the operator's lines do and answer, on a real hub and store."""

import pytest

from chatmail.core.pace import MINUTE
from chatmail.core.wire import Away, Dm, Leave, Say
from chatmail.server.command import Machine
from chatmail.server.commands import TABLE
from chatmail.server.desk import AGAIN, Desk
from tests.core.houses import couple
from tests.server.house import NOW, Console

HINT = "this is not sent; /broadcast TEXT says it to everybody"


pytestmark = pytest.mark.usefixtures("utc")


async def test_plain_text_is_not_sent() -> None:
    c = await Console.open("John")
    last = c.house.hub.journal.last
    assert await c.type("hello everybody") == [HINT]
    assert await c.type(" ") == []
    assert c.house.hub.journal.last == last


async def test_a_forgotten_slash_is_noticed() -> None:
    c = await Console.open()
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
    c = await Console.open()
    assert await c.type(line) == [hint]


@pytest.mark.parametrize(
    "line",
    ["/broadcast", "/kick", "/ban", "/unban", "/unban a b", "/bans x", "/who x", "/whois", "/whois a b", "/forget",
     "/forget a b", "/mail x", "/mail drop", "/mail drop x y", "/history 1 2", "/audit 1 2", "/search", "/stats x",
     "/log a b", "/help x y", "/quit now"],
)  # fmt: skip
async def test_wrong_words_are_answered_with_the_usage(line: str) -> None:
    c = await Console.open("a", "b", "x")
    command = next(command for command in TABLE if command.name == line.split()[0])
    assert await c.type(line) == [f"use {command.usage}: {command.help}"]
    assert c.quits == 0


async def test_broadcast() -> None:
    c = await Console.open("John", "Mary")
    assert await c.type("/Broadcast  back  at\nnoon ") == ["broadcast to 2 people"]
    data = c.house.hub.journal.read(c.house.hub.journal.last - 1, 0)[0]
    assert b'"notice"' in data
    assert rb'"text":"back  at\nnoon"' in data


async def test_a_broadcast_the_wire_cannot_carry_is_mended_or_refused() -> None:
    c = await Console.open("John")
    assert await c.type("/broadcast \udc80") == ["broadcast to 1 person"]
    assert await c.type("/broadcast a\0b") == ["this text holds a NUL character"]
    assert await c.type("/broadcast " + "x" * 4001) == ["this text has 4,001 characters; at most 4,000 are allowed"]


async def test_kick() -> None:
    c = await Console.open("John", "Mary")
    assert await c.type("/kick john  be good") == ["John left: kicked: be good"]
    assert await c.type("/kick john") == ["John is not here"]
    assert await c.type("/kick Jonh") == ["nobody here was ever called 'Jonh'; did you mean John?"]
    assert await c.type("/kick mary " + "x" * 201) == ["this reason has 201 characters; at most 200 are allowed"]
    assert await c.type("/kick mary") == ["Mary left: kicked"]


async def test_several_lines_are_no_command() -> None:
    c = await Console.open("John")
    assert await c.type("/kick John\n/kick Mary") == ["nothing is done: /kick is one line, and this has several"]


async def test_ban_for_a_while_and_for_good() -> None:
    c = await Console.open("John", "Mary")
    assert await c.type("/bans") == ["nobody is banned"]
    assert await c.type("/ban John 1d12h no  manners") == [
        "that bans the name only; /ban john@example.org keeps its person out under any name",
        "john is banned until 2026-11-24 02:02 UTC",
        "John left: banned: no manners",
    ]
    assert await c.type("/ban Eve@example.org") == ["eve@example.org is banned for good"]
    assert await c.type("/ban 2001:DB8::1 spam") == ["2001:db8::1 is banned for good"]
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
    c = await Console.open()
    await c.house.join("John", "192.0.2.7")
    await c.house.join("Mary", "192.0.2.8")
    c.house.told.clear()
    assert await c.type("/ban 192.0.2.7") == ["192.0.2.7 is banned for good", "John left: banned"]


@pytest.mark.parametrize("duration", ["30", "2x", "0m", "1.5h", "7days", "99999w", "²h", "5M"])
async def test_what_begins_like_a_duration_must_be_one(duration: str) -> None:
    """A slip must not ban somebody for good."""
    c = await Console.open("John")
    assert await c.type(f"/ban John {duration} spam") == [
        f"nobody is banned: '{duration}' is no duration; 30m, 2h, 7d, 1w are, none is for good"
    ]
    assert await c.type("/bans") == ["nobody is banned"]


@pytest.mark.parametrize("what", ["192.0.2.0/33", "@example.org", "john@localhost", "-x", "everyone", "x" * 33])
async def test_what_nobody_can_be_called_is_not_banned(what: str) -> None:
    c = await Console.open()
    [answer] = await c.type(f"/ban {what}")
    assert answer.startswith("nobody is banned: ")


async def test_banning_a_name_nobody_has_is_remarked_on() -> None:
    c = await Console.open("John")
    assert await c.type("/ban Jonh") == [
        "nobody here was ever called 'Jonh'; did you mean John? (it is banned all the same)",
        "jonh is banned for good",
    ]


async def test_unban() -> None:
    c = await Console.open("John")
    await c.type("/ban John")
    assert await c.type("/unban JOHN") == ["john is no longer banned"]
    assert await c.type("/unban John") == ["john is not banned; /bans lists who is"]


@pytest.mark.parametrize("line", ["/forget John", "/unban Eve", "/kick John", "/ban John"])
async def test_the_same_command_twice_before_the_store_answers(line: str) -> None:
    """Lines from a pipe come faster than the store is."""
    c = await Console.open("John")
    await c.type("/ban Eve")
    c.desk.answer(line, NOW)
    await c.type(line)
    await c.type("/broadcast still here")


async def test_who() -> None:
    c = await Console.open("John")
    assert await c.type("/kick John") == ["John left: kicked"]
    await c.house.join("Mary", "2001:db8::7")
    await c.house.away("Mary", "at \x1b[31m lunch\u202e until\nthree")
    c.house.told.clear()
    assert await c.type("/who", NOW + 3_900) == [
        "1 person here",
        "NAME  EMAIL             HOST         SINCE  IDLE   AWAY",
        r"Mary  mary@example.org  2001:db8::7  14:02  1h05m  at \x1b[31m lun…",
    ]
    assert await c.type("/kick Mary") == ["Mary left: kicked"]
    assert await c.type("/who") == ["nobody is here"]


async def test_who_is_aligned_by_what_the_eye_sees() -> None:
    c = await Console.open("John", "千代子")
    _, head, john, chiyoko = await c.type("/who")
    assert head.startswith("NAME    EMAIL")
    assert john.startswith("John    john@")
    assert chiyoko.startswith("千代子  ")


async def test_somebody_cut_off_is_shown_as_such() -> None:
    c = await Console.open("John")
    c.house.hub.disconnected(c.house.sessions["John"], NOW)
    assert (await c.type("/who"))[2] == "John  john@example.org  cut off  14:02  -"
    assert (await c.type("/whois john"))[2] == "here    since 14:02, but cut off"


async def test_whois() -> None:
    c = await Console.open("John", "Mary")
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
    c = await Console.open("John")
    assert await c.type("/forget John") == ["John left: forgotten by the operator", "John is forgotten"]
    assert await c.type("/whois John") == ["nobody here was ever called 'John'"]
    await c.house.join("John")
    assert (await c.type("/who"))[0] == "1 person here"


async def test_history() -> None:
    c = await Console.open("John", "Mary")
    assert await c.type("/history") == ["nothing has been said"]
    await c.house.send("John", Say(text="good morning"))
    assert await c.type("/history") == ["the last thing said", "14:02 John: good morning"]
    await c.house.send("Mary", Dm(to="John", text="between you and me"))
    await c.type("/broadcast back at noon")
    await c.house.send("Mary", Say(text="tomorrow, then"), NOW + 86_400)
    assert await c.type("/history", NOW + 86_400) == [
        "the last 3 things said",
        "2026-11-22 14:02 John: good morning",
        "2026-11-22 14:02 !! notice: back at noon",
        "14:02 Mary: tomorrow, then",
    ]
    assert await c.type("/history 1", NOW + 86_400) == [
        "the last thing said",
        "14:02 Mary: tomorrow, then",
        "there is more; /history 100 goes further back",
    ]


async def test_nobody_says_something_in_the_name_of_another() -> None:
    c = await Console.open("John")
    await c.house.send("John", Say(text="hello\n14:03 Mary: I quit\r\n\x1b[2J\u2028!! notice: go home"))
    assert await c.type("/history") == [
        "the last thing said",
        "14:02 John: hello",
        "│ 14:03 Mary: I quit",
        r"│ \x1b[2J\u2028!! notice: go home",
    ]


@pytest.mark.parametrize("number", ["0", "101", "-1", "x", "1.5", "²", "9" * 5_000])
async def test_a_number_that_is_none_is_answered_with_those_that_are(number: str) -> None:
    c = await Console.open()
    assert await c.type(f"/history {number}") == [f"{number[:40]} is no number from 1 to 100"]


async def test_history_is_20_things_or_100_at_most() -> None:
    c = await Console.open("John")
    for number in range(102):
        await c.house.send("John", Say(text=f"number {number}"), NOW + number)
    head, *lines, more = await c.type("/history")
    assert (head, more) == ("the last 20 things said", "there is more; /history 100 goes further back")
    assert [line.split()[-1] for line in lines] == [str(number) for number in range(82, 102)]
    head, *lines, more = await c.type("/history 100")
    assert (head, len(lines), more) == ("the last 100 things said", 100, "there is more")
    head, *lines, more = await c.type("/search NUMBER")
    assert (head, len(lines), more) == ("100 found for NUMBER", 100, "there is more; more words find less")


async def test_search() -> None:
    c = await Console.open("John", "Mary")
    await c.house.send("John", Say(text="the key is on my desk"))
    await c.house.send("John", Say(text="Mary has the other one"))
    await c.house.send("Mary", Dm(to="John", text="the key is lost"))
    await c.type("/broadcast a key was found")
    assert await c.type("/search  key  ") == [
        "2 found for key",
        "14:02 John: the key is on my desk",
        "14:02 !! notice: a key was found",
    ]
    assert await c.type("/search KEY des") == ["1 found for KEY des", "14:02 John: the key is on my desk"]
    assert await c.type("/search lost") == ["nothing found for lost"]
    assert await c.type('/search " OR *\x1b') == [r'nothing found for " OR *\x1b']
    assert await c.type("/search " + "x" * 201) == ["this search has 201 characters; at most 200 are allowed"]


async def test_a_store_that_cannot_answer_is_mentioned() -> None:
    c = await Console.open()
    assert c.desk.answer("/history", NOW) == []
    (lookup,) = c.house.hub.lookups
    lookup.failed("the disk is gone")
    assert c.shown == ["nothing can be shown: the disk is gone"]


async def test_stats() -> None:
    c = await Console.open("John", "Mary")
    await c.house.send("Mary", Leave())
    c.house.told.clear()
    size = c.house.hub.journal.size
    assert await c.type("/stats") == [
        "up           1d2h, since 2026-11-21 11:59",
        "people       1 here, 2 at most; 2 accounts",
        "connections  2",
        "messages     " + "▁" * 60,
        "             0 a minute now, 0 at most in the last hour",
        "direct       0 messages since the start",
        "mail         0 waiting, 0 sent, 0 failed",
        f"journal      3 entries, {size} B; the last is number 3",
        "memory       43.9 MiB now, 45.3 MiB at most",
        "disk         1.2 MiB",
    ]
    c.memory = 48_000_000
    assert "memory       45.8 MiB now, 45.8 MiB at most" in await c.type("/stats")
    c.memory = c.disk = None
    assert (await c.type("/stats"))[-2:] == ["memory       45.3 MiB at most", "disk         nothing is kept"]


async def test_what_no_disk_here_holds_is_somewhere_else() -> None:
    c = await Console.open(place="Redis at 127.0.0.1:6379")
    c.disk = None
    assert (await c.type("/stats"))[-1] == "disk         all is in Redis at 127.0.0.1:6379"


async def test_stats_tell_how_busy_the_last_hour_was() -> None:
    """Everything said counts, to all and to one, and the operator's; comings and goings do not."""
    c = await Console.open("John", "Mary")
    for minute in range(60):
        c.desk.look(NOW + minute * MINUTE)
        if minute == 30:
            for _ in range(7):
                await c.house.send("John", Say(text="hello"), NOW + minute * MINUTE)
    await c.house.send("John", Dm(to="Mary", text="psst"), NOW + 59 * MINUTE)
    await c.type("/broadcast tea", NOW + 59 * MINUTE)
    await c.house.join("Ann", now=NOW + 59 * MINUTE)
    c.house.told.clear()
    chart, words, direct, mail = (await c.type("/stats", NOW + 60 * MINUTE - 1))[3:7]
    assert chart == "messages     " + "▁" * 31 + "█" + "▁" * 27 + "▃"
    assert words == "             2 a minute now, 7 at most in the last hour"
    assert direct == "direct       1 message since the start"
    assert mail == "mail         1 waiting, 0 sent, 0 failed; the oldest for 59s"
    c.columns = 39
    assert (await c.type("/stats", NOW + 60 * MINUTE - 1))[3] == "messages     " + "▁" * 10 + "█" + "▁" * 8 + "▃"


async def test_a_chart_where_there_are_no_blocks_has_digits() -> None:
    c = await Console.open("John", blocks=False)
    await c.house.send("John", Say(text="hello"))
    assert (await c.type("/stats"))[3] == "messages     " + "0" * 59 + "8"


@pytest.mark.parametrize(
    ("columns", "width"), [(0, 6), (1, 6), (23, 10), (24, 10), (25, 12), (33, 20), (73, 60), (10_000, 60)]
)
async def test_a_chart_fits_into_a_line_if_anything_does(columns: int, width: int) -> None:
    c = await Console.open()
    c.columns = columns
    assert (await c.type("/stats"))[3] == "messages     " + "▁" * width


async def test_motd() -> None:
    c = await Console.open()
    assert await c.type("/motd") == ["there is no message of the day; /motd TEXT sets one"]
    assert await c.type("/motd be kind\nor else") == ["the message of the day is set"]
    assert await c.type("/motd") == [r"the message of the day: be kind\nor else"]
    assert await c.type("/motd -") == ["no message of the day"]
    assert c.house.hub.motd == ""


async def test_help_lists_every_command_within_80_columns() -> None:
    c = await Console.open()
    lines = await c.type("/help")
    assert [line.split()[0] for line in lines] == [command.name for command in TABLE]
    assert max(map(len, lines)) < 80


async def test_help_on_one_command() -> None:
    c = await Console.open()
    assert await c.type("/help who") == ["/who: who is here"]
    assert (await c.type("/help /BAN"))[1].startswith("A duration is 30m")
    for name in ("history", "search"):
        assert (await c.type(f"/help {name}"))[1].endswith(
            "Direct messages are between two people, and not shown here."
        )
    assert await c.type("/help bam") == ["there is no command /bam; did you mean /ban?"]


async def test_log() -> None:
    c = await Console.open()
    assert await c.type("/log") == ["what is logged, and shown here: info (what happens) and above"]
    assert await c.type("/log ERROR") == ["what is logged, and shown here: error (what went wrong)"]
    assert c.level == "error"
    assert await c.type("/log loud\x1b") == [r"loud\x1b is no level; debug, info, warning, error are"]
    assert c.level == "error"


async def test_quit() -> None:
    c = await Console.open("John")
    assert await c.type("/quit") == []
    assert c.quits == 1
    assert c.desk.ended


async def test_quit_asks_where_somebody_can_be_asked() -> None:
    c = await Console.open("John", "Mary", asks=True)
    question = ["2 people are here; /quit again ends the server"]
    assert await c.type("/quit") == question
    assert not c.desk.ended
    assert await c.type("/quit", NOW + AGAIN + 1) == question
    assert await c.type("/kick Mary", NOW + AGAIN + 2) == ["Mary left: kicked"]
    assert await c.type("/quit", NOW + AGAIN - 1) == ["1 person is here; /quit again ends the server"]  # set back
    assert c.quits == 0
    assert await c.type("/quit", NOW + AGAIN) == []
    assert (c.quits, c.desk.ended) == (1, True)


def test_quit_asks_for_the_people_of_this_server_where_there_are_others() -> None:
    one, two, mary, john = couple()
    two.join("Ada")
    machine = Machine(
        memory=lambda: None, peak=lambda: 0, disk=lambda: None, level=lambda: "info", set_level=lambda _: None
    )
    here, there = [
        Desk(server.operator, server.told.extend, server.told.clear, NOW, machine, asks=True) for server in (one, two)
    ]
    words = "at this server; /quit again ends it, the others go on"
    assert here.answer("/quit", NOW) == [f"1 person is {words}"]
    assert there.answer("/quit", NOW) == [f"2 people are {words}"]
    mary.ask(Leave())
    assert here.answer("/quit", NOW + AGAIN + 1) == []
    assert here.ended
    one.end()
    assert there.answer("/quit", NOW + AGAIN + 1) == ["2 people are here; /quit again ends the server"]


async def test_while_the_server_starts_anew_commands_are_put_off() -> None:
    c = await Console.open("Mary", asks=True)
    c.house.operator.leave()
    for line in ("/who", "/broadcast hello", "/kick Mary", "/stats"):
        assert await c.type(line) == ["not now: this server starts anew; try again in a moment"]
    assert await c.type("/who now") == ["use /who: who is here"]
    assert (await c.type("/help who"))[0] == "/who: who is here"
    assert await c.type("/log debug") != []
    c.house.operator.move(c.house.hub)
    assert (await c.type("/who"))[0] == "1 person here"
    c.house.operator.leave()
    assert await c.type("/quit") == []
    assert c.quits == 1


async def test_quit_asks_nothing_while_nobody_is_here() -> None:
    c = await Console.open(asks=True)
    assert await c.type("/quit") == []
    assert c.desk.ended


async def test_a_desk_owes_what_was_asked_for_until_it_is_done() -> None:
    c = await Console.open("John")
    done: list[int] = []
    c.desk.when_answered(lambda: done.append(1))
    for line in ("/history", "/audit", "/broadcast hello", "/kick John", "/mail retry"):
        assert not c.desk.owes
        c.desk.answer(line, NOW)
        assert c.desk.owes
        await c.house.settle()
    assert len(done) == 5
    c.desk.answer("/stats", NOW)
    assert not c.desk.owes
    assert len(done) == 5


async def test_what_tab_offers() -> None:
    c = await Console.open("John", "Joan", "Mary")
    await c.type("/kick Joan")
    await c.type("/ban Eve")
    offers = c.offers
    assert offers("") == []
    assert offers("hello") == []
    assert offers("/ba") == ["/ban ", "/bans "]
    assert offers("/kick j") == ["John ", "Joan "]  # who is here comes first
    assert offers("/kick John j") == []
    assert offers("/unban ") == ["eve"]
    assert offers("/help /q") == ["/quit"]
    assert offers("/kick  j") == ["John ", "Joan "]
    assert offers("/ban John ") == ["30m ", "2h ", "7d ", "1w "]
    assert offers("/ban John 7d ") == []
    assert offers("/mail ") == ["retry ", "drop "]
    assert offers("/log w") == ["warning"]
    assert offers("/who ") == []
    assert offers("/nothing ") == []


async def test_what_is_said_about_what_tab_offers() -> None:
    c = await Console.open("John", "Mary", "Eve", "Bob", "Joan")
    await c.type("/kick Joan")
    await c.type("/ban Zoe 2h", NOW)
    await c.type("/ban 192.0.2.0/24 rude\x1b[2J")
    await c.house.join("Ann", "198.51.100.1")
    for name in ("John", "Mary", "Eve", "Bob"):
        await c.house.join(name, "198.51.100.1")
    await c.house.away("Mary", "lunch \x1b[2J")
    await c.house.send("Eve", Away(reason=""))
    c.house.hub.disconnected(c.house.sessions["Bob"], NOW)

    def about(before: str) -> dict[str, str]:
        return {offer.text: offer.about for offer in c.desk.offers(before, NOW + 301)}

    assert about("/kick ") == {
        "Ann ": "here, idle 5m",
        "John ": "here, idle 5m",
        "Mary ": r"away: lunch \x1b[2J",
        "Eve ": "away",
        "Bob ": "cut off",
        "Joan ": "not here",
    }
    assert about("/unban ") == {"zoe": "until 16:02", "192.0.2.0/24": r"for good: rude\x1b[2J"}
    assert about("/st") == {"/stats ": "the server in numbers"}
    assert about("/help /w") == {"/who": "who is here", "/whois": "what is known of somebody"}
    assert about("/ban John 3") == {"30m ": "half an hour"}
    assert about("/log d") == {"debug": "connections and refusals, too"}


async def test_a_fault_in_a_command_is_logged_and_the_next_one_works(caplog: pytest.LogCaptureFixture) -> None:
    c = await Console.open()
    del c.memory  # what the system tells is a fault
    assert c.desk.answer("/stats", NOW) == []
    assert "in the command /stats" in caplog.text
    assert "AttributeError" in caplog.text
    assert c.desk.answer("/who", NOW) == ["nobody is here"]


async def test_a_fault_in_what_is_shown_later_is_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    c = await Console.open()
    c.desk.show(str(1 // number) for number in (1, 0))
    assert c.shown == []
    assert "in what a command says later" in caplog.text


async def test_audit() -> None:
    c = await Console.open("John", "Mary")
    assert await c.type("/audit") == ["nothing was done here yet"]
    await c.type("/kick John rude")
    await c.type("/ban 192.0.2.0/24 2h", NOW + 60)
    assert await c.type("/audit", NOW + 86_400) == [
        "the last 2 acts of the operator",
        "2026-11-22 14:02 kicked John: rude",
        "2026-11-22 14:03 banned 192.0.2.0/24 until 2026-11-22 16:03 UTC",
    ]
    assert await c.type("/audit 1", NOW + 86_400) == [
        "the last act of the operator",
        "2026-11-22 14:03 banned 192.0.2.0/24 until 2026-11-22 16:03 UTC",
        "there is more; /audit 100 goes further back",
    ]
    assert await c.type("/audit 101") == ["101 is no number from 1 to 100"]


async def test_an_act_of_several_lines_cannot_pass_for_several() -> None:
    c = await Console.open("John")
    await c.type("/broadcast one\n14:02 kicked John")
    _, first, second = await c.type("/audit")
    assert first == "14:02 broadcast: one"
    assert second.startswith("│ ")


async def test_a_network_that_is_none_is_said() -> None:
    c = await Console.open("John")
    [answer] = await c.type("/ban 192.0.2.0/99")
    assert answer.startswith("nobody is banned: '192.0.2.0/99' is no network")
