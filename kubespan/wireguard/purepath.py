"""The data path in Python: the reference for the native one, and the whole of the pure build.

It has no lanes. Every packet and datagram goes through the core, which looks routes up in its own
table; so there is nothing to publish to and nothing that could still be using a withdrawn key.
"""

from __future__ import annotations

from collections.abc import Iterable

from kubespan.model.address import Prefix
from kubespan.model.constants import DEFAULT_MTU
from kubespan.noise.cookie import Gate
from kubespan.wireguard.datapath import PeerSlot
from kubespan.wireguard.keypair import PureKeypair
from kubespan.wireguard.slot import PureSlot


class PurePath:
    """A DataPath: see there for what each member promises."""

    def __init__(self) -> None:
        self.mtu = DEFAULT_MTU

    def create_slot(self) -> PureSlot:
        """Return a slot without endpoint, sessions or times."""
        return PureSlot()

    def create_keypair(
        self,
        *,
        send_key: bytes,
        receive_key: bytes,
        local_index: int,
        remote_index: int,
        is_initiator: bool,
        created_at: float,
    ) -> PureKeypair:
        """Return a keypair of two 32-byte keys."""
        return PureKeypair(
            send_key=send_key,
            receive_key=receive_key,
            local_index=local_index,
            remote_index=remote_index,
            is_initiator=is_initiator,
            created_at=created_at,
        )

    def is_index_free(self, local_index: int) -> bool:  # noqa: ARG002  nothing lingers here
        """Tell that the index is free: what is withdrawn here is gone."""
        return True

    def publish_routes(self, routes: Iterable[tuple[Prefix, PeerSlot]]) -> None:
        """Do nothing: there is no lane to tell."""

    def publish_gate(self, gate: Gate | None) -> None:
        """Do nothing: every handshake message goes up by itself."""
