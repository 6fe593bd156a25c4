"""What Prometheus reads of a node. Everything is read when asked for; nothing is counted here.

Names are promises. The series of single peers are capped: a cluster of a thousand nodes would make
a million of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

import kubespan
from kubespan.api.node import Node, NodeFacts
from kubespan.api.timebase import NANOSECONDS, Timebase
from kubespan.model.resources import KubeSpanPeerStatus, PeerState
from kubespan.store import kind
from kubespan.store.resource import Resource

MAX_PEER_SERIES: Final = 100
"""Peers that have series of their own: those with the most traffic."""

PEER: Final = ("public_key", "label")


def create_registry(node: Node, max_peers: int = MAX_PEER_SERIES) -> CollectorRegistry:
    """Return what to serve of a node."""
    registry = CollectorRegistry()
    registry.register(NodeCollector(node, max_peers))
    return registry


class NodeCollector(Collector):
    """Reads a node's numbers."""

    def __init__(self, node: Node, max_peers: int = MAX_PEER_SERIES) -> None:
        self._node = node
        self._max_peers = max_peers
        self._timebase = Timebase()

    def describe(self) -> Iterable[Metric]:
        """Return nothing: what there is shows when it is collected."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Return everything."""
        store, facts = self._node.store, self._node.facts()
        statuses = store.list(kind.KUBESPAN_PEER_STATUSES)
        yield _build_info(facts)
        yield _states(statuses)
        yield from self._peers(statuses, facts)
        yield from _counted(facts)
        yield _discovery(facts)
        yield GaugeMetricFamily(
            "kubespan_affiliates",
            "Nodes of the cluster, this one included.",
            len(store.list(kind.AFFILIATES)),
        )
        yield GaugeMetricFamily("kubespan_mtu_bytes", "MTU of the mesh.", facts.mtu.value)

    def _peers(self, statuses: tuple[Resource, ...], facts: NodeFacts) -> Iterator[Metric]:
        booted = self._timebase.booted_ns(self._node.now()) / NANOSECONDS
        shown = sorted(statuses, key=_by_traffic)[: self._max_peers]
        receive = CounterMetricFamily(
            "kubespan_peer_receive_bytes", "Received from a peer.", labels=PEER
        )
        transmit = CounterMetricFamily(
            "kubespan_peer_transmit_bytes", "Sent to a peer.", labels=PEER
        )
        handshake = GaugeMetricFamily(
            "kubespan_peer_last_handshake_timestamp_seconds",
            "When a peer last completed a handshake.",
            labels=PEER,
        )
        for resource in shown:
            labels, status = (resource.id, resource.spec.label), resource.spec
            receive.add_metric(labels, status.receive_bytes)
            transmit.add_metric(labels, status.transmit_bytes)
            if status.last_handshake_at is not None:
                handshake.add_metric(labels, booted + status.last_handshake_at)
        yield from (receive, transmit, handshake, _round_trips(shown, facts))
        yield GaugeMetricFamily(
            "kubespan_peers_without_series",
            "Peers that are left out above, for there are too many.",
            len(statuses) - len(shown),
        )


def _by_traffic(resource: Resource) -> tuple[int, str]:
    status: KubeSpanPeerStatus = resource.spec
    return -(status.receive_bytes + status.transmit_bytes), resource.id


def _build_info(facts: NodeFacts) -> Metric:
    plane = facts.data_plane
    about = {
        "version": kubespan.__version__,
        "implementation": plane.implementation,
        "aead": plane.aead,
    }
    return InfoMetricFamily("kubespan_build", "What is running.", about)


def _states(statuses: tuple[Resource, ...]) -> Metric:
    states = Counter(resource.spec.state for resource in statuses)
    gauge = GaugeMetricFamily("kubespan_peers", "Peers, by their state.", labels=("state",))
    for state in PeerState:
        gauge.add_metric((state.value,), states[state])
    return gauge


def _round_trips(shown: Iterable[Resource], facts: NodeFacts) -> Metric:
    known = {key.base64(): seconds for key, seconds in facts.round_trips.items()}
    gauge = GaugeMetricFamily(
        "kubespan_peer_rtt_seconds", "Of the last ping to a peer.", labels=PEER
    )
    for resource in shown:
        if resource.id in known:
            gauge.add_metric((resource.id, resource.spec.label), known[resource.id])
    return gauge


def _counted(facts: NodeFacts) -> Iterator[Metric]:
    handshakes = CounterMetricFamily(
        "kubespan_handshakes", "Handshakes, and messages of them.", labels=("role", "result")
    )
    dropped = CounterMetricFamily(
        "kubespan_dropped_packets",
        "Packets that went no further.",
        labels=("reason",),
    )
    lanes = CounterMetricFamily(
        "kubespan_lane_seconds", "Time of the native threads.", labels=("lane", "state")
    )
    moved = CounterMetricFamily(
        "kubespan_data_plane",
        "System calls and packets of the data plane; quotients of two say how many go together.",
        labels=("what",),
    )
    for name, number in sorted(facts.counters.items()):
        kind_, _, rest = name.partition("_")
        if isinstance(number, str):
            continue
        if kind_ == "handshakes":
            role, _, result = rest.partition("_")
            handshakes.add_metric((role, result), number)
        elif kind_ == "drop":
            dropped.add_metric((rest,), number)
        elif kind_ == "lane":
            lane, _, state = rest.removesuffix("_ns").partition("_")
            lanes.add_metric((lane, state), number / NANOSECONDS)
        else:
            moved.add_metric((name,), number)
    yield from (handshakes, dropped, lanes, moved)
    yield CounterMetricFamily(
        "kubespan_endpoint_changes",
        "How often another endpoint of a peer was tried.",
        facts.endpoint_changes,
    )


def _discovery(facts: NodeFacts) -> Metric:
    gauge = GaugeMetricFamily(
        "kubespan_discovery_up", "Whether a discovery service is connected.", labels=("service",)
    )
    for service in facts.services:
        gauge.add_metric((service.name,), int(service.is_connected))
    return gauge
