"""From 1,000 direct messages to 1,000 mails at a mail server, beside others who only hand mails over.

    authors ──> chatmail-server (one CPU) ──> sink (on another CPU)

*chatmail* does all its work: it takes direct messages, keeps them, composes letters, keeps those, hands them over and
tells the authors. Nobody who is written to is there. *a connection each* and *its mailer* (see ``mailing``) and
Postfix's *smtp-source*, with a connection for each mail, and reused, begin with finished mails, and keep nothing. All
have three connections at a time. The time is from the first message until the sink has taken the last mail; it counts
them, and a mail that is missing, doubled or for somebody else fails the run.
"""

import json
import re
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

import msgspec
import trustme

from chatmail.core.records import Draft, Letter, Mail
from chatmail.server.app import SMTP_CONNECTIONS
from chatmail.server.letters import compose
from tests.benchmarks.mailing import SENDER, Security
from tests.benchmarks.peers import which
from tests.benchmarks.section import Bench, Row, Section
from tests.benchmarks.servers import HERE, PATIENCE, SERVERS, BenchmarkError, on_cpu, serving
from tests.benchmarks.wires import TEXT_SIZE

EACH = 50
"""So many people one author writes to: less than the mails that one may cause in an hour."""
AT_THE_DOOR = 50
"""So many people come and go at a time before they are written to."""
MAILS, QUICK = 1_000, 200
COLUMNS = ("chatmail", "its mailer", "connection each", "smtp-source", "smtp-source -d")
PLAIN_ONLY = ("smtp-source", "smtp-source -d")
Times = dict[str, list[float]]
"""Seconds, round after round, of each."""


class Task(NamedTuple):
    """So many mails, to a sink that speaks TLS or does not; what is needed for that is in the folder."""

    mails: int
    security: Security
    folder: Path
    bench: Bench


class Sink:
    """The sink, running."""

    def __init__(self, task: Task) -> None:
        certificate = [str(task.folder / "server.pem")] if task.security == "tls" else []
        with on_cpu(task.bench.load_cpu):
            self._process = subprocess.Popen(
                (sys.executable, str(HERE / "sink.py"), str(task.mails), *certificate),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
            )
        try:
            self.port = self._number()
        except BenchmarkError:
            self.kill()
            raise

    def _number(self) -> int:
        """The number it says next."""
        assert self._process.stdout
        said, _, _ = select.select([self._process.stdout], [], [], PATIENCE)
        line = self._process.stdout.readline() if said else b""
        if not line:
            raise BenchmarkError(f"the sink {'ended' if said else 'waits for mails that do not come'}")
        return int(line)

    def full(self) -> int:
        """When it had taken all mails."""
        return self._number()

    def addresses(self) -> list[str]:
        """Put it away; all addresses there were mails for."""
        out, _ = self._process.communicate(timeout=PATIENCE)
        found: list[str] = json.loads(out)
        return sorted(found)

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextmanager
def sinking(task: Task) -> Iterator[Sink]:
    """A sink."""
    sink = Sink(task)
    try:
        yield sink
    finally:
        sink.kill()


def _read(peer: socket.socket, what: bytes, times: int = 1) -> None:
    """Read until this has come so many times."""
    heard = b""
    while len(re.findall(what, heard)) < times:
        data = peer.recv(1 << 16)
        if not data:
            raise BenchmarkError(f"the server hung up; before, it said {heard[-300:]!r}")
        heard += data
        if b'"type":"error"' in heard or b'"mail":"held"' in heard:
            raise BenchmarkError(f"the server does not do as it should: {heard[-300:]!r}")


def _join(port: int, name: str, then: bytes = b"") -> socket.socket:
    peer = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    hello = {"type": "join", "name": name, "email": f"{name}@example.org", "version": 1}
    peer.sendall(json.dumps(hello).encode() + b"\n" + then)
    return peer


def _text(number: int) -> str:
    return f"message {number:09}, ".ljust(TEXT_SIZE, ".")


def chatmail(task: Task) -> float:
    """Direct messages to people who were here once."""
    settings = {"SENDER_EMAIL": SENDER, "SMTP_HOST": "127.0.0.1", "SMTP_SECURITY": task.security, "HISTORY": "0"}
    settings["SSL_CERT_FILE"] = str(task.folder / "authority.pem")
    with sinking(task) as sink:
        settings["SMTP_PORT"] = str(sink.port)
        with serving("chatmail", SERVERS["chatmail"], settings, task.bench.server_cpu) as server:
            port = server.port()
            try:
                began, full = _write_all(task, port, sink)
            except (BenchmarkError, TimeoutError) as error:
                raise BenchmarkError(server.story(f"failed: {error}")) from None
            server.check()
        _check(sink.addresses(), _addresses(task.mails))
    return (full - began) / 1e9


def _write_all(task: Task, port: int, sink: Sink) -> tuple[int, int]:
    """When the first message went out, and when the last mail came."""
    for first in range(0, task.mails, AT_THE_DOOR):
        numbers = range(first, min(first + AT_THE_DOOR, task.mails))
        people = [_join(port, f"reader{number}", b'{"type":"leave"}\n') for number in numbers]
        for peer in people:
            _read(peer, b'"type":"bye"')
            peer.close()
    authors: dict[socket.socket, bytes] = {}
    for first in range(0, task.mails, EACH):
        author = _join(port, f"author{first}", b'{"type":"ping"}\n')
        _read(author, b'"type":"pong"')
        frames = [
            {"type": "dm", "to": f"reader{number}", "text": _text(number), "id": str(number)}
            for number in range(first, min(first + EACH, task.mails))
        ]
        authors[author] = b"".join(json.dumps(frame).encode() + b"\n" for frame in frames)
    began = time.monotonic_ns()
    for author, messages in authors.items():
        author.sendall(messages)
    full = sink.full()
    for author, messages in authors.items():
        _read(author, b'"mail":"sent"', messages.count(b"\n"))
        author.close()
    return began, full


