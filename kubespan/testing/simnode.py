"""One node of a simulated mesh: the real parts of kubespan, put together as a daemon does it.

Reconciler, WireGuard interface, discovery membership and the node's own affiliate are those that
are shipped. What the kernel would do with a packet, to steer it or to let it leave in clear, is
done here as the plan says.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from random import Random
from typing import Final, NamedTuple

from kubespan.discovery.opening import seal_endpoints, seal_record
from kubespan.discovery.seal import NONCE_SIZE
from kubespan.mesh.affiliates import merged_affiliates
from kubespan.mesh.identity import kubespan_identity
from kubespan.mesh.local import local_affiliate, useful_public_addresses
from kubespan.mesh.reconciler import WORTH_A_LOOK, Facts, Outcome, Reconciler
from kubespan.model.address import Endpoint, IPAddress
from kubespan.model.cluster import ClusterSecret
from kubespan.model.config import NodeConfig
from kubespan.model.constants import HAIL_DELAYS, LOOK_INTERVAL
from kubespan.model.host import Host, HostAddress, Link, OperationalState
from kubespan.model.ipset import IPSet
from kubespan.model.keys import PrivateKey, PublicKey
from kubespan.model.resources import Affiliate, NodeIdentity, PeerState
from kubespan.testing.simdiscovery import DiscoveryNet
from kubespan.testing.simdiscovery import Node as DiscoveryNode
from kubespan.testing.simplane import Plane, RealPlane
from kubespan.testing.simtime import Alarm, Timeline
from kubespan.testing.simunderlay import Network, SimHost, Underlay
from kubespan.wireguard.effects import Event, PeerEvent

QUESTION: Final = b"?"
"""What a payload begins with that is to be answered."""

MakePlane = Callable[
    ["World", SimHost, Callable[[bytes], None], Callable[[PeerEvent], None]], Plane
]


class ClearPacket(NamedTuple):
    """A packet that left its node outside the mesh."""

    at: float
    """Boot seconds."""

    node: str
    destination: IPAddress


@dataclass(slots=True)
class World:
    """What all nodes of a mesh have in common."""

    timeline: Timeline
    underlay: Underlay
    discovery: DiscoveryNet
    random: Random
    cluster_id: str
    secret: ClusterSecret
    make_plane: MakePlane
    service: IPAddress
    """Where the discovery service is."""

    clear: list[ClearPacket] = field(default_factory=list)


def real_plane(
    world: World,
    host: SimHost,
    on_packet: Callable[[bytes], None],
    on_event: Callable[[PeerEvent], None],
) -> RealPlane:
    """Return a WireGuard interface."""
    chance = Random(world.random.random())  # noqa: S311  the same every run is the point
    return RealPlane(world.timeline, world.underlay, host, chance.randbytes, on_packet, on_event)


class MeshNode:
    """One node, through all its starts and crashes."""

    def __init__(self, world: World, number: int, host: SimHost, config: NodeConfig) -> None:
        self.name = host.name
        self.host = host
        self.config = config
        key = PrivateKey(Random(f"{world.cluster_id} {number}").randbytes(32))  # noqa: S311
        mac = b"\x02" + number.to_bytes(5, "big")
        self.identity = kubespan_identity(world.cluster_id, mac, key)
        self.node_identity = NodeIdentity(host.name)
        self.life: Life | None = None
        self.delivered: list[tuple[float, IPAddress, bytes]] = []
        """When which packet came, from whom, and its payload."""

        self._world = world

    @property
    def key(self) -> PublicKey:
        """What peers know it by."""
        return self.identity.public_key

    @property
    def address(self) -> IPv6Address:
        """Where it is inside the mesh."""
        return self.identity.address

    @property
    def outcome(self) -> Outcome:
        """What it thought of the mesh when it last looked."""
        assert self.life is not None
        return self.life.outcome

    def affiliate(self, public: tuple[IPAddress, ...] = ()) -> Affiliate:
        """Return what it says of itself, seen from outside at these addresses."""
        addresses = self.host.addresses
        up = OperationalState.UP
        host = Host(
            self.name,
            tuple(
                Link(number, f"eth{number}", True, "", b"", True, True, up)
                for number in range(len(addresses))
            ),
            tuple(
                HostAddress(address, address.max_prefixlen, number)
                for number, address in enumerate(addresses)
            ),
            public,
        )
        return local_affiliate(self.config, self.node_identity, self.identity, host, version="0")

    def start(self) -> None:
        """Run, with the identity that it has."""
        assert self.life is None
        self.life = Life(self._world, self)
        self.life.begin()

    def crash(self) -> None:
        """Be gone at once; nobody is told."""
        assert self.life is not None
        self.life.end()
        self.life = None

    def leave(self) -> None:
        """Withdraw from discovery, and be gone."""
        assert self.life is not None
        self.life.member.leave()
        self.life.end_plane()
        self.life = None

    def move(self, *addresses: tuple[Network, str]) -> None:
        """Have these addresses instead of all others, and let everybody know."""
        for address in self.host.addresses:
            self.host.detach(address)
        for network, address_text in addresses:
            self.host.attach(network, ip_address(address_text))
        if self.life is not None:
            self.life.follow_addresses()

    def state_of(self, other: MeshNode) -> PeerState | None:
        """Return how it stands with another node; None where that is no peer."""
        if self.life is None:
            return None
        status = self.outcome.statuses.get(other.key)
        return None if status is None else status.state

    def endpoint_of(self, other: MeshNode) -> Endpoint | None:
        """Return where the interface sends to for another node."""
        assert self.life is not None
        return self.life.plane.readings()[other.key].endpoint

    def send(self, destination: IPAddress | str, payload: bytes = b"") -> None:
        """Have an application send a packet, which goes wherever the plan leads it."""
        assert self.life is not None
        to = ip_address(destination)
        if not self._is_for_mesh(to):
            self._world.clear.append(ClearPacket(self._world.timeline.now, self.name, to))
            return
        source = next((a for a in self.host.addresses if a.version == to.version), None)
        if source is None or self.identity.subnet.contains(to):
            source = self.address
        self.life.plane.send_packet(_packet(source, to, payload))

    def _is_for_mesh(self, to: IPAddress) -> bool:
        network = self.outcome.network
        return network.subnet.contains(to) or any(p.contains(to) for p in network.steered)


class Life:
    """One run of a node, from its start to its end."""

    def __init__(self, world: World, node: MeshNode) -> None:
        self.plane = world.make_plane(world, node.host, self._hear_packet, self._hear_event)
        self.events: Counter[Event] = Counter()
        """How often each thing happened to a peer."""

        self.member = self._join(world, node)
        self._world = world
        self._node = node
        self._reconciler = Reconciler(node.name, node.identity, world.secret)
        self._affiliates: tuple[Affiliate, ...] = ()
        self._are_members_stale = False
        self._announced: Affiliate | None = None
        self._seen_at: dict[int, IPAddress] = {}
        self._harvested: dict[str, Endpoint] = {}
        self._steered = IPSet()
        self._looked_at = world.timeline.now - LOOK_INTERVAL
        self._alarm = Alarm(world.timeline, self._look)
        self._is_over = False
        self.outcome = self._reconciler.reconcile(node.config, Facts(), world.timeline.now)

    def begin(self) -> None:
        """Look, announce ourselves, and talk to discovery."""
        self._look()
        self._announce()
        self.member.start()

    def end(self) -> None:
        """Stop without a word."""
        self.end_plane()
        self.member.vanish()

    def end_plane(self) -> None:
        """Stop everything but the conversation with discovery."""
        self._is_over = True
        self._alarm.set(None)
        self.plane.close()

    def remember(self, nodes: Iterable[MeshNode]) -> None:
        """Know these from an earlier run."""
        known = {node.name: node.affiliate() for node in nodes}
        self.member.perform(self.member.membership.remember(known))

    def follow_addresses(self) -> None:
        """The host has other addresses: tell peers at once, and the rest through discovery."""
        for after in HAIL_DELAYS:
            self._world.timeline.at(self._world.timeline.now + after, self._hail)
        self._announce()
        self._hurry()

    def _join(self, world: World, node: MeshNode) -> DiscoveryNode:
        member = DiscoveryNode(
            world.discovery,
            node.name,
            next(iter(world.discovery.services)),
            lambda address: bool(useful_public_addresses([address])),
        )
        member.on_news = self._hear_news
        member.seen_at = lambda: outside_of(node.host, world.service)
        member.can_reach = lambda _: (
            not node.host.side and node.host.way_to(world.service) is not None
        )
        world.discovery.nodes[node.name] = member
        return member

    def _hail(self) -> None:
        if not self._is_over:
            self.plane.hail()

    def _announce(self) -> None:
        node, world = self._node, self._world
        self._seen_at = dict(self.member.membership.addresses)
        ours = node.affiliate(useful_public_addresses(self._seen_at.values()))
        if ours == self._announced:
            return
        self._announced = ours
        nonce = world.random.randbytes(NONCE_SIZE)
        sealed = seal_record(world.secret.raw, ours, nonce)
        membership, now = self.member.membership, world.timeline.now
        self.member.perform(membership.set_record(sealed.data, sealed.endpoints, now))

    def _hear_packet(self, packet: bytes) -> None:
        source, payload = _unpacked(packet)
        self._node.delivered.append((self._world.timeline.now, source, payload))
        if payload.startswith(QUESTION):
            self._node.send(source, b"!" + payload[1:])

    def _hear_event(self, event: PeerEvent) -> None:
        self.events[event.event] += 1
        if event.event in WORTH_A_LOOK:
            self._hurry()

    def _hear_news(self) -> None:
        if self._is_over:
            return
        self._are_members_stale = True
        if self.member.membership.addresses != self._seen_at:
            self._announce()
        self._hurry()

    def _hurry(self) -> None:
        soon = max(self._world.timeline.now, self._looked_at + LOOK_INTERVAL)
        if not self._is_over and (self._alarm.at is None or soon < self._alarm.at):
            self._alarm.set(soon)

    def _look(self) -> None:
        now = self._world.timeline.now
        facts = Facts(
            self._present(),
            self.plane.readings(),
            own_addresses=frozenset(self._node.host.addresses),
            steered=self._steered,
        )
        self.outcome = self._reconciler.reconcile(self._node.config, facts, now)
        self._looked_at = now
        self._alarm.set(max(self.outcome.look_at, now + LOOK_INTERVAL))
        self.plane.configure(self.outcome.interface)
        self._steer()
        self._tell_discovery(now)

    def _steer(self) -> None:
        """Have the plan in the kernel by the next look, which is soon where that is a change."""
        steered = IPSet.of(*self.outcome.network.steered)
        if steered != self._steered:
            self._steered = steered
            self._hurry()

    def _present(self) -> tuple[Affiliate, ...]:
        if self._are_members_stale:
            self._are_members_stale = False
            members = self.member.membership.members
            raw = {f"service/{id_}": one for id_, one in members.items()}
            self._affiliates = merged_affiliates(raw)
        return self._affiliates

    def _tell_discovery(self, now: float) -> None:
        up = {key for key, one in self.outcome.statuses.items() if one.state is PeerState.UP}
        names = {a.kubespan.public_key: a.node_id for a in self._affiliates if a.kubespan}
        self.member.perform(self.member.membership.set_live({names[key] for key in up}, now))
        harvested = {one.affiliate_id: one.endpoint for one in self.outcome.harvested.values()}
        if harvested != self._harvested:
            self._harvested = harvested
            secret = self._world.secret.raw
            self.member.harvest(
                {id_: seal_endpoints(secret, [one])[0] for id_, one in harvested.items()}
            )


def outside_of(host: SimHost, remote: IPAddress) -> bytes:
    """Return the address from which a remote one sees a host; nothing where it does not."""
    way = host.way_to(remote)
    if way is None:
        return b""
    network, seen = way.network, Endpoint(way.address, 1)
    while not network.knows(remote) and network.nat is not None:
        assert network.beyond is not None
        seen = Endpoint(network.nat.address, 1)
        network = network.beyond
    return seen.address.packed


def _packet(source: IPAddress, destination: IPAddress, payload: bytes) -> bytes:
    """Build an IP packet that holds nothing but a payload; nobody looks at its checksum."""
    if isinstance(destination, IPv4Address):
        size = 20 + len(payload)
        header = struct.pack(">BBHHHBBH", 0x45, 0, size, 0, 0, 64, 253, 0)
    else:
        header = struct.pack(">IHBB", 6 << 28, len(payload), 253, 64)
    return header + source.packed + destination.packed + payload


def _unpacked(packet: bytes) -> tuple[IPAddress, bytes]:
    if packet[0] >> 4 == 4:
        return IPv4Address(packet[12:16]), packet[20:]
    return IPv6Address(packet[8:24]), packet[40:]
