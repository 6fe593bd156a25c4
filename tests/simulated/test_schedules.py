"""Whatever happens in whatever order: nothing raises, no timer sticks, and it heals in the end."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from kubespan.model.address import Endpoint
from kubespan.model.constants import UNDER_LOAD_AFTER
from kubespan.model.keys import PresharedKey
from kubespan.testing.simnet import Weather
from tests.simulated.pair import ALICE, BOB, Pair, introduce, private_key

STRANGER = Endpoint.parse("203.0.113.9:9")

Step = Callable[[Pair, int], None]


def wait(pair: Pair, number: int) -> None:
    pair.run(number / 10)


def wait_long(pair: Pair, number: int) -> None:
    pair.run(number * 5)


def alice_sends(pair: Pair, _: int) -> None:
    pair.alice_sends()


def bob_sends(pair: Pair, _: int) -> None:
    pair.bob_sends()


def bounce_alice(pair: Pair, number: int) -> None:
    pair.net.perform(pair.alice, pair.alice.interface.set_down(pair.net.now))
    pair.run(number / 100)
    pair.net.perform(pair.alice, pair.alice.interface.set_up(pair.net.now))


def change_key(pair: Pair, number: int) -> None:
    key = private_key(number % 3 + 100) if number % 4 else None
    pair.net.perform(pair.bob, pair.bob.interface.set_private_key(key, pair.net.now))


def change_preshared_key(pair: Pair, number: int) -> None:
    pair.alice.interface.set_preshared_key(pair.bob_at_alice, PresharedKey(bytes([number] * 32)))


def keep_alive(pair: Pair, number: int) -> None:
    if pair.bob_at_alice.public_key in pair.alice.interface.peers:
        pair.alice.interface.set_persistent_keepalive(pair.bob_at_alice, number % 5)
        pair.alice_keeps_alive()


def change_weather(pair: Pair, number: int) -> None:
    pair.net.weather.loss = number % 4 / 4
    pair.net.weather.duplication = number % 3 / 3
    pair.net.weather.jitter = number % 5


def move_alice(pair: Pair, number: int) -> None:
    pair.move(pair.alice, f"198.51.100.1:{number + 1}")


def replay(pair: Pair, number: int) -> None:
    for transmission in pair.net.tap[-number:]:
        for node in (pair.alice, pair.bob):
            pair.net.inject(transmission.datagram, STRANGER, node, queued=number * 8)


def tamper(pair: Pair, number: int) -> None:
    for transmission in pair.net.tap[-3:]:
        datagram = bytearray(transmission.datagram)
        datagram[number * 7 % len(datagram)] ^= 1 + number
        for node in (pair.alice, pair.bob):
            pair.net.inject(bytes(datagram), STRANGER, node)
            pair.net.inject(bytes(datagram[:number]), STRANGER, node, queued=UNDER_LOAD_AFTER)


def remove_and_add(pair: Pair, _: int) -> None:
    interface = pair.bob.interface
    for key in tuple(interface.peers):
        pair.net.perform(pair.bob, interface.remove_peer(key, pair.net.now))
    introduce(pair.net, pair.bob, pair.alice, f"{ALICE}/32", is_known=False)


STEPS: tuple[Step, ...] = (
    *(wait, wait_long, alice_sends, bob_sends, bounce_alice, change_key, change_preshared_key),
    *(keep_alive, change_weather, move_alice, replay, tamper, remove_and_add),
)


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 40)), max_size=40),
)
def test_nothing_raises_and_everything_heals(seed: int, steps: list[tuple[Step, int]]) -> None:
    pair = Pair(seed=seed, alice_is_known=True)
    for step, number in steps:
        step(pair, number)
    heal(pair)
    packet = pair.alice_sends()
    # At worst, a handshake that nobody can answer any more has to be given up first.
    pair.run(30.0)
    assert packet in pair.bob.delivered


def heal(pair: Pair) -> None:
    """Make both ends know each other again, in good weather, with everything old arrived."""
    pair.net.weather = Weather()
    pair.run(10.0)
    net, alice, bob = pair.net, pair.alice, pair.bob
    net.perform(bob, bob.interface.set_private_key(private_key(2), net.now))
    for node in (alice, bob):
        for key in tuple(node.interface.peers):
            net.perform(node, node.interface.remove_peer(key, net.now))
    introduce(net, alice, bob, f"{BOB}/32")
    introduce(net, bob, alice, f"{ALICE}/32", is_known=False)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.sampled_from((0, 1, 2, 3, 4)), st.integers(0, 200))
def test_no_datagram_raises(data: bytes, kind: int, queued: int) -> None:
    pair = Pair()
    datagram = kind.to_bytes(4, "little") + data
    before = pair.alice_at_bob.slot.endpoint
    pair.net.inject(datagram, STRANGER, pair.bob, queued=queued)
    assert pair.bob.drops.total() == 1
    assert pair.alice_at_bob.slot.endpoint == before
    assert pair.net.tap == []


def test_every_length_of_every_kind_is_dropped() -> None:
    pair = Pair()
    pair.connect()
    index = pair.alice_at_bob.slot.current
    assert index is not None
    for kind in range(6):
        for length in range(201):
            start = kind.to_bytes(4, "little") + index.local_index.to_bytes(4, "little")
            pair.net.inject((start + bytes(length))[:length], STRANGER, pair.bob)
    assert pair.bob.drops.total() == 6 * 201
    assert pair.net.tap == []


def test_an_hour_of_bad_weather_ends_well() -> None:
    pair = Pair(seed=1, weather=Weather(0.05, jitter=0.1, loss=0.2, duplication=0.2))
    sent = []
    for _ in range(3600):
        sent.append(pair.alice_sends())
        pair.run(0.5)
        pair.bob_sends()
        pair.run(0.5)
    # Each arrives at most once, and about as many as the weather lets through.
    delivered = pair.bob.delivered
    assert len(delivered) == len(set(delivered))
    assert set(delivered) <= set(sent)
    assert len(delivered) > 0.75 * len(sent)
