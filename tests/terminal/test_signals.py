"""Signals are plain calls while they are handled, and what they were before and after."""

import asyncio
import signal

from chatmail.terminal.signals import handling


async def test_a_signal_is_a_call_on_the_loop() -> None:
    come = asyncio.Event()
    before = signal.getsignal(signal.SIGTERM)
    with handling({signal.SIGTERM: come.set}):
        signal.raise_signal(signal.SIGTERM)
        await come.wait()
    assert signal.getsignal(signal.SIGTERM) == before


async def test_what_was_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with handling({signal.SIGHUP: asyncio.get_running_loop().stop}):
            signal.raise_signal(signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
