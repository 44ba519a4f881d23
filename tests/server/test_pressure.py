"""The limits under pressure, over real sockets: who floods, or does not read, is the only one who feels it."""

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median

import pytest

from chatmail.core.journal import READ_MAX
from chatmail.core.limits import Limits, Rate
from chatmail.core.records import Change, Found, Question, Stored
from chatmail.core.session import IN_FLIGHT_MAX
from chatmail.core.wire import (
    Ack,
    Away,
    Bye,
    Code,
    Direct,
    Dm,
    Error,
    Frame,
    Gap,
    History,
    Join,
    Joined,
    Leave,
    Left,
    Message,
    Notify,
    Page,
    People,
    Ping,
    Pong,
    Say,
    Search,
    Who,
)
from chatmail.server.session import PING_RATE
from chatmail.server.stores.database import MEMORY
from chatmail.server.stores.sqlite import SqliteStore
from tests.peer import PATIENCE, HungError, Peer, peers
from tests.server.pressure import CALM, flooding, house, mute, pings, round_trips, tracing

KIB, MIB = 1024, 1024 * 1024
LONG = "x" * 4_000
RATE = Rate(40, 20)
SOON = 0.25
"""The longest that half of the round trips of others may take, in seconds. Who starves waits in all of them, and for
seconds; a machine that does much else stalls in a few, which says nothing."""


@pytest.mark.parametrize(
    ("frame", "answers", "rate"),
    [
        pytest.param(Say(text="flood"), [Message], RATE, id="say"),
        pytest.param(Dm(to="Mary", text="flood"), [Direct, Error], RATE, id="dm"),
        pytest.param(Away(), [Ack], RATE, id="away"),
        pytest.param(Who(), [People], RATE, id="who"),
        pytest.param(History(), [Page], RATE, id="history"),
        pytest.param(Search(words="calm"), [Page], RATE, id="search"),
        pytest.param(Join(name="Me", email="me@example.org"), [Error], RATE, id="join"),
        pytest.param(Ping(), [Pong], PING_RATE, id="ping"),
    ],
)
async def test_a_flood_is_slowed_and_held_back_and_nobody_else_waits(
    tmp_path: Path, frame: Frame, answers: list[type[Frame]], rate: Rate
) -> None:
    async with (
        house(tmp_path, rate=RATE) as h,
        peers(h.port, "John", "Mary", "Ann", "Flood") as (*others, peer),
        flooding(peer, frame) as flood,
    ):
        took = await round_trips(others, 34)
        await flood.answered(int(rate.burst), *answers)
        assert flood.answers(*answers) <= rate.burst + rate.per_second * flood.seconds() + 1
        assert flood.held_back() > 0.5
        assert median(took) < SOON


SECONDS = 1.5
"""How long somebody comes in again and again."""


async def come_again(port: int, token: str, *frames: Frame) -> None:
    """Come in with a proof, send this, read until it is answered, and vanish, over and over for a while."""
    loop = asyncio.get_running_loop()
    end = loop.time() + SECONDS
    while loop.time() < end:
        peer = await Peer.connect(port)
        await peer.send(Join(name="Flood", email="flood@example.org", token=token), *frames, Ping())
        with suppress(TimeoutError, HungError):
            async with asyncio.timeout_at(end):
                while not isinstance(await peer.next(), Pong):
                    pass
        peer.cut()


@pytest.mark.parametrize(
    ("frames", "counted"),
    [
        pytest.param([Say(text="flood")] * 10, [Message], id="say"),
        pytest.param([Leave()], [Joined, Left], id="leave"),
    ],
)
async def test_coming_in_again_and_again_makes_nobody_faster(
    tmp_path: Path, frames: list[Frame], counted: list[type[Frame]]
) -> None:
    """Neither in what they say, nor in coming and going. A Join and a Leave take a token each."""
    loop = asyncio.get_running_loop()
    async with house(tmp_path, Limits(grace=60), RATE) as h, peers(h.port, "John", "Mary", "Flood") as people:
        john, mary, peer = people
        start = loop.time()
        async with asyncio.TaskGroup() as both:
            both.create_task(come_again(h.port, peer.frames[0].token, *frames))
            talk = both.create_task(round_trips([john], 20))
        heard = [frame for frame in await mary.sync() if isinstance(frame, tuple(counted))]
        floods = sum(getattr(frame, "text", "") != CALM for frame in heard)
        assert RATE.burst / 2 <= floods <= RATE.burst + RATE.per_second * (loop.time() - start) + 3
        assert median(talk.result()) < SOON


