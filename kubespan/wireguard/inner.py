"""The IP packets inside the tunnel, as far as WireGuard looks at them.

Version, length, one address and the congestion bits; nothing else of a packet is read or changed.
RFC 791 §3.1, RFC 8200 §3, RFC 6040 §4.2 (congestion bits in a tunnel).
"""

from __future__ import annotations

from typing import NamedTuple

from kubespan.model.drop import DropReason
from kubespan.model.errors import ProtocolError

IPV4_HEADER_SIZE = 20
IPV6_HEADER_SIZE = 40

_CONGESTION_EXPERIENCED = 3


class InnerPacket(NamedTuple):
    """A packet that came out of the tunnel, cut to its own length, and where it says it is from."""

    packet: bytes
    version: int
    source: int


def inner_packet(plaintext: bytes) -> InnerPacket:
    """Cut an opened, possibly padded packet to the length in its header.

    Raises ProtocolError(BAD_INNER) when it is not IPv4 or IPv6 of a length that fits.
    """
    version = plaintext[0] >> 4 if plaintext else 0
    if version == 4 and len(plaintext) >= IPV4_HEADER_SIZE:
        length = int.from_bytes(plaintext[2:4], "big")
        if IPV4_HEADER_SIZE <= length <= len(plaintext):
            return InnerPacket(plaintext[:length], 4, int.from_bytes(plaintext[12:16], "big"))
    if version == 6 and len(plaintext) >= IPV6_HEADER_SIZE:
        length = IPV6_HEADER_SIZE + int.from_bytes(plaintext[4:6], "big")
        if length <= len(plaintext):
            return InnerPacket(plaintext[:length], 6, int.from_bytes(plaintext[8:24], "big"))
    raise ProtocolError(DropReason.BAD_INNER)


def destination(packet: bytes) -> tuple[int, int]:
    """Return version and destination address of a packet that goes into the tunnel.

    Raises ProtocolError(BAD_OUTBOUND) when it is not IPv4 or IPv6.
    """
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= IPV4_HEADER_SIZE:
        return 4, int.from_bytes(packet[16:20], "big")
    if version == 6 and len(packet) >= IPV6_HEADER_SIZE:
        return 6, int.from_bytes(packet[24:40], "big")
    raise ProtocolError(DropReason.BAD_OUTBOUND)


def congestion_bits(packet: bytes) -> int:
    """Return the two congestion bits of a valid packet, or 0 of an empty one."""
    if not packet:
        return 0
    return packet[1] & 3 if packet[0] >> 4 == 4 else packet[1] >> 4 & 3


def mark_congestion(packet: bytes) -> bytes:
    """Return a valid packet with "congestion experienced" set, unless its flow does not take part.

    Source: RFC 6040 §4.2; the IPv4 header checksum is updated as in RFC 1624 §3.
    """
    if congestion_bits(packet) in (0, _CONGESTION_EXPERIENCED):
        return packet
    if packet[0] >> 4 == 6:
        return bytes((packet[0], packet[1] | _CONGESTION_EXPERIENCED << 4)) + packet[2:]
    marked = packet[1] | _CONGESTION_EXPERIENCED
    # Modulo 0xFFFF is one's complement arithmetic, and gives what a whole sum would give.
    checksum = (int.from_bytes(packet[10:12], "big") - (marked - packet[1])) % 0xFFFF
    return packet[:1] + bytes((marked,)) + packet[2:10] + checksum.to_bytes(2, "big") + packet[12:]
