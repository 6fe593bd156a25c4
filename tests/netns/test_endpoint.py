"""Where a peer is believed to be, and from which of its addresses a host answers."""

from __future__ import annotations

import time

import pytest

from tests.netns.capture import Capture
from tests.netns.lab import KeyPair, Laboratory, Tunnel, eventually
from tests.netns.namespace import Namespace
from tests.netns.topology import (
    LEFT_PORT,
    RIGHT_PORT,
    Pair,
    introduce,
    shared_middle,
    two_hosts,
)
from tests.netns.traffic import send_tcp
from tests.peers import Program, need

pytestmark = pytest.mark.netns

MASQUERADE = """
table ip nat { chain out { type nat hook postrouting priority srcnat;
  oifname out0 masquerade;
}; }
"""
OTHER_PORT = """
flush chain ip nat out
add rule ip nat out oifname out0 udp sport 1001 snat to 192.0.2.9:4004
"""
FAMILIES = pytest.mark.parametrize("outer", [4, 6], ids=["outer-ipv4", "outer-ipv6"])


def endpoint_of(peer: Tunnel, seen_by: Tunnel) -> str:
    """Return where one end believes the other to be."""
    return seen_by.shown("endpoints", peer.keys.public)


# ---------------------------------------------------------------- roaming


def test_roaming_over_ipv4(middle_pair: Pair) -> None:
    """The middle's loopback changes its address and left its port; right follows one ping."""
    left, right = middle_pair.left, middle_pair.right
    middle_pair.up()
    middle_pair.ping()
    middle_pair.outside.ip("address", "del", "127.0.0.1/8", "dev", "lo")
    middle_pair.outside.address("lo", "127.42.0.7/8")
    left.set("listen-port", "2001")
    left.namespace.ping(right.inner4)
    assert endpoint_of(left, seen_by=right) == "127.42.0.7:2001"
    right.namespace.ping(left.inner4)


def test_roaming_over_ipv6(lab: Laboratory, program: Program) -> None:
    """The same with IPv6 in the middle."""
    pair = shared_middle(lab, program, program)
    pair.meet("[::1]", "[::1]")
    pair.up()
    pair.ping()
    pair.outside.address("lo", "fd42::7/64")
    pair.left.set("listen-port", "2002")
    pair.left.peer(pair.right.keys.public, "endpoint", f"[fd42::7]:{RIGHT_PORT}")
    pair.left.namespace.ping(pair.right.inner6)
    assert endpoint_of(pair.left, seen_by=pair.right) == "[fd42::7]:2002"
    pair.right.namespace.ping(pair.left.inner6)


def test_a_live_peer_changes_its_outer_family(middle_pair: Pair) -> None:
    """An endpoint goes from IPv4 to IPv6 and back; session and counters go on."""
    left, right = middle_pair.left, middle_pair.right
    middle_pair.up()
    left.namespace.ping(right.inner4)
    handshake = left.shown("latest-handshakes", right.keys.public)
    received, _ = left.transfer(right.keys.public)
    for address in ("[::1]", "127.0.0.1", "[::1]"):
        left.peer(right.keys.public, "endpoint", f"{address}:{RIGHT_PORT}")
        left.namespace.ping(right.inner4)
        assert endpoint_of(left, seen_by=right) == f"{address}:{LEFT_PORT}"
        right.namespace.ping(left.inner4)
    assert left.shown("latest-handshakes", right.keys.public) == handshake
    assert left.transfer(right.keys.public)[0] == received + 6 * 128


def test_a_filtered_packet_still_moves_the_endpoint(middle_pair: Pair) -> None:
    """A more specific prefix of somebody else keeps right's packets out, but not its new port."""
    left, right = middle_pair.left, middle_pair.right
    stranger = KeyPair.generate().public
    middle_pair.up()
    left.peer(right.keys.public, "allowed-ips", "10.77.0.0/24")
    right.namespace.ping(left.inner4)
    left.peer(stranger, "allowed-ips", f"{right.inner4}/32")
    right.set("listen-port", "2003")
    with Capture(left.namespace, left.name) as delivered:
        assert right.namespace.answers(left.inner4) == 0
        assert not [p for p in delivered.packets() if p.source == right.inner4]
    assert endpoint_of(right, seen_by=left) == "127.0.0.1:2003"
    left.peer(stranger, "remove")
    right.namespace.ping(left.inner4)


# ---------------------------------------------------------------- the source of an answer


