"""Hosts: IP addresses, as limits and bans take them. What is no IP address is taken as it is."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

SITE = 64
"""Bits of an IPv6 address that tell one site from another; within it everybody has as many as they like (RFC 6177)."""
KEPT = 1_024
"""So many answers are kept: a host is asked about a dozen times while somebody comes in from there."""


@lru_cache(KEPT)
def host_of(peer: str) -> str:
    """The one way to write the address of a peer: an IPv4 address within IPv6 as itself, no zone."""
    address = _parse(peer.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return peer if address is None else str(address)


@lru_cache(KEPT)
def origin_of(host: str) -> str:
    """What counts as one host for the limits: an IPv4 address, or the whole site of an IPv6 address."""
    address = _parse(host)
    return str(ip_network((int(address), SITE), strict=False)) if isinstance(address, IPv6Address) else host


@lru_cache(KEPT)
def is_loopback(host: str) -> bool:
    """Whether this peer is on this machine; limits by host do not count there."""
    address = _parse(host)
    return address is not None and address.is_loopback


@lru_cache(KEPT)
def network(text: str) -> IPv4Network | IPv6Network | None:
    """The network, or the single address, that is written here; None for anything else."""
    if "." not in text and ":" not in text:  # most names, which are asked about as often as hosts
        return None
    try:
        return ip_network(host_of(text), strict=False)
    except ValueError:
        return None


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
