"""Who is calling, by connection and by header."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.discovery.server.caller import Trust, address_text, caller_address, peer_address

BOTH = Trust(x_real_ip=True, x_forwarded_for=True)
PEER = "ipv4:192.0.2.1:1234"


def packed(text: str) -> bytes:
    return ip_address(text).packed


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:1.2.3.4:567", bytes([1, 2, 3, 4])),
        ("ipv6:%5B::1%5D:567", packed("::1")),
        ("ipv6:[2001:db8::1]:567", packed("2001:db8::1")),
        ("ipv6:%5B::ffff:1.2.3.4%5D:567", bytes([1, 2, 3, 4])),
        ("ipv6:%5Bfe80::1%25eth0%5D:567", packed("fe80::1")),
        ("unix:/run/some.sock", b""),
        ("unix:", b""),
        ("", b""),
        ("ipv4:", b""),
        ("ipv4:1.2.3.4", b""),
        ("ipv6:1.2.3.4:5", b""),
        ("ipv4:[::1]:5", b""),
    ],
)
def test_peer(peer: str, address: bytes) -> None:
    assert peer_address(peer) == address


REAL = Trust(x_real_ip=True)
FORWARDED = Trust(x_forwarded_for=True)


@pytest.mark.parametrize(
    ("trust", "metadata", "text"),
    [
        # Trusted by nobody, unless the operator says so.
        (Trust(), [("x-real-ip", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2")], "192.0.2.1"),
        (REAL, [("x-real-ip", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2")], "1.1.1.1"),
        (FORWARDED, [("x-real-ip", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2")], "2.2.2.2"),
        (BOTH, [("x-forwarded-for", "2.2.2.2"), ("x-real-ip", "1.1.1.1")], "1.1.1.1"),
        (BOTH, [("x-forwarded-for", "2.2.2.2")], "2.2.2.2"),
        (BOTH, [("user-agent", "x")], "192.0.2.1"),
        # Only the first value counts, and x-real-ip is taken as it is.
        (REAL, [("x-real-ip", "1.1.1.1"), ("x-real-ip", "3.3.3.3")], "1.1.1.1"),
        (REAL, [("x-real-ip", "nobody"), ("x-real-ip", "3.3.3.3")], "192.0.2.1"),
        (REAL, [("x-real-ip", " 1.1.1.1")], "192.0.2.1"),
        (REAL, [("x-real-ip", "1.1.1.1:5")], "192.0.2.1"),
        (REAL, [("x-real-ip", "[::1]")], "192.0.2.1"),
        (REAL, [("x-real-ip", "")], "192.0.2.1"),
        (REAL, [("x-real-ip", b"1.1.1.1")], "192.0.2.1"),
        # x-forwarded-for: its first element, trimmed.
        (FORWARDED, [("x-forwarded-for", " 1.1.1.1 , 2.2.2.2")], "1.1.1.1"),
        (FORWARDED, [("x-forwarded-for", "1.1.1.1:5, 2.2.2.2")], "192.0.2.1"),
        (FORWARDED, [("x-forwarded-for", "[::1], 2.2.2.2")], "192.0.2.1"),
        (FORWARDED, [("x-forwarded-for", ", 2.2.2.2")], "192.0.2.1"),
        (FORWARDED, [("x-forwarded-for", "2001:db8::7")], "2001:db8::7"),
        # The second header has its turn when the first one is unusable.
        (BOTH, [("x-real-ip", "-"), ("x-forwarded-for", "2.2.2.2, 3.3.3.3")], "2.2.2.2"),
        (BOTH, [("x-real-ip", "-"), ("x-forwarded-for", "-")], "192.0.2.1"),
    ],
)
def test_header(trust: Trust, metadata: list[tuple[str, str | bytes]], text: str) -> None:
    assert caller_address(PEER, metadata, trust) == packed(text)


def test_mapped_address_in_a_header_stays_as_long_as_it_is() -> None:
    assert caller_address(PEER, [("x-real-ip", "::ffff:1.2.3.4")], BOTH) == packed("::ffff:1.2.3.4")


def test_zone_in_a_header_is_appended_as_text() -> None:
    address = caller_address(PEER, [("x-real-ip", "fe80::1%eth0")], BOTH)
    assert address == packed("fe80::1") + b"eth0"
    assert address_text(address) == "fe80::1%eth0"


def test_endless_zone_is_no_address() -> None:
    assert caller_address(PEER, [("x-real-ip", "fe80::1%" + "x" * 65)], BOTH) == packed("192.0.2.1")


@pytest.mark.parametrize(
    ("address", "text"), [(b"", "unknown"), (bytes(4), "0.0.0.0"), (bytes(16), "::")]
)
def test_address_for_people(address: bytes, text: str) -> None:
    assert address_text(address) == text


@given(st.text(), st.text())
def test_nothing_that_is_said_is_an_error(peer: str, header: str) -> None:
    metadata = [("x-real-ip", header), ("x-forwarded-for", header)]
    address = caller_address(peer, metadata, BOTH)
    assert len(address) in {0, 4} or 16 <= len(address) <= 80
