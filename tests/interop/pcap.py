"""A capture file of UDP datagrams, with IP headers made anew around them."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

LINKTYPE_RAW = 101
NANOSECOND_MAGIC = 0xA1B23C4D
UDP = 17


@dataclass(frozen=True, slots=True)
class Seen:
    """A datagram, who sent it to whom, and when (seconds, from any moment)."""

    at: float
    source: tuple[str, int]
    destination: tuple[str, int]
    payload: bytes

    def packet(self) -> bytes:
        """Build an IP packet around it, checksums left out."""
        addresses = [ipaddress.ip_address(end[0]) for end in (self.source, self.destination)]
        length = 8 + len(self.payload)
        udp = struct.pack("!HHHH", self.source[1], self.destination[1], length, 0) + self.payload
        packed = b"".join(address.packed for address in addresses)
        if addresses[0].version == 4:
            return struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0, 64, UDP, 0) + packed + udp
        return struct.pack("!IHBB", 6 << 28, length, UDP, 64) + packed + udp


def write_pcap(path: Path, datagrams: Iterable[Seen]) -> None:
    """Write the datagrams to a new capture file."""
    with path.open("wb") as out:
        out.write(struct.pack("!IHHiIII", NANOSECOND_MAGIC, 2, 4, 0, 0, 1 << 16, LINKTYPE_RAW))
        for datagram in datagrams:
            packet = datagram.packet()
            seconds, fraction = divmod(datagram.at, 1)
            out.write(struct.pack("!IIII", int(seconds), int(fraction * 1e9), *[len(packet)] * 2))
            out.write(packet)
