"""TLS on the server's side: where its certificate comes from, and what a handshake may cost."""

import asyncio
import logging
import os
import resource
import socket
import ssl
import subprocess
import sys
import warnings
from base64 import b64encode
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from threading import Barrier

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from chatmail.core.limits import Limits
from chatmail.core.wire import Code, Error, Message, Say
from chatmail.server.app import House, running
from chatmail.server.settings import Settings, SettingsError
from chatmail.server.tls import prepare
from tests.peer import PATIENCE, Peer
from tests.server.processes import serving

PEM = "chatmail-tls.pem"


def off_loopback(folder: Path, host: str = "0.0.0.0") -> Settings:
    return Settings(chat_host=host, chat_port=0, chat_db=":memory:", outbox=folder / "outbox", folder=folder, rate=None)


def written(digest: bytes) -> str:
    return f"SHA256:{b64encode(digest).decode().rstrip('=')}"


def fingerprint(folder: Path, host: str = "0.0.0.0") -> str:
    prepared = prepare(off_loopback(folder, host))
    assert prepared
    return prepared.fingerprint


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def mistake(settings: Settings) -> str:
    """The one sentence that says why there can't be TLS."""
    with pytest.raises(SettingsError) as caught:
        prepare(settings)
    [text] = caught.value.mistakes
    assert text.isprintable()
    return text


def trusting(pem: Path) -> ssl.SSLContext:
    """A client that trusts this certificate only, if it keeps to the profile of RFC 5280."""
    context = ssl.create_default_context(cafile=pem)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


