"""What goes out to one peer: packets that wait for a session, and datagrams ready to leave.

Seals under the session that it is given and notes in the slot what was sent; which session that
is, and what to do when there is none, is for the peer. Paper §6.5 (staging); kernel send.c.
"""

from __future__ import annotations

from kubespan.model.address import Endpoint
from kubespan.model.constants import HANDSHAKE_TRAFFIC_CLASS, MAX_STAGED_PACKETS
from kubespan.model.drop import DropReason
from kubespan.model.instant import Instant
from kubespan.model.keys import PublicKey
from kubespan.wireguard.datapath import DataPath, Keypair, PeerSlot
from kubespan.wireguard.effects import Dropped, Effect, Event, PeerEvent, SendDatagram
from kubespan.wireguard.inner import congestion_bits
from kubespan.wireguard.padding import padded_length
from kubespan.wireguard.sessions import can_send

_KEEPALIVE = b""


class Outbox:
    """The staged packets of one peer, oldest first; an empty one is a keepalive."""

    __slots__ = ("_path", "_public_key", "_slot", "_staged")

    def __init__(self, public_key: PublicKey, slot: PeerSlot, path: DataPath) -> None:
        self._public_key = public_key
        self._slot = slot
        self._path = path
        # A tuple, because there is only one empty one for all idle peers.
        self._staged: tuple[bytes, ...] = ()

    def __len__(self) -> int:
        return len(self._staged)

    def stage(self, packet: bytes) -> list[Effect]:
        """Add a packet; the oldest one makes room for it when there is none."""
        has_room = len(self._staged) < MAX_STAGED_PACKETS
        self._staged = (*self._staged, packet)[-MAX_STAGED_PACKETS:]
        return [] if has_room else [Dropped(DropReason.STAGED_OVERFLOW)]

    def stage_keepalive(self) -> None:
        """Add a keepalive, unless whatever already waits will do as well."""
        if not self._staged:
            self._staged = (_KEEPALIVE,)

    def drop_staged(self, reason: DropReason) -> list[Effect]:
        """Drop what waits."""
        dropped: list[Effect] = [Dropped(reason) for packet in self._staged if packet]
        self._staged = ()
        return dropped

    def send_staged(self, keypair: Keypair, now: Instant) -> list[Effect]:
        """Seal and send what waits, in order, as far as the session reaches."""
        effects: list[Effect] = []
        sent = 0
        for packet in self._staged:
            if not can_send(keypair, now.boot):
                break
            effects += self._send_transport(keypair, packet, now)
            sent += 1
        self._staged = self._staged[sent:]
        return effects

    def send(
        self, datagram: bytes, traffic_class: int, now: Instant, *, data: bool = False
    ) -> list[Effect]:
        """Send an authenticated datagram; to a peer of unknown place, only the attempt is noted."""
        endpoint = self._slot.endpoint
        if endpoint is None:
            self._slot.note_sent(now.boot, 0, data=data)
            return [Dropped(DropReason.NO_ENDPOINT)]
        self._slot.note_sent(now.boot, len(datagram), data=data)
        return [SendDatagram(datagram, endpoint, self._slot.source, traffic_class, self._slot)]

    def send_elsewhere(self, datagram: bytes, endpoint: Endpoint, now: Instant) -> list[Effect]:
        """Send a handshake message to where the peer may be, which is not known to be its place."""
        self._slot.note_sent(now.boot, len(datagram), data=False)
        return [SendDatagram(datagram, endpoint, None, HANDSHAKE_TRAFFIC_CLASS, None)]

    def _send_transport(self, keypair: Keypair, packet: bytes, now: Instant) -> list[Effect]:
        length = padded_length(len(packet), self._path.mtu)
        datagram = keypair.seal(packet.ljust(length, b"\0"))
        effects = self.send(datagram, congestion_bits(packet), now, data=bool(packet))
        if not packet:
            effects.append(PeerEvent(self._public_key, Event.KEEPALIVE_SENT))
        return effects
