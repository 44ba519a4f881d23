"""Connections over real sockets: what the shell around a hub's session promises."""

import asyncio
import json
import logging
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from chatmail.core.limits import Limits, Rate
from chatmail.core.wire import (
    Ack,
    Bye,
    Code,
    Direct,
    Dm,
    Error,
    Gap,
    Join,
    Joined,
    Leave,
    Left,
    Message,
    Notify,
    Ping,
    Pong,
    Receipt,
    Say,
    Welcome,
    encode,
)
from chatmail.server.app import House, running
from chatmail.server.session import Connection
from chatmail.server.settings import Settings
from chatmail.server.stores.database import MEMORY
from tests.peer import PATIENCE, Peer, peers


@asynccontextmanager
async def house(tmp_path: Path, limits: Limits | None = None, rate: Rate | None = None) -> AsyncIterator[House]:
    settings = Settings(chat_port=0, chat_db=MEMORY, outbox=tmp_path / "outbox", rate=rate)
    async with running(settings, limits or Limits()) as running_house:
        yield running_house


async def test_what_one_says_everybody_gets_once_and_the_sender_its_echo(tmp_path: Path) -> None:
    async with house(tmp_path) as h, peers(h.port, "John", "Mary", "Ann") as (john, mary, ann):
        await john.send(Say(text="hello", id="1"))
        echo = await john.expect(Message)
        assert (echo.sender, echo.text, echo.id) == ("John", "hello", "1")
        for other in (mary, ann):
            assert await other.sync() == [echo]


async def test_a_direct_message_reaches_its_reader_and_its_sender_only(tmp_path: Path) -> None:
    async with house(tmp_path) as h, peers(h.port, "John", "Mary", "Ann") as (john, mary, ann):
        await john.send(Dm(to="mary", text="lunch?", id="1"))
        direct = await mary.expect(Direct, text="lunch?")
        assert await john.expect(Direct) == direct
        assert (await john.expect(Receipt)).mail == "queued"
        assert (await john.expect(Receipt)).mail == "saved"
        assert await ann.sync() == []
    assert len(list((tmp_path / "outbox").iterdir())) == 1


async def test_frames_behind_a_join_wait_for_its_answer(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        peer = await Peer.connect(h.port)
        await peer.send(Join(name="John", email="john@example.org"), Say(text="a"), Say(text="b" * 3000), Ping())
        kinds = [type(await peer.next()) for _ in range(5)]
        assert kinds == [Welcome, Joined, Message, Message, Pong]
        peer.cut()


async def test_at_debug_a_connection_is_logged_from_its_beginning_to_its_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "chatmail")
    async with house(tmp_path, Limits(max_clients=2)) as h:
        john = await Peer.connect(h.port)
        await john.send(Join(name="/John", email="john@example.org"), Join(name="John", email="john@example.org"))
        await john.expect(Welcome)
        await john.send_bytes(b"nonsense\n")
        await john.expect(Error, code=Code.BAD_FRAME)
        mary = await Peer.connect(h.port)
        await mary.send(Ping())
        await mary.expect(Error)
        ann = await Peer.connect(h.port)
        refused = await ann.expect(Error)
        await ann.bye()
        for peer in (john, mary):
            await peer.send(Leave())
            await peer.bye()
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.DEBUG]
    told = [re.sub(" frame is refused: ([a-z-]+): .*", r" frame is refused: \1", line) for line in told]
    assert told.count("a connection from 127.0.0.1") == 2
    for line in (
        "127.0.0.1: a frame is refused: bad-name",
        "John from 127.0.0.1: a frame is refused: bad-frame",
        "127.0.0.1: a frame is refused: not-joined",
        f"a connection from 127.0.0.1 is refused: {refused.text}",
        "John from 127.0.0.1 is disconnected: you left",
        "127.0.0.1 is disconnected: you left",
    ):
        assert told.count(line) == 1, told