def python(code: str, *argv: str, folder: Path, file_max: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run this in a Python of its own, in this folder, with files of at most so many bytes."""

    def limit() -> None:
        if file_max is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_max, file_max))

    # Where files are that small, what is measured of it could not be kept.
    without = ("CHAT_", "TLS") if file_max is None else ("CHAT_", "TLS", "COVERAGE_")
    env = {key: value for key, value in os.environ.items() if not key.startswith(without)}
    return subprocess.run(
        [sys.executable, "-c", code, *argv],
        cwd=folder, env=env, preexec_fn=limit, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


@asynccontextmanager
async def house(folder: Path, limits: Limits | None = None) -> AsyncIterator[tuple[House, ssl.SSLContext]]:
    """A server on all networks with a certificate of its own, and what a client needs that trusts it."""
    async with running(off_loopback(folder), limits or Limits()) as running_house:
        yield running_house, trusting(folder / PEM)


async def joined(port: int, name: str, tls: ssl.SSLContext) -> Peer:
    peer = await Peer.connect(port, tls=tls)
    await peer.join(name)
    await peer.sync()
    return peer


async def until(h: House, sessions: int, peer: Peer) -> None:
    """Wait until the server has so many connections, this peer's among them."""
    async with asyncio.timeout(PATIENCE):
        while len(h.hub.sessions) != sessions:
            await peer.sync()


async def ended(reader: asyncio.StreamReader) -> bytes:
    """Everything up to the end of the connection, however it comes."""
    async with asyncio.timeout(PATIENCE):
        with suppress(ConnectionError):
            return await reader.read()
    return b""


# The certificate.


async def test_off_loopback_the_server_speaks_tls_with_a_certificate_of_its_own(tmp_path: Path) -> None:
    """Under a name in it, and by a fingerprint that is the one its clients see."""
    async with house(tmp_path) as (h, tls):
        john = await Peer.connect(h.port, tls=tls)
        shown = john.writer.get_extra_info("ssl_object")
        assert h.fingerprint == written(sha256(shown.getpeercert(binary_form=True)).digest())
        await john.join("John")
        await john.send(Say(text="hello"))
        assert (await john.expect(Message)).text == "hello"
        john.cut()


async def test_where_there_can_be_no_certificate_nothing_is_begun(tmp_path: Path) -> None:
    pem = tmp_path / "cert.pem"
    pem.write_text("no certificate")
    given = Settings(chat_port=0, chat_db=str(tmp_path / "chat.db"), folder=tmp_path, tls_cert=pem, tls_key=pem)
    with pytest.raises(SettingsError, match="can't be used"):
        async with running(given):
            pass
    assert files(tmp_path) == ["cert.pem"]


async def test_on_loopback_it_speaks_none_and_makes_nothing(tmp_path: Path) -> None:
    settings = Settings(chat_port=0, chat_db=":memory:", folder=tmp_path, outbox=tmp_path / "outbox")
    async with running(settings) as h:
        (await Peer.joined(h.port, "John")).cut()
        assert h.fingerprint == ""
    assert files(tmp_path) == []


def test_its_certificate_is_made_once_and_kept(tmp_path: Path) -> None:
    first = fingerprint(tmp_path)
    kept = (tmp_path / PEM).read_bytes()
    assert fingerprint(tmp_path, "192.0.2.1") == first
    assert (tmp_path / PEM).read_bytes() == kept
    (tmp_path / PEM).unlink()
    assert fingerprint(tmp_path) != first


def test_servers_that_first_start_at_once_in_one_folder_have_the_same(tmp_path: Path) -> None:
    started = Barrier(4)

    def start() -> str:
        started.wait()
        return fingerprint(tmp_path)

    with ThreadPoolExecutor(4) as servers:
        found = {server.result() for server in [servers.submit(start) for _ in range(4)]}
    assert found == {fingerprint(tmp_path)}
    assert files(tmp_path) == [PEM]


def test_nobody_else_can_read_its_key(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        fingerprint(tmp_path)
    finally:
        os.umask(before)
    assert (tmp_path / PEM).stat().st_mode & 0o7777 == 0o600
    assert b"BEGIN PRIVATE KEY" in (tmp_path / PEM).read_bytes()


@pytest.mark.parametrize(
    ("host", "dns", "addresses"),
    [
        ("0.0.0.0", [], []),
        ("::", [], []),
        ("192.0.2.7", [], ["192.0.2.7"]),
        ("fe80::7%eth0", [], ["fe80::7"]),
        ("chat.example.org", ["chat.example.org"], []),
    ],
)
def test_what_is_in_its_certificate(tmp_path: Path, host: str, dns: list[str], addresses: list[str]) -> None:
    fingerprint(tmp_path, host)
    certificate = x509.load_pem_x509_certificate((tmp_path / PEM).read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == list(dict.fromkeys([*dns, socket.gethostname(), "localhost"]))
    assert names.get_values_for_type(x509.IPAddress) == [ip_address(address) for address in addresses]
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert certificate.not_valid_before_utc < datetime.now(UTC) - timedelta(hours=1)
    assert timedelta(days=3640) < certificate.not_valid_after_utc - datetime.now(UTC) < timedelta(days=3660)


def test_a_start_that_was_cut_short_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    half = tmp_path / f".{PEM}.new"
    half.write_text("-----BEGIN PRIV")
    half.chmod(0o644)
    fingerprint(tmp_path)
    assert files(tmp_path) == [PEM]
    assert (tmp_path / PEM).stat().st_mode & 0o7777 == 0o600


PREPARE = """
import sys
from pathlib import Path
from chatmail.server.settings import Settings, SettingsError
from chatmail.server.tls import prepare
try:
    prepare(Settings(chat_host="0.0.0.0", chat_db=":memory:", folder=Path(sys.argv[1])))
except SettingsError as error:
    sys.exit(str(error))
"""


def test_a_disk_that_takes_only_half_of_it_gets_no_certificate(tmp_path: Path) -> None:
    process = python(PREPARE, str(tmp_path), folder=tmp_path, file_max=100)
    assert process.returncode == 1
    assert f"{tmp_path / PEM}, where the server keeps its TLS certificate, can't be made: File too" in process.stderr
    assert not (tmp_path / PEM).exists()
    assert python(PREPARE, str(tmp_path), folder=tmp_path).returncode == 0
    assert files(tmp_path) == [PEM]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "gone" / PEM
    assert mistake(off_loopback(tmp_path / "gone")) == (
        f"{path}, where the server keeps its TLS certificate, can't be made: No such file or directory"
    )


def made(start: timedelta, end: timedelta) -> bytes:
    """A key and its certificate, valid from and to so long from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "chatmail")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now + start, now + end)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + certificate.public_bytes(Encoding.PEM)


DAY = timedelta(days=1)
GOOD = made(-DAY, DAY)
END_OF_KEY = GOOD.index(b"-----BEGIN CERT")


def test_one_that_is_neither_damaged_nor_expired_is_taken_as_it_is(tmp_path: Path) -> None:
    """Otherwise the next test would show nothing."""
    (tmp_path / PEM).write_bytes(GOOD)
    fingerprint(tmp_path)
    assert (tmp_path / PEM).read_bytes() == GOOD


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "PEM"),
        (b"\0" * 1000, "PEM"),
        (GOOD[:END_OF_KEY], "PEM"),
        (GOOD[END_OF_KEY:], "PEM"),
        (GOOD[:-60], "PEM"),
        (made(-DAY, DAY)[:END_OF_KEY] + GOOD[END_OF_KEY:], "key values mismatch"),
        (made(-2 * DAY, -DAY), "(certificate has expired)"),
        (made(DAY, 2 * DAY), "(certificate is not yet valid)"),
        (None, ""),
    ],
)
def test_one_that_is_damaged_or_expired_is_named_with_what_to_do(
    tmp_path: Path, content: bytes | None, why: str
) -> None:
    path = tmp_path / PEM
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    text = mistake(off_loopback(tmp_path))
    assert text.startswith(f"{path}, the TLS certificate that the server made, can't be used (")
    assert why.lower() in text.lower().replace("_", " ")
    assert "Delete the file" in text
    assert "until told to trust it" in text
    assert content is None or path.read_bytes() == content


def test_a_pair_that_is_given_is_shown_by_its_fingerprint_too(tmp_path: Path) -> None:
    """Of its own certificate, not of the authority's that comes with it."""
    pair = trustme.CA().create_child_ca().issue_cert("chat.example.org")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(b"".join(part.bytes() for part in pair.cert_chain_pems))
    key.write_bytes(pair.private_key_pem.bytes())
    assert len(pair.cert_chain_pems) == 2
    prepared = prepare(Settings(tls_cert=cert, tls_key=key, folder=tmp_path))
    assert prepared
    own = x509.load_pem_x509_certificate(pair.cert_chain_pems[0].bytes())
    assert prepared.fingerprint == written(own.fingerprint(SHA256()))
    assert not (tmp_path / PEM).exists()


def test_a_pair_that_is_given_and_can_t_be_used_is_named(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(GOOD[END_OF_KEY:])
    for content in (b"", made(-DAY, DAY)[:END_OF_KEY]):
        key.write_bytes(content)
        text = mistake(Settings(tls_cert=cert, tls_key=key, folder=tmp_path))
        assert text.startswith(f"TLS_CERT={cert} with TLS_KEY={key} can't be used (")
        assert text.endswith("both PEM files, the key without a password")


# The package that makes it.

WITHOUT = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "cryptography":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Nothing())
"""


def test_without_the_package_the_server_names_three_ways_out(tmp_path: Path) -> None:
    start = f"{WITHOUT}from chatmail.server.app import main; main()"
    process = python(start, "--host=0.0.0.0", "--port=0", folder=tmp_path)
    assert (process.returncode, process.stdout) == (2, "")
    [line] = process.stderr.splitlines()
    assert line.startswith("CHAT_HOST=0.0.0.0 wants TLS")
    for way_out in (
        "No module named 'cryptography'",
        ".venv/bin/pip install -e '.[tls]'",
        "TLS_CERT and TLS_KEY",
        "TLS=off",
    ):
        assert way_out in line
    assert not (tmp_path / PEM).exists()


def test_only_making_a_certificate_takes_the_package(tmp_path: Path) -> None:
    """A start with one that was made before does not."""
    loaded = "assert 'cryptography' not in sys.modules\n"
    fingerprint(tmp_path)
    process = python(
        f"{WITHOUT}{PREPARE}import chatmail.server.app\n{loaded}import chatmail.client.app\n{loaded}",
        str(tmp_path),
        folder=tmp_path,
    )
    assert (process.returncode, process.stderr) == (0, "")
    (tmp_path / PEM).unlink()
    process = python(f"{PREPARE}{loaded}", str(tmp_path), folder=tmp_path)
    assert "AssertionError" in process.stderr


# The handshake.


async def test_tls_before_1_2_is_refused(tmp_path: Path) -> None:
    async with house(tmp_path) as (h, tls):
        tls.set_ciphers("DEFAULT:@SECLEVEL=0")  # else this client would not even try
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            tls.minimum_version = tls.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(ConnectionResetError):
            await Peer.connect(h.port, tls=tls)
        tls.maximum_version = ssl.TLSVersion.TLSv1_2
        john = await joined(h.port, "John", tls)
        assert john.writer.get_extra_info("ssl_object").version() == "TLSv1.2"
        john.cut()


def client_hello() -> bytes:
    """The first bytes of a handshake."""
    out = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost").do_handshake()
    return out.read()


def test_a_handshake_may_take_five_seconds() -> None:
    assert Limits().tls_time == 5.0


@pytest.mark.parametrize("hello", [b"", client_hello()], ids=["silent", "dripping"])
async def test_a_handshake_that_never_ends_ends_in_time_and_costs_no_one_anything(tmp_path: Path, hello: bytes) -> None:
    async with house(tmp_path, Limits(join_time=6 * PATIENCE, tls_time=0.3)) as (h, tls):
        john = await joined(h.port, "John", tls)
        loop = asyncio.get_running_loop()
        start = loop.time()
        reader, writer = await asyncio.open_connection("127.0.0.1", h.port)
        for byte in hello[:-1]:
            writer.write(bytes([byte]))
            await john.sync()
            if reader.at_eof() or reader.exception():
                break
        assert await ended(reader) == b""
        assert loop.time() - start > 0.25
        writer.transport.abort()
        await john.send(Say(text="hello"))
        await john.expect(Message)
        assert len(h.hub.sessions) == 1
        john.cut()


@pytest.mark.parametrize("data", [b'{"type":"join","name":"Eve","email":"eve@example.org"}\n', b"\x16\x03\x01\xff\xff"])
async def test_what_is_no_tls_is_cut_off_without_a_word_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    async with house(tmp_path) as (h, tls):
        john = await joined(h.port, "John", tls)
        reader, writer = await asyncio.open_connection("127.0.0.1", h.port)
        writer.write(data)
        writer.write_eof()
        assert b"{" not in await ended(reader)
        writer.transport.abort()
        await john.sync()
        assert len(h.hub.sessions) == 1
        john.cut()
    assert not [record for record in caplog.records if record.levelno > logging.INFO and record.name != "asyncio"]
    assert "Traceback" not in caplog.text


async def test_the_time_to_join_holds_for_the_handshake_as_well(tmp_path: Path) -> None:
    async with house(tmp_path, Limits(join_time=0.05, tls_time=6 * PATIENCE)) as (h, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", h.port)
        assert await ended(reader) == b""
        assert not h.hub.sessions
        writer.transport.abort()


async def test_the_end_of_the_server_waits_for_no_handshake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatmail.server.listener.CLOSING_TIME", 6 * PATIENCE)
    async with asyncio.timeout(3 * PATIENCE), house(tmp_path, Limits(tls_time=6 * PATIENCE)) as (h, tls):
        john = await joined(h.port, "John", tls)
        reader, writer = await asyncio.open_connection("127.0.0.1", h.port)
        await until(h, 2, john)
        farewell = asyncio.create_task(john.bye())
    assert (await farewell).retry
    assert await ended(reader) == b""
    writer.transport.abort()


@pytest.mark.slow
async def test_a_connection_costs_little_more_than_its_records(tmp_path: Path) -> None:
    """Left alone, asyncio keeps 256 KiB for each."""
    people = 200
    async with serving(tmp_path, CHAT_HOST="0.0.0.0") as server:
        port = await server.port()
        tls = trusting(tmp_path / PEM)
        inside = [await joined(port, "John", tls)]
        before = server.memory()
        inside += [await joined(port, f"P{at}", tls) for at in range(people)]
        each = (server.memory() - before) / people
        for peer in inside:
            peer.cut()
        assert each < 100 * 1024, f"{each:.0f} bytes of memory for each of {people} people"


def own_address() -> str:
    """An address of this machine that isn't loopback, "" where there is none; no packet is sent for it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return ""
        return str(probe.getsockname()[0])


@pytest.mark.skipif(not own_address(), reason="this machine has no address but loopback, which is exempt")
async def test_handshakes_count_among_the_connections_of_a_host_that_have_not_joined(tmp_path: Path) -> None:
    """One too many is told so, and who comes from elsewhere is not affected."""
    async with house(tmp_path, Limits(unjoined_per_ip=3)) as (h, tls):
        john = await joined(h.port, "John", tls)
        silent = [await asyncio.open_connection(own_address(), h.port) for _ in range(3)]
        await until(h, 4, john)
        mary = await Peer.connect(h.port, own_address(), tls=tls)
        error = await mary.expect(Error)
        assert (error.code, "3 connections from" in error.text) == (Code.SERVER_FULL, True)
        assert (await mary.bye()).retry
        (await joined(h.port, "Ann", tls)).cut()
        for _, writer in silent:
            writer.transport.abort()
        await until(h, 1, john)
        mary = await Peer.connect(h.port, own_address(), tls=tls)
        await mary.join("Mary")
        for peer in (john, mary):
            peer.cut()


async def test_who_there_is_no_room_for_has_a_moment_to_shake_hands_and_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path, Limits(max_clients=1, tls_time=6 * PATIENCE)) as (h, tls):
        john = await joined(h.port, "John", tls)
        mary = await Peer.connect(h.port, tls=tls)
        assert (await mary.expect(Error)).code == Code.SERVER_FULL
        assert (await mary.bye()).retry
        monkeypatch.setattr("chatmail.server.session.LINGER", 0.05)
        reader, writer = await asyncio.open_connection("127.0.0.1", h.port)
        assert await ended(reader) == b""
        writer.transport.abort()
        await john.sync()
        john.cut()
