"""A mesh in bad times: discovery away or empty, the network split, and everything at once."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from kubespan.model.constants import AFFILIATE_TTL
from kubespan.model.resources import PeerState
from kubespan.testing.simmesh import SimMesh
from kubespan.testing.simnat import NatKind
from kubespan.testing.simnet import Weather
from kubespan.testing.simnode import MeshNode


def running(count: int, seed: int = 0) -> SimMesh:
    mesh = SimMesh(seed)
    mesh.add_nodes(count)
    assert mesh.run_until(mesh.is_whole, 5.0) is not None
    return mesh


def watch(mesh: SimMesh, seconds: float) -> set[PeerState | None]:
    """Let time pass, and return every state that any node saw another one in."""
    seen = set()
    for _ in range(int(seconds / 5)):
        mesh.run(5.0)
        seen |= {one.state_of(other) for one, other in mesh.pairs()}
    return seen


@pytest.mark.parametrize("remembers", [True, False])
@pytest.mark.parametrize("outage", [60.0, 2 * AFFILIATE_TTL])
def test_tunnels_stay_while_discovery_is_away(outage: float, remembers: bool) -> None:
    mesh = running(4)
    mesh.service.crash(remembers=remembers)
    assert watch(mesh, outage) == {PeerState.UP}
    mesh.service.restart()
    assert watch(mesh, 600.0) == {PeerState.UP}
    assert len(mesh.service.registered) == 4


def test_who_comes_while_discovery_is_away_is_found_when_it_is_back() -> None:
    mesh = running(3)
    mesh.service.crash(remembers=False)
    mesh.run(600.0)
    mesh.add_node("late", "192.0.2.9")
    mesh.run(60.0)
    assert len(mesh.not_up()) == 6
    mesh.service.restart()
    assert mesh.run_until(mesh.is_whole, 100.0) is not None


def test_a_partition_heals(measured: Any) -> None:
    mesh = running(6)
    nodes = mesh.alive
    mesh.run(60.0)
    mesh.partition(nodes[:3], nodes[3:])
    mesh.run(400.0)
    apart = [(one, other) for one, other in mesh.pairs() if one.host.side != other.host.side]
    assert {one.state_of(other) for one, other in apart} == {PeerState.DOWN}
    together = [pair for pair in mesh.pairs() if pair not in apart]
    assert {one.state_of(other) for one, other in together} == {PeerState.UP}
    mesh.heal()
    took = mesh.run_until(mesh.is_whole, 30.0)
    assert took is not None
    measured("a partition of 400 s heals", f"{took:.2f} s of virtual time")


def test_a_short_partition_drops_nobody() -> None:
    mesh = running(4)
    nodes = mesh.alive
    mesh.partition(nodes[:2], nodes[2:])
    assert watch(mesh, 60.0) == {PeerState.UP}
    mesh.heal()
    assert watch(mesh, 300.0) == {PeerState.UP}


class Story:
    """A mesh to which anything may happen, as a seed decides; every pair of it can connect."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.mesh = SimMesh(seed, Weather(latency=0.02, jitter=0.03))
        self.mesh.add_node("open 1", "192.0.2.1", harvest_extra_endpoints=True)
        self.mesh.add_node("open 2", "192.0.2.2", "198.51.100.2")
        self.mesh.add_node("guarded", "192.0.2.3", has_firewall=True)
        for number, kind in enumerate((NatKind.PORT_RESTRICTED, NatKind.ADDRESS_RESTRICTED)):
            inside = self.mesh.behind_nat(f"203.0.113.{number + 1}", kind)
            self.mesh.add_node(f"inside {number}", (inside, f"192.168.{number}.10"))
        self._moves = 10

    def trouble(self) -> None:
        """Let one thing happen, and some time pass."""
        self.random.choice([self._switch, self._move, self._split, self._serve, self._storm])()
        for one, other in self.random.sample(self.mesh.pairs(), min(3, len(self.mesh.pairs()))):
            one.send(other.address, b"?")
        self.mesh.run(self.random.choice([0.3, 3.0, 30.0, 300.0]))

    def _anybody(self) -> MeshNode:
        return self.random.choice(list(self.mesh.nodes.values()))

    def _switch(self) -> None:
        node = self._anybody()
        if node.life is None:
            node.start()
        else:
            node.crash()

    def _move(self) -> None:
        node = self._anybody()
        if node.name.startswith("open"):
            self._moves += 1
            node.move((self.mesh.internet, f"192.0.2.{self._moves}"))

    def _split(self) -> None:
        self.mesh.heal()
        nodes = list(self.mesh.nodes.values())
        half = self.random.sample(nodes, self.random.randrange(3))
        self.mesh.partition([other for other in nodes if other not in half], half)

    def _serve(self) -> None:
        if self.mesh.service.is_up:
            self.mesh.service.crash(remembers=self.random.random() < 0.5)
        else:
            self.mesh.service.restart()

    def _storm(self) -> None:
        self.mesh.underlay.weather.loss = self.random.choice([0.0, 0.1, 0.5])
        self.mesh.underlay.weather.duplication = self.random.choice([0.0, 0.3])

    def end(self) -> None:
        """Let all trouble be over."""
        mesh = self.mesh
        mesh.underlay.weather.loss = mesh.underlay.weather.duplication = 0.0
        mesh.heal()
        if not mesh.service.is_up:
            mesh.service.restart()
        for node in mesh.nodes.values():
            if node.life is None:
                node.start()


@pytest.mark.parametrize(
    "seed", [*range(5), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(5, 100))]
)
def test_whatever_happens_every_pair_is_up_in_the_end(seed: int, measured: Any) -> None:
    story = Story(seed)
    for _ in range(25):
        story.trouble()
    story.end()
    took = story.mesh.run_until(story.mesh.is_whole, 120.0)
    assert took is not None, story.mesh.not_up()
    measured(f"after all faults of story {seed}", f"{took:.1f} s of virtual time")
    # Up is not only said: before long everybody has an answer from everybody.
    for node in story.mesh.alive:
        node.delivered.clear()
    assert story.mesh.run_until(lambda: has_talked(story.mesh), 60.0, step=1.0) is not None


def has_talked(mesh: SimMesh) -> bool:
    """Have everybody write to everybody, and tell whether all have had an answer from all."""
    for one, other in mesh.pairs():
        one.send(other.address, b"?")
    return all(
        other.address in {source for _, source, payload in one.delivered if payload == b"!"}
        for one, other in mesh.pairs()
    )
