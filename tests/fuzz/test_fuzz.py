"""The fuzz targets, without a fuzzer: every seed of the corpus, and what hypothesis makes of frames and of bytes."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prompt_toolkit.history import InMemoryHistory

from chatmail.client.prompt import Chat
from chatmail.client.timeline import Timeline
from chatmail.core import wire
from tests.client.scripted import scripted
from tests.core.frames import FROM_CLIENTS, FROM_SERVERS
from tests.core.strategies import frames
from tests.fuzz import targets
from tests.fuzz.mutator import HOSTILE, mutate
from tests.terminal.screen import at_terminal

CORPUS = Path(__file__).parent / "corpus"
SEEDS = sorted(path.relative_to(CORPUS) for path in CORPUS.glob("*/*"))
FOR_SERVERS, FOR_CLIENTS = ([line.encode() for _, line in lines] for lines in (FROM_CLIENTS, FROM_SERVERS))

readable = [char for char in HOSTILE if char != "\ud800"]  # what no frame can hold
texts = st.one_of(
    st.text(max_size=20),
    st.text(st.sampled_from([char for char in readable if len(char) == 1]), max_size=12),
    st.lists(st.sampled_from(readable), max_size=6).map("".join),
    st.sampled_from(["John", "you", "p-1", "p-2", "p-3", "p-4", "look-1", "look-2", "wrong-code", "not-joined"]),
)
"""What others may write to do harm."""
lines = frames(wire.ServerFrame, texts).map(wire.encode)
broken = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([*FOR_SERVERS, *FOR_CLIENTS, b"", b"\r", b"[" * 2000, b"x" * 100]),
    st.builds(
        lambda line, at, by: line[: at % len(line)] + by + line[at % len(line) + 1 :],
        st.sampled_from([*FOR_SERVERS, *FOR_CLIENTS]) | lines,
        st.integers(0, 999),
        st.binary(max_size=3),
    ),
)
"""Lines that are no frames, and some that nearly are."""


@pytest.mark.parametrize("seed", SEEDS, ids=str)
@pytest.mark.parametrize("target", [targets.decode, targets.render])
def test_every_seed_keeps_what_the_targets_promise(target: Callable[[bytes], None], seed: Path) -> None:
    target((CORPUS / seed).read_bytes())


@settings(deadline=None, max_examples=150)
@given(st.lists(lines, max_size=8).map(b"".join))
def test_any_frames_of_a_server_are_rendered_harmlessly(data: bytes) -> None:
    targets.render(data)


@settings(deadline=None, max_examples=100)
@given(st.lists(lines | broken, max_size=6).map(b"\n".join))
def test_any_bytes_of_a_server_are_rendered_harmlessly(data: bytes) -> None:
    targets.render(data)


@settings(deadline=None, max_examples=100)
@given(st.lists(lines | frames(wire.ClientFrame, texts).map(wire.encode) | broken, max_size=6).map(b"\n".join))
def test_any_bytes_are_decoded_the_same_however_they_are_cut(data: bytes) -> None:
    targets.decode(data)


@pytest.mark.parametrize("size", [wire.LINE_MAX, wire.LINE_MAX + 1, targets.WHOLE_LIMIT + 2])
@pytest.mark.parametrize("target", [targets.decode, targets.render])
def test_lines_too_long_for_a_seed(target: Callable[[bytes], None], size: int) -> None:
    line = b'{"type":"bye","reason":"%s","retry":true}'
    target(line % (b"x" * (size - len(line) + 2)) + b"\n")
    target(b"[" * size + b"\n")


@pytest.mark.parametrize(
    "shown",
    [
        "14:02 Mary: \x1b[2J", "-- \x9b", "-- a\u202eb", "-- \u200b", "-- a\ufe0f\ufe0f", "-- 👩\u200d", "-- \ud800",
        "-- \u3164", "-- a\rb", "-- e" + "\u0301" * 7, "Mary: hi", "", "-- hi\n14:03 Bob: hi", "-- hi\n!! hi",
        "-- hi\n", "-- hi\n -- hi",
    ],
)  # fmt: skip
def test_the_check_itself_finds_what_is_harmful(shown: str) -> None:
    """A target that finds nothing would promise nothing."""
    with pytest.raises(AssertionError):
        targets.check_rows(shown)


def test_the_check_lets_pass_what_is_ours() -> None:
    targets.check_rows("14:02 Žofie: 千代子 👍\n│ 👨‍👩‍👧‍👦 ❤️‍🔥 1️⃣ e\u0301 \u0903")
    targets.check_rows("-- you are in\n!! Be kind\n│ -- and brief", motd=True)


def test_mutations_are_the_same_for_the_same_seed_and_never_too_long() -> None:
    def reverse(data: bytes, most: int) -> bytes:
        return data[::-1][:most]

    data = b"\n".join(FOR_CLIENTS)
    kinds = set()
    for seed in range(300):
        mutated = mutate(data, 4096, seed, reverse)
        assert mutated == mutate(data, 4096, seed, reverse)
        assert len(mutated) <= 4096
        kinds.add(mutated)
        assert len(mutate(b"", 10, seed, reverse)) <= 10
    assert len(kinds) > 100


def test_a_frame_may_be_nested_as_deep_as_json_goes() -> None:
    for depth in (500, 5_000):
        deep = b'{"type":"say","x":' + b"[" * depth + b"]" * depth + b"}"
        for seed in range(100):
            assert isinstance(mutate(deep, 20_000, seed, lambda data, _: data), bytes)


ACROSS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x07|\x08|\r")
"""What prompt-toolkit sends to draw an input line: styles and moves of the cursor."""


DRIVING = ["bidi", "c1-controls", "combining-marks", "escape-sequences", "line-separators", "zero-width"]
FORGING = ["lines-that-look-like-others", "large-room", "long-words-and-names", "total-grows-too-long-to-be-written"]


@pytest.mark.parametrize("seed", [*DRIVING, *FORGING])
async def test_nothing_harmful_reaches_the_terminal_of_a_whole_client(seed: str) -> None:
    """Over a socket, with the input line, what stands below it, and completion."""
    async with asyncio.timeout(10), at_terminal() as terminal, scripted() as server, asyncio.TaskGroup() as tasks:
        chat = Chat(
            server.address, targets.ME, "john@example.org", Timeline(targets.ME, "p"), history=InMemoryHistory()
        )
        tasks.create_task(chat.run())
        visit = await server.visit()
        await visit.expect(wire.Join)
        visit.send_raw(targets.WELCOME)
        await terminal.until(lambda: chat.connection.joined and ">" in terminal.text)
        lines = (CORPUS / "render" / seed).read_bytes().splitlines(keepends=True)
        visit.send_raw(b"".join(line for line in lines if b'"bye"' not in line))
        visit.send(wire.Error(code="", text="that was all"))
        await terminal.until(lambda: "that was all" in terminal.text or not chat.connection.joined)
        terminal.type("/r ")
        await terminal.shows("> /")
        terminal.type("\x15/dm \t\t")  # Ctrl-U, and the names
        await terminal.shows("> /dm")
        chat.connection.leave()
        visit.cut()
    assert targets.harmful(ACROSS.sub("", terminal.raw)) == ""
