"""What is kept for the next start is there then, for nobody else to read, whoever else writes at the same time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chatmail.client.keys import Keys
from chatmail.client.link import Server
from chatmail.client.state import open_folder
from chatmail.client.trust import fingerprint
from chatmail.files import state_folder

HERE = Server("chat.example.org", 6245, tls=True)
JOHN = (HERE, "John", "john@example.org")
PIN = fingerprint(b"certificate")


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.fixture
def folder(state: Path) -> Path:
    opened = open_folder(state_folder(), pytest.fail)
    assert opened == state
    return state


@pytest.fixture
def keys(folder: Path) -> Keys:
    return Keys(folder, pytest.fail)


def test_what_one_start_keeps_the_next_one_knows(folder: Path, keys: Keys) -> None:
    assert keys.pinned(HERE).pin is None
    assert keys.token(*JOHN) is None
    assert keys.trust(HERE, PIN).pin == PIN
    keys.keep(*JOHN, "t1")
    again = Keys(folder, pytest.fail)
    assert again.pinned(HERE).pin == PIN
    assert again.token(*JOHN) == "t1"


def test_who_came_in_is_offered_next_time(folder: Path, keys: Keys) -> None:
    assert keys.last(HERE) == ("", "")
    keys.came_in(*JOHN)
    assert Keys(folder, pytest.fail).last(HERE) == JOHN[1:]
    assert Keys(folder, pytest.fail).last(HERE, "Mary") == ("", "")
    assert mode(folder / "last") == 0o600


def test_it_is_for_nobody_else_to_read(folder: Path, keys: Keys) -> None:
    before = os.umask(0)
    try:
        keys.trust(HERE, PIN)
        keys.keep(*JOHN, "t1")
    finally:
        os.umask(before)
    assert mode(folder) == 0o700
    assert {path.name: mode(path) for path in folder.iterdir()} == dict.fromkeys(
        ("known_servers", "tokens", "lock"), 0o600
    )


def test_a_folder_that_others_could_read_is_made_private(state: Path) -> None:
    state.mkdir(parents=True)
    state.chmod(0o755)
    assert open_folder(state, pytest.fail) == state
    assert mode(state) == 0o700


def test_what_else_is_in_a_file_stays_byte_for_byte(folder: Path, keys: Keys) -> None:
    (folder / "known_servers").write_bytes(b"# mine\n\n\xff\xfe \xe2\x80\xa8\nother:1 x")
    keys.trust(HERE, PIN)
    kept = (folder / "known_servers").read_bytes()
    assert kept == b"# mine\n\n\xff\xfe \xe2\x80\xa8\nother:1 x\n" + f"{HERE} {PIN}\n".encode()


def test_what_a_client_left_that_was_killed_over_it_does_no_harm(folder: Path, keys: Keys) -> None:
    (folder / ".tokens.new").write_text("half a li")
    keys.keep(*JOHN, "t1")
    assert keys.token(*JOHN) == "t1"
    assert not (folder / ".tokens.new").exists()


WRITER = """
import sys
from pathlib import Path
from chatmail.client.keys import Keys
from chatmail.client.link import Server

keys = Keys(Path(sys.argv[1]), sys.exit)
print(flush=True)
sys.stdin.readline()
for number in range(50):
    server = Server(f"{sys.argv[2]}-{number}", 1)
    keys.trust(server, "SHA256:" + "AB" * 32)
    keys.keep(server, "John", "john@example.org", "t1")
"""


def test_of_what_several_clients_keep_at_once_nothing_is_lost(folder: Path, keys: Keys) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, folder, who], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for who in "abc"
    ]
    for writer in writers:
        assert writer.stdout
        assert writer.stdout.readline()
    for writer in writers:  # all of them are ready: go
        assert writer.stdin
        writer.stdin.write(b"\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=20)
        assert writer.returncode == 0
    servers = [Server(f"{who}-{number}", 1) for who in "abc" for number in range(50)]
    assert all(keys.pinned(server).pin for server in servers)
    assert all(keys.token(server, "John", "john@example.org") for server in servers)
    assert len((folder / "known_servers").read_text().splitlines()) == len(servers)


def test_where_nothing_can_be_kept_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "full" / "lock").mkdir(parents=True)
    told: list[str] = []
    assert open_folder(tmp_path / "file" / "chatmail", told.append) is None
    assert open_folder(tmp_path / "full", told.append) is None
    assert told == [
        f"nothing is kept for the next start: {tmp_path}/file/chatmail: Not a directory",
        f"nothing is kept for the next start: {tmp_path}/full: Is a directory",
    ]


def test_without_a_folder_nothing_is_kept_and_nothing_said() -> None:
    assert open_folder(None, pytest.fail) is None
    keys = Keys(None, pytest.fail)
    assert keys.trust(HERE, PIN).pin == PIN
    assert keys.pinned(HERE).pin is None
    keys.keep(*JOHN, "t1")
    assert keys.token(*JOHN) is None
    keys.came_in(*JOHN)
    assert keys.last(HERE) == ("", "")


def test_a_disk_that_breaks_is_told_of_once(folder: Path) -> None:
    told: list[str] = []
    keys = Keys(folder, told.append)
    for name in ("tokens", "known_servers"):
        (folder / name).mkdir()
    assert keys.token(*JOHN) is None
    keys.keep(*JOHN, "t1")
    assert keys.trust(HERE, PIN).pin == PIN
    assert told == [f"not kept for the next start: {folder}/tokens: Is a directory"]
