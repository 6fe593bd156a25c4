"""Changes of keys, ours, theirs and shared, and keys that nobody should have."""

from __future__ import annotations

import pytest

from kubespan.model.drop import DropReason
from kubespan.model.keys import PresharedKey, PublicKey
from tests.simulated.conftest import CreatePath
from tests.simulated.pair import (
    ALICE,
    BOB,
    INITIATION,
    RESPONSE,
    TRANSPORT,
    Pair,
    add_node,
    introduce,
    private_key,
)
from tests.vectors.reader import read

SECRET = PresharedKey(bytes(range(32)))


def set_preshared_key(pair: Pair, *, at_alice: bool = True, at_bob: bool = True) -> None:
    if at_alice:
        pair.alice.interface.set_preshared_key(pair.bob_at_alice, SECRET)
    if at_bob:
        pair.bob.interface.set_preshared_key(pair.alice_at_bob, SECRET)


def test_a_shared_preshared_key_connects(pair: Pair) -> None:
    set_preshared_key(pair)
    packet = pair.alice_sends()
    pair.run(1.0)
    assert pair.bob.delivered == [packet]


@pytest.mark.parametrize("at_alice", [True, False])
def test_a_preshared_key_on_one_side_does_not(pair: Pair, at_alice: bool) -> None:
    set_preshared_key(pair, at_alice=at_alice, at_bob=not at_alice)
    pair.alice_sends()
    pair.run(1.0)
    assert pair.bob.delivered == []
    assert pair.alice.drops == {DropReason.BAD_AEAD: 1}
    # The other side's message changed nothing: once the keys agree, the retry succeeds.
    set_preshared_key(pair)
    pair.run(5.0)
    assert len(pair.bob.delivered) == 1


def test_a_new_preshared_key_counts_from_the_next_handshake(connected: Pair) -> None:
    set_preshared_key(connected, at_bob=False)
    connected.ping()
    assert len(connected.alice.delivered) == len(connected.bob.delivered) == 1
    connected.run_until(125.0)
    connected.alice_sends()
    connected.run(1.0)
    # The old session still works, the new one cannot be made.
    assert connected.alice.drops == {DropReason.BAD_AEAD: 1}
    set_preshared_key(connected, at_alice=False)
    connected.run(6.0)
    assert connected.bob_at_alice.slot.current.created_at > 1125.0  # type: ignore[union-attr]


def test_our_new_key_begins_a_handshake_with_the_next_packet(connected: Pair) -> None:
    net, alice, bob = connected.net, connected.alice, connected.bob
    bob_before = connected.alice_at_bob
    net.perform(alice, alice.interface.set_private_key(private_key(77), net.now))
    net.perform(bob, bob.interface.remove_peer(bob_before.public_key, net.now))
    introduce(net, bob, alice, f"{ALICE}/32", is_known=False)
    packet = connected.alice_sends()
    # It is not sent under the old session, and the handshake does not wait.
    assert connected.sent(alice, TRANSPORT) == []
    assert connected.sent(alice, INITIATION) == [net.elapsed]
    connected.run(1.0)
    assert bob.delivered == [packet]


def test_what_was_under_way_when_our_key_changed_still_arrives(connected: Pair) -> None:
    net, alice = connected.net, connected.alice
    packets = [connected.bob_sends()]
    net.perform(alice, alice.interface.set_private_key(private_key(77), net.now))
    packets.append(connected.bob_sends())
    connected.run(1.0)
    assert alice.delivered == packets
    connected.run(20.0)
    assert connected.sent(alice, TRANSPORT) == []


def test_a_session_confirmed_after_our_key_changed_is_not_sent_under(pair: Pair) -> None:
    pair.alice_sends()
    pair.run(0.015)
    # Bob has answered, Alice has not yet used the session.
    net, bob = pair.net, pair.bob
    pair.bob_sends()
    net.perform(bob, bob.interface.set_private_key(private_key(77), net.now))
    assert pair.sent(bob, INITIATION) == []
    pair.run(1.0)
    assert len(bob.delivered) == 1
    # What waited asks for another session as soon as this one turns out to be useless.
    assert pair.sent(bob, INITIATION) == [pytest.approx(0.03)]
    pair.bob_sends()
    pair.run(1.0)
    assert pair.sent(bob, TRANSPORT) == []


