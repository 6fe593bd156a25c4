"""The model of a data plane: it calls whom the real one calls, when the real one does."""

from __future__ import annotations

import pytest

from kubespan.model.constants import REKEY_TIMEOUT
from kubespan.testing.simmesh import SimMesh
from kubespan.testing.simmodel import MESSAGE_COST, model_plane
from kubespan.testing.simunderlay import Network


def mesh() -> SimMesh:
    return SimMesh(make_plane=model_plane)


def test_a_mesh_of_models_becomes_whole() -> None:
    sim = mesh()
    nodes = sim.add_nodes(5)
    assert sim.run_until(sim.is_whole, 3.0) is not None
    nodes[0].crash()
    nodes[0].start()
    assert sim.run_until(sim.is_whole, 3.0) is not None
    # What it cannot do it does not pretend to.
    nodes[0].send(nodes[1].address, b"?")
    nodes[0].move((sim.internet, "192.0.2.1"))
    sim.run(5.0)
    assert nodes[0].delivered == nodes[1].delivered == []


def test_whoever_does_not_answer_is_called_again() -> None:
    sim = mesh()
    one = sim.add_node("one", "192.0.2.1")
    gone = sim.add_node("gone", "192.0.2.2", (Network("bridge"), "172.17.0.1"), is_started=False)
    assert one.life is not None
    one.life.remember([gone])
    tap = sim.underlay.tap()
    sim.run(4 * REKEY_TIMEOUT)
    at = [passage.at for passage in tap if str(passage.receiver.address) == "192.0.2.2"]
    assert 4 <= len(at) <= 6
    assert {str(passage.receiver.address) for passage in tap} == {"192.0.2.2", "172.17.0.1"}


def test_a_member_that_is_gone_is_not_called() -> None:
    sim = mesh()
    one, other = sim.add_nodes(2)
    sim.run(1.0)
    other.leave()
    sim.run(1_000.0)
    assert one.outcome.specs == ()
    tap = sim.underlay.tap()
    sim.run(60.0)
    assert tap == []


def test_work_takes_its_time() -> None:
    sim = mesh()
    sim.add_nodes(2)
    tap = sim.underlay.tap()
    sim.run(1.0)
    first, answer, *_ = [passage.at for passage in tap]
    assert answer - first == pytest.approx(sim.underlay.weather.latency + MESSAGE_COST)
