"""Who is calling: the address of a client, as the service tells it, counts it and logs it.

Reads what gRPC says of the connection and, only where the operator trusts them, the headers of a
proxy in front of us. Text in, bytes out; what cannot be read is no address, never an error.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address
from typing import Final
from urllib.parse import unquote

from kubespan.model.address import IPAddress

UNKNOWN: Final = b""
"""The address of somebody who has none, such as a client on a Unix socket."""

LONGEST_ZONE: Final = 64
"""Bytes of an IPv6 zone that we keep; names of interfaces are shorter."""

Metadata = Iterable[tuple[str, str | bytes]]


@dataclass(frozen=True, slots=True)
class Trust:
    """Which headers may say who is calling. A client can write into them what it likes."""

    x_real_ip: bool = False
    x_forwarded_for: bool = False


def caller_address(peer: str, metadata: Metadata, trust: Trust) -> bytes:
    """Return 4 or 16 bytes, 16 and the text of a zone (from a header only), or none."""
    candidates = []
    if trust.x_real_ip:
        candidates.append(_first(metadata, "x-real-ip"))
    if trust.x_forwarded_for:
        candidates.append(_first(metadata, "x-forwarded-for").partition(",")[0].strip())
    for text in candidates:
        if address := _header_address(text):
            return address
    return peer_address(peer)


def peer_address(peer: str) -> bytes:
    """Return the address in gRPC's name of a peer: `ipv4:1.2.3.4:5`, `ipv6:%5B::1%5D:5`.

    4 bytes for IPv4, also where it came in on a socket for both; 16 for IPv6, without the zone.
    """
    family, _, rest = peer.partition(":")
    host = unquote(rest).rpartition(":")[0]
    try:
        match family:
            case "ipv4":
                return IPv4Address(host).packed
            case "ipv6":
                address = IPv6Address(host.strip("[]"))
                return (address.ipv4_mapped or address).packed
    except AddressValueError:
        pass
    return UNKNOWN


def address_text(address: bytes) -> str:
    """Return an address for people, `unknown` for none."""
    match len(address):
        case 0:
            return "unknown"
        case 4:
            return str(IPv4Address(address))
        case _:
            zone = address[16:].decode("ascii", "replace")
            return str(IPv6Address(address[:16])) + (f"%{zone}" if zone else "")


def _first(metadata: Metadata, name: str) -> str:
    """Return the first value of a header, as it is; nothing where there is none."""
    for key, value in metadata:
        if key == name:
            return value if isinstance(value, str) else ""
    return ""


def _header_address(text: str) -> bytes:
    try:
        address: IPAddress = ip_address(text)
    except ValueError:
        return UNKNOWN
    zone = (getattr(address, "scope_id", None) or "").encode()
    return address.packed + zone if len(zone) <= LONGEST_ZONE else UNKNOWN
