"""Datagrams that come in: whose they are, whether they are true, and who is to act on them.

From the network's bytes to the peer that they are from; what they change is up to that peer.
Nothing that comes from there raises, and what is refused changes nothing. Paper §5.4.6, §5.4.7 and
§6; kernel receive.c.
"""

from __future__ import annotations

from collections.abc import Mapping

from kubespan.model.address import Arrival
from kubespan.model.drop import DropReason
from kubespan.model.errors import ProtocolError
from kubespan.model.instant import Instant
from kubespan.model.keys import PublicKey
from kubespan.noise.handshake import open_initiation
from kubespan.noise.messages import (
    CookieReply,
    Initiation,
    MessageType,
    Response,
    message_type,
)
from kubespan.wireguard.admission import Admission
from kubespan.wireguard.allowedips import AllowedIPs
from kubespan.wireguard.effects import DeliverPacket, Dropped, Effect, SendDatagram
from kubespan.wireguard.inner import inner_packet, mark_congestion
from kubespan.wireguard.peer import Peer
from kubespan.wireguard.schedule import Schedule
from kubespan.wireguard.sessions import can_receive
from kubespan.wireguard.surroundings import Surroundings


class Reception:
    """The receiving side of one interface; peers and allowed IPs are the interface's own."""

    def __init__(
        self,
        peers: Mapping[PublicKey, Peer],
        allowed_ips: AllowedIPs[Peer],
        surroundings: Surroundings[Peer],
        schedule: Schedule[Peer],
    ) -> None:
        self._peers = peers
        self._allowed_ips = allowed_ips
        self._surroundings = surroundings
        self._schedule = schedule
        self._admission: Admission | None = None

    def set_identity(self, public_key: PublicKey | None) -> None:
        """Be called by this key from now on, or by none."""
        publish = self._surroundings.path.publish_gate
        self._admission = Admission(public_key, publish) if public_key is not None else None
        if public_key is None:
            publish(None)

    def receive(
        self, datagram: bytes, arrival: Arrival, now: Instant, *, queued: int, congestion: bool
    ) -> list[Effect]:
        """Handle one datagram of any kind; see `Interface.receive_datagram`."""
        try:
            match message_type(datagram):
                case MessageType.TRANSPORT:
                    return self._receive_transport(datagram, arrival, now, congestion=congestion)
                case MessageType.COOKIE_REPLY:
                    return self._receive_cookie_reply(datagram, now)
                case kind:
                    return self._receive_handshake(kind, datagram, arrival, now, queued)
        except ProtocolError as error:
            return [Dropped(error.reason)]

    def _receive_handshake(
        self, kind: MessageType, datagram: bytes, arrival: Arrival, now: Instant, queued: int
    ) -> list[Effect]:
        admission = self._admission
        if admission is None:
            raise ProtocolError(DropReason.NO_KEY)
        endpoint = arrival.endpoint
        refusal = admission.refusal(datagram, endpoint, now.boot, queued=queued)
        if refusal is DropReason.UNDER_LOAD:
            reply = admission.cookie_reply(datagram, endpoint, now.boot, self._surroundings.random)
            return [SendDatagram(reply, endpoint, arrival.source, 0, None), Dropped(refusal)]
        if refusal is not None:
            raise ProtocolError(refusal)
        if kind is MessageType.INITIATION:
            return self._receive_initiation(datagram, arrival, now)
        return self._receive_response(datagram, arrival, now)

    def _receive_initiation(self, datagram: bytes, arrival: Arrival, now: Instant) -> list[Effect]:
        local = self._surroundings.local
        assert local is not None
        message = Initiation.parse(datagram)
        opened = open_initiation(local, message)
        peer = self._peers.get(opened.remote_static)
        if peer is None:
            raise ProtocolError(DropReason.UNKNOWN_PEER)
        if not peer.timers.is_running:
            raise ProtocolError(DropReason.INTERFACE_DOWN)
        try:
            effects = peer.receive_initiation(opened, message, arrival, now)
        except ProtocolError as error:
            if error.reason is DropReason.OLD_TIMESTAMP:
                return [Dropped(error.reason), *peer.suspect_clock()]
            raise
        self._schedule.touch(peer)
        return effects

    def _receive_response(self, datagram: bytes, arrival: Arrival, now: Instant) -> list[Effect]:
        message = Response.parse(datagram)
        peer = self._surroundings.indices.handshake(message.receiver_index)
        if peer is None:
            raise ProtocolError(DropReason.UNKNOWN_INDEX)
        effects = peer.receive_response(message, arrival, now)
        self._schedule.touch(peer)
        return effects

    def _receive_cookie_reply(self, datagram: bytes, now: Instant) -> list[Effect]:
        message = CookieReply.parse(datagram)
        peer = self._surroundings.indices.peer(message.receiver_index)
        if peer is None:
            raise ProtocolError(DropReason.UNKNOWN_INDEX)
        return peer.receive_cookie_reply(message, now)

    def _receive_transport(
        self, datagram: bytes, arrival: Arrival, now: Instant, *, congestion: bool
    ) -> list[Effect]:
        receiver_index = int.from_bytes(datagram[4:8], "little")
        found = self._surroundings.indices.keypair(receiver_index)
        if found is None:
            raise ProtocolError(DropReason.UNKNOWN_INDEX)
        peer, keypair = found
        if not can_receive(keypair, now.boot):
            raise ProtocolError(DropReason.KEY_EXPIRED)
        opened = keypair.open(datagram)
        if isinstance(opened, int):
            raise ProtocolError(DropReason(opened))
        self._schedule.touch(peer)
        effects = peer.receive_opened(keypair, opened, arrival, now)
        return effects + self._deliver(peer, opened, congestion=congestion)

    def _deliver(self, peer: Peer, plaintext: bytes, *, congestion: bool) -> list[Effect]:
        """Hand on what came from a peer, if it is a packet that may come from there."""
        if not plaintext:
            return []
        try:
            inner = inner_packet(plaintext)
        except ProtocolError as error:
            return [Dropped(error.reason)]
        # All peers are looked at: a longer prefix may belong to another one.
        if self._allowed_ips.lookup(inner.version, inner.source) is not peer:
            return [Dropped(DropReason.WRONG_SOURCE)]
        return [DeliverPacket(mark_congestion(inner.packet) if congestion else inner.packet)]
