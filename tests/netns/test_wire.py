"""What is to be seen on the wire: silence, traffic classes, and answers about lost packets."""

from __future__ import annotations

import time

import pytest

from tests.netns.capture import ICMP, ICMP6, INITIATION, RESPONSE, TRANSPORT, Capture, Packet
from tests.netns.lab import KeyPair, Laboratory, eventually
from tests.netns.topology import WIRE, Pair, shared_middle, two_hosts
from tests.netns.traffic import send_tcp
from tests.peers import Program, need

pytestmark = pytest.mark.netns

FAMILIES = pytest.mark.parametrize("outer", [4, 6], ids=["outer-ipv4", "outer-ipv6"])
AF41 = 0x88
NOT_ECT, ECT1, ECT0, CE = 0, 1, 2, 3

# Points of low order: their shared secret with any key is zero, hence known to everybody.
LOW_ORDER = (
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "4Ot6fDtBuK4WVuP68Z/EatoJjeucMrH9hmIFFl9JuAA=",
    "X5yVvKNQjCSx0LFVnIPvWwREXMRYHI6G2CJO3dCfEVc=",
    "7P///////////////////////////////////////38=",
    "7f///////////////////////////////////////38=",
    "7v///////////////////////////////////////38=",
)


# ---------------------------------------------------------------- silence


def test_nothing_is_sent_before_the_interface_is_up(hosts: Pair) -> None:
    """A key, a peer and a keepalive are there; still not a datagram. Up: the handshake at once."""
    left, right = hosts.left, hosts.right
    right.up()
    left.peer(right.keys.public, "persistent-keepalive", "1")
    with Capture(hosts.outside, "wire0") as capture:
        time.sleep(1.5)
        assert capture.datagrams() == []
        assert left.transfer(right.keys.public) == (0, 0)
        left.up()
        eventually("the handshake", lambda: bool(capture.datagrams(RESPONSE)), 1)


def test_nothing_is_sent_before_the_interface_is_up_elsewhere(
    lab: Laboratory, program: Program
) -> None:
    """The same when the interface has been moved away, where its state is harder to see."""
    pair = shared_middle(lab, program, program)
    pair.meet("127.0.0.1", "127.0.0.1")
    pair.left.peer(pair.right.keys.public, "persistent-keepalive", "1")
    with Capture(pair.outside, "lo") as capture:
        time.sleep(1.5)
        assert capture.datagrams() == []
        pair.right.up()
        pair.left.up()
        eventually("the handshake", lambda: bool(capture.datagrams(RESPONSE)), 1)


def test_nothing_is_sent_before_there_is_a_key(hosts: Pair) -> None:
    """Up, with a peer and a keepalive, but without a key: silence. A key: the handshake at once."""
    left, right = hosts.left, hosts.right
    left.ask(f"set=1\nprivate_key={'0' * 64}\n\n")
    left.peer(right.keys.public, "persistent-keepalive", "1")
    hosts.up()
    with Capture(hosts.outside, "wire0") as capture:
        assert left.namespace.answers(right.inner4) == 0
        assert capture.datagrams() == []
        left.set_key()
        eventually("the handshake", lambda: bool(capture.datagrams(RESPONSE)), 1)
        left.namespace.ping(right.inner4)


def test_a_keepalive_turned_on_is_sent_at_once(hosts: Pair) -> None:
    """From none to some while up: a handshake now, not an interval later."""
    left, right = hosts.left, hosts.right
    hosts.up()
    with Capture(hosts.outside, "wire0") as capture:
        left.peer(right.keys.public, "persistent-keepalive", "25")
        eventually("the handshake", lambda: bool(capture.datagrams(TRANSPORT)), 1)
    assert [len(d.payload) for d in capture.datagrams(TRANSPORT)] == [32]


def test_a_peer_of_low_order_is_never_spoken_to(hosts: Pair) -> None:
    """Seven such peers with a keepalive every second, and a ping for one of them: silence."""
    left = hosts.left
    left.peer(hosts.right.keys.public, "remove")
    for number, public in enumerate(LOW_ORDER):
        there = ("endpoint", f"{WIRE[4][1]}:{5000 + number}", "persistent-keepalive", "1")
        left.peer(public, *there, "allowed-ips", f"10.77.0.{100 + number}/32")
    with Capture(hosts.outside, "wire0") as capture:
        left.up()
        assert left.namespace.answers("10.77.0.100") == 0
        time.sleep(1)
        assert capture.datagrams() == []
    assert {tuple(row[1:]) for row in left.show("transfer")} == {("0", "0")}


def test_a_quiet_tunnel_is_silent(hosts: Pair) -> None:
    """After an exchange that was answered, nobody has a reason to say anything more."""
    hosts.up()
    hosts.left.namespace.ping(hosts.right.inner4)
    time.sleep(0.5)
    with Capture(hosts.outside, "wire0") as capture:
        time.sleep(3)
        assert capture.datagrams() == []


# ---------------------------------------------------------------- traffic classes


@FAMILIES
def test_handshakes_are_af41_and_data_is_not(lab: Laboratory, program: Program, outer: int) -> None:
    """Initiation and response have DSCP AF41; data has none, whatever the packet inside says."""
    pair = two_hosts(lab, program, program, outer)
    pair.up()
    with Capture(pair.outside, "wire0") as capture:
        pair.left.namespace.ping(pair.right.inner4, "-Q", "0xb8")
        pair.left.namespace.ping(pair.right.inner6, "-Q", "0xb8")
        classes = {kind: traffic_classes(capture, kind) for kind in (INITIATION, RESPONSE)}
        assert classes == {INITIATION: {AF41}, RESPONSE: {AF41}}
        assert traffic_classes(capture, TRANSPORT) == {0}


