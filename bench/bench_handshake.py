"""Handshakes: what one costs the initiator and the responder, macs and messages included.

A responder under attack pays `test_check_mac1` for a datagram of nobody.
"""

from __future__ import annotations

import itertools
import os
from typing import Any

from kubespan.model.keys import PrivateKey
from kubespan.noise.cookie import CookieChecker, CookieGenerator
from kubespan.noise.handshake import Handshake, LocalStatic, SessionKeys, open_initiation
from kubespan.noise.messages import Initiation, Response
from kubespan.noise.tai64n import timestamp

ROUNDS = 300
BOOT = 1000.0
INDEX = 7

_steps = itertools.count(1)


class Pair:
    """Two peers that know each other, and what either does for one handshake."""

    def __init__(self) -> None:
        a, b = LocalStatic(_key()), LocalStatic(_key())
        self.initiator = Handshake(a, b.public_key)
        self.responder = Handshake(b, a.public_key)
        self._responder_local = b
        self._macs = {end: CookieGenerator(end.public_key) for end in (a, b)}
        self._checks = {end: CookieChecker(end.public_key) for end in (a, b)}
        self._a, self._b = a, b

    def initiate(self) -> bytes:
        """The initiation as it goes onto the wire."""
        step = next(_steps)
        datagram = self.initiator.create_initiation(
            ephemeral=_key(), local_index=INDEX, timestamp=timestamp(step * 10**9)
        )
        return self._macs[self._b].add_macs(datagram, BOOT)

    def respond(self, initiation: bytes) -> tuple[bytes, SessionKeys]:
        """The response as it goes onto the wire, and the responder's session."""
        assert self.check(initiation)
        message = Initiation.parse(initiation)
        opened = open_initiation(self._responder_local, message)
        self.responder.consume_initiation(opened, message, boot=BOOT + next(_steps))
        datagram = self.responder.create_response(ephemeral=_key(), local_index=INDEX)
        keys = self.responder.begin_session()
        return self._macs[self._a].add_macs(datagram, BOOT), keys

    def finish(self, response: bytes) -> SessionKeys:
        """The initiator's session."""
        assert self._checks[self._a].check_mac1(response)
        self.initiator.consume_response(Response.parse(response))
        return self.initiator.begin_session()

    def check(self, initiation: bytes) -> bool:
        """Whether the initiation is for the responder: all that a stranger's datagram costs."""
        return self._checks[self._b].check_mac1(initiation)


def _key() -> PrivateKey:
    return PrivateKey(os.urandom(32))


def test_whole_handshake(benchmark: Any) -> None:
    pair = Pair()

    def handshake() -> tuple[SessionKeys, SessionKeys]:
        response, responder = pair.respond(pair.initiate())
        return pair.finish(response), responder

    ours, theirs = benchmark(handshake)
    assert ours.send_key == theirs.receive_key


def test_initiator_begins(benchmark: Any) -> None:
    assert len(benchmark(Pair().initiate)) == 148


def test_initiator_finishes(benchmark: Any) -> None:
    pair = Pair()

    def answered() -> tuple[tuple[bytes], dict[str, Any]]:
        response, _ = pair.respond(pair.initiate())
        return (response,), {}

    keys = benchmark.pedantic(pair.finish, setup=answered, rounds=ROUNDS)
    assert keys.is_initiator


def test_responder_answers(benchmark: Any) -> None:
    pair = Pair()

    def called() -> tuple[tuple[bytes], dict[str, Any]]:
        return (pair.initiate(),), {}

    response, _ = benchmark.pedantic(pair.respond, setup=called, rounds=ROUNDS)
    assert len(response) == 92


def test_check_mac1(benchmark: Any) -> None:
    pair = Pair()
    initiation = pair.initiate()
    assert benchmark(pair.check, initiation)
