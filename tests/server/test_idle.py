"""People who have joined and say nothing: how little this server keeps for each of them."""

import asyncio
import gc
import tracemalloc
from pathlib import Path

import chatmail
from chatmail.core.limits import Limits, Rate
from tests.peer import peers
from tests.server.pressure import house

PEOPLE = 100
EACH = 3_500
"""Bytes of ours for each of them, who has given a sign of life: they need 2,670, with Python 3.11 a ninth more, and of
that 400 are in caches of names, which are bounded; where such a cache has names of other tests and grows just then, it
is 370 more. What asyncio keeps besides is not ours to say."""
SOURCE = Path(chatmail.__file__).parent
OURS = [tracemalloc.Filter(True, f"{SOURCE}/core/*"), tracemalloc.Filter(True, f"{SOURCE}/server/*")]
THEIRS = tracemalloc.Filter(False, f"{SOURCE}/core/decoder.py")
"""What it decoded are the frames that the peers keep."""


def held() -> int:
    """How many bytes there are that were asked for by a line of the server's."""
    gc.collect()
    snapshot = tracemalloc.take_snapshot().filter_traces(OURS).filter_traces([THEIRS])
    return sum(trace.size for trace in snapshot.traces)


async def test_who_says_nothing_costs_little_memory(tmp_path: Path) -> None:
    """Not much more than a coroutine, a session, an account and their names; no queues, no copies, no last words."""
    asyncio.get_running_loop().set_debug(False)  # it would keep where each coroutine was made
    async with house(tmp_path, Limits(presence_max=1), Rate(1_000, 1_000)) as h, peers(h.port, "John") as (john,):
        tracemalloc.start()
        try:
            before = held()
            async with peers(h.port, *(f"Idle{at}" for at in range(PEOPLE))):
                await john.sync()
                assert held() - before < PEOPLE * EACH
        finally:
            tracemalloc.stop()
