"""Where a discovery service sees us: the `client_ip` of its greeting, if anybody could use it.

The service may be behind a proxy or inside somebody's tunnel, or lie. What it says becomes an
endpoint that all members try, so an address that means nothing to others is no address.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from kubespan.model.address import IPAddress
from kubespan.model.constants import ULA_PURPOSE_KUBESPAN, ULA_PURPOSE_SIDEROLINK


def client_address(raw: bytes, *, private: bool = False) -> IPAddress | None:
    """Return the address that a service saw, None if it saw none or one of no use to others.

    4 or 16 bytes; a zone behind them is a reason to refuse. `private` accepts addresses of a
    private network too, for a mesh that does not leave it, but never one of a KubeSpan or
    SideroLink network: announcing a tunnel's inside as its outside breaks it.
    """
    if len(raw) == 4:
        return _useful(IPv4Address(raw), private=private)
    if len(raw) != 16:
        return None
    address = IPv6Address(raw)
    if address.ipv4_mapped is not None:
        return _useful(address.ipv4_mapped, private=private)
    if raw[0] == 0xFD and raw[7] in {ULA_PURPOSE_KUBESPAN, ULA_PURPOSE_SIDEROLINK}:
        return None
    return _useful(address, private=private)


def _useful(address: IPAddress, *, private: bool) -> IPAddress | None:
    reaches_nobody = (
        address.is_unspecified
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_reserved
    )
    return address if not reaches_nobody and (private or address.is_global) else None
