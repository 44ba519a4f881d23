"""Each work gives its figures at the smallest size, and fails where the server does not do what it must."""

import json
import sys
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from chatmail.core.wire import Message, encode, stamp
from tests.benchmarks import __main__ as benchmarks
from tests.benchmarks import hours, idle, play, slow, storm, works
from tests.benchmarks.section import Bench, Row, Section
from tests.benchmarks.servers import SERVERS, BenchmarkError, Kind
from tests.benchmarks.tally import LoadError
from tests.benchmarks.test_tally import delivered
from tests.benchmarks.wires import WIRES

BENCH = Bench(1, True, False, None, None)


def one(_: str) -> idle.Size:
    return idle.Size(people=1)


def figures(section: Section) -> dict[str, float]:
    """Those of the only column."""
    assert list(section.columns) == ["chatmail"]
    found = {row.title: row.values[0] for row in section.rows}
    assert None not in found.values()
    return {title: value for title, value in found.items() if value is not None}


@pytest.mark.slow
def test_the_smallest_storm_gives_every_figure() -> None:
    """More than are told of: so some newcomers are announced to all, and some are not."""
    section = storm.measure(BENCH, storm.Size(people=230, talkers=3, rate=20, away=0.2))
    found = figures(section)
    assert section.title == "storm: 230, 3 are there"
    for what in ("joining", "resuming"):
        assert 0 < found[f"{what}: all in after, s"] < 20
        assert 0 < found[f"{what}: p99 of who is there, ms"] <= found[f"{what}: worst of who is there, ms"] < 20_000


@pytest.mark.slow
def test_the_smallest_slow_work_gives_every_figure() -> None:
    """There is a gap for the slow, and it tells the truth."""
    section = slow.measure(BENCH, slow.Size(fast=4, slow=4, seconds=0.3))
    found = figures(section)
    assert section.title == "slow: 4 among 8"
    assert found["deliveries a second, all fast"] > 1_000
    assert found["the same among slow ones"] > 1_000
    assert found["messages said to slow ones"] > found["of these, missed by each"] > 0
    assert found["cut off as too slow"] == 0


@pytest.mark.slow
def test_the_smallest_hours_give_every_figure() -> None:
    size = hours.Size(hours=0.1, people=6, parts=2, movers=2, every=10, window=32)
    section = hours.measure(BENCH, size)
    found = figures(section)
    assert section.title == "hours: 0.1 of 6 people"
    assert found["messages"] - found["of these, direct"] >= 2160
    assert found["of these, direct"] >= 216
    assert 10 < found["memory, journal full, MiB"] < 200
    assert found["memory at half time, MiB"] == found["memory, journal full, MiB"]


