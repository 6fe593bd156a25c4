"""Two interfaces that know each other, in virtual time: what most simulated tests begin with.

Alice is 10.0.0.1 at 192.0.2.1, Bob 10.0.0.2 at 192.0.2.2. Alice knows where Bob is, and unless told
otherwise Bob does not know where Alice is.
"""

from __future__ import annotations

from collections.abc import Callable

from kubespan.model.address import Endpoint, Prefix
from kubespan.model.keys import PresharedKey, PrivateKey
from kubespan.testing.simnet import Node, SimNet, Weather
from kubespan.wireguard.datapath import DataPath
from kubespan.wireguard.peer import Peer
from kubespan.wireguard.purepath import PurePath
from tests.wireguard.packets import echo, ipv4

ALICE, BOB = "10.0.0.1", "10.0.0.2"
LATENCY = 0.01
ROUND_TRIP = 2 * LATENCY

INITIATION, RESPONSE, COOKIE_REPLY, TRANSPORT = 1, 2, 3, 4
KEEPALIVE_SIZE = 32


def private_key(number: int) -> PrivateKey:
    """Make a key of its own for each number, in bits that clamping leaves alone."""
    return PrivateKey(number.to_bytes(16, "big") * 2)


def introduce(
    net: SimNet,
    node: Node,
    other: Node,
    *allowed_ips: str,
    is_known: bool = True,
    preshared_key: PresharedKey | None = None,
    keepalive: int = 0,
) -> Peer:
    """Configure a node that has a key as a peer of another, in one request as `wg set` would."""
    interface = node.interface
    assert other.interface.public_key is not None
    peer = interface.add_peer(other.interface.public_key, net.now)
    assert peer is not None
    if preshared_key is not None:
        interface.set_preshared_key(peer, preshared_key)
    if is_known:
        interface.set_endpoint(peer, other.endpoint)
    turned_on = keepalive > 0 and peer.persistent_keepalive == 0
    interface.set_persistent_keepalive(peer, keepalive)
    for prefix in allowed_ips:
        interface.insert_allowed_ip(peer, Prefix.parse(prefix))
    effects = interface.commit_peer(peer, keepalive_turned_on=turned_on, now=net.now)
    net.perform(node, effects)
    interface.publish()
    return peer


def add_node(
    net: SimNet,
    number: int,
    *,
    is_up: bool = True,
    create_path: Callable[[], DataPath] = PurePath,
) -> Node:
    """Add a node with a key of its own, at 192.0.2.`number`."""
    node = net.add_node(f"192.0.2.{number}:51820", create_path())
    net.perform(node, node.interface.set_private_key(private_key(number), net.now))
    if is_up:
        net.perform(node, node.interface.set_up(net.now))
    return node


class Pair:
    """Alice and Bob, their peers as each sees the other, and the network between them."""

    def __init__(
        self,
        *,
        seed: int = 0,
        weather: Weather | None = None,
        is_up: bool = True,
        alice_is_known: bool = False,
        keepalive: int = 0,
        create_path: Callable[[], DataPath] = PurePath,
    ) -> None:
        self.net = SimNet(seed, weather if weather is not None else Weather(LATENCY))
        self.alice = add_node(self.net, 1, is_up=is_up, create_path=create_path)
        self.bob = add_node(self.net, 2, is_up=is_up, create_path=create_path)
        self.bob_at_alice = introduce(
            self.net, self.alice, self.bob, f"{BOB}/32", keepalive=keepalive
        )
        self.alice_at_bob = introduce(
            self.net, self.bob, self.alice, f"{ALICE}/32", is_known=alice_is_known
        )
        self._number = 0

    def alice_sends(self, packet: bytes | None = None) -> bytes:
        """Have Alice send a packet, a new one unless told which."""
        return self._send(self.alice, ALICE, BOB, packet)

    def bob_sends(self, packet: bytes | None = None) -> bytes:
        """Have Bob send a packet, a new one unless told which."""
        return self._send(self.bob, BOB, ALICE, packet)

    def connect(self) -> None:
        """Have Alice make a session with a keepalive, so that no packet is left to be answered."""
        self.alice_keeps_alive()
        self.run(2 * ROUND_TRIP)
        self.forget()

    def alice_keeps_alive(self) -> None:
        """Have Alice send a keepalive, as when it is turned on."""
        effects = self.alice.interface.commit_peer(
            self.bob_at_alice, keepalive_turned_on=True, now=self.net.now
        )
        self.net.perform(self.alice, effects)

    def ping(self) -> None:
        """Have Alice send an echo, and Bob the reply when it arrives."""
        self._number += 1
        self.net.send(self.alice, echo(ALICE, BOB, self._number))
        self.run(2 * ROUND_TRIP)
        self.net.send(self.bob, echo(BOB, ALICE, self._number, is_reply=True))
        self.run(ROUND_TRIP)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.net.run(seconds)

    def run_until(self, elapsed: float) -> None:
        """Let time pass up to a moment."""
        self.net.run(elapsed - self.net.elapsed)

    def forget(self) -> None:
        """Forget what the tap and the nodes saw so far."""
        self.net.tap.clear()
        for node in (self.alice, self.bob):
            node.delivered.clear()
            node.events.clear()
            node.drops.clear()

    def sent(self, node: Node, kind: int) -> list[float]:
        """Return when a node sent messages of this type."""
        return [t.at for t in self.net.tap if t.sender == node.endpoint and t.datagram[0] == kind]

    def keepalives(self, node: Node) -> list[float]:
        """Return when a node sent keepalives."""
        return [
            t.at
            for t in self.net.tap
            if t.sender == node.endpoint
            and t.datagram[0] == TRANSPORT
            and len(t.datagram) == KEEPALIVE_SIZE
        ]

    def unplug(self) -> None:
        """Lose everything from now on."""
        self.net.weather.loss = 1.0

    def replug(self) -> None:
        """Lose nothing any more."""
        self.net.weather.loss = 0.0

    def move(self, node: Node, endpoint: str) -> None:
        """Give a node another endpoint, without anybody being told."""
        node.endpoint = Endpoint.parse(endpoint)

    def _send(self, node: Node, source: str, destination: str, packet: bytes | None) -> bytes:
        if packet is None:
            self._number += 1
            packet = ipv4(source, destination, self._number.to_bytes(4, "big"))
        self.net.send(node, packet)
        return packet
