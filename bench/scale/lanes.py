"""Several lanes for a direction: how much each way carries by itself, with one and with two.

Outbound: four flows of bulk into one end, whose peer is asleep, so that what it sends is dropped by
the system and all cores are the sender's. Inbound: two peers that say the same again and again
(`greedy.py`) to one end, in queues of different lanes. On a machine of two cores, lanes and senders
share them: there, what a core-second carries tells whether two lanes get into each other's way, and
only a larger machine tells how much they carry together.
"""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial

from bench.compare import uapi
from bench.compare.cpu import clock
from bench.compare.implementations import contender
from bench.compare.lab import Lab, Link
from bench.compare.smallpackets import Packets, Workshop
from bench.scale import greedy
from bench.scale.figure import Figure

THREADS = (2, 4)
ROUNDS = 3
FLOWS, TALKERS = 4, 2
BULK = Packets(1300, 40)
ENOUGH = 4e6
FIRST_PORT = 5300
HEAD_START = 0.3


def measure(seconds: float) -> list[Figure]:
    """Packets a second, and a core-second of ours, each way: medians of rounds that take turns."""
    carried: dict[tuple[str, int], list[tuple[float, float]]] = {}
    with ExitStack() as stack:
        shop = stack.enter_context(closing(Workshop()))
        labs = {
            threads: stack.enter_context(
                Lab(contender(f"kubespan@KUBESPAN_THREADS={threads}"), Link("gso", "ipv4", 1420))
            )
            for threads in THREADS
        }
        for _ in range(ROUNDS):
            for threads, lab in labs.items():
                for way, look in (("in", _inbound), ("out", _outbound)):
                    carried.setdefault((way, threads), []).append(look(lab, shop, seconds))
    return [figure for way in ("out", "in") for figure in _figures(way, carried)]


def _figures(
    way: str, carried: dict[tuple[str, int], list[tuple[float, float]]]
) -> Iterator[Figure]:
    for threads in THREADS:
        rates, costs = zip(*carried[way, threads], strict=True)
        lanes = f"{way}, {threads // 2} lane" + ("s" if threads > 2 else "")
        yield Figure("lanes", lanes, statistics.median(rates), "packets/s")
        yield Figure("lanes", lanes, statistics.median(costs), "packets a core-second of ours")


def _outbound(lab: Lab, shop: Workshop, seconds: float) -> tuple[float, float]:
    with _asleep(lab.tunnels[1]), ExitStack() as stack:
        flows = [
            shop.send(lab, FIRST_PORT + n, BULK, ENOUGH / FLOWS, seconds + HEAD_START)
            for n in range(FLOWS)
        ]
        for flow in flows:
            stack.callback(flow.end)
        time.sleep(HEAD_START)
        return _rates(partial(_counter, lab.a.interface, "udp_sent"), lab.tunnels[0], seconds)


def _inbound(lab: Lab, _: Workshop, seconds: float) -> tuple[float, float]:
    kind = greedy.KINDS[0]
    with ExitStack() as stack:
        for _number in range(TALKERS):
            stack.callback(greedy.start(lab, kind, 2 * seconds + HEAD_START + greedy.PATIENCE).end)
        opened = partial(_counter, lab.b.interface, "opened_messages")
        return _rates(opened, lab.tunnels[1], seconds)


def _counter(interface: str, name: str) -> int:
    return uapi.counters(interface).get(name, 0)


def _rates(count: Callable[[], int], daemon: int, seconds: float) -> tuple[float, float]:
    before, busy, began = count(), clock(daemon), time.monotonic()
    time.sleep(seconds)
    done, took = count() - before, time.monotonic() - began
    return done / took, done / (clock(daemon) - busy)


@contextmanager
def _asleep(process: int) -> Iterator[None]:
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)
