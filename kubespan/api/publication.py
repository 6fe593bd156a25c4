"""Writes what the mesh's rules say into the store, as the controllers do that Talos has for it.

Sans-IO. Counts what only the changes show.
"""

from __future__ import annotations

from collections.abc import Iterable

from kubespan.mesh.reconciler import Outcome
from kubespan.model.config import NodeConfig
from kubespan.model.resources import Affiliate, KubeSpanIdentity, NodeIdentity
from kubespan.model.settings import ClusterInfo, DiscoverySettings, KubeSpanSettings
from kubespan.store import kind
from kubespan.store.resource import Event, EventType
from kubespan.store.store import Store


class Publication:
    """What one node publishes about itself and its mesh. Times are nanoseconds since the epoch."""

    def __init__(self, store: Store, node_id: str) -> None:
        self._store = store
        self._node_id = node_id
        self.endpoint_changes = 0
        """How often another endpoint was tried, of all peers together."""

    def publish_config(self, config: NodeConfig, wall_ns: int, cluster_name: str = "") -> None:
        """Say what is configured."""
        store = self._store
        kubespan = {kind.KUBESPAN_CONFIG_ID: KubeSpanSettings.of(config)}
        discovery = {kind.DISCOVERY_CONFIG_ID: DiscoverySettings.of(config)}
        info = {kind.INFO_ID: ClusterInfo(config.cluster_id, cluster_name)}
        store.publish(kind.KUBESPAN_CONFIG, kubespan, wall_ns)
        store.publish(kind.DISCOVERY_CONFIG, discovery, wall_ns)
        store.publish(kind.CLUSTER_INFO, info, wall_ns)

    def publish_identity(self, identity: KubeSpanIdentity, wall_ns: int) -> None:
        """Say who we are."""
        node = {kind.LOCAL_ID: NodeIdentity(self._node_id)}
        self._store.publish(kind.NODE_IDENTITY, node, wall_ns)
        self._store.publish(kind.KUBESPAN_IDENTITY, {kind.LOCAL_ID: identity}, wall_ns)

    def publish_affiliates(
        self, ours: Affiliate | None, merged: Iterable[Affiliate], wall_ns: int
    ) -> None:
        """Say who everybody is; `ours` is None while we announce nothing."""
        local = {} if ours is None else {self._node_id: ours}
        others = {one.node_id: one for one in merged if one.node_id != self._node_id}
        self._store.publish(kind.LOCAL_AFFILIATE, local, wall_ns)
        self._store.publish(kind.MERGED_AFFILIATES, others, wall_ns)

    def publish_outcome(self, outcome: Outcome, wall_ns: int) -> tuple[Event, ...]:
        """Say what follows; return what that changed about the statuses of peers."""
        store = self._store
        specs = {spec.public_key.base64(): spec for spec in outcome.specs}
        statuses = {key.base64(): status for key, status in outcome.statuses.items()}
        harvested = {key.base64(): endpoint for key, endpoint in outcome.harvested.items()}
        store.publish(kind.PEER_SPECS, specs, wall_ns)
        store.publish(kind.HARVESTED_ENDPOINTS, harvested, wall_ns)
        store.publish(kind.CLUSTER_MEMBERS, outcome.members, wall_ns)
        events = store.publish(kind.PEER_STATUSES, statuses, wall_ns)
        self.endpoint_changes += sum(map(_is_endpoint_change, events))
        return events


def _is_endpoint_change(event: Event) -> bool:
    if event.type is EventType.DESTROYED:
        return False
    before = event.before.spec.last_endpoint_change_at if event.before is not None else None
    return bool(event.resource.spec.last_endpoint_change_at != before)
