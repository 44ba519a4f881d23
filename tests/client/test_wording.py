"""What goes wrong on the way to a server is told in a sentence that says what to do."""

import errno
import socket
import ssl

import pytest

from chatmail.client.link import Server
from chatmail.client.trust import NoTlsError
from chatmail.client.wording import closed, unreachable, why

HERE, THERE = Server("localhost", 6245), Server("chat.example.org", 6245)
ALERT = b"\x15\x03\x01\x00\x02\x02\x16"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (socket.gaierror(socket.EAI_NONAME, "x"), "there is no such host, or no network"),
        (TimeoutError(), "no answer"),
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
    assert unreachable(THERE, TimeoutError()) == "can't reach chat.example.org:6245: no answer"


@pytest.mark.parametrize(("server", "advice"), [(HERE, "add --tls"), (THERE, "leave --no-tls away")])
def test_who_speaks_in_clear_where_tls_is_spoken_is_told(server: Server, advice: str) -> None:
    assert closed(server, ALERT) == f"{server} speaks TLS: {advice}"
    assert f"If it speaks TLS, {advice}." in closed(server, b"")
    assert closed(server, b'{"type":') == f"{server} closed the connection"
