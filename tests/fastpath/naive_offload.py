"""What splitting and coalescing of TUN frames mean, said as plainly as possible.

The twin of kubespan/native/offload.h: no speed, no state, every packet built anew and its checksum
computed over the whole. Packets and frames are bytes.

Source: virtio specification 1.2 section 5.1.6; RFC 791, 1071, 6864, 8200, 9293, 768.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

NEEDS_CSUM = 1
GSO_NONE, GSO_TCPV4, GSO_UDP, GSO_TCPV6, GSO_UDP_L4, GSO_ECN = 0, 1, 3, 4, 5, 0x80
JOIN_TCP, JOIN_UDP = 1, 2
TCP, UDP = 6, 17
FIN, PSH, ACK, CWR = 0x01, 0x08, 0x10, 0x80
DF = 0x4000
HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION, MOBILITY = 0, 43, 44, 60, 135
EXTENSIONS = {HOP_BY_HOP, ROUTING, DESTINATION, MOBILITY}
CHECKSUM_AT = {TCP: 16, UDP: 6}
LONGEST_JOINED = 65535
HEADER_BYTES = 128
MOST_JOINED = {TCP: 512, UDP: 64}


Octets = bytes | bytearray


class RefusedError(Exception):
    """The frame cannot be understood."""


def need(condition: bool) -> None:
    """Refuse the frame unless the condition holds."""
    if not condition:
        raise RefusedError


def ones_sum(data: Octets) -> int:
    """Return the ones' complement sum of 16-bit words: the whole as one number, modulo 65535."""
    number = int.from_bytes(data + b"\0" * (len(data) % 2), "big")
    return number % 0xFFFF or (0xFFFF if number else 0)


def checksum(*parts: Octets) -> int:
    """Return the Internet checksum over parts that each have even length, but for the last."""
    return 0xFFFF - ones_sum(b"".join(parts))


class VnetHeader(NamedTuple):
    """The ten bytes before every packet of a TUN with IFF_VNET_HDR."""

    flags: int = 0
    gso_type: int = GSO_NONE
    hdr_len: int = 0
    gso_size: int = 0
    csum_start: int = 0
    csum_offset: int = 0

    def build(self) -> bytes:
        """Return the header as bytes, in host order."""
        return struct.pack("=BBHHHH", *self)

    @classmethod
    def parse(cls, frame: bytes) -> VnetHeader:
        """Read the header from the first ten bytes."""
        return cls(*struct.unpack_from("=BBHHHH", frame))


def u16(data: Octets, at: int) -> int:
    """Read a 16-bit number in network order."""
    return int.from_bytes(data[at : at + 2], "big")


def put16(data: bytearray, at: int, value: int) -> None:
    """Write a 16-bit number in network order."""
    data[at : at + 2] = (value & 0xFFFF).to_bytes(2, "big")


def addresses(packet: Octets) -> bytes:
    """Return the source and destination address."""
    return bytes(packet[12:20] if packet[0] >> 4 == 4 else packet[8:40])


def pseudo_header(packet: Octets, protocol: int, length: int) -> bytes:
    """Return the pseudo-header that transport checksums begin with."""
    return addresses(packet) + protocol.to_bytes(2, "big") + length.to_bytes(4, "big")


