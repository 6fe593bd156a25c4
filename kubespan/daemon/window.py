"""A node as its window shows it: how it stands, a ping, another configuration, the end."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from structlog.typing import FilteringBoundLogger

from kubespan import fastpath
from kubespan.api.node import DataPlane, Echo, NodeFacts
from kubespan.daemon.node import MeshNode
from kubespan.daemon.reconfiguring import changed_keys, loaded
from kubespan.linux.echo import round_trip
from kubespan.linux.sysctl import sysctl_findings
from kubespan.mesh.diagnosis import diagnose
from kubespan.mesh.evidence import Evidence, ServiceFacts
from kubespan.mesh.mtu import mesh_mtu
from kubespan.model.errors import ConfigError
from kubespan.model.instant import Instant
from kubespan.model.keys import PublicKey
from kubespan.store.store import Store


class NodeWindow:
    """What `api` shows of one node."""

    def __init__(self, node: MeshNode, log: FilteringBoundLogger) -> None:
        self._node = node
        self._log = log
        self._started_at = node.clock.now().boot
        self._round_trips: dict[PublicKey, float] = {}

    @property
    def store(self) -> Store:
        """All its resources, as they are now."""
        self._node.refresh()
        return self._node.store

    def now(self) -> Instant:
        """Return the present moment."""
        return self._node.clock.now()

    def facts(self) -> NodeFacts:
        """Return how it stands."""
        node, now = self._node, self.now().boot
        outcome, services = node.outcome, node.discovering.facts(now)
        return NodeFacts(
            node.announcing.hostname,
            self._started_at,
            node.config.listen_port,
            mesh_mtu(node.config.kubespan.mtu, node.ways) if outcome is None else outcome.mtu,
            _data_plane(),
            is_started=node.is_started,
            is_ready=outcome is not None and (node.discovering.is_heard or bool(outcome.specs)),
            public_addresses=node.discovering.addresses,
            services=services,
            problems=() if outcome is None else diagnose(outcome, self._seen(services), now),
            counters=node.plane.counters(),
            endpoint_changes=node.publication.endpoint_changes,
            held_back=frozenset() if outcome is None else frozenset(outcome.held_since),
            round_trips=dict(self._round_trips),
        )

    async def ping(self, peer: PublicKey, timeout: float) -> Echo | None:  # noqa: ASYNC109
        """Ask a peer's address in the mesh for an echo; None if nothing comes back."""
        specs = () if self._node.outcome is None else self._node.outcome.specs
        address = next((spec.address for spec in specs if spec.public_key == peer), None)
        if address is None:
            raise ConfigError("that peer has no address in the mesh; ask at one of its addresses")
        took = await round_trip(address, timeout)
        if took is None:
            self._round_trips.pop(peer, None)
            return None
        self._round_trips[peer] = took
        reading = (self._node.plane.readings() or {}).get(peer)
        return Echo(address, None if reading is None else reading.endpoint, took)

    async def apply(self, text: bytes, *, dry_run: bool) -> Mapping[str, Any]:
        """Take over a configuration. Raises ConfigError, and then nothing changed."""
        config = loaded(text, self._node.written, "the configuration")
        changed = changed_keys(self._node.written, config)
        is_applied = bool(changed) and not dry_run
        if is_applied:
            self._node.reconfigure(config)
            self._log.info("configuration applied", changed=", ".join(changed))
        return {"changed": list(changed), "applied": is_applied}

    async def stop(self) -> None:
        """Begin to leave."""
        self._node.leave()

    def _seen(self, services: tuple[ServiceFacts, ...]) -> Evidence:
        node, now = self._node, self.now()
        uplinks = {link.name for link in node.ways.values()}
        return Evidence(
            services,
            interface_mtu=node.plane.mtu,
            ways=node.ways,
            findings=(
                *node.refused(),
                *node.steersman.report.findings,
                *sysctl_findings(uplinks),
            ),
            clock_behind=node.announcing.clock_behind(now.wall_ns / 1e9),
            is_native=fastpath.NATIVE,
            seen_at={} if node.discovering.is_heard else self._last_seen(now),
        )

    def _last_seen(self, now: Instant) -> dict[PublicKey, float]:
        """Return when discovery last spoke of each peer, by the cache: seconds since boot."""
        found = {}
        for affiliate in self._node.discovering.affiliates:
            at = self._node.announcing.seen_at(affiliate.node_id)
            if affiliate.kubespan is not None and at is not None:
                found[affiliate.kubespan.public_key] = now.boot - (now.wall_ns / 1e9 - at)
        return found


def _data_plane() -> DataPlane:
    return DataPlane(
        fastpath.implementation(),
        fastpath.provider(),
        fastpath.thread_count(),
        has_offloads=fastpath.NATIVE and os.environ.get("KUBESPAN_OFFLOAD") != "0",
    )
