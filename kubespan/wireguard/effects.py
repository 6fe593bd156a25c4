"""What the core asks for. Effects are values; whoever drives the core carries them out in order.

They are the only way in which anything leaves it, besides the shared structures of `datapath`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from kubespan.model.address import Endpoint, Source
from kubespan.model.drop import DropReason
from kubespan.model.keys import PublicKey
from kubespan.wireguard.datapath import PeerSlot


class Event(Enum):
    """A change in the life of a peer that an operator may want to read about."""

    HANDSHAKE_INITIATION_SENT = "handshake initiation sent"
    HANDSHAKE_RESPONSE_SENT = "handshake response sent"
    HANDSHAKE_COMPLETED = "handshake completed"
    HANDSHAKE_GAVE_UP = "handshake given up"
    KEEPALIVE_SENT = "keepalive sent"
    ROAMED = "endpoint changed"
    KEYS_ZEROED = "session keys zeroed"
    COOKIE_RECEIVED = "cookie received"
    CLOCK_WENT_BACK = "initiation older than the last one: replayed, or the peer's clock went back"


@dataclass(frozen=True, slots=True)
class SendDatagram:
    """Send a datagram to an endpoint, from this source if there is one, with this traffic class.

    `slot` is the peer's, so that a source that the system refuses can be forgotten; a cookie reply
    has none.
    """

    datagram: bytes
    endpoint: Endpoint
    source: Source | None
    traffic_class: int
    slot: PeerSlot | None


@dataclass(frozen=True, slots=True)
class DeliverPacket:
    """Write an IP packet to the TUN device."""

    packet: bytes


@dataclass(frozen=True, slots=True)
class Dropped:
    """Count one packet or datagram that was refused."""

    reason: DropReason


@dataclass(frozen=True, slots=True)
class PeerEvent:
    """Tell that something happened to a peer; `detail` holds no secrets."""

    peer: PublicKey
    event: Event
    detail: str = ""


Effect = SendDatagram | DeliverPacket | Dropped | PeerEvent
