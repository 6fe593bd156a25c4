"""Traffic of many peers at once through one daemon, beside the same traffic of one peer.

The daemon is a real one; its peers are `crowd.py`. Packets are paced, and the highest rate of which
less than 1 % is lost is searched for; then half as many more are offered, to see how what can be
carried is shared, and three times as many, of which one peer offers ten times what each other does.
The highest rate is that of sender, daemon, peers and counter on the cores that they share; what the
daemon spends on a packet is its own.
"""

from __future__ import annotations

import os
import signal
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import product

from nacl.bindings import crypto_scalarmult_base

from bench.compare import uapi
from bench.compare.cpu import Usage, clock
from bench.compare.implementations import CHECKOUT, contender
from bench.compare.lab import WIREGUARD_PORT, Lab, Link
from bench.compare.namespace import Namespace
from bench.compare.smallpackets import Packets, Trial, highest_rate
from bench.scale import callers
from bench.scale.figure import Figure
from bench.scale.workshop import Workshop

PORT = "5203"
PATIENCE = 30.0
DRAIN_TIME = 0.2
RATE_STEP = 1.15
TOO_MUCH = 1.5
FAR_TOO_MUCH = 3.0
GREED = 10
CROWD, HUB = "10.88.0.1", "10.77.0.1"
CROWD_NET, HUB_NET = "10.88.0.0/16", "10.77.0.0/16"


@dataclass(frozen=True, slots=True)
class Kind:
    """What is sent, and at which rate its cost is looked at."""

    name: str
    packets: Packets
    usual_rate: float


LOADS = (Kind("bulk", Packets(1300, 40), 200_000.0), Kind("small", Packets(64), 50_000.0))


@dataclass(frozen=True, slots=True)
class Way:
    """Which way packets go: from where and to where, the first address of either, and by whom."""

    name: str
    daemon: int
    here: Namespace
    there: Namespace
    first: str
    last: str


@dataclass(frozen=True, slots=True)
class Trials:
    """One load one way, of so many peers, for so many seconds at a time."""

    workshop: Workshop
    way: Way
    load: Kind
    peers: int
    seconds: float

    def run(self, rate: float, greed: int = 1) -> tuple[Trial, list[int]]:
        """Offer a rate once: what came of it all together, and how much of each peer.

        The first peer offers `greed` times what each of the others does.
        """
        program = self.workshop.program("spread")
        counter = self.way.there.start(program, "count", self.way.first, str(self.peers), PORT)
        try:
            counter.wait_until(lambda: "ready" in counter.output(), PATIENCE)
            before = clock(self.way.daemon)
            sent, took = self._send(program, rate, greed)
            time.sleep(DRAIN_TIME)
            counter.signal(signal.SIGTERM)
            counter.wait_until(counter.has_exited, PATIENCE)
            usage = Usage(clock(self.way.daemon) - before, 0.0, took)
            shares = [int(word) for word in counter.result().split()[1:]]
            return Trial(rate, sent, sum(shares), took, usage), shares
        finally:
            counter.end()

    def _send(self, program: str, rate: float, greed: int) -> tuple[int, float]:
        where = (self.way.first, self.way.last, str(self.peers), PORT)
        packets = self.load.packets
        what = (packets.size, rate, self.seconds, packets.segments, greed)
        sender = self.way.here.start(program, "send", *where, *map(str, what))
        try:
            sender.wait_until(sender.has_exited, PATIENCE)
            sent, took = sender.result().split()
            return int(sent), float(took)
        finally:
            sender.end()


def measure(implementation: str, count: int, seconds: float) -> list[Figure]:
    """Packets a second of one peer and of `count`, what each costs the daemon, and how evenly."""
    figures = []
    with Workshop() as workshop:
        for peers in (1, count):
            with _meeting(implementation, peers) as ways:
                for way, load in product(ways, LOADS):
                    figures += _loaded(Trials(workshop, way, load, peers, seconds))
    return figures


