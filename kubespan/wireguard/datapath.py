"""The seam between the core and whatever moves packets: three shared structures, as Protocols.

The core creates, installs and withdraws; lanes (native threads, or nobody in the pure build) use
what is installed and note times and bytes. Each has a pure twin (`keypair`, `slot`, `purepath`) and
a native one outside this package. This module holds no behaviour at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from kubespan.model.address import Arrival, Endpoint, Prefix, Source
from kubespan.noise.cookie import Gate


class Keypair(Protocol):
    """The two transport keys of one session, with their send counter and replay window."""

    @property
    def local_index(self) -> int:
        """Our index: the receiver index of what the peer sends under this session."""

    @property
    def remote_index(self) -> int:
        """The peer's index: the receiver index of what we send under this session."""

    @property
    def is_initiator(self) -> bool:
        """Whether we sent the initiation that led to this session."""

    @property
    def created_at(self) -> float:
        """Boot seconds at which the session was derived."""

    @property
    def send_counter(self) -> int:
        """How many messages have been sealed so far; the next one carries this number."""

    def seal(self, packet: bytes) -> bytes:
        """Return the transport datagram of `packet`, padded or empty, under the next counter.

        Raises InternalError at REJECT_AFTER_MESSAGES; no counter is used then.
        """

    def open(self, datagram: bytes) -> bytes | int:
        """Return the plaintext of a transport datagram, or the DropReason value that refuses it.

        Never raises for bad input. The replay window moves only after the tag was good.
        """

    def wipe(self) -> None:
        """Overwrite both keys; the keypair can neither seal nor open afterwards."""


class PeerSlot(Protocol):
    """What core and lanes both know of one peer. Times are boot seconds, 0.0 meaning none."""

    @property
    def endpoint(self) -> Endpoint | None:
        """Where the peer is; assigning also forgets the source."""

    @endpoint.setter
    def endpoint(self, endpoint: Endpoint | None) -> None: ...

    @property
    def source(self) -> Source | None:
        """The local address that we answer from; None lets the system choose."""

    @source.setter
    def source(self, source: Source | None) -> None: ...

    @property
    def queue(self) -> int | None:
        """Which of RECEIVE_QUEUES its messages wait in, never the first; None where all share one.

        The highest bits of every local index that is given to the peer.
        """

    @property
    def previous(self) -> Keypair | None:
        """The session before the current one: opens, never seals."""

    @property
    def current(self) -> Keypair | None:
        """The session that seals; it opens too."""

    @property
    def next(self) -> Keypair | None:
        """The session that we answered for and the peer has not used yet: opens, never seals."""

    @property
    def last_sent_at(self) -> float:
        """When an authenticated message, handshake or transport, last went out."""

    @property
    def last_received_at(self) -> float:
        """When an authenticated message, handshake or transport, last came in."""

    @property
    def first_data_received_at(self) -> float:
        """When the first non-empty data came in since anything was last sent."""

    @property
    def last_data_received_at(self) -> float:
        """When non-empty data last came in."""

    @property
    def first_data_sent_at(self) -> float:
        """When the first non-empty data went out since anything was last received."""

    @property
    def tx_bytes(self) -> int:
        """UDP payload bytes sent to the peer."""

    @property
    def rx_bytes(self) -> int:
        """UDP payload bytes of authenticated messages received from the peer."""

    def install(
        self,
        previous: Keypair | None,
        current: Keypair | None,
        next: Keypair | None,
    ) -> None:
        """Publish all three sessions at once; those not among them are withdrawn and wiped."""

    def roam(self, arrival: Arrival) -> None:
        """Make the endpoint and source those of an authenticated arrival."""

    def note_sent(self, boot: float, size: int, *, data: bool) -> None:
        """Record an authenticated message sent: bytes to count, and whether it carried a packet."""

    def note_received(self, boot: float, size: int, *, data: bool) -> None:
        """Record an authenticated message received: bytes to count, and whether it had a packet."""

    def forget_data_sent(self) -> None:
        """Make `first_data_sent_at` none: the next data sent is the first again."""

    def forget_data_received(self) -> None:
        """Make `first_data_received_at` none: the next data received is the first again."""

    def retire(self) -> None:
        """Withdraw and wipe every session: the peer is gone, the core is done with the slot."""


class DataPath(Protocol):
    """The maker of slots and keypairs, and the holder of the routes."""

    @property
    def mtu(self) -> int:
        """The MTU of the TUN device, 0 when it is not known."""

    @mtu.setter
    def mtu(self, mtu: int) -> None: ...

    def create_slot(self) -> PeerSlot:
        """Return a slot without endpoint, sessions or times."""

    def create_keypair(
        self,
        *,
        send_key: bytes,
        receive_key: bytes,
        local_index: int,
        remote_index: int,
        is_initiator: bool,
        created_at: float,
    ) -> Keypair:
        """Return a keypair of two 32-byte keys, which no lane can see until it is installed."""

    def is_index_free(self, local_index: int) -> bool:
        """Tell whether no keypair, installed or just withdrawn, answers to this local index."""

    def publish_routes(self, routes: Iterable[tuple[Prefix, PeerSlot]]) -> None:
        """Replace all allowed IPs at once."""

    def publish_gate(self, gate: Gate | None) -> None:
        """Let lanes judge handshake messages by this; by None, hand up all of them unjudged."""
