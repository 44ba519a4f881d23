"""What a start does not need is not loaded for it: a module here costs each start, on any machine."""

import os
import subprocess
import sys

import pytest

SERVER = "import chatmail.server.app"
DESK = f"{SERVER}, chatmail.server.terminal"
"""All that a server loads for its prompt."""
CLIENT = "import chatmail.client.app"
PROMPT = f"{CLIENT}, chatmail.client.ask, chatmail.client.prompt, chatmail.terminal.history"
"""All that a client loads for its first question, and for the chat after it."""

RARE = {"cryptography", "emoji", "http", "multiprocessing", "pygments", "redis", "unittest", "urllib.request", "pydoc"}
"""For a certificate of one's own, the first Tab after a colon, servers that share a store; the rest for nothing."""


@pytest.mark.parametrize(
    ("imports", "unwanted"),
    [
        # Without a terminal, nothing is drawn: such a start takes two thirds of the time.
        (SERVER, RARE | {"chatmail.client", "prompt_toolkit"}),
        (DESK, RARE | {"chatmail.client"}),
        (PROMPT, RARE | {"aiosmtplib", "chatmail.server", "dotenv", "email", "json", "sqlite3"}),
        (CLIENT, RARE | {"aiosmtplib", "chatmail.server", "dotenv", "email", "json", "prompt_toolkit", "sqlite3"}),
    ],
    ids=["server without a terminal", "server", "client", "client without a terminal"],
)
def test_a_start_loads_nothing_that_it_does_not_need(imports: str, unwanted: set[str]) -> None:
    program = f"{imports}\nimport sys\nprint(*sys.modules)"
    # What counts the lines that are run would load more.
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run([sys.executable, "-c", program], env=plain, capture_output=True, check=True, text=True)
    loaded = done.stdout.split()
    assert imports.split()[1].rstrip(",") in loaded
    assert not unwanted & set(loaded)
