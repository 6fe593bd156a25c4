"""From peers and how it stands with them to what WireGuard and the kernel should be.

Talos controllers/kubespan (ManagerController).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kubespan.mesh.entrance import let_in, outside
from kubespan.mesh.status import endpoint_to_set
from kubespan.model.address import Endpoint, Prefix
from kubespan.model.cluster import ClusterSecret
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
        self,
        specs: Sequence[KubeSpanPeerSpec],
        statuses: Statuses,
        listen_port: int,
        into: frozenset[Prefix] | None = None,
    ) -> InterfaceConfig:
        """Return what the WireGuard interface should be, packets being steered there by now.

        None: they are steered as soon as that is planned.
        """
        peers: dict[PublicKey, _Planned] = {}
        for spec in specs:
            status = statuses.get(spec.public_key)
            planned = self._peers.get(spec.public_key)
            if planned is None or planned.spec is not spec or planned.status is not status:
                planned = self._planned(spec, status, planned, into)
            peers[spec.public_key] = planned
        self._peers = peers
        ordered = sorted(peers.items(), key=lambda item: item[0].raw)
        return InterfaceConfig(
            self._identity.private_key,
            self._preshared_key,
            tuple(planned.config for _, planned in ordered),
            listen_port,
        )

    def early(self) -> tuple[PublicKey, ...]:
        """Return the peers that never were steered; nobody may take one of them to be up."""
        return tuple(key for key, planned in self._peers.items() if planned.is_early)

    def _planned(
        self,
        spec: KubeSpanPeerSpec,
        status: KubeSpanPeerStatus | None,
        former: _Planned | None,
        into: frozenset[Prefix] | None,
    ) -> _Planned:
        had = former.spec if former is not None else None
        given = let_in(spec, had, self._identity.subnet, into)
        if former is not None and given is had and former.status is status:
            return former
        is_early = given is not spec and (former is None or former.is_early)
        return _Planned(given, status, _peer_config(given, status), is_early)


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
    return tuple(outside(subnet, wanted))


@dataclass(frozen=True, slots=True)
class _Planned:
    """One peer, and what it was planned from."""

    spec: KubeSpanPeerSpec
    """As it was let in, so that it is another value as long as some of it was not."""

    status: KubeSpanPeerStatus | None
    config: PeerConfig
    is_early: bool
    """Whether it never was let in whole."""


def _peer_config(spec: KubeSpanPeerSpec, status: KubeSpanPeerStatus | None) -> PeerConfig:
    endpoint = endpoint_to_set(status) if status is not None else None
    return PeerConfig(
        spec.public_key, endpoint, spec.allowed_ips, _others(spec.endpoints, endpoint)
    )


def _others(endpoints: tuple[Endpoint, ...], endpoint: Endpoint | None) -> tuple[Endpoint, ...]:
    return tuple(other for other in endpoints if other != endpoint)


def _is_up(status: KubeSpanPeerStatus | None) -> bool:
    return status is not None and status.state is PeerState.UP
