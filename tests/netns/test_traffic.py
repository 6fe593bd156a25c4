"""Ping, TCP and UDP through real tunnels, whatever carries them and however large the packets."""

from __future__ import annotations

import pytest

from tests.netns.capture import TRANSPORT, Capture
from tests.netns.lab import Laboratory, Tunnel
from tests.netns.topology import LOOPBACK, Pair, shared_middle, two_hosts
from tests.netns.traffic import burst_udp, echo_udp, iperf3
from tests.peers import Program

pytestmark = pytest.mark.netns

FAMILIES = pytest.mark.parametrize("outer", [4, 6], ids=["outer-ipv4", "outer-ipv6"])
MTUS = pytest.mark.parametrize("mtu", [1280, 1420, 8920, 34736])
LARGEST_UDP = 65507


def test_counters_are_exact_after_ten_pings(middle_pair: Pair) -> None:
    """Left pings right ten times; no byte more than that is counted anywhere.

    Ten pings of 84 bytes are ten messages of 128 each way. The initiation adds 148, the response
    92, and the initiator may add one keepalive of 32 to confirm its keys.
    """
    left, right = middle_pair.left, middle_pair.right
    middle_pair.up()
    left.namespace.ping(right.inner4, count=10)
    received, sent = left.transfer(right.keys.public)
    assert (received, sent) in {(1372, 1428), (1372, 1460)}
    assert right.transfer(left.keys.public) == (sent, received)
    for tunnel in (left, right):
        assert_link_counters(tunnel)
        assert int(tunnel.show("latest-handshakes")[0][1]) > 0


def assert_link_counters(tunnel: Tunnel) -> None:
    """The link has seen ten pings, perhaps a few words of IPv6 housekeeping, and nothing else."""
    statistics = tunnel.namespace.link(tunnel.name)["stats64"]
    for direction in ("rx", "tx"):
        assert 840 <= statistics[direction]["bytes"] < 1500
        assert statistics[direction]["errors"] == 0


@FAMILIES
@MTUS
def test_every_size_over_either_family(
    lab: Laboratory, program: Program, outer: int, mtu: int
) -> None:
    """Both ends take packets of the MTU, and everything larger in pieces."""
    pair = shared_middle(lab, program, program)
    pair.meet(LOOPBACK[outer], LOOPBACK[outer])
    pair.up(mtu)
    pair.ping(count=20)
    pair.transfer()
    sizes = (0, 1, 15, 16, mtu - 49, mtu - 48, mtu - 28, mtu - 27, 4000, LARGEST_UDP)
    for near, far in ((pair.left, pair.right), (pair.right, pair.left)):
        for address in (far.inner4, far.inner6):
            echo_udp(near.namespace, far.namespace, address, *sizes)
            burst_udp(near.namespace, far.namespace, address)


@pytest.mark.parametrize("inner", [4, 6], ids=["inner-ipv4", "inner-ipv6"])
def test_four_parallel_streams_both_ways(hosts: Pair, inner: int) -> None:
    """Eight TCP streams at once over a cable; every one of them moves."""
    hosts.up()
    address = hosts.right.inner4 if inner == 4 else hosts.right.inner6
    options = ("--bidir", "-P", "4", "-t", "2")
    end = iperf3(hosts.left.namespace, hosts.right.namespace, address, *options)
    streams = [stream["receiver"]["bytes"] for stream in end["streams"]]
    assert len(streams) == 8
    assert all(streams), streams


def test_unpaced_udp_does_no_harm(hosts: Pair) -> None:
    """A second of UDP as fast as it goes loses what it must, and the tunnel stays alive."""
    hosts.up()
    right = hosts.right
    options = ("-u", "-b", "0", "-t", "1", "-l", "1200")
    end = iperf3(hosts.left.namespace, right.namespace, right.inner4, *options)
    assert end["sum"]["packets"] > end["sum"]["lost_packets"]
    hosts.ping(count=5)


def test_a_packet_is_not_padded_beyond_the_route_mtu(hosts: Pair) -> None:
    """MTU 1300 on the interface, 1299 on the route: 1297 bytes do not become 1300 or more.

    An implementation that cannot know the route's MTU leaves such a packet unpadded.
    """
    left, right = hosts.left, hosts.right
    hosts.up(1300)
    left.namespace.ip("route", "add", f"{right.inner4}/32", "dev", left.name, "mtu", "1299")
    right.namespace.ip("route", "add", f"{left.inner4}/32", "dev", right.name, "mtu", "1299")
    with Capture(right.namespace, "wire0") as capture:
        left.namespace.ping(right.inner4, size=1269)
        lengths = [d.packet.length for d in capture.datagrams(TRANSPORT)]
    assert lengths
    assert max(lengths) < 20 + 8 + 32 + 1300


def test_small_packets_are_padded(hosts: Pair) -> None:
    """What is on the wire tells the length only to sixteen bytes."""
    hosts.up()
    with Capture(hosts.outside, "wire0") as capture:
        for size in (0, 1, 40, 56, 100):
            hosts.left.namespace.ping(hosts.right.inner4, size=size)
        payloads = {len(d.payload) - 32 for d in capture.datagrams(TRANSPORT)}
    assert payloads - {0} == {32, 80, 96, 128}


def test_changing_mtu_while_in_use(lab: Laboratory, program: Program) -> None:
    """The MTU goes up and down under a live tunnel; each time packets of that size pass whole."""
    pair = two_hosts(lab, program, program)
    for host in (pair.left.namespace, pair.right.namespace):
        host.ip("link", "set", "wire0", "mtu", "9000")
    pair.up()
    for mtu in (1420, 1280, 8920, 1380, 1420):
        pair.up(mtu)
        pair.left.namespace.ping(pair.right.inner4, "-M", "do", size=mtu - 28)
        pair.right.namespace.ping(pair.left.inner6, "-M", "do", size=mtu - 48)
        pair.transfer(1 << 18)
