"""Coming in when there is little room: crowds, floods and strangers are refused in good order, and nobody inside pays.

What a crowd costs is measured by those inside: how long it takes until what they say comes back to them.
"""

import asyncio
import re
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest

from chatmail.core.limits import Limits
from chatmail.core.wire import Bye, Code, Error, Join, Message, People, Say, Who, encode
from chatmail.server.app import SPARE_DESCRIPTORS, House, running
from chatmail.server.listener import FAREWELLS
from chatmail.server.settings import Settings
from chatmail.server.stores.database import MEMORY
from tests.peer import PATIENCE, Peer, peers
from tests.server.processes import ROOT, crowd, serving

T = TypeVar("T")


@asynccontextmanager
async def house(folder: Path, limits: Limits) -> AsyncIterator[House]:
    settings = Settings(chat_port=0, chat_db=MEMORY, outbox=folder / "outbox", rate=None)
    async with running(settings, limits) as running_house:
        yield running_house


class Talk:
    """A few people who talk while something happens; ``said`` is all they said."""

    def __init__(self, *people: Peer) -> None:
        self._people = people
        self.said: list[str] = []
        self.trips: list[float] = []

    async def say(self) -> None:
        """Each says something, and waits until it comes back."""
        for person in self._people:
            text = f"line {len(self.said)}"
            self.said.append(text)
            start = time.monotonic()
            await person.send(Say(text=text))
            await person.expect(Message, text=text)
            self.trips.append(time.monotonic() - start)

    async def during(self, event: Coroutine[Any, Any, T]) -> T:
        """Talk until this is over, and long enough for figures; what it returned."""
        task = asyncio.create_task(event)
        while not task.done() or len(self.trips) < 100:
            await self.say()
        return await task

    def check(self, bound: float = 0.25) -> None:
        """Next to nobody (p99) had to wait for so long, in seconds, and nobody for much longer."""
        trips = sorted(self.trips)
        p99, worst = trips[len(trips) * 99 // 100], trips[-1]
        assert p99 < bound, f"p99 of {len(trips)} round trips: {p99:.3f} s"
        assert worst < 2, f"the worst of {len(trips)} round trips: {worst:.3f} s"


# The time to join.


class Dripper:
    """Somebody who begins to join and never comes to the end of the line."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._socket.setblocking(False)
        self._line = iter(b'{"type":"join","name":"' + b"J" * 4000)
        self.cut = False
        self.heard = b""

    def drip(self) -> None:
        """Hear what there is to hear, and send one more byte."""
        try:
            with suppress(BlockingIOError):
                self.heard += self._socket.recv(4096)
            self._socket.send(bytes([next(self._line)]))
        except OSError:
            self.close()

    def close(self) -> None:
        self.cut = True
        self._socket.close()


async def drip_until_cut(drippers: Sequence[Dripper]) -> None:
    """All drip, ten bytes a second each, as long as the server lets them."""
    async with asyncio.timeout(PATIENCE):
        turn = 0
        while not all(dripper.cut for dripper in drippers):
            for dripper in drippers[turn % 10 :: 10]:
                if not dripper.cut:
                    dripper.drip()
            turn += 1
            await asyncio.sleep(0.01)


async def check_that_it_is_full(port: int, people: int) -> None:
    late = await Peer.connect(port)
    error = await late.expect(Error)
    assert error.code == Code.SERVER_FULL
    assert error.text == f"this server is full: {people} people are connected; try again later"
    assert (await late.bye()).retry


async def test_500_who_drip_their_join_are_sent_away_in_time_and_delay_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They take all the room there is, and give it all back."""
    monkeypatch.setattr("chatmail.server.session.LINGER", 0.3)
    asyncio.get_running_loop().set_debug(False)  # the time that takes is not to be measured
    limits = Limits(join_time=1.0, max_clients=503)
    async with house(tmp_path, limits) as h, peers(h.port, "John", "Mary", "Ann") as people:
        start = time.monotonic()
        drippers = [Dripper(h.port) for _ in range(500)]  # all wait in the queue: until here the server was not run
        await check_that_it_is_full(h.port, 503)
        talk = Talk(*people)
        await talk.during(drip_until_cut(drippers))
        assert 1.0 < time.monotonic() - start < 5
        assert {dripper.heard for dripper in drippers} == {encode(Bye(reason="no join within 1 s", retry=True))}
        talk.check()
        assert len(h.hub.sessions) == 3
        again = [Dripper(h.port) for _ in range(500)]
        await check_that_it_is_full(h.port, 503)
        for dripper in again:
            dripper.close()
        await Talk(*people).say()
        (await Peer.joined(h.port, "Zoe")).cut()


async def test_so_many_wrong_joins_end_a_connection(tmp_path: Path) -> None:
    async with house(tmp_path, Limits(join_errors=3)) as h:
        peer = await Peer.connect(h.port)
        await peer.send(*[Join(name="_", email="a@example.org")] * 4)
        *errors, bye = await peer.until_hung()
        assert [error.code for error in errors] == [Code.BAD_NAME] * 3
        assert bye == Bye(reason="3 errors without joining", retry=False)


async def test_so_many_bad_frames_end_a_session(tmp_path: Path) -> None:
    async with house(tmp_path, Limits(bad_frames=1)) as h, peers(h.port, "John") as (john,):
        await john.send_bytes(b"nonsense\n" * 3)
        *errors, bye = await john.until_hung()
        assert [error.code for error in errors] == [Code.BAD_FRAME] * 2
        assert bye == Bye(reason="more than 1 bad frames", retry=False)


# Limits by host.


def run_abroad(what: str) -> subprocess.CompletedProcess[str]:
    """Run a part of ``tests.server.abroad`` in a network that has only itself."""
    return subprocess.run(
        ["unshare", "--map-root-user", "--net", sys.executable, "-m", "tests.server.abroad", what],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def no_network() -> str:
    """Why there can be no network of its own for a test here, "" where there can."""
    missing = [program for program in ("unshare", "ip") if not shutil.which(program)]
    if missing:
        return f"a network of its own for the test takes {' and '.join(missing)}, which this machine does not have"
    tried = run_abroad("nothing")
    why = tried.stderr.strip().splitlines()[-1:]
    return "" if tried.returncode == 0 else f"this machine makes no network of its own for the test: {why}"


@pytest.mark.parametrize("version", ["ipv4", "ipv6"])
def test_a_host_has_so_many_connections_and_others_have_theirs(version: str) -> None:
    """An address counts as one host; with IPv6, all addresses of one /64 do. Loopback does not count."""
    if why := no_network():
        pytest.skip(why)
    done = run_abroad(version)
    assert done.returncode == 0, done.stdout + done.stderr


# Descriptors.


async def test_a_burst_of_connections_never_takes_the_last_descriptor(tmp_path: Path) -> None:
    """Who fits in comes in, some of the others are told that the server is full, and all others are cut off at once.

    Without open files to spare the server could neither accept nor refuse anybody, nor store what is said.
    """
    async with serving(tmp_path, descriptors=200) as server:
        port = await server.port()
        [warning] = [line for line in server.lines if "MAX_CLIENTS" in line]
        assert "200 open files here, which is room for 72; for all, allow 10128 (ulimit -n)" in warning
        async with peers(port, "John", "Mary", "Ann") as people:
            talk = Talk(*people)
            for _ in range(2):  # when the first have gone, as many come in again
                async with crowd(port) as strangers:
                    came = await talk.during(strangers.ask("come 400"))
                    assert came["inside"] == 72 - len(people)
                    told = "server-full: this server is full: 72 people are connected; try again later"
                    assert set(came["refused"]) <= {told, ""}
                    assert came["refused"][told] >= FAREWELLS
                    assert sum(came["refused"].values()) == 400 - came["inside"]
                    await talk.during(strangers.ask("leave"))
            talk.check()
    comings_and_goings = re.compile(r" joined from | left$")
    lines = [line for line in server.lines if not comings_and_goings.search(line)]
    assert len(lines) < 12, lines


async def test_a_server_that_has_room_for_nobody_does_not_start(tmp_path: Path) -> None:
    async with serving(tmp_path, descriptors=100, status=2) as server:
        with pytest.raises(AssertionError, match="does not listen"):
            await server.port()
    [line] = server.lines
    assert line == (
        "MAX_CLIENTS=10000: the system allows 100 open files here, which is room for nobody;"
        " for all, allow 10128 (ulimit -n)"
    )


# Great numbers.


@pytest.mark.slow
async def test_1000_who_are_cut_off_at_once_come_back_at_once_and_miss_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        port = await server.port()
        async with peers(port, "John", "Mary", "Ann") as people, crowd(port) as cut:
            assert (await cut.ask("come 1000"))["inside"] == 1000
            talk = Talk(*people)
            await talk.say()
            await cut.ask(f"read {talk.said[-1]}")
            assert (await talk.during(cut.ask("come_back")))["resumed"] == 1000
            await talk.say()
            assert (await cut.ask(f"read {talk.said[-1]}"))["heard"] == [talk.said]
            talk.check(0.5)


PEOPLE = 10_000


@pytest.mark.slow
@pytest.mark.skipif(
    resource.getrlimit(resource.RLIMIT_NOFILE)[1] < PEOPLE + 1 + SPARE_DESCRIPTORS,
    reason=f"this machine allows a process fewer open files than {PEOPLE:,} connections take",
)
async def test_10000_come_in_stay_and_go(tmp_path: Path) -> None:
    """They cost memory, and nothing else while they are silent."""
    async with serving(tmp_path, MAX_CLIENTS=str(PEOPLE + 1)) as server:
        port = await server.port()
        async with peers(port, "John") as (john,), crowd(port) as many:
            before = server.memory()
            assert await many.ask(f"come {PEOPLE}") == {"inside": PEOPLE, "refused": {}}
            await john.sync()
            start = time.monotonic()
            await john.sync()
            assert time.monotonic() - start < 0.25
            each = (server.memory() - before) / PEOPLE
            assert each < 40 * 1024, f"{each:.0f} bytes of memory for each of {PEOPLE:,} people"
            await many.ask("leave")
            await john.send(Who())
            while (await john.expect(People)).total > 1:
                await john.send(Who())
