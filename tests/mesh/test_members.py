"""Who is a member: an affiliate with a node name."""

from __future__ import annotations

from kubespan.mesh.members import members
from kubespan.model.resources import Affiliate, Member
from tests.mesh.affiliates_of import affiliate


def test_a_member_has_a_node_name() -> None:
    worker = affiliate("a", 2, addresses=["192.0.2.2"], nodename="worker-1")
    assert members([worker, Affiliate("b")]) == {
        "worker-1": Member("a", worker.addresses, "host-a")
    }
