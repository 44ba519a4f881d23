"""What idle people cost is measured, and it is no rest while somebody is told something."""

import os
import socket

import pytest

from tests.benchmarks import idle
from tests.benchmarks.crowd import Crowd
from tests.benchmarks.section import Bench
from tests.benchmarks.tally import LoadError


def test_the_smallest_idle_work_gives_every_figure() -> None:
    """So few people cost something, and next to nothing while they are silent."""
    section = idle.measure(Bench(1, True, False, None, None), idle.Size(people=60, seconds=0.2))
    rows = {row.title: row.values for row in section.rows}
    assert section.title == "idle: 60 joined"
    assert list(section.columns) == ["chatmail"]
    assert rows["people"] == [60]
    [each] = rows["memory of each, KiB"]
    [rest] = rows["CPU at rest, %"]
    assert each is not None
    assert 1 < each < 100
    assert rest is not None
    assert rest < 20


@pytest.mark.slow
def test_peers_have_columns_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    section = idle.measure(Bench(1, True, True, None, None), idle.Size(people=20, seconds=0.1))
    missing = [name for name in idle.PEERS if f"without {name}" in capsys.readouterr().err]
    assert set(section.columns) == {"chatmail", *idle.PEERS} - set(missing)
    [memory] = [row for row in section.rows if row.title == "memory of each, KiB"]
    assert all(value is not None for value in memory.values)


@pytest.mark.parametrize(("pings", "word"), [(0, b"hello\n"), (0, idle.PONG), (100, b"hello\n")])
def test_a_word_in_the_silence_gives_no_figures(pings: float, word: bytes) -> None:
    """Nothing may come but answers to signs of life."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        crowd = Crowd(server.getsockname()[1], "chat", 1, 1, 1)
        try:
            crowd.connect(0, b"")
            talker = server.accept()[0]
            talker.sendall(word)
            with talker, pytest.raises(LoadError, match="connection 0 was at rest and got"):
                idle.rest(crowd, 5, os.getpid(), pings=pings)
        finally:
            crowd.close()
