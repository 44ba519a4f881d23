"""A pipe that nobody reads any more is noticed while nothing is written into it."""

import asyncio
import io
import os
from pathlib import Path

from chatmail.terminal.stdout import watching


async def test_the_end_of_the_reader_is_noticed_at_once() -> None:
    reading, writing = os.pipe()
    gone = asyncio.Event()
    with os.fdopen(writing, "w") as stream, watching(stream, gone.set):
        stream.write("x")
        stream.flush()
        assert not gone.is_set()
        os.close(reading)
        async with asyncio.timeout(5):
            await gone.wait()


async def test_what_is_no_pipe_is_let_alone(tmp_path: Path) -> None:
    def never() -> None:
        raise AssertionError

    with (tmp_path / "file").open("w") as file:
        closed = (tmp_path / "other").open("w")
        closed.close()
        for stream in (None, file, closed, io.StringIO()):
            with watching(stream, never):
                await asyncio.sleep(0)
