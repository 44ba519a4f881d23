"""What a network does to a connection, done to one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.faultproxy import FaultProxy
from tests.peer import PATIENCE

LONG = b"x" * 1_000_000 + b"\n"


@asynccontextmanager
async def echo() -> AsyncIterator[FaultProxy]:
    """A way to a server that says everything again."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with asyncio.timeout(PATIENCE), server, FaultProxy(server.sockets[0].getsockname()[1]) as way:
        yield way


async def connect(way: FaultProxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", way.port, limit=1 << 21)


async def test_everything_passes() -> None:
    async with echo() as way:
        reader, writer = await connect(way)
        for line in (b"hello\n", LONG):
            writer.write(line)
            assert await reader.readline() == line
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()


async def test_what_is_cut_is_reset_and_refused_until_it_is_mended() -> None:
    async with echo() as way:
        reader, writer = await connect(way)
        writer.write(b"hello\n")
        assert await reader.readline() == b"hello\n"
        way.cut()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await connect(way)
        await way.mend()
        reader, writer = await connect(way)
        writer.write(b"again\n")
        assert await reader.readline() == b"again\n"
        writer.close()


async def test_where_it_is_silent_all_waits_and_comes_when_it_is_mended() -> None:
    async with echo() as way:
        old, new = await connect(way), None
        old[1].write(b"hello\n")
        assert await old[0].readline() == b"hello\n"
        way.fall_silent()
        new = await connect(way)
        hearing = [asyncio.create_task(reader.readline()) for reader, _ in (old, new)]
        for _, writer in (old, new):
            writer.write(b"anybody?\n")
            await writer.drain()
        other = await connect(way)  # whatever passes has had the time that this takes
        assert not any(task.done() for task in hearing)
        await way.mend()
        assert await asyncio.gather(*hearing) == [b"anybody?\n"] * 2
        for _, writer in (old, new, other):
            writer.close()


async def test_where_the_server_is_gone_the_way_ends() -> None:
    async with FaultProxy(1) as way:
        reader, writer = await connect(way)
        assert await reader.read() == b""
        writer.close()
