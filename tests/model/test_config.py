"""What a configuration means where it says nothing."""

from __future__ import annotations

import dataclasses

import pytest

from kubespan.model.cluster import ClusterSecret
from kubespan.model.config import DiscoveryService, KubeSpanConfig, NodeConfig, StaticPeer
from kubespan.model.keys import PublicKey
from kubespan.model.resources import MachineType


def test_a_node_without_a_word_is_a_harmless_peer() -> None:
    config = NodeConfig()
    assert (config.cluster_id, config.cluster_secret) == ("", None)
    assert (config.services, config.static_peers, config.kubernetes_registry) == ((), (), False)
    assert config.machine_type is MachineType.WORKER
    assert (config.node_name, config.hostname, config.metrics_address) == ("", "", "")
    assert config.listen_port == 51820
    assert config.state_directory.startswith("/")
    assert dict(config.labels) == {}


def test_kubespan_is_off_and_safe() -> None:
    kubespan = KubeSpanConfig()
    assert not kubespan.enabled
    assert kubespan.force_routing
    assert not kubespan.advertise_kubernetes_networks
    assert not kubespan.harvest_extra_endpoints
    assert kubespan.endpoint_filters is kubespan.peer_endpoint_filters is None


@pytest.mark.parametrize(("mtu", "effective"), [(None, 1420), (1280, 1280)])
def test_the_effective_mtu(mtu: int | None, effective: int) -> None:
    assert KubeSpanConfig(mtu=mtu).effective_mtu == effective


def test_a_service_speaks_tls() -> None:
    assert not DiscoveryService("a", "h:443").insecure


def test_nothing_can_be_changed_and_no_secret_is_printed() -> None:
    config = NodeConfig(cluster_secret=ClusterSecret(b"hush" * 8))
    for value in (config, config.kubespan, StaticPeer("a", PublicKey(bytes(32)))):
        field = dataclasses.fields(value)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field, None)
    assert "hush" not in repr(config)
    with pytest.raises(TypeError):
        config.labels["a"] = "b"  # type: ignore[index]
