"""The installed programs, each in a folder and an environment of its own."""

import os
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
import pytest_asyncio

from tests.endtoend.terminal import Terminal
from tests.ports import reserved_port

SCRIPTS = Path(sys.executable).parent


class Desk:
    """Starts programs, each with a home of its own, and ends what is left of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._reserved = reserved_port()
        self.port = int(self._reserved.getsockname()[1])
        self._terminals: list[Terminal] = []

    def environment(self, who: str, settings: Mapping[str, str]) -> dict[str, str]:
        """What a person's shell would hand on, without anything of this one's."""
        home = self.folder / who
        home.mkdir(exist_ok=True)
        return {
            "HOME": str(home),
            "PATH": os.environ["PATH"],
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            **{key: value for key, value in os.environ.items() if key.startswith("COVERAGE_")},
            **settings,
        }

    async def server(self, **settings: str) -> Terminal:
        """``chatmail-server`` in a terminal."""
        env = self.environment("operator", {"CHAT_PORT": str(self.port), **settings})
        return await self._start([SCRIPTS / "chatmail-server"], "operator", env)

    async def client(self, who: str, *options: str) -> Terminal:
        """``chatmail`` in a terminal, with the server's port."""
        argv: list[str | Path] = [SCRIPTS / "chatmail", f"127.0.0.1:{self.port}", *options]
        return await self._start(argv, who, self.environment(who, {}))

    async def _start(self, argv: list[str | Path], who: str, env: Mapping[str, str]) -> Terminal:
        terminal = await Terminal.start(argv, self.folder / who, env)
        self._terminals.append(terminal)
        return terminal

    async def close(self) -> None:
        """End everything."""
        for terminal in self._terminals:
            await terminal.close()
        self._reserved.close()


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a client remembers stays within the test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest_asyncio.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """Starts the installed programs."""
    desk = Desk(tmp_path)
    yield desk
    await desk.close()
