"""One simulated node: what it says of itself, where its packets go, its starts and ends."""

from __future__ import annotations

from ipaddress import ip_address

from kubespan.testing.simmesh import SERVICE, SimMesh
from kubespan.testing.simnat import NatKind
from kubespan.testing.simnode import outside_of
from kubespan.testing.simunderlay import Network, SimHost


def test_it_says_where_it_is_and_where_it_is_seen() -> None:
    mesh = SimMesh()
    inside = mesh.behind_nat("198.51.100.1", NatKind.FULL_CONE)
    node = mesh.add_node("one", (inside, "192.168.1.10"))
    other = mesh.add_node("other", "192.0.2.1")
    mesh.run(1.0)
    (spec,) = other.outcome.specs
    assert list(map(str, spec.endpoints)) == ["192.168.1.10:51820", "198.51.100.1:51820"]
    assert spec.address == node.address
    assert spec.public_key == node.key


def test_where_a_host_is_seen() -> None:
    mesh = SimMesh()
    inside = mesh.behind_nat("198.51.100.1", NatKind.FULL_CONE)
    host = SimHost("h")
    assert outside_of(host, SERVICE) == b""
    host.attach(inside, ip_address("10.0.0.1"))
    assert outside_of(host, SERVICE) == ip_address("198.51.100.1").packed
    # The internet is nearer.
    host.attach(mesh.internet, ip_address("192.0.2.1"))
    assert outside_of(host, SERVICE) == ip_address("192.0.2.1").packed


def test_the_identity_outlives_a_crash_and_nothing_else_does() -> None:
    mesh = SimMesh()
    one, other = mesh.add_nodes(2)
    mesh.run(1.0)
    before = one.life
    one.crash()
    assert one.state_of(other) is None
    one.start()
    assert one.life is not before
    assert one.state_of(other) is None
    mesh.run(1.0)
    assert mesh.is_whole()


def test_packets_go_where_the_plan_leads_them() -> None:
    mesh = SimMesh()
    one, other = mesh.add_nodes(2)
    mesh.run(1.0)
    one.send(other.host.addresses[0], b"by address")
    one.send(other.address, b"inside")
    one.send("192.0.2.200", b"to a stranger")
    mesh.run(1.0)
    assert [(str(source), payload) for _, source, payload in other.delivered] == [
        (str(one.host.addresses[0]), b"by address"),
        (str(one.address), b"inside"),
    ]
    ((at, node, destination),) = mesh.clear
    assert (at < mesh.now, node, str(destination)) == (True, one.name, "192.0.2.200")


def test_a_host_that_is_off_may_move() -> None:
    mesh = SimMesh()
    one = mesh.add_node("one", "192.0.2.1", is_started=False)
    one.move((mesh.internet, "192.0.2.9"), (Network("bridge"), "172.17.0.1"))
    assert list(map(str, one.host.addresses)) == ["192.0.2.9", "172.17.0.1"]


def test_a_node_that_ends_soon_after_a_move_says_no_more() -> None:
    mesh = SimMesh()
    one, _ = mesh.add_nodes(2)
    mesh.run(1.0)
    one.move((mesh.internet, "192.0.2.9"))
    one.crash()
    tap = mesh.underlay.tap()
    mesh.run(5.0)
    assert one.name not in {passage.host for passage in tap}
