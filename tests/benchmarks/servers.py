"""Processes of a benchmark: servers that are started, waited for and put away, and the load that is put on them."""

import json
import os
import queue
import re
import resource
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from tests.benchmarks.flood import Phase
from tests.benchmarks.load import Outcome, Paced, Plan

HERE = Path(__file__).parent
PATIENCE = 20.0
"""No start, no end and no wait within a phase takes longer than this, in seconds, unless it fails."""

SETTINGS = {"CHAT_HOST": "127.0.0.1", "CHAT_PORT": "0", "RATE": "off", "MAX_CLIENTS": "15000", "SILENCE_TIME": "3600"}
CHATMAIL = (sys.executable, "-m", "chatmail.server.app")


class Kind(NamedTuple):
    """A kind of server.

    Args:
        command: how it is started; ``{folder}`` is its own.
        config: what is in its file ``config``, if it has one; ``{port}`` is where it is to listen.
        settings: its environment.
        wire: what it speaks.
        ordered: whether everybody gets the messages of several senders in the same order.
        listens: what it prints once it listens, with the port as a group unless it was told.
        version: the option that makes it print its version.
        door: so many may come in at once; where more connect than wait to be accepted, they are tried again after 1 s.
    """

    command: tuple[str, ...]
    config: str = ""
    settings: Mapping[str, str] = {}
    wire: str = "chat"
    ordered: bool = True
    listens: str = r"listens on .* port (\d+)"
    version: str = ""
    door: int = 500


SERVERS = {
    "chatmail": Kind(CHATMAIL, settings=SETTINGS),
    "in memory": Kind(CHATMAIL, settings={**SETTINGS, "CHAT_DB": ":memory:"}),
    "naive": Kind((sys.executable, str(HERE / "naive.py")), ordered=False),
}
"""What is always measured; the first is compared with the others."""


class BenchmarkError(Exception):
    """A run that gives no figures, and why."""


@contextmanager
def on_cpu(cpu: int | None) -> Iterator[None]:
    """What is started in here runs on this CPU only; anywhere with None."""
    if cpu is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def many_files() -> None:
    """Let this process, and those it starts, have as many open files as the system allows: ten thousand readers."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _free_port() -> int:
    """A port for servers that cannot choose one; should somebody take it before they do, there are no figures."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


class Server:
    """A running server process; somebody reads what it prints all the time."""

    def __init__(self, name: str, kind: Kind, folder: str, settings: Mapping[str, str], cpu: int | None) -> None:
        self.name = name
        self.output: deque[str] = deque(maxlen=20)
        self._listens = re.compile(kind.listens)
        self._told = _free_port() if kind.config else 0
        self._ports: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        if kind.config:
            Path(folder, "config").write_text(kind.config.replace("{port}", str(self._told)))
        kept = {key: os.environ[key] for key in ("PATH", "PYTHONPATH") if key in os.environ}
        with on_cpu(cpu):
            self._process = subprocess.Popen(
                [word.replace("{folder}", folder) for word in kind.command],
                cwd=folder,
                env={**kept, **kind.settings, **settings},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        self.pid = self._process.pid
        self._reading = threading.Thread(target=self._read, name=f"output of {name}", daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for raw in self._process.stdout:
            line = raw.decode(errors="replace").rstrip()
            self.output.append(line)
            if found := self._listens.search(line):
                self._ports.put(self._told or int(found[1]))
        self._ports.put(None)

    def port(self) -> int:
        """The port it listens on, once it does."""
        try:
            port = self._ports.get(timeout=PATIENCE)
        except queue.Empty:
            raise BenchmarkError(self.story("does not say where it listens")) from None
        if port is None:
            raise BenchmarkError(self.story("ended before it listened"))
        return port

    def story(self, what: str) -> str:
        """A sentence about it, and its last words."""
        return "\n  ".join([f"{self.name} {what}; its last words:", *self.output])

    def check(self) -> None:
        """Raise BenchmarkError when it ended, or had a fault."""
        if self._process.poll() is not None:
            raise BenchmarkError(self.story(f"ended with status {self._process.returncode}"))
        if any(line.startswith("Traceback") for line in self.output):
            raise BenchmarkError(self.story("had a fault"))

    def end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(PATIENCE)
        self._reading.join(PATIENCE)
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextmanager
def serving(name: str, kind: Kind, settings: Mapping[str, str], cpu: int | None) -> Iterator[Server]:
    """A server of its own, in a folder of its own."""
    with TemporaryDirectory(prefix="benchmark-") as folder:
        server = Server(name, kind, folder, settings, cpu)
        try:
            yield server
        finally:
            server.end()


def run_load(work: str, arguments: Sequence[str], patience: float, cpu: int | None) -> Any:
    """Run the load of a work to its end, within so many seconds; what it found. Raises BenchmarkError."""
    with on_cpu(cpu):
        load = subprocess.Popen(
            (sys.executable, "-m", f"tests.benchmarks.{work}", *arguments),
            cwd=HERE.parent.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    try:
        out, err = load.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        load.kill()
        load.communicate()
        raise BenchmarkError("the load came to no end") from None
    if load.returncode:
        raise BenchmarkError(f"the load failed: {err.strip()}")
    return json.loads(out)


def put_load(plan: Plan, cpu: int | None) -> Outcome:
    """Have a crowd talk. Raises BenchmarkError."""
    # The load has a deadline for each of its five steps; this one is for a load that hangs.
    patience = 5 * plan.patience + 2 * (plan.saturated + plan.paced) + PATIENCE
    found = run_load("load", [json.dumps(asdict(plan))], patience, cpu)
    paced = found["paced"]
    return Outcome(saturated=Phase(**found["saturated"]), paced=Paced(**paced) if paced else None)
