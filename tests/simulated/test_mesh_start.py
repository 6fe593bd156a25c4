"""A mesh comes up: everything that is shipped, but for sockets and kernel, in virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from kubespan.model.address import Endpoint
from kubespan.model.constants import MAX_PROBES, REKEY_TIMEOUT
from kubespan.model.drop import DropReason
from kubespan.testing.simmesh import SimMesh
from kubespan.testing.simnet import Weather
from kubespan.testing.simnode import MeshNode
from kubespan.testing.simplane import RealPlane
from kubespan.testing.simunderlay import Network
from kubespan.wireguard.effects import Event
from kubespan.wireguard.surroundings import Result, Role


def plane(node: MeshNode) -> RealPlane:
    assert node.life is not None
    assert isinstance(node.life.plane, RealPlane)
    return node.life.plane


@pytest.mark.parametrize("count", [4, 50])
def test_all_pairs_are_up_soon_after_the_last_node_registers(count: int, measured: Any) -> None:
    mesh = SimMesh(weather=Weather(latency=0.02, jitter=0.02))
    mesh.add_nodes(count)
    took = mesh.run_until(mesh.is_whole, 3.0)
    assert took is not None, mesh.not_up()[:9]
    measured(f"cold start of {count} nodes at once", f"{took:.2f} s of virtual time")


def test_nodes_that_come_one_after_the_other_are_up_at_once(measured: Any) -> None:
    mesh = SimMesh()
    slowest = 0.0
    for _ in range(8):
        mesh.add_nodes(1)
        took = mesh.run_until(mesh.is_whole, 3.0)
        assert took is not None
        slowest = max(slowest, took)
        mesh.run(7.0)
    measured("one node more", f"{slowest:.2f} s of virtual time")


def test_one_end_of_each_pair_begins() -> None:
    mesh = SimMesh()
    mesh.add_nodes(20)
    mesh.run(3.0)
    sent = [plane(node).interface.handshakes[Role.INITIATOR, Result.SENT] for node in mesh.alive]
    assert sum(sent) == 20 * 19 // 2


def test_every_message_may_come_twice_and_no_clock_is_suspected() -> None:
    mesh = SimMesh(weather=Weather(jitter=0.05, duplication=1.0))
    nodes = mesh.add_nodes(6)
    mesh.run(3.0)
    assert sum(plane(node).drops[DropReason.REPLAYED] for node in nodes) > 0
    assert sum(plane(node).drops[DropReason.OLD_TIMESTAMP] for node in nodes) == 0
    assert all(node.life.events[Event.CLOCK_WENT_BACK] == 0 for node in nodes if node.life)


def dead_ends(count: int) -> list[tuple[Network, str]]:
    """Addresses that a host has and that nobody else can reach."""
    return [(Network(f"bridge {number}"), f"10.99.{number}.1") for number in range(count)]


def test_four_dead_endpoints_before_the_good_one(measured: Any) -> None:
    mesh = SimMesh()
    one = mesh.add_node("one", "192.0.2.1")
    other = mesh.add_node("other", *dead_ends(4), "192.0.2.2")
    took = mesh.run_until(mesh.is_whole, 5.0)
    assert took is not None
    (spec,) = one.outcome.specs
    assert spec.endpoints.index(Endpoint.parse("192.0.2.2:51820")) == 4
    assert one.endpoint_of(other) == spec.endpoints[4]
    measured("four dead endpoints before the good one", f"{took:.2f} s of virtual time")


def test_forty_dead_endpoints_before_the_good_one() -> None:
    """Every initiation goes to the next eight, whatever endpoint is the peer's meanwhile."""
    mesh = SimMesh()
    mesh.add_node("one", "192.0.2.1", has_firewall=True)
    mesh.add_node("other", *dead_ends(40), "192.0.2.2", has_firewall=True)
    assert mesh.run_until(mesh.is_whole, 40 / MAX_PROBES * (REKEY_TIMEOUT + 1)) is not None


def test_no_initiation_goes_to_more_than_nine_places() -> None:
    mesh = SimMesh()
    tap = mesh.underlay.tap()
    one = mesh.add_node("one", "192.0.2.1")
    assert one.life is not None
    one.life.remember([mesh.add_node("gone", *dead_ends(40), is_started=False)])
    mesh.run(60.0)
    copies: dict[bytes, set[Endpoint]] = {}
    for passage in tap:
        if passage.host == "one":
            copies.setdefault(passage.datagram, set()).add(passage.receiver)
    # Nine, and where the endpoint was moved while it waited for its answer.
    assert max(map(len, copies.values())) <= MAX_PROBES + 2
    assert len(copies) <= 60 / REKEY_TIMEOUT + 1


def test_addresses_of_our_own_and_of_the_mesh_are_never_tried() -> None:
    mesh = SimMesh()
    tap = mesh.underlay.tap()
    bridge = "172.17.0.1"
    one = mesh.add_node("one", "192.0.2.1", (Network("bridge"), bridge))
    inside = Endpoint(one.address, 51820)
    mesh.add_node(
        "other",
        (Network("bridge"), bridge),
        "192.0.2.2",
        extra_announced_endpoints=(inside, Endpoint.parse("192.0.2.1:51820")),
    )
    mesh.run(40.0)
    assert mesh.is_whole()
    (spec,) = one.outcome.specs
    assert [str(endpoint) for endpoint in spec.endpoints] == ["192.0.2.2:51820"]
    assert {p.receiver for p in tap if p.host == "one"} == {Endpoint.parse("192.0.2.2:51820")}


def test_a_thousand_new_peers_are_not_called_in_one_burst() -> None:
    mesh = SimMesh()
    tap = mesh.underlay.tap()
    node = mesh.add_node("n", "192.0.2.1")
    mesh.run(1.0)
    others = mesh.add_nodes(1000, is_started=False)
    assert node.life is not None
    node.life.remember(others)
    begin = mesh.now
    mesh.run(4.0)
    sent = [passage.at for passage in tap if passage.at >= begin]
    assert len(sent) >= 1000
    busiest = max(sum(at <= other < at + 0.1 for other in sent) for at in sent[::10])
    assert busiest <= 150


def test_data_does_not_wait_for_its_turn() -> None:
    mesh = SimMesh()
    node = mesh.add_node("n", "192.0.2.1")
    mesh.run(1.0)
    others = mesh.add_nodes(500, is_started=False)
    assert node.life is not None
    node.life.remember(others)
    mesh.run(0.05)
    tap = mesh.underlay.tap()
    last = max(others, key=lambda other: other.key.raw)
    node.send(last.address)
    assert [str(passage.receiver.address) for passage in tap] == [str(last.host.addresses[0])]
