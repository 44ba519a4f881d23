"""``chatmail`` without a terminal: whom it talks to, and how it proves who it is, from one start to the next."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from msgspec import UNSET

from chatmail.client.app import Exit
from chatmail.core import wire
from tests.client.certificates import fingerprint_of, issue, serving
from tests.client.program import chatting
from tests.client.scripted import ScriptedServer, echo, scripted, welcome


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with scripted() as server:
        yield server


async def refused(server: ScriptedServer, *options: str, host: str = "127.0.0.1") -> str:
    """What is complained of when there is no connection; not a word was said to anybody."""
    server.said = b""
    async with chatting(server, *options, host=host) as process:
        _, err = await process.communicate(b"done\n")
    assert await server.heard() == b""
    assert process.returncode == Exit.NO_CONNECTION
    told = err.decode()
    assert told.startswith(f"chatmail: can't reach {host}:{server.address.port}: ")
    return told


async def says(server: ScriptedServer, *options: str, host: str = "127.0.0.1") -> tuple[wire.Join, list[str]]:
    """How a client joins that then says something; and what it tells about the connection."""
    async with chatting(server, *options, host=host) as process:
        assert process.stdin
        process.stdin.write(b"done\n")
        process.stdin.close()
        while not (line := await (visit := await server.visit()).line()):
            pass  # a look at the certificate
        visit.send(welcome("ci"))
        visit.send(echo(await visit.expect(wire.Say), 1, "ci"))
        await visit.expect(wire.Ping)
        visit.send(wire.Pong())
        await visit.expect(wire.Leave)
        visit.cut()
        _, err = await process.communicate()
    assert process.returncode == Exit.OK
    return msgspec.json.decode(line, type=wire.Join), err.decode().splitlines()


async def test_an_unknown_certificate_is_refused_until_it_is_named_and_then_remembered(state: Path) -> None:
    shown = issue()
    async with scripted(serving(shown)) as server:
        complaint = await refused(server, "--tls")
        assert f"add --trust {fingerprint_of(shown)}; " in complaint
        assert len(complaint.splitlines()) == 1
        assert not (state / "known_servers").exists()
        _, told = await says(server, "--trust", fingerprint_of(shown))
        assert told == ["-- you are in as ci, nobody else is here yet"]
        await says(server, "--tls")
        assert (state / "known_servers").read_text() == f"{server.address} {fingerprint_of(shown)}\n"


async def test_a_certificate_that_has_changed_is_refused_until_the_new_one_is_named(state: Path) -> None:
    first, second = issue(), issue()
    context = serving(first)
    async with scripted(context) as server:
        await says(server, "--trust", fingerprint_of(first))
        second.configure_cert(context)
        told = await refused(server, "--tls")
        assert "is not the one you trust" in told
        for pinned in (first, second):
            assert fingerprint_of(pinned) in told
        assert f"--trust {fingerprint_of(second)} takes the new one" in told
        assert all(line.startswith("│ ") for line in told.splitlines()[1:])
        assert "is not the one you trust" in await refused(server, "--trust", fingerprint_of(issue()))
        assert fingerprint_of(first) in (state / "known_servers").read_text()
        await says(server, "--trust", fingerprint_of(second))
        await says(server, "--tls")
        assert "is not the one you trust" in await refused(server, "--trust", fingerprint_of(first))


async def test_the_proof_of_who_we_are_is_shown_at_the_next_start(server: ScriptedServer, state: Path) -> None:
    join, _ = await says(server)
    assert join.token is UNSET
    join, _ = await says(server)
    assert (join.token, join.resume) == ("t1", UNSET)
    assert (state / "tokens").stat().st_mode & 0o777 == 0o600
    async with scripted() as other:
        assert (await says(other))[0].token is UNSET


async def test_where_nothing_can_be_kept_the_chat_goes_on(server: ScriptedServer, state: Path) -> None:
    state.parent.touch()
    for _ in range(2):
        join, told = await says(server)
        assert join.token is UNSET
        assert told == [
            f"chatmail: nothing is kept for the next start: {state}: Not a directory",
            "-- you are in as ci, nobody else is here yet",
        ]


# 0.0.0.0 reaches this machine, and is none of its loopback addresses.


async def test_off_this_machine_it_speaks_tls_or_not_at_all(server: ScriptedServer) -> None:
    async with scripted(serving(issue())) as speaking:
        assert "nobody known here has signed it" in await refused(speaking, host="0.0.0.0")
    async with chatting(server, host="0.0.0.0") as process:
        visit = await server.visit()
        visit.send_raw(b"I do not understand a word\n")
        _, err = await process.communicate(b"done\n")
    assert process.returncode == Exit.NO_CONNECTION
    assert err.decode() == (
        f"chatmail: can't reach 0.0.0.0:{server.address.port}: it speaks no TLS; perhaps it was never set up there, "
        "perhaps somebody in between prevents it; --no-tls goes on without, and everybody on the way can read all\n"
    )
    assert server.said.startswith(b"\x16\x03")  # a handshake (RFC 8446, section 5.1)
    assert b"example.org" not in server.said


async def test_in_clear_it_goes_only_when_that_is_wanted_and_with_a_warning(server: ScriptedServer) -> None:
    _, told = await says(server, "--no-tls", host="0.0.0.0")
    assert told[0] == (
        f"chatmail: --no-tls: everybody on the way to 0.0.0.0:{server.address.port} can read all, "
        "also what proves who you are"
    )
    assert len(told) == 2
    _, told = await says(server, "--no-tls")
    assert len(told) == 1


@pytest.mark.parametrize(
    ("host", "hint"), [("127.0.0.1", "chatmail --tls 127.0.0.1:"), ("0.0.0.0", "leave --no-tls away")]
)
async def test_who_speaks_in_clear_where_tls_is_spoken_is_told(host: str, hint: str) -> None:
    async with scripted(serving(issue())) as server, chatting(server, "--no-tls", host=host) as process:
        _, err = await process.communicate(b"done\n")
    assert process.returncode == Exit.NO_CONNECTION
    assert hint in err.decode().splitlines()[-1]


async def test_a_token_that_came_through_tls_never_goes_in_clear(unused_tcp_port: int) -> None:
    shown = issue()
    async with scripted(serving(shown), unused_tcp_port) as server:
        await says(server, "--trust", fingerprint_of(shown))
        assert (await says(server, "--tls"))[0].token == "t1"
    async with scripted(port=unused_tcp_port) as server:
        assert (await says(server))[0].token is UNSET
