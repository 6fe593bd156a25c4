"""A service's `client_ip` is an address or nothing. Spec: client IP."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.discovery.client.clientaddress import client_address


@pytest.mark.parametrize("text", ["203.0.113.7", "10.0.0.1", "2001:db8::1"])
def test_address(text: str) -> None:
    assert client_address(ip_address(text).packed) == ip_address(text)


def test_mapped_address_is_the_ipv4_address() -> None:
    assert client_address(ip_address("::ffff:8.8.8.8").packed) == ip_address("8.8.8.8")


@pytest.mark.parametrize("raw", [b"", b"abc", ip_address("fe80::1").packed + b"eth0", bytes(64)])
def test_anything_else_is_no_address(raw: bytes) -> None:
    assert client_address(raw) is None


@given(st.binary(max_size=40))
def test_no_bytes_are_too_strange(raw: bytes) -> None:
    address = client_address(raw)
    assert address is None or len(raw) in {4, 16}
