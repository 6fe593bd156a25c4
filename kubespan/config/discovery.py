"""What the configuration says about discovery: who the cluster is, and which services to ask.

Talos: `cluster.id`, `cluster.secret` and `cluster.discovery` of the single document;
DiscoveryIdentityConfig and DiscoveryServiceConfig.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BeforeValidator, Field

from kubespan.config.scalar import Flag, Text, absent_if_null
from kubespan.config.section import Section
from kubespan.config.target import PUBLIC_SERVICE, Target, parse_target
from kubespan.config.tree import View
from kubespan.model.cluster import ClusterSecret
from kubespan.model.config import DiscoveryService
from kubespan.model.constants import MAX_CLUSTER_ID_SIZE
from kubespan.model.errors import ConfigError

LEGACY_NAME: Final = "legacy"


class DiscoveryIdentityDocument(Section):
    """Who the cluster is."""

    cluster_id: Text = Field(default="", alias="clusterID")
    cluster_secret: Text = Field(default="", repr=False)


class DiscoveryServiceDocument(Section):
    """A service to ask."""

    name: Text = ""
    endpoint: Text = ""


class KubernetesRegistry(Section):
    """Whether the Kubernetes API is asked, too."""

    disabled: Flag = False


class ServiceRegistry(Section):
    """Whether a discovery service is asked, and which."""

    disabled: Flag = False
    endpoint: Text = ""


class Registries(Section):
    """Who is asked about the other nodes."""

    kubernetes: KubernetesRegistry = KubernetesRegistry()
    service: ServiceRegistry = ServiceRegistry()


class Discovery(Section):
    """How nodes of the cluster find each other: `cluster.discovery`."""

    enabled: Flag = False
    registries: Registries = Registries()

    @property
    def has_service(self) -> bool:
        """Whether a discovery service is to be asked."""
        return self.enabled and not self.registries.service.disabled

    @property
    def has_kubernetes(self) -> bool:
        """Whether the Kubernetes API is to be asked."""
        return self.enabled and not self.registries.kubernetes.disabled


OptionalDiscovery = Annotated[Discovery | None, BeforeValidator(absent_if_null)]


def mean_identity(
    section: DiscoveryIdentityDocument, view: View
) -> tuple[str, ClusterSecret | None]:
    """Return the cluster's id and secret, both required; say what is wrong."""
    if not section.cluster_id and not view.findings.has_mistake(*view.steps, "clusterID"):
        view.at("clusterID").mistake("write the cluster's id, the same text on all its nodes")
    if not section.cluster_secret and not view.findings.has_mistake(*view.steps, "clusterSecret"):
        view.at("clusterSecret").mistake("write the cluster's secret, the same on all its nodes")
    cluster_id = mean_cluster_id(section.cluster_id, view.at("clusterID"))
    return cluster_id, mean_cluster_secret(section.cluster_secret, view.at("clusterSecret"))


def mean_cluster_id(text: str, view: View) -> str:
    """Return the cluster's id, which is not looked into; say if it is too long."""
    if len(text.encode()) <= MAX_CLUSTER_ID_SIZE:
        return text
    view.mistake(f"write at most {MAX_CLUSTER_ID_SIZE} bytes; discovery takes no longer id")
    return ""


def mean_cluster_secret(text: str, view: View) -> ClusterSecret | None:
    """Return the cluster's secret, None where there is none; say if it is none of 32 bytes."""
    if not text:
        return None
    try:
        return ClusterSecret.from_base64(text)
    except ConfigError as error:
        view.mistake(str(error))
        return None


def mean_service(section: DiscoveryServiceDocument, view: View) -> DiscoveryService | None:
    """Return a service, None if there is something wrong with it, which is said."""
    has_mistake = view.findings.has_mistake
    if not section.name and not has_mistake(*view.steps, "name"):
        view.at("name").mistake("write a name for this service, such as default")
    if not section.endpoint:
        if not has_mistake(*view.steps, "endpoint"):
            view.at("endpoint").mistake(f"write the service's URL, such as {PUBLIC_SERVICE}")
        return None
    target = _target(section.endpoint, view.at("endpoint"))
    if target is None or not section.name:
        return None
    return DiscoveryService(section.name, target.address, target.insecure)


def mean_legacy_service(section: Discovery, view: View) -> DiscoveryService | None:
    """Return the service of `cluster.discovery`, None if there is none; say what is wrong."""
    if not section.has_service:
        return None
    place = view.at("registries", "service", "endpoint")
    target = _target(section.registries.service.endpoint or PUBLIC_SERVICE, place)
    if target is None:
        return None
    if target.has_path:
        place.mistake("remove the path, so that the URL ends with the host or its port")
        return None
    return DiscoveryService(LEGACY_NAME, target.address, target.insecure)


def _target(url: str, view: View) -> Target | None:
    try:
        return parse_target(url)
    except ConfigError as error:
        view.mistake(str(error))
        return None
