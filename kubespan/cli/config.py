"""`kubespan config`: look at a configuration, before anything starts."""

from __future__ import annotations

import json
import sys
from typing import Any

import click
import yaml

from kubespan.config.mistake import ConfigMistakes, Mistake
from kubespan.config.read import Loaded, read_config, read_stream
from kubespan.model.config import NodeConfig

SCHEMA = 1
"""Of what `-o json` and `-o yaml` print; fields are added, never renamed."""

FORMATS = ("text", "json", "yaml")


@click.group()
def config() -> None:
    """Look at a configuration."""


@config.command("check")
@click.argument("file", envvar="KUBESPAN_CONFIG")
@click.option("-o", "--output", type=click.Choice(FORMATS), default="text", show_default=True)
def check(file: str, output: str) -> int:
    """Say what FILE means, what in it is ignored, and every mistake.

    FILE is a Talos machine configuration, - for stdin. Exits with 2 if there are mistakes.
    """
    if output == "text":
        click.echo(describe(_load(file)))
        return 0
    try:
        report = report_config(file, _load(file))
    except ConfigMistakes as error:
        report = report_mistakes(file, error.mistakes)
    click.echo(render(report, output), nl=False)
    return 0 if report["ok"] else 2


def _load(file: str) -> Loaded:
    if file == "-":
        return read_stream(sys.stdin.buffer, "<stdin>")
    return read_config(file)


def report_config(file: str, loaded: Loaded) -> dict[str, Any]:
    """Return what a program is told about a configuration without mistakes."""
    ignored = [
        {"line": one.place.line, "column": one.place.column, "path": one.path}
        for one in loaded.ignored
    ]
    return {
        "schema": SCHEMA,
        "file": file,
        "ok": True,
        "mistakes": [],
        "ignored": ignored,
        "config": summarize(loaded.config),
    }


def report_mistakes(file: str, mistakes: tuple[Mistake, ...]) -> dict[str, Any]:
    """Return what a program is told about a configuration with mistakes."""
    listed = [
        {
            "line": one.place.line,
            "column": one.place.column,
            "path": one.path,
            "message": one.message,
        }
        for one in mistakes
    ]
    return {"schema": SCHEMA, "file": file, "ok": False, "mistakes": listed, "ignored": []}


def summarize(config: NodeConfig) -> dict[str, Any]:
    """Return what a configuration means, without anything secret."""
    kubespan = config.kubespan
    return {
        "cluster": {
            "id": bool(config.cluster_id),
            "secret": config.cluster_secret is not None,
        },
        "kubespan": {
            "enabled": kubespan.enabled,
            "mtu": kubespan.effective_mtu,
            "advertiseKubernetesNetworks": kubespan.advertise_kubernetes_networks,
            "allowDownPeerBypass": not kubespan.force_routing,
            "harvestExtraEndpoints": kubespan.harvest_extra_endpoints,
            "extraAnnouncedEndpoints": [str(one) for one in kubespan.extra_announced_endpoints],
        },
        "discovery": [
            {"name": one.name, "target": one.target, "insecure": one.insecure}
            for one in config.services
        ],
        "node": {
            "machineType": config.machine_type.value,
            "listenPort": config.listen_port,
            "nodeName": config.node_name,
            "podNetworks": [str(one) for one in config.pod_networks],
            "clusterNetworks": [str(one) for one in config.cluster_networks],
            "hostname": config.hostname,
            "stateDirectory": config.state_directory,
            "metricsAddress": config.metrics_address,
            "labels": dict(config.labels),
        },
        "staticPeers": [one.name for one in config.static_peers],
    }


def describe(loaded: Loaded) -> str:
    """Return what a person is told about a configuration without mistakes."""
    config = loaded.config
    services = [
        f"{one.name} at {one.target}{' without TLS' if one.insecure else ''}"
        for one in config.services
    ]
    rows = [
        ("cluster", _cluster(config)),
        ("kubespan", _kubespan(config)),
        ("discovery", ", ".join(services) or "none"),
        ("node", f"{config.machine_type.value}, UDP port {config.listen_port}"),
        ("static peers", ", ".join(one.name for one in config.static_peers) or "none"),
    ]
    rows += [("ignored", f"line {one.place.line}: {one.path}") for one in loaded.ignored]
    return "\n".join(f"{name:<14}{value}" for name, value in rows)


def _cluster(config: NodeConfig) -> str:
    given = [
        name
        for name, is_given in (
            ("id", bool(config.cluster_id)),
            ("secret", config.cluster_secret is not None),
        )
        if is_given
    ]
    return f"has {' and '.join(given)}" if given else "none"


def _kubespan(config: NodeConfig) -> str:
    kubespan = config.kubespan
    if not kubespan.enabled:
        return "disabled"
    pods = ", ".join(map(str, config.pod_networks)) or "none, name them as podNetworks"
    said = {
        f"pod networks advertised ({pods})": kubespan.advertise_kubernetes_networks,
        "bypassed while a peer is down": not kubespan.force_routing,
        "endpoints harvested": kubespan.harvest_extra_endpoints,
    }
    return ", ".join(
        (
            "enabled",
            f"MTU {kubespan.effective_mtu}",
            *(name for name, is_so in said.items() if is_so),
        )
    )


def render(report: dict[str, Any], output: str) -> str:
    """Return a report as JSON or YAML."""
    if output == "json":
        return json.dumps(report, indent=2) + "\n"
    return yaml.safe_dump(report, sort_keys=False)
