"""Hosts: one way to write an address, and what counts as one host."""

import pytest

from chatmail.core.hosts import host_of, is_loopback, network, origin_of


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:DB8:0:0:0:0:0:7", "2001:db8::7"),
        ("fe80::1%eth0", "fe80::1"),
        ("::1", "::1"),
        ("", ""),
        ("somewhere", "somewhere"),
    ],
)
def test_an_address_is_written_in_one_way(peer: str, host: str) -> None:
    assert host_of(peer) == host


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("", ""),
    ],
)
def test_a_site_counts_as_one_host(host: str, origin: str) -> None:
    assert origin_of(host) == origin


def test_this_machine_is_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1")))
    assert not any(map(is_loopback, ("192.0.2.7", "2001:db8::1", "", "localhost")))


def test_a_network_is_an_address_with_a_length_and_nothing_else() -> None:
    assert str(network("192.0.2.7/24")) == "192.0.2.0/24"
    assert str(network("192.0.2.7")) == "192.0.2.7/32"
    assert str(network("2001:db8::/32")) == "2001:db8::/32"
    assert [network(text) for text in ("192.0.2.7/33", "John", "192.0.2", "/24", "")] == [None] * 5
