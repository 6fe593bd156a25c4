"""ICMP unreachable errors: every byte of one of each kind, and what is never answered."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.wireguard.icmp import checksum, source_address, unreachable
from tests.wireguard.packets import echo, internet_checksum, ipv4, ipv6, ones_complement_sum

ALICE, BOB = "10.0.0.1", "10.0.0.2"
ALICE6, BOB6 = "fd00::1", "fd00::2"


def test_ipv4_bytes() -> None:
    ping = echo(ALICE, BOB)
    error = unreachable(ping)
    assert error is not None
    assert error[:20] == bytes.fromhex("45c0 0070 0000 0000 4001 65cb 0a000002 0a000001")
    assert error[20:22] == bytes((3, 1))
    assert error[24:28] == bytes(4)
    assert error[28:] == ping
    assert ones_complement_sum(error[:20]) == 0xFFFF
    assert ones_complement_sum(error[20:]) == 0xFFFF


def test_ipv6_bytes() -> None:
    packet = ipv6(ALICE6, BOB6, bytes(30))
    error = unreachable(packet)
    assert error is not None
    assert error[:8] == bytes.fromhex("6c000000 004e 3a 40")
    assert error[8:24] == packet[24:40]
    assert error[24:40] == packet[8:24]
    assert error[40:42] == bytes((1, 3))
    assert error[48:] == packet
    pseudo_header = error[8:40] + struct.pack(">II", 0x4E, 58)
    assert ones_complement_sum(pseudo_header + error[40:]) == 0xFFFF


def test_long_packets_are_quoted_in_part() -> None:
    v4 = unreachable(ipv4(ALICE, BOB, bytes(2000)))
    v6 = unreachable(ipv6(ALICE6, BOB6, bytes(2000)))
    assert v4 is not None
    assert len(v4) == 576
    assert v4[2:4] == (576).to_bytes(2, "big")
    assert v6 is not None
    assert len(v6) == 1280
    assert v6[4:6] == (1240).to_bytes(2, "big")


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        bytes(100),
        ipv4("0.0.0.0", BOB),
        ipv4("127.0.0.1", BOB),
        ipv4("224.0.0.1", BOB),
        ipv4(ALICE, "224.0.0.251"),
        ipv4(ALICE, "255.255.255.255"),
        ipv4(ALICE, BOB, bytes(8), fragment=1),
        *(ipv4(ALICE, BOB, bytes((error, 0)), protocol=1) for error in (3, 4, 5, 11, 12)),
        ipv4(ALICE, BOB, b"", protocol=1),
        ipv4(ALICE, BOB, bytes((3, 1)), protocol=1, options=bytes(4)),
        bytes([0x44]) + ipv4(ALICE, BOB)[1:],
        ipv6("::", BOB6),
        ipv6("::1", BOB6),
        ipv6("ff02::1", BOB6),
        ipv6(ALICE6, "ff02::fb"),
        ipv6(ALICE6, BOB6, bytes((1, 0)), next_header=58),
        ipv6(ALICE6, BOB6, b"", next_header=58),
        # Behind hop-by-hop options, and behind those a second fragment.
        ipv6(ALICE6, BOB6, bytes((58, 0)) + bytes(6) + bytes((127, 0)), next_header=0),
        ipv6(
            ALICE6, BOB6, bytes((44, 0)) + bytes(6) + bytes((17, 0, 0, 8)) + bytes(4), next_header=0
        ),
        ipv6(ALICE6, BOB6, bytes(7), next_header=44),
        ipv6(ALICE6, BOB6, bytes((58, 200)) + bytes(6), next_header=60),
    ],
)
def test_what_is_never_answered(packet: bytes) -> None:
    assert unreachable(packet) is None


@pytest.mark.parametrize(
    "packet",
    [
        ipv4(ALICE, BOB, bytes(8), fragment=0x2000),
        ipv4(ALICE, BOB, bytes((8, 0)), protocol=1),
        ipv6(ALICE6, BOB6, bytes((128, 0)), next_header=58),
        ipv6(ALICE6, BOB6, bytes((17, 0, 0, 1)) + bytes(4), next_header=44),
        ipv6(ALICE6, BOB6, bytes((58, 1)) + bytes(14) + bytes((128, 0)), next_header=60),
    ],
)
def test_what_is_answered(packet: bytes) -> None:
    assert unreachable(packet) is not None


def test_source_address() -> None:
    assert str(source_address(ipv4(ALICE, BOB))) == ALICE
    assert str(source_address(ipv6(ALICE6, BOB6))) == ALICE6


@given(st.binary(max_size=200))
def test_checksum_agrees_with_the_obvious_sum(data: bytes) -> None:
    assert checksum(data).to_bytes(2, "big") == internet_checksum(data)


@given(st.sampled_from((0x45, 0x46, 0x60)), st.binary(min_size=39, max_size=120))
def test_nothing_raises(first: int, rest: bytes) -> None:
    error = unreachable(bytes((first,)) + rest)
    assert error is None or len(error) <= 1280