def traffic_classes(capture: Capture, kind: int) -> set[int]:
    """Return the outer traffic classes of all messages of one type."""
    return {d.packet.traffic_class for d in capture.datagrams(kind)}


@FAMILIES
@pytest.mark.parametrize("ecn", [NOT_ECT, ECT1, ECT0, CE])
def test_congestion_marks_are_copied_out(
    lab: Laboratory, program: Program, outer: int, ecn: int
) -> None:
    """The two ECN bits of the inner packet, of either family, are those of the outer one."""
    pair = two_hosts(lab, program, program, outer)
    pair.up()
    pair.ping()
    for address in (pair.right.inner4, pair.right.inner6):
        with Capture(pair.outside, "wire0") as capture:
            pair.left.namespace.ping(address, "-Q", hex(0xB8 | ecn))
            asked, *_ = (d.ecn for d in capture.datagrams(TRANSPORT))
            assert asked == ecn


CONGESTED = """
table inet congestion {{ chain before {{ type filter hook prerouting priority -300;
  udp dport 1002 udp length > 100 {family} ecn set ce;
}}; }}
"""


@FAMILIES
@pytest.mark.parametrize(
    ("sent", "arrives"), [(NOT_ECT, NOT_ECT), (ECT1, CE), (ECT0, CE), (CE, CE)]
)
def test_congestion_on_the_way_is_told_inside(
    lab: Laboratory, program: Program, outer: int, sent: int, arrives: int
) -> None:
    """Outer packets get marked on their way to right; inner packets that can say it do.

    Their checksums are right, for otherwise the ping would not be answered.
    """
    need("nft")
    pair = two_hosts(lab, program, program, outer)
    right = pair.right
    pair.up()
    pair.ping()
    right.namespace.nft(CONGESTED.format(family="ip" if outer == 4 else "ip6"))
    for address in (right.inner4, right.inner6):
        with Capture(right.namespace, right.name) as capture:
            pair.left.namespace.ping(address, "-Q", hex(sent))
            delivered = [p.traffic_class & 3 for p in capture.packets() if p.destination == address]
            assert delivered == [arrives]


def test_tcp_learns_about_congestion(hosts: Pair) -> None:
    """A transfer that negotiated ECN is marked on the way: it stays whole, and slows down by it."""
    need("nft")
    left, right = hosts.left, hosts.right
    hosts.up()
    for tunnel in (left, right):
        tunnel.namespace.sysctl("net/ipv4/tcp_ecn", 1)
    right.namespace.nft(CONGESTED.format(family="ip"))
    with Capture(right.namespace, right.name) as capture:
        send_tcp(left.namespace, right.namespace, right.inner4, 1 << 20)
        marks = {p.traffic_class & 3 for p in capture.packets() if len(p.body) > 1000}
        assert marks == {CE}
    with Capture(hosts.outside, "wire0") as capture:
        send_tcp(left.namespace, right.namespace, right.inner4, 1 << 18)
        marks = {d.ecn for d in capture.datagrams(TRANSPORT) if len(d.payload) > 1000}
        assert ECT0 in marks
        assert marks <= {ECT0, CE}


# ---------------------------------------------------------------- packets that nobody takes


def unreachable(tunnel_pair: Pair, address: str) -> list[Packet]:
    """Ping a lost address from left; return the errors that left's tunnel gave back."""
    left = tunnel_pair.left
    protocol, kind, code = (ICMP6, 1, 3) if ":" in address else (ICMP, 3, 1)
    with Capture(left.namespace, left.name) as capture:
        assert left.namespace.answers(address) == 0
        return [p for p in capture.packets(protocol) if p.body[:2] == bytes((kind, code))]


@pytest.mark.parametrize("address", ["10.77.0.99", "fd77::99"])
def test_a_destination_without_a_peer_is_reported(hosts: Pair, address: str) -> None:
    """The sender is told "host unreachable" at once, and its system believes it."""
    hosts.up()
    (error,) = unreachable(hosts, address)
    assert error.destination in (hosts.left.inner4, hosts.left.inner6)
    output = hosts.left.namespace.start("ping", "-n", "-c", "1", "-W", "1", address)
    told, _ = output.communicate(timeout=10)
    assert "nreachable" in told


@pytest.mark.parametrize("address", ["10.77.0.98", "fd77::98"])
def test_a_peer_without_an_endpoint_is_reported(hosts: Pair, address: str) -> None:
    """Nobody knows where that peer is, so the sender is told the same."""
    hosts.up()
    stranger = KeyPair.generate().public
    hosts.left.peer(stranger, "allowed-ips", f"{address}/{128 if ':' in address else 32}")
    assert unreachable(hosts, address)


def test_nothing_is_reported_about_multicast(hosts: Pair) -> None:
    """A packet for a group that no peer has is dropped without a word."""
    hosts.up()
    left = hosts.left
    with Capture(left.namespace, left.name) as capture:
        for group in ("224.0.0.7", "ff02::7"):
            left.namespace.answers(group, "-I", left.name)
        assert not [p for p in capture.packets(ICMP) if p.body[0] == 3]
        assert not [p for p in capture.packets(ICMP6) if p.body[0] == 1]
