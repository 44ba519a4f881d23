"""What is logged, line by line: escaped, dated, in a file that survives logrotate and a full disk."""

import errno
import json
import logging
import os
import resource
import signal
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatmail.server.log import OPERATOR, Level, LogFile, line_of, lines_of, object_of
from tests.server.house import NOW

LOGGERS = ("chatmail", OPERATOR, "asyncio")


def record(
    text: str, *args: object, level: int = logging.INFO, fault: BaseException | None = None
) -> logging.LogRecord:
    trace = None if fault is None else (type(fault), fault, fault.__traceback__)
    made = logging.LogRecord("chatmail.server", level, "", 0, text, args, trace)
    made.created = NOW + 0.25
    return made


def fault() -> Exception:
    try:
        int("two\nlines \x1b[1m")
    except ValueError as error:
        error.args = ("two\nlines \x1b[1m",)
        return error
    raise AssertionError


def test_a_record_that_cannot_be_formatted_is_shown_all_the_same() -> None:
    assert [line.text for line in lines_of(record("%d people", "no"))] == ["%d people ('no',)"]


def test_a_record_is_one_line_whatever_it_holds() -> None:
    forged = record("mail server: %s", "no\n2026-11-22T14:02:11.250Z ERROR all is lost\u2028\x1b[2J")
    assert line_of(forged) == (
        r"2026-11-22T14:02:11.250Z INFO mail server: no\n2026-11-22T14:02:11.250Z ERROR all is lost\u2028\x1b[2J"
    )
    traced = line_of(record("a fault", level=logging.ERROR, fault=fault()))
    assert traced.startswith(r"2026-11-22T14:02:11.250Z ERROR a fault\nTraceback (most recent call last):\n  File ")
    assert traced.endswith(r"\nValueError: two\nlines \x1b[1m")
    assert "\n" not in traced


def test_a_record_is_one_object_whatever_it_holds() -> None:
    line = object_of(record('é "%s"', "\n\x1b\u202e", level=logging.WARNING))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2026-11-22T14:02:11.250Z",
        "level": "warning",
        "logger": "chatmail.server",
        "text": r'é "\n\x1b\u202e"',
    }
    trace = json.loads(object_of(record("a fault", fault=fault())))["trace"].split("\n")
    assert (trace[0], trace[-1]) == ("Traceback (most recent call last):", r"lines \x1b[1m")


@pytest.fixture
def level() -> Iterator[Level]:
    before = {name: logging.getLogger(name).level for name in LOGGERS}
    yield Level("info")
    for name, number in before.items():
        logging.getLogger(name).setLevel(number)


@pytest.mark.parametrize(
    ("name", "ours", "operators", "loops"),
    [("debug", 10, 10, 30), ("info", 20, 20, 30), ("warning", 30, 20, 30), ("error", 40, 20, 40)],
)
def test_what_the_operator_asked_for_is_answered_at_any_level(
    level: Level, name: str, ours: int, operators: int, loops: int
) -> None:
    level.set(name)
    assert level.name == name
    assert [logging.getLogger(logger).level for logger in LOGGERS] == [ours, operators, loops]


class File:
    """A log file, and what was reported of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reports: list[str] = []
        self.handler = LogFile(path, logging.LogRecord.getMessage, self.reports.append)

    def log(self, *texts: str) -> None:
        for text in texts:
            self.handler.handle(record(text))

    @property
    def lines(self) -> list[str]:
        return self.path.read_text().splitlines()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[File]:
    file = File(tmp_path / "chat.log")
    yield file
    file.handler.close()
    file.handler.close()  # as logging does once more at the end of the program


def test_a_file_is_private_and_appended_to(file: File) -> None:
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    file.log("one", "é\udc80")
    file.handler.close()
    again = File(file.path)
    again.log("three")
    again.handler.close()
    assert file.lines == ["one", r"é\udc80", "three"]


def test_a_file_that_was_moved_away_is_begun_anew(file: File) -> None:
    file.log("one")
    file.path.rename(file.path.with_suffix(".1"))
    file.log("two")
    file.path.rename(file.path.with_suffix(".2"))
    file.path.touch(0o640)  # as logrotate does with "create"
    file.log("three")
    assert file.lines == ["three"]
    assert file.path.with_suffix(".1").read_text() == "one\n"
    assert file.path.with_suffix(".2").read_text() == "two\n"
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o640
    assert file.reports == []


def test_what_goes_wrong_is_reported_once_and_when_it_is_over(file: File) -> None:
    file.path.unlink()
    file.path.mkdir()
    file.log("one", "two", "three")
    lament = f"LOG_FILE={file.path} gets nothing more: {os.strerror(errno.EISDIR)}"
    assert file.reports == [lament]
    file.path.rmdir()
    file.log("four", "five")
    over = f"LOG_FILE={file.path} can be written again; 3 lines are missing in it"
    assert file.reports == [lament, over]
    assert file.lines == ["four", "five"]
    file.path.unlink()
    file.path.mkdir()
    file.log("six")
    assert file.reports == [lament, over, lament]


@pytest.mark.skipif(sys.platform == "darwin", reason="a limit there is a signal that kills")
def test_a_line_that_was_written_in_part_is_not_gone_on_with(file: File) -> None:
    """A disk does not fill up between two lines."""
    file.log("one")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        file.log("two is too long", "so is three")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    file.log("four")
    assert file.lines == ["one", "two is", "four"]
    assert file.reports[-1].endswith("2 lines are missing in it")


def test_a_fifo_that_nobody_reads_holds_up_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match=os.strerror(errno.ENXIO)):
        File(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    file = File(tmp_path / "fifo")
    file.log(*["x" * 1000] * 200)
    assert os.read(reader, 1 << 20).count(b"\n") > 50
    assert file.reports == [f"LOG_FILE={file.path} gets nothing more: {os.strerror(errno.EAGAIN)}"]
    file.handler.close()
    os.close(reader)