def handed_over(task: Task, way: str) -> float:
    """A program of ``mailing``."""
    environment = {"SSL_CERT_FILE": str(task.folder / "authority.pem")}
    with sinking(task) as sink:
        words = ("-m", "tests.benchmarks.mailing", way, str(sink.port), task.security, str(task.folder / "letters"))
        with on_cpu(task.bench.server_cpu):
            done = _run((sys.executable, *words), environment)
        full = sink.full()
        _check(sink.addresses(), _addresses(task.mails))
    return (full - int(done)) / 1e9


def smtp_source(task: Task, *options: str) -> float:
    """What comes with Postfix; it numbers the addresses in its own way."""
    program = which("smtp-source") or "smtp-source"
    many = ("-s", str(SMTP_CONNECTIONS), "-m", str(task.mails), *options)
    with sinking(task) as sink:
        what = ("-N", "-f", SENDER, "-t", "@example.org", "-F", str(task.folder / "letter"), f"127.0.0.1:{sink.port}")
        began = time.monotonic_ns()
        with on_cpu(task.bench.server_cpu):
            _run((program, *many, *what), {})
        full = sink.full()
        found = sink.addresses()
        if len(set(found)) != task.mails:
            raise BenchmarkError(f"smtp-source: {len(set(found))} of {task.mails} mails came")
        _check(found, list(set(found)))
    return (full - began) / 1e9


def _run(command: tuple[str, ...], environment: dict[str, str]) -> str:
    done = subprocess.run(
        command,
        env=environment,
        cwd=HERE.parent.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * PATIENCE,
    )
    if done.returncode:
        raise BenchmarkError(f"{command} failed: {done.stderr.strip()}")
    return done.stdout


def _check(found: list[str], expected: list[str]) -> None:
    if found != sorted(expected):
        doubled, missing = len(found) - len(set(found)), len(set(expected) - set(found))
        raise BenchmarkError(f"{len(found)} mails came, {doubled} of them twice, and {missing} did not")


def _prepare(folder: Path, mails: int) -> None:
    """The letters for those who begin with them, and certificates."""
    letters = [_letter(number, address) for number, address in enumerate(_addresses(mails))]
    (folder / "letters").write_bytes(msgspec.json.encode(letters))
    (folder / "letter").write_bytes(letters[0].content.replace(b"\r\n", b"\n"))
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "authority.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")


def _addresses(mails: int) -> list[str]:
    return [f"reader{number}@example.org" for number in range(mails)]


def _letter(number: int, address: str) -> Letter:
    now = datetime.now(UTC)
    name, author = f"reader{number}", f"author{number // EACH * EACH}"
    mail = Mail(seq=number, reader=number, author=-1, sender=author, to=name, text=_text(number), time=now)
    return compose(Draft(reader=number, name=name, address=address, mails=(mail,), made=now.timestamp()), SENDER, "")


WAYS: dict[str, Callable[[Task], float]] = {
    "chatmail": chatmail,
    "its mailer": lambda task: handed_over(task, "mailer"),
    "connection each": lambda task: handed_over(task, "each"),
    "smtp-source": smtp_source,
    "smtp-source -d": lambda task: smtp_source(task, "-d"),
}


def measure(bench: Bench) -> Section:
    """All rounds. Raises BenchmarkError."""
    mails = QUICK if bench.quick else MAILS
    ways = dict(WAYS)
    if which("smtp-source") is None:
        print("without smtp-source: it is not installed (it comes with Postfix)", file=sys.stderr)
        ways = {name: way for name, way in ways.items() if name not in PLAIN_ONLY}
    taken: dict[Security, Times] = {"none": {name: [] for name in ways}, "tls": {}}
    taken["tls"] = {name: [] for name in ways if name not in PLAIN_ONLY}
    with TemporaryDirectory(prefix="benchmark-") as folder:
        _prepare(Path(folder), mails)
        for turn in range(bench.rounds):
            print(f"round {turn + 1} of {bench.rounds}: mails", file=sys.stderr)
            for security, times in taken.items():
                task = Task(mails, security, Path(folder), bench)
                for name in times if turn % 2 else reversed(times):
                    times[name].append(ways[name](task))
    return Section(
        "postman: mails to as many people",
        COLUMNS,
        [*_rows(mails, "", taken["none"]), *_rows(mails, ", TLS", taken["tls"])],
    )


def _rows(mails: int, how: str, times: Times) -> list[Row]:
    """How long it took, and how often as long as another, within each round."""
    rows = [
        Row(f"{mails:,} mails{how}, s", [median(times[name]) if name in times else None for name in COLUMNS], ".3f")
    ]
    # The whole chat also takes in the direct messages and stores all; its mailer, as others, begins with the mails.
    for title, ours, other, goal in (
        ("a connection each, x its mailer", "its mailer", "connection each", "3 or more"),
        ("a connection each, x chatmail", "chatmail", "connection each", ""),
        ("its mailer, x smtp-source", "smtp-source", "its mailer", "2 or less"),
        ("chatmail, x smtp-source", "smtp-source", "chatmail", ""),
    ):
        if ours in times and other in times:
            ratio = median(their / our for their, our in zip(times[other], times[ours], strict=True))
            rows.append(Row(f"{title}{how}", [ratio, *[None] * (len(COLUMNS) - 1)], ".2f", goal))
    return rows
