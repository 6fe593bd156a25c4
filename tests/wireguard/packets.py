"""Whole IP packets for tests: an ICMP echo, and headers with any field set."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

PING_SIZE = 84
"""What `ping` sends by default over IPv4: 20 bytes of IP, 8 of ICMP, 56 of data."""


def ones_complement_sum(data: bytes) -> int:
    """Add up 16-bit words the slow and obvious way."""
    total = 0
    for offset in range(0, len(data), 2):
        word = data[offset : offset + 2].ljust(2, b"\0")
        total += word[0] << 8 | word[1]
        if total > 0xFFFF:
            total -= 0xFFFF
    return total


def internet_checksum(data: bytes) -> bytes:
    """Return the two bytes that make the sum of `data` all ones."""
    return (0xFFFF - ones_complement_sum(data)).to_bytes(2, "big")


def ipv4(
    source: str,
    destination: str,
    payload: bytes = b"",
    *,
    protocol: int = 17,
    tos: int = 0,
    fragment: int = 0,
    options: bytes = b"",
) -> bytes:
    """Build an IPv4 packet with a valid header checksum."""
    size = 20 + len(options)
    header = struct.pack(
        ">BBHHHBBH4s4s",
        0x40 | size // 4,
        tos,
        size + len(payload),
        0,
        fragment,
        64,
        protocol,
        0,
        IPv4Address(source).packed,
        IPv4Address(destination).packed,
    )
    header += options
    return header[:10] + internet_checksum(header) + header[12:] + payload


def ipv6(
    source: str,
    destination: str,
    payload: bytes = b"",
    *,
    next_header: int = 17,
    traffic_class: int = 0,
) -> bytes:
    """Build an IPv6 packet."""
    first_word = 6 << 28 | traffic_class << 20
    header = struct.pack(">IHBB", first_word, len(payload), next_header, 64)
    return header + IPv6Address(source).packed + IPv6Address(destination).packed + payload


def echo(source: str, destination: str, number: int = 0, *, is_reply: bool = False) -> bytes:
    """Build the ICMP echo (reply) that `ping` would: 84 bytes over IPv4."""
    icmp = struct.pack(">BBHHH", 0 if is_reply else 8, 0, 0, 1, number) + bytes(56)
    icmp = icmp[:2] + internet_checksum(icmp) + icmp[4:]
    return ipv4(source, destination, icmp, protocol=1)
