"""Whom somebody ignores is not heard, at that server, today and tomorrow."""

import time
from pathlib import Path

import pytest

from chatmail.client.ignored import Ignored
from chatmail.client.link import Server
from chatmail.client.state import Lines

HERE, ELSEWHERE = Server("chat.example.org", 6245), Server("other.example.org", 6245)


def at(server: Server, folder: Path) -> Ignored:
    return Ignored(server, Lines(folder / "ignored"), pytest.fail)


def test_who_is_ignored_stays_so_for_the_next_start(tmp_path: Path) -> None:
    ignored = at(HERE, tmp_path)
    assert "Eve" not in ignored
    ignored.add("Eve")
    ignored.add("Zoë")
    assert at(HERE, tmp_path).names() == ["Eve", "Zoë"]
    assert "EVE" in at(HERE, tmp_path), "names are compared as the server does"


def test_a_name_that_nobody_could_have_takes_no_time(tmp_path: Path) -> None:
    ignored = at(HERE, tmp_path)
    ignored.add("Eve")
    began = time.process_time()
    assert "\u0301" * 16_000 + "\u0316" * 16_000 not in ignored
    assert time.process_time() - began < 0.5


def test_it_is_about_one_server(tmp_path: Path) -> None:
    at(ELSEWHERE, tmp_path).add("Eve")
    at(HERE, tmp_path).add("Bob")
    assert at(HERE, tmp_path).names() == ["Bob"]
    assert at(ELSEWHERE, tmp_path).names() == ["Eve"]


def test_it_ends(tmp_path: Path) -> None:
    ignored = at(HERE, tmp_path)
    ignored.add("Eve")
    ignored.remove("eve")
    ignored.remove("nobody")
    assert "Eve" not in ignored
    assert at(HERE, tmp_path).names() == []


def test_without_a_file_it_lasts_as_long_as_the_client(tmp_path: Path) -> None:
    ignored = Ignored(HERE)
    ignored.add("Eve")
    assert "Eve" in ignored


def test_a_file_that_can_not_be_used_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "ignored").mkdir()
    told: list[str] = []
    ignored = Ignored(HERE, Lines(tmp_path / "ignored"), told.append)
    ignored.add("Eve")
    assert "Eve" in ignored
    assert told == [f"whom you ignore is not kept for the next start: {tmp_path}/ignored: Is a directory"] * 2
