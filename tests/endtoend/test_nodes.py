"""Several servers with one Redis are one chat: one order of what is said, one list of people, one operator."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable

import pytest

from chatmail.core.wire import (
    Ack,
    Bye,
    Code,
    Dm,
    Error,
    History,
    Join,
    Joined,
    Left,
    Message,
    Notice,
    Page,
    People,
    Resume,
    Say,
    Search,
    Welcome,
    Who,
    encode,
)
from tests.endtoend.conftest import Desk
from tests.endtoend.guest import agree, guests
from tests.endtoend.nodes import PATIENCE, Node, on_one_redis
from tests.endtoend.test_programs import ends, start
from tests.peer import Peer
from tests.ports import reserved_port
from tests.redisserver import RedisServer, needs_redis

pytestmark = needs_redis


async def until(peer: Peer, condition: Callable[[], object], what: str) -> None:
    """Wait until something holds of what somebody has seen."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await peer.sync()
    except TimeoutError:
        raise AssertionError(f"waited in vain for {what}, but saw {peer.frames[-10:]}") from None


async def saw(peer: Peer, name: str) -> None:
    """Wait until somebody has seen that this one came."""
    await until(peer, lambda: any(isinstance(f, Joined) and f.name == name for f in peer.frames), f"{name} to come")


async def in_at(node: Node, name: str, *others: Peer) -> Peer:
    """Somebody who has come to this server, and whom the others have seen come."""
    peer = await Peer.joined(node.port, name)
    for other in others:
        await saw(other, name)
    return peer


# What is said.


async def test_everybody_sees_the_same_lines_under_the_same_numbers(desk: Desk) -> None:
    async with (
        on_one_redis(desk) as (_, (first, second)),
        guests([first.port, second.port], "John", "Mary", "Ann", "Bob") as people,
    ):
        for number in range(25):
            for guest in people:
                guest.say(f"line {number} of {guest.name}")
        entries = await agree(people)
        texts = [entry.text for entry in entries if isinstance(entry, Message)]
        for guest in people:
            mine = [f"line {number} of {guest.name}" for number in range(25)]
            assert [text for text in texts if text in mine] == mine
        assert {guest.comings for guest in people} == {1}


async def test_who_is_cut_off_goes_on_at_another_server(desk: Desk) -> None:
    """Without a hole, and nothing twice; what was said under an id is known there, too."""
    async with on_one_redis(desk) as (_, (first, second)):
        john = await Peer.connect(first.port)
        welcome = await john.join("John")
        mary = await in_at(second, "Mary")
        await saw(john, "Mary")
        await john.send(Say(text="hello", id="1"))
        hello = await john.expect(Message, id="1")
        assert await mary.expect(Message, text="hello") == hello
        john.cut()
        lines = [Say(text=f"line {number}") for number in range(3)]
        await mary.send(*lines)
        seen = [await mary.expect(Message, text=line.text) for line in lines]

        again = await Peer.connect(second.port)
        resume = Resume(epoch=welcome.epoch, seq=hello.seq)
        assert (await again.join("John", token=welcome.token, resume=resume)).resumed
        await again.send(Say(text="hello", id="1"))
        assert (await again.expect(Ack)).seq == hello.seq
        assert [frame for frame in again.frames if isinstance(frame, Message | Joined | Left)] == seen
        assert await mary.sync() == []
        again.cut()
        mary.cut()


@pytest.mark.slow
async def test_what_was_said_is_found_at_every_server(desk: Desk) -> None:
    async with on_one_redis(desk) as (_, (first, second)):
        john = await in_at(first, "John")
        mary = await in_at(second, "Mary", john)
        await john.send(Say(text="Bring the café's menu"), Dm(to="Mary", text="and the menu's price?"))
        await mary.expect(Message, sender="John")
        ann = await in_at(second, "Ann", john)
        for asking, count in ((mary, 2), (ann, 1)):
            for question in (History(), Search(words="MENU")):
                await asking.send(question)
                page = await asking.expect(Page)
                assert (len(page.entries), page.more) == (count, False)
        await ann.send(Search(words="cafe men"))
        [found] = (await ann.expect(Page)).entries
        assert found in john.frames
        for peer in (john, mary, ann):
            peer.cut()


