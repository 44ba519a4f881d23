"""What goes wrong on the way to a server is told in a sentence that says what to do."""

import errno
import socket
import ssl

import pytest
from msgspec import structs

import chatmail
from chatmail.client.link import Server
from chatmail.client.trust import NoTlsError
from chatmail.client.wording import closed, nonsense, refused, trying, unreachable, why
from chatmail.core import wire

HERE, THERE = Server("localhost", 6245), Server("chat.example.org", 6245)
ALERT = b"\x15\x03\x01\x00\x02\x02\x16"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (socket.gaierror(socket.EAI_NONAME, "x"), "there is no such host, or no network"),
        (TimeoutError(), "no answer"),
        (ConnectionResetError(), "it closed the connection"),
        (ssl.SSLError(1, "too old"), "its TLS does not fit ours (too old)"),
        (OSError("Multiple exceptions: [Errno 111] Connection refused, [Errno 111] x"), "nothing listens there"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "no route to host"),
    ],
)
def test_why_there_is_no_connection(error: OSError, told: str) -> None:
    assert told in why(error)
    assert "Errno" not in why(error)


def test_without_tls_it_is_never_advised_lightly_to_go_on() -> None:
    assert "without --tls, nothing is encrypted" in unreachable(HERE, NoTlsError())
    told = unreachable(THERE, NoTlsError())
    assert "--no-tls goes on without, and everybody on the way can read all" in told
    pinned = structs.replace(THERE, pin="SHA256:AB")
    for told in (unreachable(pinned, NoTlsError()), unreachable(THERE, NoTlsError(), known=True)):
        assert "it speaks no TLS now" in told
        assert "--no-tls" not in told


REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")


@pytest.mark.parametrize(
    ("server", "error", "advice"),
    [
        (HERE, REFUSED, "chatmail-server starts one on this machine"),
        (THERE, REFUSED, "see whether the port is right"),
        (THERE, TimeoutError(), "ask the operator"),
        (THERE, socket.gaierror(socket.EAI_NONAME, "x"), "see whether the name is right"),
    ],
)
def test_who_can_not_be_reached_is_told_with_what_to_do(server: Server, error: OSError, advice: str) -> None:
    told = unreachable(server, error)
    assert told.startswith(f"can't reach {server}: {why(error)}; ")
    assert told.endswith(advice)


def test_who_is_not_let_in_is_told_by_whom_and_what_to_do() -> None:
    other = wire.Error(code="unsupported", text="only version 2", field="version")
    assert refused(THERE, other) == (
        f"{THERE} speaks another version of the protocol than this chatmail {chatmail.__version__} (only version 2); "
        "ask the operator which version is right there, and install that one"
    )
    full = wire.Error(code="server-full", text="try again later")
    assert refused(THERE, full) == f"{THERE} does not let you in: try again later"
    assert refused(THERE, wire.Error(code="name-taken", text="that is Mary's")) == "that is Mary's"
    assert refused(THERE, wire.Error(code="later", text="")) == "later"


@pytest.mark.parametrize("why", ["the server is full", "the server is full; try again later"])
def test_what_is_tried_again_by_itself_is_asked_of_nobody(why: str) -> None:
    assert trying(why) == "the server is full; trying again"
    assert trying("Jane is coming in at this moment; try again") == "Jane is coming in at this moment; trying again"


def test_what_is_not_understood_may_come_from_a_newer_server() -> None:
    unknown = wire.WireError(wire.Code.UNSUPPORTED, "'hello' is no type of frame that this end knows")
    assert nonsense(THERE, unknown, b'{"type":"hello"}').endswith("; if the server is newer, install its version here")
    assert nonsense(THERE, unknown, b"SSH-2.0") == f"{THERE} is no chatmail server; it said: SSH-2.0"


@pytest.mark.parametrize(
    ("server", "advice"),
    [
        (HERE, "chatmail --tls joins there"),
        (Server("127.0.0.1", 7000), "chatmail --tls 127.0.0.1:7000 joins there"),
        (THERE, "leave --no-tls away"),
    ],
)
def test_who_speaks_in_clear_where_tls_is_spoken_is_told(server: Server, advice: str) -> None:
    assert closed(server, ALERT) == f"{server} speaks TLS: {advice}"
    assert closed(server, b"").endswith(f"If it speaks TLS now, {advice}")
    assert closed(server, b'{"type":') == f"{server} closed the connection"
