"""What somebody at a terminal knows: what became of their lines, how the connection is, who is there."""

from pathlib import Path

import pytest

from chatmail.core import wire
from tests.client.scene import ENTER, TAB, scene
from tests.client.scripted import NOW, direct, echo, message, person, welcome


async def test_a_line_that_is_not_confirmed_is_shown_as_waiting_until_it_is() -> None:
    async with scene() as john:
        await john.line("hello")
        john.terminal.type(ENTER)
        said = await john.visit.expect(wire.Say)
        await john.terminal.shows("\n… hello\n>")
        assert "1 unconfirmed" in john.terminal.toolbar
        john.visit.send(echo(said, 1))
        await john.terminal.until(lambda: "… hello" not in john.terminal.text)
        assert john.terminal.text.count("hello") == 1


async def test_a_line_that_is_confirmed_in_time_never_looks_as_if_it_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatmail.client.prompt.LATE", 1_000.0)
    async with scene() as john:
        await john.line("hello")
        john.terminal.type(ENTER)
        john.visit.send(echo(await john.visit.expect(wire.Say), 1))
        await john.terminal.until(lambda: "hello" in john.terminal.text and "unconfirmed" not in john.terminal.text)
        assert "… hello" not in john.terminal.raw


async def test_a_line_that_is_refused_says_so_and_waits_no_longer() -> None:
    async with scene() as john:
        await john.line("/dm Nobody hi")
        john.terminal.type(ENTER)
        dm = await john.visit.expect(wire.Dm)
        await john.terminal.shows("… → Nobody: hi")
        john.visit.send(wire.Error(code="no-such-person", text="nobody here was ever called 'Nobody'", id=dm.id))
        await john.terminal.shows("-- not sent: nobody here was ever called 'Nobody' (your line was: hi)")
        await john.terminal.until(lambda: "… → Nobody" not in john.terminal.text)


async def test_lines_that_are_typed_without_a_connection_wait_in_sight() -> None:
    async with scene() as john:
        john.visit.cut()
        await john.terminal.until(lambda: "reconnecting" in john.terminal.toolbar)
        visit = await john.server.visit()
        await visit.expect(wire.Join)
        await john.line("are you there?")
        john.terminal.type(ENTER)
        await john.terminal.shows("… are you there?")
        visit.cut()


async def test_what_was_held_is_told_before_that_the_connection_is_lost() -> None:
    async with scene() as john:
        john.visit.send(message(1, "before"))
        await john.terminal.shows("before")
        john.visit.cut()
        visit = await john.server.visit()
        await visit.admit(message(2, "missed"), answer=welcome("John", "Mary", seq=9, resumed=True))
        await john.terminal.until(lambda: "connected" in john.terminal.toolbar)
        visit.cut()
        await john.terminal.until(lambda: john.terminal.text.count("trying again") == 2)
        shown = [line for line in john.terminal.lines if "missed" in line or "trying again" in line]
        assert ["missed" in line for line in shown] == [False, True, False]


async def test_the_toolbar_counts_down_to_the_next_try_and_enter_brings_it_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("chatmail.client.connection.backoff", lambda attempt, timing, rand: 1_000.0)
    async with scene() as john:
        john.visit.cut()
        await john.terminal.until(lambda: "reconnecting in " in john.terminal.toolbar)
        shown = john.terminal.toolbar.partition("reconnecting in ")[2]
        await john.terminal.until(
            lambda: "reconnecting in " in john.terminal.toolbar and shown not in john.terminal.toolbar
        )
        john.terminal.type(ENTER)
        visit = await john.server.visit()
        await visit.admit()
        await john.terminal.until(lambda: "connected" in john.terminal.toolbar)


async def test_that_there_is_no_connection_is_told_until_there_is_one() -> None:
    async with scene() as john:
        john.visit.cut()
        await john.terminal.until(lambda: "reconnecting" in john.terminal.toolbar)
        await john.line("/who")
        john.terminal.type(ENTER)
        await john.terminal.shows("there is no connection now")
        await (await john.server.visit()).admit(answer=welcome("John", resumed=True))
        await john.terminal.until(lambda: "connected" in john.terminal.toolbar)
        await john.terminal.until(lambda: "there is no connection now" not in john.terminal.text)
        assert "> /who" in john.terminal.text


async def test_the_help_fits_on_the_screen() -> None:
    async with scene() as john:
        john.terminal.type("/help" + ENTER)
        await john.terminal.shows("clear the line; leave\n>")
        await john.terminal.until(lambda: "connected" in john.terminal.toolbar)
        assert any(line.startswith("-- commands and keys") for line in john.terminal.lines)


