"""The error that tells a sender that no peer has the address it wrote to.

Builds bytes, decides nothing about rates. RFC 792 and RFC 1812 §4.3 (IPv4), RFC 4443 §2.4 and §3.1
(IPv6). The error comes from the unreachable address itself: as one from a local address, the system
would throw it away.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

from kubespan.model.errors import ProtocolError
from kubespan.wireguard.inner import IPV4_HEADER_SIZE, IPV6_HEADER_SIZE, destination

_ICMPV4 = 1
_ICMPV6 = 58
_ICMPV4_ERRORS = frozenset((3, 4, 5, 11, 12))
_FIRST_ICMPV6_QUERY = 128
_HOST_UNREACHABLE = bytes((3, 1))
_ADDRESS_UNREACHABLE = bytes((1, 3))

_FRAGMENT_OFFSET = 0x1FFF
_IPV6_FRAGMENT = 44
_IPV6_FRAGMENT_OFFSET = 0xFFF8
_IPV6_OPTIONS = frozenset((0, 43, 60))
"""Extension headers that begin with the next header and their own length: RFC 8200 §4."""

_LARGEST_IPV4_ERROR = 576
_LARGEST_IPV6_ERROR = 1280
_INTERNETWORK_CONTROL = 0xC0
_HOPS = 64


def unreachable(packet: bytes) -> bytes | None:
    """Return the ICMP host (IPv4) or address (IPv6) unreachable error about a packet.

    None about what must not be answered: errors, later fragments, and anything to or from more than
    one host or nobody.
    """
    try:
        version, _ = destination(packet)
    except ProtocolError:
        return None
    return _unreachable_ipv4(packet) if version == 4 else _unreachable_ipv6(packet)


def source_address(packet: bytes) -> IPv4Address | IPv6Address:
    """Return whom an error about this packet goes to. Raises ProtocolError(BAD_OUTBOUND)."""
    version, _ = destination(packet)
    return IPv4Address(packet[12:16]) if version == 4 else IPv6Address(packet[8:24])


def checksum(data: bytes) -> int:
    """Return the Internet checksum of RFC 1071, with which the whole sums up to zero."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _unreachable_ipv4(packet: bytes) -> bytes | None:
    source, target = IPv4Address(packet[12:16]), IPv4Address(packet[16:20])
    if not (_is_one_host(source) and _is_one_host(target)):
        return None
    header_size = (packet[0] & 15) * 4
    if header_size < IPV4_HEADER_SIZE or _is_ipv4_error(packet, header_size):
        return None
    if int.from_bytes(packet[6:8], "big") & _FRAGMENT_OFFSET:
        return None
    body = _HOST_UNREACHABLE + bytes(6) + packet[: _LARGEST_IPV4_ERROR - IPV4_HEADER_SIZE - 8]
    body = body[:2] + checksum(body).to_bytes(2, "big") + body[4:]
    length = IPV4_HEADER_SIZE + len(body)
    header = struct.pack(
        ">BBHHHBBH4s4s",
        0x45,
        _INTERNETWORK_CONTROL,
        length,
        0,
        0,
        _HOPS,
        _ICMPV4,
        0,
        target.packed,
        source.packed,
    )
    return header[:10] + checksum(header).to_bytes(2, "big") + header[12:] + body


def _unreachable_ipv6(packet: bytes) -> bytes | None:
    source, target = IPv6Address(packet[8:24]), IPv6Address(packet[24:40])
    if not (_is_one_host(source) and _is_one_host(target)) or not _is_answerable_ipv6(packet):
        return None
    body = _ADDRESS_UNREACHABLE + bytes(6) + packet[: _LARGEST_IPV6_ERROR - IPV6_HEADER_SIZE - 8]
    pseudo_header = target.packed + source.packed + struct.pack(">II", len(body), _ICMPV6)
    body = body[:2] + checksum(pseudo_header + body).to_bytes(2, "big") + body[4:]
    first_word = 6 << 28 | _INTERNETWORK_CONTROL << 20
    header = struct.pack(">IHBB", first_word, len(body), _ICMPV6, _HOPS)
    return header + target.packed + source.packed + body


def _is_one_host(address: IPv4Address | IPv6Address) -> bool:
    if address.is_multicast or address.is_unspecified or address.is_loopback:
        return False
    return address != IPv4Address(0xFFFFFFFF)


def _is_ipv4_error(packet: bytes, header_size: int) -> bool:
    """Tell whether this is an ICMP error, or is cut so short that it might be one."""
    if packet[9] != _ICMPV4:
        return False
    return len(packet) <= header_size or packet[header_size] in _ICMPV4_ERRORS


def _is_answerable_ipv6(packet: bytes) -> bool:
    """Walk the extension headers: neither an ICMPv6 error nor a later fragment, as far as seen."""
    next_header, offset = packet[6], IPV6_HEADER_SIZE
    while next_header in _IPV6_OPTIONS or next_header == _IPV6_FRAGMENT:
        header = packet[offset : offset + 8]
        if len(header) < 8:
            return False
        if next_header == _IPV6_FRAGMENT:
            if int.from_bytes(header[2:4], "big") & _IPV6_FRAGMENT_OFFSET:
                return False
            offset += 8
        else:
            offset += 8 + header[1] * 8
        next_header = header[0]
    if next_header != _ICMPV6:
        return True
    return offset < len(packet) and packet[offset] >= _FIRST_ICMPV6_QUERY
