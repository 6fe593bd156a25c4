"""What of a service's `client_ip` is worth announcing. Spec: client IP, hazards."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.discovery.clientaddress import client_address


def packed(text: str) -> bytes:
    return ip_address(text).packed


@pytest.mark.parametrize("text", ["203.0.114.7", "2a00:1450::1"])
def test_public_address_is_taken(text: str) -> None:
    assert client_address(packed(text)) == ip_address(text)


def test_mapped_address_is_the_ipv4_address() -> None:
    assert client_address(packed("::ffff:8.8.8.8")) == ip_address("8.8.8.8")


@pytest.mark.parametrize("text", ["10.1.2.3", "192.168.1.1", "100.64.0.1", "fd12::1"])
def test_private_address_is_taken_only_when_wanted(text: str) -> None:
    assert client_address(packed(text)) is None
    assert client_address(packed(text), private=True) == ip_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0",
        "127.0.0.1",
        "169.254.1.1",
        "224.0.0.1",
        "240.0.0.1",
        "::",
        "::1",
        "fe80::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "fd50:8d60:4238:6302:f857:23ff:fe21:d1e0",
        "fd50:8d60:4238:6303::1",
    ],
)
def test_address_of_no_use_is_never_taken(text: str) -> None:
    assert client_address(packed(text)) is None
    assert client_address(packed(text), private=True) is None


@pytest.mark.parametrize("raw", [b"", b"\x08\x08\x08", packed("fe80::1") + b"eth0", bytes(64)])
def test_anything_else_is_no_address(raw: bytes) -> None:
    assert client_address(raw) is None


@given(st.binary(max_size=40), st.booleans())
def test_no_bytes_are_too_strange(raw: bytes, private: bool) -> None:
    address = client_address(raw, private=private)
    assert address is None or len(raw) in {4, 16}
