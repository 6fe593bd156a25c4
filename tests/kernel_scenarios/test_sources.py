"""From which of its addresses a host speaks to a peer, and when it chooses another."""

from __future__ import annotations

from functools import partial

import pytest

from tests.netns.lab import Laboratory, eventually
from tests.netns.topology import RIGHT_PORT, Pair, introduce
from tests.peers import Program

pytestmark = pytest.mark.netns

FAMILIES = pytest.mark.parametrize("outer", [4, 6], ids=["outer4", "outer6"])
FIRST = {4: "192.0.2.1", 6: "2001:db8::1"}
SECOND = {4: "192.0.2.10", 6: "2001:db8::10"}
LENGTH = {4: 24, 6: 64}
RIGHT = {4: "192.0.2.2", 6: "2001:db8::2"}
ELSEWHERE = {4: "203.0.113.9", 6: "2001:db8:99::9"}


@FAMILIES
def test_an_address_that_is_taken_away_is_replaced(hosts: Pair, outer: int) -> None:
    left, right = hosts.left, hosts.right
    hosts.meet(_host(FIRST[outer]), _host(RIGHT[outer]))
    hosts.ping()
    left.namespace.sysctl("net/ipv4/conf/wire0/promote_secondaries", 1)
    left.namespace.address("wire0", f"{SECOND[outer]}/{LENGTH[outer]}")
    left.namespace.ip("address", "delete", f"{FIRST[outer]}/{LENGTH[outer]}", "dev", "wire0")
    left.namespace.ping(right.inner4)
    assert _left_as_seen_by_right(hosts) == f"{_host(SECOND[outer])}:1001"


@FAMILIES
@pytest.mark.parametrize("chosen", [FIRST, SECOND], ids=["first", "second"])
def test_the_answer_comes_from_the_address_that_was_spoken_to(
    hosts: Pair, outer: int, chosen: dict[int, str]
) -> None:
    left, right = hosts.left, hosts.right
    left.namespace.address("wire0", f"{SECOND[outer]}/{LENGTH[outer]}")
    hosts.meet(_host(FIRST[outer]), _host(RIGHT[outer]))
    right.peer(left.keys.public, "endpoint", f"{_host(chosen[outer])}:1001")
    right.namespace.ping(left.inner4, count=3)
    assert _left_as_seen_by_right(hosts) == f"{_host(chosen[outer])}:1001"


@FAMILIES
def test_the_address_may_live_on_another_interface(
    hosts: Pair, lab: Laboratory, outer: int
) -> None:
    """A second cable stands in for the kernel test's dummy interface."""
    left, right = hosts.left, hosts.right
    lab.cable(left.namespace, "other0", lab.namespace("stub"), "wire0")
    left.namespace.address("other0", f"{ELSEWHERE[outer]}/{LENGTH[outer]}")
    family = f"-{outer}"
    right.namespace.ip(family, "route", "add", ELSEWHERE[outer], "via", FIRST[outer])
    right.peer(left.keys.public, "endpoint", f"{_host(ELSEWHERE[outer])}:1001")
    right.namespace.ping(left.inner4, count=3)
    assert _left_as_seen_by_right(hosts) == f"{_host(ELSEWHERE[outer])}:1001"


@FAMILIES
def test_a_better_route_by_another_interface_is_taken(
    lab: Laboratory, program: Program, outer: int
) -> None:
    """Right lives at an address that two cables lead to; the second one gets the better metric.

    A kernel looks at its routes for every packet. A program is told of a new one some milliseconds
    late, and may send a ping or two the old way until then.
    """
    west, east = lab.namespaces("left", "right")
    gateways = {4: ("10.1.0.{}", "10.2.0.{}"), 6: ("fd01::{}", "fd02::{}")}[outer]
    for number, gateway in enumerate(gateways):
        lab.cable(west, f"wire{number}", east, f"wire{number}")
        west.address(f"wire{number}", f"{gateway.format(1)}/{LENGTH[outer]}")
        east.address(f"wire{number}", f"{gateway.format(2)}/{LENGTH[outer]}")
    east.address("lo", f"{ELSEWHERE[outer]}/{32 if outer == 4 else 128}")
    tunnels = lab.tunnel(program, west).start(), lab.tunnel(program, east).start()
    pair = introduce(Pair(*tunnels, west))
    endpoint = f"{_host(ELSEWHERE[outer])}:{RIGHT_PORT}"
    pair.left.peer(pair.right.keys.public, "endpoint", endpoint)
    pair.up()
    for number, metric in ((0, "200"), (1, "100")):
        route = ("route", "add", ELSEWHERE[outer], "via", gateways[number].format(2))
        west.ip(f"-{outer}", *route, "metric", metric)
        here = f"{_host(gateways[number].format(1))}:1001"
        eventually(f"right is spoken to from {here}", partial(_speaks_from, pair, here))


def _speaks_from(pair: Pair, endpoint: str) -> bool:
    pair.left.namespace.ping(pair.right.inner4)
    return _left_as_seen_by_right(pair) == endpoint


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _left_as_seen_by_right(pair: Pair) -> str:
    return pair.right.shown("endpoints", pair.left.keys.public)
