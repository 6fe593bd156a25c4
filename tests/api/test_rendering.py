"""Every kind as plain data: keys in Talos's order, texts for what is not set, secrets hidden."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.api.rendering import Manner, rendered, rendered_spec, rfc3339
from kubespan.model.address import Endpoint, Prefix
from kubespan.model.cluster import ClusterSecret
from kubespan.model.config import DiscoveryService, KubeSpanConfig
from kubespan.model.keys import PrivateKey, PublicKey
from kubespan.model.resources import (
    Affiliate,
    ControlPlane,
    KubeSpanAffiliate,
    KubeSpanEndpoint,
    KubeSpanIdentity,
    KubeSpanPeerSpec,
    KubeSpanPeerStatus,
    MachineType,
    Member,
    NodeIdentity,
    PeerState,
)
from kubespan.model.settings import ClusterInfo, DiscoverySettings, KubeSpanSettings
from kubespan.store.kind import KUBESPAN_PEER_STATUSES
from kubespan.store.resource import Resource

BOOTED = 1_767_261_600_000_000_000
"""2026-01-01T10:00:00Z."""

MANNER = Manner(BOOTED)
OPEN = Manner(BOOTED, show_secrets=True)
SECRET = ClusterSecret(bytes(range(32)))
PRIVATE = "gNoasoKOJzl+/B+uXhvsBVxv81OcVLrlcmQ5jQwZO08="
PUBLIC = "NzW8oeIH5rJyY5lefD9WRoHWWRr/Q6DwsDjMX+xKjT4="
KEY = PublicKey.from_base64(PUBLIC)
HERE, THERE = Endpoint.parse("203.0.113.7:51820"), Endpoint.parse("[2001:db8::1]:51820")
ULA = IPv6Address("fd50:8d60:4238:6302:f857:23ff:fe21:d1e0")
NETWORK = Prefix.parse("10.244.3.0/24")
NODE_ID = "29QQTc97U5ZyFTIX33Dp9NqtwxqQI8QI13scCLzffrZ"

SPECS: list[tuple[Any, dict[str, Any]]] = [
    (
        KubeSpanSettings("id", SECRET, KubeSpanConfig(enabled=True)),
        {
            "enabled": True,
            "clusterId": "id",
            "sharedSecret": "(hidden)",
            "forceRouting": True,
            "advertiseKubernetesNetworks": False,
            "harvestExtraEndpoints": False,
        },
    ),
    (
        KubeSpanSettings(
            "",
            None,
            KubeSpanConfig(
                advertise_kubernetes_networks=True,
                force_routing=False,
                harvest_extra_endpoints=True,
                mtu=1400,
                endpoint_filters=("0.0.0.0/0", "!10.0.0.0/8"),
                exclude_advertised_networks=(NETWORK,),
                extra_announced_endpoints=(HERE,),
            ),
        ),
        {
            "enabled": False,
            "clusterId": "",
            "sharedSecret": "",
            "forceRouting": False,
            "advertiseKubernetesNetworks": True,
            "mtu": 1400,
            "endpointFilters": ["0.0.0.0/0", "!10.0.0.0/8"],
            "harvestExtraEndpoints": True,
            "extraEndpoints": ["203.0.113.7:51820"],
            "excludeAdvertisedNetworks": ["10.244.3.0/24"],
        },
    ),
    (
        DiscoverySettings("id", SECRET, (DiscoveryService("a", "a:443"),) * 2),
        {
            "discoveryEnabled": True,
            "registryKubernetesEnabled": False,
            "registryServiceEnabled": True,
            "serviceEndpoint": "a:443",
            "serviceEndpointInsecure": False,
            "serviceEncryptionKey": "(hidden)",
            "serviceClusterID": "id",
            "serviceEndpoints": [{"name": "a", "endpoint": "a:443", "insecure": False}] * 2,
        },
    ),
    (
        DiscoverySettings("", None),
        {
            "discoveryEnabled": False,
            "registryKubernetesEnabled": False,
            "registryServiceEnabled": False,
            "serviceEndpoint": "",
            "serviceEndpointInsecure": False,
            "serviceEncryptionKey": [],
            "serviceClusterID": "",
            "serviceEndpoints": [],
        },
    ),
    (ClusterInfo("id", "prod"), {"clusterId": "id", "clusterName": "prod"}),
    (NodeIdentity(NODE_ID), {"nodeId": NODE_ID}),
    (
        KubeSpanIdentity(ULA, Prefix.parse(f"{ULA}/64"), PrivateKey.from_base64(PRIVATE)),
        {
            "address": f"{ULA}/128",
            "subnet": "fd50:8d60:4238:6302::/64",
            "privateKey": "(hidden)",
            "publicKey": PUBLIC,
        },
    ),
    (
        KubeSpanPeerSpec(KEY, ULA, (NETWORK,), (HERE, THERE), "worker-1"),
        {
            "address": str(ULA),
            "allowedIPs": ["10.244.3.0/24"],
            "endpoints": ["203.0.113.7:51820", "[2001:db8::1]:51820"],
            "label": "worker-1",
        },
    ),
    (
        KubeSpanPeerSpec(KEY, None),
        {"address": "", "allowedIPs": [], "endpoints": [], "label": ""},
    ),
    (
        KubeSpanPeerStatus("worker-1", HERE, PeerState.UP, 1024, 2048, 161.123456789, HERE, 0.5),
        {
            "endpoint": "203.0.113.7:51820",
            "label": "worker-1",
            "state": "up",
            "receiveBytes": 1024,
            "transmitBytes": 2048,
            "lastHandshakeTime": "2026-01-01T10:02:41.123456789Z",
            "lastUsedEndpoint": "203.0.113.7:51820",
            "lastEndpointChange": "2026-01-01T10:00:00.5Z",
        },
    ),
    (
        KubeSpanPeerStatus(),
        {
            "endpoint": "",
            "label": "",
            "state": "unknown",
            "receiveBytes": 0,
            "transmitBytes": 0,
            "lastHandshakeTime": "0001-01-01T00:00:00Z",
            "lastUsedEndpoint": "",
            "lastEndpointChange": "0001-01-01T00:00:00Z",
        },
    ),
    (
        KubeSpanEndpoint(NODE_ID, HERE),
        {"affiliateID": NODE_ID, "endpoint": "203.0.113.7:51820"},
    ),
    (
        Affiliate(
            NODE_ID,
            (ip_address("192.168.3.4"), ULA),
            "foo.com",
            "bar",
            "Talos (v1.14.0)",
            MachineType.CONTROL_PLANE,
            KubeSpanAffiliate(KEY, ULA, (NETWORK,), (HERE,), (NETWORK,)),
            ControlPlane(6443),
        ),
        {
            "nodeId": NODE_ID,
            "addresses": ["192.168.3.4", str(ULA)],
            "hostname": "foo.com",
            "nodename": "bar",
            "operatingSystem": "Talos (v1.14.0)",
            "machineType": "controlplane",
            "kubespan": {
                "publicKey": PUBLIC,
                "address": str(ULA),
                "additionalAddresses": ["10.244.3.0/24"],
                "endpoints": ["203.0.113.7:51820"],
                "excludeAdvertisedNetworks": ["10.244.3.0/24"],
            },
            "controlPlane": {"port": 6443},
        },
    ),
    (
        Affiliate(NODE_ID),
        {
            "nodeId": NODE_ID,
            "addresses": [],
            "hostname": "",
            "nodename": "",
            "operatingSystem": "",
            "machineType": "unknown",
        },
    ),
    (
        Member(NODE_ID, (ip_address("192.168.3.4"),), "foo.com", MachineType.WORKER, "Talos"),
        {
            "nodeId": NODE_ID,
            "addresses": ["192.168.3.4"],
            "hostname": "foo.com",
            "machineType": "worker",
            "operatingSystem": "Talos",
        },
    ),
]


@pytest.mark.parametrize(("spec", "expected"), SPECS, ids=lambda one: type(one).__name__)
def test_specs(spec: Any, expected: dict[str, Any]) -> None:
    found = rendered_spec(spec, MANNER)
    assert found == expected
    assert list(found) == list(expected)


def test_secrets_show_when_they_may() -> None:
    settings = KubeSpanSettings("id", SECRET, KubeSpanConfig())
    assert rendered_spec(settings, OPEN)["sharedSecret"] == SECRET.base64()
    discovery = DiscoverySettings("id", SECRET)
    assert rendered_spec(discovery, OPEN)["serviceEncryptionKey"] == list(range(32))
    identity = KubeSpanIdentity(ULA, NETWORK, PrivateKey.from_base64(PRIVATE))
    assert rendered_spec(identity, OPEN)["privateKey"] == PRIVATE


def test_a_resource_says_what_it_is() -> None:
    status = KubeSpanPeerStatus()
    resource = Resource(
        KUBESPAN_PEER_STATUSES,
        "kubespan",
        PUBLIC,
        7,
        "kubespan.ManagerController",
        BOOTED + 1,
        BOOTED + 180_999_999_999,
        status,
    )
    found = rendered(resource, MANNER)
    assert list(found["metadata"].items()) == [
        ("namespace", "kubespan"),
        ("type", "KubeSpanPeerStatuses.kubespan.talos.dev"),
        ("id", PUBLIC),
        ("version", 7),
        ("owner", "kubespan.ManagerController"),
        ("phase", "running"),
        ("created", "2026-01-01T10:00:00Z"),
        ("updated", "2026-01-01T10:03:00Z"),
    ]
    assert found["spec"] == rendered_spec(status, MANNER)


@pytest.mark.parametrize(
    ("wall_ns", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1, "1970-01-01T00:00:00.000000001Z"),
        (1_500_000_000, "1970-01-01T00:00:01.5Z"),
        (-500_000_000, "1969-12-31T23:59:59.5Z"),
        (BOOTED + 120_000_000, "2026-01-01T10:00:00.12Z"),
    ],
)
def test_times(wall_ns: int, text: str) -> None:
    assert rfc3339(wall_ns) == text


@given(st.integers(0, 4 * 10**18))
def test_times_tell_every_nanosecond(wall_ns: int) -> None:
    text = rfc3339(wall_ns)
    whole, _, fraction = text[:-1].partition(".")
    assert len(whole) == 19
    assert int(fraction.ljust(9, "0") or "0") == wall_ns % 10**9
    assert not fraction.endswith("0")
