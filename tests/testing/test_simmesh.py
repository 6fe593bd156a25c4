"""The mesh as a whole: that a seed decides it all, and what can be asked of it."""

from __future__ import annotations

from kubespan.testing.simmesh import SimMesh
from kubespan.testing.simnet import Weather


def story(seed: int) -> list[tuple[float, str, bytes]]:
    mesh = SimMesh(seed, Weather(jitter=0.05, loss=0.2, duplication=0.2))
    tap = mesh.underlay.tap()
    mesh.add_nodes(4)
    mesh.run(20.0)
    return [(passage.at, passage.host, passage.datagram) for passage in tap]


def test_the_seed_decides_everything() -> None:
    assert story(1) == story(1)
    assert story(1) != story(2)


def test_waiting_has_an_end() -> None:
    mesh = SimMesh()
    assert mesh.run_until(lambda: False, 2.0) is None
    assert mesh.now >= 1_002.0
    assert mesh.run_until(lambda: True, 2.0) == 0.0


def test_who_is_not_up() -> None:
    mesh = SimMesh()
    one, other = mesh.add_nodes(2)
    assert mesh.not_up() == [(one.name, other.name), (other.name, one.name)]
    assert not mesh.is_whole()
    mesh.run(1.0)
    assert mesh.not_up() == []
    assert mesh.is_whole()
    other.crash()
    assert mesh.alive == [one]
    assert mesh.pairs() == []


def test_only_the_first_side_of_a_partition_reaches_discovery() -> None:
    mesh = SimMesh()
    nodes = mesh.add_nodes(4)
    mesh.run(1.0)
    mesh.partition(nodes[:2], nodes[2:])
    mesh.run(1.0)
    assert len(mesh.service.streams) == 2
    late = mesh.add_node("late", "192.0.2.9")
    mesh.run(2.0)
    assert [node.state_of(late) is not None for node in nodes] == [True, True, False, False]
    mesh.heal()
    mesh.run(30.0)
    assert mesh.is_whole()
