"""Pings, TCP and UDP, and many streams at once, over both outer families and two MTUs."""

from __future__ import annotations

import pytest

from tests.netns.topology import LOOPBACK, Pair
from tests.netns.traffic import iperf3

pytestmark = pytest.mark.netns

OUTER = pytest.mark.parametrize("outer", [4, 6], ids=["outer4", "outer6"])
MTUS = pytest.mark.parametrize("mtu", [1420, 34736])
TWO_OF_FOUR = pytest.mark.parametrize(
    ("outer", "mtu"), [(4, 1420), (6, 34736)], ids=["outer4-1420", "outer6-34736"]
)


@OUTER
@MTUS
def test_pings_and_tcp_both_ways(pair: Pair, outer: int, mtu: int) -> None:
    _begin(pair, outer, mtu)
    pair.ping(count=10)
    pair.transfer()


@TWO_OF_FOUR
def test_udp_as_fast_as_it_goes(pair: Pair, outer: int, mtu: int) -> None:
    _begin(pair, outer, mtu)
    for address in (pair.right.inner4, pair.right.inner6):
        _iperf3(pair, address, "-u", "-b", "0", "-t", "1")
    pair.ping()


@TWO_OF_FOUR
@pytest.mark.parametrize("streams", [4, 5, 50])
def test_parallel_streams(pair: Pair, outer: int, mtu: int, streams: int) -> None:
    _begin(pair, outer, mtu)
    for address in (pair.right.inner4, pair.right.inner6):
        _iperf3(pair, address, "-P", str(streams), "-t", "1")


@pytest.mark.slow
@OUTER
@MTUS
def test_three_seconds_of_everything(pair: Pair, outer: int, mtu: int) -> None:
    _begin(pair, outer, mtu)
    for address in (pair.right.inner4, pair.right.inner6):
        _iperf3(pair, address, "-Z", "-t", "3")
        _iperf3(pair, address, "-Z", "-t", "3", "-R")
        _iperf3(pair, address, "-u", "-b", "0", "-t", "3")
        for streams in ("4", "5", "50"):
            _iperf3(pair, address, "-P", streams, "-t", "3")


def _begin(pair: Pair, outer: int, mtu: int) -> None:
    pair.meet(LOOPBACK[outer], LOOPBACK[outer])
    pair.up(mtu)
    pair.ping()


def _iperf3(pair: Pair, address: str, *options: str) -> None:
    report = iperf3(pair.left.namespace, pair.right.namespace, address, *options)
    received = report.get("sum_received", report.get("sum", {}))
    assert received["bytes"] > 0
