"""What is wrong is said, by a stable code or in one line, and what works goes on working."""

from __future__ import annotations

import shutil
import socket

import pytest

from tests.mesh_scenarios.mesh_lab import Mesh

pytestmark = pytest.mark.netns


def test_a_socket_of_somebody_else(mesh: Mesh) -> None:
    ana = mesh.node("ana")
    with socket.socket(socket.AF_UNIX) as foreign:
        foreign.bind(str(ana.socket))
        foreign.listen()
        done = ana.run("up", "-c", str(ana.configure()), "--state", str(ana.folder / "state"))
        assert done.returncode == 2, done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert "KUBESPAN_SOCKET names another place" in done.stderr
    assert ana.leftovers() == {}


def test_a_second_node_on_one_host(mesh: Mesh) -> None:
    ana = mesh.node("ana")
    mesh.up(ana)
    second = ana.run("up", "-c", str(ana.configure()), "--state", str(ana.folder / "state"))
    assert second.returncode == 2, second.stderr
    assert "kubespan down" in second.stderr
    assert ana.is_steered()


def test_a_host_that_was_cloned(mesh: Mesh) -> None:
    ana, ben, clone = mesh.node("ana"), mesh.node("ben"), mesh.node("clone")
    mesh.up(ana, ben)
    # The WireGuard key alone: with the node's id too, the two would be one record to discovery.
    (clone.folder / "state").mkdir(mode=0o700)
    name = "kubespan-identity.yaml"
    shutil.copy(ben.folder / "state" / name, clone.folder / "state" / name)
    clone.up()
    mesh.until("ana says so", lambda: "KS-OVERLAP" in ana.problems())
    (problem,) = ana.problems()["KS-OVERLAP"]
    assert problem["peer"] in {"ben", "clone"}
    assert "key of another node" in problem["text"]


def test_two_hosts_that_claim_one_address(mesh: Mesh) -> None:
    ana, ben, cleo = mesh.node("ana"), mesh.node("ben"), mesh.node("cleo", "south")
    for node in (ben, cleo):
        node.namespace.address("eth0", "10.50.0.1/32")
    mesh.up(ana, ben, cleo)
    mesh.until("ana says so", lambda: "KS-OVERLAP" in ana.problems())
    assert {problem["peer"] for problem in ana.problems()["KS-OVERLAP"]} < {"ben", "cleo"}
    ana.namespace.ping(ben.address4)
    ana.namespace.ping(cleo.address4)
