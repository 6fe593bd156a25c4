"""The underlay as somebody sees it who taps every cable of the hub."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Self

from tests.mesh_scenarios.mesh_lab import PORT, Mesh
from tests.netns.capture import ICMP, UDP, Capture, Datagram, Packet

TCP = 6
UNREACHABLE = 3


class Wire:
    """Captures at all ports that the hub has by now, between entering and leaving."""

    def __init__(self, mesh: Mesh) -> None:
        self._stack = ExitStack()
        self._captures = [Capture(mesh.hub, port) for port in mesh.ports]
        self._service, _, port = mesh.url.removeprefix("http://").rpartition(":")
        self._port = int(port)

    def __enter__(self) -> Self:
        for capture in self._captures:
            self._stack.enter_context(capture)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def packets(self) -> list[Packet]:
        """Return every IP packet seen by now; one that passes two ports is there twice."""
        return [packet for capture in self._captures for packet in capture.packets()]

    def datagrams(self) -> list[Datagram]:
        """Return every datagram to or from WireGuard's port."""
        found = [datagram for capture in self._captures for datagram in capture.datagrams()]
        return [one for one in found if PORT in (one.source_port, one.destination_port)]

    def discovery(self) -> list[Packet]:
        """Return what is said to or by discovery."""
        return [packet for packet in self.packets() if self._is_discovery(packet)]

    def in_clear(self) -> list[Packet]:
        """Return what is neither WireGuard's, nor to or from discovery, nor of one link only."""
        return [packet for packet in self.packets() if not self._is_expected(packet)]

    def _is_discovery(self, packet: Packet) -> bool:
        """Whether it is said to its address and TCP port, or comes from there."""
        ends = zip((packet.source, packet.destination), _ports(packet), strict=True)
        return packet.protocol == TCP and (self._service, self._port) in ends

    def _is_expected(self, packet: Packet) -> bool:
        if packet.source.startswith("fe80:"):
            return True  # how neighbours on a cable find each other
        if packet.destination.startswith(("ff02:", "224.0.0.")):
            return True
        if packet.protocol == ICMP and packet.body[0] == UNREACHABLE:
            # A host that does not listen yet, or no more, returns what it was sent.
            quoted = Packet.parse(packet.body[8:], packet.at)
            return quoted is not None and self._is_expected(quoted)
        is_wireguards = packet.protocol == UDP and PORT in _ports(packet)
        return is_wireguards or self._is_discovery(packet)


def _ports(packet: Packet) -> tuple[int, int]:
    """Return the source's and the destination's."""
    return int.from_bytes(packet.body[:2], "big"), int.from_bytes(packet.body[2:4], "big")
