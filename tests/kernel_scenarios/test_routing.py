"""Translation on the way, sockets bound to the interface, marks, and the default route."""

from __future__ import annotations

import time

import pytest

from tests.netns.lab import Laboratory, Tunnel, eventually
from tests.netns.namespace import Namespace
from tests.netns.topology import LEFT_PORT, RIGHT_PORT, Pair, introduce
from tests.peers import Program, need

pytestmark = pytest.mark.netns

MASQUERADE = """
table ip nat { chain out { type nat hook postrouting priority srcnat;
  oifname outside masquerade;
}; }
"""
MARK_EVERYTHING = """
table ip mangle { chain out { type route hook output priority mangle; meta mark set 1; }; }
"""
TRANSLATION_SECONDS = 2
FWMARK = "51820"
FAR4, FAR6 = "203.0.113.7", "2001:db8:77::7"


@pytest.fixture
def translated(lab: Laboratory, program: Program) -> tuple[Pair, Namespace]:
    """A left that right can only answer, through a router that soon forgets; up."""
    need("nft")
    west, router, east = lab.namespaces("left", "router", "right")
    lab.cable(west, "wire0", router, "inside")
    lab.cable(router, "outside", east, "wire0")
    west.address("wire0", "192.168.1.100/24")
    router.address("inside", "192.168.1.1/24")
    router.address("outside", "192.0.2.1/24")
    east.address("wire0", "192.0.2.100/24")
    west.ip("route", "add", "default", "via", "192.168.1.1")
    router.sysctl("net/ipv4/ip_forward", 1)
    router.nft(MASQUERADE)
    for kind in ("udp_timeout", "udp_timeout_stream"):
        router.sysctl(f"net/netfilter/nf_conntrack_{kind}", TRANSLATION_SECONDS)
    pair = introduce(
        Pair(lab.tunnel(program, west).start(), lab.tunnel(program, east).start(), router)
    )
    pair.left.peer(pair.right.keys.public, "endpoint", f"192.0.2.100:{RIGHT_PORT}")
    pair.up()
    return pair, router


def test_a_keepalive_holds_a_translation_open(translated: tuple[Pair, Namespace]) -> None:
    left, right = translated[0].left, translated[0].right
    left.peer(right.keys.public, "persistent-keepalive", "1")
    eventually("right knows left", lambda: _endpoint(left, right) != "(none)", 2)
    assert _endpoint(left, right) == f"192.0.2.1:{LEFT_PORT}"
    time.sleep(TRANSLATION_SECONDS + 1)
    right.namespace.ping(left.inner4)
    left.peer(right.keys.public, "persistent-keepalive", "0")
    time.sleep(TRANSLATION_SECONDS + 1)
    assert right.namespace.answers(left.inner4) == 0


def test_right_follows_to_a_new_translation(translated: tuple[Pair, Namespace]) -> None:
    (pair, router), other = translated, "192.0.2.1:4242"
    pair.left.namespace.ping(pair.right.inner4)
    router.nft(
        f"flush chain ip nat out\nadd rule ip nat out oifname outside udp sport {LEFT_PORT}"
        f" snat to {other}\n"
    )
    time.sleep(TRANSLATION_SECONDS + 1)
    pair.left.namespace.ping(pair.right.inner4)
    assert _endpoint(pair.left, pair.right) == other


@pytest.mark.parametrize("marked", [False, True], ids=["unmarked", "marked"])
def test_sockets_bound_to_the_interface(hosts: Pair, marked: bool) -> None:
    """With the mark, everything that leaves is routed anew after its source was chosen."""
    left, right = hosts.left, hosts.right
    if marked:
        need("nft")
        left.namespace.nft(MARK_EVERYTHING)
    left.namespace.ping(right.inner4, "-I", left.name)
    left.namespace.ping(right.inner6, "-I", left.name)
    left.namespace.ping(right.inner4)


def test_a_default_route_that_only_the_tunnel_itself_escapes(hosts: Pair) -> None:
    """The rules that wg-quick makes: everything into the tunnel but what carries its mark."""
    left, right = hosts.left, hosts.right
    right.namespace.address("lo", f"{FAR4}/32", f"{FAR6}/128")
    left.peer(right.keys.public, "allowed-ips", "0.0.0.0/0,::/0")
    left.set("fwmark", FWMARK)
    left.namespace.sysctl("net/ipv4/conf/all/src_valid_mark", 1)
    left.namespace.sysctl("net/ipv4/conf/wire0/rp_filter", 1)
    for family in ("-4", "-6"):
        rule = (family, "rule", "add")
        left.namespace.ip(*rule, "not", "fwmark", FWMARK, "table", FWMARK)
        left.namespace.ip(*rule, "table", "main", "suppress_prefixlength", "0")
        left.namespace.ip(family, "route", "add", "default", "dev", left.name, "table", FWMARK)
    left.namespace.ping(FAR4, count=100)
    left.namespace.ping(FAR6, count=100)
    left.set("fwmark", "0")
    assert left.shown("fwmark") == "off"


def _endpoint(peer: Tunnel, seen_by: Tunnel) -> str:
    return seen_by.shown("endpoints", peer.keys.public)
