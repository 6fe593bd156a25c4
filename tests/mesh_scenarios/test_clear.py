"""Nothing for a member leaves in clear: not while it is down, nor while we are killed or start."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from kubespan.model.cluster import ClusterSecret
from kubespan.state.cache import AffiliateCache
from tests.mesh_scenarios.mesh_lab import PORT, Mesh, Node, Wants
from tests.mesh_scenarios.wire import Wire
from tests.netns.namespace import CommandFailedError

pytestmark = pytest.mark.netns

BYPASS = Wants({"allowDownPeerBypass": True})
STATIC = {
    "name": "x",
    "publicKey": "NzW8oeIH5rJyY5lefD9WRoHWWRr/Q6DwsDjMX+xKjT4=",
    "allowedIPs": ["203.0.113.77/32"],
}
WALL = f"""
    table inet wall {{
        chain forward {{
            type filter hook forward priority 0;
            udp dport {PORT} drop
        }}
    }}
"""


def knock(near: Node, *addresses: str, tcp: int = 80, udp: int = 53) -> None:
    """Try to reach addresses as applications do: ping, TCP, UDP; nobody needs to answer."""
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with suppress(CommandFailedError):
            near.namespace.run("ping", "-n", "-q", "-c", "3", "-i", "0.05", "-W", "0.2", address)
        with (
            closing(near.namespace.socket(family, socket.SOCK_STREAM)) as stream,
            closing(near.namespace.socket(family, socket.SOCK_DGRAM)) as datagram,
            suppress(OSError),
        ):
            stream.settimeout(0.2)
            with suppress(OSError):
                stream.connect((address, tcp))
            datagram.sendto(b"in clear", (address, udp))


def remembered(mesh: Mesh, node: Node) -> set[str]:
    """Return the names that a node would begin with."""
    secret = ClusterSecret(base64.b64decode(mesh.identity["clusterSecret"]))
    cache = AffiliateCache(node.folder / "state", mesh.identity["clusterID"], secret)
    return {one.affiliate.hostname for one in cache.load(time.time()).members}


def pair(mesh: Mesh) -> tuple[Node, Node]:
    return mesh.node("ana"), mesh.node("ben", "south")


def test_a_peer_that_was_never_up(mesh: Mesh) -> None:
    ana, ben = pair(mesh)
    mesh.hub.nft(WALL)
    with Wire(mesh) as wire:
        for node in (ana, ben):
            node.up()
        mesh.until("ana steers", lambda: ben.address4 in ana.leftovers().get("table", ""))
        knock(ana, ben.address4, ben.address6)
        assert ana.ups() == set()
        assert wire.in_clear() == []
        assert wire.datagrams() != []


SLOW_START = 60.0
"""Seconds within which a peer is steered where nft takes its time."""


def slow_nft(folder: Path) -> str:
    """Return a path on which nft takes its time."""
    file = folder / "slow" / "nft"
    file.parent.mkdir()
    file.write_text(f'#!/bin/sh\nsleep 0.7\nexec {shutil.which("nft")} "$@"\n')
    file.chmod(0o755)
    return f"{file.parent}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.parametrize("wants", [Wants(), BYPASS], ids=["forced", "bypassed"])
def test_a_peer_that_talks_before_it_is_steered(mesh: Mesh, wants: Wants) -> None:
    """Ben hears of ana, and from her, long before his host steers packets for her."""
    ana, ben = pair(mesh)
    ben.wants, ben.variables["PATH"] = wants, slow_nft(ben.folder)
    ben.up()
    mesh.until("ben is steered", ben.is_steered)
    talks = 0
    with Wire(mesh) as wire:
        ana.up()
        mesh.until("ben is up for ana", lambda: "ben" in ana.ups())
        until = time.monotonic() + SLOW_START
        while not ben.ups():
            assert time.monotonic() < until, mesh.said()
            knock(ana, ben.address4, ben.address6)
            talks += 1
        # One of his two tables: maybe the one that stands in while the other is replaced.
        marks = ben.namespace.run("nft", "list", "ruleset")
        knock(ana, ben.address4, ben.address6)
        assert wire.in_clear() == []
    assert ana.address4 in marks
    assert talks > 0
    ana.namespace.ping(ben.address4)
    ben.namespace.ping(ana.address4)


def test_discovery_on_the_host_of_a_member(mesh: Mesh) -> None:
    """It alone is reached past the mesh there, and answers so: whoever comes later is heard of."""
    ana, ben, cleo = mesh.node("ana"), mesh.node("ben", "south"), mesh.home("cleo", "west")
    mesh.serve_on(ana)
    mesh.up(ana, ben)
    with Wire(mesh) as wire:
        mesh.up(cleo)
        for near, far in ((ben, ana), (ana, ben), (cleo, ana), (ana, cleo)):
            near.namespace.ping(far.address4)
            knock(near, far.address4, far.address6)
            # The service's port is nothing special with another member, or another protocol.
            knock(near, far.address4, tcp=80 if far is ana else 3000, udp=3000)
        assert wire.in_clear() == []
        said = {packet.source for packet in wire.discovery()}
        assert said >= {ana.address4, ben.address4}
    assert all(node.status()["discovery"][0]["connected"] for node in (ana, ben, cleo))
    assert not any("KS-OVERLAP" in node.problems() for node in (ana, ben, cleo))


def test_discovery_on_the_host_of_a_member_that_no_tunnel_leads_to(mesh: Mesh) -> None:
    """Both steer each other, WireGuard is cut off, and one remembers nobody."""
    ana, ben = pair(mesh)
    mesh.serve_on(ana)
    mesh.up(ana, ben)
    mesh.hub.nft(WALL)
    ben.kill()
    shutil.rmtree(ben.folder / "state")
    ben.up()
    mesh.until("ben is heard", lambda: "ana" in ben.peers())
    assert ben.status()["discovery"][0]["connected"]
    assert ana.address4 in ben.leftovers()["table"]


def test_a_peer_that_is_killed(mesh: Mesh) -> None:
    ana, ben = pair(mesh)
    mesh.up(ana, ben)
    address6 = ben.address6
    with Wire(mesh) as wire:
        ana.namespace.ping(ben.address4)
        ben.kill()
        knock(ana, ben.address4, address6)
        # Nor does the killed node's own host send anything in clear.
        knock(ben, ana.address4, ana.address6)
        assert wire.in_clear() == []


def test_a_node_that_is_killed_and_comes_back(mesh: Mesh) -> None:
    ana, ben = pair(mesh)
    mesh.up(ana, ben)
    addresses = ben.address4, ben.address6
    with Wire(mesh) as wire:
        ana.kill()
        knock(ana, *addresses)
        ana.up()
        while not ana.ups():
            knock(ana, *addresses)
        knock(ana, *addresses)
        assert wire.in_clear() == []
    ana.namespace.ping(ben.address4)


def test_a_node_that_is_killed_soon_and_finds_nobody_to_ask(mesh: Mesh) -> None:
    ana, ben = pair(mesh)
    ana.wants = Wants(own={"staticPeers": [STATIC]})
    mesh.up(ana, ben)
    addresses = ben.address4, ben.address6
    mesh.until("ana remembers ben", lambda: "ben" in remembered(mesh, ana))
    with Wire(mesh) as wire:
        ana.kill()
        mesh.service.close()
        ana.up()
        mesh.until("ana steers again", ana.is_steered)
        knock(ana, *addresses)
        assert wire.in_clear() == []
    mesh.until("ben is up again", lambda: "ben" in ana.ups())


def test_a_node_that_leaves_while_its_peer_talks(mesh: Mesh) -> None:
    """Ana cannot be told, and goes on; what comes through her tunnel is not answered past it."""
    ana, ben = pair(mesh)
    mesh.up(ana, ben)
    mesh.service.close()
    with Wire(mesh) as wire:
        flood = ana.namespace.start("ping", "-n", "-q", "-i", "0.002", "-w", "30", ben.address4)
        mesh.until("ana talks", lambda: len(wire.datagrams()) > 100)
        ben.leave()
        flood.terminate()
        flood.communicate()
        assert wire.in_clear() == []
    assert ben.leftovers() == {}
    assert "steering" not in ben.said


def test_a_peer_that_may_be_bypassed(mesh: Mesh) -> None:
    ana, ben = pair(mesh)
    mesh.hub.nft(WALL)
    for node in (ana, ben):
        node.wants = BYPASS
        node.up()
    mesh.until("both know", lambda: "ben" in ana.peers() and "ana" in ben.peers())
    with Wire(mesh) as wire:
        ana.namespace.ping(ben.address4)
        assert [packet for packet in wire.in_clear() if packet.destination == ben.address4] != []
    mesh.hub.run("nft", "delete", "table", "inet", "wall")
    mesh.all_up()
    with Wire(mesh) as wire:
        ana.namespace.ping(ben.address4)
        assert wire.in_clear() == []
