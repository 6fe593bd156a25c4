"""Discovery services and their clients in virtual time, with records that tests can read."""

from __future__ import annotations

from kubespan.testing import simdiscovery
from kubespan.testing.simdiscovery import CLUSTER, Node
from tests.discovery.records import open_record

__all__ = ["CLUSTER", "DiscoveryNet", "Node"]


class DiscoveryNet(simdiscovery.DiscoveryNet):
    """A network whose records are text."""

    def __init__(self, seed: int = 0, *, latency: float = 0.01, jitter: float = 0.0) -> None:
        super().__init__(open_record, seed, latency=latency, jitter=jitter)

    def views(self) -> set[frozenset[tuple[str, str]]]:
        """Return what all who have not left know of each other, themselves included."""
        present = [node for node in self.nodes.values() if not node.has_left]
        return {frozenset({**node.view, node.id: self.own_text(node)}.items()) for node in present}

    def own_text(self, node: Node) -> str:
        """Return what a node says of itself."""
        own = node.membership._registration.record
        assert own is not None
        return own.data.decode()
