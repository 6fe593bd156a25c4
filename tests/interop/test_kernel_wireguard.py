"""Against Linux's own WireGuard: both roles, both families, and what each counts of the other."""

from __future__ import annotations

import subprocess
import time

import pytest

from tests.interop.kernel_pair import (
    OURS4,
    OURS6,
    THEIRS4,
    THEIRS6,
    KernelPair,
    carry_both_ways,
)
from tests.netns.lab import KeyPair, eventually
from tests.netns.namespace import run

pytestmark = [pytest.mark.netns, pytest.mark.interop]

REKEY_SECONDS = 130


@pytest.mark.parametrize("preshared", [False, True], ids=["plain", "preshared"])
@pytest.mark.parametrize("outer", [4, 6], ids=["outer4", "outer6"])
@pytest.mark.parametrize("initiator", ["ours", "kernel"])
def test_a_handshake_and_pings_in_both_families(
    pair: KernelPair, initiator: str, outer: int, preshared: bool
) -> None:
    pair.introduce(initiator, outer=outer, preshared=run("wg", "genpsk") if preshared else "")
    pair.ping_from(initiator)
    pair.ours.namespace.ping(THEIRS6, count=5)
    pair.theirs.ping(OURS4, count=5)
    pair.theirs.ping(OURS6, count=5)
    assert all(pair.handshake_times())


@pytest.mark.parametrize("initiator", ["ours", "kernel"])
def test_a_wrong_preshared_key_opens_nothing(pair: KernelPair, initiator: str) -> None:
    pair.introduce(initiator, preshared=run("wg", "genpsk"))
    pair.theirs.peer(pair.ours.keys.public, "", preshared=run("wg", "genpsk"))
    with pytest.raises(Exception, match=r"100% packet loss"):
        pair.ping_from(initiator)
    assert pair.handshake_times()[0 if initiator == "ours" else 1] == 0


@pytest.mark.parametrize("initiator", ["ours", "kernel"])
def test_each_counts_what_the_other_sent(pair: KernelPair, initiator: str) -> None:
    pair.introduce(initiator)
    pair.ping_from(initiator, count=10)
    received, sent = pair.ours.transfer(pair.theirs.keys.public)
    assert pair.theirs.transfer(pair.ours.keys.public) == (sent, received)
    from_initiator, from_responder = (sent, received) if initiator == "ours" else (received, sent)
    assert from_initiator in (148 + 10 * 128, 148 + 10 * 128 + 32)
    assert from_responder == 92 + 10 * 128


@pytest.mark.parametrize("size", [0, 4, 5, 1372, 1380, 1383, 1391, 1392])
def test_both_pad_alike_as_long_as_there_is_room(pair: KernelPair, size: int) -> None:
    """The kernel fills up to the MTU of a route, which a program does not know; it adds nothing."""
    pair.introduce("ours")
    pair.ping_from("ours")
    before = pair.ours.transfer(pair.theirs.keys.public)
    pair.ping_from("ours", size=size)
    received, sent = pair.ours.transfer(pair.theirs.keys.public)
    length = size + 28
    padded = -(-length // 16) * 16
    assert received - before[0] == 32 + min(padded, 1420)
    assert sent - before[1] == 32 + (padded if padded <= 1420 else length)
    assert pair.theirs.transfer(pair.ours.keys.public) == (sent, received)


@pytest.mark.parametrize("outer", [4, 6], ids=["outer4", "outer6"])
def test_full_size_frames_pass_unfragmented(pair: KernelPair, outer: int) -> None:
    pair.introduce("ours", outer=outer)
    for size, ours, theirs in ((1392, OURS4, THEIRS4), (1372, OURS6, THEIRS6)):
        pair.ours.namespace.ping(theirs, "-M", "do", size=size, count=5)
        pair.theirs.ping(ours, size=size, count=5, more="-M do")


@pytest.mark.parametrize("inner", [4, 6], ids=["inner4", "inner6"])
@pytest.mark.parametrize("outer", [4, 6], ids=["outer4", "outer6"])
def test_a_transfer_each_way_arrives_as_it_left(pair: KernelPair, inner: int, outer: int) -> None:
    pair.introduce("kernel", outer=outer)
    pair.ping_from("kernel")
    carry_both_ways(pair, OURS4 if inner == 4 else OURS6, 4 << 20)


def test_their_new_key_is_taken_at_once(pair: KernelPair) -> None:
    pair.introduce("ours")
    pair.ping_from("ours")
    old = pair.theirs.keys.public
    pair.theirs.set_key(KeyPair.generate())
    pair.ours.peer(old, "remove")
    pair.introduce("ours")
    pair.ping_from("ours")
    pair.ping_from("kernel")


def test_our_new_key_is_taken_at_once(pair: KernelPair) -> None:
    pair.introduce("ours")
    pair.ping_from("ours")
    old = pair.ours.keys.public
    pair.ours.set_key(KeyPair.generate())
    pair.theirs.set(f"peer {old} remove")
    pair.introduce("ours")
    pair.ping_from("ours")
    pair.ping_from("kernel")


def test_they_follow_our_new_port(pair: KernelPair) -> None:
    pair.introduce("ours")
    pair.ping_from("ours")
    pair.ours.set("listen-port", "9999")
    pair.ping_from("ours")
    endpoint = pair.theirs.shown("endpoints", pair.ours.keys.public)
    assert endpoint == f"{pair.sides.host4}:9999"


def test_we_follow_their_new_port(pair: KernelPair) -> None:
    pair.introduce("kernel")
    pair.ping_from("kernel")
    pair.theirs.set("listen-port 9998")
    pair.ping_from("kernel")
    endpoint = pair.ours.shown("endpoints", pair.theirs.keys.public)
    assert endpoint == f"{pair.sides.guest4}:9998"


@pytest.mark.parametrize("sender", ["ours", "kernel"])
def test_persistent_keepalives_arrive(pair: KernelPair, sender: str) -> None:
    pair.introduce(sender)
    if sender == "ours":
        pair.ours.peer(pair.theirs.keys.public, "persistent-keepalive", "1")
    else:
        pair.theirs.peer(pair.ours.keys.public, "persistent-keepalive 1")

    def received() -> int:
        if sender == "ours":
            return pair.theirs.transfer(pair.ours.keys.public)[0]
        return pair.ours.transfer(pair.theirs.keys.public)[0]

    eventually("a handshake and three keepalives", lambda: received() >= 148 + 3 * 32, 6)


@pytest.mark.slow
@pytest.mark.parametrize("initiator", ["ours", "kernel"])
def test_a_rekey_loses_no_ping(pair: KernelPair, initiator: str) -> None:
    pair.introduce(initiator)
    pair.ping_from(initiator)
    first = pair.handshake_times()
    pings = _steady_pings(pair)
    time.sleep(REKEY_SECONDS)
    assert "0% packet loss" in pings.communicate(timeout=30)[0]
    ours, theirs = (b - a for a, b in zip(first, pair.handshake_times(), strict=True))
    assert 118 <= ours <= 128
    assert 118 <= theirs <= 128


def _steady_pings(pair: KernelPair) -> subprocess.Popen[str]:
    count = str(REKEY_SECONDS * 5)
    return pair.ours.namespace.start("ping", "-n", "-q", "-i", "0.2", "-c", count, THEIRS4)
