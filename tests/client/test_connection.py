"""The connection joins, keeps alive, comes back, loses nothing, and has one sentence for each thing that goes wrong."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, structs

from chatmail.client.connection import Connection
from chatmail.client.heartbeat import Heartbeat
from chatmail.client.link import Ending, How, Server, State, Timing, backoff
from chatmail.client.lookback import Found, LookBack, NotFound
from chatmail.client.timeline import Timeline
from chatmail.core import wire
from tests.client.certificates import fingerprint_of, issue, serving
from tests.client.scripted import NOW, Recorder, ScriptedServer, direct, echo, message, page, scripted, welcome

FAST = Timing(first=0.0, longest=0.01, leave=5.0)


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with scripted() as server:
        yield server


class Client:
    """A connection that runs, its timeline and its face."""

    def __init__(self, server: Server, timing: Timing, patience: float | None = None, token: str | None = None) -> None:
        self.face = Recorder()
        self.timeline = Timeline("John", "p")
        self.kept: list[str] = []
        self.connection = Connection(
            *(server, "John", "john@example.org", self.timeline, self.face),
            token=token,
            keep=self.kept.append,
            timing=timing,
            patience=patience,
        )
        self.ending: asyncio.Task[Ending]

    async def joined(self) -> None:
        await self.connection.until(lambda: self.connection.joined)


@asynccontextmanager
async def client(
    server: ScriptedServer, timing: Timing = FAST, patience: float | None = None, token: str | None = None
) -> AsyncIterator[Client]:
    running = Client(server.address, timing, patience, token)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        running.ending = tasks.create_task(running.connection.run())
        yield running
        running.ending.cancel()


# In and out.


async def test_it_joins_shows_what_comes_and_leaves(server: ScriptedServer) -> None:
    async with client(server) as john:
        visit = await server.visit()
        join = await visit.admit(message(1))
        assert (join.name, join.email, join.version) == ("John", "john@example.org", 1)
        assert not join.token
        assert not join.resume
        await john.face.until(lambda: bool(john.face.frames(wire.Message)))
        john.connection.leave()
        await visit.expect(wire.Leave)
        visit.cut()
        assert (await john.ending).how is How.LEFT
    assert [state for state, _ in john.face.states] == [State.CONNECTING, State.JOINED, State.ENDED]


async def test_a_line_goes_out_at_once_and_is_confirmed_by_its_echo(server: ScriptedServer) -> None:
    async with client(server) as john:
        visit = await server.visit()
        await visit.admit()
        await john.joined()
        john.connection.say(wire.Say(text="hi"))
        visit.send(echo(await visit.expect(wire.Say), 1))
        await john.face.until(lambda: bool(john.face.frames(wire.Message)))
        assert not john.timeline.unconfirmed


async def test_lines_typed_before_the_welcome_go_out_after_it(server: ScriptedServer) -> None:
    async with client(server) as john:
        john.connection.say(wire.Say(text="early"))
        assert not john.connection.ask(wire.Who())
        visit = await server.visit()
        await visit.admit()
        assert (await visit.expect(wire.Say)).text == "early"
        await john.joined()
        assert john.connection.ask(wire.Who())
        await visit.expect(wire.Who)


async def test_leaving_gives_a_server_that_does_not_close_only_so_long(server: ScriptedServer) -> None:
    async with client(server, Timing(leave=0.01)) as john:
        await (await server.visit()).admit()
        await john.joined()
        john.connection.leave()
        assert (await john.ending).how is How.LEFT


async def test_leaving_ends_a_join_that_gets_no_answer(server: ScriptedServer) -> None:
    async with client(server) as john:
        await (await server.visit()).expect(wire.Join)
        john.connection.leave()
        assert (await john.ending).how is How.LEFT


async def test_leaving_ends_the_wait_for_a_reconnect(server: ScriptedServer) -> None:
    async with client(server, Timing(first=1000.0, longest=1000.0)) as john:
        visit = await server.visit()
        await visit.admit()
        await john.joined()
        visit.cut()
        await john.face.until(lambda: john.face.states[-1][0] is State.WAITING)
        john.connection.leave()
        assert (await john.ending).how is How.LEFT


async def test_leaving_before_running_connects_to_nobody(server: ScriptedServer) -> None:
    john = Client(server.address, FAST)
    john.connection.leave()
    assert (await john.connection.run()).how is How.LEFT


async def test_sync_waits_for_every_answer(server: ScriptedServer) -> None:
    async with client(server) as john, asyncio.TaskGroup() as tasks:
        visit = await server.visit()
        await visit.admit()
        john.connection.say(wire.Dm(to="Mary", text="hi"))
        synced = tasks.create_task(john.connection.sync())
        line = await visit.expect(wire.Dm)
        assert not synced.done()
        visit.send(echo(line, 1))
        await visit.expect(wire.Ping)
        visit.send(wire.Receipt(id=line.id, seq=1, to="Mary", online=True, mail="queued"), wire.Pong())
        await synced
        assert john.face.frames(wire.Receipt)


async def test_sync_begins_anew_on_a_new_socket(server: ScriptedServer) -> None:
    async with client(server) as john, asyncio.TaskGroup() as tasks:
        visit = await server.visit()
        await visit.admit()
        synced = tasks.create_task(john.connection.sync())
        await visit.expect(wire.Ping)
        visit.cut()
        visit = await server.visit()
        await visit.admit()
        await visit.expect(wire.Ping)
        assert not synced.done()
        visit.send(wire.Pong())
        await synced


# Looking back.

SAID = [message(seq, f"number {seq}") for seq in range(1, 31)]


async def test_a_look_back_is_answered_page_after_page_and_is_no_news(server: ScriptedServer) -> None:
    async with client(server) as john:
        visit = await server.visit()
        await visit.admit()
        assert not john.connection.ask(LookBack(count=25))
        await john.joined()
        assert john.connection.ask(LookBack(count=25))
        for _ in range(2):
            visit.send(page(SAID, await visit.expect(wire.History), most=15))
        await john.face.until(lambda: bool(john.face.answers))
        assert john.face.answers == [Found(LookBack(count=25), tuple(SAID[5:]), more=True)]
        assert not john.face.frames(wire.Message)
        assert john.timeline.seq == 0


async def test_sync_waits_for_every_page(server: ScriptedServer) -> None:
    async with client(server) as john, asyncio.TaskGroup() as tasks:
        visit = await server.visit()
        await visit.admit()
        await john.joined()
        john.connection.ask(LookBack(words="number"))
        synced = tasks.create_task(john.connection.sync())
        for _ in range(2):
            visit.send(page(SAID, await visit.expect(wire.Search), most=10))
        await visit.expect(wire.Ping)
        visit.send(wire.Pong())
        await synced
        assert john.face.answers


async def test_a_look_back_that_is_refused_is_told_of_once(server: ScriptedServer) -> None:
    async with client(server) as john:
        visit = await server.visit()
        await visit.admit()
        await john.joined()
        john.connection.ask(LookBack())
        asked = await visit.expect(wire.History)
        visit.send(wire.Error(code="unavailable", text="the disk is full", id=asked.id), message(1))
        await john.face.until(lambda: bool(john.face.frames(wire.Message)))
        assert john.face.answers == [NotFound("not looked for: the disk is full")]
        assert not john.face.frames(wire.Error)


async def test_a_look_back_ends_with_the_connection_and_is_not_asked_again(server: ScriptedServer) -> None:
    async with client(server) as john:
        visit = await server.visit()
        await visit.admit()
        await john.joined()
        john.connection.ask(LookBack(count=25))
        visit.send(page(SAID, await visit.expect(wire.History), most=15))
        await visit.expect(wire.History)
        visit.cut()
        await john.connection.until(lambda: not john.connection.look_backs)
        assert john.face.answers == [NotFound("no answer: the connection was lost; ask again")]
        visit = await server.visit()
        await visit.admit()
        await john.joined()
        john.connection.say(wire.Say(text="next"))
        await visit.expect(wire.Say)


# Coming back.


async def test_it_comes_back_with_its_token_where_it_was(server: ScriptedServer) -> None:
    async with client(server) as john:
        visit = await server.visit()
        await visit.admit(message(41))
        await john.face.until(lambda: bool(john.face.frames(wire.Message)))
        visit.cut()
        visit = await server.visit()
        join = await visit.admit(message(41), message(42, "new"), answer=welcome(seq=42, resumed=True))
        assert join.token == "t1"
        assert join.resume == wire.Resume(epoch="e1", seq=41)
        await john.face.until(lambda: len(john.face.frames(wire.Message)) > 1)
        assert [frame.seq for frame in john.face.frames(wire.Message)] == [41, 42]


async def test_a_token_from_before_is_shown_but_resumes_nothing_and_each_new_one_is_handed_on(
    server: ScriptedServer,
) -> None:
    async with client(server, token="t0") as john:
        john.timeline.receive(welcome(epoch="e1", seq=41))  # of somebody else, before another name was asked for
        visit = await server.visit()
        join = await visit.admit()
        assert (join.token, join.resume) == ("t0", UNSET)
        await john.joined()
        visit.cut()
        visit = await server.visit()
        join = await visit.admit(answer=structs.replace(welcome(), token="t2"))
        assert (join.token, join.resume) == ("t1", wire.Resume(epoch="e1", seq=0))
        await john.joined()
    assert john.kept == ["t1", "t2"]


async def test_a_token_that_proves_nothing_leads_to_the_challenge(server: ScriptedServer) -> None:
    async with client(server, token="t0") as john:
        visit = await server.visit()
        await visit.expect(wire.Join)
        visit.send(CHALLENGE)
        john.face.codes.put_nowait("111111")
        await visit.expect(wire.Verify)
        visit.send(welcome())
        await john.joined()
    assert john.kept == ["t1"]


async def test_unconfirmed_lines_are_sent_again_in_order_under_the_same_ids(server: ScriptedServer) -> None:
    async with client(server) as john:
        visit = await server.visit()
        await visit.admit()
        lines = [john.connection.say(frame) for frame in (wire.Say(text="1"), wire.Dm(to="Mary", text="2"))]
        await visit.expect(wire.Say)
        await visit.expect(wire.Dm)
        visit.cut()
        visit = await server.visit()
        await visit.admit(answer=welcome(epoch="another"))
        assert [await visit.expect(wire.Say), await visit.expect(wire.Dm)] == lines
        visit.send(wire.Ack(id=lines[0].id, seq=1), wire.Ack(id=lines[1].id, seq=2))
        await john.connection.until(lambda: not john.timeline.unconfirmed)


async def test_a_goodbye_that_wants_a_return_gets_one(server: ScriptedServer) -> None:
    async with client(server) as john:
        visit = await server.visit()
        await visit.admit(wire.Bye(reason="restart", retry=True))
        await (await server.visit()).admit()
        await john.joined()
    assert (State.WAITING, "the server closed: restart; trying again") in john.face.states


async def test_a_full_server_is_tried_again_by_those_who_were_in(server: ScriptedServer) -> None:
    async with client(server):
        visit = await server.visit()
        await visit.admit()
        visit.cut()
        visit = await server.visit()
        await visit.expect(wire.Join)
        visit.send(wire.Error(code="server-full", text="full"))
        await (await server.visit()).admit()


async def test_patience_ends(server: ScriptedServer) -> None:
    async with client(server, Timing(first=1.0), patience=0.5) as john:
        visit = await server.visit()
        await visit.admit()
        await john.joined()
        visit.cut()
        ending = await john.ending
    assert ending.how is How.LOST
    assert "closed the connection" in ending.text or "broke" in ending.text


@given(st.integers(0, 2_000), st.floats(0, 1))
def test_backoff_stays_between_its_bounds(attempt: int, chance: float) -> None:
    assert 0.5 <= backoff(attempt, Timing(), lambda: chance) <= 30.0


def test_backoff_spreads_more_and_more() -> None:
    assert [backoff(attempt, Timing(), lambda: 1.0) for attempt in range(8)] == [1, 2, 4, 8, 16, 30, 30, 30]
    assert backoff(7, Timing(), lambda: 0.0) == 0.5


# Certificates.


async def test_a_certificate_that_nobody_known_has_signed_is_the_end_of_a_first_connection() -> None:
    shown = issue()
    async with scripted(serving(shown)) as server, client(server) as john:
        ending = await john.ending
        assert await server.heard() == b""
    assert ending.how is How.UNREACHABLE
    assert ending.stranger
    assert ending.stranger.found == fingerprint_of(shown)
    assert f"--trust {fingerprint_of(shown)}" in ending.text


async def test_a_certificate_that_changes_is_told_of_and_nothing_is_said_until_the_right_one_is_back() -> None:
    first, second = issue(), issue()
    context = serving(first)
    async with scripted(context) as server:
        server.address = structs.replace(server.address, pin=fingerprint_of(first))
        async with client(server) as john:
            visit = await server.visit()
            await visit.admit()
            await john.joined()
            second.configure_cert(context)
            visit.cut()
            await john.face.until(lambda: any("It may be an attack" in text for _, text in john.face.states))
            john.connection.say(wire.Say(text="for the right one"))
            first.configure_cert(context)
            while not (line := await (visit := await server.visit()).line()):
                pass  # a look at the certificate, and not a word
            assert b'"join"' in line
            visit.send(welcome())
            assert (await visit.expect(wire.Say)).text == "for the right one"


# Refusals.


@pytest.mark.parametrize("code", ["bad-name", "name-taken", "banned", "server-full", "something-new"])
async def test_a_refusal_at_the_door_ends_it_with_the_servers_sentence(server: ScriptedServer, code: str) -> None:
    async with client(server) as john:
        visit = await server.visit()
        await visit.expect(wire.Join)
        visit.send(wire.Error(code=code, text="because", field="name"))
        ending = await john.ending
    assert (ending.how, ending.text) == (How.REFUSED, "because")
    assert ending.error
    assert ending.error.code == code


async def test_a_goodbye_that_wants_no_return_ends_it(server: ScriptedServer) -> None:
    async with client(server) as john:
        await (await server.visit()).admit(wire.Bye(reason="kicked: spam", retry=False))
        assert await john.ending == Ending(How.BYE, "kicked: spam")


async def test_a_goodbye_instead_of_a_welcome_ends_it(server: ScriptedServer) -> None:
    async with client(server) as john:
        (await server.visit()).send(wire.Bye(reason="closing down", retry=True))
        assert await john.ending == Ending(How.BYE, "closing down; try again later")


# Codes.

CHALLENGE = wire.Challenge(email="j***@example.org", expires=datetime(2026, 11, 22, 15, tzinfo=UTC))


async def test_a_code_is_asked_for_until_it_is_right(server: ScriptedServer) -> None:
    async with client(server) as john:
        visit = await server.visit()
        await visit.expect(wire.Join)
        visit.send(CHALLENGE)
        john.face.codes.put_nowait("111111")
        assert (await visit.expect(wire.Verify)).code == "111111"
        visit.send(wire.Error(code="wrong-code", text="not that one"))
        john.face.codes.put_nowait("222222")
        assert (await visit.expect(wire.Verify)).code == "222222"
        visit.send(welcome())
        await john.joined()
    assert john.face.asked == ["", "not that one"]
    assert john.face.frames(wire.Challenge) == [CHALLENGE]


async def test_without_anybody_to_ask_a_challenge_is_a_refusal(server: ScriptedServer) -> None:
    async with client(server) as john:
        visit = await server.visit()
        await visit.expect(wire.Join)
        visit.send(CHALLENGE)
        john.face.codes.put_nowait(None)
        ending = await john.ending
    assert ending.how is How.REFUSED
    assert "code" in ending.text


async def test_the_question_for_a_code_ends_with_the_connection(server: ScriptedServer) -> None:
    async with client(server) as john:
        visit = await server.visit()
        await visit.expect(wire.Join)
        visit.send(CHALLENGE)
        await john.face.until(lambda: bool(john.face.asked))
        visit.cut()
        assert (await john.ending).how is How.UNREACHABLE


# Times.


def test_a_heart_beats_when_we_were_silent() -> None:
    heart = Heartbeat(Timing(), 100.0)
    heart.heard()
    assert heart.next(joined=False) is None
    assert heart.next(joined=True) == 125.0
    heart.sent(110.0)
    assert not heart.wants_ping(134.9)
    assert heart.wants_ping(135.0)


def test_a_direct_message_that_was_shown_is_reported_within_a_second() -> None:
    heart = Heartbeat(Timing(), 100.0)
    heart.shown(103.0)
    heart.shown(103.4)
    assert heart.wants_ping(104.0)
    heart.pinged(104.0)
    assert not heart.wants_ping(105.0)


def test_silence_after_a_ping_is_death_and_anything_that_comes_is_life() -> None:
    heart = Heartbeat(Timing(), 100.0)
    assert heart.is_dead(120.0)
    assert heart.heard()
    assert not heart.is_dead(120.0)
    heart.pinged(125.0)
    heart.pinged(140.0)
    assert not heart.is_dead(144.9)
    assert heart.is_dead(145.0)


async def test_it_pings_when_it_was_silent_and_reports_what_was_shown(server: ScriptedServer) -> None:
    async with client(server, Timing(ping=0.01)) as john:
        visit = await server.visit()
        await visit.admit()
        await john.joined()
        john.connection.shown(7)
        ping = await visit.expect(wire.Ping)
        while not ping.seq:
            ping = await visit.expect(wire.Ping)
        assert ping.seq == 7


async def test_a_shown_direct_message_is_reported_at_once(server: ScriptedServer) -> None:
    async with client(server, Timing(shown=0.0)) as john:
        visit = await server.visit()
        await visit.admit(direct(3))
        await john.face.until(lambda: bool(john.face.frames(wire.Direct)))
        john.connection.shown(3, direct=True)
        assert (await visit.expect(wire.Ping)).seq == 3


async def test_numbers_of_another_epoch_are_not_reported(server: ScriptedServer) -> None:
    async with client(server, Timing(first=0.0, longest=0.0, shown=0.0)) as john:
        visit = await server.visit()
        await visit.admit(direct(9))
        await john.joined()
        john.connection.shown(9)
        visit.cut()
        visit = await server.visit()
        await visit.admit(direct(1), answer=welcome(epoch="another"))
        await john.face.until(lambda: len(john.face.frames(wire.Direct)) == 2)
        john.connection.shown(1, direct=True)
        assert (await visit.expect(wire.Ping)).seq == 1


async def test_a_server_that_falls_silent_is_left_and_tried_again(server: ScriptedServer) -> None:
    async with client(server, Timing(first=0.0, longest=0.0, ping=0.0, dead=0.3)) as john:
        visit = await server.visit()
        await visit.admit()
        await visit.rest()
        await server.visit()
    assert any("gives no answer" in text for state, text in john.face.states if state is State.WAITING)


async def test_a_server_that_never_answers_is_no_chatmail_server(server: ScriptedServer) -> None:
    async with client(server, Timing(dead=0.01)) as john:
        ending = await john.ending
    assert ending.how is How.UNREACHABLE
    assert "is a chatmail server there?" in ending.text


# Other servers, broken servers, no servers.


async def test_who_was_in_is_told_how_to_come_back_to_a_server_that_speaks_tls_now(unused_tcp_port: int) -> None:
    async with scripted(port=unused_tcp_port) as server, client(server) as john:
        visit = await server.visit()
        await visit.admit()
        await john.joined()
        server.close()
        async with scripted(serving(issue()), unused_tcp_port):
            visit.cut()
            hint = f"If it speaks TLS now, chatmail --tls 127.0.0.1:{unused_tcp_port} joins there; trying again"
            await john.face.until(lambda: any(hint in text for _, text in john.face.states))


@pytest.mark.parametrize("token", [None, "t1"])
async def test_to_go_on_without_tls_is_advised_to_nobody_who_was_in(token: str | None) -> None:
    async with scripted() as server:
        address = structs.replace(server.address, host="0.0.0.0", tls=True)  # reaches this machine, and is none of its
        john = Client(address, FAST, token=token)
        answered = asyncio.create_task(john.connection.run())
        visit = await server.visit()
        visit.send_raw(b"no TLS\n")
        ending = await answered
    assert "it speaks no TLS" in ending.text
    assert ("--no-tls" in ending.text) is (token is None)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n", "it said: HTTP/1.1 400 Bad Request"),
        (b"220 mail.example.org ESMTP\r\n", "it said: 220 mail.example.org ESMTP"),
        (b"\x15\x03\x01\x00\x02\x02\n", "is no chatmail server"),
        (b"\x1b[2J" + b"x" * 100 + b"\n", "it said: \\x1b[2J" + "x" * 56 + "…"),
        (b"\xff\xfe\n", "is no chatmail server"),
        (b"x" * 1_000_000, "is no chatmail server"),
        (b"[1]\n", "is no chatmail server"),
        (b'{"type":"hello"}\n', "does not understand"),
        (b'{"type":"pong"}\n', "makes no sense"),
        (b"", "closed the connection without a word"),
    ],
)
async def test_another_kind_of_server_gives_one_sentence(server: ScriptedServer, said: bytes, told: str) -> None:
    async with client(server) as john:
        visit = await server.visit()
        await visit.expect(wire.Join)
        visit.send_raw(said)
        visit.writer.write_eof()
        ending = await john.ending
    assert ending.how is How.UNREACHABLE
    assert told in ending.text
    assert "\n" not in ending.text


async def test_nonsense_from_a_server_that_we_were_in_is_reported_and_it_is_tried_again(server: ScriptedServer) -> None:
    async with client(server) as john:
        visit = await server.visit()
        await visit.admit()
        visit.send_raw(b'{"type":"message"}\n')
        await (await server.visit()).admit()
    waited = [text for state, text in john.face.states if state is State.WAITING]
    assert len(waited) == 1
    assert "does not understand" in waited[0]


@given(st.binary())
def test_any_bytes_end_in_a_sentence_or_go_on(data: bytes) -> None:
    async def scene() -> None:
        async with scripted() as server, client(server) as john:
            visit = await server.visit()
            await visit.admit()
            await john.joined()
            visit.send_raw(data + b"\n")
            visit.writer.write_eof()
            await john.face.until(lambda: john.face.states[-1][0] is not State.JOINED)

    asyncio.run(scene())


async def test_frames_cut_anywhere_are_put_together(server: ScriptedServer) -> None:
    async with client(server) as john:
        visit = await server.visit()
        await visit.expect(wire.Join)
        for byte in wire.encode(welcome()) + wire.encode(message(1)):
            visit.send_raw(bytes([byte]))
            await visit.writer.drain()
        await john.face.until(lambda: bool(john.face.frames(wire.Message)))


async def test_where_nothing_listens(unused_tcp_port: int) -> None:
    john = Client(Server("127.0.0.1", unused_tcp_port), FAST)
    ending = await john.connection.run()
    assert ending.how is How.UNREACHABLE
    assert ending.text.startswith(f"can't reach 127.0.0.1:{unused_tcp_port}: nothing listens there")


async def test_a_server_is_named_as_it_is_typed() -> None:
    assert str(Server("::1", 6245)) == "[::1]:6245"
    assert str(Server("chat.example.org", 1)) == "chat.example.org:1"


async def test_a_list_of_people_may_be_long(server: ScriptedServer) -> None:
    away = [wire.Person(name=f"name{number}", since=NOW, away="\U0001f600" * 200) for number in range(200)]
    async with client(server) as john:
        await (await server.visit()).admit(wire.People(people=away, total=1000))
        await john.face.until(lambda: bool(john.face.frames(wire.People)))
