"""Hours in minutes: mixed traffic with wireguard-go across new session keys, and nothing grows."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.netns.lab import Laboratory, Tunnel
from tests.netns.topology import Pair, two_hosts
from tests.netns.traffic import burst_udp, echo_udp, iperf3, send_tcp
from tests.peers import Program

SOAK = float(os.environ.get("KUBESPAN_SOAK", "600"))
WARM_UP = 0.2
GROWTH = 1.1
LOOKS = 5
Note = Callable[[str, str], None]

pytestmark = [pytest.mark.netns, pytest.mark.interop, pytest.mark.slow]


@dataclass(frozen=True, slots=True)
class Sample:
    """What a daemon holds at one moment: memory in KiB, and open files."""

    resident: int
    descriptors: int

    @classmethod
    def of(cls, tunnel: Tunnel) -> Sample:
        """Look at a daemon several times: a question that has just been answered holds a file."""
        looks = []
        for _ in range(LOOKS):
            time.sleep(0.1)
            looks.append((tunnel.resident(), tunnel.descriptors()))
        return cls(*map(min, zip(*looks, strict=True)))


@pytest.mark.timeout(SOAK + 300)
def test_nothing_fails_and_nothing_grows(
    lab: Laboratory, program: Program, reference: Program, measured: Note
) -> None:
    """Transfers of all kinds, one after the other, both ways and both families.

    A transfer that fails ends the test. What the daemon holds after the first fifth is what it
    holds at the end, with a tenth for the allocator's moods.
    """
    pair = two_hosts(lab, program, reference)
    pair.up()
    begun, rounds, handshakes = time.monotonic(), 0, set()
    settled = Sample.of(pair.left)
    while (elapsed := time.monotonic() - begun) < SOAK:
        mixed_round(pair)
        rounds += 1
        handshakes.add(pair.left.shown("latest-handshakes", pair.right.keys.public))
        if elapsed < SOAK * WARM_UP:
            settled = Sample.of(pair.left)
    last = Sample.of(pair.left)
    measured("soak", f"{rounds} rounds, {len(handshakes)} handshakes, {settled} to {last}")
    assert len(handshakes) >= 1 + int(SOAK // 130)
    assert last.resident <= settled.resident * GROWTH
    assert last.descriptors <= settled.descriptors


def mixed_round(pair: Pair) -> None:
    """Small and large, short and long, paced and unpaced."""
    for near, far in ((pair.left, pair.right), (pair.right, pair.left)):
        for address in (far.inner4, far.inner6):
            near.namespace.ping(address, count=50)
            echo_udp(near.namespace, far.namespace, address, 0, 64, 1392, 9000, 65507)
            burst_udp(near.namespace, far.namespace, address)
            send_tcp(near.namespace, far.namespace, address)
        iperf3(near.namespace, far.namespace, far.inner4, "--bidir", "-P", "2", "-t", "2")
        iperf3(near.namespace, far.namespace, far.inner6, "-u", "-b", "200M", "-t", "1")
    pair.ping(count=10)
