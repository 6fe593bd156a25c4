"""Tunnels within tunnels, packets that come back to where they left, and policy routing."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.netns.lab import Laboratory, Tunnel, eventually
from tests.netns.topology import WIRE, Pair
from tests.peers import Program, need

pytestmark = pytest.mark.netns

FAMILIES = pytest.mark.parametrize("family", [4, 6], ids=["ipv4", "ipv6"])
INNER_PORT = 3003
STORM_LIMIT = 70_000


def test_wireguard_inside_wireguard(lab: Laboratory, program: Program, middle_pair: Pair) -> None:
    """A second pair of tunnels meets at the inner addresses of the first.

    left  [inner] over [outer] . . middle . . [outer] under [inner]  right
    """
    middle_pair.up()
    left = inner_tunnel(lab, program, middle_pair.left, 1)
    right = inner_tunnel(lab, program, middle_pair.right, 2)
    introduce_at(left, right, f"{middle_pair.right.inner4}:{INNER_PORT}")
    introduce_at(right, left, f"[{middle_pair.left.inner6}]:{INNER_PORT}")
    pair = Pair(left, right, middle_pair.outside)
    pair.up(1340)
    pair.ping(count=10)
    pair.transfer()


def inner_tunnel(lab: Laboratory, program: Program, outer: Tunnel, number: int) -> Tunnel:
    """Start another tunnel where `outer` is, without peers, still down."""
    tunnel = lab.tunnel(program, outer.namespace).start()
    tunnel.set_key()
    tunnel.set("listen-port", str(INNER_PORT))
    tunnel.address(f"10.88.0.{number}/24", f"fd88::{number}/64")
    return tunnel


def introduce_at(near: Tunnel, far: Tunnel, endpoint: str) -> None:
    """Let `near` know `far`, to be found at an endpoint."""
    addresses = f"{far.inner4}/32,{far.inner6}/128"
    near.peer(far.keys.public, "allowed-ips", addresses, "endpoint", endpoint)


def test_a_peer_reached_through_another_peer(
    lab: Laboratory, program: Program, hosts: Pair
) -> None:
    """Left reaches a third tunnel through its tunnel to right, with one and the same interface.

    left [tunnel: peers right, third] ------ right [tunnel] [third, listening at 10.77.0.2]
    """
    left, right = hosts.left, hosts.right
    hosts.up()
    third = inner_tunnel(lab, program, right, 3)
    introduce_at(left, third, f"{right.inner4}:{INNER_PORT}")
    third.peer(left.keys.public, "allowed-ips", f"{left.inner4}/32")
    third.up()
    right.namespace.ip("rule", "add", "from", third.inner4, "lookup", "7", "priority", "7")
    right.namespace.ip("route", "add", left.inner4, "dev", third.name, "table", "7")
    left.namespace.ip("route", "add", f"{third.inner4}/32", "dev", left.name)
    Pair(left, third, hosts.outside).up()
    left.namespace.ping(third.inner4, count=5)
    left.peer(third.keys.public, "endpoint", f"{third.inner4}:{INNER_PORT}")
    left.namespace.answers(third.inner4, count=3)
    assert left.show("peers")
    hosts.ping(count=5)


@contextmanager
def pinging(tunnel: Tunnel, address: str) -> Iterator[None]:
    """Flood an address with pings that nobody need answer."""
    flood = tunnel.namespace.start("ping", "-q", "-f", address)
    try:
        yield
    finally:
        flood.terminate()
        flood.communicate()


@pytest.fixture
def looping(hosts: Pair) -> Pair:
    """Left's route to right's endpoint leads into the very tunnel that needs it."""
    hosts.up()
    hosts.left.namespace.ping(hosts.right.inner4)
    inside = f"{hosts.right.inner4}/32,{WIRE[4][1]}/32"
    hosts.left.peer(hosts.right.keys.public, "allowed-ips", inside)
    hosts.left.namespace.ip("route", "add", WIRE[4][1], "dev", hosts.left.name)
    return hosts


def test_a_routing_loop_starts_no_storm(looping: Pair) -> None:
    """Ten pings into the loop make less traffic than the kernel's own limit."""
    left, right = looping.left, looping.right
    before = left.transfer(right.keys.public)[1]
    left.namespace.answers(right.inner4, "-f", count=10)
    assert left.transfer(right.keys.public)[1] - before < STORM_LIMIT


