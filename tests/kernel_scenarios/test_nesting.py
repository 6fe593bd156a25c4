"""Tunnels inside tunnels, peers behind peers, and packets that would go round for ever."""

from __future__ import annotations

import time

import pytest

from tests.netns.lab import Laboratory, Tunnel, eventually
from tests.netns.topology import RIGHT_PORT, Pair
from tests.netns.traffic import echo_udp, send_tcp
from tests.peers import Program

pytestmark = pytest.mark.netns

INNER_MTU = 1340
SMALL_TRANSFER = 4 << 20
LOOP_BYTES = 70_000


@pytest.mark.parametrize("outer", [4, 6], ids=["through4", "through6"])
def test_wireguard_inside_wireguard(
    pair: Pair, lab: Laboratory, program: Program, outer: int
) -> None:
    pair.up()
    pair.ping()
    left, right = (lab.tunnel(program, end.namespace).start() for end in (pair.left, pair.right))
    for number, tunnel in ((1, left), (2, right)):
        tunnel.set_key()
        tunnel.set("listen-port", str(2000 + number))
        tunnel.address(f"10.88.0.{number}/24", f"fd88::{number}/64")
    for near, far, hop, port in ((left, right, pair.right, 2002), (right, left, pair.left, 2001)):
        endpoint = f"{hop.inner4}:{port}" if outer == 4 else f"[{hop.inner6}]:{port}"
        allowed = f"{far.inner4}/32,{far.inner6}/128"
        near.peer(far.keys.public, "endpoint", endpoint, "allowed-ips", allowed)
    Pair(left, right, pair.outside).up(INNER_MTU)
    _carry_everything(left, right)
    _carry_everything(right, left)


def _carry_everything(near: Tunnel, far: Tunnel) -> None:
    for address in (far.inner4, far.inner6):
        near.namespace.ping(address, count=10)
        send_tcp(near.namespace, far.namespace, address, SMALL_TRANSFER)
        echo_udp(near.namespace, far.namespace, address, 1, 1200, 9000)


def test_a_peer_behind_a_peer_and_a_peer_behind_itself(
    hosts: Pair, lab: Laboratory, program: Program
) -> None:
    left, right = hosts.left, hosts.right
    third = lab.tunnel(program, right.namespace).start()
    third.set_key()
    third.set("listen-port", "1005")
    third.address("10.78.0.2/24")
    third.peer(left.keys.public, "allowed-ips", "10.78.0.1/32")
    third.up()
    eventually("the third one listens", third.listens)
    left.namespace.address(left.name, "10.78.0.1/24")
    behind = ("allowed-ips", "10.78.0.2/32", "endpoint")
    left.peer(third.keys.public, *behind, f"{right.inner4}:1005")
    left.namespace.ping("10.78.0.2")
    left.peer(third.keys.public, *behind, "10.78.0.2:1005")
    assert left.namespace.answers("10.78.0.2") == 0
    assert left.shown("endpoints", third.keys.public) == "10.78.0.2:1005"
    left.peer(third.keys.public, *behind, f"{right.inner4}:1005")
    left.namespace.ping("10.78.0.2", count=3)


def test_an_endpoint_inside_its_own_tunnel_stirs_little_traffic(hosts: Pair) -> None:
    """With a live session, or the packets would wait for a handshake instead of going round."""
    left, right = hosts.left, hosts.right
    hosts.ping()
    hosts.meet(left.inner4, right.inner4)
    before = left.transfer(right.keys.public)[1]
    left.namespace.answers(right.inner4, "-f", count=10)
    time.sleep(1)
    assert left.transfer(right.keys.public)[1] - before < LOOP_BYTES
    assert left.shown("endpoints", right.keys.public) == f"{right.inner4}:{RIGHT_PORT}"
    _leaves_at_once(left)


def test_a_loop_through_two_namespaces_can_be_watched_and_ended(
    lab: Laboratory, program: Program
) -> None:
    """Each tunnel's sockets are where the other's interface is, and send into that interface.

    How much goes round before it ends is the kernel's own limit and not asked of a program, which
    cannot see that its datagram is routed into another program's tunnel.
    """
    one, two = lab.namespaces("one", "two")
    lab.cable(one, "wire0", two, "wire0")
    one.address("wire0", "192.0.2.1/24")
    two.address("wire0", "192.0.2.2/24")
    left, right = lab.tunnel(program, two).start(), lab.tunnel(program, one).start()
    left.move(one)
    right.move(two)
    for number, tunnel in ((1, left), (2, right)):
        tunnel.set_key()
        tunnel.set("listen-port", str(1000 + number))
        tunnel.address(f"10.77.0.{number}/24")
        tunnel.up()
    left.peer(right.keys.public, "allowed-ips", "10.77.0.2/32", "endpoint", "192.0.2.1:1002")
    right.peer(left.keys.public, "allowed-ips", "10.77.0.1/32", "endpoint", "192.0.2.2:1001")
    eventually("both listen", lambda: left.listens() and right.listens())
    one.ping(right.inner4)
    left.peer(right.keys.public, "endpoint", "10.77.0.1:1002")
    right.peer(left.keys.public, "endpoint", "10.77.0.2:1001")
    one.answers(right.inner4, "-f", count=10)
    assert left.shown("endpoints", right.keys.public) == "10.77.0.1:1002"
    assert right.shown("endpoints", left.keys.public) == "10.77.0.2:1001"
    _leaves_at_once(left)
    _leaves_at_once(right)


def _leaves_at_once(tunnel: Tunnel) -> None:
    tunnel.delete()
    eventually(f"{tunnel.name} leaves", tunnel.is_gone, 1)
