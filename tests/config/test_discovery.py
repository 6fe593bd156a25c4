"""Discovery in both generations: identity and services, every rule with its place."""

from __future__ import annotations

import pytest

from kubespan.model.cluster import ClusterSecret
from kubespan.model.config import DiscoveryService
from tests.config.reading import CLUSTER_ID, IDENTITY, SECRET, config, load, mistakes, places

SHORT = "AAAAAAAAAAAAAAAAAAAAAA=="


def identity(cluster_id: str, secret: str) -> str:
    return (
        f"apiVersion: v1alpha1\nkind: DiscoveryIdentityConfig\n"
        f"clusterID: {cluster_id}\nclusterSecret: {secret}\n"
    )


def service(name: str, endpoint: str) -> str:
    return (
        f"{IDENTITY}---\napiVersion: v1alpha1\nkind: DiscoveryServiceConfig\n"
        f"name: {name}\nendpoint: {endpoint}\n"
    )


def legacy(discovery: str, *, cluster_id: str = CLUSTER_ID, secret: str = SECRET) -> str:
    return f"cluster:\n  id: {cluster_id}\n  secret: {secret}\n  discovery: {discovery}\n"


@pytest.mark.parametrize(
    "text", [identity(CLUSTER_ID, SECRET), legacy("{}"), legacy(""), legacy("{enabled: false}")]
)
def test_who_the_cluster_is(text: str) -> None:
    found = config(text)
    assert found.cluster_id == CLUSTER_ID
    assert found.cluster_secret == ClusterSecret.from_base64(SECRET)
    assert (found.services, found.kubernetes_registry) == ((), False)
    assert SECRET not in repr(found)


def test_an_id_is_any_text() -> None:
    assert config(identity("12345", SECRET)).cluster_id == "12345"


IDENTITIES = [
    (identity("", SECRET), "3:11: DiscoveryIdentityConfig.clusterID: write the cluster's id"),
    (identity("x", ""), "4:15: DiscoveryIdentityConfig.clusterSecret: write the cluster's secret"),
    (
        identity("x", "'?'"),
        "4:16: DiscoveryIdentityConfig.clusterSecret: the cluster secret is not",
    ),
    (
        identity("x", "a_-b"),
        "4:16: DiscoveryIdentityConfig.clusterSecret: the cluster secret is not",
    ),
    (identity("x", SHORT), "4:16: DiscoveryIdentityConfig.clusterSecret: the cluster secret is 16"),
    (identity("x", "[]"), "4:16: DiscoveryIdentityConfig.clusterSecret: write a word or a number"),
    (identity("{}", SECRET), "3:12: DiscoveryIdentityConfig.clusterID: write a word or a number"),
    (identity("x" * 257, SECRET), "3:12: DiscoveryIdentityConfig.clusterID: write at most 256"),
    (legacy("", cluster_id="x" * 257), "2:7: cluster.id: write at most 256 bytes"),
    (legacy("", secret=SHORT), "3:11: cluster.secret: the cluster secret is 16 bytes"),
]


@pytest.mark.parametrize(("text", "message"), IDENTITIES)
def test_who_the_cluster_is_not(text: str, message: str) -> None:
    (found,) = mistakes(text)
    assert found.startswith(message)
    assert SHORT not in found


def test_id_and_secret_are_both_required() -> None:
    assert places("apiVersion: v1alpha1\nkind: DiscoveryIdentityConfig\n") == [
        "1:1: DiscoveryIdentityConfig.clusterID",
        "1:1: DiscoveryIdentityConfig.clusterSecret",
    ]


def test_services_in_the_order_of_the_text() -> None:
    second = "---\napiVersion: v1alpha1\nkind: DiscoveryServiceConfig\nname: b\n"
    found = config(service("a", "https://h/p?q") + second + "endpoint: http://[::1]\n")
    assert found.services == (
        DiscoveryService("a", "h:443"),
        DiscoveryService("b", "[::1]:80", insecure=True),
    )