# Who is here.


@pytest.mark.slow
async def test_of_two_who_take_a_name_at_once_one_gets_it(desk: Desk) -> None:
    """At two servers; and names that look alike are one name."""
    async with on_one_redis(desk) as (_, servers):
        watchers = [await in_at(server, f"Watcher{number}") for number, server in enumerate(servers)]
        await saw(watchers[0], "Watcher1")
        names = [(f"Name{number}", f"Name{number}") for number in range(20)]
        names += [(f"Paco{number}", f"Pасо{number}") for number in range(20)]  # the second in Cyrillic
        for here, there in names:
            peers = [await Peer.connect(server.port) for server in servers]
            frames = [Join(name=here, email="a@example.org"), Join(name=there, email="b@example.org")]
            await asyncio.gather(*(peer.send(frame) for peer, frame in zip(peers, frames, strict=True)))
            answers = [await peer.next() for peer in peers]
            [welcome] = [answer for answer in answers if isinstance(answer, Welcome)]
            [error] = [answer for answer in answers if isinstance(answer, Error)]
            assert error.code == Code.NAME_TAKEN
            for watcher in watchers:
                await saw(watcher, welcome.name)
            for peer in peers:
                peer.cut()
        comings = [
            [frame for frame in watcher.frames if isinstance(frame, Joined)][-len(names) :] for watcher in watchers
        ]
        assert comings[0] == comings[1]
        for watcher in watchers:
            watcher.cut()


@pytest.mark.slow
async def test_everybody_is_on_the_list_of_every_server(desk: Desk) -> None:
    async with on_one_redis(desk) as (_, (first, second)):
        john = await in_at(first, "John")
        mary = await in_at(second, "Mary", john)
        lists = []
        for peer in (john, mary):
            await peer.send(Who())
            people = await peer.expect(People)
            assert people.total == 2
            lists.append({person.name: person.since for person in people.people})
        assert lists[0] == lists[1]
        assert sorted(lists[0]) == ["John", "Mary"]
        third = await Peer.connect(second.port)
        assert sorted(person.name for person in (await third.join("Ann")).people) == ["Ann", "John", "Mary"]
        for peer in (john, mary, third):
            peer.cut()


@pytest.mark.slow
async def test_who_comes_in_elsewhere_takes_over_and_nobody_is_told(desk: Desk) -> None:
    async with on_one_redis(desk) as (_, (first, second)):
        john = await Peer.connect(first.port)
        welcome = await john.join("John")
        watchers = [await in_at(server, f"Watcher{number}", john) for number, server in enumerate((first, second))]
        last = max(frame.seq for frame in john.frames if isinstance(frame, Joined))
        moved = await Peer.connect(second.port)
        resume = Resume(epoch=welcome.epoch, seq=last)
        assert (await moved.join("John", token=welcome.token, resume=resume)).resumed
        assert await john.bye() == Bye(reason="you came in from another terminal", retry=False)
        await moved.send(Say(text="here I am"))
        for peer in (moved, *watchers):
            hello = await peer.expect(Message, text="here I am")
            assert hello.seq == last + 1
            peer.cut()


# The operator.


