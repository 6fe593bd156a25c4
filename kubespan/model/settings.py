"""What the configuration becomes as resources: the parts that Talos shows, under its names.

Values only. Talos `pkg/machinery/resources/{kubespan,cluster}`.
"""

from __future__ import annotations

from dataclasses import dataclass

from kubespan.model.cluster import ClusterSecret
from kubespan.model.config import DiscoveryService, KubeSpanConfig, NodeConfig


@dataclass(frozen=True, slots=True)
class KubeSpanSettings:
    """What is wanted of the mesh, and for which cluster."""

    cluster_id: str
    cluster_secret: ClusterSecret | None
    kubespan: KubeSpanConfig

    @classmethod
    def of(cls, config: NodeConfig) -> KubeSpanSettings:
        """The part of a configuration that is about the mesh."""
        return cls(config.cluster_id, config.cluster_secret, config.kubespan)


@dataclass(frozen=True, slots=True)
class DiscoverySettings:
    """How members are found, and of which cluster."""

    cluster_id: str
    cluster_secret: ClusterSecret | None
    services: tuple[DiscoveryService, ...] = ()
    kubernetes_registry: bool = False

    @classmethod
    def of(cls, config: NodeConfig) -> DiscoverySettings:
        """The part of a configuration that is about discovery."""
        return cls(
            config.cluster_id, config.cluster_secret, config.services, config.kubernetes_registry
        )


@dataclass(frozen=True, slots=True)
class ClusterInfo:
    """Which cluster it is."""

    cluster_id: str
    cluster_name: str = ""
    """For people; empty where the configuration has none."""
