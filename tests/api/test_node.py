"""The protocol of a node: what is not known says nothing, and the tests' node keeps to it."""

from __future__ import annotations

from kubespan.api.node import DataPlane, Node, NodeFacts
from kubespan.mesh.mtu import Mtu
from tests.api.nodes import FakeNode


def test_facts_begin_with_nothing_known() -> None:
    facts = NodeFacts("host", 0.0, 51820, Mtu(1420, "configured"), DataPlane("pure"))
    assert (facts.is_started, facts.is_ready, facts.endpoint_changes) == (False, False, 0)
    assert (facts.services, facts.problems, dict(facts.counters)) == ((), (), {})


def test_there_is_a_node() -> None:
    node: Node = FakeNode()
    assert node.facts().is_started
