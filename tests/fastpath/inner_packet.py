"""Correct inner packets and TUN frames, built field by field for the offload tests.

Everything has a default, so that a test names only what it is about.
"""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, replace

from tests.fastpath.naive_offload import (
    ACK,
    CHECKSUM_AT,
    DF,
    GSO_TCPV4,
    GSO_TCPV6,
    GSO_UDP_L4,
    NEEDS_CSUM,
    PSH,
    TCP,
    UDP,
    VnetHeader,
    checksum,
    ones_sum,
    pseudo_header,
    put16,
)


@dataclass(frozen=True, slots=True)
class Inner:
    """One TCP or UDP packet as a program's kernel would send it."""

    version: int = 4
    protocol: int = TCP
    payload: bytes = b"payload"
    flow: int = 1
    sequence: int = 1000
    acknowledgement: int = 7
    flags: int = ACK
    window: int = 500
    urgent: int = 0
    options: bytes = b""
    identification: int = 1
    fragment: int = DF
    tos: int = 0
    flow_label: int = 0
    ttl: int = 64
    ip_options: bytes = b""
    extensions: bytes = b""  # IPv6 extension headers, the first of them destination options

    def build(self) -> bytes:
        """Return the packet with all its checksums correct."""
        transport = self._tcp() if self.protocol == TCP else self._udp()
        packet = bytearray(self._ip(len(transport)) + transport)
        at = len(packet) - len(transport)
        pseudo = pseudo_header(packet, self.protocol, len(transport))
        value = checksum(pseudo, transport)
        put16(packet, at + CHECKSUM_AT[self.protocol], value or (self.protocol == UDP) * 0xFFFF)
        return bytes(packet)

    @property
    def headers(self) -> int:
        """How many bytes precede the payload."""
        fixed = 20 if self.version == 4 else 40
        transport = 20 + len(self.options) if self.protocol == TCP else 8
        return fixed + len(self.ip_options) + len(self.extensions) + transport

    def _tcp(self) -> bytes:
        offset = 5 + len(self.options) // 4
        return (
            struct.pack(
                "!HHIIBBHHH",
                *(self.flow, 443, self.sequence % 2**32, self.acknowledgement, offset << 4),
                *(self.flags, self.window, 0, self.urgent),
            )
            + self.options
            + self.payload
        )

    def _udp(self) -> bytes:
        length = 8 + len(self.payload)
        return struct.pack("!HHHH", self.flow, 53, length % 65536, 0) + self.payload

    def _ip(self, transport: int) -> bytes:
        if self.version == 6:
            return self._ip6(transport)
        header = bytearray(
            struct.pack(
                "!BBHHHBBH4s4s",
                *(0x45 + len(self.ip_options) // 4, self.tos),
                *((20 + len(self.ip_options) + transport) % 65536, self.identification % 65536),
                *(self.fragment, self.ttl, self.protocol, 0),
                *(bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])),
            )
            + self.ip_options
        )
        put16(header, 10, checksum(header))
        return bytes(header)

    def _ip6(self, transport: int) -> bytes:
        word = 6 << 28 | self.tos << 20 | self.flow_label
        following = 60 if self.extensions else self.protocol
        length = (len(self.extensions) + transport) % 65536
        addresses = b"\xfd" + bytes(14) + b"\1" + b"\xfd" + bytes(14) + b"\2"
        return struct.pack("!IHBB", word, length, following, self.ttl) + addresses + self.extensions


def destination_options(following: int, size: int = 8) -> bytes:
    """Return an IPv6 destination options header full of padding, of a multiple of 8 bytes."""
    return bytes([following, size // 8 - 1]) + bytes(size - 2)


def large_frame(inner: Inner, gso_size: int, *, partial: bool = True, hdr_len: int = 0) -> bytes:
    """Return a frame as a kernel hands it down: one large packet, its checksum left to us."""
    packet = bytearray(inner.build())
    at = inner.headers - (20 + len(inner.options) if inner.protocol == TCP else 8)
    field = CHECKSUM_AT[inner.protocol]
    if partial:
        sum_ = ones_sum(pseudo_header(packet, inner.protocol, len(packet) - at))
        put16(packet, at + field, sum_)
    kind = GSO_UDP_L4 if inner.protocol == UDP else GSO_TCPV4 if inner.version == 4 else GSO_TCPV6
    flags, start, offset = (NEEDS_CSUM, at, field) if partial else (0, 0, 0)
    return VnetHeader(flags, kind, hdr_len, gso_size, start, offset).build() + bytes(packet)


def stream(first: Inner, count: int, size: int, last: int | None = None) -> list[bytes]:
    """Return packets that can all be joined: payloads of one size, or a smaller last; then PSH."""
    sizes = [size] * (count - 1) + [size if last is None else last]
    flags = [first.flags] * (count - 1) + [first.flags | PSH]
    return [
        replace(
            first,
            payload=noise(sizes[i], i),
            flags=flags[i],
            sequence=first.sequence + i * size,
            identification=first.identification + i,
        ).build()
        for i in range(count)
    ]


def noise(size: int, seed: int) -> bytes:
    """Return bytes that look like nothing, the same for the same seed."""
    return random.Random(seed).randbytes(size)
