"""What a flood of handshake messages costs those who have a session, and those who want one.

The flood comes from random sources by a raw socket, in the namespace of the sending end, over the
link that the tunnel uses. Beside it, paced packets go through the tunnel.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2s

from nacl.bindings import crypto_scalarmult_base

from bench.compare import uapi
from bench.compare.cpu import clock
from bench.compare.implementations import CHECKOUT, contender
from bench.compare.lab import WIREGUARD_PORT, Lab, Link
from bench.compare.processes import Child
from bench.compare.smallpackets import Packets, Trial
from bench.compare.smallpackets import Workshop as Packetshop
from bench.scale import callers
from bench.scale.figure import Figure
from bench.scale.workshop import Workshop

SOURCES = "198.18.0.0/15"
POOL = 4096
SIZE = 200
MOST_LOSS = 1.0
HEAD_START, AROUND = 0.3, 0.8
WINDOW = 64
FLOODED_CALLERS = 200
FIRST_CALLER = "10.200.0.1"
CALLERS = "10.200.0.0/16"
PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Kind:
    """One sort of flood: what its messages are."""

    name: str
    build: Callable[[bytes], bytes]
    """Given the key of the daemon's mac1."""


def stranger(_key: bytes) -> bytes:
    """An initiation whose mac1 is wrong."""
    return _initiation()[:116] + os.urandom(16) + bytes(16)


def acquaintance(key: bytes) -> bytes:
    """An initiation whose mac1 is right and that opens to nothing: the daemon has to compute."""
    head = _initiation()[:116]
    return head + blake2s(head, key=key, digest_size=16).digest() + bytes(16)


def pretender(key: bytes) -> bytes:
    """The same with a wrong mac2, which costs two macs more."""
    return acquaintance(key)[:-16] + os.urandom(16)


def reply(_key: bytes) -> bytes:
    """A cookie reply to nothing."""
    return (3).to_bytes(4, "little") + os.urandom(60)


def transport(_key: bytes) -> bytes:
    """A packet of no session."""
    return (4).to_bytes(4, "little") + os.urandom(124)


def _initiation() -> bytes:
    return (1).to_bytes(4, "little") + os.urandom(144)


KINDS = (
    Kind("wrong mac1", stranger),
    Kind("right mac1", acquaintance),
    Kind("right mac1, wrong mac2", pretender),
    Kind("cookie replies", reply),
    Kind("packets of no session", transport),
)


def measure(rate: float, packet_rate: float, seconds: float) -> list[Figure]:
    """Loss of paced packets and CPU of the daemon, under each kind of flood."""
    figures = []
    with _laboratory() as (lab, workshop), _packetshop() as packets:
        for kind in (None, *KINDS):
            flood = None if kind is None else start(lab, workshop, kind, rate, seconds + AROUND)
            try:
                time.sleep(HEAD_START)
                before, began = clock(lab.tunnels[1]), time.monotonic()
                trial = packets.trial(lab, Packets(SIZE), packet_rate, seconds)
                cores = (clock(lab.tunnels[1]) - before) / (time.monotonic() - began)
                figures += _carried(kind, trial, cores)
                if flood is not None and kind is not None:
                    figures.append(_offered(flood, kind))
            finally:
                if flood is not None:
                    flood.end()
    return figures


def _carried(kind: Kind | None, trial: Trial, cores: float) -> list[Figure]:
    name = "no flood" if kind is None else kind.name
    loss = 100 * (1 - trial.received / trial.sent)
    lost = Figure(
        "flood", f"{name}: loss of {trial.asked:,.0f} packets/s", loss, "%", most=MOST_LOSS
    )
    return [lost, Figure("flood", f"{name}: daemon", cores, "cores")]


def _offered(flood: Child, kind: Kind) -> Figure:
    flood.wait_until(flood.has_exited, PATIENCE)
    sent, took = flood.result().split()
    return Figure("flood", f"{kind.name}: offered", int(sent) / float(took), "messages/s")


