"""What leaves a node in clear: nothing for a member, unless the operator allows it."""

from __future__ import annotations

from collections.abc import Iterable

from kubespan.model.address import Endpoint, IPAddress
from kubespan.model.resources import PeerState
from kubespan.testing.simmesh import SimMesh
from kubespan.testing.simnode import MeshNode
from kubespan.testing.simunderlay import Passage


def pair(**wanted: bool) -> tuple[SimMesh, MeshNode, MeshNode]:
    mesh = SimMesh()
    one = mesh.add_node("one", "192.0.2.1", **wanted)
    other = mesh.add_node("other", "192.0.2.2", **wanted)
    assert mesh.run_until(mesh.is_whole, 5.0) is not None
    return mesh, one, other


def addresses(node: MeshNode) -> tuple[IPAddress, ...]:
    return (*node.host.addresses, node.address)


def write_to_everybody(mesh: SimMesh) -> None:
    for one in mesh.alive:
        for other in mesh.nodes.values():
            for address in addresses(other) if other is not one else ():
                one.send(address, b"secret")


def has_secret(passages: Iterable[Passage]) -> bool:
    return any(b"secret" in passage.datagram for passage in passages)


def test_nothing_for_a_member_leaves_in_clear_whatever_becomes_of_it() -> None:
    mesh, one, other = pair()
    tap = mesh.underlay.tap()
    for _ in range(100):
        write_to_everybody(mesh)
        mesh.run(0.5)
    other.crash()
    states = set()
    for _ in range(400):
        write_to_everybody(mesh)
        mesh.run(1.0)
        states.add(one.state_of(other))
    assert states == {PeerState.UP, PeerState.DOWN}
    other.start()
    for _ in range(20):
        write_to_everybody(mesh)
        mesh.run(0.1)
    assert mesh.is_whole()
    # Except what a node sends before it has ever heard of the member.
    assert [packet for packet in mesh.clear if packet.node == "one"] == []
    assert not has_secret(tap)


def test_what_a_node_knew_before_is_steered_before_discovery_answers() -> None:
    mesh = SimMesh()
    mesh.service.crash(remembers=True)
    one = mesh.add_node("one", "192.0.2.1")
    other = mesh.add_node("other", "192.0.2.2", is_started=False)
    assert one.life is not None
    one.life.remember([other])
    mesh.run(0.5)
    one.send("192.0.2.2", b"secret")
    assert mesh.clear == []


def test_where_it_is_allowed_a_peer_that_is_not_up_is_passed_by() -> None:
    mesh, one, other = pair(force_routing=False)
    one.send("192.0.2.2", b"?")
    mesh.run(1.0)
    assert mesh.clear == []
    assert len(one.delivered) == 1
    other.crash()
    mesh.run(400.0)
    assert one.state_of(other) is PeerState.DOWN
    one.send("192.0.2.2", b"secret")
    assert [str(packet.destination) for packet in mesh.clear] == ["192.0.2.2"]
    # What is only inside the mesh has no other way.
    one.send(other.address, b"secret")
    assert len(mesh.clear) == 1
    other.start()
    mesh.run(2.0)
    one.send("192.0.2.2", b"?")
    assert len(mesh.clear) == 1


def test_a_stranger_is_not_steered() -> None:
    mesh, one, _ = pair()
    one.send("192.0.2.77", b"hello")
    assert [str(packet.destination) for packet in mesh.clear] == ["192.0.2.77"]


def test_nothing_is_sealed_into_a_tunnel_that_leads_to_itself() -> None:
    """A peer that announces an endpoint inside its own allowed addresses gets plain datagrams."""
    mesh, one, other = pair()
    assert one.endpoint_of(other) == Endpoint.parse("192.0.2.2:51820")
    one.send("192.0.2.2", b"?")
    mesh.run(1.0)
    assert len(one.delivered) == 1
