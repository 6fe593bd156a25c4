"""The data plane of a simulated node: a real WireGuard interface on a simulated host."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Protocol

from kubespan.model.address import Arrival, Endpoint, Source
from kubespan.model.drop import DropReason
from kubespan.model.keys import PublicKey
from kubespan.model.plan import InterfaceConfig
from kubespan.model.resources import PeerReading
from kubespan.testing.simtime import Alarm, Timeline
from kubespan.testing.simunderlay import SimHost, Underlay
from kubespan.wireguard.configure import configure, readings
from kubespan.wireguard.effects import DeliverPacket, Dropped, Effect, PeerEvent, SendDatagram
from kubespan.wireguard.interface import Interface
from kubespan.wireguard.purepath import PurePath

MANY_TIMEOUTS = 1_000


class Plane(Protocol):
    """What a node needs of a data plane; from the host's side it hears datagrams by itself."""

    def configure(self, config: InterfaceConfig) -> None:
        """Become what the configuration says."""
        ...

    def readings(self) -> dict[PublicKey, PeerReading]:
        """Return how it stands with every peer."""
        ...

    def hail(self) -> None:
        """Let every peer learn where we are."""
        ...

    def send_packet(self, packet: bytes) -> None:
        """Send a packet to the peer that its destination belongs to."""
        ...

    def close(self) -> None:
        """Do nothing any more; nobody is told."""
        ...


class RealPlane:
    """A WireGuard interface that is up, at one port of a host."""

    def __init__(
        self,
        timeline: Timeline,
        underlay: Underlay,
        host: SimHost,
        random: Callable[[int], bytes],
        on_packet: Callable[[bytes], None],
        on_event: Callable[[PeerEvent], None],
    ) -> None:
        self.interface = Interface(PurePath(), random)
        self.drops: Counter[DropReason] = Counter()
        self._timeline = timeline
        self._underlay = underlay
        self._host = host
        self._port = 0
        self._on_packet = on_packet
        self._on_event = on_event
        self._config: InterfaceConfig | None = None
        self._alarm = Alarm(timeline, self._handle_timeout)
        host.receive = self._receive
        self._perform(self.interface.set_up(timeline.instant))

    def configure(self, config: InterfaceConfig) -> None:
        """Become what the configuration says."""
        self._port = config.listen_port
        former, self._config = self._config, config
        self._perform(configure(self.interface, config, self._timeline.instant, former))

    def readings(self) -> dict[PublicKey, PeerReading]:
        """Return how it stands with every peer."""
        return readings(self.interface)

    def hail(self) -> None:
        """Let every peer learn where we are."""
        self._perform(self.interface.hail(self._timeline.instant))

    def send_packet(self, packet: bytes) -> None:
        """Send a packet to the peer that its destination belongs to."""
        self._perform(self.interface.send_packet(packet, self._timeline.instant))

    def close(self) -> None:
        """Do nothing any more; nobody is told."""
        self._host.receive = None
        self._alarm.set(None)

    def _receive(self, sender: Endpoint, receiver: Endpoint, datagram: bytes) -> None:
        if receiver.port == self._port:
            arrival = Arrival(sender, Source(receiver.address, 1))
            now = self._timeline.instant
            self._perform(self.interface.receive_datagram(datagram, arrival, now))

    def _handle_timeout(self) -> None:
        now = self._timeline.instant
        for _ in range(MANY_TIMEOUTS):
            due_at = self.interface.next_timeout(now)
            if due_at is None or due_at > now.boot:
                break
            self._perform(self.interface.handle_timeout(now))
        else:
            raise AssertionError("a timer that is due stays due")

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case SendDatagram():
                    self._send(effect)
                case DeliverPacket(packet):
                    self._on_packet(packet)
                case Dropped(reason):
                    self.drops[reason] += 1
                case PeerEvent():
                    self._on_event(effect)
        self._alarm.set(self.interface.next_timeout(self._timeline.instant))

    def _send(self, effect: SendDatagram) -> None:
        source = None if effect.source is None else effect.source.address
        if source is not None and source not in self._host.addresses and effect.slot is not None:
            effect.slot.source = None  # as a device does with a source that the system refuses
        self._underlay.send(self._host, self._port, effect.endpoint, effect.datagram, source)
