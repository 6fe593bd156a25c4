"""Nodes behind NATs and firewalls: who connects, how soon, and who cannot."""

from __future__ import annotations

from typing import Any

import pytest

from kubespan.mesh.diagnosis import diagnose
from kubespan.mesh.evidence import Evidence
from kubespan.mesh.problem import ProblemCode
from kubespan.model.constants import ENDPOINT_CONNECTION_TIMEOUT, LOOK_INTERVAL
from kubespan.model.resources import PeerState
from kubespan.testing.simmesh import SimMesh
from kubespan.testing.simnat import NatKind
from kubespan.testing.simnode import MeshNode
from kubespan.testing.simunderlay import Network

WINDOW = ENDPOINT_CONNECTION_TIMEOUT
FULL, ADDRESS = NatKind.FULL_CONE, NatKind.ADDRESS_RESTRICTED
PORT, SYMMETRIC = NatKind.PORT_RESTRICTED, NatKind.SYMMETRIC


def two_behind_nats(
    kinds: tuple[NatKind, NatKind],
    *,
    preserves_ports: bool = False,
    third: bool = True,
    harvests: bool = True,
) -> tuple[SimMesh, MeshNode, MeshNode]:
    """Two nodes behind a NAT each, and a third one that both can reach."""
    mesh = SimMesh()
    if third:
        mesh.add_node("third", "192.0.2.3", harvest_extra_endpoints=harvests)
    nodes = []
    for number, kind in enumerate(kinds, start=1):
        inside = mesh.behind_nat(f"198.51.100.{number}", kind, preserves_ports=preserves_ports)
        nodes.append(mesh.add_node(f"node {number}", (inside, f"192.168.{number}.10")))
    return mesh, nodes[0], nodes[1]


@pytest.mark.parametrize(
    "kinds", [(FULL, FULL), (FULL, PORT), (ADDRESS, PORT), (PORT, PORT), (SYMMETRIC, ADDRESS)]
)
def test_what_a_third_node_sees_connects_two(kinds: tuple[NatKind, NatKind], measured: Any) -> None:
    mesh, *_ = two_behind_nats(kinds)
    took = mesh.run_until(mesh.is_whole, WINDOW)
    assert took is not None, mesh.not_up()
    measured(f"behind {kinds[0].name} and {kinds[1].name}, harvested", f"{took:.2f} s")


@pytest.mark.parametrize("kind", [FULL, ADDRESS, PORT])
def test_nats_that_map_predictably_need_nobody_else(kind: NatKind, measured: Any) -> None:
    mesh, one, other = two_behind_nats((kind, kind), preserves_ports=True, third=False)
    took = mesh.run_until(mesh.is_whole, WINDOW)
    assert took is not None
    endpoint = one.endpoint_of(other)
    assert endpoint is not None
    assert str(endpoint) == "198.51.100.2:51820"
    measured(f"behind {kind.name} twice, predictable", f"{took:.2f} s")


@pytest.mark.parametrize("kinds", [(SYMMETRIC, PORT), (SYMMETRIC, SYMMETRIC)])
def test_what_cannot_connect_is_not_said_to_be_up(kinds: tuple[NatKind, NatKind]) -> None:
    mesh, one, other = two_behind_nats(kinds)
    seen = set()
    for _ in range(120):
        mesh.run(1.0)
        seen |= {one.state_of(other), other.state_of(one)}
    assert PeerState.UP not in seen
    assert len(mesh.not_up()) == 2  # and everybody else is connected
    for node, peer in ((one, other), (other, one)):
        (problem,) = diagnose(node.outcome, Evidence(), mesh.now)
        assert (problem.code, problem.peer) == (ProblemCode.NO_REPLY, peer.name)


def test_without_harvest_two_unpredictable_nats_stay_apart() -> None:
    mesh, *_ = two_behind_nats((PORT, PORT), harvests=False)
    mesh.run(60.0)
    assert len(mesh.not_up()) == 2


def test_firewalls_that_let_only_answers_in() -> None:
    mesh = SimMesh()
    mesh.add_node("one", "192.0.2.1", has_firewall=True)
    mesh.add_node("other", "192.0.2.2", has_firewall=True)
    assert mesh.run_until(mesh.is_whole, 6.0) is not None


def test_a_quiet_tunnel_through_two_nats_stays_open() -> None:
    """The mappings last 30 s, and keepalives come every 25."""
    mesh, one, other = two_behind_nats((PORT, PORT), preserves_ports=True, third=False)
    assert mesh.run_until(mesh.is_whole, WINDOW) is not None
    for _ in range(12):
        mesh.run(300.0)
        one.send(other.address, b"?")
        mesh.run(1.0)
        assert one.delivered[-1][1:] == (other.address, b"!")
        one.delivered.clear()


def test_two_in_one_private_network_find_each_other_there() -> None:
    mesh = SimMesh()
    inside = mesh.behind_nat("198.51.100.1", PORT)
    one = mesh.add_node("one", (inside, "192.168.1.10"))
    other = mesh.add_node("other", (inside, "192.168.1.11"))
    mesh.add_node("third", "192.0.2.3")
    assert mesh.run_until(mesh.is_whole, 3.0) is not None
    assert str(one.endpoint_of(other)) == "192.168.1.11:51820"


def test_a_nat_that_restarts_is_got_over() -> None:
    mesh, one, other = two_behind_nats((PORT, PORT), preserves_ports=True)
    assert mesh.run_until(mesh.is_whole, WINDOW) is not None
    nat = one.host.attachments[0].network.nat
    assert nat is not None
    nat.restart()
    for number in range(60):
        mesh.timeline.at(mesh.now + number, lambda: one.send(other.address, b"?"))
    mesh.run(20.0)
    assert one.delivered != []


def test_both_ends_look_for_each_other_everywhere_at_once() -> None:
    """Data waits at both ends, so neither lets the other begin, and each has dead endpoints."""
    mesh = SimMesh()
    nodes = []
    for number in (1, 2):
        bridges = [(Network("bridge"), f"10.{number}.{bridge}.1") for bridge in range(5)]
        place = (mesh.internet, f"192.0.2.{number}")
        nodes.append(mesh.add_node(f"node {number}", *bridges, place, is_started=False))
    one, other = nodes
    for node in nodes:
        node.start()
    for node, peer in ((one, other), (other, one)):
        assert node.life is not None
        node.life.remember([peer])
    mesh.run(LOOK_INTERVAL + 0.001)
    one.send(other.address, b"?from one")
    other.send(one.address, b"?from other")
    mesh.run(0.5)
    for node, peer in ((one, other), (other, one)):
        assert sorted(payload[:1] for _, _, payload in node.delivered) == [b"!", b"?"]
        assert str(node.endpoint_of(peer)) == f"{peer.host.addresses[-1]}:51820"
