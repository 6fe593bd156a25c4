"""A model of the data plane for meshes too large for real handshakes: who answers, and how soon.

It sends what WireGuard sends, when and where WireGuard sends it, but nothing is sealed, and nothing
ever has to be renewed: good for starts, no good for what comes minutes later. What a handshake
costs a processor is part of the model, as it is what a large mesh waits for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kubespan.model.address import Endpoint, IPAddress
from kubespan.model.constants import MAX_PROBES, REKEY_TIMEOUT
from kubespan.model.keys import PublicKey
from kubespan.model.plan import InterfaceConfig
from kubespan.model.resources import PeerReading
from kubespan.testing.simnode import World
from kubespan.testing.simtime import Timeline
from kubespan.testing.simunderlay import SimHost, Underlay
from kubespan.wireguard.configure import start_delay
from kubespan.wireguard.effects import Event, PeerEvent

MESSAGE_COST: Final = 0.000_3
"""Seconds that a processor is busy with one handshake message. Measured, Python, a slow core."""

INITIATION, RESPONSE, CONFIRMATION = b"\1", b"\2", b"\4"


@dataclass(slots=True)
class _Peer:
    endpoint: Endpoint | None
    candidates: tuple[Endpoint, ...] = ()
    handshake_at: float | None = None
    next_probe: int = 0


class ModelPlane:
    """A data plane that only ever shakes hands."""

    def __init__(
        self,
        timeline: Timeline,
        underlay: Underlay,
        host: SimHost,
        on_event: Callable[[PeerEvent], None],
    ) -> None:
        self._timeline = timeline
        self._underlay = underlay
        self._host = host
        self._on_event = on_event
        self._config: InterfaceConfig | None = None
        self._known: dict[PublicKey, object] = {}
        self._peers: dict[PublicKey, _Peer] = {}
        self._busy_until = 0.0
        host.receive = self._receive

    def configure(self, config: InterfaceConfig) -> None:
        """Become what the configuration says."""
        self._config = config
        own = config.private_key.public_key
        known, number = self._known, 0
        self._known = {wanted.public_key: wanted for wanted in config.peers}
        for wanted in config.peers:
            key = wanted.public_key
            if known.get(key) is wanted:
                continue
            peer = self._peers.get(key)
            if peer is None:
                self._peers[key] = _Peer(wanted.endpoint, wanted.candidates)
                self._call_later(key, start_delay(own, key, number))
                number += 1
                continue
            peer.candidates = wanted.candidates
            if wanted.endpoint is not None:
                peer.endpoint = wanted.endpoint
        for key in self._peers.keys() - self._known.keys():
            del self._peers[key]

    def readings(self) -> dict[PublicKey, PeerReading]:
        """Return how it stands with every peer."""
        return {
            key: PeerReading(peer.endpoint, peer.handshake_at) for key, peer in self._peers.items()
        }

    def hail(self) -> None:
        """Do nothing: addresses do not change here."""

    def send_packet(self, packet: bytes) -> None:
        """Do nothing: there are no packets here."""

    def close(self) -> None:
        """Do nothing any more."""
        self._host.receive = None
        self._peers.clear()

    def _call_later(self, key: PublicKey, delay: float) -> None:
        self._timeline.at(self._timeline.now + delay, lambda: self._call(key))

    def _call(self, key: PublicKey) -> None:
        peer = self._peers.get(key)
        if peer is None or peer.handshake_at is not None:
            return
        first = peer.next_probe % max(1, len(peer.candidates))
        peer.next_probe = first + MAX_PROBES
        turn = (peer.candidates[first:] + peer.candidates[:first])[:MAX_PROBES]
        for endpoint in (peer.endpoint, *turn):
            if endpoint is not None:
                self._send(INITIATION, key, endpoint)
        self._call_later(key, REKEY_TIMEOUT)

    def _send(
        self, kind: bytes, key: PublicKey, endpoint: Endpoint, source: IPAddress | None = None
    ) -> None:
        assert self._config is not None
        message = kind + self._config.private_key.public_key.raw + key.raw
        self._underlay.send(self._host, self._config.listen_port, endpoint, message, source)

    def _receive(self, sender: Endpoint, receiver: Endpoint, message: bytes) -> None:
        self._busy_until = max(self._timeline.now, self._busy_until) + MESSAGE_COST
        self._timeline.at(self._busy_until, lambda: self._handle(sender, receiver, message))

    def _handle(self, sender: Endpoint, receiver: Endpoint, message: bytes) -> None:
        if self._config is None or message[33:] != self._config.private_key.public_key.raw:
            return
        key = PublicKey(message[1:33])
        peer = self._peers.get(key)
        if peer is None:
            return
        peer.endpoint = sender
        if message[:1] == INITIATION:
            self._send(RESPONSE, key, sender, receiver.address)
            return
        if message[:1] == RESPONSE:
            self._send(CONFIRMATION, key, sender, receiver.address)
        if peer.handshake_at is None:
            peer.handshake_at = self._timeline.now
            self._on_event(PeerEvent(key, Event.HANDSHAKE_COMPLETED))


def model_plane(
    world: World,
    host: SimHost,
    on_packet: Callable[[bytes], None],  # noqa: ARG001  nothing ever comes out of it
    on_event: Callable[[PeerEvent], None],
) -> ModelPlane:
    """Return a data plane of which only the handshakes are there."""
    return ModelPlane(world.timeline, world.underlay, host, on_event)
