"""How much chatmail delivers, at what cost and how soon, beside others: ``python -m tests.benchmarks``.

Nine works are measured: *crowd*, which is told of here, and those of modules of their names: *direct* messages among
the talk, *idle* people, a *storm* of people who come, or come back, all at once, *slow* readers, *hours* of talk, what
the *postman* and the *start* take, and *nodes*, servers that share a Redis. ``--works`` chooses.

    one sender ──> server (one CPU) ──> 1, 100 or 1,000 readers (all in one process, on another CPU)

*chatmail* is the server as it comes, with everything on the disk before anybody sees it; *in memory* the same with
CHAT_DB=:memory:; *naive* a plain loop of writes, which keeps nothing. ``--peers`` adds what is here of *threaded* (a
thread a client), *redis* and *nats* (which pass messages on, as chat servers are built on them), *ngircd* and
*inspircd* (chat servers written in C and C++), *relay* (about the least that can be done, in C) and *same bytes* (the
same with lines as long as chatmail's frames). They keep nothing.

Each round starts each server anew and puts the same load on it, in two phases:

*saturated*: a window of messages is always under way. Nothing but the server's processor is to be the limit: "busy"
shows how near it came to that, for server and load. Once with one sender, once with 10 among 1,000, once with 50 who
all talk.
*paced*: one sender, 20 messages a second. A text holds the time of its sending, on a clock that both ends share.

Servers take turns, and figures are medians of the rounds, so that whatever else the machine does hits all. A message
that is lost, doubled or replaced by a gap fails the run.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import chatmail
from tests.benchmarks import peers, plot, report, works
from tests.benchmarks.load import Plan
from tests.benchmarks.report import Rounds, Workload
from tests.benchmarks.section import Bench
from tests.benchmarks.servers import PATIENCE, SERVERS, BenchmarkError, Kind, many_files, put_load, serving
from tests.benchmarks.wires import TEXT_SIZE

Cpus = tuple[int, int] | tuple[None, None]
Found = dict[str, Any]

READERS = (1, 100, 1_000)
READERS_TO_PLOT = (10, 100, 1_000, 10_000)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="How much chatmail delivers, at what cost and how soon, beside others.",
        epilog="chatmail: the server as it comes; in memory: with CHAT_DB=:memory:; naive: a plain loop of writes, "
        "which keeps nothing; saturated: a window of messages is always under way; paced: one sender, at a rate.",
    )
    parser.add_argument("--quick", action="store_true", help="less of everything: three minutes, without --peers")
    parser.add_argument("--peers", action="store_true", help="measure other servers, too, as far as they are installed")
    parser.add_argument(
        "--works",
        type=_works,
        metavar="NAME,NAME",
        help=f"what to measure: {', '.join(works.WORKS)} (all; with an option that only crowds have, these)",
    )
    parser.add_argument(
        "--rounds",
        type=int,
        metavar="N",
        help="how many rounds (5; quick 3, and 1 of works but crowd and nodes)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every outcome of every round to a file")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw how cost grows with the readers (SVG)")
    parser.add_argument(
        "--readers", type=_numbers, metavar="N,N", help="of one sender (1,100,1000; to plot 10,100,1000,10000)"
    )
    parser.add_argument(
        "--senders",
        type=_crowds,
        metavar="N,N",
        help="1: one sender, to each number of readers; N:M: N of M people talk; N: all of N talk (1,10:1000,50)",
    )
    parser.add_argument(
        "--seconds", type=float, metavar="S", help="how long each phase of a crowd takes (2; quick 0.5)"
    )
    parser.add_argument("--window", type=int, default=256, metavar="N", help="messages under way when saturated (256)")
    parser.add_argument("--rate", type=float, default=20, metavar="N", help="messages a second when paced (20)")
    parser.add_argument("--only", choices=[*SERVERS, *peers.PEERS], help="measure this server only")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the server, as in its .env"
    )
    options = parser.parse_args(arguments)
    if not options.works:
        of_crowds = options.readers or options.senders or options.seconds or options.only or options.plot
        options.works = [works.CROWD] if of_crowds else list(works.WORKS)
    options.bench_rounds = options.rounds or (1 if options.quick else 5)
    options.rounds = options.rounds or (3 if options.quick else 5)
    options.senders = options.senders or _crowds("1,10:1000,50")
    options.seconds = options.seconds or (0.5 if options.quick else 2.0)
    options.readers = options.readers or (READERS_TO_PLOT if options.plot else READERS)
    return options


def _works(text: str) -> list[str]:
    names = text.split(",")
    if not set(works.WORKS).issuperset(names):
        raise ValueError(text)
    return names


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def _crowds(text: str) -> list[Workload]:
    crowds = []
    for crowd in text.split(","):
        senders, _, people = crowd.partition(":")
        crowds.append(Workload(int(senders), int(people or senders)))
        if not 0 < crowds[-1].senders <= min(crowds[-1].people, 999):
            raise ValueError(crowd)
    return crowds


def _workloads(options: argparse.Namespace) -> list[Workload]:
    workloads = []
    for crowd in options.senders:
        workloads += [Workload(1, readers + 1) for readers in options.readers] if crowd == (1, 1) else [crowd]
    return workloads


def measure(
    options: argparse.Namespace, kinds: Mapping[str, Kind], server_cpu: int | None, load_cpu: int | None
) -> tuple[Rounds, list[str]]:
    """All rounds, and which servers of others failed, and how. Raises BenchmarkError when one of ours does."""
    settings = dict(setting.split("=", 1) for setting in options.set)
    rounds: Rounds = {workload: {name: [] for name in kinds} for workload in _workloads(options)}
    failures: dict[tuple[Workload, str], str] = {}
    for turn in range(options.rounds):
        for workload, outcomes in rounds.items():
            for name in kinds if turn % 2 else reversed(list(kinds)):
                if (workload, name) in failures:
                    continue
                print(f"round {turn + 1} of {options.rounds}: {name}, {workload.title}", file=sys.stderr)
                try:
                    with serving(name, kinds[name], settings, server_cpu) as server:
                        plan = _plan(options, workload, kinds[name], server.port(), server.pid)
                        try:
                            outcomes[name].append(put_load(plan, load_cpu))
                        except BenchmarkError as error:
                            raise BenchmarkError(server.story(f"with {workload.title}: {error}")) from None
                        server.check()
                except BenchmarkError as error:
                    if name in SERVERS:
                        raise
                    failures[workload, name] = str(error)
                    outcomes[name].clear()
    return rounds, list(failures.values())


def _plan(options: argparse.Namespace, workload: Workload, kind: Kind, port: int, pid: int) -> Plan:
    return Plan(
        port=port,
        pid=pid,
        wire=kind.wire,
        ordered=kind.ordered,
        people=workload.people,
        senders=workload.senders,
        door=kind.door,
        window=options.window,
        saturated=options.seconds,
        paced=options.seconds if workload.senders == 1 else 0,
        rate=options.rate,
        # Ten thousand who come in take longer, above all where each of them is told to all others.
        patience=PATIENCE + workload.people / 50,
    )


def machine(server_cpu: int | None, load_cpu: int | None) -> str:
    """What the figures were taken on."""
    pinned = "nothing is pinned" if server_cpu is None else f"server pinned to CPU {server_cpu}, load to CPU {load_cpu}"
    return (
        f"{platform.python_implementation()} {platform.python_version()}, {platform.system()} {platform.release()} "
        f"{platform.machine()}, {len(os.sched_getaffinity(0))} CPUs: {pinned}"
    )


def _crowd(options: argparse.Namespace, found: Found, cpus: Cpus) -> list[str]:
    """Talk to crowds, and print it; why some of the others gave no figures. Raises BenchmarkError."""
    kinds, versions = dict(SERVERS), {"chatmail": chatmail.__version__}
    with TemporaryDirectory(prefix="benchmark-") as folder:
        if options.only:
            kinds = {name: kind for name, kind in kinds.items() if name == options.only}
            versions = {name: version for name, version in versions.items() if name in kinds}
        wanted = [name for name in peers.PEERS if name == options.only or (options.peers and not options.only)]
        others, theirs, missing = peers.find(Path(folder), wanted)
        kinds |= others
        versions |= theirs
        for name, why in missing.items():
            print(f"without {name}: {why}", file=sys.stderr)
        if not kinds:
            return []
        rounds, failures = measure(options, kinds, *cpus)
    print(
        f"{TEXT_SIZE}-byte texts, window {options.window}, medians of {options.rounds} rounds,"
        f" phases of {options.seconds:g} s; x: how many times better chatmail is"
    )
    for line in (*report.table(rounds, options.rate), *peers.story(versions, missing), *report.doubts(rounds)):
        print(line)
    found |= {"versions": versions, "missing": missing, "window": options.window, "rate": options.rate}
    found |= {"seconds": options.seconds, "failures": failures, "workloads": report.as_json(rounds)}
    return failures


def _other(name: str, options: argparse.Namespace, found: Found, cpus: Cpus) -> None:
    """Do another work, and print it. Raises BenchmarkError."""
    settings = dict(setting.split("=", 1) for setting in options.set)
    section = works.measure(name, Bench(options.bench_rounds, options.quick, options.peers, cpus[0], cpus[1], settings))
    found.setdefault("works", {})[name] = section.as_json()
    print("\n".join(section.lines()))


def main(arguments: Sequence[str]) -> int:
    """Measure and print; the exit status."""
    options = _options(arguments)
    allowed = sorted(os.sched_getaffinity(0))
    cpus = (allowed[0], allowed[-1]) if len(allowed) > 1 else (None, None)
    many_files()
    found: Found = {"machine": machine(*cpus)}
    failures: list[str] = []
    for name in options.works:
        try:
            if name == works.CROWD:
                failures += _crowd(options, found, cpus)
            elif works.is_here(name):
                _other(name, options, found, cpus)
            else:
                print(f"without {name}: no such work is here", file=sys.stderr)
        except BenchmarkError as error:
            failures.append(str(error))
        sys.stdout.flush()  # others take long
    if len(found) > 1:
        print(found["machine"])
    for failure in failures:
        print(f"no figures: {failure}", file=sys.stderr)
    if options.json and len(found) > 1:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    if options.plot and "workloads" in found:
        options.plot.write_text(plot.draw(found["workloads"]))
    return 1 if failures or len(found) == 1 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
