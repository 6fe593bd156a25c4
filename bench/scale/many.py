"""Traffic of many peers at once through one daemon, beside the same traffic of one peer.

The daemon is a real one; its peers are `crowd.py`. Packets are paced, and the highest rate of which
less than 1 % is lost is searched for; then half as many more are offered, to see how what can be
carried is shared.
"""

from __future__ import annotations

import os
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from nacl.bindings import crypto_scalarmult_base

from bench.compare import uapi
from bench.compare.cpu import Usage, clock
from bench.compare.implementations import CHECKOUT, contender
from bench.compare.lab import WIREGUARD_PORT, Lab, Link
from bench.compare.namespace import Namespace
from bench.compare.processes import Child, CommandFailed
from bench.compare.smallpackets import Packets, Trial, highest_rate
from bench.scale import callers
from bench.scale.figure import Figure
from bench.scale.workshop import Workshop

PORT = "5203"
PATIENCE = 30.0
DRAIN_TIME = 0.2
RATE_STEP = 1.15
TOO_MUCH = 1.5
LEAST_SHARE = 90.0
CROWD, HUB = "10.88.0.1", "10.77.0.1"
CROWD_NET, HUB_NET = "10.88.0.0/16", "10.77.0.0/16"
LOADS = {"bulk": Packets(1300, 40), "small": Packets(64)}


@dataclass(frozen=True, slots=True)
class Way:
    """Which way packets go: from where and to where, the first address of either, and by whom."""

    name: str
    daemon: int
    here: Namespace
    there: Namespace
    first: str
    last: str


def measure(count: int, seconds: float) -> list[Figure]:
    """Packets a second of `count` peers, in percent of those of one, and how evenly."""
    figures = []
    with Workshop() as workshop:
        best: dict[tuple[str, str, int], float] = {}
        for peers in (1, count):
            with _meeting(peers) as ways:
                for way in ways:
                    for load, packets in LOADS.items():
                        trial, shares = _search(workshop, way, packets, peers, seconds)
                        best[way.name, load, peers] = trial.rate
                        name = f"{way.name}, {load}, {peers} peers"
                        figures.append(Figure("many", name, trial.rate, "packets/s"))
                        figures += _shares(name, shares) if peers > 1 else []
    for way_name, load, peers in best:
        if peers == count:
            share = 100 * best[way_name, load, count] / best[way_name, load, 1]
            name = f"{way_name}, {load}: {count} peers to one"
            figures.append(Figure("many", name, share, "%", least=LEAST_SHARE))
    return figures


def _shares(name: str, shares: list[int]) -> list[Figure]:
    middle = statistics.median(shares) or 1
    least, most = 100 * min(shares) / middle, 100 * max(shares) / middle
    return [
        Figure("many", f"{name}, too much offered: least to median", least, "%"),
        Figure("many", f"{name}, too much offered: most to median", most, "%"),
    ]


def _search(
    workshop: Workshop, way: Way, packets: Packets, peers: int, seconds: float
) -> tuple[Trial, list[int]]:
    """The highest rate without loss, and what of each peer arrived of more than that."""

    def offer(rate: float) -> Trial:
        return _trial(workshop, way, packets, peers, rate, seconds)[0]

    best = highest_rate(offer, RATE_STEP)
    too_much = TOO_MUCH * best.asked
    return best, _trial(workshop, way, packets, peers, too_much, seconds)[1]


def _trial(
    workshop: Workshop, way: Way, packets: Packets, peers: int, rate: float, seconds: float
) -> tuple[Trial, list[int]]:
    program = workshop.program("spread")
    counter = way.there.start(program, "count", way.first, str(peers), PORT)
    try:
        _wait(counter, lambda: "ready" in counter.output())
        before = clock(way.daemon)
        what = (str(packets.size), str(rate), str(seconds), str(packets.segments))
        sender = way.here.start(program, "send", way.first, way.last, str(peers), PORT, *what)
        try:
            _wait(sender, sender.has_exited)
            sent, took = sender.result().split()
        finally:
            sender.end()
        time.sleep(DRAIN_TIME)
        counter.signal(signal.SIGTERM)
        _wait(counter, counter.has_exited)
        shares = [int(word) for word in counter.result().split()[1:]]
        usage = Usage(clock(way.daemon) - before, 0.0, float(took))
        return Trial(rate, int(sent), sum(shares), float(took), usage), shares
    finally:
        counter.end()


@contextmanager
def _meeting(count: int) -> Iterator[tuple[Way, Way]]:
    """A daemon and its peers, all with a session; the two ways between them."""
    seed, crowd = os.urandom(8).hex(), f"kc{os.getpid()}"
    with ExitStack() as stack:
        lab = stack.enter_context(Lab(contender("kubespan"), Link("gso", "ipv4", 1420)))
        _acquaint(lab, seed, count)
        hub = crypto_scalarmult_base(uapi.private_key(lab.b.interface)).hex()
        place = f"{lab.b.outer}:{WIREGUARD_PORT}"
        process = lab.a.namespace.start(
            *(sys.executable, "-m", "bench.scale.crowd"),
            *(crowd, seed, str(count), hub, place, HUB),
            environment={"PYTHONPATH": str(CHECKOUT)},
        )
        stack.callback(process.end)
        _wait(process, lambda: "ready" in process.output())
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


def _wait(child: Child, condition: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > give_up_at or (child.has_exited() and not condition()):
            raise CommandFailed(child.output().strip() or "does not end")
        time.sleep(0.01)
