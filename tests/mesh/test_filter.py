"""Endpoint filters: the order of the items is the order of the result."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.mesh.filter import EndpointFilter, filtered_endpoints
from kubespan.model.address import Endpoint, Prefix
from kubespan.model.errors import ConfigError


def endpoints(*addresses: str) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(ip_address(text), 51820) for text in addresses)


@pytest.mark.parametrize(
    ("addresses", "filters", "passed"),
    [
        # As Talos's own tests have it.
        (
            ("10.3.4.6", "10.3.4.1", "172.20.0.1"),
            ("10.0.0.0/8", "!10.3.4.1"),
            ("10.3.4.6",),
        ),
        (
            ("172.20.0.2", "10.5.0.1", "192.168.192.168", "2001:123:4567::1", "1.1.1.1"),
            ("0.0.0.0/0", "!192.168.0.0/16", "2001::/16"),
            ("172.20.0.2", "10.5.0.1", "1.1.1.1", "2001:123:4567::1"),
        ),
        # What follows from the rule.
        (("10.0.0.1", "::1"), None, ("10.0.0.1", "::1")),
        (("10.0.0.1", "10.0.0.2", "10.0.0.1"), None, ("10.0.0.1", "10.0.0.2")),
        (("10.0.0.1",), (), ()),
        (("10.0.0.1",), ("!10.0.0.2",), ()),
        (("10.0.0.1", "fd00::1"), ("::/0", "0.0.0.0/0"), ("fd00::1", "10.0.0.1")),
        (
            ("10.0.0.1", "10.0.0.2"),
            ("0.0.0.0/0", "!10.0.0.1", "10.0.0.0/24"),
            ("10.0.0.2", "10.0.0.1"),
        ),
        (("10.0.0.1", "10.0.0.1"), ("10.0.0.1", "0.0.0.0/0"), ("10.0.0.1",)),
        (("fd00::1", "fd00::2"), ("fd00::2",), ("fd00::2",)),
    ],
)
def test_what_passes(
    addresses: tuple[str, ...], filters: tuple[str, ...] | None, passed: tuple[str, ...]
) -> None:
    assert filtered_endpoints(endpoints(*addresses), filters) == endpoints(*passed)


def test_one_address_with_two_ports_is_two_endpoints() -> None:
    both = (Endpoint.parse("10.0.0.1:1"), Endpoint.parse("10.0.0.1:2"))
    assert filtered_endpoints(both, ("10.0.0.1",)) == both
    assert filtered_endpoints(both, ("0.0.0.0/0", "!10.0.0.1")) == ()


@given(
    numbers=st.lists(st.integers(0, 7)),
    items=st.lists(st.tuples(st.booleans(), st.integers(0, 7), st.integers(29, 32))),
)
def test_against_the_rule_said_naively(
    numbers: list[int], items: list[tuple[bool, int, int]]
) -> None:
    def lies_in(number: int, place: int, length: int) -> bool:
        return number >> (32 - length) == place >> (32 - length)

    expected: list[int] = []
    for removes, place, length in items:
        for number in numbers:
            if lies_in(number, place, length):
                if removes and number in expected:
                    expected.remove(number)
                if not removes and number not in expected:
                    expected.append(number)
    texts = [f"{'!' * removes}{IPv4Address(place)}/{length}" for removes, place, length in items]
    passed = filtered_endpoints([Endpoint(IPv4Address(n), 1) for n in numbers], texts)
    assert [int(endpoint.address) for endpoint in passed] == expected


@pytest.mark.parametrize(
    ("text", "prefix", "removes"),
    [
        ("10.1.2.3/8", "10.0.0.0/8", False),
        ("!10.1.2.3/8", "10.0.0.0/8", True),
        ("10.1.2.3", "10.1.2.3/32", False),
        ("!fd00::1", "fd00::1/128", True),
        ("::/0", "::/0", False),
    ],
)
def test_one_item(text: str, prefix: str, removes: bool) -> None:
    assert EndpointFilter.parse(text) == EndpointFilter(Prefix.parse(prefix), removes)


@pytest.mark.parametrize(
    "text",
    ["", "!", "!!10.0.0.0/8", "! 10.0.0.1", "10.0.0.0/33", "10.0.0", "fe80::1%eth0", "/8", "a/b/c"],
)
def test_what_is_no_filter_says_what_to_write(text: str) -> None:
    with pytest.raises(ConfigError, match="write an address or a prefix") as caught:
        filtered_endpoints((), ("0.0.0.0/0", text))
    # Without its own `!`, as Talos quotes it.
    assert str(caught.value).startswith(f"{text.removeprefix('!')!r} is not")