def test_the_same_key_again_changes_nothing(connected: Pair) -> None:
    net, alice = connected.net, connected.alice
    session = connected.bob_at_alice.slot.current
    assert alice.interface.set_private_key(private_key(1), net.now) == []
    assert connected.bob_at_alice.slot.current is session


def test_a_handshake_in_flight_does_not_survive_our_new_key(pair: Pair) -> None:
    pair.alice_sends()
    net, alice = pair.net, pair.alice
    net.perform(alice, alice.interface.set_private_key(private_key(77), net.now))
    pair.run(1.0)
    assert alice.drops[DropReason.BAD_MAC1] == 1  # it was written to who Alice was
    assert pair.sent(alice, TRANSPORT) == []


def test_a_peer_that_is_ourselves_disappears_and_is_ignored(pair: Pair) -> None:
    net, alice = pair.net, pair.alice
    own = private_key(77)
    peer = alice.interface.add_peer(own.public_key, net.now)
    assert peer is not None
    net.perform(alice, alice.interface.set_private_key(own, net.now))
    assert list(alice.interface.peers) == [pair.bob_at_alice.public_key]
    assert alice.interface.add_peer(private_key(77).public_key, net.now) is None
    # Someone else again, the former self may be a peer.
    net.perform(alice, alice.interface.set_private_key(private_key(1), net.now))
    assert alice.interface.add_peer(private_key(77).public_key, net.now) is not None


def test_peers_keep_the_order_in_which_they_were_made(pair: Pair) -> None:
    interface = pair.alice.interface
    keys = [private_key(number).public_key for number in (50, 40, 60)]
    for key in keys:
        interface.add_peer(key, pair.net.now)
    interface.add_peer(keys[0], pair.net.now)
    assert list(interface.peers)[1:] == keys


@pytest.mark.parametrize("number", range(7))
def test_a_key_of_low_order_is_silent(create_path: CreatePath, number: int) -> None:
    pair = Pair(create_path=create_path)
    net, alice = pair.net, pair.alice
    dead_key = PublicKey.from_hex(read("low_order_points")[number])
    dead = alice.interface.add_peer(dead_key, net.now)
    assert dead is not None
    alice.interface.set_endpoint(dead, pair.bob.endpoint)
    alice.interface.set_persistent_keepalive(dead, 1)
    net.perform(alice, alice.interface.commit_peer(dead, keepalive_turned_on=True, now=net.now))
    net.perform(alice, alice.interface.set_down(net.now))
    net.perform(alice, alice.interface.set_up(net.now))
    pair.run(1000.0)
    assert net.tap == []
    assert dead.slot.tx_bytes == 0
    # Nor does it stand in the way of others.
    packet = pair.alice_sends()
    pair.run(1.0)
    assert pair.bob.delivered == [packet]


def test_an_unknown_caller_is_not_answered(pair: Pair) -> None:
    carol = add_node(pair.net, 3)
    introduce(pair.net, carol, pair.bob, f"{BOB}/32", keepalive=1)
    pair.run(20.0)
    assert pair.bob.drops == {DropReason.UNKNOWN_PEER: 4}
    assert pair.sent(pair.bob, RESPONSE) == []


def test_a_removed_peer_is_forgotten(connected: Pair) -> None:
    net, bob = connected.net, connected.bob
    peer = connected.alice_at_bob
    connected.alice_sends()
    net.perform(bob, bob.interface.remove_peer(peer.public_key, net.now))
    bob.interface.publish()
    connected.run(1.0)
    assert bob.drops == {DropReason.UNKNOWN_INDEX: 1}
    assert bob.interface.peers == {}
    assert list(bob.interface.allowed_ips.entries()) == []
    assert (peer.slot.previous, peer.slot.current, peer.slot.next) == (None, None, None)
    connected.bob_sends()
    assert bob.drops[DropReason.NO_PEER] == 1
    connected.run(1000.0)
    assert connected.sent(bob, TRANSPORT) == []
