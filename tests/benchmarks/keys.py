"""How soon a key is on the screen, while nobody else talks, and while 200 messages a second come in.

Somebody types at a client as fast as people do, a line after the other. Each key is a letter of its own, which is in
nothing that others say: the first output that holds its bytes is what draws it, and the time from the key's write to
the read of that output is what it took. That every message came onto the screen, whoever said it, in the order in which
it was said, and so did the lines that were typed, is seen to afterwards.
"""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import ceil
from random import Random
from statistics import median

from tests.benchmarks import programs
from tests.benchmarks.section import Bench, Row
from tests.benchmarks.servers import HERE, PATIENCE, SERVERS, BenchmarkError, on_cpu, serving
from tests.benchmarks.terminals import Terminal

RATE = 200
"""Messages a second."""
SPEAKERS = ("Ann", "Bob", "Cleo", "Dan", "Eve")
SETTLING = 0.5
"""So long they talk before anybody types, in seconds: the screen is full then."""
SEED = 7
PAUSES = (0.03, 0.17)
"""Between two keys, in seconds: ten a second, which is a quick typist."""
LETTERS = "".join(map(chr, range(0x100, 0x164)))
"""A hundred letters of Latin Extended-A."""
LINE = 25
"""So many of them are in a line."""
ENOUGH = 0.95
"""Where they did not say so much of what they should, they had no time for it, and there are no figures."""
SAID = re.compile(r"\d\d:\d\d (\w+): (?:(\d+)\. |(\D+$))")
"""A row of the screen where a message begins, by one of the others or by us."""
RECENT = 40
"""The last messages of all are within so many rows."""
GOAL = "20 or less"


def rows(bench: Bench) -> Iterator[Row]:
    """The figures of all keys: of the round in the middle, and of the worst one. Raises BenchmarkError."""
    found: dict[str, list[list[float]]] = {"idle": [], f"{RATE} a second": []}
    for turn in range(bench.rounds):
        for (title, rounds), rate in zip(found.items(), (0, RATE), strict=True):
            letters = LETTERS if rate or not bench.quick else LETTERS[:LINE]
            rounds.append(_round(bench, SEED + turn, letters, rate))
            print(f"keys, {title}: round {turn + 1} of {bench.rounds}", file=sys.stderr)
    for title, rounds in found.items():
        for what, share in (("p50", 0.5), ("p99", 0.99), ("worst", 1.0)):
            each = [1e3 * sorted(taken)[ceil(share * len(taken)) - 1] for taken in rounds]
            yield Row(f"key, {title}: {what}", [median(each), max(each)], ".1f", GOAL)


def _round(bench: Bench, seed: int, letters: str, rate: float) -> list[float]:
    """Type all letters, while so many messages a second come in; the seconds that each took."""
    name, typist = "chatmail", Random(seed)
    with serving(name, SERVERS[name], {}, bench.server_cpu) as server:
        port = server.port()
        with programs.joined(port, None) as (terminal, _):  # where there is room, as on anybody's machine
            terminal.until(lambda: " here" in terminal.screen[-1], "its toolbar")
            with _talking(port, rate, bench.load_cpu) as others:
                began = time.monotonic()
                _read_until(terminal, began + SETTLING)
                taken = _type(terminal, letters, typist)
                said = others()
                if sum(said.values()) < (time.monotonic() - began) * rate * ENOUGH:
                    raise BenchmarkError(f"there were only {sum(said.values())} messages: too few for {rate} a second")
                check(terminal, said, letters)
            server.check()
    return taken


@contextmanager
def _talking(port: int, rate: float, cpu: int | None) -> Iterator[Callable[[], Mapping[str, int]]]:
    """Meanwhile the others talk; what has them stop, and tells how many messages each of them said."""
    if not rate:
        yield dict
        return
    with on_cpu(cpu):
        others = subprocess.Popen(
            (sys.executable, "-m", "tests.benchmarks.talkers", str(port), str(rate), *SPEAKERS),
            cwd=HERE.parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    orders, answers = others.stdin, others.stdout
    assert orders
    assert answers

    def stop() -> Mapping[str, int]:
        orders.close()
        told = [answers.readline().split() for _ in SPEAKERS]
        return {who: int(count) for who, count in told}

    try:
        if answers.readline() != "ready\n":
            raise BenchmarkError("the others did not come in")
        orders.write("go\n")
        orders.flush()
        yield stop
    finally:
        others.kill()
        others.wait(PATIENCE)
        orders.close()
        answers.close()


def _read_until(terminal: Terminal, deadline: float) -> None:
    while time.monotonic() < deadline:
        terminal.read(deadline - time.monotonic())


def _type(terminal: Terminal, letters: str, typist: Random) -> list[float]:
    """Type the letters, and Enter after each line; the seconds that each letter took."""
    taken = []
    for start in range(0, len(letters), LINE):
        line = letters[start : start + LINE]
        taken += type_line(terminal, line, typist)
        whole = programs.INPUT_LINE + line
        terminal.until(lambda: terminal.cursor_line == whole, "the whole line")  # noqa: B023 - used at once
        terminal.type("\r")
    return taken


def type_line(terminal: Terminal, line: str, typist: Random) -> list[float]:
    """Type these letters, each another one; the seconds from each to the output that shows it."""
    waiting: dict[bytes, float] = {}
    taken: list[float] = []
    tail = b""
    left = iter(line)
    due = time.monotonic() + typist.uniform(*PAUSES)
    deadline = due + PATIENCE
    while len(taken) < len(line):
        if time.monotonic() >= due:
            letter = next(left, "")
            due = due + typist.uniform(*PAUSES) if letter else deadline
            if letter:
                waiting[letter.encode()] = terminal.type(letter)
        now = terminal.read(due - time.monotonic())
        if time.monotonic() >= deadline:
            raise BenchmarkError(terminal.story("does not show what is typed"))
        if now is not None:
            seen, tail = tail + terminal.last, terminal.last[-1:]  # a letter may come in two parts
            taken += [now - waiting.pop(encoded) for encoded in list(waiting) if encoded in seen]
    return taken


def check(terminal: Terminal, said: Mapping[str, int], letters: str) -> None:
    """Raise BenchmarkError unless all that was said is on the screen, each person's messages in their order."""
    lines = [letters[start : start + LINE] for start in range(0, len(letters), LINE)]
    wanted = {who: [str(number) for number in range(1, count + 1)] for who, count in said.items()} | {"you": lines}

    def shown(last: int | None = None) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {who: [] for who in wanted}
        for line in terminal.lines[-last:] if last else terminal.lines:
            if (match := SAID.match(line)) and match[1] in found:
                found[match[1]].append(match[2] or match[3])
        return found

    def all_came() -> bool:
        found = shown(RECENT)
        return all(found[who][-1:] == all_of_them[-1:] for who, all_of_them in wanted.items())

    terminal.until(all_came, "the last message of everybody", PATIENCE)
    found = shown()
    for who, all_of_them in wanted.items():
        if found[who] != all_of_them:
            raise BenchmarkError(terminal.story(f"is wrong: not all messages of {who} are there, once and in order"))
