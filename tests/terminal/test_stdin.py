"""Lines come from whatever standard input is, and hold up nothing."""

import os
from contextlib import aclosing
from pathlib import Path

import pytest

from chatmail.terminal.stdin import LINE_MAX, read_lines


async def test_a_line_without_an_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "long"
    path.write_bytes(b"x" * (3 * LINE_MAX) + b"\nnext\n")
    with path.open("rb") as file:
        lines = [line async for line in read_lines(file.fileno())]
    assert len(lines[0]) < 2 * LINE_MAX
    assert lines[1] == "next"


async def test_a_broken_input_is_an_error(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(IsADirectoryError):
            [line async for line in read_lines(folder)]
    finally:
        os.close(folder)


async def test_what_is_not_wanted_any_more_is_left_unread() -> None:
    reading, writing = os.pipe()
    try:
        os.write(writing, b"one\ntwo\n")
        async with aclosing(read_lines(reading)) as lines:
            assert await anext(lines) == "one"
        os.write(writing, b"three\n")
        assert os.read(reading, 100) == b"three\n"  # the thread ended; it would have been faster
    finally:
        os.close(reading)
        os.close(writing)
