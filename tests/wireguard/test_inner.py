"""Inner packets: which are accepted, what is cut off, and the congestion bits."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.model.drop import DropReason
from kubespan.model.errors import ProtocolError
from kubespan.wireguard.inner import (
    congestion_bits,
    destination,
    inner_packet,
    mark_congestion,
)
from tests.wireguard.packets import ipv4, ipv6, ones_complement_sum

V4 = ipv4("10.0.0.1", "10.0.0.2", b"data")
V6 = ipv6("fd00::1", "fd00::2", b"data")


def with_length(packet: bytes, length: int) -> bytes:
    offset = 2 if packet[0] >> 4 == 4 else 4
    return packet[:offset] + length.to_bytes(2, "big") + packet[offset + 2 :]


@pytest.mark.parametrize("padding", [0, 1, 15, 1000])
def test_padding_is_cut_off(padding: int) -> None:
    assert inner_packet(V4 + bytes(padding)) == (V4, 4, int(IPv4Address("10.0.0.1")))
    assert inner_packet(V6 + bytes(padding)) == (V6, 6, int(IPv6Address("fd00::1")))


@pytest.mark.parametrize(
    "plaintext",
    [
        b"",
        V4[:19],
        V6[:39],
        V4[:-1],
        V6[:-1],
        with_length(V4, 19),
        with_length(V4, 0),
        with_length(V4, len(V4) + 1),
        with_length(V6, 5),
        bytes([0x55]) + V4[1:],
        bytes(100),
        # In 16 bits, the length of the header and this would come out small enough.
        with_length(V6, 65535) + bytes(1000),
        with_length(V6, 65496) + bytes(1000),
    ],
)
def test_what_does_not_fit_its_length_is_refused(plaintext: bytes) -> None:
    with pytest.raises(ProtocolError) as refusal:
        inner_packet(plaintext)
    assert refusal.value.reason is DropReason.BAD_INNER


def test_ipv6_longer_than_16_bits_is_accepted_whole() -> None:
    packet = ipv6("fd00::1", "fd00::2", bytes(65535))
    assert inner_packet(packet).packet == packet


def test_destination() -> None:
    assert destination(V4) == (4, int(IPv4Address("10.0.0.2")))
    assert destination(V6) == (6, int(IPv6Address("fd00::2")))


@pytest.mark.parametrize("frame", [b"", V4[:19], V6[:39], bytes(60), b"\xf0" * 60])
def test_a_frame_without_a_destination_is_refused(frame: bytes) -> None:
    with pytest.raises(ProtocolError) as refusal:
        destination(frame)
    assert refusal.value.reason is DropReason.BAD_OUTBOUND


@given(st.binary(max_size=100))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    for check in (inner_packet, destination):
        with suppress(ProtocolError):
            check(data)


@pytest.mark.parametrize(("before", "after"), [(0, 0), (1, 3), (2, 3), (3, 3)])
def test_congestion_marks_only_flows_that_take_part(before: int, after: int) -> None:
    for packet in (
        ipv4("10.0.0.1", "10.0.0.2", tos=0xB8 | before),
        ipv6("fd00::1", "fd00::2", traffic_class=0xB8 | before),
    ):
        assert congestion_bits(packet) == before
        assert congestion_bits(mark_congestion(packet)) == after
        # Only the two bits, and the checksum of IPv4, are different.
        assert mark_congestion(packet)[12:] == packet[12:]
    marked = mark_congestion(ipv4("10.0.0.1", "10.0.0.2", tos=0xB8 | before))
    assert marked[1] & 0xFC == 0xB8


def test_an_empty_packet_has_no_congestion_bits() -> None:
    assert congestion_bits(b"") == 0


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 255))
def test_the_header_checksum_follows(source: int, target: int, tos: int) -> None:
    address = str(IPv4Address(source)), str(IPv4Address(target))
    marked = mark_congestion(ipv4(*address, tos=tos))
    assert marked == ipv4(*address, tos=marked[1])
    assert ones_complement_sum(marked) == 0xFFFF


def test_a_checksum_next_to_zero() -> None:
    # Where the checksum is next to zero, taking the difference away passes it.
    packets = (ipv4("10.0.0.1", str(IPv4Address(n)), tos=2) for n in range(2**16))
    found = [packet for packet in packets if packet[10:12] in (b"\0\0", b"\0\1", b"\0\2")]
    assert found != []
    assert all(ones_complement_sum(mark_congestion(packet)) == 0xFFFF for packet in found)
