"""What stands around lanes and devices in these tests: a hearer that notes, and a TUN device.

A pair of sockets that keep packets apart stands for the TUN device, so that nothing needs root.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from kubespan.linux.tun import Tun
from kubespan.model.address import Arrival

PATIENCE = 5.0


async def eventually(what: str, holds: Callable[[], object]) -> None:
    """Let the event loop go on until something holds."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not holds():
        assert asyncio.get_running_loop().time() < deadline, f"{what}: not within {PATIENCE} s"
        await asyncio.sleep(0.005)


class Cable:
    """A TUN device, and the system's end of it."""

    def __init__(self) -> None:
        self.system, self._ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.system.setblocking(False)
        self._ours.setblocking(False)
        self.tun = Tun(self._ours.fileno(), has_vnet_header=False)

    def waiting(self) -> list[bytes]:
        """Take all packets that the system has been handed."""
        packets = []
        while True:
            try:
                packets.append(self.system.recv(65535))
            except BlockingIOError:
                return packets

    def close(self) -> None:
        self.system.close()
        self._ours.close()


class Notebook:
    """A hearer that writes down what it hears, by kind."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def hear_packet(self, packet: bytes) -> None:
        self.heard.append(("packet", packet))

    def hear_unroutable(self, packet: bytes) -> None:
        self.heard.append(("unroutable", packet))

    def hear_datagram(
        self, datagram: bytes, arrival: Arrival, *, queued: int, congestion: bool
    ) -> None:
        self.heard.append(("datagram", datagram, arrival, queued, congestion))

    def hear_confirmed(self, local_index: int) -> None:
        self.heard.append(("confirmed", local_index))

    def hear_rekey_due(self, local_index: int) -> None:
        self.heard.append(("rekey due", local_index))

    def hear_overflow(self) -> None:
        self.heard.append(("overflow",))

    def hear_gone(self) -> None:
        self.heard.append(("gone",))
