"""A whole configuration at once: the interface becomes what it says, and what is the same stays.

Sessions live on in every peer that stays a peer. The configuration protocol changes one thing at a
time instead and is in `api`. Sockets are not the core's: port and mark are for whoever has them.
"""

from __future__ import annotations

from kubespan.model.instant import Instant
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
    for peer in config.peers:
        if before.get(peer.public_key) is not peer:
            effects += _configure_peer(interface, peer, config, now)
    interface.publish()
    return effects


def readings(interface: Interface) -> dict[PublicKey, PeerReading]:
    """Return what the interface knows of how it stands with every peer."""
    return {key: _reading(peer) for key, peer in interface.peers.items()}


def _configure_peer(
    interface: Interface, wanted: PeerConfig, config: InterfaceConfig, now: Instant
) -> list[Effect]:
    is_new = wanted.public_key not in interface.peers
    peer = interface.add_peer(wanted.public_key, now)
    if peer is None:  # it is ourselves
        return []
    if peer.preshared_key != config.preshared_key:
        interface.set_preshared_key(peer, config.preshared_key)
    _give_allowed_ips(interface, peer, wanted)
    peer.candidates = wanted.candidates
    moved = wanted.endpoint is not None and wanted.endpoint != peer.slot.endpoint
    if wanted.endpoint is not None and moved:
        interface.set_endpoint(peer, wanted.endpoint)
    turned_on = wanted.persistent_keepalive > 0 and not peer.persistent_keepalive
    if peer.persistent_keepalive != wanted.persistent_keepalive:
        interface.set_persistent_keepalive(peer, wanted.persistent_keepalive)
    if not (is_new or moved):
        return []
    effects = interface.commit_peer(peer, keepalive_turned_on=turned_on, now=now)
    if moved and not is_new and interface.is_up:
        # It was moved because nobody answered where it was: ask at the new place without delay.
        effects += peer.send_initiation(now)
    return effects


def _give_allowed_ips(interface: Interface, peer: Peer, wanted: PeerConfig) -> None:
    present, desired = set(interface.allowed_ips.prefixes(peer)), set(wanted.allowed_ips)
    for prefix in present - desired:
        interface.remove_allowed_ip(peer, prefix)
    for prefix in desired - present:
        interface.insert_allowed_ip(peer, prefix)


def _reading(peer: Peer) -> PeerReading:
    slot = peer.slot
    return PeerReading(
        slot.endpoint, peer.last_handshake_at, slot.rx_bytes, slot.tx_bytes, peer.unanswered_since
    )
