"""What the operator sets is what holds."""

import asyncio
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from msgspec.structs import replace

from chatmail.core.limits import Limits
from chatmail.server import app
from chatmail.server.app import limits_of, running, start_anew
from chatmail.server.session import Connection
from chatmail.server.settings import Settings, SettingsError, load
from chatmail.server.stores.database import MEMORY
from tests.peer import PATIENCE, Peer
from tests.ports import reserved_port

CHOSEN = {
    "HISTORY": "11",
    "PRESENCE_MAX": "12",
    "MAX_CLIENTS": "13",
    "MAX_PER_IP": "14",
    "MAX_UNJOINED_PER_IP": "15",
    "ALLOWED_EMAILS": "@example.org",
    "VERIFY_EMAIL": "yes",
    "MAIL_WINDOW": "16",
    "JOIN_TIME": "17",
    "JOIN_ERRORS": "24",
    "TLS_TIME": "25",
    "SILENCE_TIME": "31",
    "SLOW_TIME": "18",
    "BAD_FRAMES": "19",
    "JOURNAL_ENTRIES": "20",
    "JOURNAL_SIZE": "21",
    "SEND_BUFFER": "22",
    "BACKLOG": "23",
}


def test_each_limit_is_the_one_that_was_chosen(tmp_path: Path) -> None:
    assert limits_of(load([], CHOSEN, tmp_path)) == Limits(
        history=11,
        presence_max=12,
        max_clients=13,
        max_per_ip=14,
        unjoined_per_ip=15,
        allowed_emails=("@example.org",),
        verify_email=True,
        mail_window=16,
        join_time=17,
        join_errors=24,
        tls_time=25,
        silence=31,
        slow=18,
        bad_frames=19,
        entries_max=20,
        bytes_max=21 * 1024,
        send_buffer=22 * 1024,
        backlog=23,
    )


def test_without_a_choice_they_are_the_limits_own() -> None:
    settings = Settings()
    assert limits_of(settings) == replace(Limits(), trust_names=settings.loopback)


def test_what_makes_no_sense_together_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="JOURNAL_ENTRIES=10 is too few for HISTORY=50"):
        load([], {"JOURNAL_ENTRIES": "10"}, tmp_path)
    with pytest.raises(SettingsError, match="should be a number of seconds from 30 to 86400"):
        load([], {"SILENCE_TIME": "20"}, tmp_path)


async def test_the_system_holds_as_much_of_a_connections_output_as_was_chosen(tmp_path: Path) -> None:
    settings = Settings(chat_port=0, chat_db=MEMORY, outbox=tmp_path, send_buffer=64)
    async with running(settings) as house:
        john = await Peer.joined(house.port, "John")
        (session,) = house.hub.sessions
        connection = house.hub.fan_out._in_step[session]
        assert isinstance(connection, Connection)
        theirs = connection._transport.get_extra_info("socket")
        assert theirs.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 2 * 64 * 1024, "socket(7): it is doubled"
        john.cut()


async def test_a_server_that_starts_anew_waits_for_its_port_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(app, "AGAIN", 0.01)
    with reserved_port() as reserved:
        port = reserved.getsockname()[1]
        settings = Settings(chat_port=port, chat_db=MEMORY, outbox=tmp_path)
        async with AsyncExitStack() as present, AsyncExitStack() as other:
            await other.enter_async_context(running(settings))
            john = await Peer.joined(port, "John")
            starting = asyncio.create_task(start_anew(settings, present, asyncio.Event()))
            async with asyncio.timeout(PATIENCE):
                while "can't start anew" not in caplog.text:
                    await john.sync()
            for _ in range(50):
                await john.sync()
            john.cut()
            await other.aclose()
            house = await starting
            assert house is not None
            john = await Peer.joined(port, "John")
            john.cut()
    [message] = [record.getMessage() for record in caplog.records if record.name == "chatmail"]
    assert message.startswith(f"this server can't start anew yet: port {port} is taken")


async def test_a_server_that_cannot_start_anew_ends_when_it_is_told_to(tmp_path: Path) -> None:
    """Its certificate is not there any more, say."""
    settings = Settings(chat_port=0, chat_db=MEMORY, tls_cert=tmp_path / "gone.pem", tls_key=tmp_path / "gone.pem")
    end = asyncio.Event()
    async with AsyncExitStack() as present:
        starting = asyncio.create_task(start_anew(settings, present, end))
        await asyncio.sleep(0)
        end.set()
        assert await starting is None
