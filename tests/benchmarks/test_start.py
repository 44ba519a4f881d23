"""Starts and keys are measured, and there are no figures where something does not come to be shown."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from tests.benchmarks import keys, programs, start
from tests.benchmarks.section import Bench
from tests.benchmarks.servers import BenchmarkError
from tests.benchmarks.terminals import Terminal, in_terminal

ONCE = Bench(rounds=1, quick=True, peers=False, server_cpu=None, load_cpu=None)


@contextmanager
def running(program: str) -> Iterator[Terminal]:
    """A program in Python, in a terminal."""
    with in_terminal([sys.executable, "-c", program], Path(), {}, None) as terminal:
        yield terminal


@pytest.mark.slow
def test_the_smallest_measurement_gives_every_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "PAUSES", (0.005, 0.01))
    monkeypatch.setattr(start, "MESSAGES", 200)
    section = start.measure(ONCE)
    found = {row.title: row.values[0] for row in section.rows}
    assert all(value is not None and 0 < value < 10_000 for value in found.values())
    assert [title for title in found if title.endswith(": worst")] == ["key, idle: worst", "key, 200 a second: worst"]
    assert list(found)[:2] == ["new server: it listens", "new server: its prompt"]
    assert len(found) == 13
    assert all(row.goal for row in section.rows)
    assert max(map(len, section.lines())) <= 120


def test_the_time_is_that_of_the_output_that_shows_it() -> None:
    with running("import time; print('soon', flush=True); time.sleep(0.2); print('later'); time.sleep(60)") as terminal:
        soon = terminal.until(lambda: "soon" in terminal.screen, "soon")
        assert terminal.until(lambda: "soon" in terminal.screen, "soon") == soon
        later = terminal.until(lambda: "later" in terminal.screen, "later")
        assert terminal.started < soon < later - 0.19 < time.monotonic()


@pytest.mark.parametrize(
    ("program", "told"),
    [("print('hello'); import time; time.sleep(60)", "does not show a prompt"), ("print('hello')", "ended")],
)
def test_what_does_not_come_to_be_shown_has_no_figure(program: str, told: str) -> None:
    with running(program) as terminal, pytest.raises(BenchmarkError, match=rf"(?s){told}; the screen:.*hello"):
        terminal.until(lambda: terminal.cursor_line == "> ", "a prompt", 0.3)


def test_a_key_that_is_not_shown_has_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "PATIENCE", 0.1)
    swallows = "import sys, termios, time, tty; tty.setraw(0); print('> ', end='', flush=True); time.sleep(60)"
    with running(swallows) as terminal:
        terminal.until(lambda: terminal.cursor_line == programs.INPUT_LINE, "an input line")
        with pytest.raises(BenchmarkError, match="does not show what is typed"):
            keys.type_line(terminal, "ā", Random(1))


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        ("Ann: 1. a|you: ā|Ann: 2. b", None),
        ("Ann: 1. a|you: ā|Ann: 2. Bob: 1. b", None),
        ("Ann: 2. b", "does not show the last message of everybody"),
        ("you: ā|Ann: 2. b", "not all messages of Ann are there, once and in order"),
        ("Ann: 1. a|Ann: 1. a|you: ā|Ann: 2. b", "not all messages of Ann are there, once and in order"),
        ("Ann: 1. a|you: ā|you: ā|Ann: 2. b", "not all messages of you are there, once and in order"),
    ],
)
def test_a_message_that_is_lost_doubled_or_late_fails_the_measurement(
    shown: str, told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "PATIENCE", 0.1)
    rows = [f"12:00 {row}" for row in shown.split("|")]
    with running(f"print(*{rows!a}, 'end', sep='\\n', flush=True); import time; time.sleep(60)") as terminal:
        terminal.until(lambda: "end" in terminal.screen, "the end")
        if told is None:
            keys.check(terminal, {"Ann": 2}, "ā")
        else:
            with pytest.raises(BenchmarkError, match=told):
                keys.check(terminal, {"Ann": 2}, "ā")
