"""Routing loops: our own datagrams, sent into the tunnel because the route to a peer leads there.

Each time round, a message would be sealed anew and grow; a peer's endpoint inside the peer's own
allowed IPs is all that it takes. A message is known for ours by its destination and by the session
it is sealed under, so that other WireGuard traffic passes. RFC 791 §3.1, RFC 8200 §4.5, RFC 768.
"""

from __future__ import annotations

from kubespan.model.address import Endpoint
from kubespan.model.constants import MESSAGE_TRANSPORT_HEADER_SIZE
from kubespan.noise.messages import MessageType

_UDP = 17
_UDP_HEADER_SIZE = 8
_FRAGMENT = 44
_FRAGMENT_HEADER_SIZE = 8


def is_own_message(packet: bytes, endpoint: Endpoint, remote_index: int) -> bool:
    """Tell whether a packet is a transport message that we sent to an endpoint.

    `packet` is whole IPv4 or IPv6, or the first fragment; `remote_index` is of the session in use.
    """
    udp = _udp_offset(packet)
    if udp is None or len(packet) < udp + _UDP_HEADER_SIZE + MESSAGE_TRANSPORT_HEADER_SIZE:
        return False
    message = packet[udp + _UDP_HEADER_SIZE :]
    return (
        message[:8] == bytes((MessageType.TRANSPORT, 0, 0, 0)) + remote_index.to_bytes(4, "little")
        and int.from_bytes(packet[udp + 2 : udp + 4], "big") == endpoint.port
        and _destination(packet) == endpoint.address.packed
    )


def _udp_offset(packet: bytes) -> int | None:
    """Return where the UDP header is, None if there is none."""
    if packet[0] >> 4 == 4:
        is_first = int.from_bytes(packet[6:8], "big") & 0x1FFF == 0
        return (packet[0] & 15) * 4 if packet[9] == _UDP and is_first else None
    if packet[6] == _UDP:
        return 40
    if packet[6] == _FRAGMENT and len(packet) >= 40 + _FRAGMENT_HEADER_SIZE:
        is_first = int.from_bytes(packet[42:44], "big") & 0xFFF8 == 0
        return 40 + _FRAGMENT_HEADER_SIZE if packet[40] == _UDP and is_first else None
    return None


def _destination(packet: bytes) -> bytes:
    return packet[16:20] if packet[0] >> 4 == 4 else packet[24:40]
