"""What a running node can take over from another configuration, and what it cannot."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Final

from kubespan.config.read import load_config
from kubespan.model.cluster import ClusterSecret
from kubespan.model.config import NodeConfig
from kubespan.model.errors import ConfigError

IDENTITY: Final = ("cluster_id", "cluster_secret")
"""What a node is: with another one it would be another node."""

AT_START: Final = ("state_directory", "metrics_address")
"""What is looked at once, when the node starts, and what its environment may override."""


def checked(config: NodeConfig) -> ClusterSecret:
    """Return the cluster's secret if a node can run with the configuration. Raises ConfigError."""
    if not config.kubespan.enabled:
        raise ConfigError(
            "KubeSpan is not enabled in the configuration; add a document of kind KubeSpanConfig"
            " with enabled: true"
        )
    if not config.cluster_id or config.cluster_secret is None:
        raise ConfigError(
            "the configuration has no cluster id and secret; add a DiscoveryIdentityConfig with"
            " those of the cluster, or make a new one with `kubespan gen config --with-kubespan`"
        )
    return config.cluster_secret


def loaded(text: bytes, present: NodeConfig, name: str) -> NodeConfig:
    """Return the configuration that a text is, if the node can change to it. Raises ConfigError."""
    config = load_config(text, name).config
    checked(config)
    for key in changed_keys(present, config):
        if key in IDENTITY or key in AT_START:
            what = key.replace("_", " ")
            raise ConfigError(
                f"{name}: another {what} needs another start: `kubespan down`, then `kubespan up`"
            )
    return config


def with_start_of(config: NodeConfig, running: NodeConfig) -> NodeConfig:
    """Return a configuration with what was decided when the node started."""
    return replace(config, **{name: getattr(running, name) for name in AT_START})


def changed_keys(before: NodeConfig, after: NodeConfig) -> tuple[str, ...]:
    """Return the names of what differs."""
    return tuple(
        field.name
        for field in fields(NodeConfig)
        if getattr(before, field.name) != getattr(after, field.name)
    )
