"""Where a discovery service sees us: the `client_ip` of its greeting, as an address.

Bytes in, a value out. Whether an address is of any use to others is decided elsewhere.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from kubespan.model.address import IPAddress


def client_address(raw: bytes) -> IPAddress | None:
    """Return the address that a service saw, None if it says none.

    4 or 16 bytes; an IPv4-mapped address is the IPv4 address. A zone behind them names an
    interface of another host, so that such an address is none of ours.
    """
    if len(raw) == 4:
        return IPv4Address(raw)
    if len(raw) != 16:
        return None
    address = IPv6Address(raw)
    return address.ipv4_mapped or address