async def test_frames_may_arrive_in_any_pieces(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        peer = await Peer.connect(h.port)
        for byte in encode(Join(name="Zoë", email="zoe@example.org")):
            await peer.send_bytes(bytes([byte]))
        assert (await peer.expect(Welcome)).name == "Zoë"
        peer.cut()


async def test_an_over_long_line_closes_and_its_tail_is_no_frame(tmp_path: Path) -> None:
    async with house(tmp_path) as h, peers(h.port, "John", "Mary") as (john, mary):
        await mary.send_bytes(b"x" * 70_000 + b"\n" + encode(Say(text="tail")))
        error = await mary.expect(Error)
        assert error.code == Code.TOO_LONG
        assert not (await mary.bye()).retry
        assert [type(frame) for frame in await john.sync()] in ([], [Left])


async def test_before_joining_a_line_may_have_4_kib_and_after_it_64(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        peer = await Peer.connect(h.port)
        await peer.send_bytes(b"{" + b" " * 4096 + b"}\n")
        assert (await peer.expect(Error)).code == Code.TOO_LONG
        await peer.bye()
        peer = await Peer.joined(h.port, "John")
        padded = b'{"type":"ping"' + b" " * 65_000 + b"}\n"
        await peer.send_bytes(padded)
        await peer.expect(Pong)
        peer.cut()


async def test_more_than_five_bad_frames_close_the_connection(tmp_path: Path) -> None:
    async with house(tmp_path) as h, peers(h.port, "John") as (john,):
        await john.send_bytes(b"nonsense\n" * 6)
        frames = await john.until_hung()
        assert [type(frame) for frame in frames] == [Error] * 6 + [Bye]
        assert {frame.code for frame in frames[:6]} == {Code.BAD_FRAME}


async def test_who_does_not_join_in_time_is_sent_away(tmp_path: Path) -> None:
    async with house(tmp_path, Limits(join_time=0.05)) as h:
        peer = await Peer.connect(h.port)
        assert (await peer.bye()).retry


async def test_who_drips_bytes_does_not_stay_longer(tmp_path: Path) -> None:
    async with house(tmp_path, Limits(join_time=0.05)) as h:
        peer = await Peer.connect(h.port)
        await peer.send_bytes(b'{"type":"jo')
        assert "no join" in (await peer.bye()).reason


async def test_silence_ends_a_session_that_has_pinged(tmp_path: Path) -> None:
    async with house(tmp_path, Limits(silence=0.1, grace=0)) as h:
        quiet = await Peer.connect(h.port)
        await quiet.join("Quiet")
        john = await Peer.joined(h.port, "John")
        assert "no sign of life" in (await john.bye()).reason
        left = await quiet.expect(Left)
        assert left.name == "John"
        quiet.cut()


async def test_a_cut_that_is_mended_within_the_grace_shows_nothing_and_loses_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as h, peers(h.port, "John", "Mary") as (john, mary):
        welcome = mary.frames[0]
        last = max(getattr(frame, "seq", 0) for frame in mary.frames[1:] if not isinstance(frame, Welcome))
        mary.cut()
        await john.send(Say(text="one"), Dm(to="Mary", text="two"))
        await john.expect(Receipt)
        again = await Peer.connect(h.port)
        resume = {"epoch": welcome.epoch, "seq": last}
        back = await again.join("Mary", token=welcome.token, resume=resume)
        assert back.resumed
        assert [frame.text for frame in await again.sync()] == ["one", "two"]
        assert [type(frame) for frame in await john.sync()] in ([], [Receipt])
        again.cut()


async def test_the_token_takes_over_from_a_half_open_connection(tmp_path: Path) -> None:
    async with house(tmp_path) as h, peers(h.port, "John", "Mary") as (john, mary):
        other = await Peer.connect(h.port)
        await other.join("Mary", token=mary.frames[0].token)
        bye = await mary.bye()
        assert not bye.retry
        assert await john.sync() == []
        other.cut()


async def test_who_leaves_gets_what_was_said_before_and_goodbye(tmp_path: Path) -> None:
    async with house(tmp_path) as h, peers(h.port, "John", "Mary") as (john, mary):
        await mary.send(Say(text="so long"), Leave())
        assert [type(frame) for frame in await mary.until_hung()] == [Message, Left, Bye]
        assert (await john.expect(Left)).reason == "left"


def _stalled_peer(port: int) -> socket.socket:
    """A raw socket with a small buffer, so that not reading is felt at once."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", port))
    return sock


async def test_a_reader_that_stalls_costs_the_others_nothing_and_hears_of_its_gap(tmp_path: Path) -> None:
    limits = Limits(entries_max=50)
    async with house(tmp_path, limits) as h, peers(h.port, "John", "Mary") as (john, mary):
        stalled = _stalled_peer(h.port)
        stalled.sendall(encode(Join(name="Slow", email="slow@example.org")))
        await john.expect(Joined, name="Slow")
        reading = asyncio.create_task(mary.expect(Message, text="more 99"))
        for at in range(600):
            await john.send(Say(text=f"{at} " + "x" * 3900))
            await john.expect(Message)
        await john.send(Dm(to="Slow", text="for you"))
        for at in range(100):
            await john.send(Say(text=f"more {at}"))
            await john.expect(Message)
        await reading
        assert len([frame for frame in mary.frames if isinstance(frame, Message)]) == 700
        slow = Peer(*await asyncio.open_connection(sock=stalled))
        frames = await slow.sync()
        gap = next(frame for frame in frames if isinstance(frame, Gap))
        told = [frame for frame in frames if isinstance(frame, Message)]
        assert gap.missed + len(told) == 700
        assert [frame.text for frame in frames if isinstance(frame, Direct)] == ["for you"]
        slow.cut()


async def test_a_reader_that_takes_nothing_is_closed_as_too_slow(tmp_path: Path) -> None:
    async with house(tmp_path, Limits(slow=0.05, grace=0)) as h, peers(h.port, "John") as (john,):
        stalled = _stalled_peer(h.port)
        stalled.sendall(encode(Join(name="Slow", email="slow@example.org")))
        await john.expect(Joined, name="Slow")
        talking = asyncio.create_task(john.send(*[Say(text="x" * 3900)] * 600))
        assert (await john.expect(Left, name="Slow")).reason == "too slow"
        await talking
        stalled.close()


async def test_a_flood_is_slowed_by_not_reading_it(tmp_path: Path) -> None:
    async with house(tmp_path, rate=Rate(3, 50)) as h, peers(h.port, "John", "Mary") as (john, mary):
        loop = asyncio.get_running_loop()
        start = loop.time()
        await john.send(*[Say(text=str(at)) for at in range(12)])
        await mary.expect(Message, text="11")
        # After the burst of 3 the other 9 come at 50 a second.
        assert loop.time() - start >= 9 / 50 - 0.05


async def test_a_connection_too_many_is_told_so(tmp_path: Path) -> None:
    async with house(tmp_path, Limits(max_clients=1)) as h, peers(h.port, "John") as (_,):
        peer = await Peer.connect(h.port)
        assert (await peer.expect(Error)).code == Code.SERVER_FULL
        assert (await peer.bye()).retry


async def test_at_the_end_everybody_is_told_to_come_back(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        john = await Peer.joined(h.port, "John")
        farewell = asyncio.create_task(john.bye())
    assert (await farewell).retry


@pytest.mark.parametrize("slow", [10.0, 0.05])
async def test_a_peer_that_goes_while_it_is_held_up_is_gone(tmp_path: Path, slow: float) -> None:
    """It sent something while its buffer was full, so nobody was reading it when it ended."""
    async with house(tmp_path, Limits(slow=slow, grace=0)) as h, peers(h.port, "John") as (john,):
        stalled = _stalled_peer(h.port)
        stalled.sendall(encode(Join(name="Slow", email="slow@example.org")))
        await john.expect(Joined, name="Slow")
        stalled.sendall(encode(Say(text="I am reading nothing")))
        for _ in range(200):
            await john.send(Say(text="x" * 3900))
            await john.expect(Message)
        stalled.sendall(encode(Say(text="nor do I listen")))
        await john.sync()
        if slow > 1:
            stalled.close()
        left = [frame for frame in john.frames if isinstance(frame, Left)]
        assert left or await john.expect(Left, name="Slow")
        stalled.close()
    assert not h.hub.sessions


async def test_who_leaves_right_behind_a_direct_message_still_gets_its_receipt(tmp_path: Path) -> None:
    async with house(tmp_path) as h, peers(h.port, "John", "Mary") as (john, _):
        await john.send(Dm(to="Mary", text="bye", id="1"), Notify(when="away", id="2"), Leave())
        told = await john.until_hung()
        assert [type(frame) for frame in told if not isinstance(frame, Direct | Left)] == [Receipt, Ack, Bye]


async def test_who_hangs_up_on_one_side_still_gets_all_answers(tmp_path: Path) -> None:
    """As ``nc -N`` does at the end of its input."""
    async with house(tmp_path) as h:
        peer = await Peer.connect(h.port)
        await peer.send(Join(name="John", email="john@example.org"), Say(text="hello", id="1"), Ping())
        peer.writer.write_eof()
        assert [type(frame) for frame in await peer.until_hung()] == [Welcome, Joined, Message, Pong, Bye]
        peer = await Peer.connect(h.port)
        await peer.send(Join(name="_", email="john@example.org"))
        peer.writer.write_eof()
        assert [type(frame) for frame in await peer.until_hung()] == [Error, Bye]


async def test_an_error_before_joining_comes_before_the_welcome(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        peer = await Peer.connect(h.port)
        await peer.send(Join(name="_", email="a@example.org"), Join(name="Ann", email="a@example.org"), Ping())
        assert [type(await peer.next()) for _ in range(4)] == [Error, Welcome, Joined, Pong]
        peer.cut()


async def test_joining_costs_one_of_the_burst(tmp_path: Path) -> None:
    async with house(tmp_path, rate=Rate(4, 0.001)) as h, peers(h.port, "John", "Mary") as (john, mary):
        await john.send(*[Say(text=str(at)) for at in range(1, 5)])
        await mary.expect(Message, text="3")
        await mary.send(Say(text="I heard three"))
        assert (await mary.expect(Message)).sender == "Mary"


async def test_who_is_slowed_for_days_can_be_sent_away_at_once(tmp_path: Path) -> None:
    async with house(tmp_path, rate=Rate(1, 1e-6)) as h, peers(h.port, "John", "Mary") as (john, mary):
        session = h.hub.roster.reach(1)
        assert session
        await john.send(Say(text="joining took the only token"))
        async with asyncio.timeout(PATIENCE):
            while not session.deaf:
                await mary.sync()
        h.hub.dismiss(session, "enough", retry=False)
        assert (await john.bye()).reason == "enough"
        async with asyncio.timeout(PATIENCE):
            while session in h.hub.sessions:
                await mary.sync()
        assert not any(isinstance(frame, Message) for frame in mary.frames)


@pytest.mark.parametrize("frame", [b'{"type":"ping"}', b'{"type":"away","reason":"' + b"x" * 201 + b'"}', b"nonsense"])
async def test_no_kind_of_line_is_free_of_the_rate(tmp_path: Path, frame: bytes) -> None:
    async with house(tmp_path, rate=Rate(3, 1)) as h, peers(h.port, "John", "Mary") as (john, mary):
        await john.send_bytes((frame + b"\n") * 300)
        await mary.send(Say(text="one"), Say(text="two"))
        await mary.expect(Message, text="two")
        answered = [told for told in await _said_so_far(john) if not isinstance(told, Message)]
        assert len(answered) <= 55


async def _said_so_far(peer: Peer) -> list[object]:
    """What has come up to the second message, without waiting for more."""
    told: list[object] = []
    while not told or getattr(told[-1], "text", "") != "two":
        told.append(await peer.next())
        if isinstance(told[-1], Bye):
            break
    return told


@pytest.mark.parametrize("to", ["Mary", "everybody"])
async def test_a_fault_of_ours_in_one_connection_ends_only_that_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, to: str
) -> None:
    """Where it reads for itself, and where it is handed what all get."""
    async with house(tmp_path, Limits(grace=0)) as h, peers(h.port, "John", "Mary", "Ann") as (john, mary, ann):
        unlucky = h.hub.roster.reach(2)
        right = Connection._put

        def wrong(connection: Connection, data: bytes) -> None:
            if connection._session is unlucky:
                raise KeyError("no such thing")
            right(connection, data)

        monkeypatch.setattr(Connection, "_put", wrong)
        monkeypatch.setattr(Connection, "place", lambda _: -1)  # nothing is written past it
        await john.send(*([Dm(to="Mary", text="hello")] if to == "Mary" else []), Say(text="hello"))
        await ann.expect(Message, text="hello")
        await mary.until_hung()
        assert (await john.expect(Left)).name == "Mary"
    assert "a fault of this server" in caplog.text
    assert "no such thing" in caplog.text


async def test_nothing_overtakes_what_the_stream_still_holds(tmp_path: Path) -> None:
    """Though there is room in the socket again, and the loop has not had the turn to see that."""
    async with house(tmp_path, Limits(send_buffer=8192)) as h, peers(h.port, "John") as (john,):
        with socket.create_connection(("127.0.0.1", h.port)) as mary:
            mary.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            mary.sendall(encode(Join(name="Mary", email="mary@example.org")))
            await john.expect(Joined, name="Mary")
            session = h.hub.roster.reach(2)
            assert session is not None
            connection = h.hub.fan_out._in_step.get(session) or h.hub.fan_out._apart[session]
            assert isinstance(connection, Connection)
            said = 0
            while not connection._stalled:
                await john.send(Say(text="x" * 4000, id=f"{said}"))
                await john.expect(Message, id=f"{said}")
                said += 1
            mary.setblocking(False)
            taken = b""
            with suppress(BlockingIOError):
                while True:
                    taken += mary.recv(65536)
            assert connection._transport.get_write_buffer_size()
            assert not connection.write(b"overtaking")
            mary.setblocking(True)
            while taken.count(b'"type":"message"') < said or not taken.endswith(b"\n"):
                taken += await asyncio.to_thread(mary.recv, 65536)
    numbers = [json.loads(line).get("id") for line in taken.splitlines() if b'"message"' in line]
    assert numbers == [f"{number}" for number in range(said)]
