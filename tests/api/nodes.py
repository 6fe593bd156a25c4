"""A node that only says it is one: a store filled by the real rules, and what hooks were called.

`python -m tests.api.nodes SOCKET PEERS [GROUP]` serves one in a process of its own until its input
ends.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any

import uvloop

from kubespan.api.node import DataPlane, Echo, NodeFacts
from kubespan.api.publication import Publication
from kubespan.api.resource_server import ResourceServer, listen_for_clients
from kubespan.mesh.diagnosis import diagnose
from kubespan.mesh.evidence import Evidence, ServiceFacts
from kubespan.mesh.mtu import Mtu
from kubespan.mesh.reconciler import Facts, Outcome, Reconciler
from kubespan.model.address import Endpoint, Prefix
from kubespan.model.cluster import ClusterSecret
from kubespan.model.config import DiscoveryService, KubeSpanConfig, NodeConfig
from kubespan.model.errors import ConfigError
from kubespan.model.instant import Instant
from kubespan.model.keys import PrivateKey, PublicKey
from kubespan.model.resources import (
    Affiliate,
    KubeSpanAffiliate,
    KubeSpanIdentity,
    MachineType,
    PeerReading,
)
from kubespan.store import kind
from kubespan.store.store import Store

NODE_ID = "29QQTc97U5ZyFTIX33Dp9NqtwxqQI8QI13scCLzffrZ"
SECRET = ClusterSecret(bytes(range(32)))
IDENTITY = KubeSpanIdentity(
    IPv6Address("fd50:8d60:4238:6302:f857:23ff:fe21:d1e0"),
    Prefix.parse("fd50:8d60:4238:6302::/64"),
    PrivateKey(bytes([7]) * 32),
)
CONFIG = NodeConfig(
    "a-cluster",
    SECRET,
    KubeSpanConfig(enabled=True, mtu=1420, harvest_extra_endpoints=True),
    (DiscoveryService("default", "discovery.example:443"),),
)
BOOTED_NS = 1_767_261_600_000_000_000
"""2026-01-01T10:00:00Z."""

NOW = 200.0
"""Seconds since then."""

OURSELVES = Affiliate(
    NODE_ID,
    (ip_address("172.20.0.2"), IDENTITY.address),
    "laptop-ana",
    operating_system="Debian GNU/Linux 12",
    machine_type=MachineType.WORKER,
    kubespan=KubeSpanAffiliate(IDENTITY.public_key, IDENTITY.address),
)
SERVICE = ServiceFacts("default", "discovery.example:443", 3, NOW - 4.0)


def wall_ns(boot: float) -> int:
    return BOOTED_NS + round(boot * 1e9)


def key(number: int) -> PublicKey:
    return PublicKey(number.to_bytes(2, "big") * 16)


def peer(number: int) -> Affiliate:
    """One of many: worker-1 is peer 1."""
    address = ip_address(int(ip_address("172.20.0.2")) + number)
    inside = IPv6Address(int(ip_address("fd50:8d60:4238:6302::")) + (0xA00 << 48) + number)
    return Affiliate(
        f"node-{number:04}",
        (address, inside),
        f"worker-{number}.example",
        f"worker-{number}",
        "Talos (v1.14.0)",
        MachineType.WORKER,
        KubeSpanAffiliate(key(number), inside, (), (Endpoint(address, 51820),)),
    )


def reading(number: int, turn: int) -> PeerReading:
    """A peer that answers, except every third; counters move from turn to turn."""
    endpoint = Endpoint(peer(number).addresses[0], 51820)
    if number % 3 == 0:
        return PeerReading(endpoint, None, 0, 148 * (turn + 1))
    handshake_at = NOW - 38.876543211
    return PeerReading(endpoint, handshake_at, 15_043_220 + turn, 17_869_488 + turn)


class FakeNode:
    """A node with so many peers."""

    def __init__(self, peers: int = 3) -> None:
        self.store = Store()
        self.publication = Publication(self.store, NODE_ID)
        self.affiliates = tuple(peer(number) for number in range(1, peers + 1))
        self.reconciler = Reconciler(NODE_ID, IDENTITY, SECRET)
        self.boot = 0.5
        self.turn = 0
        self.is_ready = True
        self.echo: Echo | None = None
        self.pinged: list[tuple[PublicKey, float]] = []
        self.applied: list[tuple[bytes, bool]] = []
        self.has_stopped = False
        self.counters: Mapping[str, int | str] = {
            "implementation": "native",
            "drop_bad_tag": 3,
            "handshakes_initiator_gave_up": 2,
            "lane_outbound_busy_ns": 2_500_000_000,
            "udp_sends": 9,
        }
        self.publication.publish_config(CONFIG, wall_ns(self.boot), "prod-eu")
        self.publication.publish_identity(IDENTITY, wall_ns(self.boot))
        self.publication.publish_affiliates(OURSELVES, self.affiliates, wall_ns(self.boot))
        raw = {f"service/{one.node_id}": one for one in self.affiliates}
        self.store.publish(kind.SERVICE_AFFILIATES, raw, wall_ns(self.boot))
        self.outcome = self.reconcile(Facts(self.affiliates))
        self.look(NOW)

    def look(self, boot: float) -> None:
        """Look again, at counters that have moved."""
        self.boot = boot
        readings = {
            key(number): reading(number, self.turn) for number in range(1, len(self.affiliates) + 1)
        }
        self.turn += 1
        self.outcome = self.reconcile(Facts(self.affiliates, readings))

    def reconcile(self, facts: Facts) -> Outcome:
        outcome = self.reconciler.reconcile(CONFIG, facts, self.boot)
        self.publication.publish_outcome(outcome, wall_ns(self.boot))
        return outcome

    # The protocol.

    def now(self) -> Instant:
        return Instant(self.boot, wall_ns(self.boot))

    def facts(self) -> NodeFacts:
        evidence = Evidence(services=(SERVICE,))
        return NodeFacts(
            "laptop-ana",
            0.25,
            51820,
            Mtu(1420, "underlying 1500 on eth0"),
            DataPlane("native", "avx512", 2, has_offloads=True),
            is_started=True,
            is_ready=self.is_ready,
            public_addresses=(ip_address("198.51.100.9"),),
            services=(SERVICE,),
            problems=diagnose(self.outcome, evidence, self.boot),
            counters=self.counters,
            endpoint_changes=self.publication.endpoint_changes,
            held_back=frozenset(self.outcome.held_since),
            round_trips={key(1): 0.018},
        )

    async def ping(self, peer: PublicKey, timeout: float) -> Echo | None:  # noqa: ASYNC109
        self.pinged.append((peer, timeout))
        return self.echo

    async def apply(self, text: bytes, *, dry_run: bool) -> Mapping[str, Any]:
        if text == b"wrong":
            raise ConfigError("line 1: wrong; write something else")
        self.applied.append((text, dry_run))
        return {"changed": ["mtu"]}

    async def stop(self) -> None:
        self.has_stopped = True


async def serve(path: Path, peers: int, group: str = "") -> None:
    """Serve a node until the process's input ends; peers move all the time."""
    node = FakeNode(peers)
    listener = listen_for_clients(path, group)
    server = ResourceServer(node, listener)
    await server.start()
    print("ready", flush=True)  # noqa: T201
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    while not ended.done():
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(ended), 0.5)
        node.look(node.boot + 0.5)
    await server.stop()
    listener.close()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]))
