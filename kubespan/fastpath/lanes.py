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
    """What the lanes of one interface work on. A descriptor of -1 is none."""

    tun_fd: int
    ipv4_fd: int = -1
    ipv6_fd: int = -1
    vnet_header: bool = False
    """Whether the TUN was opened with IFF_VNET_HDR."""
    tcp_offload: bool = False
    """Whether the TUN accepted TSO for both families."""
    udp_offload: bool = False
    """Whether the TUN accepted USO for both families."""
    segment: bool = True
    """Whether UDP_SEGMENT may be used."""
    single: bool = False
    """One thread for both directions, instead of one for each."""


class Lanes(Protocol):
    """The native threads of one interface: made, started and stopped together."""

    upcall_fd: int
    """Readable when there is something to drain."""

    def start(self) -> None:
        """Packets move from here on."""

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
        `lane_inbound_busy_ns` and `lane_inbound_alive_ns`; `outbound`; `both` where it is one.
        """
