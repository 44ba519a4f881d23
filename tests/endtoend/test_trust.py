"""Whom the client trusts, and that it is asked for a code only once: installed programs in real terminals."""

import asyncio
import email
import email.policy
import re
import signal
from pathlib import Path

import pytest

from tests.client.certificates import fingerprint_of, issue
from tests.endtoend.conftest import Desk
from tests.endtoend.terminal import Terminal

JOHN = ("--tls", "--name", "John", "--email", "john@example.org")
MARY = ("--tls", "--name", "Mary", "--email", "mary@example.org")


class Certificate:
    """A certificate that nobody known has signed, in files for a server."""

    def __init__(self, folder: Path, name: str) -> None:
        made = issue()
        cert, key = folder / f"{name}.pem", folder / f"{name}-key.pem"
        cert.write_bytes(made.cert_chain_pems[0].bytes())
        key.write_bytes(made.private_key_pem.bytes())
        self.settings = {"TLS_CERT": str(cert), "TLS_KEY": str(key)}
        self.fingerprint = fingerprint_of(made)


def squeezed(terminal: Terminal) -> str:
    """All that a terminal shows, without what wrapping has put in between."""
    return re.sub(r"[\s│]", "", "".join(terminal.lines))


async def is_asked(client: Terminal, certificate: Certificate) -> None:
    """Somebody is asked about this certificate, compares it, and says yes."""
    await client.shows("Trust it? (yes/no)")
    assert certificate.fingerprint in squeezed(client)
    client.type("yes\n")


async def answer(server: Terminal) -> None:
    """Have the server do what there is to do by now."""
    before = server.count("up ")
    server.type("/stats\n")
    await server.until(lambda: server.count("up ") > before, "the server in numbers")


async def code_for(desk: Desk, server: Terminal, address: str) -> str:
    """The code that was mailed to this address."""
    outbox = desk.folder / "operator" / "outbox"
    async with asyncio.timeout(20):
        while True:
            for path in outbox.glob("*.eml"):
                letter = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
                if letter["To"] == address and (code := re.search(r"\b\d{6}\b", letter.get_content())):
                    return code.group()
            await answer(server)


async def ends(server: Terminal) -> None:
    server.process.send_signal(signal.SIGTERM)
    assert await server.ends() == 0
    assert b"Traceback" not in server.raw


async def test_a_person_proves_who_they_are_once(desk: Desk) -> None:
    """And from then on comes in without a question, and gets what was said to them meanwhile."""
    certificate = Certificate(desk.folder, "first")
    server = await desk.server(**certificate.settings, VERIFY_EMAIL="yes")
    await server.shows(f"port {desk.port}")
    await server.until(lambda: certificate.fingerprint in squeezed(server), "what people compare with")

    async def proves(who: str, *options: str) -> Terminal:
        client = await desk.client(who, *options)
        await is_asked(client, certificate)
        await client.shows("a code was sent to")
        client.type(await code_for(desk, server, options[-1]) + "\n")
        await client.shows("you are in as")
        await client.until(lambda: client.lines[-1].endswith(" · TLS"), "TLS, in the toolbar")
        return client

    john, mary = await proves("john", *JOHN), await proves("mary", *MARY)
    john.type("/quit\n")
    assert await john.ends() == 0
    mary.type("/dm John see you tomorrow\n")
    await mary.shows("see you tomorrow")

    john = await desk.client("john", *JOHN)
    await john.shows("Mary → you (direct): see you tomorrow")
    assert (john.count("Trust it?"), john.count("code")) == (0, 0)
    john.type("/quit\n")
    assert await john.ends() == 0

    # Without what is kept there, on another machine say, everything is asked again.
    laptop = await desk.client("laptop", *JOHN)
    await is_asked(laptop, certificate)
    await laptop.shows("a code was sent to")
    for path in ("john", "mary"):
        folder = desk.folder / path / ".local" / "state" / "chatmail"
        assert folder.stat().st_mode & 0o777 == 0o700
        assert {entry.stat().st_mode & 0o777 for entry in folder.iterdir()} == {0o600}
    await ends(server)


@pytest.mark.slow
async def test_a_certificate_that_has_changed_is_refused_until_it_is_named(desk: Desk) -> None:
    first, second = Certificate(desk.folder, "first"), Certificate(desk.folder, "second")
    server = await desk.server(**first.settings)
    await server.shows(f"port {desk.port}")
    john = await desk.client("john", *JOHN)
    await is_asked(john, first)
    await john.shows("you are in as John")

    # While John is in, he is told, and nothing is said before the right one is back.
    await ends(server)
    server = await desk.server(**second.settings)
    await john.shows("It may be an attack")
    john.type("only for the right one\n")
    await john.shows("… only for the right one")
    await ends(server)
    server = await desk.server(**first.settings)
    await john.shows("connected again as John")
    await john.shows("you: only for the right one")
    john.type("/quit\n")
    assert await john.ends() == 0
    await ends(server)

    # When he starts again, that is the end of it, until he names the new one.
    server = await desk.server(**second.settings)
    await server.shows(f"port {desk.port}")
    john = await desk.client("john", *JOHN)
    assert await john.ends() == 3
    shown = squeezed(john)
    assert f"youtrust{first.fingerprint}thereis{second.fingerprint}" in shown
    assert f"--trust{second.fingerprint}takesthenewone" in shown
    assert john.count("Trust it?") == 0
    await answer(server)
    assert server.count("joined") == 0
    john = await desk.client("john", *JOHN, "--trust", second.fingerprint)
    await john.shows("you: only for the right one")
    john.type("/quit\n")
    assert await john.ends() == 0
    john = await desk.client("john", *JOHN)
    await john.shows("you: only for the right one")
    await ends(server)
