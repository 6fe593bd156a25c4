"""Outcomes of a reconciliation with peers as a test wants them, in one line each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv6Address
from typing import Any

from kubespan.mesh.mtu import Mtu
from kubespan.mesh.problem import Problem
from kubespan.mesh.reconciler import Outcome
from kubespan.model.address import Endpoint, Prefix
from kubespan.model.keys import PresharedKey, PrivateKey, PublicKey
from kubespan.model.plan import InterfaceConfig, NetworkPlan
from kubespan.model.resources import KubeSpanPeerSpec, KubeSpanPeerStatus, PeerState
from tests.mesh.affiliates_of import key

SUBNET = Prefix.parse("fd50:8d60:4238:6302::/64")
INTERFACE = InterfaceConfig(PrivateKey(bytes([7]) * 32), PresharedKey(bytes(32)))
NETWORK = NetworkPlan(IPv6Address("fd50:8d60:4238:6302::1"), SUBNET, 1420)


def spec(
    number: int, *endpoints: str, networks: Sequence[str] = (), label: str | None = None
) -> KubeSpanPeerSpec:
    """A peer whose key is a number, and whose label too unless it is given one."""
    return KubeSpanPeerSpec(
        key(number),
        None,
        tuple(map(Prefix.parse, networks)),
        tuple(map(Endpoint.parse, endpoints)),
        f"peer-{number}" if label is None else label,
    )


def tried(endpoint: str, state: PeerState = PeerState.UNKNOWN, **more: Any) -> KubeSpanPeerStatus:
    """The status of a peer that is written to there."""
    where = Endpoint.parse(endpoint)
    return KubeSpanPeerStatus(
        endpoint=where, last_used_endpoint=where, state=state, **{"transmit_bytes": 148, **more}
    )


def outcome(
    *peers: tuple[KubeSpanPeerSpec, KubeSpanPeerStatus],
    trying_since: Mapping[PublicKey, float] | None = None,
    held_since: Mapping[PublicKey, float] | None = None,
    mtu: Mtu | None = None,
    problems: tuple[Problem, ...] = (),
) -> Outcome:
    """What follows from these peers; those that are not up are tried since boot."""
    statuses = {one.public_key: status for one, status in peers}
    trying = {
        peer: 0.0
        for peer, status in statuses.items()
        if status.state is not PeerState.UP and status.last_used_endpoint is not None
    }
    return Outcome(
        tuple(one for one, _ in peers),
        statuses,
        trying if trying_since is None else trying_since,
        held_since or {},
        {},
        {},
        INTERFACE,
        NETWORK,
        mtu or Mtu(1420, "configured"),
        problems,
        0.0,
    )
