"""One echo request to an address, and how long its answer took. RFC 792, RFC 4443 §4.

The kernel routes it like any other packet, so that an answer means that the way is open.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import socket
import struct
import time
from typing import Final

from kubespan.model.address import IPAddress
from kubespan.model.errors import SystemFault

REQUEST: Final = {4: 8, 6: 128}
REPLY: Final = {4: 0, 6: 129}
HEADER: Final = struct.Struct("!BBHHH")
"""Type, code, checksum, identifier, sequence number."""

TOKEN_SIZE: Final = 16
IPV4_HEADER_LENGTH: Final = 0x0F
LARGEST: Final = 2048


async def round_trip(address: IPAddress, timeout: float) -> float | None:  # noqa: ASYNC109
    """Return the seconds between request and reply, None where there was none in time.

    Raises SystemFault where the kernel has no way there, or lets us not ask.
    """
    try:
        with _socket(address.version) as asking:
            asking.setblocking(False)
            asking.connect((str(address), 0))
            return await _ask(asking, address.version, timeout)
    except OSError as error:
        raise SystemFault(f"ping {address}", error.errno or 0) from error


async def _ask(asking: socket.socket, version: int, timeout: float) -> float | None:  # noqa: ASYNC109
    loop = asyncio.get_running_loop()
    token = secrets.token_bytes(TOKEN_SIZE)
    sent_at = time.monotonic()
    await loop.sock_sendall(asking, _request(version, token))
    try:
        async with asyncio.timeout(timeout):
            while not _is_reply(await loop.sock_recv(asking, LARGEST), version, token):
                pass
    except TimeoutError:
        return None
    return time.monotonic() - sent_at


def _socket(version: int) -> socket.socket:
    """Return a socket that asks for itself where the system allows that, else one of root's."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    protocol = socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6
    try:
        return socket.socket(family, socket.SOCK_DGRAM, protocol)
    except OSError as error:
        if error.errno != errno.EACCES:
            raise
        return socket.socket(family, socket.SOCK_RAW, protocol)


def _request(version: int, token: bytes) -> bytes:
    identifier = os.getpid() & 0xFFFF
    header = HEADER.pack(REQUEST[version], 0, 0, identifier, 1)
    # The kernel completes the checksum of an ICMPv6 message, and of ours on its own ping sockets.
    checksum = _checksum(header + token) if version == 4 else 0
    return HEADER.pack(REQUEST[version], 0, checksum, identifier, 1) + token


def _is_reply(packet: bytes, version: int, token: bytes) -> bool:
    if version == 4 and packet[:1] and packet[0] >> 4 == 4:
        # A raw socket shows the IP header too.
        packet = packet[4 * (packet[0] & IPV4_HEADER_LENGTH) :]
    return packet[:1] == bytes((REPLY[version],)) and packet[HEADER.size :] == token


def _checksum(message: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(message) // 2}H", message))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
