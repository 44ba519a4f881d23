"""The engine in front of a store that answers later, or will not: nobody sees what is not stored."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from chatmail.core.cluster import HOLD, LEADER
from chatmail.core.limits import Limits
from chatmail.core.records import Act, Change, Found, Leader, Motd, Question, Stored
from chatmail.core.wire import (
    Ack,
    Bye,
    Code,
    Dm,
    Error,
    History,
    Join,
    Joined,
    Leave,
    Left,
    Message,
    Notify,
    Page,
    Ping,
    Pong,
    Say,
    Welcome,
)
from chatmail.server import engine
from chatmail.server.app import House, running
from chatmail.server.engine import Engine
from chatmail.server.settings import Settings
from chatmail.server.stores import Outdated, StoreError
from chatmail.server.stores.database import MEMORY
from chatmail.server.stores.sqlite import SqliteStore
from tests.peer import Peer, peers
from tests.server.house import House as Hall
from tests.server.sharedstore import SharedStore


class GatedStore(SqliteStore):
    """Commits only while its gate is open; refuses while it is full."""

    def __init__(self) -> None:
        super().__init__(MEMORY, keep_days=30)
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()
        self.full = False
        self.unreadable = False
        self.one_by_one = False
        """The gate closes behind each batch."""

    async def commit(self, batch: Sequence[Change]) -> list[Stored]:
        self.asked.set()
        await self.gate.wait()
        if self.one_by_one:
            self.gate.clear()
        if self.full:
            raise StoreError("the disk is full; try again when the operator has made room")
        return await super().commit(batch)

    async def look_up(self, query: Question) -> Found:
        if self.unreadable:
            raise StoreError("the file is damaged")
        return await super().look_up(query)

    async def tidy(self, now: float) -> int:
        if self.unreadable:
            raise StoreError("the file is damaged")
        return await super().tidy(now)


@pytest.fixture
def store() -> GatedStore:
    return GatedStore()


@asynccontextmanager
async def house(store: GatedStore) -> AsyncIterator[House]:
    async with running(Settings(chat_port=0, chat_db=MEMORY, rate=None), Limits(), store=store) as running_house:
        yield running_house


async def test_nobody_sees_what_is_not_stored_yet_and_others_are_not_held_up(store: GatedStore) -> None:
    async with house(store) as h, peers(h.port, "John", "Mary") as (john, mary):
        store.gate.clear()
        await john.send(Say(text="hello"), Ping())
        store.asked.clear()
        await store.asked.wait()
        assert await mary.sync() == []
        store.gate.set()
        assert [type(await john.next()) for _ in range(2)] == [Message, Pong]
        assert [type(frame) for frame in await mary.sync()] in ([], [Message])


async def test_what_comes_while_the_store_is_busy_is_stored_next_in_order(store: GatedStore) -> None:
    async with house(store) as h, peers(h.port, "John", "Mary") as (john, mary):
        store.gate.clear()
        await john.send(Say(text="0"))
        await mary.send(*[Say(text=str(at)) for at in range(1, 20)])
        store.gate.set()
        texts = [(await mary.expect(Message)).text for _ in range(20)]
        assert [text for text in texts if text != "0"] == [str(at) for at in range(1, 20)]


async def test_a_store_that_refuses_is_answered_with_unavailable_and_never_an_echo(store: GatedStore) -> None:
    async with house(store) as h, peers(h.port, "John", "Mary") as (john, mary):
        store.full = True
        await john.send(Say(text="a", id="1"), Dm(to="Mary", text="b", id="2"), Notify(when="never", id="3"))
        errors = [await john.expect(Error) for _ in range(3)]
        assert [(error.code, error.id) for error in errors] == [(Code.UNAVAILABLE, id) for id in ("1", "2", "3")]
        assert "disk is full" in errors[0].text
        ann = await Peer.connect(h.port)
        await ann.send(Join(name="Ann", email="ann@example.org"))
        assert (await ann.expect(Error)).code == Code.UNAVAILABLE
        store.full = False
        await john.send(Say(text="a", id="1"), Notify(when="never", id="3"))
        assert (await john.expect(Message)).id == "1"
        assert (await john.expect(Ack)).id == "3"
        await ann.send(Join(name="Ann", email="ann@example.org"))
        await ann.expect(Welcome)
        assert [frame.text for frame in await mary.sync() if isinstance(frame, Message)] == ["a"]
        ann.cut()


async def test_who_is_cut_while_their_join_is_stored_may_come_back(store: GatedStore) -> None:
    async with house(store) as h, peers(h.port, "John") as (john,):
        store.gate.clear()
        store.asked.clear()
        ann = await Peer.connect(h.port)
        await ann.send(Join(name="Ann", email="ann@example.org"))
        await store.asked.wait()
        ann.cut()
        again = await Peer.connect(h.port)
        store.gate.set()
        await john.expect(Joined, name="Ann")
        welcome = await again.join("Ann")
        assert sorted(person.name for person in welcome.people) == ["Ann", "John"]
        again.cut()


async def test_a_peer_that_is_gone_in_the_tick_of_its_goodbye_disturbs_nobody(store: GatedStore) -> None:
    async with house(store) as h, peers(h.port, "John") as (john,):
        brisk = await Peer.joined(h.port, "Brisk")
        await john.expect(Joined, name="Brisk")
        sock = brisk.writer.get_extra_info("socket").dup()
        store.gate.clear()
        store.asked.clear()
        await brisk.send(Leave())
        await store.asked.wait()
        brisk.cut()
        await asyncio.sleep(0)
        # The loop has not looked at the server's socket since: its goodbye goes to nobody, which resets the connection.
        sock.close()
        store.gate.set()
        assert (await john.expect(Left)).name == "Brisk"


async def test_the_operator_hears_once_when_storing_fails_and_once_when_it_works_again(
    store: GatedStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatmail.server.engine.PAUSE", 0.0)
    caplog.set_level(logging.INFO, "chatmail.server.engine")
    async with house(store) as h, peers(h.port, "John") as (john,):
        store.full = True
        for id in "123":
            await john.send(Say(text="a", id=id))
            await john.expect(Error, id=id)
        store.full = False
        for id in "123":
            await john.send(Say(text="a", id=id))
            await john.expect(Message, id=id)
        told = [record.getMessage() for record in caplog.records if record.name == "chatmail.server.engine"]
        assert told == [
            "nothing can be stored, so nothing is said: the disk is full; try again when the operator has made room",
            "what is said can be stored again",
        ]


async def test_what_must_be_stored_is_tried_again_though_nobody_says_anything(
    store: GatedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatmail.server.engine.PAUSE", 0.0)
    async with house(store) as h:
        stored = asyncio.Event()
        store.full = True
        h.hub.submit(Change(must=True, then=lambda _: stored.set()))
        for _ in range(3):
            store.asked.clear()
            await store.asked.wait()
        store.full = False
        await stored.wait()


async def test_what_cannot_be_read_is_answered_and_the_chat_goes_on(
    store: GatedStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.unreadable = True
    async with house(store) as h, peers(h.port, "John", "Mary") as (john, mary):
        await john.send(Say(text="hello"), History(id="1"), Say(text="still here"))
        assert (await john.expect(Error, id="1")).code == Code.UNAVAILABLE
        await mary.expect(Message, text="still here")
        store.unreadable = False
        await john.send(History(id="2"))
        page = await john.expect(Page, id="2")
        assert [entry.text for entry in page.entries if isinstance(entry, Message)] == ["hello", "still here"]
    warnings = [each for each in caplog.records if each.levelno == logging.WARNING and each.name != "asyncio"]
    assert sorted({each.getMessage() for each in warnings}) == [
        "what is too old could not be deleted: the file is damaged",
        "what was said can't be read: the file is damaged",
    ]


async def test_what_is_with_the_store_at_the_end_is_waited_for(
    store: GatedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(store) as h, peers(h.port, "John") as (john,):
        h.hub.submit(Change(rows=(Motd(text="stored"),), must=True))
        monkeypatch.setattr(store, "close", lambda: asyncio.sleep(0))
    assert store._database.snapshot().motd == "stored"
    await SqliteStore.close(store)


async def test_a_store_that_hangs_at_the_end_is_not_waited_for_forever(
    store: GatedStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatmail.server.app.STORE_TIME", 0.05)
    async with house(store) as h:
        store.gate.clear()
        h.hub.submit(Change(rows=(Motd(text="under way"),)))
        await store.asked.wait()
        h.hub.submit(Change(rows=(Act(time=0.0, text="ended the server"),), must=True))
    lost = "1 line of the audit (ended the server), 1 other change"
    assert f"not stored, since the store takes longer than 0.05 s: {lost}" in caplog.messages


async def test_where_nothing_waits_nothing_is_said_to_be_lost(
    store: GatedStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatmail.server.app.STORE_TIME", 0.05)
    async with house(store) as h:
        store.gate.clear()
        h.hub.submit(Change(must=True))
    assert not any("not stored" in message for message in caplog.messages)


async def test_while_more_comes_in_a_crowd_is_written_to_later(store: GatedStore) -> None:
    hall = await Hall.open("Mary")
    driver = Engine(store, time.time)
    flushes = []
    hall.hub.flush = lambda: flushes.append("flush")  # type: ignore[method-assign]
    driver._took = 3600.0
    for _ in range(2):
        hall.hub.receive(hall.sessions["Mary"], Say(text="hello"), 0.0)
        await driver._hand_out(hall.hub)
    assert flushes == [], "the next batch brings it along"
    hall.hub.take()
    await driver._hand_out(hall.hub)
    assert flushes == ["flush"], "nothing more comes"
    hall.hub.receive(hall.sessions["Mary"], Say(text="hello"), 0.0)
    await driver._hand_out(hall.hub)
    assert flushes == ["flush", "flush"], "the last one took no time"


@pytest.mark.parametrize("took", [0.05, 0.5])
async def test_what_is_held_back_goes_out_when_it_has_waited_for_as_long_as_a_flush_takes(
    store: GatedStore, monkeypatch: pytest.MonkeyPatch, took: float
) -> None:
    """However long the next batch waits for the store; and so does everything else: answers, and goodbyes."""
    monkeypatch.setattr(Engine, "_took", property(lambda _: took, lambda *_: None), raising=False)
    async with house(store) as h, peers(h.port, "John", "Mary", "Ann") as (john, mary, ann):
        store.gate.clear()
        store.asked.clear()
        await john.send(Say(text="one"))
        await store.asked.wait()
        await john.send(Say(text="two"))
        while not h.hub.is_asked():
            await ann.send(Ping())
            await ann.expect(Pong)
        store.one_by_one = True
        start = time.monotonic()
        store.gate.set()
        await ann.send(Ping())
        assert (await mary.expect(Message)).text == "one"
        await ann.expect(Pong)
        assert time.monotonic() - start >= 0.9 * took
        session = h.hub.roster.reach(2)
        assert session is not None
        h.hub.dismiss(session, "kicked", retry=False)
        await mary.expect(Bye, reason="kicked")
        store.one_by_one = False
        store.gate.set()
        assert (await ann.expect(Message, text="two")).text == "two"


async def test_what_is_held_back_goes_out_when_the_next_batch_is_refused(
    store: GatedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "GATHER", -1.0)
    monkeypatch.setattr(engine, "TURNS", 50)
    monkeypatch.setattr(engine, "PAUSE", 0)
    async with house(store) as h, peers(h.port, "John", "Mary") as (john, mary):
        for number in range(20):
            store.full = number % 2 == 1
            await john.send(Say(text=f"{number}"))
            if store.full:
                await john.expect(Error, code=Code.UNAVAILABLE)
            else:
                await mary.expect(Message, text=f"{number}")
            await mary.send(Ping())
            await mary.expect(Pong)


# Whose mail it is.


@asynccontextmanager
async def sharing(store: SharedStore) -> AsyncIterator[House]:
    async with running(Settings(chat_port=0, chat_db=MEMORY, rate=None), Limits(), store=store) as running_house:
        yield running_house


async def test_who_shares_nothing_may_always_send(store: GatedStore) -> None:
    assert Engine(store, time.time).may_send()
    async with house(store) as h:
        assert h.engine.may_send()


async def test_the_one_that_leads_may_send_for_a_while_after_each_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    store = SharedStore(monkeypatch)
    async with sharing(store) as h:
        await store.asked.wait()
        assert not h.engine.may_send(), "nobody has heard of it yet"
        for _ in range(2):
            await store.beaten()
            assert h.engine.may_send()
            store.uptime += HOLD - 0.1
            assert h.engine.may_send()
            store.uptime += 0.1
            assert not h.engine.may_send()


async def test_that_while_begins_with_the_beat_and_not_with_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    store = SharedStore(monkeypatch)
    async with sharing(store) as h:
        await store.asked.wait()
        store.uptime += HOLD
        await store.answered()
        assert not h.engine.may_send()


async def test_a_beat_that_fails_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "PAUSE", 0.0)
    store = SharedStore(monkeypatch)
    async with sharing(store) as h:
        await store.beaten()
        store.uptime += HOLD
        await store.fails()
        await store.fails()
        assert not h.engine.may_send()


async def test_who_does_not_lead_may_not_send(monkeypatch: pytest.MonkeyPatch) -> None:
    store = SharedStore(monkeypatch)
    async with sharing(store) as h:
        await store.beaten()
        h.hub.learn(Change(rows=(Leader(node="there-2"),), claims=(LEADER,)), None, time.time())
        assert not h.engine.may_send()


async def test_who_is_outdated_may_not_send(monkeypatch: pytest.MonkeyPatch) -> None:
    store = SharedStore(monkeypatch)
    async with sharing(store) as h:
        await store.beaten()
        await store.ends(Outdated("the others have given it up"))
        await h.engine.over.wait()
        assert not h.engine.may_send()


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="where it does not exist, no clock stands still")
def test_time_passes_while_the_machine_is_suspended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "clock_gettime", {time.CLOCK_BOOTTIME: 90.0, time.CLOCK_MONOTONIC: 30.0}.__getitem__)
    assert engine.uptime() == 90.0
