"""What one peer that sends all it can costs another, which sends little.

    python -m bench.scale.greedy SEED HUB ENDPOINT OWN SIZE SECONDS

is the greedy one: it shakes hands with a daemon, prints "ready", and sends datagrams of SIZE bytes
of its session as fast as the system takes them, some 64 KB at once. It says them again and again,
so that a packet costs it next to nothing and the daemon all but a write to the TUN device: each is
received and opened before it is found to be a replay. Prints how many it sent, and in how long.

The modest one is the other end of a tunnel, with paced packets.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

from nacl.bindings import crypto_scalarmult_base

from bench.compare import uapi
from bench.compare.cpu import clock
from bench.compare.implementations import contender
from bench.compare.lab import WIREGUARD_PORT, Lab, Link
from bench.compare.processes import Child
from bench.compare.smallpackets import Packets, Workshop
from bench.scale import callers
from bench.scale.figure import Figure
from kubespan.model.address import Endpoint
from kubespan.model.keys import PublicKey

UDP_SEGMENT = 103
MOST_SEGMENTS = 64
OVERHEAD = 32
LARGEST_SEND = 65_000
HEAD_START = 0.5
PATIENCE = 20.0
AROUND = 1.0
MODEST = Packets(200)


@dataclass(frozen=True, slots=True)
class Kind:
    """What the greedy peer sends: bytes of a datagram."""

    name: str
    size: int


KINDS = (Kind("bulk", 1424), Kind("small", 128))


def measure(implementation: str, rate: float, seconds: float) -> list[Figure]:
    """Loss of a modest peer's paced packets, by itself and beside a greedy peer of either kind."""
    figures = []
    with _laboratory(implementation) as (lab, packets):
        for kind in (None, *KINDS):
            greedy = None if kind is None else start(lab, kind, seconds + AROUND)
            try:
                before, began = clock(lab.tunnels[1]), time.monotonic()
                trial = packets.trial(lab, MODEST, rate, seconds)
                cores = (clock(lab.tunnels[1]) - before) / (time.monotonic() - began)
                name = "nobody" if kind is None else f"a peer with {kind.name}"
                loss = 100 * (1 - trial.received / trial.sent)
                figures += [
                    Figure("greedy", f"beside {name}: loss of {rate:,.0f} packets/s", loss, "%"),
                    Figure("greedy", f"beside {name}: daemon", cores, "cores"),
                ]
                if greedy is not None and kind is not None:
                    figures.append(_offered(greedy, kind))
            finally:
                if greedy is not None:
                    greedy.end()
    return figures


@contextmanager
def _laboratory(implementation: str) -> Iterator[tuple[Lab, Workshop]]:
    link = Link("gso", "ipv4", 1420)
    with Lab(contender(implementation), link) as lab, closing(Workshop()) as packets:
        yield lab, packets


def _offered(greedy: Child, kind: Kind) -> Figure:
    greedy.wait_until(greedy.has_exited, PATIENCE)
    sent, took = greedy.result().split()[-2:]
    return Figure(
        "greedy", f"a peer with {kind.name}: offered", int(sent) / float(took), "messages/s"
    )


def start(lab: Lab, kind: Kind, seconds: float) -> Child:
    """A greedy peer of the receiving end that is under way; the caller ends it."""
    seed = os.urandom(8).hex()
    key = callers.private_key(seed, 0).public_key.hex()
    uapi.change(lab.b.interface, [f"public_key={key}"])
    hub = crypto_scalarmult_base(uapi.private_key(lab.b.interface)).hex()
    where = (hub, f"{lab.b.outer}:{WIREGUARD_PORT}", lab.a.outer)
    greedy = lab.a.namespace.start(
        *(sys.executable, "-m", "bench.scale.greedy", seed, *where, str(kind.size), str(seconds)),
        environment={"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    greedy.wait_until(lambda: "ready" in greedy.output(), PATIENCE)
    time.sleep(HEAD_START)
    return greedy


def send(caller: callers.Caller, size: int, seconds: float) -> tuple[int, float]:
    """The same messages until the time is over: how many, and seconds taken."""
    count = min(MOST_SEGMENTS, LARGEST_SEND // size)
    together = b"".join(caller.seal(bytes(size - OVERHEAD)) for _ in range(count))
    segment = [(socket.SOL_UDP, UDP_SEGMENT, struct.pack("=H", size))]
    sent, began = 0, time.monotonic()
    while (took := time.monotonic() - began) < seconds:
        caller.socket.sendmsg((together,), segment)
        sent += count
    return sent, took


def main(arguments: Sequence[str]) -> None:
    """One run."""
    seed, hub, endpoint, own, size, seconds = arguments
    key, place = callers.private_key(seed, 0), Endpoint.parse(endpoint)
    caller = callers.Caller(key, PublicKey.from_hex(hub), place, own)
    if callers.run([caller], 1, PATIENCE).answered:
        print("ready", flush=True)
        print(*send(caller, int(size), float(seconds)))


if __name__ == "__main__":
    main(sys.argv[1:])