@pytest.mark.slow
async def test_the_operator_of_one_server_is_that_of_all(desk: Desk) -> None:
    async with on_one_redis(desk) as (_, (here, there)):
        near = await in_at(here, "Near")
        mary, ann, bob = [await in_at(there, name, near) for name in ("Mary", "Ann", "Bob")]
        listed = await here.type("/who", "Mary")
        assert "mary@example.org" in listed

        await here.type("/broadcast tea is ready", "broadcast to 4 people")
        told = [await peer.expect(Notice) for peer in (near, mary, ann, bob)]
        assert {encode(notice) for notice in told} == {encode(told[0])}
        assert told[0].text == "tea is ready"

        await here.type("/kick Mary too loud", "Mary left: kicked")
        assert "too loud" in (await mary.bye()).reason
        left = await near.expect(Left, name="Mary")
        assert await bob.expect(Left, name="Mary") == left

        await here.type("/ban Ann 1h no more", "is banned")
        assert await ann.bye() == Bye(reason="banned: no more", retry=False)
        await near.expect(Left, name="Ann")
        for server in (here, there):
            again = await Peer.connect(server.port)
            await again.send(Join(name="Ann", email="ann@example.org"))
            assert (await again.expect(Error)).code == Code.BANNED
            again.cut()
        await there.type("/bans", "ann")
        await there.type("/unban Ann", "no longer banned")
        ann = await in_at(here, "Ann", near)

        await here.type("/forget Bob", "is forgotten")
        assert not (await bob.bye()).retry
        await near.expect(Left, name="Bob")
        other = await Peer.connect(there.port)
        await other.join("Bob", email="another@example.org")

        await here.type("/motd soup today", "is set")
        newcomer = await Peer.connect(there.port)
        assert (await newcomer.join("Newcomer")).motd == "soup today"
        await there.type("/motd", "soup today")

        for done in (
            "broadcast: tea is ready",
            "kicked Mary: too loud",
            "banned ann",
            "unbanned ann",
            "forgot Bob",
            "soup today",
        ):
            await there.type("/audit", done)
        for peer in (near, ann, other, newcomer):
            peer.cut()


# The start.


@pytest.mark.slow
async def test_the_operator_is_told_where_what_is_said_is_kept(desk: Desk) -> None:
    async with RedisServer(desk.folder / "redis", requirepass="s3c/ret") as redis:
        node = Node(desk, "node", CHAT_DB=redis.url)
        await node.start()
        line = "what is said is kept for 30 days in Redis at 127.0.0.1:"
        assert (await node.shows(line)).endswith(f"{line}{redis.port}")
        own = await node.shows(", one of the servers that share it")
        await node.type("/stats", f"1, {own[own.index('this is') :].partition(',')[0]};")
        await node.type("/stats", f"disk         all is in Redis at 127.0.0.1:{redis.port}")
        assert not any("s3c" in line for line in node.lines)
        assert await node.end() == 0
        await node.close()


async def refused(desk: Desk, database: str) -> str:
    """Why a server does not start, in one line."""
    process = await start(desk, "chatmail-server", settings={"CHAT_PORT": "0", "CHAT_DB": database})
    status, out, err = await ends(process)
    assert (status, out) == (1, b"")
    [line] = err.decode().splitlines()
    assert line.startswith("chatmail-server cannot start: CHAT_DB")
    assert "s3c" not in line
    return line


@pytest.mark.slow
async def test_a_server_that_cannot_use_its_redis_says_why_and_does_not_start(desk: Desk) -> None:
    with reserved_port() as closed:
        port = closed.getsockname()[1]
        assert f"127.0.0.1:{port}" in await refused(desk, f"redis://:s3cret@127.0.0.1:{port}/0")
    async with (
        RedisServer(desk.folder / "first", requirepass="s3cret") as redis,
        RedisServer(desk.folder / "second", replicaof=f"127.0.0.1 {redis.port}") as replica,
    ):
        where = f"127.0.0.1:{redis.port}"
        for database in (f"redis://:s3cre@{where}", f"redis://{where}", f"redis://eve:s3cret@{where}"):
            line = await refused(desk, database)
            assert where in line
            assert "password" in line
        assert "replica" in await refused(desk, replica.url)


async def test_without_the_package_it_takes_a_server_says_what_to_install(desk: Desk) -> None:
    program = "import sys\nsys.modules['redis'] = None\nfrom chatmail.server.app import main\nmain()"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program), env=desk.environment("node", {"CHAT_DB": "redis://:s3cret@127.0.0.1:1/0"}),
        cwd=desk.folder / "node", stdin=PIPE, stdout=PIPE, stderr=PIPE,
    )  # fmt: skip
    status, out, err = await ends(process)
    assert (status, out) == (2, b"")
    [line] = err.decode().splitlines()
    assert line.startswith("CHAT_DB is Redis at 127.0.0.1:1, and speaking to it takes a package that is not installed")
    assert line.endswith("Install it, in the clone of chatmail: .venv/bin/pip install -e '.[redis]'")
    assert "s3cret" not in line
