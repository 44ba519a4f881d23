"""The benchmark works, and has no figures where something is lost."""

import json
from pathlib import Path

import pytest

from tests.benchmarks import __main__ as benchmarks
from tests.benchmarks.load import Echo, LoadError, check_echo, say
from tests.benchmarks.servers import SERVERS, Kind

SMALLEST = ["--rounds", "1", "--readers", "10", "--seconds", "0.2"]


def echo(number: int, seq: int) -> bytes:
    return json.dumps(json.loads(say(number)) | {"type": "message", "seq": seq}).encode() + b"\n"


def test_the_smallest_benchmark_gives_every_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmarks.main([*SMALLEST, "--json", str(tmp_path / "found.json")]) == 0
    printed = capsys.readouterr().out
    assert "saturated, 1 to 10\n" in printed
    assert "20 messages a second, 1 to 10\n" in printed
    found = json.loads((tmp_path / "found.json").read_text())["rounds"]["10"]
    for name in SERVERS:
        (outcome,) = found[name]
        assert outcome["saturated"]["deliveries"] == 10 * outcome["saturated"]["messages"] > 10_000
        assert outcome["saturated"]["server_cpu"] > 0
        assert outcome["paced"]["deliveries"] == 40
        assert 0 < outcome["p50"] <= outcome["p99"] <= outcome["worst"]


def test_a_lost_delivery_fails_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    textbook = Path(SERVERS["naive"].command[1]).read_text()
    lossy = textbook.replace("client.write(", "'\"m70\"' in message and client is clients[7] or client.write(")
    assert lossy != textbook
    (tmp_path / "lossy.py").write_text(lossy)
    monkeypatch.setitem(SERVERS, "naive", Kind((SERVERS["naive"].command[0], str(tmp_path / "lossy.py"))))
    assert benchmarks.main([*SMALLEST, "--only", "naive"]) == 1
    captured = capsys.readouterr()
    assert not captured.out
    assert "connection 7 got something else than the sender" in captured.err


def test_a_server_that_does_not_start_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert benchmarks.main([*SMALLEST, "--only", "chatmail", "--set", "HISTORY=many"]) == 1
    assert "chatmail ended before it listened; its last words:" in capsys.readouterr().err


@pytest.mark.parametrize(
    "lines",
    [
        [echo(5, 9), echo(7, 10)],
        [echo(5, 9), echo(6, 11)],
        [echo(5, 9)],
        [echo(5, 9), b'{"type":"gap","missed":1}\n'],
        [echo(5, 9), echo(6, 10), echo(6, 10)],
    ],
    ids=["lost", "a number left out", "one less", "a gap", "twice"],
)
def test_the_senders_stream_is_held_to_every_message_and_number(lines: list[bytes]) -> None:
    check_echo(echo(5, 9) + echo(6, 10), first=5, end=7, last=8)
    with pytest.raises(LoadError):
        check_echo(b"".join(lines), first=5, end=7, last=8)


def test_a_reader_is_held_to_the_senders_bytes() -> None:
    line, other = bytearray(echo(5, 9)), bytearray(b'{"type":"gap","missed":1}\n')
    heard = Echo(2)
    heard.hear(0, line, len(line))
    heard.hear(1, line, len(line))
    assert heard.everywhere()
    heard.hear(0, line, len(line))
    with pytest.raises(LoadError, match="missed"):
        heard.hear(1, other, len(other))


def test_a_reader_that_hears_it_before_the_sender_is_held_to_it_later() -> None:
    line, other = bytearray(echo(5, 9)), bytearray(echo(5, 8))
    heard = Echo(3)
    heard.hear(1, line, len(line))
    assert not heard.everywhere()
    heard.hear(0, line, len(line))
    heard.check_the_rest()
    heard.hear(2, other + line, len(other + line))
    heard.hear(0, line, len(line))
    with pytest.raises(LoadError, match="connection 2"):
        heard.check_the_rest()
