"""Discovery that goes away, comes back empty, or is not there at all: tunnels do not mind."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.mesh_scenarios.mesh_lab import Mesh
from tests.mesh_scenarios.pings import Pings

pytestmark = pytest.mark.netns


def test_tunnels_outlive_discovery_and_restarts_without_it(mesh: Mesh, measured: Any) -> None:
    ana, ben, cleo = mesh.node("ana"), mesh.node("ben"), mesh.node("cleo", "south")
    mesh.up(ana, ben, cleo)
    mesh.service.close()
    with Pings(ana, ben.address6) as pings:
        pings.answered()
        # One leaves cleanly while nobody can be told, and comes back while nobody can tell it.
        cleo.leave()
        cleo.up()
        began = time.monotonic()
        mesh.all_up()
        measured("restart without discovery", f"all up after {time.monotonic() - began:.1f} s")
        pings.answered(after=time.monotonic())
        assert pings.lost == []
    cleo.namespace.ping(ana.address4)
    assert not cleo.status()["discovery"][0]["connected"]


def test_a_service_that_forgot_everything_drops_nobody(mesh: Mesh) -> None:
    ana, ben = mesh.node("ana"), mesh.node("ben")
    mesh.up(ana, ben)
    with Pings(ana, ben.address6) as pings:
        pings.answered()
        mesh.service.close()
        mesh.serve()
        mesh.until(
            "both are heard again",
            lambda: all(n.status()["discovery"][0]["connected"] for n in (ana, ben)),
            60,
        )
        pings.answered(after=time.monotonic())
        assert pings.lost == []
    assert "peer left" not in ana.said + ben.said
    # Whoever comes now finds both there.
    cleo = mesh.node("cleo")
    mesh.up(cleo)


def test_a_member_that_leaves_is_dropped_at_once(mesh: Mesh, measured: Any) -> None:
    ana, ben, cleo = mesh.node("ana"), mesh.node("ben"), mesh.node("cleo")
    mesh.up(ana, ben, cleo)
    began = time.monotonic()
    cleo.client.stop()
    mesh.until("both drop it", lambda: not any("cleo" in node.peers() for node in (ana, ben)))
    measured("a leaver is dropped by all", f"after {(time.monotonic() - began) * 1e3:.0f} ms")
    assert cleo.process is not None
    assert cleo.process.wait(30) == 0
    assert cleo.leftovers() == {}
    assert not cleo.socket.exists()
    assert [path.name for path in cleo.folder.rglob("*.sock")] == []
    assert cleo.address4 not in ana.leftovers()["table"]