SERVICES = [
    (service("", "https://h"), "9:6: DiscoveryServiceConfig.name: write a name for this service"),
    (service("[]", "https://h"), "9:7: DiscoveryServiceConfig.name: write a word or a number"),
    (service("a", ""), "10:10: DiscoveryServiceConfig.endpoint: write the service's URL"),
    (service("a", "{}"), "10:11: DiscoveryServiceConfig.endpoint: write a word or a number"),
    (service("a", "h"), "10:11: DiscoveryServiceConfig.endpoint: write the scheme too"),
    (service("a", "ftp://h"), "10:11: DiscoveryServiceConfig.endpoint: a discovery service has"),
    (service("a", "https://"), "10:11: DiscoveryServiceConfig.endpoint: write the host too"),
    (service("a", "https://h:0"), "10:11: DiscoveryServiceConfig.endpoint: the port is a number"),
]


@pytest.mark.parametrize(("text", "message"), SERVICES)
def test_no_service(text: str, message: str) -> None:
    (found,) = mistakes(text)
    assert found.startswith(message)


@pytest.mark.parametrize(
    ("discovery", "service", "kubernetes"),
    [
        ("{enabled: true}", "discovery.talos.dev:443", True),
        ("{enabled: false}", None, False),
        ("{registries: {service: {endpoint: 'https://h'}}}", None, False),
        ("{enabled: true, registries: {service: {endpoint: 'http://h/'}}}", "h:80", True),
        ("{enabled: true, registries: {service: {disabled: true}}}", None, True),
        (
            "{enabled: yes, registries: {kubernetes: {disabled: true}}}",
            "discovery.talos.dev:443",
            False,
        ),
        ("{enabled: true, registries: {service: , kubernetes: }}", "discovery.talos.dev:443", True),
    ],
)
def test_registries_of_the_single_document(
    discovery: str, service: str | None, kubernetes: bool
) -> None:
    found = config(legacy(discovery))
    assert found.services == (
        () if service is None else (DiscoveryService("legacy", service, service.endswith(":80")),)
    )
    assert found.kubernetes_registry is kubernetes


KUBERNETES = "cluster.discovery.registries.kubernetes"


@pytest.mark.parametrize(
    ("discovery", "place"),
    [
        ("{enabled: true}", (4, 3)),
        ("{enabled: true, registries: {service: {disabled: true}}}", (4, 30)),
        ("{enabled: true, registries: {kubernetes: {disabled: false}}}", (4, 43)),
        ("\n    enabled: true\n    registries:\n      kubernetes:\n        disabled: no", (7, 7)),
        ("{enabled: true, registries: {kubernetes: {disabled: true}}}", None),
        ("{enabled: false}", None),
    ],
)
def test_the_kubernetes_registry_is_ignored_where_it_is_on(
    discovery: str, place: tuple[int, int] | None
) -> None:
    found = load(legacy(discovery)).ignored
    assert [(one.place.line, one.place.column, one.path) for one in found] == (
        [] if place is None else [(*place, KUBERNETES)]
    )


def with_endpoint(endpoint: str) -> str:
    return legacy(f"{{enabled: true, registries: {{service: {{endpoint: '{endpoint}'}}}}}}")


LEGACY_SERVICES = [
    (with_endpoint("https://h/p"), "remove the path"),
    (with_endpoint("h"), "write the scheme too"),
    (with_endpoint("ftp://h"), "a discovery service has"),
]


@pytest.mark.parametrize(("text", "message"), LEGACY_SERVICES)
def test_no_service_of_the_single_document(text: str, message: str) -> None:
    (found,) = mistakes(text)
    path = "cluster.discovery.registries.service.endpoint"
    assert found.startswith(f"4:63: {path}: {message}")


def test_what_is_disabled_is_not_looked_at() -> None:
    text = with_endpoint("nonsense").replace("enabled: true", "enabled: false")
    assert config(text).services == ()


def test_a_service_needs_to_know_the_cluster() -> None:
    assert places(legacy("{enabled: true}", cluster_id="", secret="")) == [
        "2:6: cluster.id",
        "3:10: cluster.secret",
    ]
    assert places("cluster: {discovery: {enabled: true}}\n") == [
        "1:10: cluster.id",
        "1:10: cluster.secret",
    ]
