"""Resources as plain data: Talos's keys, in Talos's order, with Talos's texts for what is not set.

Pure: mappings, lists, texts and numbers come out, for any encoder. Secrets are hidden unless asked
for. Talos `pkg/machinery/resources/{kubespan,cluster}` for keys; Go's `time.RFC3339Nano` for times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from kubespan.api.timebase import NANOSECONDS
from kubespan.model.config import DiscoveryService
from kubespan.model.ipset import host_prefix
from kubespan.model.resources import (
    Affiliate,
    ControlPlane,
    KubeSpanAffiliate,
    KubeSpanEndpoint,
    KubeSpanIdentity,
    KubeSpanPeerSpec,
    KubeSpanPeerStatus,
    Member,
    NodeIdentity,
)
from kubespan.model.settings import ClusterInfo, DiscoverySettings, KubeSpanSettings
from kubespan.store.resource import Resource

HIDDEN: Final = "(hidden)"
"""In place of a secret."""

UNSET_TIME: Final = "0001-01-01T00:00:00Z"
"""Go's zero time."""

Plain: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Manner:
    """How to render: when the machine was booted, and whether secrets may be seen."""

    booted_ns: int
    """Nanoseconds since the epoch."""

    show_secrets: bool = False

    def time(self, at: float | None) -> str:
        """Return seconds since boot as RFC 3339 in UTC."""
        return UNSET_TIME if at is None else rfc3339(self.booted_ns + round(at * NANOSECONDS))

    def secret(self, value: Callable[[], Any]) -> Any:
        """Return what `value` gives, if it may be seen."""
        return value() if self.show_secrets else HIDDEN


@lru_cache(maxsize=4096)
def rfc3339(wall_ns: int) -> str:
    """Return nanoseconds since the epoch as RFC 3339 in UTC, without zeros at the end."""
    seconds, rest = divmod(wall_ns, NANOSECONDS)
    fraction = f".{rest:09}".rstrip("0") if rest else ""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"


def rendered(resource: Resource, manner: Manner) -> Plain:
    """Return a resource: its metadata and its spec."""
    return {"metadata": _metadata(resource), "spec": rendered_spec(resource.spec, manner)}


def rendered_spec(spec: Any, manner: Manner) -> Plain:
    """Return the spec of a resource."""
    return RENDERERS[type(spec)](spec, manner)


