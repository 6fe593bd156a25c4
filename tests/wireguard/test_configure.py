"""A configuration applied whole: what changes, what stays, and that sessions live on."""

from __future__ import annotations

from dataclasses import replace

from kubespan.model.address import Endpoint, Prefix
from kubespan.model.constants import DEFERENCE, FIRST_BURST, FIRST_INTERVAL
from kubespan.model.keys import PresharedKey, PrivateKey, PublicKey
from kubespan.model.plan import InterfaceConfig, PeerConfig
from kubespan.testing.simnet import Node, SimNet
from kubespan.wireguard.configure import configure, readings, start_delay
from kubespan.wireguard.effects import Event
from tests.simulated.pair import ALICE, BOB, private_key
from tests.wireguard.packets import ipv4

PSK = PresharedKey(bytes([5]) * 32)
THERE, ELSEWHERE = Endpoint.parse("192.0.2.2:51820"), Endpoint.parse("192.0.2.9:51820")


def peer(number: int, *networks: str, endpoint: Endpoint | None = None) -> PeerConfig:
    key = private_key(number).public_key
    return PeerConfig(key, endpoint, tuple(map(Prefix.parse, networks)))


def config(number: int, *peers: PeerConfig) -> InterfaceConfig:
    return InterfaceConfig(private_key(number), PSK, peers)


class Two:
    """Two interfaces that are up, with nothing configured yet."""

    def __init__(self) -> None:
        self.net = SimNet()
        self.alice = self.net.add_node("192.0.2.1:51820")
        self.bob = self.net.add_node(str(THERE))
        for node in (self.alice, self.bob):
            self.net.perform(node, node.interface.set_up(self.net.now))

    def configure(self, node: Node, wanted: InterfaceConfig) -> None:
        self.net.perform(node, configure(node.interface, wanted, self.net.now))

    def connect(self) -> None:
        self.configure(self.bob, config(2, peer(1, f"{ALICE}/32")))
        self.configure(self.alice, config(1, peer(2, f"{BOB}/32", endpoint=THERE)))
        self.net.run(1.0)


def test_two_configurations_make_a_tunnel() -> None:
    two = Two()
    two.connect()
    (reading,) = readings(two.alice.interface).values()
    assert reading.endpoint == THERE
    assert reading.last_handshake_at is not None
    assert reading.receive_bytes > 0 < reading.transmit_bytes
    two.net.send(two.alice, ipv4(ALICE, BOB))
    two.net.run(1.0)
    assert len(two.bob.delivered) == 1


def test_the_same_again_changes_nothing() -> None:
    two = Two()
    two.connect()
    seen = len(two.net.tap)
    two.connect()
    assert len(two.net.tap) == seen


def test_a_peer_that_is_the_same_as_before_is_not_looked_at() -> None:
    two = Two()
    two.connect()
    same = config(1, peer(2, f"{BOB}/32", endpoint=THERE))
    interface = two.alice.interface
    (present,) = interface.peers.values()
    interface.clear_allowed_ips(present)
    configure(interface, same, two.net.now, same)
    assert interface.allowed_ips.prefixes(present) == ()
    configure(interface, same, two.net.now)
    assert len(interface.allowed_ips.prefixes(present)) == 1


def test_sessions_live_on_while_the_rest_changes() -> None:
    two = Two()
    two.connect()
    before = readings(two.alice.interface)
    moved = peer(2, f"{BOB}/32", "10.9.0.0/16", endpoint=THERE)
    two.configure(two.alice, config(1, moved, peer(3, "10.8.0.0/16")))
    interface = two.alice.interface
    assert len(interface.peers) == 2
    assert readings(interface)[moved.public_key] == before[moved.public_key]
    two.configure(two.alice, config(1, replace(moved, allowed_ips=(), persistent_keepalive=0)))
    (left,) = interface.peers.values()
    assert (interface.allowed_ips.prefixes(left), left.persistent_keepalive) == ((), 0)
    assert two.alice.count(Event.HANDSHAKE_COMPLETED) == 1


