"""Every type of resource that can be asked for: what it is called, where it lives, who writes it.

Names only. Talos `pkg/machinery/resources/{kubespan,cluster}` for types, namespaces and aliases,
`internal/app/machined/pkg/controllers` for owners.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

CLUSTER: Final = "cluster"
CLUSTER_RAW: Final = "cluster-raw"
"""What one source says of a node, before all are put together."""

CONFIG: Final = "config"
KUBESPAN: Final = "kubespan"

KUBESPAN_GROUP: Final = "kubespan.talos.dev"
CLUSTER_GROUP: Final = "cluster.talos.dev"


@dataclass(frozen=True, eq=False)
class Kind:
    """A type of resource. There is one object of each, so they are told apart by identity."""

    plural: str
    singular: str
    group: str
    namespace: str
    """Where to look when nobody says."""

    aliases: tuple[str, ...] = ()
    is_sensitive: bool = False
    """Whether a secret is in it."""

    @property
    def name(self) -> str:
        """The full name, such as `Members.cluster.talos.dev`."""
        return f"{self.plural}.{self.group}"

    @cached_property
    def names(self) -> frozenset[str]:
        """Everything it answers to, in lower case."""
        parts = [self.plural, *self.group.split(".")]
        leading = (".".join(parts[:end]) for end in range(1, len(parts) + 1))
        return frozenset(name.lower() for name in (*leading, self.singular, *self.aliases))


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """What one controller writes: resources of a kind, in a namespace. Nobody else touches them."""

    kind: Kind
    owner: str
    namespace: str = ""
    """Empty: the kind's own."""

    @property
    def place(self) -> str:
        """The namespace."""
        return self.namespace or self.kind.namespace


KUBESPAN_CONFIGS: Final = Kind(
    "KubeSpanConfigs", "KubeSpanConfig", KUBESPAN_GROUP, CONFIG, ("ksc", "kscs"), is_sensitive=True
)
KUBESPAN_IDENTITIES: Final = Kind(
    "KubeSpanIdentities",
    "KubeSpanIdentity",
    KUBESPAN_GROUP,
    KUBESPAN,
    ("ksi", "ksis"),
    is_sensitive=True,
)
KUBESPAN_PEER_SPECS: Final = Kind(
    "KubeSpanPeerSpecs", "KubeSpanPeerSpec", KUBESPAN_GROUP, KUBESPAN, ("ksps",)
)
KUBESPAN_PEER_STATUSES: Final = Kind(
    "KubeSpanPeerStatuses", "KubeSpanPeerStatus", KUBESPAN_GROUP, KUBESPAN, ("ksps",)
)
KUBESPAN_ENDPOINTS: Final = Kind(
    "KubeSpanEndpoints", "KubeSpanEndpoint", KUBESPAN_GROUP, KUBESPAN, ("kse", "kses")
)
DISCOVERY_CONFIGS: Final = Kind(
    "DiscoveryConfigs", "DiscoveryConfig", CLUSTER_GROUP, CONFIG, ("dc", "dcs"), is_sensitive=True
)
IDENTITIES: Final = Kind("Identities", "Identity", CLUSTER_GROUP, CLUSTER)
AFFILIATES: Final = Kind("Affiliates", "Affiliate", CLUSTER_GROUP, CLUSTER)
MEMBERS: Final = Kind("Members", "Member", CLUSTER_GROUP, CLUSTER)
INFOS: Final = Kind("Infos", "Info", CLUSTER_GROUP, CLUSTER)

KINDS: Final = (
    KUBESPAN_CONFIGS,
    KUBESPAN_IDENTITIES,
    KUBESPAN_PEER_SPECS,
    KUBESPAN_PEER_STATUSES,
    KUBESPAN_ENDPOINTS,
    DISCOVERY_CONFIGS,
    IDENTITIES,
    AFFILIATES,
    MEMBERS,
    INFOS,
)

LOCAL_ID: Final = "local"
"""The one identity of each sort."""

KUBESPAN_CONFIG_ID: Final = "kubespan"
DISCOVERY_CONFIG_ID: Final = "cluster"
INFO_ID: Final = "current"

KUBESPAN_CONFIG: Final = Output(KUBESPAN_CONFIGS, "kubespan.ConfigController")
KUBESPAN_IDENTITY: Final = Output(KUBESPAN_IDENTITIES, "kubespan.IdentityController")
PEER_SPECS: Final = Output(KUBESPAN_PEER_SPECS, "kubespan.PeerSpecController")
PEER_STATUSES: Final = Output(KUBESPAN_PEER_STATUSES, "kubespan.ManagerController")
HARVESTED_ENDPOINTS: Final = Output(KUBESPAN_ENDPOINTS, "kubespan.EndpointController")
DISCOVERY_CONFIG: Final = Output(DISCOVERY_CONFIGS, "cluster.ConfigController")
NODE_IDENTITY: Final = Output(IDENTITIES, "cluster.NodeIdentityController")
LOCAL_AFFILIATE: Final = Output(AFFILIATES, "cluster.LocalAffiliateController")
MERGED_AFFILIATES: Final = Output(AFFILIATES, "cluster.AffiliateMergeController")
SERVICE_AFFILIATES: Final = Output(AFFILIATES, "cluster.DiscoveryServiceController", CLUSTER_RAW)
KUBERNETES_AFFILIATES: Final = Output(AFFILIATES, "cluster.KubernetesPullController", CLUSTER_RAW)
STATIC_AFFILIATES: Final = Output(AFFILIATES, "cluster.StaticPeerController", CLUSTER_RAW)
"""Ours: Talos has no peers without discovery."""

CLUSTER_MEMBERS: Final = Output(MEMBERS, "cluster.MemberController")
CLUSTER_INFO: Final = Output(INFOS, "cluster.InfoController")


def kinds_named(word: str) -> tuple[Kind, ...]:
    """Return the kinds that answer to a word, whatever its case; several if it is ambiguous."""
    return tuple(kind for kind in KINDS if word.lower() in kind.names)
