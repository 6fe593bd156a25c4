"""A running node that is changed: by its operator, who keeps every session, and by strangers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.mesh_scenarios.mesh_lab import Mesh, Node, Wants
from tests.mesh_scenarios.pings import Pings

pytestmark = pytest.mark.netns


def pair(mesh: Mesh) -> tuple[Node, Node]:
    nodes = mesh.node("ana"), mesh.node("ben", "south")
    mesh.up(*nodes)
    return nodes


def test_changes_keep_sessions(mesh: Mesh) -> None:
    ana, ben = pair(mesh)
    handshakes = ana.handshakes()
    with Pings(ana, ben.address6) as pings:
        pings.answered()
        ana.wants = Wants({"mtu": 1300})
        assert ana.apply()["changed"] == ["kubespan"]
        mesh.until("the mtu", lambda: ana.namespace.link("kubespan")["mtu"] == 1300)
        ana.wants = Wants({"mtu": 1300}, {"staticPeers": [a_static_peer()]})
        ana.apply()
        mesh.until("the static peer", lambda: "gateway" in ana.peers())
        mesh.until("it is steered", lambda: "10.99.0.0/24" in ana.leftovers()["table"])
        ana.wants = Wants({"filters": {"endpoints": ["203.0.113.0/24"]}})
        assert ana.apply()["changed"] == ["kubespan", "static_peers"]
        mesh.until("the static peer goes", lambda: "gateway" not in ana.peers())
        mesh.until("no endpoint is announced", lambda: announced(ana) == [])
        pings.answered(after=time.monotonic())
        assert pings.lost == []
    assert ana.handshakes() == handshakes
    assert ana.apply()["changed"] == []


def announced(node: Node) -> list[str]:
    """Return the endpoints that a node announces; its service goes on telling of others a while."""
    own = node.status()["self"]["id"]
    (item,) = node.client.resources("affiliates", own)["items"]
    endpoints: list[str] = item["spec"]["kubespan"]["endpoints"]
    return endpoints


def ports(node: Node) -> set[int]:
    """Return which of both ports of the scenario below are open."""
    return node.namespace.udp_ports() & {51820, 51999}


def test_another_port_is_followed(mesh: Mesh) -> None:
    ana, ben = pair(mesh)
    handshakes, moved = ana.handshakes(), f"{ana.address4}:51999"
    with Pings(ana, ben.address6) as pings:
        pings.answered()
        ana.wants = Wants(own={"listenPort": 51999})
        assert ana.apply()["changed"] == ["listen_port"]
        mesh.until("it listens there alone", lambda: ports(ana) == {51999})
        mesh.until("ben follows", lambda: ben.peers()["ana"]["endpoint"] == moved, 10)
        pings.answered(after=time.monotonic())
    assert len(pings.lost) <= 1  # what is on its way to the old port is lost
    assert ana.handshakes() == handshakes


def test_pod_networks_are_told_and_reached(mesh: Mesh) -> None:
    ana, ben = pair(mesh)
    ana.namespace.run("ip", "link", "add", "cni0", "type", "veth", "peer", "name", "pod0")
    ana.namespace.run("ip", "address", "add", "10.244.3.1/24", "dev", "cni0")
    ana.namespace.run("ip", "link", "set", "pod0", "up")
    ana.namespace.run("ip", "link", "set", "cni0", "up")
    assert not ben.reaches("10.244.3.1")
    told: dict[str, object] = {"podNetworks": ["10.244.3.0/24"]}
    ana.wants = Wants({"advertiseKubernetesNetworks": True}, told)
    assert ana.apply()["changed"] == ["kubespan", "pod_networks"]
    mesh.until("it is steered", lambda: "10.244.3.0/24" in ben.leftovers()["table"])
    mesh.until("a pod is reached", lambda: ben.reaches("10.244.3.1"))
    own = ana.status()["self"]["id"]
    (item,) = ana.client.resources("affiliates", own)["items"]
    assert "10.244.3.1" not in item["spec"]["addresses"]


def test_pod_networks_stay_ours_whoever_claims_them(mesh: Mesh) -> None:
    ana, ben = pair(mesh)
    pods: dict[str, object] = {"podNetworks": ["10.244.3.0/24"]}
    ana.wants = Wants(own=pods)
    assert ana.apply()["changed"] == ["pod_networks"]
    ben.wants = Wants(
        {"advertiseKubernetesNetworks": True}, {"podNetworks": ["10.244.3.128/25", "10.244.4.0/24"]}
    )
    ben.apply()
    mesh.until("ben's other network is steered", lambda: "10.244.4.0/24" in steered(ana))
    assert "10.244.3.128" not in steered(ana)
    (problem,) = ana.status()["problems"]
    assert (problem["code"], problem["peer"]) == ("KS-OVERLAP", "ben")


def steered(node: Node) -> str:
    """Return the node's nftables table."""
    return node.leftovers()["table"]


def test_what_cannot_be_changed_is_refused(mesh: Mesh) -> None:
    ana, _ = pair(mesh)
    file = ana.folder / "other.yaml"
    file.write_text(ana.config().replace("clusterID: ", "clusterID: A"))
    done = ana.run("apply", "-f", str(file))
    assert done.returncode == 2
    assert "needs another start" in done.stderr
    file.write_text(ana.config() + "nonsense: 1\n")
    assert ana.run("apply", "-f", str(file)).returncode == 2
    assert ana.ups() == {"ben"}


def a_static_peer() -> dict[str, object]:
    return {
        "name": "gateway",
        "publicKey": "NzW8oeIH5rJyY5lefD9WRoHWWRr/Q6DwsDjMX+xKjT4=",
        "allowedIPs": ["10.99.0.0/24"],
    }


MEDDLING: dict[str, Callable[[Node], object]] = {
    "table": lambda node: node.namespace.run("nft", "flush", "ruleset"),
    "rules": lambda node: node.namespace.ip("rule", "del", "priority", "32500"),
    "routes": lambda node: node.namespace.ip("route", "flush", "table", "180"),
    "main6": lambda node: node.namespace.ip("-6", "route", "del", "unreachable", *_subnet(node)),
    "address": lambda node: node.namespace.ip("-6", "addr", "flush", "dev", "kubespan"),
    "down": lambda node: node.namespace.ip("link", "set", "kubespan", "down"),
    "link": lambda node: node.namespace.ip("link", "del", "kubespan"),
}


def _subnet(node: Node) -> tuple[str, ...]:
    return (str(node.status()["mesh"]["subnet"]), "metric", "27507")


@pytest.mark.slow
def test_what_others_take_away_is_restored(mesh: Mesh, measured: Any) -> None:
    ana, ben = pair(mesh)
    whole = set(ana.leftovers())
    address6, took = ben.address6, []
    for what, meddle in MEDDLING.items():
        began = time.monotonic()
        meddle(ana)
        mesh.until(
            f"all is whole after {what}",
            lambda: set(ana.leftovers()) == whole and ana.reaches(address6, ben.address4),
        )
        took.append(f"{what} {time.monotonic() - began:.1f} s")
    measured("restored and answered again", ", ".join(took))
    assert ana.ups() == {"ben"}
