"""A redis-server process of a test's own."""

import subprocess
from pathlib import Path

import pytest


class RedisServer:
    """It listens on a socket in a folder, and keeps there what it is told.

    Args:
        folder: of a short name, as the system wants names of sockets.
        options: of redis-server, as they are there.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.socket = folder / "redis.sock"
        self.url = f"unix://{self.socket}"
        self._options = options
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Return once it answers. Where there is none that would do, the test is skipped."""
        from tests.redisserver import MISSING  # with it comes redis-py, which may be missing as well

        if MISSING:
            pytest.skip(MISSING)
        self._process = subprocess.Popen(
            [
                "redis-server",
                "--port",
                "0",
                "--unixsocket",
                str(self.socket),
                "--dir",
                str(self.folder),
                *self._options,
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        lines = []
        for line in self._process.stdout:
            if "eady to accept connections" in line:
                return
            lines.append(line)
        raise AssertionError("".join(lines))

    def stop(self) -> None:
        """End it at once, as a crash would."""
        assert self._process is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