async def test_own_lines_are_never_ignored() -> None:
    async with scene() as john:
        await john.line("/ignore John")
        john.terminal.type(ENTER)
        await john.terminal.shows("-- nobody ignores their own lines")
        john.visit.send(message(1, "it is me", sender="John"))
        await john.terminal.shows("you: it is me")


async def test_what_is_completed_is_as_things_are_now() -> None:
    async with scene() as john:
        john.terminal.type("/dm ")
        await john.visit.expect(wire.Who)
        people = [person("Bob"), wire.Person(name="Mary", since=NOW, away="tea", idle=7_200, mailed="always")]
        john.visit.send(wire.People(people=people, total=2))
        await john.terminal.until(lambda: "2 here" in john.terminal.toolbar)
        john.terminal.type(TAB)
        await john.terminal.shows("away 2h00m: tea, will be emailed")
        assert "people are here" not in john.terminal.text


async def test_one_person_can_be_asked_about() -> None:
    async with scene() as john:
        await john.line("/whois Mary")
        john.terminal.type(ENTER)
        assert (await john.visit.expect(wire.Whois)).name == "Mary"
        john.visit.send(wire.Profile(name="Mary", mailed="away", since=NOW, away="lunch", idle=3_900))
        await john.terminal.shows("-- Mary, here since ")
        await john.terminal.shows("idle 1h05m, away: lunch; direct messages")
        await john.line("/whois Bob")
        john.terminal.type(ENTER)
        await john.visit.expect(wire.Whois)
        john.visit.send(wire.Profile(name="Bob", mailed="never"))
        await john.terminal.shows("-- Bob, not here now; direct messages also go out by email: never")


async def test_who_is_silent_is_called_idle() -> None:
    async with scene() as john:
        await john.line("/who")
        john.terminal.type(ENTER)
        await john.visit.expect(wire.Who)
        people = [
            wire.Person(name="John", since=NOW, idle=0),
            wire.Person(name="Mary", since=NOW, idle=600, away="tea"),
        ]
        john.visit.send(wire.People(people=people, total=2))
        await john.terminal.shows("  idle 10m  away: tea")
        assert john.terminal.text.count("idle") == 1


async def test_nothing_is_seen_of_what_somebody_says_who_is_ignored(tmp_path: Path) -> None:
    async with scene() as john:
        await john.line("/ignore eve")
        john.terminal.type(ENTER)
        await john.terminal.shows("-- you see nothing of what these say: eve; their direct messages")
        john.visit.send(message(1, "hello John", sender="Eve"), direct(2, "psst", sender="Eve"), message(3, "hi"))
        await john.terminal.shows("Mary: hi")
        assert "hello John" not in john.terminal.text
        assert "psst" not in john.terminal.text
        assert "\a" not in john.terminal.raw
        await john.terminal.until(lambda: "1 new" in john.terminal.toolbar)
        await john.line("/unignore Eve")
        john.terminal.type(ENTER)
        await john.terminal.shows("-- you see nothing of what these say: nobody")
        john.visit.send(message(4, "me again", sender="Eve"))
        await john.terminal.shows("Eve: me again")


async def test_what_one_mail_tells_of_several_messages_is_told_once() -> None:
    def sent(seq: int, mail: wire.MailState = "sent") -> wire.Receipt:
        return wire.Receipt(seq=seq, to="Mary", online=True, mail=mail)

    async with scene(sent(1), sent(2), sent(3), sent(3, "saved"), message(4, "hi"), sent(5)) as john:
        await john.terminal.until(lambda: john.terminal.text.count("the email to Mary is sent") == 2)
        shown = [line for line in john.terminal.lines if "Mary" in line]
        assert [line.split("Mary ")[-1] for line in shown[1:]] == [
            "is sent",
            "is in the server's outbox (it has no mail account)",
            f"{message(4).time.astimezone():%H:%M} Mary: hi",
            "is sent",
        ]


async def test_a_mail_that_failed_stands_out_and_says_why() -> None:
    failed = wire.Receipt(seq=1, to="Mary", online=False, mail="failed", detail="mailbox full")
    queued = wire.Receipt(seq=1, to="Mary", online=False, mail="queued")
    async with scene(direct(1, "hi", sender="John", to="Mary"), queued, failed) as john:
        await john.terminal.shows(
            "\n-- Mary is not here now; an email is on its way as well\n-- the email to Mary failed: mail"
        )
        assert john.terminal.look("-- the email").bold
        assert not john.terminal.look("-- Mary is").bold


async def test_what_was_chosen_about_mail_is_confirmed() -> None:
    async with scene() as john:
        for when, told in (("always", "always sent by email as well"), ("never", "never sent by email")):
            await john.line(f"/notify {when}")
            john.terminal.type(ENTER)
            asked = await john.visit.expect(wire.Notify)
            john.visit.send(wire.Ack(id=asked.id))
            await john.terminal.shows(f"-- direct messages to you are {told}")
