"""The route monitor: addresses that are gone, ways that are stale, in a namespace of its own."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from queue import Empty, SimpleQueue

import pytest

from kubespan.linux.route import RouteMonitor, Way
from kubespan.model.address import Endpoint, IPAddress, Source
from tests.netns.namespace import Namespace

pytestmark = pytest.mark.netns
WAIT = 10.0
A, B = "10.1.0.1", "10.2.0.1"
A6 = "2001:db8:1::1"
FAR = Endpoint.parse("192.0.2.9:1")


class Watch:
    """A monitor in a namespace with two links, and what it reported."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        self.changes: SimpleQueue[frozenset[IPAddress]] = SimpleQueue()
        self.stale: SimpleQueue[frozenset[Way]] = SimpleQueue()
        for name, address in (("one", f"{A}/24"), ("two", f"{B}/24")):
            namespace.ip("link", "add", "name", name, "type", "veth", "peer", "name", f"{name}-far")
            namespace.ip("link", "set", f"{name}-far", "up")
            namespace.ip("link", "set", name, "up")
            namespace.address(name, address)
        namespace.address("one", f"{A6}/64")
        self.monitor = RouteMonitor(self.changes.put, self.stale.put)

    def start(self) -> None:
        """Start it, and wait until it listens, which is what its first report says."""
        self.namespace.inside(self.monitor.start)
        assert self.changes.get(timeout=WAIT) == frozenset()

    def index(self, name: str) -> int:
        found: int = self.namespace.link(name)["ifindex"]
        return found

    def way(self, name: str, address: str, endpoint: Endpoint = FAR) -> Way:
        return Way(endpoint, Source(ip_address(address), self.index(name)))

    def gone(self) -> IPAddress:
        """Wait for the next address that is gone."""
        while True:
            addresses = self.changes.get(timeout=WAIT)
            if addresses:
                (address,) = addresses
                return address


@pytest.fixture
def watch(namespace: Namespace) -> Iterator[Watch]:
    made = Watch(namespace)
    made.start()
    yield made
    made.monitor.stop()


@pytest.mark.parametrize(
    ("name", "address", "length"), [("one", A, 24), ("two", B, 24), ("one", A6, 64)]
)
def test_an_address_that_is_gone(watch: Watch, name: str, address: str, length: int) -> None:
    watch.namespace.ip("address", "del", f"{address}/{length}", "dev", name)
    assert watch.gone() == ip_address(address)


@pytest.mark.parametrize(
    "command",
    [
        ("route", "add", "203.0.113.0/24", "dev", "two"),
        ("-6", "route", "add", "2001:db8:9::/64", "dev", "one"),
        ("rule", "add", "fwmark", "7", "table", "100"),
        ("-6", "rule", "add", "fwmark", "7", "table", "100"),
        ("address", "add", "10.3.0.1/24", "dev", "two"),
    ],
)
def test_a_change_by_which_no_address_is_gone(watch: Watch, command: tuple[str, ...]) -> None:
    # What came of the start is reported before this is.
    watch.namespace.ip("address", "del", f"{B}/24", "dev", "two")
    assert watch.gone() == ip_address(B)
    while True:
        try:
            watch.changes.get(timeout=0.3)
        except Empty:
            break
    watch.namespace.ip(*command)
    assert watch.changes.get(timeout=WAIT) == frozenset()


def test_stale_ways_are_found_among_others(watch: Watch) -> None:
    watch.namespace.ip("route", "add", "192.0.2.0/24", "dev", "two")
    stale, sound = watch.way("one", A), watch.way("two", B)
    watch.monitor.check([sound, stale, stale], 0)
    assert watch.stale.get(timeout=WAIT) == {stale}


def test_a_way_goes_stale_with_its_route(watch: Watch) -> None:
    watch.namespace.ip("route", "add", "192.0.2.0/24", "dev", "one")
    way, other = watch.way("one", A), watch.way("two", B)
    watch.monitor.check([way, other], 0)
    assert watch.stale.get(timeout=WAIT) == {other}
    watch.namespace.ip("route", "replace", "192.0.2.0/24", "dev", "two")
    watch.monitor.check([way, other], 0)
    assert watch.stale.get(timeout=WAIT) == {way}


def test_a_source_that_is_not_ours_any_more(watch: Watch) -> None:
    watch.namespace.ip("route", "add", "192.0.2.0/24", "dev", "one")
    way = watch.way("one", "10.1.0.77")
    watch.monitor.check([way], 0)
    assert watch.stale.get(timeout=WAIT) == {way}


def test_the_mark_decides_about_the_way(watch: Watch) -> None:
    watch.namespace.ip("route", "add", "192.0.2.0/24", "dev", "one")
    watch.namespace.ip("route", "add", "192.0.2.0/24", "dev", "two", "table", "100")
    watch.namespace.ip("rule", "add", "fwmark", "7", "table", "100")
    by_a, by_b = watch.way("one", A), watch.way("two", B)
    for mark, stale in ((0, by_b), (7, by_a)):
        watch.monitor.check([by_a, by_b], mark)
        assert watch.stale.get(timeout=WAIT) == {stale}


def test_what_is_unreachable_or_scoped_is_kept(watch: Watch) -> None:
    unreachable = watch.way("one", A)
    scoped = watch.way("one", "fe80::1", Endpoint.parse(f"[fe80::2%{watch.index('two')}]:1"))
    watch.monitor.check([unreachable, scoped], 0)
    assert watch.stale.get(timeout=WAIT) == frozenset()


def test_after_the_end_nothing_is_reported(watch: Watch) -> None:
    watch.monitor.stop()
    while not watch.changes.empty():
        watch.changes.get()
    watch.namespace.ip("address", "del", f"{A}/24", "dev", "one")
    watch.monitor.check([watch.way("one", A, Endpoint.parse("10.2.0.9:1"))], 0)
    assert watch.changes.empty()
    assert watch.stale.empty()
    watch.monitor.stop()