async def test_a_storm_of_people_who_come_back_slows_none_of_them(tmp_path: Path) -> None:
    """Each comes back once, where it would take hours to be given another token."""
    names = [f"P{at}" for at in range(30)]
    async with house(tmp_path, rate=Rate(3, 1e-4)) as h, peers(h.port, *names) as people:
        tokens = [peer.frames[0].token for peer in people]
        for peer in people:
            peer.cut()
        back = [await Peer.joined(h.port, name, token=token) for name, token in zip(names, tokens, strict=True)]
        await round_trips(back, 1)
        for peer in back:
            peer.cut()


@pytest.mark.parametrize("joined", [True, False])
async def test_a_flood_of_nonsense_ends_soon_and_nobody_else_waits(tmp_path: Path, joined: bool) -> None:
    """Before joining, what is wrong is counted as an error without joining as well; the smaller limit counts."""
    async with house(tmp_path, rate=RATE) as h, peers(h.port, "John", "Mary", "Ann") as others:
        for at in range(8):
            peer = await (Peer.joined(h.port, f"Flood{at}") if joined else Peer.connect(h.port))
            async with flooding(peer, b"nonsense\n") as flood:
                took = await round_trips(others, 4)
                told = [type(frame) for frame in await flood.until_hung() if isinstance(frame, Error | Bye)]
                assert told == [Error] * 6 + [Bye]
                assert median(took) < SOON


async def test_a_flood_of_joins_that_are_refused_ends_soon_and_nobody_else_waits(tmp_path: Path) -> None:
    async with (
        house(tmp_path, rate=RATE) as h,
        peers(h.port, "John", "Mary", "Ann") as others,
        flooding(await Peer.connect(h.port), Join(name="John", email="other@example.org")) as flood,
    ):
        took = await round_trips(others, 34)
        told = [type(frame) for frame in await flood.until_hung()]
        assert told == [Error] * Limits().join_errors + [Bye]
        assert median(took) < SOON


async def test_a_flood_of_direct_messages_fills_no_mailbox(tmp_path: Path) -> None:
    """Ten may wait: ten go out at once, ten wait for the next mail, and the rest is refused before it is accepted."""
    limits, rate = Limits(mails_waiting=10), Rate(200, 20)
    async with house(tmp_path, limits, rate) as h, peers(h.port, "John", "Mary", "Flood") as (john, mary, peer):
        async with flooding(peer, Dm(to="Mary", text="flood")) as flood:
            took = await round_trips([john], 100)
            await flood.answered(200, Direct, Error)
            assert median(took) < SOON
        accepted = [frame for frame in await mary.sync() if isinstance(frame, Direct)]
        assert 10 <= len(accepted) <= 20
        assert {frame.code for frame in peer.frames if isinstance(frame, Error)} == {Code.TOO_FAST}
        sent, waiting = h.mail_figures()
        assert sent <= 1
        assert waiting <= 10


class Library(SqliteStore):
    """A store that looks nothing up before its gate opens, and counts what it was asked at once."""

    def __init__(self) -> None:
        super().__init__(MEMORY, keep_days=30)
        self.gate = asyncio.Event()
        self.under_way = self.most = 0

    async def look_up(self, query: Question) -> Found:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await self.gate.wait()
        self.under_way -= 1
        return await super().look_up(query)


@pytest.mark.parametrize("frame", [History(), Search(words="calm")])
async def test_one_asks_the_store_one_thing_at_a_time_however_fast(tmp_path: Path, frame: Frame) -> None:
    """Without a rate, too: who asks is not read until there is an answer."""
    store = Library()
    async with (
        house(tmp_path, store=store) as h,
        peers(h.port, "John", "Mary", "Flood") as (john, mary, peer),
        flooding(peer, frame) as flood,
    ):
        await mary.send(History(id="1"))
        took = await round_trips([john], 100)
        assert store.most == 2
        assert median(took) < SOON
        store.gate.set()
        await mary.expect(Page, id="1")
        await flood.answered(10, Page)
        assert store.most == 2


async def test_a_reader_that_never_reads_is_closed_as_too_slow_and_nobody_else_waits(tmp_path: Path) -> None:
    """Several times as much is said meanwhile as the journal holds, and the others miss nothing."""
    limits = Limits(slow=0.3, grace=0, bytes_max=512 * KIB)
    async with house(tmp_path, limits) as h, peers(h.port, "John", "Mary") as (john, mary):
        async with mute(h.port, "Slow"):
            listening = asyncio.create_task(mary.expect(Message, text="last"))
            took: list[float] = []
            async with asyncio.timeout(PATIENCE):
                while len(took) < 500 or not any(isinstance(frame, Left) for frame in john.frames):
                    took += await round_trips([john], 10, text=LONG)
            await john.send(Say(text="last"))
            await listening
        assert [frame.reason for frame in mary.frames if isinstance(frame, Left)] == ["too slow"]
        assert sum(isinstance(frame, Message) for frame in mary.frames) == len(took) + 1
        assert median(took) < SOON


