"""From peers and how it stands with them to what WireGuard and the kernel should be.

Talos controllers/kubespan (ManagerController).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kubespan.mesh.status import endpoint_to_set
from kubespan.model.address import Endpoint
from kubespan.model.cluster import ClusterSecret
from kubespan.model.ipset import IPSet
from kubespan.model.keys import PresharedKey, PublicKey
from kubespan.model.plan import InterfaceConfig, NetworkPlan, PeerConfig
from kubespan.model.resources import (
    KubeSpanIdentity,
    KubeSpanPeerSpec,
    KubeSpanPeerStatus,
    PeerState,
)

Statuses = Mapping[PublicKey, KubeSpanPeerStatus]


def interface_config(
    identity: KubeSpanIdentity,
    secret: ClusterSecret,
    specs: Sequence[KubeSpanPeerSpec],
    statuses: Statuses,
    listen_port: int,
) -> InterfaceConfig:
    """Return what the WireGuard interface should be."""
    peers = (_peer_config(spec, statuses.get(spec.public_key)) for spec in specs)
    return InterfaceConfig(
        identity.private_key,
        PresharedKey(secret.raw),
        tuple(sorted(peers, key=lambda peer: peer.public_key.raw)),
        listen_port,
    )


def network_plan(
    identity: KubeSpanIdentity,
    mtu: int,
    specs: Sequence[KubeSpanPeerSpec],
    statuses: Statuses,
    *,
    force_routing: bool,
) -> NetworkPlan:
    """Return what the kernel should know.

    With `force_routing`, packets for a peer that is not up go into the mesh too, where they are
    held back; without, they go wherever other routes lead, in clear.
    """
    steered = IPSet.of(
        *(
            prefix
            for spec in specs
            if force_routing or _is_up(statuses.get(spec.public_key))
            for prefix in spec.allowed_ips
        )
    )
    # The mesh's own addresses have a route of their own, by the address on the link.
    outside = steered - IPSet.of(identity.subnet)
    return NetworkPlan(identity.address, identity.subnet, mtu, outside.prefixes())


def _peer_config(spec: KubeSpanPeerSpec, status: KubeSpanPeerStatus | None) -> PeerConfig:
    endpoint = endpoint_to_set(status) if status is not None else None
    return PeerConfig(
        spec.public_key, endpoint, spec.allowed_ips, _others(spec.endpoints, endpoint)
    )


def _others(endpoints: tuple[Endpoint, ...], endpoint: Endpoint | None) -> tuple[Endpoint, ...]:
    return tuple(other for other in endpoints if other != endpoint)


def _is_up(status: KubeSpanPeerStatus | None) -> bool:
    return status is not None and status.state is PeerState.UP
