"""A whole mesh in virtual time: nodes, the network under them, their discovery service.

The same seed gives the same run. Nothing is decided here: it builds, lets time pass, and answers
questions about what has become of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from ipaddress import IPv4Address, ip_address
from itertools import permutations
from random import Random
from typing import Any, Final

from kubespan.discovery.opening import Opened, open_record
from kubespan.discovery.record import AffiliateRecord
from kubespan.model.cluster import ClusterSecret
from kubespan.model.config import KubeSpanConfig, NodeConfig
from kubespan.model.resources import PeerState
from kubespan.testing.simdiscovery import DiscoveryNet, Service
from kubespan.testing.simnat import MAPPING_TIMEOUT, Filtering, Nat, NatKind, Pinholes
from kubespan.testing.simnet import Weather
from kubespan.testing.simnode import ClearPacket, MakePlane, MeshNode, World, real_plane
from kubespan.testing.simtime import Timeline
from kubespan.testing.simunderlay import Network, SimHost, Underlay

CLUSTER_ID: Final = "simulated"
SERVICE: Final = IPv4Address("203.0.113.250")
TARGET: Final = "discovery:443"


class SimMesh:
    """The mesh, its time, and its tap."""

    def __init__(
        self,
        seed: int = 0,
        weather: Weather | None = None,
        *,
        make_plane: MakePlane = real_plane,
    ) -> None:
        random = Random(seed)  # noqa: S311  the same every run is the point
        secret = ClusterSecret(random.randbytes(32))

        @cache
        def opened(record: AffiliateRecord) -> Opened:
            """Open a record once for all nodes: they have the same secret."""
            return open_record(secret.raw, record.id, record.data, record.endpoints)

        self.timeline = Timeline()
        self.underlay = Underlay(self.timeline, random, weather)
        self.discovery = DiscoveryNet(opened, seed, timeline=self.timeline)
        self.service: Service = self.discovery.add_service(TARGET)
        self.nodes: dict[str, MeshNode] = {}
        self._world = World(
            self.timeline,
            self.underlay,
            self.discovery,
            random,
            CLUSTER_ID,
            secret,
            make_plane,
            SERVICE,
        )
        self.underlay.internet.hosts[SERVICE] = SimHost("discovery")

    @property
    def now(self) -> float:
        """The present moment, in boot seconds."""
        return self.timeline.now

    @property
    def internet(self) -> Network:
        """Where public addresses are."""
        return self.underlay.internet

    @property
    def clear(self) -> list[ClearPacket]:
        """Every packet that a node sent and that did not go into the mesh."""
        return self._world.clear

    # Building.

    def behind_nat(self, address: str, kind: NatKind, *, preserves_ports: bool = True) -> Network:
        """Return a new private network behind a NAT with that address."""
        nat = Nat(ip_address(address), kind, preserves_ports=preserves_ports)
        return self.underlay.private_network(f"behind {address}", nat)

    def add_node(
        self,
        name: str,
        *addresses: tuple[Network, str] | str,
        is_started: bool = True,
        has_firewall: bool = False,
        **wanted: Any,
    ) -> MeshNode:
        """Return a node with these addresses, in the internet where no network is named.

        What is `wanted` are settings of its mesh.
        """
        host = SimHost(name)
        for address in addresses:
            network, text = (self.internet, address) if isinstance(address, str) else address
            host.attach(network, ip_address(text))
        if has_firewall:
            host.firewall = Pinholes(Filtering.ADDRESS_AND_PORT, MAPPING_TIMEOUT)
        config = NodeConfig(CLUSTER_ID, kubespan=KubeSpanConfig(enabled=True, **wanted))
        node = self.nodes[name] = MeshNode(self._world, len(self.nodes) + 1, host, config)
        if is_started:
            node.start()
        return node

    def add_nodes(self, count: int, **settings: Any) -> list[MeshNode]:
        """Return so many nodes with public addresses."""
        begin = len(self.nodes)
        return [
            self.add_node(f"n{number:04}", f"10.{number >> 8}.{number & 255}.1", **settings)
            for number in range(begin, begin + count)
        ]

    # Trouble.

    def partition(self, *sides: Iterable[MeshNode]) -> None:
        """Let nodes hear only their own side; those of the first are with the service still."""
        self.underlay.partition(*([node.host for node in side] for side in sides))
        for host in (node.host for node in sides[0]) if sides else ():
            host.side = ""
        for side in sides[1:]:
            for node in side:
                self.discovery.cut(self.discovery.nodes[node.name])

    def heal(self) -> None:
        """Let everybody hear everybody again."""
        for node in self.nodes.values():
            node.host.side = ""

    # Time.

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.timeline.run(seconds)

    def run_until(
        self, condition: Callable[[], bool], limit: float, step: float = 0.05
    ) -> float | None:
        """Let time pass until something holds; return how long that took, None if too long."""
        begin = self.now
        while not condition():
            if self.now - begin >= limit:
                return None
            self.run(step)
        return self.now - begin

    # Looking.

    @property
    def alive(self) -> list[MeshNode]:
        """All nodes that run."""
        return [node for node in self.nodes.values() if node.life is not None]

    def pairs(self) -> list[tuple[MeshNode, MeshNode]]:
        """All nodes that run, each with each other one."""
        return list(permutations(self.alive, 2))

    def not_up(self) -> list[tuple[str, str]]:
        """Return who does not have whom up."""
        return [
            (one.name, other.name)
            for one, other in self.pairs()
            if one.state_of(other) is not PeerState.UP
        ]

    def is_whole(self) -> bool:
        """Whether every node has every other one up."""
        return all(one.state_of(other) is PeerState.UP for one, other in self.pairs())
