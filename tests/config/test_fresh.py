"""Fresh configurations: what is made can be read, and means what was asked for."""

from __future__ import annotations

import pytest

from kubespan.config.fresh import EXAMPLES, build_config
from kubespan.config.read import parse_config
from kubespan.model.cluster import ClusterSecret
from kubespan.model.config import DiscoveryService, KubeSpanConfig, NodeConfig
from kubespan.model.errors import InternalError

ID, SECRET = bytes(range(32)), bytes(range(100, 132))


@pytest.mark.parametrize("with_kubespan", [False, True])
def test_what_is_made_can_be_read(with_kubespan: bool) -> None:
    services = ["https://h/", "http://[::1]:3000", "grpc://h:1"]
    loaded = parse_config(build_config(ID, SECRET, services, with_kubespan=with_kubespan), "t")
    assert loaded.ignored == ()
    assert loaded.config == NodeConfig(
        cluster_id=ClusterSecret(ID).base64(),
        cluster_secret=ClusterSecret(SECRET),
        kubespan=KubeSpanConfig(enabled=with_kubespan),
        services=(
            DiscoveryService("default", "h:443"),
            DiscoveryService("default-2", "[::1]:3000", insecure=True),
            DiscoveryService("default-3", "h:1"),
        ),
    )


def test_the_examples_are_right() -> None:
    text = build_config(ID, SECRET, ["https://h"], with_kubespan=True)
    examples = "".join(line.removeprefix("# ") for line in EXAMPLES.splitlines(keepends=True))
    config = parse_config(text.removesuffix(EXAMPLES) + examples, "t").config
    assert (config.node_name, config.labels["site"]) == ("worker-1", "north")
    assert str(config.pod_networks[0]) == "10.244.3.0/24"
    assert [peer.name for peer in config.static_peers] == ["gateway"]


def test_the_secret_is_on_one_line() -> None:
    lines = build_config(ID, SECRET, [], with_kubespan=False).splitlines()
    assert f"clusterSecret: {ClusterSecret(SECRET).base64()}" in lines


@pytest.mark.parametrize("size", [0, 31, 33])
def test_id_and_secret_are_32_bytes(size: int) -> None:
    with pytest.raises(InternalError):
        build_config(bytes(size), SECRET, [], with_kubespan=False)
    with pytest.raises(InternalError):
        build_config(ID, bytes(size), [], with_kubespan=False)
