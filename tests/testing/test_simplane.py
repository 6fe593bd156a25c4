"""A WireGuard interface on a simulated host: its port, its timers, its end."""

from __future__ import annotations

import pytest

from kubespan.model.address import Endpoint
from kubespan.testing.simmesh import SimMesh
from kubespan.testing.simnode import MeshNode
from kubespan.testing.simplane import RealPlane


def plane(node: MeshNode) -> RealPlane:
    assert node.life is not None
    assert isinstance(node.life.plane, RealPlane)
    return node.life.plane


def pair() -> tuple[SimMesh, MeshNode, MeshNode]:
    mesh = SimMesh()
    one, other = mesh.add_nodes(2)
    assert mesh.run_until(mesh.is_whole, 5.0) is not None
    return mesh, one, other


def test_what_comes_to_another_port_is_not_heard() -> None:
    mesh, one, other = pair()
    at = Endpoint(one.host.addresses[0], 1)
    mesh.underlay.send(other.host, 51820, at, b"nonsense", None)
    mesh.run(1.0)
    assert plane(one).drops.total() == 0
    mesh.underlay.send(other.host, 51820, Endpoint(at.address, 51820), b"nonsense", None)
    mesh.run(1.0)
    assert plane(one).drops.total() == 1


def test_what_was_received_is_delivered_and_answered() -> None:
    mesh, one, other = pair()
    one.send(other.address, b"?abc")
    mesh.run(1.0)
    (_, source, payload), *_ = one.delivered
    assert (source, payload) == (other.address, b"!abc")
    assert [payload for _, _, payload in other.delivered] == [b"?abc"]


def test_nothing_happens_after_the_end() -> None:
    mesh, one, other = pair()
    ended = plane(other)
    other.crash()
    ended.close()
    tap = mesh.underlay.tap()
    mesh.run(200.0)
    assert {passage.host for passage in tap} == {one.name}


def test_a_timer_that_stays_due_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh, one, _ = pair()
    interface = plane(one).interface
    monkeypatch.setattr(interface, "handle_timeout", lambda _: [])
    monkeypatch.setattr(interface, "next_timeout", lambda now: now.boot)
    with pytest.raises(AssertionError, match="stays due"):
        mesh.run(100.0)
