"""Packets that are our own messages to an endpoint in the tunnel, and some that look like it."""

from __future__ import annotations

import struct

from kubespan.model.address import Endpoint
from tests.wireguard.packets import ipv4, ipv6

INDEX = 0x0A0B0C0D
ENDPOINTS = {4: Endpoint.parse("10.0.0.2:1002"), 6: Endpoint.parse("[fd00::2]:1002")}


def message(kind: int = 4, index: int = INDEX, port: int = 1002, size: int = 32) -> bytes:
    body = struct.pack("<II", kind, index) + bytes(size - 8)
    return struct.pack("!HHHH", 1001, port, 8 + len(body), 0) + body


def fragment6(offset: int, payload: bytes) -> bytes:
    return struct.pack("!BBHI", 17, 0, offset << 3 | 1, 7) + payload


ROUND_TRIPS = [
    (4, ipv4("10.0.0.1", "10.0.0.2", message())),
    (4, ipv4("10.0.0.1", "10.0.0.2", message(), options=bytes(8))),
    (4, ipv4("10.0.0.1", "10.0.0.2", message(), fragment=0x2000)),
    (6, ipv6("fd00::1", "fd00::2", message(), next_header=17)),
    (6, ipv6("fd00::1", "fd00::2", fragment6(0, message()), next_header=44)),
]
OTHERS = [
    (4, ipv4("10.0.0.1", "10.0.0.3", message())),
    (4, ipv4("10.0.0.1", "10.0.0.2", message(), protocol=6)),
    (4, ipv4("10.0.0.1", "10.0.0.2", message(), fragment=0x0010)),
    (4, ipv4("10.0.0.1", "10.0.0.2", message(kind=1))),
    (4, ipv4("10.0.0.1", "10.0.0.2", message(kind=0x104))),
    (4, ipv4("10.0.0.1", "10.0.0.2", message(index=INDEX + 1))),
    (4, ipv4("10.0.0.1", "10.0.0.2", message(port=1003))),
    (4, ipv4("10.0.0.1", "10.0.0.2", message(size=15))),
    (4, ipv4("10.0.0.1", "10.0.0.2")),
    (6, ipv6("fd00::1", "fd00::3", message(), next_header=17)),
    (6, ipv6("fd00::1", "fd00::2", message(), next_header=6)),
    (6, ipv6("fd00::1", "fd00::2", fragment6(2, message()), next_header=44)),
    (6, ipv6("fd00::1", "fd00::2", bytes(7), next_header=44)),
    (6, ipv6("fd00::1", "fd00::2")),
    (6, ipv4("10.0.0.1", "10.0.0.2", message())),
]
