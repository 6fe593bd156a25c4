"""Keys that change, are cleared, are one's own, or need clamping; prefixes that are replaced."""

from __future__ import annotations

import pytest

from tests.netns.lab import KeyPair, Laboratory, Tunnel
from tests.netns.namespace import run
from tests.netns.topology import Pair
from tests.peers import Program

pytestmark = pytest.mark.netns

EMPTY = "/dev/null"
ALL_BITS = "//////////////////////////////////////////8="
ALL_BITS_CLAMPED = "+P///////////////////////////////////////38="
OVERLAPPING = "::/0,1700::/111,5000::/4,e000::/37,9000::/75"


@pytest.fixture
def alone(lab: Laboratory, program: Program) -> Tunnel:
    """One interface without a key, down."""
    return lab.tunnel(program, lab.namespace("alone")).start()


def test_a_new_key_and_a_swapped_peer_shake_hands_at_once(pair: Pair) -> None:
    left, right = pair.left, pair.right
    pair.up()
    pair.ping()
    old = left.keys.public
    left.set_key(KeyPair.generate())
    right.peer(left.keys.public, "allowed-ips", f"{left.inner4}/32,{left.inner6}/128")
    right.peer(old, "remove")
    left.namespace.ping(right.inner4)
    right.namespace.ping(left.inner6)


def test_an_empty_file_clears_the_private_key(alone: Tunnel) -> None:
    alone.set_key()
    assert alone.shown("private-key") == alone.keys.private
    alone.set("private-key", EMPTY)
    assert alone.shown("private-key") == "(none)"
    assert alone.shown("public-key") == "(none)"


def test_an_empty_file_clears_the_preshared_key(alone: Tunnel) -> None:
    peer, preshared = KeyPair.generate().public, run("wg", "genpsk").strip()
    alone.peer(peer, preshared=preshared)
    assert alone.shown("preshared-keys", peer) == preshared
    alone.peer(peer, "preshared-key", EMPTY)
    assert alone.shown("preshared-keys", peer) == "(none)"


def test_a_peer_that_becomes_ourselves_disappears(alone: Tunnel) -> None:
    mine, other = KeyPair.generate(), KeyPair.generate()
    alone.peer(mine.public)
    alone.peer(other.public)
    alone.set_key(mine)
    assert _peers(alone) == [other.public]


def test_ourselves_cannot_be_added_until_our_key_is_another(alone: Tunnel) -> None:
    mine = KeyPair.generate()
    alone.set_key(mine)
    alone.peer(mine.public)
    assert _peers(alone) == []
    alone.set_key(KeyPair.generate())
    alone.peer(mine.public)
    assert _peers(alone) == [mine.public]


def test_a_key_reads_back_clamped(alone: Tunnel) -> None:
    alone.set_key(KeyPair(ALL_BITS, ""))
    assert alone.shown("private-key") == ALL_BITS_CLAMPED
    assert alone.shown("public-key") == run("wg", "pubkey", stdin=ALL_BITS_CLAMPED).strip()


def test_overlapping_prefixes_are_replaced_again_and_again(alone: Tunnel) -> None:
    one, other = KeyPair.generate().public, KeyPair.generate().public
    for _ in range(3):
        for prefixes in (f"0.0.0.0/0,{OVERLAPPING}", "0.0.0.0/0", OVERLAPPING, "::/0"):
            for peer in (one, other):
                alone.peer(peer, "allowed-ips", prefixes)
                assert set(alone.shown("allowed-ips", peer).split()) == set(prefixes.split(","))
            assert alone.shown("allowed-ips", one) == "(none)"
    alone.peer(one, "allowed-ips", "")
    assert alone.shown("allowed-ips", other) == "::/0"


def test_a_prefix_moves_to_whoever_was_given_it_last(alone: Tunnel) -> None:
    one, other = KeyPair.generate().public, KeyPair.generate().public
    alone.peer(one, "allowed-ips", "10.0.0.0/8,10.1.0.0/16")
    alone.peer(other, "allowed-ips", "10.1.2.3/16")
    assert alone.shown("allowed-ips", one) == "10.0.0.0/8"
    assert alone.shown("allowed-ips", other) == "10.1.0.0/16"


def _peers(tunnel: Tunnel) -> list[str]:
    return [row[0] for row in tunnel.show("peers")]
