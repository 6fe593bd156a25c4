"""All documents together: precedence, contradictions, and what is missing."""

from __future__ import annotations

import pytest

from kubespan.model.config import DiscoveryService
from tests.config.reading import (
    CLUSTER_ID,
    IDENTITY,
    PUBLIC_KEYS,
    SECRET,
    SERVICE,
    config,
    mistakes,
)

KUBESPAN = "---\napiVersion: v1alpha1\nkind: KubeSpanConfig\nenabled: true\n"
OWN = "---\napiVersion: v1alpha1\nkind: UserspaceNodeConfig\n"
PEERS = f"staticPeers: [{{name: a, publicKey: {PUBLIC_KEYS[0]}, address: fd00::1}}]\n"
LEGACY_KUBESPAN = "machine: {network: {kubespan: {enabled: true}}}\n"
LEGACY_IDENTITY = f"cluster:\n  id: {CLUSTER_ID}\n  secret: {SECRET}\n"
LEGACY_DISCOVERY = "  discovery: {enabled: true}\n"

NEEDS_DISCOVERY = (
    "KubeSpan finds its peers by discovery; add a DiscoveryServiceConfig, or staticPeers to a"
    " UserspaceNodeConfig"
)


def needs(key: str, name: str) -> str:
    return (
        f"nodes know each other by the cluster's {key}; write cluster.{key}, or add a"
        f" DiscoveryIdentityConfig with {name}"
    )


@pytest.mark.parametrize(
    "text",
    [
        IDENTITY + SERVICE + KUBESPAN,
        LEGACY_KUBESPAN + LEGACY_IDENTITY + LEGACY_DISCOVERY,
        LEGACY_IDENTITY + SERVICE + KUBESPAN,
        LEGACY_KUBESPAN + IDENTITY + SERVICE,
        LEGACY_IDENTITY + LEGACY_DISCOVERY + KUBESPAN,
        LEGACY_KUBESPAN + LEGACY_IDENTITY + SERVICE,
        IDENTITY + KUBESPAN + OWN + PEERS,
        LEGACY_KUBESPAN + LEGACY_IDENTITY + OWN + PEERS,
    ],
)
def test_generations_can_be_mixed(text: str) -> None:
    found = config(text)
    assert found.kubespan.enabled
    assert found.cluster_id == CLUSTER_ID
    assert found.cluster_secret is not None
    assert found.services or found.static_peers


def test_the_order_of_documents_means_nothing() -> None:
    parts = [LEGACY_IDENTITY, SERVICE, KUBESPAN, OWN + PEERS]
    assert config("---\n".join(parts)) == config("---\n".join(reversed(parts)))


def twice(place: str, kind: str, keys: str, line: int) -> str:
    return f"{place}: {kind}: {keys} says the same in line {line}; keep one of the two"


CONTRADICTIONS = [
    (
        LEGACY_KUBESPAN + LEGACY_IDENTITY + LEGACY_DISCOVERY + KUBESPAN,
        [twice("7:1", "KubeSpanConfig", "machine.network.kubespan", 1)],
    ),
    (
        LEGACY_IDENTITY
        + "  discovery:\n    enabled: false\n"
        + SERVICE
        + SERVICE.replace("default", "b"),
        [
            twice("7:1", "DiscoveryServiceConfig", "cluster.discovery", 5),
            twice("12:1", "DiscoveryServiceConfig", "cluster.discovery", 5),
        ],
    ),
    (
        LEGACY_IDENTITY + "  discovery: {}\n" + SERVICE,
        [twice("6:1", "DiscoveryServiceConfig", "cluster.discovery", 4)],
    ),
    (
        f"cluster: {{id: {CLUSTER_ID}}}\n" + IDENTITY,
        [twice("3:1", "DiscoveryIdentityConfig", "cluster.id or cluster.secret", 1)],
    ),
    (
        f"cluster:\n  secret: {SECRET}\n" + IDENTITY,
        [twice("4:1", "DiscoveryIdentityConfig", "cluster.id or cluster.secret", 2)],
    ),
]