async def test_a_reader_that_is_slow_but_steady_stays_and_hears_of_its_gap(tmp_path: Path) -> None:
    """It takes so little that one write outlasts by far what a reader has who takes nothing. Its journal runs away from
    it; its direct messages do not.
    """
    loop = asyncio.get_running_loop()
    limits = Limits(slow=0.5, grace=0, bytes_max=256 * KIB)
    async with (
        house(tmp_path, limits) as h,
        peers(h.port, "John") as (john,),
        mute(h.port, "Slow") as (slow,),
    ):
        said = 0
        start = took = loop.time()
        while said < 500 or loop.time() < start + 2.5 * limits.slow:
            await round_trips([john], 1, text=LONG)
            said += 1
            if said % 50 == 0:
                await john.send(Dm(to="Slow", text=str(said)))
            if loop.time() > took + limits.slow / 10:
                await slow.take(KIB)
                took = loop.time()
        await round_trips([john], 1, text="last")
        told = await slow.until("last")
        gaps = [frame.missed for frame in told if isinstance(frame, Gap)]
        assert len(gaps) >= 1
        assert sum(gaps) + sum(isinstance(frame, Message) for frame in told) == said + 1
        directs = [frame.text for frame in told if isinstance(frame, Direct)]
        assert directs == [str(at) for at in range(50, said + 1, 50)]
        assert not any(isinstance(frame, Left) for frame in john.frames)


async def say_much(peer: Peer, size: int) -> None:
    """Say so many bytes, a little at a time, and keep nothing of it."""
    for _ in range(size // (20 * len(LONG))):
        await peer.send(*[Say(text=LONG)] * 20)
        for _ in range(20):
            await peer.reader.readline()


@pytest.mark.slow
async def test_readers_that_never_read_cost_the_journal_once(tmp_path: Path) -> None:
    """Each has its own place in it, and at most what its socket did not take of one read."""
    readers = 60
    limits = Limits(slow=60, grace=0, bytes_max=256 * KIB, presence_max=1)
    async with (
        house(tmp_path, limits) as h,
        peers(h.port, "John") as (john,),
        mute(h.port, *(f"Slow{at}" for at in range(readers))),
    ):
        await john.sync()
        with tracing() as memory:
            await say_much(john, 6 * MIB)
            assert memory.grown() < 2 * limits.bytes_max + readers * READ_MAX
        assert len(h.hub.sessions) == readers + 1


@pytest.mark.slow
async def test_newcomers_that_never_read_share_the_history(tmp_path: Path) -> None:
    """Where it is more than their sockets take: each has at most one read of its own, beside the connection itself."""
    readers = 30
    limits = Limits(slow=60, grace=0, presence_max=1)
    async with house(tmp_path, limits) as h, peers(h.port, "John") as (john,):
        await john.send(*[Say(text="\U0001f600" * 4000)] * limits.history)
        for _ in range(limits.history):
            await john.expect(Message)
        with tracing() as memory:
            async with mute(h.port, *(f"Slow{at}" for at in range(readers))):
                await john.sync()
                assert memory.grown() < MIB + readers * 3 * READ_MAX


class Ledger(SqliteStore):
    """A store in a file that notes how many changes came at once."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), keep_days=30)
        self.most = 0

    async def commit(self, batch: Sequence[Change]) -> list[Stored]:
        self.most = max(self.most, len(batch))
        return await super().commit(batch)


@pytest.mark.parametrize(
    ("frame", "answer"),
    [
        pytest.param(Say(text="x" * 300), Message, id="say"),
        pytest.param(Dm(to="John", text="x" * 300), Direct, id="dm"),
        pytest.param(Away(reason="x" * 200), Ack, id="away"),
    ],
)
async def test_while_the_store_hangs_one_session_submits_only_so_much(
    tmp_path: Path, frame: Frame, answer: type[Frame]
) -> None:
    """Without a rate, too. Somebody else has locked the file; when they let go, all is done, each line once."""
    path = tmp_path / "chat.db"
    store = Ledger(path)
    async with house(tmp_path, store=store) as h, peers(h.port, "John", "Flood") as (john, peer):
        await john.send(Notify(when="never"))
        await john.expect(Ack)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        async with flooding(peer, frame, MIB) as flood:
            took = await pings(john, 200)
            other.execute("ROLLBACK")
            other.close()
            listening = asyncio.create_task(john.until_hung())
            await flood.answered(flood.lines, answer)
            assert flood.answers(answer) == flood.lines
            john.cut()
            await listening
        assert IN_FLIGHT_MAX // 2 < store.most <= IN_FLIGHT_MAX
        assert median(took) < SOON
