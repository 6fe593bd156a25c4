"""What core and lanes share about one peer, in Python: the reference for the native slot.

Keeps and counts; decides nothing. Which times there are follows from the rules in `timers`.
"""

from __future__ import annotations

from kubespan.model.address import Arrival, Endpoint, Source
from kubespan.wireguard.datapath import Keypair


class PureSlot:
    """A PeerSlot of the data path: see there for what each member means."""

    __slots__ = (
        "_endpoint",
        "current",
        "first_data_received_at",
        "first_data_sent_at",
        "last_data_received_at",
        "last_received_at",
        "last_sent_at",
        "next",
        "previous",
        "rx_bytes",
        "source",
        "tx_bytes",
    )

    def __init__(self) -> None:
        self._endpoint: Endpoint | None = None
        self.source: Source | None = None
        self.previous: Keypair | None = None
        self.current: Keypair | None = None
        self.next: Keypair | None = None
        self.last_sent_at = 0.0
        self.last_received_at = 0.0
        self.first_data_received_at = 0.0
        self.last_data_received_at = 0.0
        self.first_data_sent_at = 0.0
        self.tx_bytes = 0
        self.rx_bytes = 0

    @property
    def queue(self) -> None:
        """None: all peers share one."""

    @property
    def endpoint(self) -> Endpoint | None:
        """Where the peer is; assigning also forgets the source."""
        return self._endpoint

    @endpoint.setter
    def endpoint(self, endpoint: Endpoint | None) -> None:
        self._endpoint = endpoint
        self.source = None

    def install(
        self,
        previous: Keypair | None,
        current: Keypair | None,
        next: Keypair | None,
    ) -> None:
        """Publish all three sessions at once and wipe those not among them."""
        before = (self.previous, self.current, self.next)
        self.previous, self.current, self.next = previous, current, next
        for keypair in before:
            if keypair is not None and keypair not in (previous, current, next):
                keypair.wipe()

    def roam(self, arrival: Arrival) -> None:
        """Make the endpoint and source those of an authenticated arrival."""
        self._endpoint = arrival.endpoint
        self.source = arrival.source

    def note_sent(self, boot: float, size: int, *, data: bool) -> None:
        """Record an authenticated message sent."""
        self.tx_bytes += size
        self.last_sent_at = boot
        self.first_data_received_at = 0.0
        if data and not self.first_data_sent_at:
            self.first_data_sent_at = boot

    def note_received(self, boot: float, size: int, *, data: bool) -> None:
        """Record an authenticated message received."""
        self.rx_bytes += size
        self.last_received_at = boot
        self.first_data_sent_at = 0.0
        if not data:
            return
        self.last_data_received_at = boot
        if not self.first_data_received_at:
            self.first_data_received_at = boot

    def forget_data_sent(self) -> None:
        """Make `first_data_sent_at` none."""
        self.first_data_sent_at = 0.0

    def forget_data_received(self) -> None:
        """Make `first_data_received_at` none."""
        self.first_data_received_at = 0.0

    def retire(self) -> None:
        """Withdraw and wipe every session."""
        self.install(None, None, None)
