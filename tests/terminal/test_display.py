"""Lines come above the prompt, in order, and what is half typed stays as it is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager

import pytest
from prompt_toolkit import PromptSession
from prompt_toolkit.input import PipeInput

from chatmail.terminal.display import BATCH, Display
from chatmail.terminal.text import Line
from tests.terminal.screen import Terminal, at_terminal

ASKS_WHERE = "\x1b[6n"
"""Is written once after lines, to find out where the prompt is now."""


@asynccontextmanager
async def prompting(display: Display) -> AsyncIterator[tuple[Terminal, list[str]]]:
    """A prompt that comes again and again, and the lines that were typed in it."""
    typed: list[str] = []
    async with asyncio.timeout(10), at_terminal() as terminal, asyncio.TaskGroup() as tasks:
        session: PromptSession[str] = PromptSession("> ")

        async def prompt() -> None:
            with display.above(session):
                while True:
                    typed.append(await session.prompt_async(handle_sigint=False, set_exception_handler=False))

        running = tasks.create_task(prompt())
        await terminal.shows(">")
        yield terminal, typed
        running.cancel()


async def test_without_a_prompt_a_line_is_written_at_once() -> None:
    async with at_terminal() as terminal:
        Display({}).show([("", "hello")])
        assert terminal.text == "hello"


async def test_a_burst_loses_and_disorders_nothing_and_leaves_the_line_that_is_typed() -> None:
    display, shown = Display({}), list[int]()
    async with prompting(display) as (terminal, typed):
        keys = "half a line"
        for number in range(3 * BATCH):
            display.show([("", f"number {number}")], then=lambda n=number: shown.append(n))  # type: ignore[misc]
            if number % 100 == 0 and keys:
                terminal.type(keys[0])
                keys = keys[1:]
                await asyncio.sleep(0)
        await terminal.shows(f"number {3 * BATCH - 1}\n> half a line")
        assert shown == list(range(3 * BATCH))
        terminal.type("\r")
        await terminal.until(lambda: typed == ["half a line"])


async def test_what_comes_soon_after_a_line_is_written_later_and_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many lines a second come in, keys find the prompt in its place."""
    monkeypatch.setattr("chatmail.terminal.display.FRAME", 3_600)
    display = Display({})
    async with prompting(display) as (terminal, _):
        display.show([("", "alone")])
        await terminal.shows("alone\n>")
        for number in range(1, 21):
            display.show([("", f"number {number}")])
            terminal.type("x")
            await terminal.shows(f"alone\n> {'x' * number}")
        assert terminal.raw.count(ASKS_WHERE) == 2  # at the beginning, and after the line
    assert "number 19\nnumber 20" in terminal.text


async def test_the_terminal_never_gets_its_echo_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is typed while lines are written must not be seen where it falls."""

    def cooked(_: PipeInput) -> AbstractContextManager[None]:
        raise AssertionError

    monkeypatch.setattr(PipeInput, "cooked_mode", cooked)
    monkeypatch.setattr(PipeInput, "detach", cooked)
    display = Display({})
    async with prompting(display) as (terminal, _):
        display.show([("", "hello")])
        await terminal.shows("hello\n>")


async def test_lines_of_other_threads_come_above_the_prompt() -> None:
    display = Display({})
    async with prompting(display) as (terminal, _):
        await asyncio.to_thread(display.show, [("", "from afar")])
        await terminal.shows("from afar\n>")


async def test_the_bell_rings_when_it_shall() -> None:
    display = Display({})
    async with prompting(display) as (terminal, _):
        display.show([("", "quiet")])
        await terminal.shows("quiet\n>")
        assert "\a" not in terminal.raw
        display.show([("", "loud")], ring=True)
        await terminal.shows("loud\n>")
        assert terminal.raw.count("\a") == 1


async def test_a_line_hangs_below_its_head() -> None:
    async with at_terminal() as terminal:
        Display({}).show([("class:head", "12:00 "), ("", "x " * 40)], hang=6)
        assert terminal.lines[1].startswith("      │ x")


async def test_a_line_knows_where_it_hangs() -> None:
    async with at_terminal() as terminal:
        Display({}).show(Line([("", "x " * 40)], [("", "12:00 ")], [("", "Mary: ")]))
        assert terminal.lines[1].startswith("            │ x")


async def test_a_terminal_without_unicode_gets_stand_ins_and_no_garbage() -> None:
    async with at_terminal("ascii") as terminal:
        Display({}).show([("", "you → Mary: 漢 " + "x" * 80)])
        assert terminal.lines[0].startswith("you -> Mary: ")
        assert terminal.lines[1].startswith("| xxx")


async def test_the_desktop_gets_the_last_notice_of_many() -> None:
    async with at_terminal() as terminal:
        display = Display({}, notices="osc9")
        display.show([("", "one")])
        assert "\x1b]9" not in terminal.raw
    async with prompting(display := Display({}, notices="osc9")) as (terminal, _):
        display.show([("", "one")], notice="first")
        display.show([("", "two")], notice="second")
        await terminal.shows("two\n>")
        assert "first" not in terminal.raw
        assert "\x1b]9;second\x07" in terminal.raw


async def test_a_terminal_that_is_gone_is_told_once_for_all_that_waits() -> None:
    gone: list[None] = []
    display = Display({}, gone=lambda: gone.append(None))
    async with at_terminal() as terminal:
        terminal.gone = True
        display.show([("", "hello")], then=lambda: pytest.fail("nobody saw it"))
        assert len(gone) == 1


async def test_what_waits_at_the_end_of_the_prompt_is_written_all_the_same() -> None:
    display = Display({})
    async with prompting(display) as (terminal, _):
        display.show([("", "last words")])
    assert "last words" in terminal.text
