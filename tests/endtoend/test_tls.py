"""The client and the server speak TLS with each other, or say in one sentence why they don't."""

import asyncio
import os
import re
import ssl
from asyncio.subprocess import DEVNULL, PIPE
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

import pytest
import trustme

from chatmail.core.wire import Message
from chatmail.server.app import running
from chatmail.server.settings import Settings
from tests.endtoend.conftest import SCRIPTS, Desk
from tests.peer import Peer


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@asynccontextmanager
async def serving(folder: Path, *, tls: bool, authority: trustme.CA, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """A server with a certificate for this host, or without one; its port."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    made = authority.issue_cert(host, "localhost")
    cert.write_bytes(b"".join(part.bytes() for part in made.cert_chain_pems))
    key.write_bytes(made.private_key_pem.bytes())
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    settings = Settings(
        chat_port=0,
        chat_db=str(folder / "chatmail.db"),
        outbox=folder / "outbox",
        tls="auto" if tls else "off",
        tls_cert=cert,
        tls_key=key,
    )
    async with running(settings) as house:
        yield house.port


async def say(port: int, *options: str, env: Mapping[str, str] | None = None) -> tuple[int | None, str]:
    """Say "done" by the installed client; its exit status and what it complained of."""
    async with asyncio.timeout(20):
        process = await asyncio.create_subprocess_exec(
            SCRIPTS / "chatmail", f"127.0.0.1:{port}", "--name", "ci", "--email", "ci@example.org", *options,
            env={**os.environ, **(env or {})}, stdin=PIPE, stdout=DEVNULL, stderr=PIPE,
        )  # fmt: skip
        _, err = await process.communicate(b"done\n")
    return process.returncode, err.decode()


async def test_what_is_said_crosses_the_network_in_tls(tmp_path: Path, authority: trustme.CA) -> None:
    async with serving(tmp_path, tls=True, authority=authority) as port:
        trusting = {"SSL_CERT_FILE": str(tmp_path / "authority.pem")}
        context = ssl.create_default_context(cafile=tmp_path / "authority.pem")
        john = await Peer.connect(port, tls=context)
        await john.join("John")
        assert (await say(port, "--tls", env=trusting))[0] == 0
        assert (await john.expect(Message)).text == "done"
        john.cut()


@pytest.mark.parametrize(
    ("host", "trusted", "told"),
    [
        ("127.0.0.1", False, "SSL_CERT_FILE"),
        ("127.0.0.2", True, "is not valid for '127.0.0.1'"),
    ],
)
async def test_a_certificate_that_proves_nothing_is_refused(
    tmp_path: Path, authority: trustme.CA, host: str, trusted: bool, told: str
) -> None:
    async with serving(tmp_path, tls=True, authority=authority, host=host) as port:
        env = {"SSL_CERT_FILE": str(tmp_path / "authority.pem")} if trusted else {}
        status, err = await say(port, "--tls", env=env)
    assert status == 3
    assert err.startswith(f"chatmail: can't reach 127.0.0.1:{port}: its certificate is not trusted (")
    assert told in err
    assert len(err.splitlines()) == 1


async def test_who_forgets_tls_is_reminded(tmp_path: Path, authority: trustme.CA) -> None:
    async with serving(tmp_path, tls=True, authority=authority) as port:
        status, err = await say(port)
    assert status == 3
    assert f"chatmail --tls 127.0.0.1:{port} joins there" in err
    assert len(err.splitlines()) == 1


async def test_who_wants_tls_where_there_is_none_is_told(tmp_path: Path, authority: trustme.CA) -> None:
    async with serving(tmp_path, tls=False, authority=authority) as port:
        status, err = await say(port, "--tls")
    assert status == 3
    assert "it speaks no TLS; without --tls" in err
    assert len(err.splitlines()) == 1


async def start_and_look(desk: Desk) -> tuple[str, str]:
    """Start the server for every network with no settings but that; the fingerprints that it prints and that it has."""
    async with asyncio.timeout(20):
        process = await asyncio.create_subprocess_exec(
            SCRIPTS / "chatmail-server",
            env=desk.environment("operator", {"CHAT_HOST": "0.0.0.0", "CHAT_PORT": str(desk.port)}),
            cwd=desk.folder / "operator", stdin=PIPE, stdout=PIPE,
        )  # fmt: skip
        assert process.stdout
        printed = b""
        while b"/help" not in printed:  # the last line of the opening
            line = await process.stdout.readline()
            assert line, printed
            printed += line
        anybody = ssl.create_default_context()
        anybody.check_hostname = False
        anybody.verify_mode = ssl.CERT_NONE
        john = await Peer.connect(desk.port, tls=anybody)
        await john.join("John")
        seen = john.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        john.cut()
        process.terminate()
        await process.communicate()
    [told] = re.findall(r"SHA256:(\S+)\n", printed.decode())
    assert "with TLS" in printed.decode()
    return told, b64encode(sha256(seen).digest()).decode().rstrip("=")


async def test_a_server_for_other_machines_speaks_tls_by_itself_and_keeps_its_fingerprint(desk: Desk) -> None:
    told, seen = await start_and_look(desk)
    assert told == seen
    assert await start_and_look(desk) == (told, seen)
