"""What all documents of a file mean together: which wins, which contradict, what is missing.

Talos: the two generations may stand in one file, but not say the same thing twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from kubespan.config.discovery import (
    DiscoveryIdentityDocument,
    DiscoveryServiceDocument,
    mean_cluster_id,
    mean_cluster_secret,
    mean_identity,
    mean_legacy_service,
    mean_service,
)
from kubespan.config.document import Documents
from kubespan.config.known import IDENTITY, OWN, SERVICE
from kubespan.config.kubespan import (
    KubeSpan,
    KubeSpanEndpoints,
    mean_endpoints,
    mean_kubespan,
    mean_legacy_kubespan,
)
from kubespan.config.legacy import LegacyDocument, mean_machine_type
from kubespan.config.mistake import Findings, Place
from kubespan.config.own import OwnDocument, mean_own
from kubespan.config.tree import Mapping, View
from kubespan.model.cluster import ClusterSecret
from kubespan.model.config import DiscoveryService, KubeSpanConfig, NodeConfig
from kubespan.model.resources import MachineType


def node_config(documents: Documents, findings: Findings, *, is_whole: bool) -> NodeConfig:
    """Return what the documents mean together; say what is wrong with them.

    What is missing is said only of a text that could be read as a whole.
    """
    nothing = LegacyDocument(), View(Mapping(Place(1, 1)), (), findings)
    generations = _Generations(documents, *(documents.first(LegacyDocument) or nothing))
    own = documents.first(OwnDocument)
    cluster_id, cluster_secret = generations.identity()
    config = NodeConfig(
        cluster_id=cluster_id,
        cluster_secret=cluster_secret,
        kubespan=generations.kubespan(),
        services=generations.services(),
        kubernetes_registry=generations.kubernetes_registry(),
        machine_type=generations.machine_type(),
        **(mean_own(*own) if own else {}),
    )
    if is_whole:
        generations.check_needs(config)
    return config


@dataclass(frozen=True, slots=True)
class _Generations:
    """The single document, empty if there is none, beside the others that say the same things."""

    documents: Documents
    legacy: LegacyDocument
    view: View

    def kubespan(self) -> KubeSpanConfig:
        """Return the mesh's settings."""
        section = self.legacy.machine.network.kubespan
        former = self.view.at("machine", "network", "kubespan")
        config = mean_legacy_kubespan(section, former) if section else KubeSpanConfig()
        if document := self.documents.first(KubeSpan):
            if section is not None:
                self._contradict(document[1], former, "machine.network.kubespan")
            config = mean_kubespan(*document)
        extra = self.documents.first(KubeSpanEndpoints)
        return replace(config, extra_announced_endpoints=mean_endpoints(*extra) if extra else ())

    def identity(self) -> tuple[str, ClusterSecret | None]:
        """Return the cluster's id and secret, empty and None where they are not given."""
        cluster, view = self.legacy.cluster, self.view.at("cluster")
        document = self.documents.first(DiscoveryIdentityDocument)
        given = mean_identity(*document) if document else ("", None)
        if not cluster.has_identity:
            return given
        if document:
            place = view.at("id" if cluster.id else "secret")
            self._contradict(document[1], place, "cluster.id or cluster.secret")
        return (
            mean_cluster_id(cluster.id, view.at("id")),
            mean_cluster_secret(cluster.secret, view.at("secret")),
        )

    def services(self) -> tuple[DiscoveryService, ...]:
        """Return the discovery services that nothing is wrong with."""
        section, view = self.legacy.cluster.discovery, self.view.at("cluster", "discovery")
        documents = self.documents.all(DiscoveryServiceDocument)
        given = tuple(filter(None, (mean_service(*document) for document in documents)))
        if section is None:
            return given
        for _, place in documents:
            self._contradict(place, view, "cluster.discovery")
        service = mean_legacy_service(section, view)
        return given if service is None else (service,)

    def kubernetes_registry(self) -> bool:
        """Return whether Talos asks the Kubernetes API, too; say that nobody does here."""
        discovery = self.legacy.cluster.discovery
        if discovery is None or not discovery.has_kubernetes:
            return False
        self.view.ignore("cluster", "discovery", "registries", "kubernetes")
        return True

    def machine_type(self) -> MachineType:
        """Return the type of the machine."""
        return mean_machine_type(self.legacy.machine.type, self.view.at("machine", "type"))

    def check_needs(self, config: NodeConfig) -> None:
        """Say what is missing for what is wanted."""
        has_mistake = self.view.findings.has_mistake
        has_peers = bool(config.static_peers) or has_mistake(OWN, "staticPeers")
        wants = self._service()
        if config.kubespan.enabled and wants is None:
            if has_peers:
                wants = self._enabled()
            elif not has_mistake("cluster", "discovery"):
                self._enabled().mistake(
                    f"KubeSpan finds its peers by discovery; add a {SERVICE}, or staticPeers to a"
                    f" {OWN}"
                )
        if wants is not None and self.documents.first(DiscoveryIdentityDocument) is None:
            self._check_identity(wants)

    def _service(self) -> View | None:
        """Return where a discovery service is configured, however wrongly."""
        discovery = self.legacy.cluster.discovery
        if discovery is not None and discovery.has_service:
            return self.view.at("cluster", "discovery")
        document = self.documents.first(DiscoveryServiceDocument)
        return document[1] if document else None

    def _enabled(self) -> View:
        """Return where KubeSpan is enabled."""
        if document := self.documents.first(KubeSpan):
            return document[1].at("enabled")
        return self.view.at("machine", "network", "kubespan", "enabled")

    def _check_identity(self, wants: View) -> None:
        cluster = self.legacy.cluster
        for key, name, value in (
            ("id", "clusterID", cluster.id),
            ("secret", "clusterSecret", cluster.secret),
        ):
            if value or wants.findings.has_mistake("cluster", key):
                continue
            here = self.view.at("cluster", key) if self._has_cluster else wants
            here.mistake(
                f"nodes know each other by the cluster's {key}; write cluster.{key}, or add a"
                f" {IDENTITY} with {name}"
            )

    @property
    def _has_cluster(self) -> bool:
        return isinstance(self.view.node, Mapping) and "cluster" in self.view.node.entries

    def _contradict(self, document: View, former: View, keys: str) -> None:
        line = former.node.place.line
        document.mistake(f"{keys} says the same in line {line}; keep one of the two")
