"""A mesh as large as a cluster can be. WireGuard is a model here: see `kubespan.testing.simmodel`.

A million real handshakes would take a processor an hour, and what is to be seen is not in them but
around them: discovery, plans, statuses, who calls whom when. Those are the real ones.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from kubespan.testing.simmesh import SimMesh
from kubespan.testing.simmodel import model_plane
from kubespan.testing.simnat import NatKind
from kubespan.testing.simnet import Weather

STARTING = 1.0
"""Seconds over which all nodes are started."""


@pytest.fixture
def much_memory() -> Iterator[None]:
    """Collect no garbage while a million values are made that all stay."""
    gc.disable()
    yield
    gc.enable()
    gc.collect()


@pytest.mark.usefixtures("much_memory")
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("count", [40, pytest.param(1000, marks=pytest.mark.slow)])
def test_all_of_them_are_connected_soon(count: int, measured: Any) -> None:
    mesh = SimMesh(weather=Weather(latency=0.02, jitter=0.02), make_plane=model_plane)
    nodes = mesh.add_nodes(count, is_started=False)
    for number, node in enumerate(nodes):
        mesh.timeline.at(mesh.now + STARTING * number / count, node.start)
    mesh.run(STARTING)
    took = mesh.run_until(mesh.is_whole, 10.0, step=0.25)
    assert took is not None, mesh.not_up()[:9]
    measured(f"{count} nodes, after the last one started", f"{took:.2f} s of virtual time")


def test_the_model_behaves_as_the_real_one_does_behind_nats() -> None:
    whole = {}
    for name, make_plane in (("model", {"make_plane": model_plane}), ("real", {})):
        mesh = SimMesh(**make_plane)  # type: ignore[arg-type]
        mesh.add_node("third", "192.0.2.3", harvest_extra_endpoints=True)
        for number, kind in enumerate((NatKind.SYMMETRIC, NatKind.PORT_RESTRICTED)):
            inside = mesh.behind_nat(f"198.51.100.{number + 1}", kind)
            mesh.add_node(f"node {number}", (inside, f"192.168.{number}.10"))
        mesh.run(14.0)
        whole[name] = mesh.not_up()
    assert whole["model"] == whole["real"] == [("node 0", "node 1"), ("node 1", "node 0")]
