"""Servers that share a Redis are measured, and what does not come to everybody at each of them gives no figures."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.benchmarks import nodes
from tests.benchmarks.crowd import Crowd
from tests.benchmarks.load import Plan, mark
from tests.benchmarks.section import Bench
from tests.benchmarks.servers import SERVERS, BenchmarkError, serving
from tests.benchmarks.tally import LoadError
from tests.benchmarks.test_tally import delivered
from tests.redisserver import needs_redis

BENCH = Bench(1, True, False, None, None)
SMALLEST = nodes.Size(talkers=4, readers=5, window=16, flood=0.1, steady=0.1, rounds=1)
ALONE = {"latency, other server: p50, ms", "latency, other server: p99, ms"} | {
    f"{how}: CPU/entry followed, µs" for how in ("a flood", "singly")
}
"""What one server has no figures of."""
OF_REDIS = {"Redis CPU/message, µs", "a flood: Redis CPU/entry, µs", "singly: Redis CPU/entry, µs"}


@needs_redis
@pytest.mark.slow
def test_the_smallest_work_gives_every_figure() -> None:
    """One server has no other; and one without Redis has none."""
    section = nodes.measure(BENCH, SMALLEST)
    rows = {row.title: row.values for row in section.rows}
    assert section.title == "nodes: 4 of 9 people talk"
    assert len(rows) == len(nodes.FIGURES)
    for place, absent in enumerate((ALONE | OF_REDIS, ALONE, set(), set())):
        assert {title for title, values in rows.items() if values[place] is None} == absent
        found = {title: values[place] or 0 for title, values in rows.items()}
        assert found["deliveries a second"] == pytest.approx(8 * found["messages a second"])
        assert found["the same, a CPU each, at most"] > found["deliveries a second"] / 4 > 100
        assert 0 < found["latency, same server: p50, ms"] <= found["latency, same server: p99, ms"] < 20_000
        assert all(0 < value < 20_000_000 for title, value in found.items() if title not in absent)
    assert max(map(len, section.lines())) <= 120


def test_without_redis_there_is_one_server_to_measure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "which", lambda _: None)
    section = nodes.measure(BENCH, SMALLEST)
    assert list(section.columns) == ["SQLite"]
    assert {row.title for row in section.rows if row.values[0] is None} == ALONE | OF_REDIS
    assert "without redis: redis-server is not installed\n" in capsys.readouterr().err


@needs_redis
def test_a_server_that_does_not_start_is_told() -> None:
    bench = BENCH._replace(settings={"HISTORY": "many"})
    with pytest.raises(BenchmarkError, match="server 1 ended before it listened; its last words:"):
        nodes.measure(bench, SMALLEST, {"two on Redis": 2})


def test_servers_that_do_not_share_what_is_said_give_no_figures() -> None:
    kind = SERVERS["in memory"]
    with ExitStack() as stack:
        servers = [stack.enter_context(serving(name, kind, {}, None)) for name in ("one", "two")]
        ports = [server.port() for server in servers]
        plan = Plan(ports[0], servers[0].pid, "chat", True, 4, 2, 4, 8, 0.1, 0.1, 20, 0.5)
        crowd = Crowd(ports[0], "chat", plan.people, plan.senders, plan.door, others=ports[1:])
        stack.callback(crowd.close)
        with pytest.raises(LoadError, match="2 of 4 have not got message 0"):
            nodes.with_a_crowd(crowd, plan, nodes.House(ports, [server.pid for server in servers], None))


@contextmanager
def at_two_servers() -> Iterator[tuple[Crowd, list[socket.socket]]]:
    """Two who are in, each at a server of their own, and the servers' ends of their connections."""
    with ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        ends: list[socket.socket] = []

        def welcome() -> None:
            for server in servers:
                ends.append(stack.enter_context(server.accept()[0]))
                ends[-1].sendall(b'{"type":"welcome"}\n')

        one, other = (int(server.getsockname()[1]) for server in servers)
        crowd = Crowd(one, "chat", 2, 1, 2, others=[other])
        stack.callback(crowd.close)
        welcoming = threading.Thread(target=welcome)
        welcoming.start()
        crowd.join(5)
        welcoming.join()
        yield crowd, ends


@pytest.mark.parametrize("number", [7, 8])
def test_a_message_has_the_same_number_at_every_server(number: int) -> None:
    with at_two_servers() as (crowd, ends):
        ends[0].sendall(delivered("chat", 0, seq=7))
        ends[1].sendall(delivered("chat", 0, seq=number))
        if number == 7:
            assert mark(crowd, 5) == 7
        else:
            with pytest.raises(LoadError, match="where message"):
                mark(crowd, 5)


def test_processor_time_is_told_since_it_was_read_last() -> None:
    meter = nodes.Meter(nodes.House([0], [os.getpid()], os.getpid()))
    before = time.process_time()
    while time.process_time() < before + 0.02:
        pass
    [server], [redis] = meter.read()
    assert min(server, redis) >= 0.02
    [server], _ = meter.read()
    assert server < 0.02