def _metadata(resource: Resource) -> Plain:
    return {
        "namespace": resource.namespace,
        "type": resource.kind.name,
        "id": resource.id,
        "version": resource.version,
        "owner": resource.owner,
        "phase": "running",
        # Whole seconds, as COSI has them.
        "created": rfc3339(resource.created_ns // NANOSECONDS * NANOSECONDS),
        "updated": rfc3339(resource.updated_ns // NANOSECONDS * NANOSECONDS),
    }


def _texts(values: Iterable[object]) -> list[str]:
    return [str(value) for value in values]


def _text(value: object | None) -> str:
    return "" if value is None else str(value)


# The configuration.


def _kubespan_settings(spec: KubeSpanSettings, manner: Manner) -> Plain:
    wanted, secret = spec.kubespan, spec.cluster_secret
    plain = {
        "enabled": wanted.enabled,
        "clusterId": spec.cluster_id,
        "sharedSecret": "" if secret is None else manner.secret(secret.base64),
        "forceRouting": wanted.force_routing,
        "advertiseKubernetesNetworks": wanted.advertise_kubernetes_networks,
        "mtu": wanted.mtu,
        "endpointFilters": list(wanted.endpoint_filters or ()),
        "harvestExtraEndpoints": wanted.harvest_extra_endpoints,
        "extraEndpoints": _texts(wanted.extra_announced_endpoints),
        "excludeAdvertisedNetworks": _texts(wanted.exclude_advertised_networks),
    }
    return {key: value for key, value in plain.items() if value is not None and value != []}


def _discovery_settings(spec: DiscoverySettings, manner: Manner) -> Plain:
    first = spec.services[0] if spec.services else DiscoveryService("", "")
    secret = spec.cluster_secret
    return {
        "discoveryEnabled": bool(spec.services) or spec.kubernetes_registry,
        "registryKubernetesEnabled": spec.kubernetes_registry,
        "registryServiceEnabled": bool(spec.services),
        "serviceEndpoint": first.target,
        "serviceEndpointInsecure": first.insecure,
        "serviceEncryptionKey": [] if secret is None else manner.secret(lambda: list(secret.raw)),
        "serviceClusterID": spec.cluster_id,
        "serviceEndpoints": [
            {"name": service.name, "endpoint": service.target, "insecure": service.insecure}
            for service in spec.services
        ],
    }


def _info(spec: ClusterInfo, _: Manner) -> Plain:
    return {"clusterId": spec.cluster_id, "clusterName": spec.cluster_name}


# Who we are.


def _node_identity(spec: NodeIdentity, _: Manner) -> Plain:
    return {"nodeId": spec.node_id}


def _kubespan_identity(spec: KubeSpanIdentity, manner: Manner) -> Plain:
    return {
        "address": str(host_prefix(spec.address)),
        "subnet": str(spec.subnet),
        "privateKey": manner.secret(spec.private_key.base64),
        "publicKey": spec.public_key.base64(),
    }


# Who the others are.


def _peer_spec(spec: KubeSpanPeerSpec, _: Manner) -> Plain:
    return {
        "address": _text(spec.address),
        "allowedIPs": _texts(spec.allowed_ips),
        "endpoints": _texts(spec.endpoints),
        "label": spec.label,
    }


def _peer_status(spec: KubeSpanPeerStatus, manner: Manner) -> Plain:
    return {
        "endpoint": _text(spec.endpoint),
        "label": spec.label,
        "state": spec.state.value,
        "receiveBytes": spec.receive_bytes,
        "transmitBytes": spec.transmit_bytes,
        "lastHandshakeTime": manner.time(spec.last_handshake_at),
        "lastUsedEndpoint": _text(spec.last_used_endpoint),
        "lastEndpointChange": manner.time(spec.last_endpoint_change_at),
    }


def _endpoint(spec: KubeSpanEndpoint, _: Manner) -> Plain:
    return {"affiliateID": spec.affiliate_id, "endpoint": str(spec.endpoint)}


def _affiliate(spec: Affiliate, _: Manner) -> Plain:
    plain: Plain = {
        "nodeId": spec.node_id,
        "addresses": _texts(spec.addresses),
        "hostname": spec.hostname,
        "nodename": spec.nodename,
        "operatingSystem": spec.operating_system,
        "machineType": spec.machine_type.value,
    }
    if spec.kubespan is not None:
        plain["kubespan"] = _kubespan_affiliate(spec.kubespan)
    return plain | _control_plane(spec.control_plane)


def _kubespan_affiliate(spec: KubeSpanAffiliate) -> Plain:
    return {
        "publicKey": spec.public_key.base64(),
        "address": _text(spec.address),
        "additionalAddresses": _texts(spec.additional_addresses),
        "endpoints": _texts(spec.endpoints),
        "excludeAdvertisedNetworks": _texts(spec.exclude_advertised_networks),
    }


def _control_plane(spec: ControlPlane | None) -> Plain:
    return {} if spec is None else {"controlPlane": {"port": spec.port}}


def _member(spec: Member, _: Manner) -> Plain:
    plain: Plain = {
        "nodeId": spec.node_id,
        "addresses": _texts(spec.addresses),
        "hostname": spec.hostname,
        "machineType": spec.machine_type.value,
        "operatingSystem": spec.operating_system,
    }
    return plain | _control_plane(spec.control_plane)


RENDERERS: Final[Mapping[type, Callable[[Any, Manner], Plain]]] = MappingProxyType(
    {
        Affiliate: _affiliate,
        ClusterInfo: _info,
        DiscoverySettings: _discovery_settings,
        KubeSpanEndpoint: _endpoint,
        KubeSpanIdentity: _kubespan_identity,
        KubeSpanPeerSpec: _peer_spec,
        KubeSpanPeerStatus: _peer_status,
        KubeSpanSettings: _kubespan_settings,
        Member: _member,
        NodeIdentity: _node_identity,
    }
)
"""By the class of a spec."""
