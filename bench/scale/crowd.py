"""Many peers of one daemon in one process: a TUN device, one pair of lanes, and a session for each.

    python -m bench.scale.crowd INTERFACE SEED COUNT HUB ENDPOINT FIRST

Each is a core of its own, with a private key made of SEED; all share the memory that lanes follow.
HUB is the daemon's public key in hexadecimal. Where a packet goes by way of peer number n is to the
address FIRST + n. Prints "ready" once everybody has a session, and then carries packets until it is
ended; it does not rekey, so that is not to be later than in three minutes.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address

from bench.compare.processes import run
from bench.scale.callers import now, private_key
from kubespan import fastpath
from kubespan.device.bind import Sockets, open_sockets
from kubespan.fastpath import LaneOptions, Lanes, UpcallKind
from kubespan.linux.tun import Offload, Tun, create_tun
from kubespan.model.address import Endpoint, Prefix
from kubespan.model.keys import PrivateKey, PublicKey
from kubespan.noise.cookie import Gate
from kubespan.wireguard.datapath import Keypair, PeerSlot
from kubespan.wireguard.effects import Effect, SendDatagram
from kubespan.wireguard.interface import Interface

BURST = 44
WINDOW = 64
PATIENCE = 20.0
TICK = 0.05
UPCALLS = 256


class SharedPath:
    """The data path of all: each core makes its own sessions, none of them publishes."""

    def __init__(self) -> None:
        self.path = fastpath.create_path()
        self.mtu = self.path.mtu
        self.create_slot: Callable[[], PeerSlot] = self.path.create_slot
        self.create_keypair: Callable[..., Keypair] = self.path.create_keypair
        self.is_index_free: Callable[[int], bool] = self.path.is_index_free

    def publish_routes(self, routes: Iterable[tuple[Prefix, PeerSlot]]) -> None:
        """Nothing: the routes of all are published together."""

    def publish_gate(self, gate: Gate | None) -> None:
        """Nothing: there are as many gates as cores, so every message goes up."""


class Crowd:
    """All peers, their lanes, and the way to the core that an answer is for."""

    def __init__(
        self, tun: Tun, keys: Sequence[PrivateKey], hub: PublicKey, place: Endpoint
    ) -> None:
        shared = SharedPath()
        self._sockets: Sockets = open_sockets(0, 0, merge=True).spread(0, merge=True)
        self._cores = [_core(shared, key, hub, place) for key in keys]
        self._waiting: dict[int, Interface] = {}
        self._path = shared.path
        self._lanes: Lanes = fastpath.create_lanes(shared.path, _options(tun, self._sockets))

    def route(self, first: str) -> None:
        """What is sent to the addresses from this one on goes by way of one peer each."""
        start = int(ip_address(first))
        slots = (next(iter(core.peers.values())).slot for core in self._cores)
        self._path.publish_routes((Prefix(4, start + n, 32), slot) for n, slot in enumerate(slots))

    def meet(self) -> None:
        """Everybody has a session. Raises TimeoutError."""
        self._lanes.start()
        idle, give_up_at = list(self._cores), time.monotonic() + PATIENCE
        while idle or self._waiting:
            while idle and len(self._waiting) < WINDOW:
                self._call(idle.pop())
            select.select([self._lanes.upcall_fd], [], [], TICK)
            self.listen()
            if time.monotonic() > give_up_at:
                raise TimeoutError(f"{len(self._waiting)} peers wait for a session")

    def listen(self) -> None:
        """What lanes hand up is heard, if it is an answer that somebody waits for."""
        for upcall in self._lanes.drain(UPCALLS):
            index = int.from_bytes(upcall.payload[8:12], "little")
            if upcall.kind is UpcallKind.HANDSHAKE and upcall.arrival and index in self._waiting:
                core = self._waiting.pop(index)
                self._perform(core.receive_datagram(upcall.payload, upcall.arrival, now()))

    def close(self) -> None:
        """No thread is left."""
        self._lanes.stop()

    def _call(self, core: Interface) -> None:
        (peer,) = core.peers.values()
        self._perform(peer.send_initiation(now()))
        self._waiting[peer.handshake.local_index] = core

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, SendDatagram):
                self._sockets.send(effect.datagram, effect.endpoint, None, effect.traffic_class)


def _core(path: SharedPath, key: PrivateKey, hub: PublicKey, place: Endpoint) -> Interface:
    core = Interface(path, os.urandom)
    core.set_private_key(key, now())
    core.set_up(now())
    peer = core.add_peer(hub, now())
    assert peer is not None
    core.set_endpoint(peer, place)
    core.commit_peer(peer, keepalive_turned_on=False, now=now())
    return core


def _options(tun: Tun, sockets: Sockets) -> LaneOptions:
    offload = tun.set_offloads()
    return LaneOptions(
        tun_fd=tun.descriptor,
        ipv4_fds=tuple(one.fileno() for one in sockets.ipv4),
        tun_queues=tun.readable,
        vnet_header=tun.has_vnet_header,
        tcp_offload=Offload.TSO6 in offload,
        udp_offload=Offload.USO6 in offload,
    )


def main(arguments: Sequence[str]) -> None:
    """One run, until SIGTERM."""
    name, seed, count, hub, endpoint, first = arguments
    tun = create_tun(name, queues=fastpath.TUN_QUEUES)
    run(["ip", "link", "set", name, "up", "gso_max_segs", str(BURST)])
    keys = [private_key(seed, n) for n in range(int(count))]
    crowd = Crowd(tun, keys, PublicKey.from_hex(hub), Endpoint.parse(endpoint))
    crowd.route(first)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        crowd.meet()
        print("ready", flush=True)
        while True:
            time.sleep(TICK)
            crowd.listen()
    finally:
        crowd.close()


if __name__ == "__main__":
    main(sys.argv[1:])
