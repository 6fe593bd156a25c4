"""What passes on an interface, as seen by a packet socket: IP packets, and UDP read out of them.

On a loopback every packet is seen twice, leaving and arriving; the leaving one is left out there.
"""

from __future__ import annotations

import ipaddress
import select
import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.netns.namespace import SO_RCVBUFFORCE, Namespace

ETH_P_ALL = 0x0003
PACKET_OUTGOING = 4
UDP = 17
ICMP = 1
ICMP6 = 58
INITIATION, RESPONSE, COOKIE_REPLY, TRANSPORT = 1, 2, 3, 4


@dataclass(frozen=True, slots=True)
class Packet:
    """One IP packet: when it was seen (monotonic seconds), its header, what is inside."""

    at: float
    source: str
    destination: str
    traffic_class: int
    protocol: int
    length: int
    body: bytes

    @classmethod
    def parse(cls, data: bytes, at: float) -> Packet | None:
        """Read one, or None for anything that is not IP; extension headers are not followed."""
        if len(data) >= 20 and data[0] >> 4 == 4:
            header = (data[0] & 15) * 4
            source, destination = (str(ipaddress.IPv4Address(data[i : i + 4])) for i in (12, 16))
            return cls(at, source, destination, data[1], data[9], len(data), data[header:])
        if len(data) >= 40 and data[0] >> 4 == 6:
            traffic_class = (int.from_bytes(data[:2], "big") >> 4) & 255
            source, destination = (str(ipaddress.IPv6Address(data[i : i + 16])) for i in (8, 24))
            return cls(at, source, destination, traffic_class, data[6], len(data), data[40:])
        return None


@dataclass(frozen=True, slots=True)
class Datagram:
    """One UDP datagram and the packet it came in."""

    packet: Packet
    source_port: int
    destination_port: int
    payload: bytes

    @property
    def kind(self) -> int:
        """The WireGuard message type."""
        return self.payload[0] if self.payload else 0

    @property
    def ecn(self) -> int:
        """The two bits of explicit congestion notification of the outer header."""
        return self.packet.traffic_class & 3


class Capture:
    """Everything that passes an interface between entering and leaving the context."""

    def __init__(self, namespace: Namespace, interface: str) -> None:
        self._loopback = interface == "lo"
        self._socket = namespace.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        self._socket.setblocking(False)
        namespace.inside(lambda: self._socket.bind((interface, ETH_P_ALL)))
        self._thread = threading.Thread(target=self._read, name="capture")
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._packets: list[Packet] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._take()
        self._stopped.set()
        self._thread.join()
        self._socket.close()

    def packets(self, protocol: int = 0) -> list[Packet]:
        """Return the packets seen so far, of one protocol or all."""
        self._take()
        return [p for p in tuple(self._packets) if protocol in (0, p.protocol)]

    def datagrams(self, kind: int = 0) -> list[Datagram]:
        """Return the UDP datagrams seen so far, of one WireGuard message type or all."""
        found = []
        for packet in self.packets(UDP):
            source, destination = struct.unpack("!HH", packet.body[:4])
            datagram = Datagram(packet, source, destination, packet.body[8:])
            if kind in (0, datagram.kind):
                found.append(datagram)
        return found

    def _read(self) -> None:
        while not self._stopped.is_set():
            select.select([self._socket], [], [], 0.05)
            self._take()

    def _take(self) -> None:
        """Take in everything that has been seen by now; nothing once the context is left."""
        with self._lock, suppress(OSError):  # nothing more, or the interface is down for now
            while True:
                data, address = self._socket.recvfrom(1 << 16)
                packet = Packet.parse(data, time.monotonic())
                if packet and not (self._loopback and address[2] == PACKET_OUTGOING):
                    self._packets.append(packet)
