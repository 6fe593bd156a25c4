"""How many handshakes one core does: the real core and native slots, and no network between them.

Each peer is an interface of its own, as on a host of its own. What the responder does for one
handshake is an initiation answered and the first message under its session taken; what an
initiator does is an initiation made, and a response taken and answered with a keepalive.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from bench.scale.figure import Figure
from kubespan import fastpath
from kubespan.model.address import Arrival, Endpoint
from kubespan.model.instant import Instant
from kubespan.model.keys import PrivateKey
from kubespan.wireguard.effects import Effect, SendDatagram
from kubespan.wireguard.interface import Interface

LEAST = 4000.0
HERE, THERE = Endpoint.parse("192.0.2.1:51820"), Endpoint.parse("192.0.2.2:51820")
BOOT = 1000.0


@dataclass(slots=True)
class Clock:
    """CPU seconds of this process while it was running."""

    spent: float = 0.0
    _since: float = 0.0

    def __enter__(self) -> None:
        self._since = time.process_time()

    def __exit__(self, *_: object) -> None:
        self.spent += time.process_time() - self._since


def measure(count: int) -> list[Figure]:
    """`count` peers call one responder, one after the other."""
    responder, initiators = crowd(count)
    calling, answering = Clock(), Clock()
    with calling:
        initiations = [_call(one) for one in initiators]
    with answering:
        responses = [_hear(responder, datagram) for datagram in initiations]
    with calling:
        firsts = [_hear(o, d) for o, d in zip(initiators, responses, strict=True)]
    with answering:
        for datagram in firsts:
            responder.receive_datagram(datagram, Arrival(HERE, None), _now())
    done = sum(n for (_, result), n in responder.handshakes.items() if result == "completed")
    assert done == count
    return [
        Figure("handshakes", "as responder", count / answering.spent, "a core-second", least=LEAST),
        Figure("handshakes", "as initiator", count / calling.spent, "a core-second", least=LEAST),
    ]


def crowd(count: int) -> tuple[Interface, list[Interface]]:
    """One interface that knows `count` others, and those, which know it."""
    key = PrivateKey(os.urandom(32))
    responder = _interface(key)
    initiators = []
    for _ in range(count):
        own = PrivateKey(os.urandom(32))
        one = _interface(own)
        _acquaint(one, key, THERE)
        _acquaint(responder, own, HERE)
        initiators.append(one)
    return responder, initiators


def _interface(key: PrivateKey) -> Interface:
    one = Interface(fastpath.create_path(), os.urandom)
    one.set_private_key(key, _now())
    one.set_up(_now())
    return one


def _acquaint(one: Interface, other: PrivateKey, place: Endpoint) -> None:
    peer = one.add_peer(other.public_key, _now())
    assert peer is not None
    one.set_endpoint(peer, place)
    one.commit_peer(peer, keepalive_turned_on=False, now=_now())


def _call(one: Interface) -> bytes:
    (peer,) = one.peers.values()
    return _datagram(peer.send_initiation(_now()))


def _hear(one: Interface, datagram: bytes) -> bytes:
    return _datagram(one.receive_datagram(datagram, Arrival(THERE, None), _now()))


def _datagram(effects: list[Effect]) -> bytes:
    return next(effect.datagram for effect in effects if isinstance(effect, SendDatagram))


def _now() -> Instant:
    return Instant(BOOT, int(BOOT * 1e9))