def test_a_peer_that_is_moved_is_asked_there_at_once() -> None:
    two = Two()
    two.connect()
    two.net.run(10.0)
    two.configure(two.alice, config(1, peer(2, f"{BOB}/32", endpoint=ELSEWHERE)))
    assert two.net.tap[-1].receiver == ELSEWHERE
    assert len(two.net.tap[-1].datagram) == 148


def test_an_interface_that_is_down_is_configured_for_later() -> None:
    net = SimNet()
    node = net.add_node("192.0.2.1:51820")
    assert configure(node.interface, config(1, peer(2, endpoint=THERE)), net.now) == []
    assert configure(node.interface, config(1, peer(2, endpoint=ELSEWHERE)), net.now) == []
    net.perform(node, node.interface.set_up(net.now))
    assert [sent.receiver for sent in net.tap] == [ELSEWHERE]


def test_becoming_someone_else_keeps_the_plans_key() -> None:
    net = SimNet()
    node = net.add_node("192.0.2.1:51820")
    first, second = config(1, peer(3)), config(2, peer(3))
    configure(node.interface, first, net.now)
    configure(node.interface, second, net.now)
    assert node.interface.public_key == private_key(2).public_key
    assert first.private_key == private_key(1)
    assert first.preshared_key == PSK


def test_we_are_no_peer_of_ours() -> None:
    net = SimNet()
    node = net.add_node("192.0.2.1:51820")
    assert configure(node.interface, config(1, peer(1, endpoint=THERE)), net.now) == []
    assert node.interface.peers == {}


def test_a_copy_of_a_key_survives_the_original() -> None:
    key = PrivateKey(bytes([3]) * 32)
    copy = key.copy()
    key.wipe()
    assert isinstance(copy.public_key, PublicKey)
    assert copy.raw != bytes(32)


def test_a_peer_that_is_moved_again_gets_what_waits_for_an_answer() -> None:
    two = Two()
    two.configure(two.alice, config(1, peer(2, endpoint=ELSEWHERE)))
    two.net.run(1.0)
    two.configure(two.alice, config(1, peer(2, endpoint=THERE)))
    first, again = two.net.tap
    assert (first.receiver, again.receiver) == (ELSEWHERE, THERE)
    assert first.datagram == again.datagram


def test_a_peer_that_lost_the_address_we_write_to_is_sought() -> None:
    two = Two()
    two.configure(two.bob, config(2, peer(1)))
    there = f"{THERE.address}/32"
    two.configure(two.alice, config(1, peer(2, there, "10.9.0.0/16", endpoint=THERE)))
    two.net.run(10.0)
    two.net.tap.clear()
    # Any other network may come and go.
    two.configure(two.alice, config(1, peer(2, there, endpoint=THERE)))
    two.net.run(0.1)
    assert two.net.tap == []
    moved = replace(peer(2, endpoint=None), candidates=(ELSEWHERE,))
    two.configure(two.alice, config(1, moved))
    two.net.run(0.005)
    assert [sent.receiver for sent in two.net.tap] == [THERE, ELSEWHERE]


def test_a_peer_without_a_place_is_not_sought() -> None:
    two = Two()
    two.configure(two.alice, config(1, peer(2, "10.9.0.0/16")))
    two.configure(two.alice, config(1, peer(2)))
    two.net.run(1.0)
    assert two.net.tap == []


def test_the_greater_key_waits_and_so_does_who_is_far_behind() -> None:
    small, great = sorted((key(1), key(2)), key=lambda one: one.raw)
    assert start_delay(small, great, 0) == start_delay(None, great, 0) == 0.0
    assert start_delay(great, small, FIRST_BURST) == DEFERENCE
    assert start_delay(small, great, FIRST_BURST + 10) == 10 * FIRST_INTERVAL


def key(number: int) -> PublicKey:
    return private_key(number).public_key
