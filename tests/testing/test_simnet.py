"""The simulated network itself: its time, its weather, its tap, and that a seed decides it all."""

from __future__ import annotations

import pytest

from kubespan.model.address import Endpoint
from kubespan.testing.simnet import SimNet, Weather
from tests.simulated.pair import INITIATION, TRANSPORT, Pair


def test_time_passes_only_when_told() -> None:
    net = SimNet()
    before = net.now
    net.run(2.5)
    assert net.now.boot - before.boot == 2.5
    assert net.now.wall_ns - before.wall_ns == 2_500_000_000
    assert net.elapsed == 2.5


def test_datagrams_take_their_time() -> None:
    pair = Pair(weather=Weather(latency=0.5))
    pair.alice_sends()
    pair.run(0.4)
    assert pair.alice_at_bob.slot.rx_bytes == 0
    pair.run(0.2)
    assert pair.alice_at_bob.slot.rx_bytes == 148


def test_the_tap_sees_what_is_lost() -> None:
    pair = Pair(weather=Weather(loss=1.0))
    pair.alice_sends()
    pair.run(1.0)
    (seen,) = pair.net.tap
    assert (seen.at, seen.sender, seen.receiver) == (0.0, pair.alice.endpoint, pair.bob.endpoint)
    assert seen.datagram[0] == INITIATION
    assert pair.alice_at_bob.slot.rx_bytes == 0


def test_duplicates_arrive_and_late_ones_are_overtaken() -> None:
    pair = Pair()
    pair.connect()
    pair.net.weather.duplication = 1.0
    pair.alice_sends()
    pair.run(1.0)
    assert pair.bob.drops.total() == 1
    pair.net.weather.duplication = 0.0
    pair.net.weather.jitter = 1.0
    packets = [pair.alice_sends() for _ in range(50)]
    pair.run(2.0)
    assert pair.bob.delivered[1:] != packets
    assert sorted(pair.bob.delivered[1:]) == sorted(packets)


def test_nobody_is_at_an_endpoint_that_is_left() -> None:
    pair = Pair()
    pair.connect()
    pair.move(pair.bob, "192.0.2.99:1")
    pair.alice_sends()
    pair.run(1.0)
    assert pair.bob.delivered == []


def test_a_translated_sender_is_seen_elsewhere() -> None:
    pair = Pair()
    outside = Endpoint.parse("203.0.113.1:4000")
    pair.net.translate = lambda _: outside
    pair.alice_sends()
    pair.run(0.015)
    assert pair.alice_at_bob.slot.endpoint == outside


def story(seed: int) -> list[tuple[float, bytes]]:
    pair = Pair(seed=seed, weather=Weather(jitter=0.05, loss=0.3, duplication=0.3))
    for _ in range(50):
        pair.alice_sends()
        pair.bob_sends()
        pair.run(1.0)
    return [(t.at, t.datagram) for t in pair.net.tap]


def test_the_seed_decides_everything() -> None:
    assert story(1) == story(1)
    assert story(1) != story(2)


def test_a_timer_that_stays_due_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair()
    pair.alice_sends()
    monkeypatch.setattr(pair.alice.interface, "handle_timeout", lambda _: [])
    monkeypatch.setattr(pair.alice.interface, "next_timeout", lambda now: now.boot)
    with pytest.raises(AssertionError, match="stays due"):
        pair.run(10.0)


def test_events_and_deliveries_are_kept() -> None:
    pair = Pair()
    pair.ping()
    assert [len(node.delivered) for node in (pair.alice, pair.bob)] == [1, 1]
    assert [at for at, _ in pair.alice.events] == pytest.approx([0.0, 0.02])
    assert len(pair.sent(pair.alice, TRANSPORT)) == 1
