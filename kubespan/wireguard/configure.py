"""A whole configuration at once: the interface becomes what it says, and what is the same stays.

Sessions live on in every peer that stays a peer. The configuration protocol changes one thing at a
time instead and is in `api`. Sockets are not the core's: port and mark are for whoever has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from kubespan.model.address import Prefix
from kubespan.model.constants import DEFERENCE, FIRST_BURST, FIRST_INTERVAL
from kubespan.model.instant import Instant
from kubespan.model.ipset import host_prefix
from kubespan.model.keys import PublicKey
from kubespan.model.plan import InterfaceConfig, PeerConfig
from kubespan.model.resources import PeerReading
from kubespan.wireguard.effects import Effect
from kubespan.wireguard.interface import Interface
from kubespan.wireguard.peer import Peer


def configure(
    interface: Interface,
    config: InterfaceConfig,
    now: Instant,
    former: InterfaceConfig | None = None,
) -> list[Effect]:
    """Make keys and peers of the interface those of the configuration. Raises ConfigError.

    Peers that are the very same values in `former`, the configuration before this one, are not
    looked at. The interface keeps copies of the configuration's secrets, which stay the caller's.
    """
    effects: list[Effect] = []
    if interface.private_key != config.private_key:
        effects += interface.set_private_key(config.private_key.copy(), now)
    wanted = {peer.public_key: peer for peer in config.peers}
    for gone in [key for key in interface.peers if key not in wanted]:
        effects += interface.remove_peer(gone, now)
    before = {} if former is None else {peer.public_key: peer for peer in former.peers}
    starters = count()
    for peer in config.peers:
        if before.get(peer.public_key) is not peer:
            effects += _configure_peer(interface, peer, config, now, starters)
    interface.publish()
    return effects


def readings(interface: Interface) -> dict[PublicKey, PeerReading]:
    """Return what the interface knows of how it stands with every peer."""
    return {key: _reading(peer) for key, peer in interface.peers.items()}


def start_delay(own: PublicKey | None, other: PublicKey, number: int) -> float:
    """Return how many seconds the first handshake with a new peer waits; `number` are before it.

    All at once they would be lost in some buffer, here or there. And since both ends often hear of
    each other at the same moment, the one with the greater key lets the other begin.
    """
    deference = DEFERENCE if own is not None and own.raw > other.raw else 0.0
    return deference + max(0, number - FIRST_BURST) * FIRST_INTERVAL


def _configure_peer(
    interface: Interface,
    wanted: PeerConfig,
    config: InterfaceConfig,
    now: Instant,
    starters: Iterator[int],
) -> list[Effect]:
    is_new = wanted.public_key not in interface.peers
    peer = interface.add_peer(wanted.public_key, now)
    if peer is None:  # it is ourselves
        return []
    if peer.preshared_key != config.preshared_key:
        interface.set_preshared_key(peer, config.preshared_key)
    lost = _give_allowed_ips(interface, peer, wanted)
    turned_on = wanted.persistent_keepalive > 0 and not peer.persistent_keepalive
    if peer.persistent_keepalive != wanted.persistent_keepalive:
        interface.set_persistent_keepalive(peer, wanted.persistent_keepalive)
    if is_new:
        _place(interface, peer, wanted)
        number = next(starters)
        delay = start_delay(interface.public_key, peer.public_key, number) if turned_on else 0.0
        return interface.commit_peer(peer, keepalive_turned_on=turned_on, now=now, delay=delay)
    return _move(interface, peer, wanted, lost, now)


def _place(interface: Interface, peer: Peer, wanted: PeerConfig) -> bool:
    """Let the peer be where it is wanted to be; return whether it was elsewhere."""
    peer.candidates = wanted.candidates
    if wanted.endpoint is None or wanted.endpoint == peer.slot.endpoint:
        return False
    interface.set_endpoint(peer, wanted.endpoint)
    return True


def _move(
    interface: Interface, peer: Peer, wanted: PeerConfig, lost: set[Prefix], now: Instant
) -> list[Effect]:
    """Let a peer that is there already be where it is wanted to be; `lost` is no more its own."""
    if _place(interface, peer, wanted):
        # Nobody answered where it was: ask at the new place without delay.
        effects = interface.commit_peer(peer, keepalive_turned_on=False, now=now)
        if interface.is_up:
            effects += peer.send_initiation(now) or peer.repeat_initiation(now)
        return effects
    endpoint = peer.slot.endpoint
    if endpoint is not None and host_prefix(endpoint.address) in lost:
        # It has moved. It may have told us so, but a NAT on our side lets in only answers.
        interface.seek(peer, now)
    return []


def _give_allowed_ips(interface: Interface, peer: Peer, wanted: PeerConfig) -> set[Prefix]:
    """Let the peer have what is wanted; return what it had besides."""
    present, desired = set(interface.allowed_ips.prefixes(peer)), set(wanted.allowed_ips)
    for prefix in present - desired:
        interface.remove_allowed_ip(peer, prefix)
    for prefix in desired - present:
        interface.insert_allowed_ip(peer, prefix)
    return present - desired


def _reading(peer: Peer) -> PeerReading:
    slot = peer.slot
    return PeerReading(
        slot.endpoint, peer.last_handshake_at, slot.rx_bytes, slot.tx_bytes, peer.unanswered_since
    )
