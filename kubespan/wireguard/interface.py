"""All peers of one WireGuard interface: the door to the core.

Sans-IO: packets, datagrams, commands, moments and randomness come in; effects go out, to be
carried out in order. Nothing that arrives from the network raises. Before the interface is up,
and before it has a private key, nothing is sent at all. Paper §4 to §6; kernel device.c.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from kubespan.model.address import Arrival, Endpoint, Prefix
from kubespan.model.constants import MAX_PEERS
from kubespan.model.drop import DropReason
from kubespan.model.errors import ConfigError, ProtocolError
from kubespan.model.instant import Instant
from kubespan.model.keys import PresharedKey, PrivateKey, PublicKey
from kubespan.noise.handshake import LocalStatic
from kubespan.wireguard.allowedips import AllowedIPs
from kubespan.wireguard.datapath import DataPath, PeerSlot
from kubespan.wireguard.effects import DeliverPacket, Dropped, Effect
from kubespan.wireguard.icmp import source_address, unreachable
from kubespan.wireguard.inner import destination
from kubespan.wireguard.peer import Peer
from kubespan.wireguard.ratelimiter import RateLimiter
from kubespan.wireguard.reception import Reception
from kubespan.wireguard.schedule import Schedule
from kubespan.wireguard.surroundings import KeyLog, Result, Role, Surroundings


class Interface:
    """One WireGuard interface. Every method that takes a moment returns what is to be done then."""

    def __init__(
        self, path: DataPath, random: Callable[[int], bytes], key_log: KeyLog | None = None
    ) -> None:
        self.is_up = False
        self.peers: dict[PublicKey, Peer] = {}
        self.allowed_ips: AllowedIPs[Peer] = AllowedIPs()
        self._surroundings: Surroundings[Peer] = Surroundings(path, random, key_log=key_log)
        self._error_limiter = RateLimiter()
        self._schedule: Schedule[Peer] = Schedule()
        self._reception = Reception(
            self.peers, self.allowed_ips, self._surroundings, self._schedule
        )
        self._are_routes_stale = False
        self._retiring: list[PeerSlot] = []

    # Looking.

    @property
    def private_key(self) -> PrivateKey | None:
        """Who we are, None as long as nobody said."""
        local = self._surroundings.local
        return local.private_key if local is not None else None

    @property
    def public_key(self) -> PublicKey | None:
        """What others call us by."""
        local = self._surroundings.local
        return local.public_key if local is not None else None

    @property
    def handshakes(self) -> Counter[tuple[Role, Result]]:
        """How often each thing came of our handshakes."""
        return self._surroundings.handshakes

    # Commands about the interface.

    def set_up(self, now: Instant) -> list[Effect]:
        """Start all peers, send what waits, and wake those that are to be kept awake."""
        if self.is_up:
            return []
        self.is_up = True
        effects: list[Effect] = []
        for peer in self.peers.values():
            peer.start(now)
            effects += self._wake(peer, now)
        return effects

    def set_down(self, now: Instant) -> list[Effect]:  # noqa: ARG002  every command is told when it is
        """Forget all sessions and everything that was pending; peers stay configured."""
        self.is_up = False
        effects: list[Effect] = []
        for peer in self.peers.values():
            effects += peer.stop()
            self._schedule.touch(peer)
        return effects

    def set_private_key(self, private_key: PrivateKey | None, now: Instant) -> list[Effect]:
        """Become someone else; a peer that is ourselves is removed. The key is the interface's own.

        Sessions go on receiving, but nothing is sent before a new handshake. The first key of an
        interface that is up wakes its peers.
        """
        former = self.private_key
        if private_key == former:
            return []
        effects: list[Effect] = []
        if private_key is not None:
            effects += self.remove_peer(private_key.public_key, now)
        self._become(private_key)
        if former is not None:
            former.wipe()
        elif self.is_up:
            for peer in self.peers.values():
                effects += self._wake(peer, now)
        return effects

    def _become(self, private_key: PrivateKey | None) -> None:
        self._surroundings.local = LocalStatic(private_key) if private_key is not None else None
        self._reception.set_identity(self.public_key)
        for peer in self.peers.values():
            peer.change_identity()

    def publish(self) -> None:
        """Bring routes and slots of the data path up to date: the end of a configuration change.

        Until then, routes to a removed peer lead to a slot without sessions, never to another peer.
        """
        if self._are_routes_stale:
            self._are_routes_stale = False
            self._surroundings.path.publish_routes(
                (prefix, peer.slot) for prefix, peer in self.allowed_ips.entries()
            )
        for slot in self._retiring:
            slot.retire()
        self._retiring.clear()

    def hail(self, now: Instant) -> list[Effect]:
        """Send every peer a keepalive: we may be at another address, which they learn from it."""
        if not self.is_up:
            return []
        effects: list[Effect] = []
        for peer in self.peers.values():
            self._schedule.touch(peer)
            effects += peer.send_keepalive(now)
        return effects

    def close(self, now: Instant) -> list[Effect]:
        """Forget everything; the interface is not used again."""
        effects = self.set_down(now)
        for public_key in tuple(self.peers):
            effects += self.remove_peer(public_key, now)
        self.publish()
        effects += self.set_private_key(None, now)
        return effects

    # Commands about a peer.

    def add_peer(self, public_key: PublicKey, now: Instant) -> Peer | None:  # noqa: ARG002
        """Return the peer of this key, made if need be; None if the key is our own.

        A new peer does nothing before `commit_peer`. Raises ConfigError when there are too many.
        """
        if public_key == self.public_key:
            return None
        if public_key not in self.peers:
            if len(self.peers) >= MAX_PEERS:
                raise ConfigError(f"an interface has room for {MAX_PEERS} peers; remove one first")
            self.peers[public_key] = Peer(public_key, self._surroundings)
        return self.peers[public_key]

    def remove_peer(self, public_key: PublicKey, now: Instant) -> list[Effect]:  # noqa: ARG002
        """Forget a peer and everything about it; nothing happens if there is none."""
        peer = self.peers.pop(public_key, None)
        if peer is None:
            return []
        effects = peer.retire()
        self.allowed_ips.remove_peer(peer)
        self._are_routes_stale = True
        self._schedule.forget(peer)
        self._retiring.append(peer.slot)
        return effects

    def set_preshared_key(self, peer: Peer, preshared_key: PresharedKey) -> None:
        """Use this preshared key from the next handshake on."""
        peer.preshared_key = preshared_key

    def set_endpoint(self, peer: Peer, endpoint: Endpoint) -> None:
        """Make this where the peer is; sessions are kept."""
        peer.set_endpoint(endpoint)

    def set_persistent_keepalive(self, peer: Peer, interval: int) -> None:
        """Send a keepalive after so many seconds without traffic, never for 0."""
        peer.persistent_keepalive = interval
        self._schedule.touch(peer)

    def insert_allowed_ip(self, peer: Peer, prefix: Prefix) -> None:
        """Give a prefix to a peer, taking it from whoever has it."""
        self.allowed_ips.insert(prefix, peer)
        self._are_routes_stale = True

    def remove_allowed_ip(self, peer: Peer, prefix: Prefix) -> None:
        """Take a prefix from a peer, if it is its own."""
        self.allowed_ips.remove(prefix, peer)
        self._are_routes_stale = True

    def clear_allowed_ips(self, peer: Peer) -> None:
        """Take all prefixes from a peer."""
        self.allowed_ips.remove_peer(peer)
        self._are_routes_stale = True

    def seek(self, peer: Peer, now: Instant) -> None:
        """Begin a handshake with a peer soon, wherever it may be."""
        self._schedule.touch(peer)
        peer.seek(now)

    def commit_peer(
        self, peer: Peer, *, keepalive_turned_on: bool, now: Instant, delay: float = 0.0
    ) -> list[Effect]:
        """Let what was configured about a peer take effect, if the interface is up.

        With a delay in seconds, a new one is not called before that, unless there is data for it.
        """
        if not self.is_up:
            return []
        self._schedule.touch(peer)
        peer.start(now)
        if delay > 0:
            peer.begin_later(delay, now)
            return []
        return peer.send_keepalive(now) if keepalive_turned_on else peer.flush_staged(now)

    # Packets that go in.

    def send_packet(self, packet: bytes, now: Instant) -> list[Effect]:
        """Send a packet from the TUN device to the peer that its destination belongs to."""
        if not self.is_up:
            return [Dropped(DropReason.INTERFACE_DOWN)]
        try:
            peer = self.allowed_ips.lookup(*destination(packet))
        except ProtocolError as error:
            return [Dropped(error.reason)]
        if peer is None:
            return [Dropped(DropReason.NO_PEER), *self.unreachable(packet, now)]
        if peer.slot.endpoint is None:
            return [Dropped(DropReason.NO_ENDPOINT), *self.unreachable(packet, now)]
        self._schedule.touch(peer)
        return peer.send_packet(packet, now)

    def unreachable(self, packet: bytes, now: Instant) -> list[Effect]:
        """Tell the sender of a packet that its destination cannot be reached, not too often."""
        error = unreachable(packet)
        if error is None or not self._error_limiter.allow(source_address(packet), now.boot):
            return []
        return [DeliverPacket(error)]

    # Datagrams that come in.

    def receive_datagram(
        self,
        datagram: bytes,
        arrival: Arrival,
        now: Instant,
        *,
        queued: int = 0,
        congestion: bool = False,
    ) -> list[Effect]:
        """Handle one datagram of any kind; `queued` handshake messages wait behind it.

        `congestion` says that the network marked it as having met congestion.
        """
        if not self.is_up:
            return [Dropped(DropReason.INTERFACE_DOWN)]
        return self._reception.receive(datagram, arrival, now, queued=queued, congestion=congestion)

    # What lanes noticed, and time.

    def handle_confirmed(self, local_index: int, now: Instant) -> list[Effect]:
        """Act on a lane having opened the first message under a session that we answered for."""
        found = self._surroundings.indices.keypair(local_index)
        if found is None:
            return []
        peer, keypair = found
        self._schedule.touch(peer)
        return peer.confirm(keypair, now)

    def handle_rekey_due(self, local_index: int, now: Instant) -> list[Effect]:
        """Act on a lane having found a session old enough, or used enough, to be replaced."""
        found = self._surroundings.indices.keypair(local_index)
        if found is None:
            return []
        peer, keypair = found
        self._schedule.touch(peer)
        return peer.refresh(keypair, now)

    def handle_timeout(self, now: Instant) -> list[Effect]:
        """Do what is due; only peers whose time may have come are looked at."""
        effects: list[Effect] = []
        for peer in self._schedule.pop_due(now.boot):
            effects += peer.handle_timeout(now)
        return effects

    def next_timeout(self, now: Instant) -> float | None:
        """Return the boot second at which to call `handle_timeout`; None if nothing is pending."""
        return self._schedule.next(lambda peer: peer.timers.next_check(now.boot))

    def _wake(self, peer: Peer, now: Instant) -> list[Effect]:
        self._schedule.touch(peer)
        return peer.wake(now)
