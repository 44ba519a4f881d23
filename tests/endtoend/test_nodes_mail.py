"""Several servers with one Redis send each mail once: the one that leads does, and another goes on when it is gone."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from chatmail.core.wire import Dm, Receipt
from tests.endtoend.conftest import Desk
from tests.endtoend.nodes import BACK, GONE, LEADS, Node, nodes
from tests.endtoend.test_crash import texts_of
from tests.faultproxy import FaultProxy
from tests.peer import Peer
from tests.redisserver import RedisServer, needs_redis
from tests.server.mailserver import HANG, MailServer

pytestmark = [needs_redis, pytest.mark.slow]

WINDOW = 12
"""Messages to one person within so many seconds share a mail; in it, a test says what it has to say."""


class Team:
    """Two servers that share a Redis, the first of which sends the mail; John is at it, Mary at the other.

    ``way`` is that of the first to Redis.
    """

    def __init__(self, mail: MailServer, way: FaultProxy, first: Node, second: Node, john: Peer, mary: Peer) -> None:
        self.mail = mail
        self.way = way
        self.first = first
        self.second = second
        self.john = john
        self.mary = mary
        self.texts: list[str] = []

    async def write(self, author: Peer, text: str) -> None:
        """Have somebody write to Ann, who is not here; returns once that is stored."""
        self.texts.append(text)
        await author.send(Dm(to="Ann", text=text))
        await author.expect(Receipt, to="Ann")

    async def hurry(self) -> None:
        """Have the second server not wait for what the first may be sending."""
        await self.second.type("/mail retry", "trying")

    async def mailed(self, count: int = 0) -> None:
        """Wait until everything was mailed; it was once, and in so many mails, if that is known."""
        await self.mail.until(lambda: set(self.texts) <= set(self._arrived()))
        assert Counter(self._arrived()) == Counter(self.texts)
        assert len(self.mail.mails) == count or not count

    def _arrived(self) -> list[str]:
        assert all(mail.to == ["ann@example.org"] for mail in self.mail.mails)
        return [text for mail in self.mail.mails for text in texts_of(mail)]


@asynccontextmanager
async def team(desk: Desk, window: int = WINDOW) -> AsyncIterator[Team]:
    """Who runs in the end has nothing left to mail."""
    mail = MailServer(patience=60)
    async with mail, RedisServer(desk.folder / "redis") as redis, FaultProxy(redis.port) as way:
        settings = {
            "SENDER_EMAIL": "chat@team.example",
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(mail.port),
            "MAIL_WINDOW": str(window),
        }
        async with nodes(desk, redis.url_at(way.port), redis.url, **settings) as (first, second):
            ann = await Peer.joined(second.port, "Ann")
            ann.cut()
            john, mary = await Peer.joined(first.port, "John"), await Peer.joined(second.port, "Mary")
            team = Team(mail, way, first, second, john, mary)
            try:
                yield team
            finally:
                team.john.cut()
                team.mary.cut()
        await team.mailed()


async def test_what_is_written_at_two_servers_shares_mails(desk: Desk) -> None:
    async with team(desk) as t:
        await t.write(t.mary, "lunch?")
        assert (await t.mary.expect(Receipt)).mail == "sent"
        for number in range(5):
            await t.write(t.john, f"John's line {number}")
            await t.write(t.mary, f"Mary's line {number}")
        t.john.patience = t.mary.patience = 60
        assert (await t.mary.expect(Receipt, mail="sent")).to == "Ann"
        assert (await t.john.expect(Receipt, mail="sent")).to == "Ann"
        await t.mailed(2)


async def test_when_the_server_that_sends_the_mail_dies_another_sends_what_waits(desk: Desk) -> None:
    """What is in its window, what the mail server has not taken, and what is written then."""
    async with team(desk) as t:
        await t.write(t.mary, "lunch?")
        await t.mailed(1)
        await t.write(t.john, "at noon?")
        await t.write(t.mary, "or at one?")
        await t.first.kill()
        t.john.cut()
        await t.write(t.mary, "hello?")
        await t.second.shows(LEADS)
        await t.write(t.mary, "anybody?")
        await t.mailed()


async def test_a_mail_that_its_server_died_over_is_sent_by_another(desk: Desk) -> None:
    async with team(desk) as t:
        t.mail.answer("354", HANG)
        await t.write(t.john, "lunch?")
        await t.mail.reached("354")
        await t.first.kill()
        t.john.cut()
        await t.second.shows(LEADS)
        await t.hurry()
        await t.mailed(1)


@pytest.mark.parametrize("when", [LEADS, GONE], ids=["overtaken", "given up"])
async def test_a_server_that_wakes_up_in_the_middle_of_a_mail_does_not_send_it_again(desk: Desk, when: str) -> None:
    """Another one has taken over; that the mail server now says to go ahead is not meant for the first any more."""
    async with team(desk, window=2) as t:
        t.mail.answer("354", go_ahead := asyncio.Event())
        await t.write(t.john, "lunch?")
        await t.mail.reached("354")
        t.first.pause()
        await t.second.shows(when)
        await t.hurry()
        await t.mailed(1)
        go_ahead.set()
        t.first.resume()
        if when == GONE:
            assert (await t.john.bye()).retry
            await t.first.shows(BACK)
            t.john = await Peer.joined(t.first.port, "John")
        for name, author in (("John", t.john), ("Mary", t.mary)):
            await t.write(author, f"{name} waits")
        await t.mailed()


@pytest.mark.parametrize("late", [False, True], ids=["while it is cut off", "when it starts anew"])
async def test_a_mail_that_its_server_could_not_tell_of_comes_once(desk: Desk, late: bool) -> None:
    """The mail server has the content and holds its answer; by then its author's server has lost Redis for too long."""
    async with team(desk) as t:
        t.mail.answer("DATA", answer := asyncio.Event())
        await t.write(t.mary, "lunch?")
        await t.mail.reached("DATA")
        t.way.cut()
        if not late:
            answer.set()
        await t.second.shows(GONE)
        await t.way.mend()
        await t.first.shows("starts anew")
        bye = await t.john.bye()
        assert (bye.reason, bye.retry) == ("the server starts anew", True)
        if late:
            await t.first.shows("a mail is in the middle of being sent; that is awaited")
        answer.set()
        await t.first.shows(BACK)
        t.john = await Peer.joined(t.first.port, "John")
        assert (await t.mary.expect(Receipt, mail="sent")).to == "Ann"
        await t.mailed(1)
        await t.second.type("/mail", "0 messages waiting to be mailed")
