"""The two requests that a harness makes of a userspace WireGuard: set it up, read its counters.

Speaks the cross-platform configuration protocol (https://www.wireguard.com/xplatform/) over the
implementation's own Unix socket. Needs no `wg`.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from nacl.bindings import crypto_scalarmult_base

SOCKETS = Path("/var/run/wireguard")
COUNTER_PREFIX = "kubespan_"
TIMEOUT = 10.0


class Refused(Exception):
    """The implementation answered a request with an errno, or not at all."""


@dataclass(frozen=True, slots=True)
class StaticKeys:
    """One end's static key pair, fresh for every lab: 32 bytes each."""

    private: bytes
    public: bytes

    @classmethod
    def create(cls) -> StaticKeys:
        """A new random pair, clamped as X25519 asks."""
        private = bytearray(os.urandom(32))
        private[0] &= 248
        private[31] = private[31] & 127 | 64
        return cls(bytes(private), crypto_scalarmult_base(bytes(private)))


def socket_path(interface: str) -> Path:
    """Where the implementation that runs `interface` listens."""
    return SOCKETS / f"{interface}.sock"


def is_listening(interface: str) -> bool:
    """Whether somebody accepts on the socket of `interface`."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(socket_path(interface))) == 0


def configure(interface: str, own: bytes, port: int, peer: bytes, endpoint: str) -> None:
    """`interface` has the private key `own` and one peer that may send from anywhere."""
    lines = [
        "set=1",
        f"private_key={own.hex()}",
        f"listen_port={port}",
        "replace_peers=true",
        f"public_key={peer.hex()}",
        f"endpoint={endpoint}",
        "replace_allowed_ips=true",
        "allowed_ip=0.0.0.0/0",
        "allowed_ip=::/0",
    ]
    _request(interface, lines)


def add_idle_peers(interface: str, count: int) -> None:
    """`interface` also knows `count` peers that never speak, with an address each."""
    lines = ["set=1"]
    for number in range(count):
        # Any 32 bytes are a public key.
        lines += [f"public_key={os.urandom(32).hex()}", "replace_allowed_ips=true"]
        lines.append(f"allowed_ip={ipaddress.IPv4Address(0x0A000000 + number)}/32")
    if count:
        _request(interface, lines)


def private_key(interface: str) -> bytes:
    """The private key of `interface`. Raises Refused."""
    for line in dump(interface):
        if line.startswith("private_key="):
            return bytes.fromhex(line.partition("=")[2])
    raise Refused(f"{interface} has no private key")


def dump(interface: str) -> list[str]:
    """All that `interface` tells, line by line."""
    return _request(interface, ["get=1"])


def change(interface: str, lines: list[str]) -> None:
    """These lines of configuration take effect. Raises Refused."""
    _request(interface, ["set=1", *lines])


def counters(interface: str) -> dict[str, int]:
    """The data plane's own counters, without their prefix; empty where there are none."""
    return {name: int(value) for name, value in _extras(interface) if value.isdecimal()}


def remarks(interface: str) -> dict[str, str]:
    """What the data plane says of itself in words, such as which cipher it picked."""
    return {name: value for name, value in _extras(interface) if not value.isdecimal()}


def _extras(interface: str) -> list[tuple[str, str]]:
    split = (line.partition("=") for line in dump(interface))
    return [
        (key.removeprefix(COUNTER_PREFIX), value)
        for key, _, value in split
        if key.startswith(COUNTER_PREFIX)
    ]


def _request(interface: str, lines: list[str]) -> list[str]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(TIMEOUT)
        connection.connect(str(socket_path(interface)))
        connection.sendall("\n".join([*lines, "", ""]).encode())
        answer = _read_answer(connection)
    if "errno=0" not in answer:
        raise Refused(f"{interface} answered {lines[0]} with {answer[-1:] or 'nothing'}")
    return answer


def _read_answer(connection: socket.socket) -> list[str]:
    answer = b""
    while not answer.endswith(b"\n\n"):
        part = connection.recv(65536)
        if not part:
            break
        answer += part
    return answer.decode().splitlines()
