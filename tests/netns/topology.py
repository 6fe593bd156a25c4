"""The two arrangements that nearly every scenario uses.

`shared_middle`: both interfaces are born in one namespace and moved out at once, so that all outer
traffic runs over the loopback in the middle:

    left                  middle                  right
    [tunnel] . . . . sockets  lo  sockets . . . . [tunnel]
    10.77.0.1                                     10.77.0.2
    fd77::1         127.0.0.1  ::1                fd77::2

`two_hosts`: each host has its own tunnel and a cable between them:

    left                                          right
    [tunnel] 10.77.0.1                 10.77.0.2 [tunnel]
    [wire0]  192.0.2.1 ------- 192.0.2.2         [wire0]
             2001:db8::1   2001:db8::2
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.netns.lab import Laboratory, Tunnel, eventually
from tests.netns.namespace import Namespace
from tests.netns.traffic import TRANSFER, send_tcp
from tests.peers import Program

LEFT_PORT, RIGHT_PORT = 1001, 1002
LOOPBACK = {4: "127.0.0.1", 6: "[::1]"}
WIRE = {4: ("192.0.2.1", "192.0.2.2"), 6: ("[2001:db8::1]", "[2001:db8::2]")}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two tunnels that know each other; `outside` is where the sockets of both can be heard."""

    left: Tunnel
    right: Tunnel
    outside: Namespace

    def meet(self, left: str, right: str) -> None:
        """Set both endpoints, given as `address` of left and right."""
        self.left.peer(self.right.keys.public, "endpoint", f"{right}:{RIGHT_PORT}")
        self.right.peer(self.left.keys.public, "endpoint", f"{left}:{LEFT_PORT}")

    def up(self, mtu: int = 1420) -> None:
        """Bring both interfaces up, and wait until both ends listen."""
        for tunnel in (self.left, self.right):
            tunnel.up(mtu)
        for tunnel in (self.left, self.right):
            eventually("both listen", tunnel.listens)

    def ping(self, count: int = 1) -> None:
        """Ping with both families both ways."""
        for near, far in ((self.left, self.right), (self.right, self.left)):
            near.namespace.ping(far.inner4, count=count)
            near.namespace.ping(far.inner6, count=count)

    def transfer(self, size: int = TRANSFER) -> None:
        """Send TCP with both families both ways."""
        for near, far in ((self.left, self.right), (self.right, self.left)):
            send_tcp(near.namespace, far.namespace, far.inner4, size)
            send_tcp(near.namespace, far.namespace, far.inner6, size)


def shared_middle(lab: Laboratory, left: Program, right: Program) -> Pair:
    """Build the first arrangement, without endpoints and still down."""
    middle, west, east = lab.namespaces("middle", "left", "right")
    return introduce(
        Pair(_moved(lab, left, middle, west), _moved(lab, right, middle, east), middle)
    )


def _moved(lab: Laboratory, program: Program, born: Namespace, home: Namespace) -> Tunnel:
    tunnel = lab.tunnel(program, born).start()
    tunnel.move(home)
    return tunnel


def two_hosts(lab: Laboratory, left: Program, right: Program, family: int = 4) -> Pair:
    """Build the second arrangement, with endpoints of one family, still down."""
    west, east = lab.namespaces("left", "right")
    lab.cable(west, "wire0", east, "wire0")
    for host, number in ((west, 1), (east, 2)):
        host.address("wire0", f"192.0.2.{number}/24", f"2001:db8::{number}/64")
    ours = lab.tunnel(left, west).start(), lab.tunnel(right, east).start()
    pair = introduce(Pair(*ours, west))
    pair.meet(*WIRE[family])
    return pair


def introduce(pair: Pair) -> Pair:
    """Give both ends keys, ports, inner addresses and each other as peers; return the pair."""
    for number, port, tunnel in ((1, LEFT_PORT, pair.left), (2, RIGHT_PORT, pair.right)):
        tunnel.set_key()
        tunnel.set("listen-port", str(port))
        tunnel.address(f"10.77.0.{number}/24", f"fd77::{number}/64")
    for near, far in ((pair.left, pair.right), (pair.right, pair.left)):
        near.peer(far.keys.public, "allowed-ips", f"{far.inner4}/32,{far.inner6}/128")
    return pair
