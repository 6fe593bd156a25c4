"""What is under the mesh: links and MTUs on the ways to endpoints, followed when they change."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from queue import SimpleQueue

import pytest

from kubespan.linux.tun import create_tun
from kubespan.linux.underlay import UnderlayMonitor, Ways
from kubespan.model.address import Endpoint
from kubespan.model.host import UnderlyingLink
from tests.netns.namespace import Namespace

pytestmark = pytest.mark.netns
WAIT = 10.0
NEAR = Endpoint.parse("10.1.0.9:51820")
FAR = Endpoint.parse("192.0.2.9:51820")
FAR6 = Endpoint.parse("[2001:db8:9::9]:51820")
UNREACHABLE = Endpoint.parse("[2001:db8:ffff::1]:51820")
ONE, TWO = UnderlyingLink("one", 1500), UnderlyingLink("two", 9000)


class Watch:
    """A host with two uplinks, a monitor on it, and what that reported."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        self.ways: SimpleQueue[Ways] = SimpleQueue()
        self.host: SimpleQueue[None] = SimpleQueue()
        for name, number, mtu in (("one", 1, "1500"), ("two", 2, "9000")):
            namespace.ip("link", "add", "name", name, "type", "veth", "peer", "name", f"{name}-far")
            for end in (name, f"{name}-far"):
                namespace.ip("link", "set", end, "up", "mtu", mtu)
            namespace.address(name, f"10.{number}.0.1/24", f"2001:db8:{number}::1/64")
        namespace.ip("route", "add", "192.0.2.0/24", "via", "10.2.0.9", "dev", "two")
        namespace.ip("-6", "route", "add", "2001:db8:9::/64", "via", "2001:db8:2::9", "dev", "two")
        self.monitor = UnderlayMonitor(self.ways.put, lambda: self.host.put(None))
        namespace.inside(self.monitor.start)

    def next(self) -> Ways:
        return self.ways.get(timeout=WAIT)


@pytest.fixture
def watch(namespace: Namespace) -> Iterator[Watch]:
    made = Watch(namespace)
    yield made
    made.monitor.stop()


def look(watch: Watch, *endpoints: Endpoint) -> Ways:
    """Ask for these; the answer is the first that is not about what was asked before."""
    watch.monitor.look(endpoints)
    while True:
        ways = watch.next()
        if ways or not endpoints:
            return ways


def test_each_endpoint_has_its_link(watch: Watch) -> None:
    found = look(watch, NEAR, FAR, FAR6, UNREACHABLE, FAR)
    assert found == {NEAR: ONE, FAR: TWO, FAR6: TWO}


def test_a_change_of_the_host_is_told(watch: Watch) -> None:
    watch.host.get(timeout=WAIT)  # that it begins
    watch.namespace.address("one", "10.1.0.7/24")
    watch.host.get(timeout=WAIT)
    watch.namespace.ip("link", "set", "two", "down")
    watch.host.get(timeout=WAIT)


def test_a_change_of_routes_is_none_of_the_host(watch: Watch) -> None:
    look(watch, FAR)
    while not watch.host.empty():
        watch.host.get()
    watch.namespace.ip("route", "replace", "192.0.2.0/24", "via", "10.1.0.9", "dev", "one")
    assert watch.next() == {FAR: ONE}
    assert watch.host.empty()


def test_a_scope_says_the_link(watch: Watch) -> None:
    index = watch.namespace.link("two")["ifindex"]
    scoped = Endpoint.parse(f"[fe80::1%{index}]:51820")
    assert look(watch, scoped) == {scoped: TWO}


def test_a_route_may_say_less_than_its_link(watch: Watch) -> None:
    assert look(watch, FAR, FAR6) == {FAR: TWO, FAR6: TWO}
    path = ("192.0.2.0/24", "via", "10.2.0.9", "dev", "two")
    watch.namespace.ip("route", "replace", *path, "mtu", "1400")
    assert watch.next() == {FAR: UnderlyingLink("two", 1400), FAR6: TWO}
    watch.namespace.ip("route", "replace", *path, "mtu", "9100")
    assert watch.next() == {FAR: TWO, FAR6: TWO}


@pytest.mark.parametrize(
    ("command", "ways"),
    [
        (("link", "set", "two", "mtu", "1300"), {NEAR: ONE, FAR: UnderlyingLink("two", 1300)}),
        (("link", "set", "two", "down"), {NEAR: ONE}),
        (("route", "del", "192.0.2.0/24"), {NEAR: ONE}),
        (("route", "add", "192.0.2.9/32", "via", "10.1.0.9"), {NEAR: ONE, FAR: ONE}),
    ],
)
def test_changes_are_followed(watch: Watch, command: tuple[str, ...], ways: Ways) -> None:
    assert look(watch, NEAR, FAR) == {NEAR: ONE, FAR: TWO}
    watch.namespace.ip(*command)
    assert watch.next() == ways


def test_the_mesh_is_not_under_itself(watch: Watch) -> None:
    tun = watch.namespace.inside(partial(create_tun, "kubespan"))
    try:
        watch.namespace.ip("link", "set", "kubespan", "up")
        watch.namespace.ip("route", "add", "192.0.2.9/32", "dev", "kubespan")
        assert look(watch, NEAR, FAR) == {NEAR: ONE}
    finally:
        os.close(tun.descriptor)


def test_the_mark_decides(watch: Watch) -> None:
    watch.namespace.ip("route", "add", "192.0.2.0/24", "via", "10.1.0.9", "table", "100")
    watch.namespace.ip("rule", "add", "fwmark", "0x20/0x60", "lookup", "100")
    assert look(watch, FAR) == {FAR: ONE}


def test_what_does_not_change_is_not_reported(watch: Watch) -> None:
    assert look(watch, FAR) == {FAR: TWO}
    watch.namespace.ip("route", "add", "203.0.113.0/24", "dev", "one")
    watch.namespace.ip("link", "set", "two", "mtu", "1300")
    assert watch.next() == {FAR: UnderlyingLink("two", 1300)}


def test_no_endpoints_have_no_ways(watch: Watch) -> None:
    assert look(watch) == {}
