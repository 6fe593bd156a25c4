"""The interface as its owner uses it: configuration, publishing, closing, and being cheap."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pytest

from kubespan.model.address import Arrival, Endpoint, Prefix
from kubespan.model.drop import DropReason
from kubespan.model.errors import ConfigError, InternalError
from kubespan.model.instant import Instant
from kubespan.model.keys import PresharedKey, PrivateKey, PublicKey
from kubespan.wireguard import interface as interface_module
from kubespan.wireguard.datapath import Keypair, PeerSlot
from kubespan.wireguard.effects import DeliverPacket, Dropped, Effect, SendDatagram
from kubespan.wireguard.interface import Interface
from kubespan.wireguard.peer import Peer
from kubespan.wireguard.purepath import PurePath
from kubespan.wireguard.slot import PureSlot
from tests.wireguard.packets import ipv4

NOW = Instant(1000.0, 10**18)
THERE = Endpoint.parse("192.0.2.2:2")
ARRIVAL = Arrival(THERE, None)


class RecordingSlot(PureSlot):
    """A slot that tells when it is retired."""

    __slots__ = ("log",)

    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.log = log

    def retire(self) -> None:
        super().retire()
        self.log.append("retired")


class RecordingPath(PurePath):
    """A data path that tells what is published."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[str] = []
        self.routes: list[tuple[str, PeerSlot]] = []

    def create_slot(self) -> RecordingSlot:
        return RecordingSlot(self.log)

    def publish_routes(self, routes: Iterable[tuple[Prefix, PeerSlot]]) -> None:
        self.routes = [(str(prefix), slot) for prefix, slot in routes]
        self.log.append("published")


def public_key(number: int) -> PublicKey:
    return PublicKey(number.to_bytes(32, "big"))


def private_key(number: int = 1) -> PrivateKey:
    return PrivateKey(number.to_bytes(16, "big") * 2)


def ready(path: PurePath | None = None) -> Interface:
    """Make an interface that is up and has a key."""
    interface = Interface(path if path is not None else PurePath(), Random(0).randbytes)
    interface.set_private_key(private_key(), NOW)
    interface.set_up(NOW)
    return interface


def add(interface: Interface, number: int, *prefixes: str, keepalive: bool = False) -> Peer:
    """Add a peer in the way of a configuration request."""
    peer = interface.add_peer(private_key(number).public_key, NOW)
    assert peer is not None
    interface.set_endpoint(peer, THERE)
    for prefix in prefixes:
        interface.insert_allowed_ip(peer, Prefix.parse(prefix))
    interface.commit_peer(peer, keepalive_turned_on=keepalive, now=NOW)
    return peer


def test_a_new_interface_is_nobody_and_down() -> None:
    interface = Interface(PurePath(), Random(0).randbytes)
    assert (interface.private_key, interface.public_key, interface.is_up) == (None, None, False)
    assert interface.peers == {}
    assert interface.next_timeout(NOW) is None


def test_while_down_everything_is_dropped() -> None:
    interface = Interface(PurePath(), Random(0).randbytes)
    dropped: list[Effect] = [Dropped(DropReason.INTERFACE_DOWN)]
    assert interface.send_packet(ipv4("10.0.0.1", "10.0.0.2"), NOW) == dropped
    assert interface.receive_datagram(bytes(148), ARRIVAL, NOW) == dropped


def test_routes_are_published_once_for_a_whole_request() -> None:
    path = RecordingPath()
    interface = ready(path)
    one, other = add(interface, 2, "10.0.0.0/8", "10.1.0.0/16"), add(interface, 3, "fd00::/8")
    assert path.log == []
    interface.publish()
    interface.publish()
    assert path.log == ["published"]
    assert path.routes == [
        ("10.0.0.0/8", one.slot),
        ("10.1.0.0/16", one.slot),
        ("fd00::/8", other.slot),
    ]


def test_every_change_of_allowed_ips_is_published() -> None:
    path = RecordingPath()
    interface = ready(path)
    peer = add(interface, 2, "10.0.0.0/8", "10.1.0.0/16")
    interface.publish()
    interface.remove_allowed_ip(peer, Prefix.parse("10.0.0.0/8"))
    interface.publish()
    assert [prefix for prefix, _ in path.routes] == ["10.1.0.0/16"]
    interface.clear_allowed_ips(peer)
    interface.publish()
    assert path.routes == []


def test_a_removed_peer_is_retired_only_after_its_routes_are_gone() -> None:
    path = RecordingPath()
    interface = ready(path)
    peer = add(interface, 2, "10.0.0.0/8")
    interface.publish()
    path.log.clear()
    interface.remove_peer(peer.public_key, NOW)
    assert path.log == []
    interface.publish()
    assert path.log == ["published", "retired"]
    assert path.routes == []
    interface.publish()
    assert path.log == ["published", "retired"]


def test_removing_nobody_does_nothing() -> None:
    assert ready().remove_peer(public_key(9), NOW) == []


def test_adding_a_peer_again_returns_it() -> None:
    interface = ready()
    peer = add(interface, 2)
    assert interface.add_peer(peer.public_key, NOW) is peer
    assert len(interface.peers) == 1