# ------------------------------------------------------------------------------------------ split


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the headers of a large packet lie."""

    protocol: int
    transport: int
    payload: int


def split(frame: bytes, most: int = 65536) -> list[bytes]:
    """Return the packets that a frame read from the TUN stands for, or raise RefusedError."""
    need(len(frame) > 10)
    header = VnetHeader.parse(frame)
    packet = frame[10:]
    version = packet[0] >> 4
    need(version in (4, 6))
    need(len(packet) >= (20 if version == 4 else 40))
    ip_header = (packet[0] & 15) * 4 if version == 4 else 40
    need(20 <= ip_header <= len(packet))
    if header.gso_type & ~GSO_ECN == GSO_NONE:
        return [plain(header, packet, ip_header)]
    need(len(packet) <= (65535 if version == 4 else 65575))
    layout = find_layout(header.gso_type & ~GSO_ECN, packet, ip_header)
    need(header.gso_size > 0)
    if header.flags & NEEDS_CSUM:
        need(header.csum_start == layout.transport)
        need(header.csum_offset == CHECKSUM_AT[layout.protocol])
    return cut(header, packet, layout, most)


def plain(header: VnetHeader, packet: bytes, ip_header: int) -> bytes:
    """Return a packet that stays one, cut to its IP length, its checksum completed if asked."""
    length = u16(packet, 2) if packet[0] >> 4 == 4 else 40 + u16(packet, 4)
    need(ip_header <= length <= len(packet))
    whole = bytearray(packet[:length])
    if header.flags & NEEDS_CSUM:
        field = header.csum_start + header.csum_offset
        need(header.csum_start >= ip_header and field + 2 <= length)
        put16(whole, field, checksum(whole[header.csum_start :]) or 0xFFFF)
    return bytes(whole)


def find_layout(kind: int, packet: bytes, ip_header: int) -> Layout:
    """Return where the headers of a packet of this GSO type lie."""
    protocols = {GSO_TCPV4: TCP, GSO_TCPV6: TCP, GSO_UDP_L4: UDP}
    need(kind in protocols)
    protocol, version = protocols[kind], packet[0] >> 4
    need(version == {GSO_TCPV4: 4, GSO_TCPV6: 6}.get(kind, version))
    at = ip_header
    following = packet[9 if version == 4 else 6]
    if version == 4:
        need(u16(packet, 6) & 0x3FFF == 0)
    while version == 6 and following in EXTENSIONS:
        need(at + 8 <= len(packet))
        following, at = packet[at], at + 8 * (packet[at + 1] + 1)
    need(following == protocol)
    need(at + (20 if protocol == TCP else 8) <= len(packet))
    transport_header = (packet[at + 12] >> 4) * 4 if protocol == TCP else 8
    need(transport_header >= (20 if protocol == TCP else 8))
    need(at + transport_header <= len(packet))
    return Layout(protocol, at, at + transport_header)


def cut(header: VnetHeader, packet: bytes, layout: Layout, most: int) -> list[bytes]:
    """Return the packets of a large one."""
    payload = packet[layout.payload :]
    size = header.gso_size
    chunks = [payload[at : at + size] for at in range(0, len(payload), size)] or [b""]
    need(len(chunks) <= most)
    need(len(chunks) == 1 or len(chunks) * layout.payload <= most * HEADER_BYTES)
    plain_header = 20 if packet[0] >> 4 == 4 else 40
    known = None
    if layout.transport != plain_header and header.flags & NEEDS_CSUM:
        partial = u16(packet, layout.transport + CHECKSUM_AT[layout.protocol])
        known = partial - (len(packet) - layout.transport)
    last = len(chunks) - 1
    return [
        segment(packet, layout, i, i == last, i * size, chunk, known)
        for i, chunk in enumerate(chunks)
    ]


def segment(
    packet: bytes, layout: Layout, i: int, last: bool, at: int, chunk: bytes, known: int | None
) -> bytes:
    """Return the i-th packet; `known` is the sum of the pseudo-header without its length."""
    ip = bytearray(packet[: layout.transport])
    transport = bytearray(packet[layout.transport : layout.payload])
    length = len(transport) + len(chunk)
    if ip[0] >> 4 == 4:
        put16(ip, 2, len(ip) + length)
        put16(ip, 4, u16(ip, 4) + i)
        put16(ip, 10, 0)
        put16(ip, 10, checksum(ip))
    else:
        put16(ip, 4, len(ip) + length - 40)
    if layout.protocol == TCP:
        sequence = int.from_bytes(transport[4:8], "big") + at
        transport[4:8] = (sequence % 2**32).to_bytes(4, "big")
        transport[13] &= ~(0 if last else FIN | PSH) & ~(CWR if i else 0)
    else:
        put16(transport, 4, length)
    field = CHECKSUM_AT[layout.protocol]
    put16(transport, field, 0)
    pseudo = pseudo_header(packet, layout.protocol, length)
    if known is not None:
        pseudo = ((known + length) % 0xFFFF).to_bytes(2, "big")
    value = checksum(pseudo, transport, chunk)
    put16(transport, field, value or (0xFFFF if layout.protocol == UDP else 0))
    return bytes(ip + transport) + chunk


# --------------------------------------------------------------------------------------- coalesce


@dataclass(frozen=True, slots=True)
class Segment:
    """A packet that may be joined with others."""

    packet: bytes
    protocol: int
    transport: int
    header: int
    constant: bytes
    sequence: int
    identification: int
    dont_fragment: bool
    push: bool

    @property
    def payload(self) -> int:
        """How many bytes it carries."""
        return len(self.packet) - self.header


class Place(NamedTuple):
    """Which other packets a packet must stay in order with; no ports: with all of the pair."""

    pair: bytes
    ports: bytes | None


def place(packet: bytes, features: int) -> Place | None:
    """Return where a packet belongs, or None if nothing joined can be of its flow."""
    version = packet[0] >> 4 if packet else 0
    if (version, len(packet) >= 20) == (4, True):
        protocol, at = packet[9], (packet[0] & 15) * 4
        hidden = at < 20 or u16(packet, 6) & 0x3FFF != 0
    elif (version, len(packet) >= 40) == (6, True):
        protocol, at, hidden = packet[6], 40, False
        if features and protocol in EXTENSIONS | {FRAGMENT}:
            return Place(bytes([version]) + addresses(packet), None)
    else:
        return None
    if not (protocol == TCP and features & JOIN_TCP) and not (
        protocol == UDP and features & JOIN_UDP
    ):
        return None
    pair = bytes([version]) + addresses(packet)
    if hidden or at + 8 > len(packet):
        return Place(pair, None)
    return Place(pair, bytes([protocol]) + packet[at : at + 4])


def read_segment(packet: bytes) -> Segment | None:
    """Return what joining needs to know, or None for a packet that always travels alone."""
    version = packet[0] >> 4
    at = 20 if version == 4 else 40
    protocol = packet[9 if version == 4 else 6]
    fragment = u16(packet, 6) if version == 4 else DF
    length = u16(packet, 2) if version == 4 else 40 + u16(packet, 4)
    if (version == 4 and packet[0] != 0x45) or fragment not in (0, DF) or length != len(packet):
        return None
    ip = packet[:2] + packet[6:9] if version == 4 else packet[:4] + packet[7:8]
    transport = packet[at:]
    if protocol == UDP:
        header = at + 8
        if u16(transport, 4) != len(transport) or not u16(transport, 6):
            return None
        constant, sequence, push = ip, 0, False
    else:
        if len(transport) < 20 or transport[12] & 15 or transport[13] & ~PSH != ACK:
            return None
        header = at + (transport[12] >> 4) * 4
        constant = ip + transport[8:13] + transport[14:16] + packet[at + 18 : header]
        sequence, push = int.from_bytes(transport[4:8], "big"), bool(transport[13] & PSH)
        if header < at + 20:
            return None
    if header >= len(packet):
        return None
    identification = u16(packet, 4) if version == 4 else 0
    return Segment(
        *(packet, protocol, at, header, constant, sequence, identification, fragment == DF, push)
    )


def is_intact(s: Segment) -> bool:
    """Say whether all checksums are what a sender would have written."""
    if s.packet[0] >> 4 == 4:
        header = bytearray(s.packet[:20])
        put16(header, 10, 0)
        if u16(s.packet, 10) != checksum(header):
            return False
    transport = bytearray(s.packet[s.transport :])
    field = CHECKSUM_AT[s.protocol]
    put16(transport, field, 0)
    value = checksum(pseudo_header(s.packet, s.protocol, len(transport)), transport)
    return u16(s.packet, s.transport + field) == (value or (0xFFFF if s.protocol == UDP else 0))


def follows(group: list[Segment], s: Segment) -> bool:
    """Say whether a packet of the same flow may be joined behind the group."""
    first, last = group[0], group[-1]
    total = len(first.packet) + sum(member.payload for member in group[1:])
    if last.push or last.payload < first.payload or s.payload > first.payload:
        return False
    if s.constant != first.constant or s.header != first.header:
        return False
    if total + s.payload > LONGEST_JOINED or len(group) >= MOST_JOINED[s.protocol]:
        return False
    if s.protocol == TCP and s.sequence != (last.sequence + last.payload) % 2**32:
        return False
    if s.packet[0] >> 4 == 4 and not follows_identification(group, s):
        return False
    return is_intact(s) and is_intact(first)


def follows_identification(group: list[Segment], s: Segment) -> bool:
    """Say whether identifications count up, or stay equal where they mean nothing."""
    steps = (s.identification - group[0].identification) % 65536
    if len(group) == 1 and steps == 0:
        return s.dont_fragment
    fixed = len(group) > 1 and group[1].identification == group[0].identification
    return steps == (0 if fixed else len(group))


def coalesce(packets: list[bytes], features: int) -> list[list[bytes]]:
    """Return the packets grouped into writes, in the order they are written."""
    groups: list[list[bytes]] = []
    open_groups: dict[Place, list[bytes]] = {}
    for packet in packets:
        where = place(packet, features)
        s = None
        if where is not None and where.ports is None:
            for other in [other for other in open_groups if other.pair == where.pair]:
                del open_groups[other]
        elif where is not None:
            s = read_segment(packet)
            group = open_groups.pop(where, None)
            if s is not None and group is not None and follows(read_all(group), s):
                group.append(packet)
                open_groups[where] = group
                continue
        groups.append([packet])
        if s is not None and where is not None:
            open_groups[where] = groups[-1]
    return groups


def read_all(group: list[bytes]) -> list[Segment]:
    """Return the group's packets, all of which can be joined."""
    return [s for packet in group if (s := read_segment(packet)) is not None]


def joined(group: list[bytes]) -> bytes:
    """Return the frame that is written to the TUN for a group."""
    if len(group) == 1:
        return VnetHeader().build() + group[0]
    members = read_all(group)
    first = members[0]
    packet = bytearray(first.packet + b"".join(m.packet[m.header :] for m in members[1:]))
    version, at, length = packet[0] >> 4, first.transport, len(packet) - first.transport
    if version == 4:
        put16(packet, 2, len(packet))
        put16(packet, 10, 0)
        put16(packet, 10, checksum(packet[:20]))
    else:
        put16(packet, 4, length)
    partial = ones_sum(pseudo_header(packet, first.protocol, length))
    put16(packet, at + CHECKSUM_AT[first.protocol], partial)
    if first.protocol == UDP:
        put16(packet, at + 4, length)
        kind = GSO_UDP_L4
    else:
        packet[at + 13] |= PSH if members[-1].push else 0
        kind = GSO_TCPV4 if version == 4 else GSO_TCPV6
    header = VnetHeader(
        NEEDS_CSUM, kind, first.header, first.payload, at, CHECKSUM_AT[first.protocol]
    )
    return header.build() + bytes(packet)
