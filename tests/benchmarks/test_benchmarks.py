"""The benchmark works, and has no figures where something is lost."""

import json
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.benchmarks import __main__ as benchmarks
from tests.benchmarks import peers, plot
from tests.benchmarks.servers import SERVERS, Kind

SMALLEST = ["--rounds", "1", "--readers", "3", "--seconds", "0.1"]


def test_the_smallest_benchmark_gives_every_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, picture = tmp_path / "found.json", tmp_path / "picture.svg"
    options = ["--readers", "10", "--senders", "1,2", "--json", str(found), "--plot", str(picture)]
    assert benchmarks.main([*SMALLEST, *options]) == 0
    printed = capsys.readouterr().out
    assert "saturated, 1 to 10\n" in printed
    assert "saturated, 2 of 2 talk\n" in printed
    assert "20 messages a second, 1 to 10\n" in printed
    assert max(map(len, printed.splitlines())) <= 150
    single, both = json.loads(found.read_text())["workloads"]
    assert list(single["outcomes"]) == list(both["outcomes"]) == list(SERVERS)
    for name in SERVERS:
        (outcome,) = single["outcomes"][name]
        assert outcome["saturated"]["deliveries"] == 10 * outcome["saturated"]["messages"] > 1_000
        assert outcome["saturated"]["server_cpu"] > 0
        assert outcome["paced"]["deliveries"] == 20
        assert 0 < outcome["paced"]["p50"] <= outcome["paced"]["p99"] <= outcome["paced"]["worst"]
        (outcome,) = both["outcomes"][name]
        assert outcome["saturated"]["deliveries"] == outcome["saturated"]["messages"] > 100
        assert outcome["paced"] is None
    assert ET.parse(picture).findall("{*}polyline")


@pytest.mark.slow
@pytest.mark.parametrize("name", peers.PEERS)
def test_each_peer_that_is_installed_gives_figures(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is said and heard is what the real server understands and says, one talking, some, and all."""
    found = tmp_path / "found.json"
    # The joins take longest: where all talk, as many talk as one can; where some do, the rest hears all in one order.
    status = benchmarks.main([*SMALLEST, "--senders", "1,2:4,3", "--only", name, "--json", str(found)])
    captured = capsys.readouterr()
    if f"without {name}: " in captured.err:
        pytest.skip(captured.err.strip())
    assert status == 0, captured.err
    for workload in json.loads(found.read_text())["workloads"]:
        (outcome,) = workload["outcomes"][name]
        assert outcome["saturated"]["deliveries"] == (workload["people"] - 1) * outcome["saturated"]["messages"] > 100
        assert (outcome["paced"] is None) == (workload["senders"] > 1)


def test_a_peer_that_is_not_here_is_told_and_left_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(peers.PEERS, "redis", peers.PEERS["redis"]._replace(command=("no-such-server",)))
    assert benchmarks.main([*SMALLEST, "--only", "redis"]) == 1
    assert capsys.readouterr().err == "without redis: no-such-server is not installed\n"


def test_a_peer_that_fails_has_no_figures_and_fails_the_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(peers.PEERS, "threaded", Kind(("sh", "-c", "echo no; exit 3")))
    assert benchmarks.main([*SMALLEST, "--only", "threaded", "--senders", "1"]) == 1
    captured = capsys.readouterr()
    assert "  deliveries a second               -\n" in captured.out
    assert "no figures: threaded ended before it listened; its last words:\n  no" in captured.err


@pytest.mark.parametrize("senders", ["1", "3"])
def test_a_lost_delivery_fails_the_run(
    senders: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    textbook = Path(SERVERS["naive"].command[1]).read_text()
    lossy = textbook.replace("client.write(", "'\"m70\"' in message and client is clients[2] or client.write(")
    assert lossy != textbook
    (tmp_path / "lossy.py").write_text(lossy)
    kind = SERVERS["naive"]
    monkeypatch.setitem(SERVERS, "naive", kind._replace(command=(kind.command[0], str(tmp_path / "lossy.py"))))
    monkeypatch.setattr(benchmarks, "PATIENCE", 10 if senders == "1" else 0.5)
    assert benchmarks.main([*SMALLEST, "--only", "naive", "--senders", senders]) == 1
    captured = capsys.readouterr()
    assert not captured.out
    expected = "got something else than others" if senders == "1" else "out of patience"
    assert expected in captured.err


def test_a_server_that_does_not_start_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmarks.main([*SMALLEST, "--only", "chatmail", "--set", "HISTORY=many"]) == 1
    assert "chatmail ended before it listened; its last words:" in capsys.readouterr().err


@pytest.mark.parametrize("crowd", ["0", "3:2", "1000", "many"])
def test_a_crowd_that_cannot_be_is_refused(crowd: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        benchmarks.main(["--senders", crowd])
    assert "--senders" in capsys.readouterr().err


def test_names_at_the_end_of_lines_never_stand_on_one_another() -> None:
    places = plot.spread({"a": 100, "b": 101, "c": 99, "d": 395}, 50, 400)
    ordered = sorted(places.values())
    assert all(after - before >= plot.LABEL_HEIGHT for before, after in pairwise(ordered))
    assert places["c"] < places["a"] < places["b"] < places["d"] <= 400