def test_there_is_room_for_so_many_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interface_module, "MAX_PEERS", 2)
    interface = ready()
    keys = [public_key(number) for number in range(10, 13)]
    for key in keys[:2]:
        interface.add_peer(key, NOW)
    with pytest.raises(ConfigError, match="remove one first"):
        interface.add_peer(keys[2], NOW)
    assert interface.add_peer(keys[0], NOW) is not None


def test_closing_forgets_every_key() -> None:
    path = RecordingPath()
    interface = Interface(path, Random(0).randbytes)
    own = private_key()
    interface.set_private_key(own, NOW)
    interface.set_up(NOW)
    peer = add(interface, 2, "10.0.0.0/8", keepalive=True)
    interface.set_preshared_key(peer, PresharedKey(bytes([7] * 32)))
    interface.close(NOW)
    assert (interface.peers, interface.private_key, interface.is_up) == ({}, None, False)
    assert peer.preshared_key.is_zero
    assert path.log[-1] == "retired"
    assert path.routes == []
    assert interface.next_timeout(NOW) is None
    with pytest.raises(InternalError):
        assert own.raw


def test_a_replaced_private_key_is_wiped() -> None:
    interface = ready()
    former = interface.private_key
    assert former is not None
    interface.set_private_key(private_key(5), NOW)
    with pytest.raises(InternalError):
        assert former.raw
    assert interface.public_key == private_key(5).public_key


def test_only_awake_peers_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    interface = ready()
    peers = [add(interface, number) for number in range(100, 200)]
    assert interface.next_timeout(NOW) is None
    looked_at: list[Peer] = []
    handle_timeout = Peer.handle_timeout

    def spy(peer: Peer, now: Instant) -> list[Effect]:
        looked_at.append(peer)
        return handle_timeout(peer, now)

    monkeypatch.setattr(Peer, "handle_timeout", spy)
    interface.commit_peer(peers[7], keepalive_turned_on=True, now=NOW)
    timeout = interface.next_timeout(NOW)
    assert timeout is not None
    assert interface.handle_timeout(Instant(timeout - 0.1, 0)) == []
    assert looked_at == []
    effects = interface.handle_timeout(Instant(timeout, 2 * 10**18))
    assert looked_at == [peers[7]]
    assert any(isinstance(effect, SendDatagram) for effect in effects)


def test_an_interface_that_is_down_has_nothing_pending() -> None:
    interface = ready()
    add(interface, 2, keepalive=True)
    assert interface.next_timeout(NOW) is not None
    interface.set_down(NOW)
    assert interface.next_timeout(NOW) is None


def test_a_removed_peer_has_nothing_pending() -> None:
    interface = ready()
    peer = add(interface, 2, keepalive=True)
    interface.next_timeout(NOW)
    interface.remove_peer(peer.public_key, NOW)
    assert interface.next_timeout(NOW) is None


def test_committing_while_down_does_nothing() -> None:
    interface = Interface(PurePath(), Random(0).randbytes)
    interface.set_private_key(private_key(), NOW)
    peer = add(interface, 2, keepalive=True)
    assert interface.commit_peer(peer, keepalive_turned_on=True, now=NOW) == []
    assert not peer.timers.is_running


def test_unreachable_answers_what_can_be_answered() -> None:
    interface = ready()
    (effect,) = interface.unreachable(ipv4("10.0.0.1", "10.0.0.2"), NOW)
    assert isinstance(effect, DeliverPacket)
    assert interface.unreachable(b"", NOW) == []


def test_lanes_speaking_of_sessions_long_gone_are_not_heard() -> None:
    interface = ready()
    assert interface.handle_confirmed(1, NOW) == []
    assert interface.handle_rekey_due(1, NOW) == []


def test_130_560_prefixes_load_and_are_found() -> None:
    interface = ready()
    peer = add(interface, 2)
    for value in range(130_560):
        interface.insert_allowed_ip(peer, Prefix(4, value << 8, 24))
    assert len(interface.allowed_ips.prefixes(peer)) == 130_560
    assert interface.allowed_ips.lookup(4, 130_559 << 8 | 7) is peer
    interface.remove_peer(peer.public_key, NOW)
    assert interface.allowed_ips.lookup(4, 0) is None


def test_a_session_is_installed_after_what_waited_was_sealed() -> None:
    installed_at: list[int] = []

    class WatchingSlot(PureSlot):
        def install(
            self, previous: Keypair | None, current: Keypair | None, next: Keypair | None
        ) -> None:
            super().install(previous, current, next)
            if current is not None:
                installed_at.append(current.send_counter)

    class WatchingPath(PurePath):
        def create_slot(self) -> WatchingSlot:
            return WatchingSlot()

    ours, theirs = ready(WatchingPath()), ready()
    theirs.set_private_key(private_key(2), NOW)
    add(ours, 2, "10.0.0.2/32")
    add(theirs, 1, "10.0.0.1/32")
    effects = [ours.send_packet(ipv4("10.0.0.1", "10.0.0.2"), NOW) for _ in range(5)]
    (response,) = [
        effect
        for effect in theirs.receive_datagram(sent(effects[0]), ARRIVAL, NOW)
        if isinstance(effect, SendDatagram)
    ]
    ours.receive_datagram(response.datagram, ARRIVAL, NOW)
    assert installed_at == [5]


def sent(effects: list[Effect]) -> bytes:
    (datagram,) = [effect.datagram for effect in effects if isinstance(effect, SendDatagram)]
    return datagram
