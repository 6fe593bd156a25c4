"""A mesh whose member runs wireguard-go, configured by hand with wg(8)."""

from __future__ import annotations

from functools import partial

import pytest

from tests.mesh_scenarios.mesh_lab import PORT, Mesh, Node, Wants
from tests.netns.lab import Tunnel, eventually
from tests.netns.namespace import Namespace
from tests.netns.traffic import send_tcp
from tests.peers import wireguard_go

pytestmark = [pytest.mark.netns, pytest.mark.interop]

SIZE = 1 << 20
INNER4 = "10.66.0.1"


def by_hand(mesh: Mesh, host: Namespace, address: str) -> Tunnel:
    """Return wireguard-go with a key, a port and addresses, up."""
    tunnel = mesh.lab.tunnel(wireguard_go(), host).start()
    tunnel.set_key()
    tunnel.set("listen-port", str(PORT))
    tunnel.address(f"{INNER4}/32", f"{address}/128")
    tunnel.up(1420)
    eventually("it listens", tunnel.listens)
    return tunnel


def add_peer(mesh: Mesh, tunnel: Tunnel, node: Node) -> None:
    """Do by hand what a node does by itself: the cluster's secret is everybody's preshared key."""
    allowed = f"{node.address4}/32,{node.address6}/128"
    words = ("endpoint", f"{node.address4}:{PORT}", "allowed-ips", allowed)
    tunnel.peer(node.public_key, *words, preshared=mesh.identity["clusterSecret"])
    tunnel.namespace.ip("route", "add", f"{node.address6}/128", "dev", tunnel.name)


def is_up(node: Node) -> bool:
    return "gopher" in node.ups()


def test_a_member_by_hand(mesh: Mesh) -> None:
    ana, ben = mesh.node("ana"), mesh.node("ben", "south")
    mesh.up(ana, ben)
    host = mesh.lab.namespace("gopher")
    endpoint = f"{mesh.attach(host, 'west')}:{PORT}"
    inner6 = ana.status()["mesh"]["subnet"].replace("::/64", ":60::1")
    tunnel = by_hand(mesh, host, inner6)
    peer = {"name": "gopher", "publicKey": tunnel.keys.public, "address": inner6}
    for node in (ana, ben):
        static = {**peer, "endpoints": [endpoint], "allowedIPs": [f"{INNER4}/32"]}
        node.wants = Wants(own={"staticPeers": [static]})
        node.apply()
    for node in (ana, ben):
        add_peer(mesh, tunnel, node)
    for node in (ana, ben):
        mesh.until("gopher is up", partial(is_up, node))
        node.namespace.ping(INNER4)
        node.namespace.ping(inner6)
        host.ping(node.address6)
        send_tcp(node.namespace, host, inner6, SIZE)
        send_tcp(host, node.namespace, node.address6, SIZE)
    assert {row[0] for row in tunnel.show("latest-handshakes") if row[1] != "0"} == {
        ana.public_key,
        ben.public_key,
    }