@pytest.mark.parametrize(("text", "messages"), CONTRADICTIONS)
def test_nothing_is_said_twice(text: str, messages: list[str]) -> None:
    assert mistakes(text) == messages


@pytest.mark.parametrize(
    "text",
    [
        "cluster: {id: '', secret: ''}\n" + IDENTITY,
        LEGACY_IDENTITY + "  discovery:\n" + SERVICE,
        "machine: {network: {kubespan: }}\n" + IDENTITY + SERVICE + KUBESPAN,
    ],
)
def test_what_is_empty_contradicts_nothing(text: str) -> None:
    assert mistakes(text) == []


MISSING = [
    (KUBESPAN, [f"4:10: KubeSpanConfig.enabled: {NEEDS_DISCOVERY}"]),
    (
        LEGACY_KUBESPAN + LEGACY_IDENTITY,
        [f"1:41: machine.network.kubespan.enabled: {NEEDS_DISCOVERY}"],
    ),
    (
        LEGACY_KUBESPAN
        + LEGACY_IDENTITY
        + "  discovery: {enabled: true, registries: {service: {disabled: true}}}\n",
        [f"1:41: machine.network.kubespan.enabled: {NEEDS_DISCOVERY}"],
    ),
    (IDENTITY + KUBESPAN + OWN, [f"9:10: KubeSpanConfig.enabled: {NEEDS_DISCOVERY}"]),
    (
        SERVICE,
        [
            f"2:1: DiscoveryServiceConfig: {needs('id', 'clusterID')}",
            f"2:1: DiscoveryServiceConfig: {needs('secret', 'clusterSecret')}",
        ],
    ),
    (
        KUBESPAN + OWN + PEERS,
        [
            f"4:10: KubeSpanConfig.enabled: {needs('id', 'clusterID')}",
            f"4:10: KubeSpanConfig.enabled: {needs('secret', 'clusterSecret')}",
        ],
    ),
    (
        f"cluster:\n  id: {CLUSTER_ID}\n" + SERVICE,
        [f"2:3: cluster.secret: {needs('secret', 'clusterSecret')}"],
    ),
    (
        f"cluster:\n  secret: {SECRET}\n" + SERVICE,
        [f"2:3: cluster.id: {needs('id', 'clusterID')}"],
    ),
]


@pytest.mark.parametrize(("text", "messages"), MISSING)
def test_what_is_missing(text: str, messages: list[str]) -> None:
    assert mistakes(text) == messages


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (KUBESPAN + OWN + "staticPeers: [x]\n" + IDENTITY, "UserspaceNodeConfig.staticPeers[0]"),
        (LEGACY_KUBESPAN + LEGACY_IDENTITY + "  discovery: []\n", "cluster.discovery"),
        (
            LEGACY_KUBESPAN + "cluster: {id: x, secret: y, discovery: {enabled: true}}",
            "cluster.secret",
        ),
        (IDENTITY.replace(SECRET, "y") + SERVICE, "DiscoveryIdentityConfig.clusterSecret"),
        (IDENTITY + SERVICE.replace("https", "ftp") + KUBESPAN, "DiscoveryServiceConfig.endpoint"),
        (LEGACY_IDENTITY.replace(SECRET, "[]") + SERVICE, "cluster.secret"),
    ],
)
def test_what_follows_from_a_mistake_is_not_said(text: str, message: str) -> None:
    (found,) = mistakes(text)
    assert found.split(": ")[1] == message


def test_the_single_document_wins_if_it_has_a_service() -> None:
    # Such a file is refused; what it would mean is settled all the same.
    text = LEGACY_IDENTITY + LEGACY_DISCOVERY
    assert config(text).services == (DiscoveryService("legacy", "discovery.talos.dev:443"),)


def test_what_is_missing_is_said_of_whole_texts_only() -> None:
    (found,) = mistakes(KUBESPAN + "---\na: [\n")
    assert "not YAML" in found
