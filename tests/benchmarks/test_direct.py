"""Direct messages are measured, and one that goes astray gives no figures."""

from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.benchmarks import direct
from tests.benchmarks.private import Among, Directs
from tests.benchmarks.section import Bench
from tests.benchmarks.tally import LoadError
from tests.benchmarks.test_tally import delivered
from tests.benchmarks.wires import TEXT

BENCH = Bench(1, True, False, None, None)


@pytest.mark.slow
def test_the_smallest_direct_work_gives_every_figure() -> None:
    """Both of our servers deliver both kinds of message, and a direct message costs something."""
    section = direct.measure(BENCH, direct.Size(people=6, talkers=2, mailed=2, window=32, seconds=0.2))
    rows = {row.title: row.values for row in section.rows}
    assert section.title == "direct: 2 of 6 talk, half are DMs"
    for place, _ in enumerate(section.columns):
        alone, among, kept, directs, cpu, busy, _ = (values[place] or 0 for values in rows.values())
        assert min(alone, among) > 100  # which is more, so short a time does not say
        assert kept == pytest.approx(100 * among / alone)
        assert directs == among
        assert cpu > 0
        assert busy > 10


def dm(author: int, reader: int, number: int, seq: int, text_of: int | None = None) -> bytes:
    text = (TEXT % (author if text_of is None else text_of, 0) % number).decode()
    return (
        f'{{"type":"direct","seq":{seq},"time":"2026-01-01T00:00:00Z","from":"reader{author}","to":"reader{reader}",'
        f'"text":"{text}","id":"d{number}"}}\n'
    ).encode()


def receipt(reader: int, number: int, seq: int, mail: str = "off") -> bytes:
    return (
        f'{{"type":"receipt","id":"d{number}","seq":{seq},"to":"reader{reader}","online":true,"mail":"{mail}"}}\n'
    ).encode()


FROM_0_TO_1 = dm(0, 1, 0, seq=2)
HEARD = {0: [FROM_0_TO_1, receipt(1, 0, 2)], 1: [FROM_0_TO_1], 2: []}
"""What three people hear of their own, when the first has said something to the second."""


def directs(mailed: tuple[int, ...] = ()) -> Directs:
    """One from person 0 to person 1."""
    said = Directs(cast("Any", SimpleNamespace(mouths=[])), mailed, Random(0))
    said.pairs.append((0, 1))
    return said


def test_a_direct_message_comes_to_both_ends_and_is_receipted() -> None:
    """Its number is one that others miss."""
    assert directs().check(HEARD) == {2}
    mailed = [FROM_0_TO_1, receipt(1, 0, 2, "queued"), receipt(1, 0, 2, "saved")]
    assert directs((1,)).check(HEARD | {0: mailed}) == {2}


ASTRAY: dict[str, tuple[dict[int, list[bytes]], str]] = {
    "lost at its reader": ({1: []}, "came .1, 0. times"),
    "lost at its author": ({0: [receipt(1, 0, 2)]}, "came .0, 1. times"),
    "doubled": ({1: [FROM_0_TO_1, FROM_0_TO_1]}, "came as"),
    "doubled with another number": ({1: [FROM_0_TO_1, dm(0, 1, 0, seq=3)]}, "came as"),
    "shown to somebody else": ({2: [FROM_0_TO_1]}, "connection 2 got a direct message of others"),
    "from somebody else": ({1: [dm(2, 1, 0, seq=2)]}, "came as"),
    "with another's text": ({1: [dm(0, 1, 0, seq=2, text_of=2)]}, "came as"),
    "never said": ({1: [dm(0, 1, 7, seq=2)]}, "a direct message of others"),
    "changed": ({1: [FROM_0_TO_1.replace(b"...", b"..!")]}, "got what nobody said"),
    "without a receipt": ({0: [FROM_0_TO_1]}, "of its mail was said ..$"),
    "receipted twice": ({0: HEARD[0] + HEARD[0][1:]}, "of its mail was said .'off', 'off'.$"),
    "receipted to another": ({2: [receipt(1, 0, 2)]}, "connection 2 got a receipt of somebody else's"),
    "mailed to who wants none": ({0: [FROM_0_TO_1, receipt(1, 0, 2, "queued")]}, "of its mail was said .'queued'.$"),
}


@pytest.mark.parametrize("how", ASTRAY)
def test_a_direct_message_that_goes_astray_is_seen(how: str) -> None:
    heard, message = ASTRAY[how]
    with pytest.raises(LoadError, match=message):
        directs().check(HEARD | heard)


def hear(among: Among, number: int, data: bytes, at: int) -> None:
    """Not all at once, nor at the end of a line."""
    for piece in (data[:at], data[at:]):
        among.hear(number, bytearray(piece), len(piece))


@pytest.mark.parametrize("at", range(0, 900, 7))
def test_lines_of_ones_own_are_taken_out_wherever_they_are_cut(at: int) -> None:
    first, second = delivered("chat", 0, seq=1), delivered("chat", 1, seq=3)
    among = Among(range(3))
    hear(among, 0, first + FROM_0_TO_1 + second + receipt(1, 0, 2), at)
    assert not among.done(2)
    hear(among, 2, first + second, at)
    hear(among, 1, first + FROM_0_TO_1 + second, at)
    assert among.done(2)
    assert among.stream == first + second
    assert among.own == HEARD
    assert (among.directs, among.receipts) == (2, 1)


def test_what_is_neither_for_all_nor_ones_own_is_seen() -> None:
    first, second = delivered("chat", 0, seq=1), delivered("chat", 1, seq=2)
    among = Among(range(2))
    hear(among, 0, first + second, 100)
    with pytest.raises(LoadError, match="connection 1 got something else than others"):
        hear(among, 1, second + first, 100)


def test_nothing_is_done_while_a_line_is_begun() -> None:
    first = delivered("chat", 0, seq=1)
    among = Among(range(2))
    hear(among, 0, first, 10)
    hear(among, 1, first + FROM_0_TO_1[:20], 10)
    assert not among.done(1)
