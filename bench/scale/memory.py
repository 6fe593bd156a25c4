"""What a peer that does nothing costs in resident memory, without keys and with them.

Each count is measured in a process of its own, so that nothing freed before is used again. With
sessions means two of them, previous and current, which is all that a peer at rest ever has.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
import tracemalloc
from ipaddress import ip_address
from pathlib import Path

from bench.compare.processes import run
from bench.scale.figure import Figure
from kubespan import fastpath
from kubespan.model.address import Endpoint, Prefix
from kubespan.model.instant import Instant
from kubespan.model.keys import PrivateKey, PublicKey
from kubespan.wireguard.interface import Interface
from kubespan.wireguard.peer import Peer

PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")
MOST = 4096.0


def measure(counts: tuple[int, ...]) -> list[Figure]:
    """Resident bytes of one peer, by how many there are."""
    figures = []
    for count in counts:
        told = json.loads(run([sys.executable, "-m", "bench.scale.memory", str(count)]))
        of, most = f"of {count:,}", MOST if count == counts[0] else None
        figures += [
            Figure("memory", f"peer {of}, no session", told["bare"], "bytes resident"),
            Figure("memory", f"peer {of}, one session", told["one"], "bytes resident", most=MOST),
            Figure("memory", f"peer {of}, two sessions", told["two"], "bytes resident", most=most),
        ]
    traced = json.loads(run([sys.executable, "-m", "bench.scale.memory", str(counts[0]), "traced"]))
    name = "of it Python objects and keypairs, two sessions"
    return [*figures, Figure("memory", name, traced["two"], "bytes traced")]


class Crowd:
    """An interface with many peers, each with an endpoint and an allowed IP."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.interface = Interface(fastpath.create_path(), os.urandom)
        self.interface.set_private_key(PrivateKey(os.urandom(32)), now())
        self.interface.set_up(now())

    def configure(self) -> None:
        """All of them are there."""
        for n in range(self.count):
            self._add(n)
        self.interface.publish()
        self.interface.next_timeout(now())

    def _add(self, number: int) -> None:
        peer = self.interface.add_peer(PublicKey(os.urandom(32)), now())
        assert peer is not None
        place = Endpoint(ip_address(0x0A000000 + number), 51820)
        self.interface.set_endpoint(peer, place)
        self.interface.insert_allowed_ip(peer, Prefix(4, 0x0B000000 + number, 32))
        self.interface.commit_peer(peer, keepalive_turned_on=False, now=now())

    def rekey(self) -> None:
        """Everybody has one session more, as if it had just been agreed on."""
        for peer in self.interface.peers.values():
            self._rekey(peer)
        self.interface.next_timeout(now())

    def _rekey(self, peer: Peer) -> None:
        surroundings, sessions = peer._surroundings, peer._sessions  # noqa: SLF001 -- no handshake
        index = surroundings.allocate_index(peer, peer.slot.queue)
        keypair = surroundings.path.create_keypair(
            send_key=os.urandom(32),
            receive_key=os.urandom(32),
            local_index=index,
            remote_index=0,
            is_initiator=True,
            created_at=now().boot,
        )
        surroundings.indices.promote(index, keypair)
        sessions.install_initiated(keypair)
        peer.timers.session_derived(now().boot)
        self.interface.set_persistent_keepalive(peer, 0)


def now() -> Instant:
    """The present moment."""
    return Instant(time.clock_gettime(time.CLOCK_BOOTTIME), time.time_ns())


def resident() -> int:
    """Bytes of this process that are in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_SIZE


def traced_bytes() -> int:
    """Bytes of Python's allocators; memory of the lanes' own is not among them."""
    return tracemalloc.get_traced_memory()[0]


def main(count: int, *, traced: bool) -> dict[str, float]:
    """Bytes of a peer at each stage."""
    crowd = Crowd(count)
    if traced:
        tracemalloc.start()
    look = traced_bytes if traced else resident
    before = look()
    told = {}
    for stage, act in (("bare", crowd.configure), ("one", crowd.rekey), ("two", crowd.rekey)):
        act()
        told[stage] = (look() - before) / count
    return told


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), traced="traced" in sys.argv)))
