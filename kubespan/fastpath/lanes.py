"""What lanes are given and what they hand up: plain values, the same in every build.

A lane is a native thread that moves packets. It never calls Python; it leaves an upcall, and the
event loop collects it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from kubespan.model.address import Arrival
from kubespan.model.drop import DropReason


class UpcallKind(IntEnum):
    """What a lane hands up. The numbers are the native module's."""

    OUTBOUND = 0
    """A packet from the TUN whose peer has no session: `payload`."""
    NO_PEER = 1
    """A packet from the TUN that no peer is allowed: `payload`."""
    HANDSHAKE = 2
    """A datagram that is not a transport message: `payload`, `arrival`, `queued`."""
    CONFIRMED = 3
    """The first message under `next`: `value` is the local index."""
    REKEY_DUE = 4
    """The key is old or nearly used up: `value` is the local index."""
    DEVICE_GONE = 5
    """The TUN device does not exist any more: `value` is the errno."""


@dataclass(frozen=True, slots=True)
class Upcall:
    """One thing that only the core can decide about."""

    kind: UpcallKind
    value: int
    payload: bytes
    arrival: Arrival | None
    queued: int
    """Handshake messages still waiting behind this one."""


@dataclass(frozen=True, slots=True)
class LaneOptions:
    """What the lanes of one interface work on."""

    tun_fd: int
    """What packets are written to, and read from where there are no `tun_queues`."""
    ipv4_fds: tuple[int, ...] = ()
    """Sockets that are received from; the first also sends. None where there is no such family."""
    ipv6_fds: tuple[int, ...] = ()
    vnet_header: bool = False
    """Whether the TUN was opened with IFF_VNET_HDR."""
    tcp_offload: bool = False
    """Whether the TUN accepted TSO for both families."""
    udp_offload: bool = False
    """Whether the TUN accepted USO for both families."""
    segment: bool = True
    """Whether UDP_SEGMENT may be used."""
    threads: int = 2
    """1 for both directions together; or half of them for the way out, the others for that in."""
    tun_queues: tuple[int, ...] = ()
    """What packets are read from; each is read by one thread."""


class Lanes(Protocol):
    """The native threads of one interface: made, started and stopped together."""

    upcall_fd: int
    """Readable when there is something to drain."""

    def start(self) -> None:
        """Packets move from here on. Raises SystemFault, and then none does."""

    def stop(self) -> None:
        """No packet moves any more, no thread is left; what was handed up can still be drained."""

    def close(self) -> None:
        """Give the lanes' own descriptors back; call it after `stop`."""

    def drain(self, limit: int) -> list[Upcall]:
        """Return at most `limit` upcalls of each lane; as many from one means: call again."""

    def drops(self) -> Counter[DropReason]:
        """Return how much the lanes refused, by reason."""

    def counters(self) -> Counter[str]:
        """Return what the lanes did: calls, messages and packets, by name.

        For each thread also how long it was not asleep and how long there was one, in nanoseconds:
        `lane_inbound_busy_ns` and `lane_inbound_alive_ns`; `outbound`; `both` where it is one;
        `inbound2` and so on where there are several.
        """
