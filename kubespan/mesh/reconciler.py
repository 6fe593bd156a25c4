"""The mesh as it should be, given what is known: one look at everything, and a plan for everybody.

Sans-IO: facts and a moment come in, an outcome goes out. Whoever drives it publishes the outcome
and has it done, and looks again when a fact changes, and at the latest at `look_at`. What it
remembers between looks is how it stood with every peer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from kubespan.mesh.dialing import Dialing, Reach
from kubespan.mesh.endpoints import harvest
from kubespan.mesh.entrance import EVERYWHERE
from kubespan.mesh.members import members
from kubespan.mesh.mtu import Mtu, mesh_mtu
from kubespan.mesh.peers import Ourselves, PeerPlanner
from kubespan.mesh.planning import InterfacePlanner, to_steer
from kubespan.mesh.problem import Problem
from kubespan.mesh.statuses import Statuses
from kubespan.model.address import Endpoint, IPAddress, Prefix
from kubespan.model.cluster import ClusterSecret
from kubespan.model.config import NodeConfig
from kubespan.model.constants import PEER_RECONCILE_INTERVAL
from kubespan.model.host import UnderlyingLink
from kubespan.model.ipset import IPSet, host_prefix
from kubespan.model.keys import PublicKey
from kubespan.model.plan import InterfaceConfig, NetworkPlan
from kubespan.model.resources import (
    Affiliate,
    KubeSpanEndpoint,
    KubeSpanIdentity,
    KubeSpanPeerSpec,
    KubeSpanPeerStatus,
    Member,
    PeerReading,
    PeerState,
)
from kubespan.wireguard.effects import Event

WORTH_A_LOOK: Final = frozenset(
    {Event.HANDSHAKE_COMPLETED, Event.HANDSHAKE_INITIATION_SENT, Event.ROAMED}
)
"""What happens to a peer and may change its status. An initiation may mean that it is silent."""

Readings = Mapping[PublicKey, PeerReading]


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the world at one moment."""

    affiliates: tuple[Affiliate, ...] = ()
    """Of all sources, merged; our own may be among them."""

    readings: Readings | None = None
    """What WireGuard says; None where there is no interface yet."""

    ways: Mapping[Endpoint, UnderlyingLink] = field(default_factory=lambda: MappingProxyType({}))
    """How endpoints are reached, as far as that is known."""

    services: frozenset[Endpoint] = frozenset()
    """Where discovery is, on TCP."""

    own_addresses: frozenset[IPAddress] = frozenset()
    """Of this host; no peer may have them, and none is looked for there."""

    steered: IPSet = EVERYWHERE
    """Where packets go into the mesh by now, besides its own subnet; the very same value as long as
    nothing changes."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What follows from the facts."""

    specs: tuple[KubeSpanPeerSpec, ...]
    statuses: Mapping[PublicKey, KubeSpanPeerStatus]
    """Nobody becomes up before packets for it are steered; meanwhile it stays what it was. But what
    the kernel refuses to steer, or could not be asked, keeps nobody waiting: KS-STEERING."""

    trying_since: Mapping[PublicKey, float]
    """Of peers that do not answer: when they were first written to since. Seconds since boot."""

    held_since: Mapping[PublicKey, float]
    """Of peers that answer, and are not shown as up before packets for them are steered: since when
    they wait for that. Seconds since boot."""

    members: Mapping[str, Member]
    harvested: Mapping[PublicKey, KubeSpanEndpoint]
    interface: InterfaceConfig
    network: NetworkPlan
    mtu: Mtu
    problems: tuple[Problem, ...]
    look_at: float
    """Seconds since boot."""

    def answers(self, key: PublicKey) -> bool:
        """Whether a peer is up, or would be if packets for it were steered."""
        status = self.statuses.get(key)
        return key in self.held_since or (status is not None and status.state is PeerState.UP)