@FAMILIES
def test_the_source_falls_over_when_its_address_goes(
    lab: Laboratory, program: Program, outer: int
) -> None:
    """Left's address is replaced by another one; the very next ping uses that.

    left [wire0] 192.0.2.1, then .10 ------ 192.0.2.2 [wire0] right
    """
    pair = two_hosts(lab, program, program, outer)
    old, new = {
        4: ("192.0.2.1/24", "192.0.2.10/24"),
        6: ("2001:db8::1/64", "2001:db8::10/64"),
    }[outer]
    pair.up()
    pair.ping()
    pair.left.namespace.ip("address", "del", old, "dev", "wire0")
    pair.left.namespace.address("wire0", new)
    pair.left.namespace.ping(pair.right.inner4)
    assert new.partition("/")[0] in endpoint_of(pair.left, seen_by=pair.right)
    pair.right.namespace.ping(pair.left.inner6)


ADDRESSES = {
    4: [f"192.0.2.{number}" for number in (1, 30, 31, 32)],
    6: [f"[2001:db8::{number}]" for number in (1, 30, 31, 32)],
}


@FAMILIES
@pytest.mark.parametrize("trains", [False, True], ids=["pings", "trains"])
def test_the_answer_comes_from_the_address_that_was_asked(
    lab: Laboratory, program: Program, outer: int, trains: bool
) -> None:
    """Left has four addresses on one interface; right asks one after the other and stays there.

    Single datagrams, then whole trains of them, which the kernel hands over in one piece.
    """
    pair = two_hosts(lab, program, program, outer)
    left, right = pair.left, pair.right
    bits = {4: 24, 6: 64}[outer]
    left.namespace.address("wire0", *(f"{a.strip('[]')}/{bits}" for a in ADDRESSES[outer][1:]))
    pair.up()
    for address in (*ADDRESSES[outer][1:], ADDRESSES[outer][0]):
        right.peer(left.keys.public, "endpoint", f"{address}:{LEFT_PORT}")
        right.namespace.ping(left.inner4)
        right.namespace.ping(left.inner6)
        if trains:
            send_tcp(left.namespace, right.namespace, right.inner4, 1 << 20)
            send_tcp(right.namespace, left.namespace, left.inner6, 1 << 20)
        assert endpoint_of(left, seen_by=right) == f"{address}:{LEFT_PORT}"


@FAMILIES
def test_the_asked_address_may_live_on_another_interface(
    lab: Laboratory, program: Program, outer: int
) -> None:
    """Right reaches an address of left that is on neither the arriving nor the leaving cable.

    nowhere ------ [side0] left [wire0] ------ [wire0] right
              203.0.113.1, 2001:db8:1::1
    """
    pair = two_hosts(lab, program, program, outer)
    left, right = pair.left, pair.right
    lab.cable(left.namespace, "side0", lab.namespace("nowhere"), "wire0")
    left.namespace.address("side0", "203.0.113.1/24", "2001:db8:1::1/64")
    right.namespace.ip("route", "add", "203.0.113.0/24", "via", "192.0.2.1")
    right.namespace.ip("route", "add", "2001:db8:1::/64", "via", "2001:db8::1")
    pair.up()
    asked = {4: "203.0.113.1", 6: "[2001:db8:1::1]"}[outer]
    right.peer(left.keys.public, "endpoint", f"{asked}:{LEFT_PORT}")
    right.namespace.ping(left.inner4)
    right.namespace.ping(left.inner4)
    assert endpoint_of(left, seen_by=right) == f"{asked}:{LEFT_PORT}"


@FAMILIES
def test_a_better_route_elsewhere_ends_stickiness(
    lab: Laboratory, program: Program, outer: int
) -> None:
    """A second cable gets the better route; left soon leaves by it, and no ping is lost.

    left [wire0] 192.0.2.1 ------ 192.0.2.2 [wire0] right
         [wire1] 192.0.2.3 ------ 192.0.2.2 [wire1]
    """
    pair = two_hosts(lab, program, program, outer)
    left, right = pair.left, pair.right
    lab.cable(left.namespace, "wire1", right.namespace, "wire1")
    allow_any_way(left, right)
    network, bits = {4: ("192.0.2", 32), 6: ("2001:db8:", 128)}[outer]
    dot = "." if outer == 4 else ":"
    first, far, second = (f"{network}{dot}{number}" for number in (1, 2, 3))
    left.namespace.address("wire1", f"{second}/{bits}")
    right.namespace.address("wire1", f"{far}/{bits}")
    right.namespace.ip("route", "add", second, "dev", "wire1", "src", far)
    left.namespace.ip("route", "add", far, "dev", "wire0", "src", first, "metric", "2000")
    pair.up()
    left.namespace.ping(right.inner4)
    assert first in endpoint_of(left, seen_by=right)
    left.namespace.ip("route", "add", far, "dev", "wire1", "src", second, "metric", "1")

    def has_switched() -> bool:
        left.namespace.ping(right.inner4)
        return second in endpoint_of(left, seen_by=right)

    eventually("left hears of the route", has_switched)