def test_a_routing_loop_does_not_deafen(looping: Pair) -> None:
    """While packets go round, `wg show` is answered, and deleting the link ends the daemon."""
    left, right = looping.left, looping.right
    with pinging(left, right.inner4):
        for _ in range(5):
            assert left.show("peers") == [[right.keys.public]]
        left.delete()
        eventually("the daemon leaves in the storm", left.is_gone, 2)


def test_a_bound_ping_passes_with_and_without_a_mark(hosts: Pair) -> None:
    """A socket bound to the tunnel, and a mark that appears on its packets, change nothing."""
    need("nft")
    left, right = hosts.left, hosts.right
    hosts.up()
    left.namespace.ping(right.inner4, "-I", left.name)
    left.namespace.nft(
        "table inet marks { chain out { type route hook output priority mangle;\n"
        " meta mark set 1;\n}; }\n"
    )
    left.namespace.ping(right.inner4, "-I", left.name)
    left.namespace.ping(right.inner6, "-I", left.name)


@FAMILIES
def test_default_route_through_the_tunnel_by_mark(hosts: Pair, family: int) -> None:
    """Everything without the tunnel's mark goes into the tunnel, the outer packets do not.

    The same rules that wg-quick makes, on both hosts, with both families outside in turn.
    """
    hosts.meet(*WIRE[family])
    hosts.up()
    for near, far in ((hosts.left, hosts.right), (hosts.right, hosts.left)):
        near.peer(far.keys.public, "allowed-ips", "0.0.0.0/0,::/0")
        near.set("fwmark", "51820")
    for tunnel in (hosts.left, hosts.right):
        for version in ("-4", "-6"):
            ip = tunnel.namespace.ip
            ip(version, "route", "add", "default", "dev", tunnel.name, "table", "51820")
            ip(version, "rule", "add", "not", "fwmark", "51820", "table", "51820")
            ip(version, "rule", "add", "table", "main", "suppress_prefixlength", "0")
    hosts.right.namespace.address("lo", "198.51.100.7/32", "2001:db8:7::7/128")
    for address in ("198.51.100.7", "2001:db8:7::7"):
        hosts.left.namespace.ping(address, count=100)
    hosts.ping(count=10)


def test_a_fwmark_is_on_the_outer_packets(hosts: Pair) -> None:
    """A rule drops what has the mark; the tunnel stops with it and goes on without, live."""
    need("nft")
    left, right = hosts.left, hosts.right
    hosts.up()
    left.namespace.nft(
        "table inet marks { chain out { type filter hook output priority 0;\n"
        " meta mark 0x1234 drop;\n}; }\n"
    )
    left.namespace.ping(right.inner4)
    left.set("fwmark", "0x1234")
    assert left.shown("fwmark") == "0x1234"
    assert left.namespace.answers(right.inner4) == 0
    left.set("fwmark", "0")
    assert left.shown("fwmark") == "off"
    left.namespace.ping(right.inner4)


def test_wg_is_answered_while_the_tunnel_is_flooded(hosts: Pair) -> None:
    """The control socket does not wait for the traffic."""
    left, right = hosts.left, hosts.right
    hosts.up()
    with pinging(left, right.inner4):
        for _ in range(20):
            shown = subprocess.run(
                ("wg", "show", left.name, "transfer"), capture_output=True, timeout=1, check=True
            )
            assert shown.stdout