class Reconciler:
    """Looks at the facts about one node's mesh, again and again."""

    def __init__(self, node_id: str, identity: KubeSpanIdentity, secret: ClusterSecret) -> None:
        self._node_id = node_id
        self._identity = identity
        self._planner = PeerPlanner()
        self._dialing = Dialing()
        self._statuses = Statuses()
        self._interface = InterfacePlanner(identity, secret)
        self._held_since: dict[PublicKey, float] = {}
        self._members: tuple[object, Mapping[str, Member]] = (None, {})

    def reconcile(self, config: NodeConfig, facts: Facts, now: float) -> Outcome:
        """Return what the mesh should be; `now` is seconds since boot."""
        wanted = config.kubespan
        planned = self._planner.peer_specs(facts.affiliates, self._ourselves(config, facts))
        specs = self._dialing.dialed(planned.specs, self._reach(config, facts))
        self._statuses.look(specs, facts.readings, now)
        statuses = self._statuses.by_key()
        interface = self._interface.interface_config(
            specs,
            statuses,
            config.listen_port,
            facts.steered,
            force_routing=wanted.force_routing,
        )
        held_back = self._interface.held_back()
        self._held_since = {key: self._held_since.get(key, now) for key in held_back}
        shown = {**statuses, **held_back} if held_back else statuses
        mtu = mesh_mtu(wanted.mtu, facts.ways)
        return Outcome(
            specs,
            shown,
            self._statuses.trying_since(),
            self._held_since,
            self._members_of(facts.affiliates),
            harvest(facts.affiliates, shown) if wanted.harvest_extra_endpoints else {},
            interface,
            self._network(config, facts, mtu, specs, statuses),
            mtu,
            planned.problems,
            min(self._statuses.next_look_at(), now + PEER_RECONCILE_INTERVAL),
        )

    def _network(
        self,
        config: NodeConfig,
        facts: Facts,
        mtu: Mtu,
        specs: tuple[KubeSpanPeerSpec, ...],
        statuses: Mapping[PublicKey, KubeSpanPeerStatus],
    ) -> NetworkPlan:
        identity, is_forced = self._identity, config.kubespan.force_routing
        steered = to_steer(identity.subnet, specs, statuses, force_routing=is_forced)
        # Where nothing is steered nothing needs to be let past.
        versions = {prefix.version for prefix in steered}
        past = tuple(
            one for one in _services(facts, identity.subnet) if one.address.version in versions
        )
        return NetworkPlan(identity.address, identity.subnet, mtu.value, steered, past)

    def _members_of(self, affiliates: tuple[Affiliate, ...]) -> Mapping[str, Member]:
        if self._members[0] is not affiliates:
            self._members = (affiliates, members(affiliates))
        return self._members[1]

    def _reach(self, config: NodeConfig, facts: Facts) -> Reach:
        ours = frozenset(Endpoint(one, config.listen_port) for one in facts.own_addresses)
        return Reach(self._identity.subnet, ours, config.kubespan.peer_endpoint_filters)

    def _ourselves(self, config: NodeConfig, facts: Facts) -> Ourselves:
        hosts = map(host_prefix, (*facts.own_addresses, self._identity.address))
        # Pods are on this host whether that is announced or not.
        ours = IPSet.of(*hosts, *config.pod_networks)
        return Ourselves(self._node_id, self._identity.public_key, ours)


def _services(facts: Facts, subnet: Prefix) -> tuple[Endpoint, ...]:
    """Return where discovery is; if that is this host, others may reach it at any address of it.

    But for the mesh's own, which leads through a tunnel.
    """
    here = {one.port for one in facts.services if _is_here(one.address, facts)}
    outer = [one for one in facts.own_addresses if not subnet.contains(one)]
    ours = {Endpoint(address, port) for address in outer for port in here}
    return tuple(sorted(facts.services | ours, key=str))


def _is_here(address: IPAddress, facts: Facts) -> bool:
    return address.is_loopback or address.is_unspecified or address in facts.own_addresses
