"""Many peers that call one daemon, each with a core, an address and a socket of its own.

    python -m bench.scale.callers SEED COUNT HUB ENDPOINT FIRST WINDOW SECONDS

calls until everybody has a session or the time is over, at most WINDOW at once, and prints JSON:
how many have one, after how long, and how many cookies were given. SEED makes the private keys; HUB
is the daemon's public key in hexadecimal; FIRST is the first of COUNT addresses that are ours.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2s
from ipaddress import ip_address

from kubespan.model.address import Arrival, Endpoint
from kubespan.model.instant import Instant
from kubespan.model.keys import PrivateKey, PublicKey
from kubespan.noise.messages import MessageType
from kubespan.wireguard.effects import Effect, SendDatagram
from kubespan.wireguard.interface import Interface
from kubespan.wireguard.purepath import PurePath

TICK = 0.02


def private_key(seed: str, number: int) -> PrivateKey:
    """The key of one caller, the same in every process."""
    return PrivateKey(blake2s(f"{seed}/{number}".encode()).digest())


def now() -> Instant:
    """The present moment."""
    return Instant(time.clock_gettime(time.CLOCK_BOOTTIME), time.time_ns())


class Caller:
    """One peer of the daemon's."""

    def __init__(self, key: PrivateKey, hub: PublicKey, place: Endpoint, own: str) -> None:
        self.cookies = 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((own, 0))
        self.socket.connect((str(place.address), place.port))
        self._arrival = Arrival(place, None)
        self._interface = Interface(PurePath(), os.urandom)
        self._interface.set_private_key(key, now())
        self._interface.set_up(now())
        peer = self._interface.add_peer(hub, now())
        assert peer is not None
        self._peer = peer
        self._interface.set_endpoint(peer, place)
        self._interface.commit_peer(peer, keepalive_turned_on=False, now=now())

    @property
    def has_session(self) -> bool:
        """Whether the daemon has answered."""
        return self._peer.slot.current is not None

    def call(self) -> None:
        """The first initiation is sent; more follow as the protocol says."""
        self._perform(self._peer.send_initiation(now()))

    def hear(self) -> None:
        """What is in the socket is taken."""
        datagram = self.socket.recv(2048)
        self.cookies += datagram[0] == MessageType.COOKIE_REPLY
        self._perform(self._interface.receive_datagram(datagram, self._arrival, now()))

    def seal(self, packet: bytes) -> bytes:
        """A message of the session, which there is."""
        keypair = self._peer.slot.current
        assert keypair is not None
        return keypair.seal(packet)

    def look_at_clock(self) -> None:
        """What is due is done."""
        self._interface.set_persistent_keepalive(self._peer, 0)
        due = self._interface.next_timeout(now())
        if due is not None and due <= now().boot:
            self._perform(self._interface.handle_timeout(now()))

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, SendDatagram):
                self.socket.send(effect.datagram)


@dataclass(frozen=True, slots=True)
class Told:
    """What came of it."""

    answered: int
    seconds: float
    cookies: int


def run(callers: Sequence[Caller], window: int, seconds: float) -> Told:
    """Everybody has called, and has a session unless the time is over."""
    idle, began = list(callers), time.monotonic()
    with selectors.DefaultSelector() as waiting:
        while (idle or waiting.get_map()) and time.monotonic() < began + seconds:
            while idle and len(waiting.get_map()) < window:
                _call(idle.pop(), waiting)
            _turn(waiting)
    took = time.monotonic() - began
    answered = sum(one.has_session for one in callers)
    return Told(answered, took, sum(one.cookies for one in callers))


def _call(one: Caller, waiting: selectors.BaseSelector) -> None:
    waiting.register(one.socket, selectors.EVENT_READ, one)
    one.call()


def _turn(waiting: selectors.BaseSelector) -> None:
    ready = waiting.select(TICK)
    for key, _ in ready:
        key.data.hear()
        if key.data.has_session:
            waiting.unregister(key.fileobj)
    if not ready:
        for key in waiting.get_map().values():
            key.data.look_at_clock()


def main(arguments: Sequence[str]) -> None:
    """One run."""
    seed, count, hub, endpoint, first, window, seconds = arguments
    place, peer = Endpoint.parse(endpoint), PublicKey.from_hex(hub)
    callers = [
        Caller(private_key(seed, n), peer, place, str(ip_address(first) + n))
        for n in range(int(count))
    ]
    print("ready", flush=True)
    told = run(callers, int(window), float(seconds))
    print(json.dumps({"answered": told.answered, "seconds": told.seconds, "cookies": told.cookies}))


if __name__ == "__main__":
    main(sys.argv[1:])
