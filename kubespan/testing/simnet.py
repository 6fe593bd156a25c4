"""A network of WireGuard interfaces in virtual time: hours in milliseconds, the same every run.

Datagrams take time, are lost, doubled and overtaken as asked for, by chance that a seed decides. A
tap sees everything that is sent. No clock, no socket, no thread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random

from kubespan.model.address import Arrival, Endpoint, Source
from kubespan.model.drop import DropReason
from kubespan.model.instant import Instant
from kubespan.wireguard.datapath import DataPath
from kubespan.wireguard.effects import (
    DeliverPacket,
    Dropped,
    Effect,
    Event,
    PeerEvent,
    SendDatagram,
)
from kubespan.wireguard.interface import Interface
from kubespan.wireguard.purepath import PurePath

_BOOT = 1_000.0
_WALL_NS = 1_700_000_000_000_000_000
_MANY_TIMEOUTS = 1_000


@dataclass(slots=True)
class Weather:
    """How the network treats datagrams; it may change at any time."""

    latency: float = 0.01
    """Seconds from one node to another."""

    jitter: float = 0.0
    """Up to how many seconds more, by chance: more than the gap between two lets them overtake."""

    loss: float = 0.0
    """The chance of a datagram to vanish."""

    duplication: float = 0.0
    """The chance of a datagram to arrive twice."""


@dataclass(frozen=True, slots=True)
class Transmission:
    """One datagram as the tap saw it leave, whatever became of it."""

    at: float
    """Seconds since the network began."""

    sender: Endpoint
    receiver: Endpoint
    datagram: bytes
    traffic_class: int


@dataclass(slots=True)
class Node:
    """One interface in the network, and what came of it so far."""

    interface: Interface
    endpoint: Endpoint
    delivered: list[bytes] = field(default_factory=list)
    drops: Counter[DropReason] = field(default_factory=Counter)
    events: list[tuple[float, PeerEvent]] = field(default_factory=list)

    def count(self, event: Event) -> int:
        """Return how often an event happened."""
        return sum(1 for _, happened in self.events if happened.event is event)


class SimNet:
    """The network, its time, and its tap."""

    def __init__(self, seed: int = 0, weather: Weather | None = None) -> None:
        self.weather = weather if weather is not None else Weather()
        self.nodes: list[Node] = []
        self.tap: list[Transmission] = []
        self.translate: Callable[[Endpoint], Endpoint] = lambda endpoint: endpoint
        """What a receiver sees of a sender's endpoint: a NAT, if it is not the same."""
        self._random = Random(seed)  # noqa: S311  the same every run is the point
        self._elapsed = 0.0
        self._arrivals: list[tuple[float, int, Endpoint, Endpoint, Transmission]] = []
        self._arrival_number = 0

    @property
    def now(self) -> Instant:
        """The present moment."""
        return Instant(_BOOT + self._elapsed, _WALL_NS + round(self._elapsed * 1e9))

    @property
    def elapsed(self) -> float:
        """Seconds since the network began."""
        return self._elapsed

    def add_node(self, endpoint: str, path: DataPath | None = None) -> Node:
        """Put a new interface, down and without a key, at an endpoint."""
        interface = Interface(path if path is not None else PurePath(), self._random.randbytes)
        node = Node(interface, Endpoint.parse(endpoint))
        self.nodes.append(node)
        return node

    def perform(self, node: Node, effects: list[Effect]) -> None:
        """Carry out what an interface asks for."""
        for effect in effects:
            match effect:
                case SendDatagram():
                    self._transmit(node, effect)
                case DeliverPacket(packet):
                    node.delivered.append(packet)
                case Dropped(reason):
                    node.drops[reason] += 1
                case PeerEvent():
                    node.events.append((self._elapsed, effect))

    def send(self, node: Node, packet: bytes) -> None:
        """Have a node send a packet."""
        self.perform(node, node.interface.send_packet(packet, self.now))

    def inject(self, datagram: bytes, sender: Endpoint, node: Node, *, queued: int = 0) -> None:
        """Have a node receive a datagram at once, whoever made it."""
        arrival = Arrival(sender, Source(node.endpoint.address, 1))
        interface = node.interface
        effects = interface.receive_datagram(datagram, arrival, self.now, queued=queued)
        self.perform(node, effects)

    def run(self, seconds: float) -> None:
        """Let time pass, with everything that happens in it."""
        end = self._elapsed + seconds
        while (moment := self._next_moment()) <= end:
            self._elapsed = max(moment, self._elapsed)
            self._receive_due()
            self._handle_timeouts()
        self._elapsed = end

    def _next_moment(self) -> float:
        times = [self._arrivals[0][0]] if self._arrivals else []
        for node in self.nodes:
            timeout = node.interface.next_timeout(self.now)
            if timeout is not None:
                times.append(timeout - _BOOT)
        return min(times, default=float("inf"))

    def _receive_due(self) -> None:
        while self._arrivals and self._arrivals[0][0] <= self._elapsed:
            _, _, sender, receiver, transmission = heappop(self._arrivals)
            for node in self.nodes:
                if node.endpoint == receiver:
                    self.inject(transmission.datagram, sender, node)

    def _handle_timeouts(self) -> None:
        for node in self.nodes:
            for _ in range(_MANY_TIMEOUTS):
                timeout = node.interface.next_timeout(self.now)
                if timeout is None or timeout > self.now.boot:
                    break
                self.perform(node, node.interface.handle_timeout(self.now))
            else:
                raise AssertionError("a timer that is due stays due")

    def _transmit(self, node: Node, effect: SendDatagram) -> None:
        transmission = Transmission(
            self._elapsed, node.endpoint, effect.endpoint, effect.datagram, effect.traffic_class
        )
        self.tap.append(transmission)
        copies = 1 + (self._random.random() < self.weather.duplication)
        for _ in range(copies):
            if self._random.random() >= self.weather.loss:
                self._put_on_the_way(transmission)

    def _put_on_the_way(self, transmission: Transmission) -> None:
        delay = self.weather.latency + self._random.random() * self.weather.jitter
        self._arrival_number += 1
        sender = self.translate(transmission.sender)
        entry = (self._elapsed + delay, self._arrival_number, sender, transmission.receiver)
        heappush(self._arrivals, (*entry, transmission))