def _loaded(trials: Trials) -> list[Figure]:
    peers = f"{trials.peers} peers" if trials.peers > 1 else "one peer"
    name = f"{trials.way.name}, {trials.load.name}, {peers}"
    best = highest_rate(lambda rate: trials.run(rate)[0], RATE_STEP)
    usual, _ = trials.run(trials.load.usual_rate)
    cost = usual.microseconds_per_packet
    return [
        Figure("many", f"{name}: most without loss", best.rate, "packets/s"),
        Figure("many", f"{name}: at {trials.load.usual_rate:,.0f}/s", cost, "µs of ours each"),
        *_shared(trials, name, best.asked),
    ]


def _shared(trials: Trials, name: str, most: float) -> list[Figure]:
    if trials.peers == 1:
        return []
    _, equal = trials.run(TOO_MUCH * most)
    trial, unequal = trials.run(FAR_TOO_MUCH * most, GREED)
    return [
        *evenness(f"{name}, too much offered", equal),
        *carried(f"{name}, far too much offered, by one {GREED} times", trial.sent, unequal),
    ]


def evenness(name: str, shares: list[int]) -> list[Figure]:
    """How far the peers with the least and the most are from the one in the middle."""
    middle = statistics.median(shares) or 1
    least, most = 100 * min(shares) / middle, 100 * max(shares) / middle
    return [
        Figure("many", f"{name}: least to median", least, "%"),
        Figure("many", f"{name}: most to median", most, "%"),
    ]


def carried(name: str, sent: int, received: list[int]) -> list[Figure]:
    """How much of what each offered was carried: of the first, who offered most, and the others."""
    offer = sent / (len(received) - 1 + GREED)
    greedy, others = received[0], received[1:]
    least, middle = 100 * min(others) / offer, 100 * statistics.median(others) / offer
    return [
        Figure("many", f"{name}: carried of its offer", 100 * greedy / (GREED * offer), "%"),
        Figure("many", f"{name}: of another's, at the median", middle, "%"),
        Figure("many", f"{name}: of another's, at the least", least, "%"),
    ]


@contextmanager
def _meeting(implementation: str, count: int) -> Iterator[tuple[Way, Way]]:
    """A daemon and its peers, all with a session; the two ways between them."""
    seed, crowd = os.urandom(8).hex(), f"kc{os.getpid()}"
    with ExitStack() as stack:
        lab = stack.enter_context(Lab(contender(implementation), Link("gso", "ipv4", 1420)))
        _acquaint(lab, seed, count)
        hub = crypto_scalarmult_base(uapi.private_key(lab.b.interface)).hex()
        place = f"{lab.b.outer}:{WIREGUARD_PORT}"
        process = lab.a.namespace.start(
            *(sys.executable, "-m", "bench.scale.crowd"),
            *(crowd, seed, str(count), hub, place, HUB),
            environment={"PYTHONPATH": str(CHECKOUT)},
        )
        stack.callback(process.end)
        process.wait_until(lambda: "ready" in process.output(), PATIENCE)
        _lay(lab.a.namespace, crowd, CROWD_NET, HUB_NET)
        _lay(lab.b.namespace, lab.b.interface, HUB_NET, CROWD_NET)
        daemon = lab.tunnels[1]
        yield (
            Way("in", daemon, lab.a.namespace, lab.b.namespace, CROWD, HUB),
            Way("out", daemon, lab.b.namespace, lab.a.namespace, HUB, CROWD),
        )


def _acquaint(lab: Lab, seed: str, count: int) -> None:
    lines = []
    for n in range(count):
        lines.append(f"public_key={callers.private_key(seed, n).public_key.hex()}")
        lines.append(f"allowed_ip=10.88.{(n + 1) >> 8}.{(n + 1) & 255}/32")
    uapi.change(lab.b.interface, lines)


def _lay(namespace: Namespace, interface: str, own: str, others: str) -> None:
    """All addresses of one net are ours; those of the other are behind the tunnel."""
    namespace.run("ip", "link", "set", "lo", "up")
    namespace.run("ip", "route", "add", "local", own, "dev", "lo")
    namespace.run("ip", "route", "add", others, "dev", interface)
