"""A mesh while things change: addresses, paths, nodes that come back and nodes that do not."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from kubespan.model.constants import PEER_DOWN_AFTER
from kubespan.model.resources import PeerState
from kubespan.testing.simmesh import SimMesh
from kubespan.testing.simnat import NatKind
from kubespan.testing.simnode import MeshNode

NEW = ip_address("192.0.2.99")


def converse(mesh: SimMesh, one: MeshNode, other: MeshNode, seconds: int) -> None:
    """Have two nodes talk to each other, twice a second."""
    for number in range(2 * seconds):
        mesh.timeline.at(mesh.now + number / 2, lambda: one.send(other.address, b"?"))


def is_followed(mesh: SimMesh, moved: MeshNode) -> bool:
    others = [node for node in mesh.alive if node is not moved]
    return all(getattr(node.endpoint_of(moved), "address", None) == NEW for node in others)


@pytest.mark.parametrize("is_behind_nat", [False, True])
def test_an_address_change_is_followed(is_behind_nat: bool, measured: Any) -> None:
    """Also where a NAT keeps out what comes from the new address: the answer goes there first."""
    mesh = SimMesh()
    inside = mesh.behind_nat("198.51.100.1", NatKind.PORT_RESTRICTED)
    place = (inside, "192.168.1.10") if is_behind_nat else "192.0.2.1"
    other = mesh.add_node("other", place)
    moved = mesh.add_node("moved", "192.0.2.2")
    mesh.add_nodes(3)
    assert mesh.run_until(mesh.is_whole, 5.0) is not None
    mesh.run(40.0)
    moved.move((mesh.internet, str(NEW)))
    took = mesh.run_until(lambda: is_followed(mesh, moved), 10.0)
    assert took is not None
    where = "behind a NAT" if is_behind_nat else "in the open"
    measured(f"address change, seen from {where}", f"{took:.2f} s of virtual time")
    moved.send(other.address, b"?")
    mesh.run(1.0)
    assert moved.delivered != []
    assert mesh.not_up() == []


def test_a_hail_that_is_lost_is_repeated() -> None:
    mesh = SimMesh()
    other = mesh.add_node("other", "192.0.2.1")
    moved = mesh.add_node("moved", "192.0.2.2")
    assert mesh.run_until(mesh.is_whole, 5.0) is not None
    mesh.run(40.0)
    mesh.service.crash(remembers=True)
    mesh.underlay.weather.loss = 1.0
    moved.move((mesh.internet, str(NEW)))
    mesh.run(0.5)
    mesh.underlay.weather.loss = 0.0
    mesh.run(1.0)
    assert other.endpoint_of(moved) is not None
    assert is_followed(mesh, moved)


def test_a_dead_path_with_traffic_is_left_for_one_that_works(measured: Any) -> None:
    mesh = SimMesh()
    one = mesh.add_node("one", "192.0.2.1")
    other = mesh.add_node("other", "192.0.2.2", "198.51.100.2")
    assert mesh.run_until(mesh.is_whole, 5.0) is not None
    mesh.run(31.0)
    used = one.endpoint_of(other)
    assert used is not None
    mesh.underlay.dead.add(used.address)
    converse(mesh, one, other, 60)
    before = len(one.delivered)
    took = mesh.run_until(lambda: len(one.delivered) > before, 20.0)
    assert took is not None
    assert one.endpoint_of(other) != used
    assert one.state_of(other) is other.state_of(one) is PeerState.UP
    measured("a dead path with traffic is left after", f"{took:.2f} s of virtual time")


@pytest.mark.parametrize("is_talking", [False, True])
def test_a_dead_peer_is_down_when_the_table_says_so(is_talking: bool, measured: Any) -> None:
    mesh = SimMesh()
    one = mesh.add_node("one", "192.0.2.1")
    other = mesh.add_node("other", "192.0.2.2")
    assert mesh.run_until(mesh.is_whole, 5.0) is not None
    mesh.run(50.0)
    last = one.outcome.statuses[other.key].last_handshake_at
    assert last is not None
    other.crash()
    if is_talking:
        converse(mesh, one, other, 300)
    mesh.run(last + PEER_DOWN_AFTER - 0.1 - mesh.now)
    assert one.state_of(other) is PeerState.UP
    mesh.run(0.5)
    assert one.state_of(other) is PeerState.DOWN
    measured(
        "a dead peer is down, after its last handshake, "
        + ("with" if is_talking else "without")
        + " traffic",
        f"{PEER_DOWN_AFTER:.0f} s of virtual time",
    )


def test_a_dead_peer_with_other_endpoints_is_not_up_after_twenty_seconds_of_traffic() -> None:
    mesh = SimMesh()
    one = mesh.add_node("one", "192.0.2.1")
    other = mesh.add_node("other", "192.0.2.2", "198.51.100.2")
    assert mesh.run_until(mesh.is_whole, 5.0) is not None
    mesh.run(31.0)
    other.crash()
    converse(mesh, one, other, 60)
    mesh.run(20.0)
    assert one.state_of(other) is not PeerState.UP


def test_a_node_that_restarts_is_back_at_once(measured: Any) -> None:
    mesh = SimMesh()
    mesh.add_nodes(5)
    other = mesh.add_node("other", "192.0.2.2")
    assert mesh.run_until(mesh.is_whole, 5.0) is not None
    mesh.run(100.0)
    other.crash()
    mesh.run(5.0)
    other.start()
    took = mesh.run_until(mesh.is_whole, 3.0)
    assert took is not None
    for node in mesh.alive:
        if node is not other:
            node.send(other.address, b"?")
    mesh.run(1.0)
    assert all(node.delivered for node in mesh.alive)
    measured("a node that was started again", f"{took:.2f} s of virtual time")


def test_a_node_that_leaves_is_gone_everywhere() -> None:
    mesh = SimMesh()
    nodes = mesh.add_nodes(4)
    assert mesh.run_until(mesh.is_whole, 5.0) is not None
    mesh.run(20.0)
    nodes[0].leave()
    mesh.run(2.0)
    # Its tunnel was up, so discovery's word is not enough for a while.
    assert all(node.state_of(nodes[0]) is PeerState.UP for node in nodes[1:])
    mesh.run(900.0)
    assert all(node.state_of(nodes[0]) is None for node in nodes[1:])
