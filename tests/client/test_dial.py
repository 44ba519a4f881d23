"""A connection is made with the right server only, and nobody else is told anything."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from msgspec import structs

from chatmail.client.dial import dial
from chatmail.client.link import Server, Timing
from chatmail.client.trust import NoTlsError, Stranger, UntrustedError
from tests.client.certificates import fingerprint_of, issue, serving
from tests.client.scripted import ScriptedServer, scripted

PATIENT = Timing()


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """One that is known here."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    return authority


async def talks(server: ScriptedServer, address: Server) -> None:
    """What is written here arrives there."""
    async with asyncio.timeout(5):
        _, writer = await dial(address, PATIENT)
        writer.write(b"hello\n")
        assert await server.heard() == b"hello\n"
        writer.close()
        await writer.wait_closed()


async def refused(server: ScriptedServer, address: Server) -> Stranger:
    """Whom dialling does not trust; nothing was said to them."""
    async with asyncio.timeout(5):
        with pytest.raises(UntrustedError) as told:
            await dial(address, PATIENT)
        assert await server.heard() == b""
    return told.value.stranger


# By the rules.


async def test_a_certificate_of_a_known_authority_for_this_name_is_right(authority: trustme.CA) -> None:
    async with scripted(serving(issue(by=authority))) as server:
        await talks(server, server.address)


@pytest.mark.parametrize(
    ("name", "expired", "why"),
    [("127.0.0.2", False, "is not valid for '127.0.0.1'"), ("127.0.0.1", True, "certificate has expired")],
)
async def test_a_known_authority_is_not_enough(authority: trustme.CA, name: str, expired: bool, why: str) -> None:
    shown = issue(name, by=authority, expired=expired)
    async with scripted(serving(shown)) as server:
        stranger = await refused(server, server.address)
    assert stranger.found == fingerprint_of(shown)
    assert why in stranger.why


async def test_a_certificate_that_nobody_known_has_signed_is_refused_and_its_fingerprint_told() -> None:
    shown = issue()
    async with scripted(serving(shown)) as server:
        stranger = await refused(server, server.address)
    why = "its certificate is not trusted (nobody known here has signed it)"
    assert stranger == Stranger(fingerprint_of(shown), why)


# With a pin.


@pytest.mark.parametrize(
    "shown", [issue(), issue("192.0.2.1"), issue(expired=True)], ids=["unknown authority", "wrong name", "expired"]
)
async def test_a_pinned_certificate_is_right_whatever_else_is_wrong_with_it(shown: trustme.LeafCert) -> None:
    async with scripted(serving(shown)) as server:
        await talks(server, structs.replace(server.address, pin=fingerprint_of(shown)))


async def test_another_certificate_than_the_pinned_one_is_refused() -> None:
    """Also one of the same authority: what is trusted is the certificate."""
    authority = trustme.CA()
    pinned, shown = issue(by=authority), issue(by=authority)
    async with scripted(serving(shown)) as server:
        stranger = await refused(server, structs.replace(server.address, pin=fingerprint_of(pinned)))
    assert (stranger.pinned, stranger.found) == (fingerprint_of(pinned), fingerprint_of(shown))


async def test_a_pin_does_not_stand_in_the_way_of_a_properly_signed_certificate(authority: trustme.CA) -> None:
    async with scripted(serving(issue(by=authority))) as server:
        await talks(server, structs.replace(server.address, pin=fingerprint_of(issue())))


async def test_a_server_may_change_its_certificate_between_two_connections() -> None:
    first, second = issue(), issue()
    context = serving(first)
    async with scripted(context) as server:
        address = structs.replace(server.address, pin=fingerprint_of(first))
        await talks(server, address)
        second.configure_cert(context)
        assert (await refused(server, address)).found == fingerprint_of(second)
        first.configure_cert(context)
        await talks(server, address)


# Without TLS.


@asynccontextmanager
async def answering(answer: Callable[[bytes], bytes] | None) -> AsyncIterator[Server]:
    """A server that gives this answer to what comes first, and closes; or keeps silent."""
    over = asyncio.Event()

    async def arrive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.read(65536)
        if answer is None:
            await over.wait()
        else:
            writer.write(answer(first))
        writer.close()

    server = await asyncio.start_server(arrive, "127.0.0.1", 0)
    try:
        yield Server("127.0.0.1", server.sockets[0].getsockname()[1], tls=True)
    finally:
        over.set()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    "answer",
    [b'{"type":"error","code":"bad-frame","text":"x"}\n', b"HTTP/1.1 400 x\r\n\r\n", b"\x17\x03\x03\xff\xff" * 20],
    ids=["chatmail", "HTTP", "much too long"],
)
async def test_who_does_not_answer_in_tls_speaks_none(answer: bytes) -> None:
    async with asyncio.timeout(5), answering(lambda _: answer) as address:
        for server in (address, structs.replace(address, pin=fingerprint_of(issue()))):
            with pytest.raises(NoTlsError):
                await dial(server, PATIENT)


async def test_of_who_does_not_answer_at_all_nobody_knows_what_they_speak() -> None:
    async with asyncio.timeout(5), answering(None) as address:
        with pytest.raises(TimeoutError):
            await dial(address, Timing(tls=0.1))
    async with asyncio.timeout(5), answering(lambda _: b"") as address:
        with pytest.raises(ConnectionResetError):
            await dial(address, PATIENT)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
async def test_tls_that_is_too_old_is_none_that_we_speak() -> None:
    context = serving(issue())
    context.set_ciphers("ALL:@SECLEVEL=0")  # else OpenSSL would not speak it itself
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1

    def answer(hello: bytes) -> bytes:
        there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
        there.write(hello)
        with pytest.raises(ssl.SSLError, match="UNSUPPORTED_PROTOCOL"):
            context.wrap_bio(there, back, server_side=True).do_handshake()
        return back.read()

    async with asyncio.timeout(5), answering(answer) as address:
        for server in (address, structs.replace(address, pin=fingerprint_of(issue()))):
            with pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"):
                await dial(server, PATIENT)


async def test_in_clear_there_is_nothing_to_check() -> None:
    async with scripted() as server:
        await talks(server, server.address)


async def test_a_server_is_on_this_machine_or_it_is_not() -> None:
    here = ["localhost", "LocalHost", "127.0.0.1", "127.9.9.9", "::1"]
    there = ["chat.example.org", "0.0.0.0", "192.0.2.1", "fd00::1", "localhost.example.org", "127.0.0.1.example.org"]
    assert all(Server(host, 6245).loopback for host in here)
    assert not any(Server(host, 6245).loopback for host in there)