def allow_any_way(*tunnels: Tunnel) -> None:
    """Packets may arrive on whichever cable."""
    for tunnel in tunnels:
        for interface in ("all", "default", "wire0", "wire1"):
            tunnel.namespace.sysctl(f"net/ipv4/conf/{interface}/rp_filter", 0)


def test_a_link_local_endpoint_keeps_its_scope(hosts: Pair) -> None:
    """Right meets left at a link-local address, which means nothing without an interface."""
    left, right = hosts.left, hosts.right
    left.namespace.address("wire0", "fe80::7:1/64")
    hosts.up()
    endpoint = ("endpoint", f"[fe80::7:1%wire0]:{LEFT_PORT}")
    right.namespace.run("wg", "set", right.name, "peer", left.keys.public, *endpoint)
    right.namespace.ping(left.inner4)
    left.namespace.ping(right.inner4)
    shown = right.namespace.run("wg", "show", right.name, "endpoints").split()[1]
    assert shown.startswith("[fe80::7:1%")


# ---------------------------------------------------------------- address translation


@pytest.fixture
def router(lab: Laboratory) -> Namespace:
    """The router between the two hosts of `translated`."""
    need("nft", "conntrack")
    return lab.namespace("router")


@pytest.fixture
def translated(lab: Laboratory, program: Program, router: Namespace) -> Pair:
    """Left is behind a router that hides it and forgets a UDP mapping after two seconds.

    left                          router                             right
    [wire0] 10.0.0.2 ------ 10.0.0.1 [in0]  [out0] 192.0.2.9 ------ 192.0.2.2 [wire0]
    """
    left, right = lab.namespaces("left", "right")
    lab.cable(left, "wire0", router, "in0")
    lab.cable(router, "out0", right, "wire0")
    left.address("wire0", "10.0.0.2/24")
    router.address("in0", "10.0.0.1/24")
    router.address("out0", "192.0.2.9/24")
    right.address("wire0", "192.0.2.2/24")
    left.ip("route", "add", "default", "via", "10.0.0.1")
    router.sysctl("net/ipv4/ip_forward", 1)
    router.nft(MASQUERADE)
    router.sysctl("net/netfilter/nf_conntrack_udp_timeout", 2)
    router.sysctl("net/netfilter/nf_conntrack_udp_timeout_stream", 2)
    ends = lab.tunnel(program, left).start(), lab.tunnel(program, right).start()
    pair = introduce(Pair(*ends, outside=right))
    pair.left.peer(pair.right.keys.public, "endpoint", f"192.0.2.2:{RIGHT_PORT}")
    pair.up()
    return pair


def test_keepalive_holds_an_address_translation_open(translated: Pair) -> None:
    """Without keepalives left cannot be reached after three seconds; with them it can."""
    left, right = translated.left, translated.right
    left.namespace.ping(right.inner4)
    assert endpoint_of(left, seen_by=right) == f"192.0.2.9:{LEFT_PORT}"
    time.sleep(3)
    assert right.namespace.answers(left.inner4) == 0
    left.peer(right.keys.public, "persistent-keepalive", "1")
    time.sleep(3)
    right.namespace.ping(left.inner4)
    left.peer(right.keys.public, "persistent-keepalive", "0")


def test_a_new_translation_is_followed(translated: Pair, router: Namespace) -> None:
    """The router maps left to another port; right answers there from the first datagram on."""
    left, right = translated.left, translated.right
    left.namespace.ping(right.inner4)
    router.nft(OTHER_PORT)
    router.run("conntrack", "-F")
    left.namespace.ping(right.inner4)
    assert endpoint_of(left, seen_by=right) == "192.0.2.9:4004"
    right.namespace.ping(left.inner6)
