"""From peers and how it stands with them to what WireGuard and the kernel should be.

Talos controllers/kubespan (ManagerController).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kubespan.mesh.entrance import let_in, shown, unsteered_of
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
NOTHING: Final = IPSet()
UNKNOWN: Final = PeerState.UNKNOWN


class InterfacePlanner:
    """Makes WireGuard's configuration; a peer about which nothing changed keeps its very value.

    Remembers what every peer was let in with, and what it was shown as.
    """

    def __init__(self, identity: KubeSpanIdentity, secret: ClusterSecret) -> None:
        self._identity = identity
        self._preshared_key = PresharedKey(secret.raw)
        self._inside = IPSet.of(identity.subnet)
        self._peers: dict[PublicKey, _Planned] = {}

    def interface_config(
        self,
        specs: Sequence[KubeSpanPeerSpec],
        statuses: Statuses,
        listen_port: int,
        steered: IPSet,
        *,
        force_routing: bool = True,
    ) -> InterfaceConfig:
        """Return what the WireGuard interface should be.

        `steered` is where packets go into the mesh by now, besides its own subnet. Who waits for
        that is looked at again when it is another value. Nothing of it counts for one that is to
        be steered no more (`to_steer`), nor what it had: this very look gives that up.
        """
        peers: dict[PublicKey, _Planned] = {}
        for spec in specs:
            status = statuses.get(spec.public_key)
            planned = self._peers.get(spec.public_key)
            is_steered = _is_steered(status, force_routing=force_routing)
            by_now = steered if is_steered else NOTHING
            if (
                planned is None
                or planned.spec is not spec
                or planned.status is not status
                or planned.is_steered is not is_steered
                or (planned.waits_with is not None and planned.waits_with is not by_now)
            ):
                planned = self._planned(spec, status, planned, by_now, is_steered=is_steered)
            peers[spec.public_key] = planned
        self._peers = peers
        ordered = sorted(peers.items(), key=lambda item: item[0].raw)
        return InterfaceConfig(
            self._identity.private_key,
            self._preshared_key,
            tuple(planned.config for _, planned in ordered),
            listen_port,
        )

    def held_back(self) -> dict[PublicKey, KubeSpanPeerStatus]:
        """Return how those are to be shown that answer, and are not up before they are steered."""
        return {
            key: planned.shown
            for key, planned in self._peers.items()
            if planned.shown is not planned.status and planned.shown is not None
        }

    def _planned(
        self,
        spec: KubeSpanPeerSpec,
        status: KubeSpanPeerStatus | None,
        former: _Planned | None,
        steered: IPSet,
        *,
        is_steered: bool,
    ) -> _Planned:
        given, unsteered = self._let_in(spec, status, former, steered, keeps=is_steered)
        was = former.shown.state if former is not None and former.shown is not None else UNKNOWN
        seen = shown(status, was, unsteered) if status is not None else None
        is_waiting = given is not spec or seen is not status
        is_kept = former is not None and former.status is status and former.given == given
        config = former.config if former is not None and is_kept else _peer_config(given, status)
        waits_with = steered if is_waiting else None
        return _Planned(spec, status, is_steered, unsteered, given, seen, waits_with, config)

    def _let_in(
        self,
        spec: KubeSpanPeerSpec,
        status: KubeSpanPeerStatus | None,
        former: _Planned | None,
        steered: IPSet,
        *,
        keeps: bool,
    ) -> tuple[KubeSpanPeerSpec, IPSet]:
        """Return a spec as it is let in, and what of it is unsteered if that matters."""
        had: tuple[Prefix, ...] = ()
        was_up = False
        if former is not None:
            if former.spec is spec and former.waits_with is steered:
                return former.given, former.unsteered
            had, was_up = former.given.allowed_ips if keeps else (), _is_up(former.shown)
        becomes_up = _is_up(status) and not was_up
        matters = becomes_up or had != spec.allowed_ips
        unsteered = unsteered_of(spec, self._inside, steered) if matters else NOTHING
        return let_in(spec, had, unsteered), unsteered


def to_steer(
    subnet: Prefix,
    specs: Sequence[KubeSpanPeerSpec],
    statuses: Statuses,
    *,
    force_routing: bool,
) -> tuple[Prefix, ...]:
    """Return where packets should go into the mesh, besides its own subnet.

    With `force_routing`, packets for a peer that is not up go into the mesh too, where they are
    held back; without, they go wherever other routes lead, in clear.
    """
    wanted = [
        prefix
        for spec in specs
        if _is_steered(statuses.get(spec.public_key), force_routing=force_routing)
        for prefix in spec.allowed_ips
    ]
    return tuple(_outside(subnet, wanted))


@dataclass(frozen=True, slots=True)
class _Planned:
    """One peer, and what it was planned from."""

    spec: KubeSpanPeerSpec
    status: KubeSpanPeerStatus | None
    is_steered: bool
    """Whether packets for it should go into the mesh."""

    unsteered: IPSet
    """What of it would be answered in clear, as far as that was asked."""

    given: KubeSpanPeerSpec
    """As it was let in; the very spec if all of it was."""

    shown: KubeSpanPeerStatus | None
    """As one may rely on it; the very status but for one that answers and is not steered."""

    waits_with: IPSet | None
    """What was steered for it, if it is let in further, or shown as up, when that is more; None if
    it waits for nothing."""

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


def _is_steered(status: KubeSpanPeerStatus | None, *, force_routing: bool) -> bool:
    """Whether packets for a peer should go into the mesh."""
    return force_routing or _is_up(status)


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
