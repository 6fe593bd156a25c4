"""The network under a mesh: hosts with their addresses, networks behind NATs, what goes wrong.

A datagram leaves through every NAT on its way at once, and meets those at the other end when it
arrives there, so that two that cross open the way for each other as they would.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from kubespan.model.address import Endpoint, IPAddress
from kubespan.testing.simnat import Nat, Pinholes
from kubespan.testing.simnet import Weather
from kubespan.testing.simtime import Timeline

Receive = Callable[[Endpoint, Endpoint, bytes], None]
"""Is called with sender, own endpoint and datagram."""


@dataclass(slots=True, eq=False)
class Network:
    """Where an address means one place. What is not in it is beyond its NAT, if it has one."""

    name: str
    nat: Nat | None = None
    beyond: Network | None = None
    """The network that the NAT has its address in."""

    hosts: dict[IPAddress, SimHost] = field(default_factory=dict)
    inner: dict[IPAddress, Network] = field(default_factory=dict)
    """Networks whose NAT has an address here."""

    is_default: bool = False
    """Whether everything is sent here that is not known to be elsewhere."""

    def knows(self, address: IPAddress) -> bool:
        """Whether a datagram for that address finds somebody here, without any NAT."""
        return address in self.hosts or address in self.inner

    def leads_to(self, address: IPAddress) -> bool:
        """Whether a datagram for that address is worth sending here."""
        if self.is_default or self.knows(address):
            return True
        return self.beyond is not None and self.beyond.leads_to(address)


class Attachment(NamedTuple):
    """One address of a host."""

    network: Network
    address: IPAddress


@dataclass(slots=True, eq=False)
class SimHost:
    """A machine, by its addresses; the first one that leads to a place is used for it."""

    name: str
    receive: Receive | None = None
    """None while the machine is off."""

    attachments: list[Attachment] = field(default_factory=list)
    firewall: Pinholes | None = None
    """What lets only answers in, if there is one."""

    side: str = ""
    """Hosts on different sides of a partition do not hear each other."""

    @property
    def addresses(self) -> tuple[IPAddress, ...]:
        """All of them, in the order in which they came."""
        return tuple(attachment.address for attachment in self.attachments)

    def attach(self, network: Network, address: IPAddress) -> None:
        """Have this address too."""
        self.attachments.append(Attachment(network, address))
        network.hosts[address] = self

    def detach(self, address: IPAddress) -> None:
        """Have this address no more."""
        for attachment in [one for one in self.attachments if one.address == address]:
            self.attachments.remove(attachment)
            del attachment.network.hosts[address]

    def way_to(self, address: IPAddress, source: IPAddress | None = None) -> Attachment | None:
        """Return the way to an address, from a source if that is still ours."""
        ways = [a for a in self.attachments if a.address.version == address.version]
        if source is not None and any(a.address == source for a in ways):
            ways = [a for a in ways if a.address == source]
        near = (a for a in ways if a.network.knows(address))
        far = (a for a in ways if a.network.leads_to(address))
        return next(near, None) or next(far, None)


class Passage(NamedTuple):
    """One datagram as the tap saw it leave its host, whatever became of it."""

    at: float
    """Boot seconds."""

    host: str
    sender: Endpoint
    receiver: Endpoint
    datagram: bytes


class _Transit(NamedTuple):
    """A datagram that has left through every NAT on its way, and what network it is in now."""

    host: SimHost
    network: Network
    sender: Endpoint
    receiver: Endpoint
    datagram: bytes


class Underlay:
    """Everything that carries datagrams; `internet` is where public addresses are."""

    def __init__(self, timeline: Timeline, random: Random, weather: Weather | None = None) -> None:
        self.weather = Weather() if weather is None else weather
        self.internet = Network("internet", is_default=True)
        self.dead: set[IPAddress] = set()
        """Addresses of hosts through which nothing passes any more, though they still have them."""

        self.lost: Counter[str] = Counter()
        """How many datagrams went no further, by reason."""

        self._timeline = timeline
        self._random = random
        self._tap: list[Passage] | None = None

    def tap(self) -> list[Passage]:
        """Return a list of everything that is sent from now on; an earlier one grows no more."""
        self._tap = []
        return self._tap

    def private_network(self, name: str, nat: Nat, beyond: Network | None = None) -> Network:
        """Return a new network behind a NAT, which is in the internet unless told otherwise."""
        beyond = self.internet if beyond is None else beyond
        network = Network(name, nat, beyond)
        beyond.inner[nat.address] = network
        return network

    def partition(self, *sides: Iterable[SimHost]) -> None:
        """Let hosts hear only those of their own side; without sides, everybody."""
        for number, side in enumerate(sides):
            for host in side:
                host.side = str(number)

    def send(
        self,
        host: SimHost,
        port: int,
        receiver: Endpoint,
        datagram: bytes,
        source: IPAddress | None,
    ) -> None:
        """Have a host send a datagram."""
        way = host.way_to(receiver.address, source)
        if way is None:
            self.lost["no way"] += 1
            return
        sender = Endpoint(way.address, port)
        now = self._timeline.now
        if self._tap is not None:
            self._tap.append(Passage(now, host.name, sender, receiver, datagram))
        if host.firewall is not None:
            host.firewall.note(receiver, now)
        if way.address in self.dead:
            self.lost["dead address"] += 1
            return
        network = way.network
        while not network.knows(receiver.address) and network.nat is not None:
            assert network.beyond is not None
            sender = network.nat.outbound(sender, receiver, now)
            network = network.beyond
        self._carry(_Transit(host, network, sender, receiver, datagram))

    def _carry(self, transit: _Transit) -> None:
        weather = self.weather
        for _ in range(1 + (self._random.random() < weather.duplication)):
            if self._random.random() < weather.loss:
                self.lost["weather"] += 1
                continue
            at = self._timeline.now + weather.latency + self._random.random() * weather.jitter
            self._timeline.at(at, lambda: self._arrive(transit))

    def _arrive(self, transit: _Transit) -> None:
        host, network, sender, place, datagram = transit
        now = self._timeline.now
        while (inner := network.inner.get(place.address)) is not None:
            assert inner.nat is not None
            inside = inner.nat.inbound(sender, place, now)
            if inside is None or sender.address == inner.nat.address:
                # As most do, these NATs do not lead back inside what comes from there.
                self.lost["nat"] += 1
                return
            network, place = inner, inside
        found = network.hosts.get(place.address)
        if found is None or found.receive is None or place.address in self.dead:
            self.lost["nobody"] += 1
        elif found.side != host.side:
            self.lost["partition"] += 1
        elif found.firewall is not None and not found.firewall.admits(sender, now):
            self.lost["firewall"] += 1
        else:
            found.receive(sender, place, datagram)
