"""The programs as they are installed, each in a terminal and a home of its own."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.servers import BenchmarkError
from tests.benchmarks.terminals import Terminal, in_terminal

SCRIPTS = Path(sys.executable).parent
ME = "Zoe"
"""Who sits at the client."""
PROMPT, QUESTION, INPUT_LINE = "chatmail> ", "Your name: ", "> "


def _environment(home: Path, settings: Mapping[str, str]) -> Mapping[str, str]:
    """What a person's shell hands on."""
    kept = {key: os.environ[key] for key in ("PATH", "PYTHONPATH") if key in os.environ}
    return {**kept, "HOME": str(home), "TERM": "xterm-256color", "LANG": "C.UTF-8", "TZ": "UTC", **settings}


def _script(name: str) -> Path:
    path = SCRIPTS / name
    if not path.exists():
        raise BenchmarkError(f"{name} is not installed beside {sys.executable}")
    return path


@contextmanager
def server(folder: Path, cpu: int | None) -> Iterator[Terminal]:
    """``chatmail-server`` in this folder, starting."""
    with in_terminal([_script("chatmail-server")], folder, _environment(folder, {"CHAT_PORT": "0"}), cpu) as terminal:
        yield terminal


@contextmanager
def client(cpu: int | None, *argv: str) -> Iterator[Terminal]:
    """``chatmail``, starting."""
    with TemporaryDirectory(prefix="benchmark-") as name:
        home = Path(name)
        with in_terminal([_script("chatmail"), *argv], home, _environment(home, {}), cpu) as terminal:
            yield terminal


@contextmanager
def joined(port: int, cpu: int | None) -> Iterator[tuple[Terminal, float]]:
    """``chatmail`` in a conversation, and when its input line was there."""
    with client(cpu, f"127.0.0.1:{port}", "--name", ME, "--email", f"{ME.lower()}@example.org") as terminal:
        yield terminal, terminal.until(lambda: terminal.cursor_line == INPUT_LINE, "its input line")
