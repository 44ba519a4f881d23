"""The benchmark of mails works, and has no figures where a mail is lost."""

import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.benchmarks import postman
from tests.benchmarks.mailing import Security
from tests.benchmarks.peers import which
from tests.benchmarks.section import Bench
from tests.benchmarks.servers import BenchmarkError

BENCH = Bench(rounds=1, quick=True, peers=True, server_cpu=None, load_cpu=None)
MAILS = 5


@pytest.fixture
def task(tmp_path: Path) -> postman.Task:
    postman._prepare(tmp_path, MAILS)
    return postman.Task(MAILS, "none", tmp_path, BENCH)


@pytest.mark.slow
def test_every_way_to_mail_gives_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postman, "QUICK", 60)
    section = postman.measure(BENCH)
    assert section.columns == postman.COLUMNS
    plain, with_tls = (row for row in section.rows if row.title.startswith("60 mails"))
    without = which("smtp-source") is None
    assert [value is None for value in plain.values] == [False, False, False, without, without]
    assert [value is None for value in with_tls.values] == [False, False, False, True, True]
    assert max(map(len, section.lines())) <= 150


@pytest.mark.slow
def test_where_smtp_source_is_not_installed_the_others_have_figures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(postman, "QUICK", 3)
    monkeypatch.setattr(postman, "which", lambda program: None)
    plain = postman.measure(BENCH).rows[0]
    assert [value is None for value in plain.values] == [False, False, False, True, True]
    assert "without smtp-source: it is not installed" in capsys.readouterr().err


@pytest.mark.parametrize("security", ["none", "tls"])
def test_the_sink_takes_mails_in_any_pieces_and_tells_to_whom_they_were(task: postman.Task, security: Security) -> None:
    with (
        postman.sinking(task._replace(security=security)) as sink,
        socket.create_connection(("127.0.0.1", sink.port), timeout=10) as plain,
    ):
        context = ssl.create_default_context(cafile=str(task.folder / "authority.pem"))
        client = plain if security == "none" else context.wrap_socket(plain, server_hostname="127.0.0.1")
        heard = client.makefile("rb")
        assert heard.readline().startswith(b"220 ")
        client.sendall(b"EHLO x\r\n")
        assert b"250-PIPELINING\r\n" in [heard.readline() for _ in range(3)]
        for number in range(MAILS):
            client.sendall(b"MAIL FROM:<a@x.org>\r\nRCPT TO:<%d@x.org>\r\nDATA\r\n" % number)
            assert [heard.readline()[:3] for _ in range(3)] == [b"250", b"250", b"354"]
            for piece in (b"Subject: x\r\n\r\nRCPT TO:<no@x.org>\r", b"\n..\r\n.", b"\r\n"):
                client.sendall(piece)
            assert heard.readline().startswith(b"250 ")
        sink.full()
        client.sendall(b"QUIT\r\n")
        assert heard.readline().startswith(b"221 ")
        assert sink.addresses() == [f"{number}@x.org" for number in range(MAILS)]
        heard.close()
        client.close()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda found: found[1:], "4 mails came, 0 of them twice, and 1 did not"),
        (lambda found: [*found, found[0]], "6 mails came, 1 of them twice, and 0 did not"),
        (lambda found: [*found[1:], "eve@x.org"], "5 mails came, 0 of them twice, and 1 did not"),
    ],
    ids=["lost", "doubled", "for somebody else"],
)
def test_a_mail_that_is_lost_doubled_or_for_somebody_else_fails_the_run(
    task: postman.Task, monkeypatch: pytest.MonkeyPatch, change: Callable[[list[str]], list[str]], why: str
) -> None:
    addresses = postman.Sink.addresses
    monkeypatch.setattr(postman.Sink, "addresses", lambda sink: change(addresses(sink)))
    with pytest.raises(BenchmarkError, match=why):
        postman.handed_over(task, "mailer")


def test_mails_that_do_not_come_fail_the_run(task: postman.Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postman, "PATIENCE", 0.1)
    with (
        pytest.raises(BenchmarkError, match="the sink waits for mails that do not come"),
        postman.sinking(task) as sink,
    ):
        sink.full()
