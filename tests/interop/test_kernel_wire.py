"""What ours and the kernel's WireGuard put around each other's packets, and on a bad wire."""

from __future__ import annotations

import pytest

from tests.interop.kernel_pair import (
    OURS4,
    OURS6,
    PORT,
    THEIRS4,
    THEIRS6,
    KernelPair,
    bracketed,
    carry_both_ways,
)
from tests.netns.capture import INITIATION, RESPONSE, TRANSPORT, Capture
from tests.peers import need

pytestmark = [pytest.mark.netns, pytest.mark.interop]

OUTER = pytest.mark.parametrize("outer", [4, 6], ids=["outer4", "outer6"])
AF41 = 0x88
EXPEDITED_ECT0 = 0xBA
ECT0, CE = 2, 3
SAY_CONGESTED = """
table inet wire { chain in { type filter hook prerouting priority mangle;
  ip ecn ect0 ip protocol udp ip ecn set ce;
  ip6 ecn ect0 meta l4proto udp ip6 ecn set ce;
}; }
"""
SECOND4, SECOND6 = "192.0.2.20", "2001:db8::20"


@OUTER
@pytest.mark.parametrize("initiator", ["ours", "kernel"])
def test_both_mark_handshakes_alike(pair: KernelPair, initiator: str, outer: int) -> None:
    pair.introduce(initiator, outer=outer)
    with Capture(pair.sides.host, "eth0") as capture:
        pair.ping_from(initiator)
        classes = [
            capture.datagrams(kind)[0].packet.traffic_class for kind in (INITIATION, RESPONSE)
        ]
    assert classes == [AF41, AF41]


@OUTER
def test_both_copy_congestion_bits_and_nothing_else(pair: KernelPair, outer: int) -> None:
    pair.introduce("ours", outer=outer)
    pair.ping_from("ours")
    with Capture(pair.sides.host, "eth0") as capture:
        for ours, theirs in ((OURS4, THEIRS4), (OURS6, THEIRS6)):
            pair.ours.namespace.ping(theirs, "-Q", hex(EXPEDITED_ECT0))
            pair.theirs.ping(ours, more=f"-Q {EXPEDITED_ECT0:#x}")
        requests = [d for d in capture.datagrams(TRANSPORT) if len(d.payload) > 32]
    assert {d.packet.source for d in requests} == set(pair.outer_addresses(outer))
    assert {d.packet.traffic_class for d in requests} == {ECT0}


@OUTER
def test_congestion_on_the_way_reaches_us(pair: KernelPair, outer: int) -> None:
    need("nft")
    pair.introduce("ours", outer=outer)
    pair.ping_from("ours")
    pair.sides.host.nft(SAY_CONGESTED)
    try:
        with Capture(pair.ours.namespace, pair.ours.name) as inside:
            for ours in (OURS4, OURS6):
                pair.theirs.ping(ours, more=f"-Q {EXPEDITED_ECT0:#x}")
            heard = [p for p in inside.packets() if p.source in (THEIRS4, THEIRS6)]
    finally:
        pair.sides.host.nft("delete table inet wire")
    assert [p.traffic_class for p in heard] == [EXPEDITED_ECT0 | CE] * 2


@OUTER
def test_we_answer_from_the_address_they_spoke_to(pair: KernelPair, outer: int) -> None:
    second = bracketed(SECOND4 if outer == 4 else SECOND6)
    pair.sides.host.address("eth0", f"{SECOND4}/24", f"{SECOND6}/64")
    try:
        pair.introduce("kernel", outer=outer)
        pair.theirs.peer(pair.ours.keys.public, f"endpoint {second}:{PORT}")
        pair.theirs.ping(OURS4, count=5)
        assert pair.theirs.shown("endpoints", pair.ours.keys.public) == f"{second}:{PORT}"
    finally:
        pair.sides.host.ip("address", "delete", f"{SECOND4}/24", "dev", "eth0")
        pair.sides.host.ip("address", "delete", f"{SECOND6}/64", "dev", "eth0")


def test_transfers_survive_a_bad_wire(pair: KernelPair) -> None:
    """The guest's card delays, overtakes, loses and doubles what it sends."""
    pair.introduce("ours")
    pair.ping_from("ours")
    bad = "delay 3ms 2ms loss 1% duplicate 2% reorder 25%"
    pair.theirs.guest.run(f"/host/tc qdisc replace dev eth0 root netem {bad}")
    try:
        for address in (OURS4, OURS6):
            carry_both_ways(pair, address, 1 << 20)
    finally:
        pair.theirs.guest.run("/host/tc qdisc delete dev eth0 root")
