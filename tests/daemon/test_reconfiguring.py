"""What a running node takes over, and what needs another start."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kubespan.config.read import load_config
from kubespan.daemon.reconfiguring import changed_keys, checked, loaded
from kubespan.model.config import KubeSpanConfig, NodeConfig
from kubespan.model.errors import ConfigError
from tests.daemon.lone import CONFIG, SECRET

PRESENT = load_config(CONFIG.encode(), "node.yaml").config


def test_a_node_needs_a_cluster_and_a_mesh() -> None:
    assert checked(PRESENT).base64() == SECRET
    with pytest.raises(ConfigError, match="enabled: true"):
        checked(replace(PRESENT, kubespan=KubeSpanConfig()))
    with pytest.raises(ConfigError, match="gen config"):
        checked(replace(PRESENT, cluster_secret=None))
    with pytest.raises(ConfigError, match="cluster id"):
        checked(replace(PRESENT, cluster_id=""))


def test_what_changed_is_named() -> None:
    assert changed_keys(PRESENT, PRESENT) == ()
    other = replace(PRESENT, hostname="x", listen_port=1)
    assert changed_keys(PRESENT, other) == ("listen_port", "hostname")


def test_the_same_text_is_the_same_configuration() -> None:
    assert changed_keys(PRESENT, loaded(CONFIG.encode(), PRESENT, "node.yaml")) == ()


@pytest.mark.parametrize(
    ("present", "said"),
    [
        (replace(PRESENT, cluster_id="other"), "another cluster id"),
        (replace(PRESENT, state_directory="/other"), "another state directory"),
        (replace(PRESENT, metrics_address="[::]:1"), "another metrics address"),
    ],
)
def test_what_needs_another_start_says_so(present: NodeConfig, said: str) -> None:
    with pytest.raises(ConfigError, match=f"node.yaml: {said}.*kubespan down"):
        loaded(CONFIG.encode(), present, "node.yaml")
