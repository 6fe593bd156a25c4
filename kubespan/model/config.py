"""What the operator wants of this node, as frozen values: what the YAML means, not what it says.

Talos's keys under Talos's names, and our own document's. Reading and checking is `kubespan.config`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from kubespan.model.address import Endpoint, IPAddress, Prefix
from kubespan.model.cluster import ClusterSecret
from kubespan.model.constants import KUBESPAN_LISTEN_PORT, KUBESPAN_MTU, STATE_DIRECTORY
from kubespan.model.keys import PublicKey
from kubespan.model.resources import MachineType


@dataclass(frozen=True, slots=True)
class DiscoveryService:
    """One discovery service to register with."""

    name: str
    """`legacy` where the old single document configures it."""

    target: str
    """`host:port` to dial, an IPv6 address in brackets."""

    insecure: bool = False
    """Whether to speak without TLS."""


@dataclass(frozen=True, slots=True)
class KubeSpanConfig:
    """The mesh's settings."""

    enabled: bool = False
    advertise_kubernetes_networks: bool = False
    force_routing: bool = True
    """Whether traffic for a peer that is not up is held back; not `allowDownPeerBypass`."""

    harvest_extra_endpoints: bool = False
    mtu: int | None = None
    """None where the configuration does not say."""

    endpoint_filters: tuple[str, ...] | None = None
    """`filters.endpoints`: which of our own addresses to announce. None: all of them."""

    peer_endpoint_filters: tuple[str, ...] | None = None
    """`filters.peerEndpoints`: which endpoints of peers to try. None: all of them."""

    exclude_advertised_networks: tuple[Prefix, ...] = ()
    extra_announced_endpoints: tuple[Endpoint, ...] = ()

    @property
    def effective_mtu(self) -> int:
        """The MTU where nothing better than Talos's default is known."""
        return self.mtu if self.mtu is not None else KUBESPAN_MTU


@dataclass(frozen=True, slots=True)
class StaticPeer:
    """A peer that needs no discovery."""

    name: str
    public_key: PublicKey
    address: IPAddress | None = None
    """Inside the mesh."""

    endpoints: tuple[Endpoint, ...] = ()
    allowed_ips: tuple[Prefix, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """Everything that the configuration says, with defaults filled in."""

    cluster_id: str = ""
    cluster_secret: ClusterSecret | None = None
    kubespan: KubeSpanConfig = field(default_factory=KubeSpanConfig)
    services: tuple[DiscoveryService, ...] = ()
    kubernetes_registry: bool = False
    """Whether Kubernetes Nodes are a registry as well. Legacy."""

    machine_type: MachineType = MachineType.WORKER

    # From our own document.
    listen_port: int = KUBESPAN_LISTEN_PORT
    node_name: str = ""
    """Of the Kubernetes Node that this host is; empty where it is none."""

    pod_networks: tuple[Prefix, ...] = ()
    """Of the pods on this host, as `spec.podCIDRs` of its Kubernetes Node; announced if wanted.

    No peer is given any of it, announced or not."""

    cluster_networks: tuple[Prefix, ...] = ()
    """Of all pods and services of the Kubernetes cluster: no addresses of the host itself."""

    hostname: str = ""
    """Announced in place of the system's own; empty: the system's."""

    static_peers: tuple[StaticPeer, ...] = ()
    state_directory: str = STATE_DIRECTORY
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    metrics_address: str = ""
    """`host:port` to serve metrics on; empty: nowhere."""
