"""A server and its guests on hosts that are not loopback, which is exempt from the limits by host.

    unshare --map-root-user --net python -m tests.server.abroad ipv4

The hosts are addresses for documentation (RFC 5737, RFC 3849), all on the loopback interface of a network that has
nothing else, so that no packet leaves it.
"""

import asyncio
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from chatmail.core.limits import Limits
from chatmail.core.wire import Code, Error, Join, Leave
from chatmail.server.app import House, running
from chatmail.server.listener import FAREWELLS
from chatmail.server.settings import Settings
from chatmail.server.stores.database import MEMORY
from tests.peer import PATIENCE, Peer

LIMITS = Limits(unjoined_per_ip=3, max_per_ip=2)


class Hosts(NamedTuple):
    """Where the server listens, and from where people come."""

    server: str
    origin: str
    """What the server calls ``here``."""
    here: tuple[str, str]
    """Two addresses that count as one host (where that can't be, the same twice)."""
    elsewhere: str
    loopback: str


NETWORKS = {
    "ipv4": Hosts("0.0.0.0", "192.0.2.1", ("192.0.2.1", "192.0.2.1"), "192.0.2.2", "127.0.0.1"),
    "ipv6": Hosts("::", "2001:db8:1::/64", ("2001:db8:1::1", "2001:db8:1::2"), "2001:db8:2::1", "::1"),
}


def prepare() -> None:
    """Give the network its addresses."""
    addresses = [address for hosts in NETWORKS.values() for address in {*hosts.here, hosts.elsewhere}]
    # One of IPv6 could not be used at once: the system would first look whether another machine has it.
    adding = (f"address add {address} dev lo{' nodad' * (':' in address)}" for address in addresses)
    for line in ["link set lo up", *adding]:
        subprocess.run(["ip", *line.split()], check=True)
    # The system gets round to the ways to them only afterwards, on a busy machine.
    while not all(has_way(address) for address in addresses):
        pass


def has_way(address: str) -> bool:
    """Whether packets get to an address."""
    return subprocess.run(["ip", "route", "get", address], capture_output=True).returncode == 0


async def guest(house: House, host: str) -> Peer:
    """A connection from this host to the server at the same address."""
    return Peer(*await asyncio.open_connection(host, house.port, local_addr=(host, 0)))


async def refusal(peer: Peer) -> str:
    """What somebody hears who is refused, and told to try again later."""
    error = await peer.expect(Error)
    assert error.code == Code.SERVER_FULL
    assert (await peer.bye()).retry
    return error.text


async def until(house: House, sessions: int, peer: Peer) -> None:
    """Wait until the server has so many connections; this peer has joined."""
    async with asyncio.timeout(PATIENCE):
        while len(house.hub.sessions) != sessions:
            await peer.sync()


async def check_the_unjoined(house: House, hosts: Hosts) -> None:
    """Three connections that have not joined are as many as one host may have."""
    one, other = hosts.here
    silent = [await guest(house, host) for host in (one, other, one)]
    too_many = f"3 connections from {hosts.origin} have not joined yet; let those join or end first"
    for host in (one, other):
        assert await refusal(await guest(house, host)) == too_many
    stranger = await guest(house, hosts.elsewhere)
    await stranger.join("Eve")
    local = [await guest(house, hosts.loopback) for _ in range(4)]
    for number, peer in enumerate(local):
        await peer.join(f"Local{number}")
    # Who joins, or goes, makes room for another.
    await silent[0].join("John")
    silent[1].cut()
    await until(house, 7, stranger)
    again = [await guest(house, host) for host in (one, other)]
    assert await refusal(await guest(house, other)) == too_many
    for peer in [*silent, *again, stranger, *local]:
        peer.cut()


async def check_the_joined(house: House, hosts: Hosts) -> None:
    """Two who have joined are as many as may come from one host."""
    one, other = hosts.here
    john, mary, ann = [await guest(house, host) for host in (one, other, one)]
    await john.join("John")
    await mary.join("Mary")
    await ann.send(Join(name="Ann", email="ann@example.org"))
    too_many = f"as many people as may (2) are here from {hosts.origin}; try again later"
    assert await refusal(ann) == too_many
    eve = await guest(house, hosts.elsewhere)
    await eve.join("Eve")
    local = [await guest(house, hosts.loopback) for _ in range(3)]
    for number, peer in enumerate(local):
        await peer.join(f"Local{number}")
    await john.send(Leave())
    await john.bye()
    await until(house, 5, eve)
    ann = await guest(house, other)
    await ann.join("Ann")
    for peer in [mary, ann, eve, *local]:
        peer.cut()


async def check_a_flood(house: House, hosts: Hosts) -> None:
    """Who comes in numbers and is refused keeps nobody else out, though not all of those can be told at once."""
    one, other = hosts.here
    inside = [await guest(house, host) for host in (one, other, one)]
    flood = [await guest(house, other) for _ in range(2 * FAREWELLS)]
    eve = await guest(house, hosts.elsewhere)
    await eve.join("Eve")
    told = [frames for frames in [await peer.until_hung() for peer in flood] if frames]
    assert len(told) >= FAREWELLS
    assert {error.code for error, _ in told} == {Code.SERVER_FULL}
    for peer in [*inside, eve]:
        peer.cut()


async def check(hosts: Hosts) -> None:
    """Each with a server of its own."""
    with TemporaryDirectory() as folder:
        settings = Settings(
            chat_host=hosts.server, chat_port=0, chat_db=MEMORY, outbox=Path(folder), tls="off", rate=None
        )
        for part in (check_the_unjoined, check_the_joined, check_a_flood):
            async with running(settings, LIMITS) as house:
                await part(house, hosts)


if __name__ == "__main__":
    prepare()
    if sys.argv[1] in NETWORKS:
        asyncio.run(check(NETWORKS[sys.argv[1]]))
