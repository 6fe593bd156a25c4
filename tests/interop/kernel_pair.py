"""Ours and the kernel's, introduced to each other, and what tests do to the two."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from dataclasses import dataclass

from tests.interop.kernel_guest import KernelGuest
from tests.interop.kernel_tunnel import KernelTunnel
from tests.netns.lab import Tunnel
from tests.netns.namespace import Namespace

OURS4, THEIRS4 = "10.77.0.1", "10.77.0.2"
OURS6, THEIRS6 = "fd77::1", "fd77::2"
ALLOWED_OURS = f"{OURS4}/32,{OURS6}/128"
ALLOWED_THEIRS = f"{THEIRS4}/32,{THEIRS6}/128"
PORT = 51820


@dataclass(frozen=True, slots=True)
class Neighbours:
    """A namespace of this machine and a guest on the two ends of one cable."""

    host: Namespace
    guest: KernelGuest
    host4: str = "192.0.2.1"
    guest4: str = "192.0.2.2"
    host6: str = "2001:db8::1"
    guest6: str = "2001:db8::2"


@dataclass(frozen=True, slots=True)
class KernelPair:
    """Ours and the kernel's, each holding the other as a peer without an endpoint."""

    sides: Neighbours
    ours: Tunnel
    theirs: KernelTunnel

    def introduce(self, initiator: str, *, outer: int = 4, preshared: str = "") -> None:
        """Make each the other's peer; only the initiator knows where the other is."""
        host, guest = (bracketed(address) for address in self.outer_addresses(outer))
        endpoints = {"ours": ("endpoint", f"{guest}:{PORT}"), "kernel": f"endpoint {host}:{PORT} "}
        self.ours.peer(
            self.theirs.keys.public,
            *(endpoints["ours"] if initiator == "ours" else ()),
            "allowed-ips",
            ALLOWED_THEIRS,
            preshared=preshared,
        )
        self.theirs.peer(
            self.ours.keys.public,
            f"{endpoints['kernel'] if initiator == 'kernel' else ''}allowed-ips {ALLOWED_OURS}",
            preshared=preshared,
        )

    def ping_from(self, side: str, *, count: int = 1, size: int = 56) -> None:
        """Ping the other side's IPv4 address."""
        if side == "ours":
            self.ours.namespace.ping(THEIRS4, count=count, size=size)
        else:
            self.theirs.ping(OURS4, count=count, size=size)

    def handshake_times(self) -> tuple[int, int]:
        """When each side saw the last handshake complete, by its own clock."""
        ours = self.ours.shown("latest-handshakes", self.theirs.keys.public)
        return int(ours), int(self.theirs.shown("latest-handshakes", self.ours.keys.public))

    def outer_addresses(self, family: int) -> tuple[str, str]:
        """Return where the sockets of both are, ours first."""
        if family == 4:
            return self.sides.host4, self.sides.guest4
        return self.sides.host6, self.sides.guest6


def bracketed(address: str) -> str:
    """Write an address as it stands before a port."""
    return f"[{address}]" if ":" in address else address


def carry_both_ways(pair: KernelPair, address: str, size: int) -> None:
    """Send random bytes to the guest over TCP, and the same back; they stay what they were."""
    blob = os.urandom(size)
    _serve_once(pair, address, blob, f"nc {address} 7001 </dev/null >/tmp/blob")
    digest = pair.theirs.guest.run("sha256sum /tmp/blob").split()[0]
    assert digest == hashlib.sha256(blob).hexdigest()
    back = _serve_once(pair, address, b"", f"nc {address} 7001 </tmp/blob; rm /tmp/blob")
    assert hashlib.sha256(back).hexdigest() == digest


def _serve_once(pair: KernelPair, address: str, send: bytes, command: str) -> bytes:
    """Listen on our inner address, send one caller the bytes, return all it says."""
    heard = bytearray()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with pair.ours.namespace.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.settimeout(30)
        listener.bind((address, 7001))
        listener.listen(1)

        def serve() -> None:
            caller, _ = listener.accept()
            with caller:
                caller.settimeout(30)
                if send:
                    caller.sendall(send)
                    caller.shutdown(socket.SHUT_WR)
                while data := caller.recv(1 << 16):
                    heard.extend(data)

        thread = threading.Thread(target=serve)
        thread.start()
        pair.theirs.guest.run(command)
        thread.join()
    return bytes(heard)