@pytest.mark.parametrize("seq", [4, 6])
def test_who_leaves_and_comes_back_is_told_once(seq: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """After entry 2, one who leaves and comes back takes two numbers, and the word after that is number 5."""

    def heard(seq: int) -> list[bytes]:
        return [delivered("chat", 0, seq=seq)] * 2

    crowd = MagicMock(people=2)
    crowd.mouths[0].mark.return_value = 0
    crowd.come_back.side_effect = lambda _, hear: hear(0, told("left", 3) + told("joined", 4))
    monkeypatch.setattr(hours, "hear_mark", lambda _crowd, _number: heard(5))
    assert hours.leave_and_come_back(crowd, range(1, 2), 2) == 5
    monkeypatch.setattr(hours, "hear_mark", lambda _crowd, _number: heard(seq))
    with pytest.raises(LoadError):
        hours.leave_and_come_back(crowd, range(1, 2), 2)


def told(what: str, seq: int) -> bytes:
    return b'{"type":"%s","seq":%d,"time":"2026-01-01T00:00:00Z","name":"reader1"}\n' % (what.encode(), seq)


def test_the_relay_is_given_lines_as_long_as_frames_of_ours() -> None:
    """To compare what a byte costs, there must be as many."""
    wire = WIRES["framed"]
    line = wire.template(7, 10**18) % ((123,) * wire.mentions)
    found = wire.frame.fullmatch(line)
    assert found
    message = Message(seq=123, time=stamp(1_800_000_000.123), sender="reader7", text="." * 100, id="m123")
    assert len(line) == len(encode(message))
    assert WIRES["chat"].frame.fullmatch(line)


def test_works_are_chosen_and_their_figures_go_to_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are not here are told, and do no harm."""
    told: list[Bench] = []

    def measure(name: str, bench: Bench) -> Section:
        told.append(bench)
        return Section(f"{name}: 3 people", ["chatmail", "redis"], [Row("cost, µs", [1.25, None], ".1f", "2 or less")])

    monkeypatch.setattr(works, "measure", measure)
    monkeypatch.setattr(works, "is_here", lambda name: name != "start")
    found = tmp_path / "found.json"
    options = ["--works", "direct,start", "--rounds", "2", "--set", "HISTORY=7", "--json", str(found)]
    assert benchmarks.main(options) == 0
    captured = capsys.readouterr()
    heading, line, machine = captured.out.splitlines()
    assert heading.split() == ["direct:", "3", "people", "chatmail", "redis"]
    assert line.split() == ["cost,", "µs", "1.2", "-", "goal:", "2", "or", "less,", "met"]
    assert "CPUs" in machine
    assert captured.err == "without start: no such work is here\n"
    [bench] = told
    assert (bench.rounds, bench.quick, bench.settings) == (2, False, {"HISTORY": "7"})
    direct = json.loads(found.read_text())["works"]["direct"]
    assert direct["figures"] == {"chatmail": {"cost, µs": 1.25}, "redis": {"cost, µs": None}}
    assert direct["goals"] == {"cost, µs": "2 or less"}
    assert direct["met"] == {"cost, µs": True}


@pytest.mark.parametrize(
    ("goal", "value", "is_met"),
    [
        ("2 or less", 2.0, True),
        ("2 or less", 2.1, False),
        ("2 or more", 1.9, False),
        ("2 or more", 2.0, True),
        ("", 1, None),
        ("2 or more", None, None),
    ],
)
def test_a_goal_that_is_missed_is_told(goal: str, value: float | None, is_met: bool | None) -> None:
    row = Row("cost", [value, 7.0], ".1f", goal)
    assert row.is_met is is_met
    (_, line) = Section("work", ["ours", "theirs"], [row]).lines()
    assert ("MISSED" in line) == (is_met is False)


def test_a_work_that_fails_has_no_figures_and_the_others_have(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(name: str, bench: Bench) -> Section:
        if name == "direct":
            raise BenchmarkError("it lost something")
        return Section(name, ["chatmail"], [])

    monkeypatch.setattr(works, "measure", measure)
    assert benchmarks.main(["--works", "direct,idle"]) == 1
    captured = capsys.readouterr()
    assert captured.out.startswith("idle")
    assert captured.err == "no figures: it lost something\n"


def test_a_work_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        benchmarks.main(["--works", "direct,indirect"])
    assert "--works" in capsys.readouterr().err


RUDE = """
import socket
server = socket.create_server(("127.0.0.1", 0))
print("listens on 127.0.0.1 port", server.getsockname()[1], flush=True)
while True:
    client, _ = server.accept()
    client.recv(1000)
    client.close()
"""
"""A server that hangs up on everybody."""


def test_what_a_load_says_of_a_failure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SERVERS, "chatmail", Kind((sys.executable, "-c", RUDE)))
    with pytest.raises(
        BenchmarkError, match=r"with idle: the load failed: LoadError: the server hung up on connection 0"
    ):
        idle.measure(BENCH, idle.Size(people=2))


def test_a_peer_that_fails_has_an_empty_column(capsys: pytest.CaptureFixture[str]) -> None:
    found = play.rounds(BENCH._replace(rounds=2), "idle", {"rude": Kind((sys.executable, "-c", RUDE))}, one, 60)
    assert found == {"rude": []}
    assert play.row("memory", found, lambda figures: figures["each"], ".2f").values == [None]
    assert capsys.readouterr().err.count("no figures: rude with idle: the load failed") == 1


def test_a_load_that_hangs_is_ended(capsys: pytest.CaptureFixture[str]) -> None:
    kind = Kind(("sh", "-c", "echo listens on 127.0.0.1 port 9; exec sleep 60"))
    assert play.rounds(BENCH, "idle", {"peer": kind}, one, 0.01) == {"peer": []}
    assert "the load came to no end" in capsys.readouterr().err
