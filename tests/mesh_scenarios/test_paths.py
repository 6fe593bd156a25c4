"""Ways to a peer: found among dead ones, followed when they move, left when they die."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.mesh_scenarios.mesh_lab import MAPPED, PREDICTABLE, SYMMETRIC, Mesh, Node, Wants
from tests.mesh_scenarios.pings import Pings

pytestmark = pytest.mark.netns

DEAD = tuple(f"203.0.113.{number}:51820" for number in (101, 102, 103, 104))


def test_a_good_endpoint_is_found_behind_dead_ones(mesh: Mesh, measured: Any) -> None:
    ana, ben = mesh.node("ana"), mesh.node("ben", "south")
    good = f"{ben.address4}:51820"
    ben.wants = Wants({"filters": {"endpoints": []}}, extra_endpoints=(*DEAD, good))
    # Ana alone calls: ben has nowhere to call her at.
    ana.wants = Wants({"filters": {"endpoints": []}})
    ben.up()
    mesh.until("ben is steered", ben.is_steered)
    began = time.monotonic()
    ana.up()
    mesh.until("ana knows ben", lambda: "ben" in ana.peers())
    known = time.monotonic()
    mesh.all_up()
    now = time.monotonic()
    measured("one good endpoint behind 4 dead ones", f"up after {now - known:.2f} s (goal: 5 s)")
    measured("of which the program's start", f"{known - began:.2f} s")
    assert ana.peers()["ben"]["endpoint"] == good
    assert ana.peers()["ben"]["endpoints"] == 5
    ana.namespace.ping(ben.address4)


def test_a_change_of_address_is_followed(mesh: Mesh, measured: Any) -> None:
    ana, ben = mesh.node("ana"), mesh.node("ben")
    mesh.up(ana, ben)
    with Pings(ana, ben.address6) as pings:
        pings.answered()
        moved = time.monotonic()
        ben.namespace.ip("address", "del", f"{ben.address4}/24", "dev", "eth0")
        ben.namespace.address("eth0", "192.0.2.77/24")
        mesh.route(ben.namespace, "north")
        pings.answered(after=moved)
        took = time.monotonic() - moved
        mesh.until(
            "ana sees where ben is",
            lambda: ana.peers()["ben"]["endpoint"] == "192.0.2.77:51820",
        )
    measured("an address change is followed", f"ping answered after {took:.2f} s (goal: 10 s)")


@pytest.mark.slow
def test_what_is_steered_follows_a_change_of_address(mesh: Mesh, measured: Any) -> None:
    ana, ben = mesh.node("ana"), mesh.node("ben")
    mesh.up(ana, ben)
    began = time.monotonic()
    ben.namespace.ip("address", "del", f"{ben.address4}/24", "dev", "eth0")
    ben.namespace.address("eth0", "192.0.2.77/24")
    mesh.route(ben.namespace, "north")
    # Its conversation with discovery has died with the address, and has to find that out.
    mesh.until("the new address is steered", lambda: "192.0.2.77" in _steered(ana), 60)
    measured("a new address is steered", f"after {time.monotonic() - began:.1f} s")
    assert f"{ben.address4}," not in _steered(ana)
    ana.namespace.ping("192.0.2.77")


@pytest.mark.slow
def test_a_path_that_dies_is_left_for_another(mesh: Mesh, measured: Any) -> None:
    ana, ben = mesh.node("ana"), mesh.node("ben", "west")
    second = mesh.attach(ana.namespace, "south", "eth1", metric=5)
    mesh.up(ana, ben)
    first = ana.address4
    mesh.until("ben uses the first", lambda: ben.peers()["ana"]["endpoint"] == f"{first}:51820")
    with Pings(ben, ana.address6) as pings:
        pings.answered()
        mesh.hub.nft(
            "table inet wall { chain forward { type filter hook forward priority 0;"
            f" ip saddr {first} drop; ip daddr {first} drop; }}; }}"
        )
        died = time.monotonic()
        mesh.until(
            "ben calls elsewhere", lambda: ben.peers()["ana"]["endpoint"] != f"{first}:51820", 60
        )
        noticed = time.monotonic() - died
        pings.answered(after=time.monotonic())
        again = time.monotonic() - died
    measured("a dead path is noticed with traffic", f"after {noticed:.1f} s (goal: 20 s)")
    measured("and traffic flows again", f"after {again:.1f} s")
    assert ben.peers()["ana"]["endpoint"] == f"{second}:51820"


def test_two_nats_that_keep_ports_connect(mesh: Mesh) -> None:
    ana, ben = mesh.home("ana", "north", PREDICTABLE), mesh.home("ben", "south", PREDICTABLE)
    mesh.up(ana, ben)
    ana.namespace.ping(ben.address6)
    ben.namespace.ping(ana.address6)


@pytest.mark.slow
def test_two_nats_that_map_ports_connect_by_what_a_third_saw(mesh: Mesh, measured: Any) -> None:
    ana, ben = mesh.home("ana", "north", MAPPED), mesh.home("ben", "south", MAPPED)
    cleo = mesh.node("cleo", "west")
    for node in (ana, ben, cleo):
        node.wants = Wants({"harvestExtraEndpoints": True})
    began = time.monotonic()
    mesh.up(ana, ben, cleo)
    measured("two mapping NATs by a third's harvest", f"up {time.monotonic() - began:.1f} s in all")
    assert ana.peers()["ben"]["endpoint"] == "198.51.100.1:41820"
    ana.namespace.ping(ben.address6)
    ben.namespace.ping(ana.address6)


@pytest.mark.slow
def test_two_symmetric_nats_say_that_they_cannot(mesh: Mesh) -> None:
    ana, ben = mesh.home("ana", "north", SYMMETRIC), mesh.home("ben", "south", SYMMETRIC)
    cleo = mesh.node("cleo", "west")
    for node in (ana, ben, cleo):
        node.wants = Wants({"harvestExtraEndpoints": True})
        node.up()
    mesh.all_up(nodes=(ana, cleo))
    mesh.all_up(nodes=(ben, cleo))
    mesh.until("ana says so", lambda: "KS-NOREPLY" in ana.problems(), 60)
    (problem,) = ana.problems()["KS-NOREPLY"]
    assert problem["peer"] == "ben"
    assert problem["next"]
    assert ana.ups() == {"cleo"}
    with pytest.raises(AssertionError):
        ana.namespace.ping(ben.address6)


def _steered(node: Node) -> str:
    return node.namespace.run("nft", "list", "table", "inet", "kubespan")
