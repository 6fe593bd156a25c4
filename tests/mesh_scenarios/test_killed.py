"""`kill -9` at any moment: the next start takes over what it finds, and `down` clears it away."""

from __future__ import annotations

import random
import time

import pytest

from tests.mesh_scenarios.mesh_lab import Mesh, Node, Wants

pytestmark = pytest.mark.netns

MOMENTS = 4
LATEST = 1.5
"""Seconds after its start by which a node has steered."""


def kill_after(node: Node, seconds: float) -> None:
    time.sleep(seconds)
    node.kill()


def assert_whole(mesh: Mesh, ana: Node, ben: Node) -> None:
    mesh.all_up()
    found = ana.leftovers()
    assert set(found) == {"link", "rules", "rules6", "routes", "routes6", "main6", "table"}
    for what in ("rules", "rules6", "main6"):
        assert len(found[what].splitlines()) == 1, found[what]
    ana.namespace.ping(ben.address4)
    ana.namespace.ping(ben.address6)


@pytest.mark.parametrize("seed", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 3))])
def test_while_it_starts(mesh: Mesh, seed: int) -> None:
    chance = random.Random(seed)
    ana, ben = mesh.node("ana"), mesh.node("ben", "south")
    mesh.up(ben)
    for _ in range(MOMENTS):
        ana.up()
        kill_after(ana, chance.uniform(0.3, LATEST))
    ana.up()
    assert_whole(mesh, ana, ben)
    ana.kill()
    assert "table" in ana.leftovers()
    done = ana.run("down")
    assert done.returncode == 3, done.stderr
    assert ana.leftovers() == {}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [4, 5])
def test_while_it_changes(mesh: Mesh, seed: int) -> None:
    chance = random.Random(seed)
    ana, ben = mesh.node("ana"), mesh.node("ben", "south")
    mesh.up(ana, ben)
    for number in range(MOMENTS):
        ana.wants = Wants({"mtu": 1300 + number}, {"staticPeers": [*map(a_peer, range(number))]})
        ana.apply()
        kill_after(ana, chance.uniform(0.0, 0.1))
        ana.wants = Wants()
        ana.up()
        mesh.until("it is there again", ana.is_steered)
    assert_whole(mesh, ana, ben)
    ana.leave()
    assert ana.leftovers() == {}


def a_peer(number: int) -> dict[str, object]:
    key = "ABCDEFGH"[number] + "zW8oeIH5rJyY5lefD9WRoHWWRr/Q6DwsDjMX+xKjT4="
    return {"name": f"p{number}", "publicKey": key, "allowedIPs": [f"10.99.{number}.0/24"]}
