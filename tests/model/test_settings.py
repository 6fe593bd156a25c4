"""Settings as resources: each has its part of the configuration, and changes only with that."""

from __future__ import annotations

from dataclasses import replace

from kubespan.model.cluster import ClusterSecret
from kubespan.model.config import DiscoveryService, KubeSpanConfig, NodeConfig
from kubespan.model.settings import DiscoverySettings, KubeSpanSettings

CONFIG = NodeConfig(
    "a-cluster",
    ClusterSecret(bytes(range(32))),
    KubeSpanConfig(enabled=True),
    (DiscoveryService("default", "discovery.example:443"),),
    kubernetes_registry=True,
)


def test_each_has_its_part() -> None:
    assert KubeSpanSettings.of(CONFIG) == KubeSpanSettings(
        "a-cluster", ClusterSecret(bytes(range(32))), KubeSpanConfig(enabled=True)
    )
    assert DiscoverySettings.of(CONFIG) == DiscoverySettings(
        "a-cluster", CONFIG.cluster_secret, CONFIG.services, kubernetes_registry=True
    )


def test_a_change_elsewhere_is_none_here() -> None:
    other = replace(CONFIG, services=(), listen_port=1)
    assert KubeSpanSettings.of(other) == KubeSpanSettings.of(CONFIG)
    assert DiscoverySettings.of(other) != DiscoverySettings.of(CONFIG)
    assert DiscoverySettings.of(replace(CONFIG, listen_port=1)) == DiscoverySettings.of(CONFIG)


def test_no_secret_is_printed() -> None:
    assert "hidden" in repr(KubeSpanSettings.of(CONFIG))