def measure_callers(count: int, rate: float, seconds: float) -> list[Figure]:
    """Handshakes end to end: as many as there can be, and while strangers who know us flood us."""
    with _laboratory() as (lab, workshop):
        told, busy = _call(lab, count, WINDOW, seconds)
        figures = [
            Figure("callers", "alone: have a session", 100 * told.answered / count, "%"),
            Figure("callers", "alone: handshakes", told.answered / told.seconds, "a second"),
            Figure("callers", "alone: handshakes", told.answered / busy, "a core-second of ours"),
        ]
        flood = start(lab, workshop, KINDS[1], rate, seconds + PATIENCE)
        try:
            told, _ = _call(lab, FLOODED_CALLERS, FLOODED_CALLERS, seconds)
        finally:
            flood.end()
    share, name = 100 * told.answered / FLOODED_CALLERS, f"{FLOODED_CALLERS} in a flood"
    return [
        *figures,
        Figure("callers", f"{name}: have a session", share, "%"),
        Figure("callers", f"{name}: until the last", told.seconds, "s"),
        Figure("callers", f"{name}: cookies given", told.cookies, ""),
    ]


def _call(lab: Lab, count: int, window: int, seconds: float) -> tuple[callers.Told, float]:
    """Strangers until now: the daemon is told of them. What came of it, and its CPU seconds."""
    seed = os.urandom(8).hex()
    keys = (callers.private_key(seed, n).public_key.hex() for n in range(count))
    uapi.change(lab.b.interface, [f"public_key={key}" for key in keys])
    hub = crypto_scalarmult_base(uapi.private_key(lab.b.interface)).hex()
    place = f"{lab.b.outer}:{WIREGUARD_PORT}"
    what = (seed, str(count), hub, place, FIRST_CALLER, str(window), str(seconds))
    calling = lab.a.namespace.start(
        *(sys.executable, "-m", "bench.scale.callers"),
        *what,
        environment={"PYTHONPATH": str(CHECKOUT)},
    )
    try:
        calling.wait_until(lambda: "ready" in calling.output(), PATIENCE)
        before = clock(lab.tunnels[1])
        calling.wait_until(calling.has_exited, seconds + PATIENCE)
        busy = clock(lab.tunnels[1]) - before
        return callers.Told(**json.loads(calling.result().splitlines()[-1])), busy
    finally:
        calling.end()


def start(lab: Lab, workshop: Workshop, kind: Kind, rate: float, seconds: float) -> Child:
    """A flood of the receiving end that is under way; the caller ends it."""
    public = crypto_scalarmult_base(uapi.private_key(lab.b.interface))
    pool = workshop.folder / "pool"
    pool.write_bytes(build_pool(kind, blake2s(b"mac1----" + public).digest()))
    where = (lab.b.outer, str(WIREGUARD_PORT), SOURCES)
    return lab.a.namespace.start(
        workshop.program("flood"), str(pool), *where, str(rate), str(seconds)
    )


def build_pool(kind: Kind, key: bytes) -> bytes:
    """What flood.c reads: POOL messages of a kind, each behind its length."""
    messages = (kind.build(key) for _ in range(POOL))
    return b"".join(len(message).to_bytes(2, "big") + message for message in messages)


@contextmanager
def _laboratory() -> Iterator[tuple[Lab, Workshop]]:
    """Two ends; the receiving one takes sources from anywhere, and answers them over the link."""
    with Workshop() as workshop, Lab(contender("kubespan"), Link("gso", "ipv4", 1420)) as lab:
        for side in (lab.a, lab.b):
            for name in ("all", "veth"):
                setting = f"net.ipv4.conf.{name}.rp_filter=0"
                side.namespace.run("sysctl", "-q", "-w", setting)
        for strangers in (SOURCES, CALLERS):
            lab.b.namespace.run("ip", "route", "add", strangers, "via", lab.a.outer)
        lab.a.namespace.run("ip", "link", "set", "lo", "up")
        lab.a.namespace.run("ip", "route", "add", "local", CALLERS, "dev", "lo")
        yield lab, workshop


@contextmanager
def _packetshop() -> Iterator[Packetshop]:
    packets = Packetshop()
    try:
        yield packets
    finally:
        packets.close()
