"""The seam between a device and whatever moves its packets: lanes below, the device above.

Lanes are either native threads, which hand up only what needs a decision, or readers on the event
loop, which hand up everything. Protocols and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from kubespan.device.bind import Sockets
from kubespan.model.address import Arrival


class Hearer(Protocol):
    """Who lanes hand things up to, always on the thread of the event loop."""

    def hear_packet(self, packet: bytes) -> None:
        """Take a packet from the TUN device that lanes cannot send by themselves."""

    def hear_unroutable(self, packet: bytes) -> None:
        """Take a packet from the TUN device, already counted, whose destination has no peer."""

    def hear_datagram(
        self, datagram: bytes, arrival: Arrival, *, queued: int, congestion: bool
    ) -> None:
        """Take a datagram; `queued` handshake messages wait behind it."""

    def hear_confirmed(self, local_index: int) -> None:
        """Take note that the peer used the session of this index for the first time."""

    def hear_rekey_due(self, local_index: int) -> None:
        """Take note that the session of this index should be replaced."""

    def hear_overflow(self) -> None:
        """Take note that something was dropped because too much was waiting."""

    def hear_gone(self) -> None:
        """Take note that the interface is deleted."""


class Lanes(Protocol):
    """Whatever moves packets between the TUN device and the sockets."""

    implementation: str
    """What `kubespan_implementation` tells: native or pure."""

    aead: str
    """What `kubespan_aead` tells: who seals and opens packets."""

    merges: bool
    """Whether sockets may hand over several datagrams as one."""

    sorts: bool
    """Whether peers have queues of their own."""

    def attend(self, sockets: Sockets | None) -> None:
        """Serve these sockets and no others; with None, move nothing.

        When this returns, nothing uses the sockets served before. What the system sends meanwhile
        waits in the TUN device: a packet may come before we hear that the link is up.
        Raises SystemFault, and then nothing moves.
        """

    def close(self) -> None:
        """Stop everything; the lanes are not used again."""

    def counters(self) -> Mapping[str, int]:
        """Return what the lanes themselves counted."""
