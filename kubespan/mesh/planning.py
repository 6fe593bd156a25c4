"""From peers and how it stands with them to what WireGuard and the kernel should be.

Talos controllers/kubespan (ManagerController).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kubespan.mesh.status import endpoint_to_set
from kubespan.model.address import Endpoint, Prefix
from kubespan.model.cluster import ClusterSecret
from kubespan.model.ipset import IPSet
from kubespan.model.keys import PresharedKey, PublicKey
from kubespan.model.plan import InterfaceConfig, PeerConfig
from kubespan.model.resources import (
    KubeSpanIdentity,
    KubeSpanPeerSpec,
    KubeSpanPeerStatus,
    PeerState,
)

Statuses = Mapping[PublicKey, KubeSpanPeerStatus]


class InterfacePlanner:
    """Makes WireGuard's configuration; a peer about which nothing changed keeps its very value."""

    def __init__(self, identity: KubeSpanIdentity, secret: ClusterSecret) -> None:
        self._identity = identity
        self._preshared_key = PresharedKey(secret.raw)
        self._peers: dict[PublicKey, _Planned] = {}

    def interface_config(
        self, specs: Sequence[KubeSpanPeerSpec], statuses: Statuses, listen_port: int
    ) -> InterfaceConfig:
        """Return what the WireGuard interface should be."""
        peers: dict[PublicKey, _Planned] = {}
        for spec in specs:
            status = statuses.get(spec.public_key)
            planned = self._peers.get(spec.public_key)
            if planned is None or planned.spec is not spec or planned.status is not status:
                planned = _Planned(spec, status, _peer_config(spec, status))
            peers[spec.public_key] = planned
        self._peers = peers
        ordered = sorted(peers.items(), key=lambda item: item[0].raw)
        return InterfaceConfig(
            self._identity.private_key,
            self._preshared_key,
            tuple(planned.config for _, planned in ordered),
            listen_port,
        )


def steered(
    subnet: Prefix,
    specs: Sequence[KubeSpanPeerSpec],
    statuses: Statuses,
    *,
    force_routing: bool,
) -> tuple[Prefix, ...]:
    """Return where packets go into the mesh, besides its own subnet.

    With `force_routing`, packets for a peer that is not up go into the mesh too, where they are
    held back; without, they go wherever other routes lead, in clear.
    """
    wanted = [
        prefix
        for spec in specs
        if force_routing or _is_up(statuses.get(spec.public_key))
        for prefix in spec.allowed_ips
    ]
    return tuple(_outside(subnet, wanted))


def _outside(subnet: Prefix, prefixes: Sequence[Prefix]) -> Iterator[Prefix]:
    """Give what is not in the mesh's own subnet, which has a route by the address on the link."""
    shift = 128 - subnet.length
    inside = subnet.value >> shift
    for prefix in prefixes:
        if prefix.version == 4:
            yield prefix
        elif prefix.length < subnet.length:
            yield from (IPSet.of(prefix) - IPSet.of(subnet)).prefixes()
        elif prefix.value >> shift != inside:
            yield prefix


@dataclass(frozen=True, slots=True)
class _Planned:
    """One peer, and what it was planned from."""

    spec: KubeSpanPeerSpec
    status: KubeSpanPeerStatus | None
    config: PeerConfig


def _peer_config(spec: KubeSpanPeerSpec, status: KubeSpanPeerStatus | None) -> PeerConfig:
    endpoint = endpoint_to_set(status) if status is not None else None
    return PeerConfig(
        spec.public_key, endpoint, spec.allowed_ips, _others(spec.endpoints, endpoint)
    )


def _others(endpoints: tuple[Endpoint, ...], endpoint: Endpoint | None) -> tuple[Endpoint, ...]:
    return tuple(other for other in endpoints if other != endpoint)


def _is_up(status: KubeSpanPeerStatus | None) -> bool:
    return status is not None and status.state is PeerState.UP
