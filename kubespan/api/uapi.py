"""WireGuard's configuration protocol: text in, text out, and a device changed in between.

Reads requests, acts on the core, writes answers; where the text comes from and goes to is not known
here. Lines take effect one by one, in order; a line that is refused ends its request, and what was
before it stays. https://www.wireguard.com/xplatform/, wireguard-go device/uapi.go for what tools
rely on.

Answers to `get` have keys of our own, which tools pass over; all of them begin with `kubespan_`:
`kubespan_drop_REASON` counts what was dropped, and there are others, see `Target.counters`.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from kubespan.api.change import Change, Refused
from kubespan.api.target import Target
from kubespan.model.errors import ConfigError, KubespanError
from kubespan.wireguard.peer import Peer

LONGEST_REQUEST = 64 << 20
"""Bytes of one request; a peer with 130,560 allowed IPs takes 3.5 MB."""

OTHER_ERROR = -55
"""The errno of what none of the others is about. wireguard-go ipc/uapi_unix.go."""

_GET: Final = "get=1"
_SET: Final = "set=1"


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send back, and in words what was wrong, if something was."""

    text: str
    refusal: str = ""


class NotARequest(KubespanError):
    """Something else than a request was sent; there is no way to go on."""


class RequestReader:
    """Cuts what comes in over one connection into requests, however it is split."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._searched = 0

    def requests(self, data: bytes) -> Iterator[str]:
        """Take more bytes in; iterate over the requests that are complete by them.

        A request is its lines, without the blank one. Raises NotARequest at its place.
        """
        self._pending += data
        while True:
            self._check_operation()
            end = self._pending.find(b"\n\n", self._searched)
            if end < 0:
                break
            request = self._pending[: end + 1].decode(errors="replace")
            del self._pending[: end + 2]
            self._searched = 0
            yield request
        self._searched = max(0, len(self._pending) - 1)
        if len(self._pending) > LONGEST_REQUEST:
            raise NotARequest(f"no blank line in {LONGEST_REQUEST} bytes")

    def rest(self) -> str:
        """Return the request that the end of the connection leaves without its blank line."""
        return self._pending.decode(errors="replace")

    def _check_operation(self) -> None:
        operation = bytes(self._pending[: len(_GET) + 1])
        if not any(f"{known}\n".encode().startswith(operation) for known in (_GET, _SET)):
            raise NotARequest("the first line is neither get=1 nor set=1")


def answer(request: str, target: Target) -> Answer:
    """Do what a request says and return the answer. Anything but a KubespanError is a bug."""
    operation, _, lines = request.partition("\n")
    if operation == _SET:
        return _set(lines.split("\n"), target)
    if lines or operation != _GET:
        return Answer(_errno(-errno.EINVAL), "a get has no lines but get=1")
    return Answer(_get(target) + _errno(0))


def _errno(number: int) -> str:
    return f"errno={number}\n\n"


# Get.


def _get(target: Target) -> str:
    return "".join([f"{key}={value}\n" for key, value in _settings(target)])


def _settings(target: Target) -> Iterator[tuple[str, object]]:
    interface = target.interface
    if interface.private_key is not None:
        yield "private_key", interface.private_key.hex()
    if target.listen_port:
        yield "listen_port", target.listen_port
    if target.fwmark:
        yield "fwmark", target.fwmark
    for name, value in target.counters().items():
        yield f"kubespan_{name}", value
    for peer in interface.peers.values():
        yield from _peer_settings(peer)
        for prefix in interface.allowed_ips.prefixes(peer):
            yield "allowed_ip", prefix


def _peer_settings(peer: Peer) -> Iterator[tuple[str, object]]:
    seconds, nanoseconds = divmod(peer.last_handshake_wall_ns, 10**9)
    endpoint = peer.slot.endpoint
    yield "public_key", peer.public_key.hex()
    yield "preshared_key", peer.preshared_key.hex()
    yield "protocol_version", 1
    if endpoint is not None:
        yield "endpoint", endpoint
    yield "last_handshake_time_sec", seconds
    yield "last_handshake_time_nsec", nanoseconds
    yield "tx_bytes", peer.slot.tx_bytes
    yield "rx_bytes", peer.slot.rx_bytes
    yield "persistent_keepalive_interval", peer.persistent_keepalive


# Set.


def _set(lines: list[str], target: Target) -> Answer:
    change = Change(target)
    try:
        refused, refusal = _apply(lines, change)
    finally:
        # Whatever happened, lanes follow what was applied until then.
        change.end()
    return Answer(_errno(refused), refusal)


def _apply(lines: list[str], change: Change) -> tuple[int, str]:
    """Apply lines until one is refused; return the errno for that, and why."""
    number, last = 1, lines.pop()
    try:
        for line in lines:
            number += 1
            change.apply(line)
    except Refused as error:
        return -error.errno, f"line {number}: {error}"
    except ConfigError as error:
        return -errno.EINVAL, f"line {number}: {error}"
    except KubespanError as error:
        return OTHER_ERROR, f"line {number}: {error}"
    if last:
        return -errno.EPROTO, f"line {number + 1}: the connection ended in the middle of it"
    return 0, ""
