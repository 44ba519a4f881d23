"""Servers that others wrote, and how each is asked to do nothing but pass messages on.

What would slow down or throw out a crowd that never stops talking is off in all of them (limits of flooding, of
connections from one place, of what may wait for a reader), and nothing is looked up or written down. All else is as
they come.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.benchmarks.servers import HERE, Kind

REDIS = """\
port {port}
bind 127.0.0.1
save ""
maxclients 15000
tcp-backlog 1024
client-output-buffer-limit pubsub 0 0 0
"""

NATS = """\
host: 127.0.0.1
port: {port}
ping_interval: "1h"
write_deadline: "60s"
"""

NGIRCD = """\
[Global]
Name = irc.example.org
Info = benchmark
AdminEMail = operator@example.org
Listen = 127.0.0.1
Ports = {port}
MotdPhrase = "hello"
PidFile =
[Limits]
MaxConnections = 0
MaxConnectionsIP = 0
MaxJoins = 0
MaxPenaltyTime = 0
PingTimeout = 3600
[Options]
DNS = no
Ident = no
PAM = no
IncludeDir =
"""

INSPIRCD = """\
<server name="irc.example.org" description="benchmark" network="benchmark">
<admin name="operator" nick="operator" email="operator@example.org">
<bind address="127.0.0.1" port="{port}" type="clients">
<connect allow="*" timeout="60" pingfreq="3600" threshold="1000000" commandrate="1000000000" fakelag="no"
  hardsendq="1G" softsendq="1G" recvq="1M" localmax="100000" globalmax="100000" limit="100000" maxconnwarn="no"
  resolvehostnames="no" useident="no">
<class name="none"><type name="none" classes="none">
<performance softlimit="100000" somaxconn="1024" netbuffersize="65534">
"""

PEERS = {
    "threaded": Kind((sys.executable, str(HERE / "threaded.py"))),
    "redis": Kind(("redis-server", "config"), REDIS, wire="redis", listens="Ready to accept", version="--version"),
    "nats": Kind(
        ("nats-server", "-c", "config"), NATS, wire="nats", ordered=False, listens="Server is ready", version="-version"
    ),
    "ngircd": Kind(
        ("ngircd", "-n", "-f", "{folder}/config"),
        NGIRCD,
        wire="irc",
        listens=r"Server .* ready",
        version="--version",
        door=8,
    ),
    "inspircd": Kind(
        ("inspircd", "--config", "{folder}/config", "--nofork", "--nolog", "--nopid", "--runasroot"),
        INSPIRCD,
        wire="irc",
        listens="is now running",
        version="--version",
    ),
    "relay": Kind(("relay",), wire="line"),
    "same bytes": Kind(("relay",), wire="framed"),
}
"""All there may be; those that are here are found by ``find``."""

COMPILERS = ("cc", "gcc", "clang")


def find(folder: Path, names: Iterable[str]) -> tuple[dict[str, Kind], dict[str, str], dict[str, str]]:
    """Those that are here, the version of each, and why the others are not; what is compiled goes to the folder."""
    here: dict[str, Kind] = {}
    versions: dict[str, str] = {}
    missing: dict[str, str] = {}
    for name in names:
        kind = PEERS[name]
        of_ours = kind.command == ("relay",)
        program = compiled(folder) if of_ours else which(kind.command[0])
        if program is None:
            missing[name] = "no C compiler here" if of_ours else f"{kind.command[0]} is not installed"
            continue
        here[name] = kind._replace(command=(program, *kind.command[1:]))
        if kind.version:
            said = subprocess.run((program, kind.version), capture_output=True, text=True, check=False).stdout
            versions[name] = said.strip().partition("\n")[0]
    return here, versions, missing


def compiled(folder: Path) -> str | None:
    """The relay, or None without a compiler."""
    compiler = next(filter(None, map(which, COMPILERS)), None)
    if compiler is None:
        return None
    program = folder / "relay"
    if program.exists():
        return str(program)
    source = HERE / "relay.c"
    subprocess.run((compiler, "-O2", "-D_GNU_SOURCE", "-o", str(program), str(source)), check=True, timeout=60)
    return str(program)


def which(program: str) -> str | None:
    """Servers often are where only the system's own path leads."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"))
    return shutil.which(program, path=path)


def story(versions: Mapping[str, str], missing: Mapping[str, str]) -> list[str]:
    """What to say of them above the figures."""
    lines = [f"{name} is {version}" for name, version in versions.items()]
    return lines + [f"without {name}: {reason}" for name, reason in missing.items()]
