"""The whole truth about a node as one document of plain data, for `status` and for programs.

Fields are added, never renamed. Durations are seconds, times RFC 3339 in UTC, sizes bytes; what is
not known is null.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import kubespan
from kubespan.api.node import NodeFacts
from kubespan.api.quotient import lane_loads, quotients
from kubespan.api.rendering import Manner, rfc3339
from kubespan.mesh.evidence import ServiceFacts
from kubespan.mesh.problem import Problem
from kubespan.model.instant import Instant
from kubespan.model.resources import KubeSpanIdentity, KubeSpanPeerSpec, KubeSpanPeerStatus
from kubespan.store import kind
from kubespan.store.store import Store

SCHEMA: Final = 1
"""Of the document."""

UNKNOWN: Final = KubeSpanPeerStatus()


def status_report(
    store: Store, facts: NodeFacts, moment: Instant, manner: Manner
) -> dict[str, Any]:
    """Return how it stands with the node and every peer."""
    identity = _identity(store)
    return {
        "schema": SCHEMA,
        "version": kubespan.__version__,
        "time": rfc3339(moment.wall_ns),
        "mesh": _mesh(store, identity, facts, moment, manner),
        "self": _self(store, identity, facts),
        "discovery": [_service(service, moment, manner) for service in facts.services],
        "peers": _peers(store, facts, moment, manner),
        "problems": [_problem(problem) for problem in facts.problems],
    }


def node_name(store: Store, hostname: Callable[[], str]) -> str:
    """Return what to call this node where talosctl has the address that it asked.

    That is its address in the mesh, and while it has none its hostname.
    """
    identity = _identity(store)
    return hostname() if identity is None else str(identity.address)


def _identity(store: Store) -> KubeSpanIdentity | None:
    resource = store.get(kind.KUBESPAN_IDENTITIES, kind.LOCAL_ID)
    return None if resource is None else resource.spec


def _mesh(
    store: Store,
    identity: KubeSpanIdentity | None,
    facts: NodeFacts,
    moment: Instant,
    manner: Manner,
) -> dict[str, Any]:
    info = store.get(kind.INFOS, kind.INFO_ID)
    plane = facts.data_plane
    return {
        "name": "" if info is None else info.spec.cluster_name,
        "subnet": None if identity is None else str(identity.subnet),
        "started": manner.time(facts.started_at),
        "uptime": _ago(facts.started_at, moment),
        "is_started": facts.is_started,
        "is_ready": facts.is_ready,
        "data_plane": {
            "implementation": plane.implementation,
            "aead": plane.aead,
            "lanes": plane.lanes,
            "offloads": plane.has_offloads,
            "counters": dict(sorted(facts.counters.items())),
            "quotients": quotients(facts.counters),
            "lane_loads": lane_loads(facts.counters),
        },
    }


def _self(store: Store, identity: KubeSpanIdentity | None, facts: NodeFacts) -> dict[str, Any]:
    node = store.get(kind.IDENTITIES, kind.LOCAL_ID)
    return {
        "name": facts.hostname,
        "id": None if node is None else node.spec.node_id,
        "address": None if identity is None else str(identity.address),
        "public_key": None if identity is None else identity.public_key.base64(),
        "listen_port": facts.listen_port,
        "public_addresses": [str(address) for address in facts.public_addresses],
        "mtu": facts.mtu.value,
        "mtu_reason": facts.mtu.reason,
    }


def _service(service: ServiceFacts, moment: Instant, manner: Manner) -> dict[str, Any]:
    updated_at, down_since = service.updated_at, service.down_since
    return {
        "name": service.name,
        "endpoint": service.target,
        "connected": service.is_connected,
        "affiliates": service.affiliates,
        "updated": None if updated_at is None else manner.time(updated_at),
        "update_age": None if updated_at is None else _ago(updated_at, moment),
        "down_for": None if down_since is None else _ago(down_since, moment),
        "failure": service.failure,
    }


def _peers(store: Store, facts: NodeFacts, moment: Instant, manner: Manner) -> list[dict[str, Any]]:
    statuses = {one.id: one.spec for one in store.list(kind.KUBESPAN_PEER_STATUSES)}
    peers = [
        _peer(one.spec, statuses.get(one.id, UNKNOWN), facts, moment, manner)
        for one in store.list(kind.KUBESPAN_PEER_SPECS)
    ]
    return sorted(peers, key=lambda peer: (peer["label"], peer["public_key"]))


def _peer(
    spec: KubeSpanPeerSpec,
    status: KubeSpanPeerStatus,
    facts: NodeFacts,
    moment: Instant,
    manner: Manner,
) -> dict[str, Any]:
    handshake_at, key = status.last_handshake_at, spec.public_key
    return {
        "label": spec.label,
        "public_key": key.base64(),
        "address": None if spec.address is None else str(spec.address),
        "state": status.state.value,
        "is_held_back": key in facts.held_back,
        "endpoint": None if status.endpoint is None else str(status.endpoint),
        "endpoints": len(spec.endpoints),
        "handshake": None if handshake_at is None else manner.time(handshake_at),
        "handshake_age": None if handshake_at is None else _ago(handshake_at, moment),
        "rtt": facts.round_trips.get(key),
        "receive_bytes": status.receive_bytes,
        "transmit_bytes": status.transmit_bytes,
    }


def _problem(problem: Problem) -> dict[str, Any]:
    return {
        "code": problem.code.value,
        "severity": problem.severity.value,
        "peer": problem.peer,
        "text": problem.text,
        "next": problem.next,
    }


def _ago(at: float, moment: Instant) -> float:
    return round(max(0.0, moment.boot - at), 3)
