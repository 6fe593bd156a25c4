"""The tunnel that anybody would write in Python first: two threads, a packet at a time.

Real encryption (ChaCha20-Poly1305 of the cryptography package) under a key that both ends derive
from their static keys once; no handshake, no rekeying, no replay window, no offloads. It is what
the rest is worth measuring against, and nobody should use it. Keeps wireguard-go's contract as far
as the harness goes: `python -m bench.compare.naive -f IFNAME` and its configuration socket.
"""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytun
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from bench.compare.uapi import socket_path

LARGEST = 65535
COUNTER_SIZE = 8
NONCE_PREFIX = bytes(4)


@dataclass(frozen=True, slots=True)
class Settings:
    """What one `set` request says."""

    private_key: bytes
    public_key: bytes
    listen_port: int
    endpoint: tuple[str, int]

    @classmethod
    def parse(cls, lines: list[str]) -> Settings:
        """The settings of a request with a key, a port, and one peer with an endpoint."""
        said = dict(line.split("=", 1) for line in lines if "=" in line)
        host, _, port = said["endpoint"].rpartition(":")
        return cls(
            bytes.fromhex(said["private_key"]),
            bytes.fromhex(said["public_key"]),
            int(said["listen_port"]),
            (host.strip("[]"), int(port)),
        )

    def ciphers(self) -> tuple[ChaCha20Poly1305, ChaCha20Poly1305]:
        """Ours to seal with, and the peer's to open with."""
        own = X25519PrivateKey.from_private_bytes(self.private_key)
        shared = own.exchange(X25519PublicKey.from_public_bytes(self.public_key))
        names = (own.public_key().public_bytes_raw(), self.public_key)
        mine, theirs = (hashlib.blake2s(name, key=shared).digest() for name in names)
        return ChaCha20Poly1305(mine), ChaCha20Poly1305(theirs)


def seal_packets(
    tun: int, udp: socket.socket, peer: tuple[str, int], cipher: ChaCha20Poly1305
) -> None:
    """Every packet of the device leaves, until the device is gone."""
    counter = 0
    while True:
        packet = os.read(tun, LARGEST)
        number = counter.to_bytes(COUNTER_SIZE, "little")
        udp.sendto(number + cipher.encrypt(NONCE_PREFIX + number, packet, None), peer)
        counter += 1


def open_packets(tun: int, udp: socket.socket, cipher: ChaCha20Poly1305) -> None:
    """Every genuine datagram is delivered, until the device is gone."""
    while True:
        datagram = udp.recv(LARGEST)
        number = datagram[:COUNTER_SIZE]
        os.write(tun, cipher.decrypt(NONCE_PREFIX + number, datagram[COUNTER_SIZE:], None))


def requests(listener: socket.socket) -> Iterator[list[str]]:
    """Every request to the configuration socket; each is answered with success."""
    while True:
        connection, _ = listener.accept()
        with connection, connection.makefile("rw") as stream:
            lines = list(iter(lambda: stream.readline().strip(), ""))
            if lines:  # else somebody only looked whether we listen
                yield lines
                stream.write("errno=0\n\n")
                stream.flush()


def carry(tun: int, settings: Settings) -> None:
    """Two threads carry packets from now on."""
    family = socket.AF_INET6 if ":" in settings.endpoint[0] else socket.AF_INET
    udp = socket.socket(family, socket.SOCK_DGRAM)
    udp.bind(("", settings.listen_port))
    mine, theirs = settings.ciphers()
    there = (tun, udp, settings.endpoint, mine)
    threading.Thread(target=seal_packets, args=there, daemon=True).start()
    threading.Thread(target=open_packets, args=(tun, udp, theirs), daemon=True).start()


def main(arguments: list[str]) -> None:
    """Serve the interface that the command line names, until a signal comes."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    name = arguments[-1]
    tun = pytun.TunTapDevice(name=name, flags=pytun.IFF_TUN | pytun.IFF_NO_PI)
    path = socket_path(name)
    path.parent.mkdir(mode=0o755, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        for lines in requests(listener):
            if any(line.startswith("private_key=") for line in lines):
                carry(tun.fileno(), Settings.parse(lines))


if __name__ == "__main__":
    main(sys.argv[1:])
