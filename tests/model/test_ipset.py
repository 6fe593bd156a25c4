"""Sets of addresses against sets of numbers: every operation, and the least list of prefixes."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.model.address import IPAddress, Prefix
from kubespan.model.ipset import IPSet, host_prefix

EVERYTHING = IPSet.of(Prefix.parse("0.0.0.0/0"), Prefix.parse("::/0"))


def ipset(*texts: str) -> IPSet:
    return IPSet.of(*map(Prefix.parse, texts))


def texts(addresses: IPSet) -> list[str]:
    return [str(prefix) for prefix in addresses.prefixes()]


@st.composite
def small_prefixes(draw: st.DrawFn) -> Prefix:
    """Prefixes within the last 64 addresses of either version."""
    version, width = draw(st.sampled_from([(4, 32), (6, 128)]))
    length = draw(st.integers(width - 6, width))
    base = (1 << width) - 64
    value = base + draw(st.integers(0, 63))
    return Prefix(version, value >> (width - length) << (width - length), length)


prefix_lists = st.lists(small_prefixes(), max_size=8)


def members(prefixes: list[Prefix]) -> set[IPAddress]:
    return {address for prefix in prefixes for address in ip_network(str(prefix))}


@given(one=prefix_lists, other=prefix_lists)
def test_operations_are_those_of_sets(one: list[Prefix], other: list[Prefix]) -> None:
    a, b = IPSet.of(*one), IPSet.of(*other)
    assert members(list((a | b).prefixes())) == members(one) | members(other)
    assert members(list((a - b).prefixes())) == members(one) - members(other)
    assert members(list((a & b).prefixes())) == members(one) & members(other)
    assert all(made == IPSet.of(*made.prefixes()) for made in (a | b, a - b, a & b))
    assert a.overlaps(b) == bool(members(one) & members(other))
    assert all(address in a for address in members(one))
    assert not any(address in a for address in members(other) - members(one))
    assert bool(a) == bool(one)
    assert a.size(4) + a.size(6) == len(members(one))
    assert a.size(4) == sum(address.version == 4 for address in members(one))


@given(prefixes=prefix_lists)
def test_equal_sets_are_equal_values_with_the_least_list(prefixes: list[Prefix]) -> None:
    made = IPSet.of(*prefixes)
    assert IPSet.of(*made.prefixes()) == made
    assert IPSet.of(*(host_prefix(address) for address in members(prefixes))) == made
    networks = [ip_network(str(prefix)) for prefix in made.prefixes()]
    assert networks == sorted(networks, key=lambda n: (n.version, int(n.network_address)))


@pytest.mark.parametrize(
    ("whole", "without", "left"),
    [
        (["10.244.3.0/24"], ["10.244.3.128/25"], ["10.244.3.0/25"]),
        (["10.244.2.0/23"], ["10.244.3.0/24"], ["10.244.2.0/24"]),
        (["0.0.0.0/0"], ["255.255.255.255/32", "0.0.0.0/1"], None),
        (["10.0.0.0/8"], ["::/0"], ["10.0.0.0/8"]),
        (["10.0.0.0/24", "10.0.1.0/24"], [], ["10.0.0.0/23"]),
        (["fd00::/8"], ["fd00::/8"], []),
    ],
)
def test_differences(whole: list[str], without: list[str], left: list[str] | None) -> None:
    rest = ipset(*whole) - ipset(*without)
    if left is not None:
        assert texts(rest) == left
    assert not rest.overlaps(ipset(*without))


def test_everything_and_nothing() -> None:
    assert texts(EVERYTHING) == ["0.0.0.0/0", "::/0"]
    assert IPv4Address("255.255.255.255") in EVERYTHING
    assert IPv6Address((1 << 128) - 1) in EVERYTHING
    assert not EVERYTHING - EVERYTHING
    assert IPv4Address(0) not in IPSet()


def test_versions_never_meet() -> None:
    assert not ipset("0.0.0.0/0").overlaps(ipset("::/0"))
    assert IPv6Address("::1") not in ipset("0.0.0.0/0")


def test_an_address_is_a_prefix() -> None:
    assert str(host_prefix(IPv4Address("192.0.2.1"))) == "192.0.2.1/32"
    assert str(host_prefix(IPv6Address("fd00::1"))) == "fd00::1/128"
