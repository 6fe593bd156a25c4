"""The unique local addresses of a cluster: its mesh's /64, and a host's address in there.

A prefix is six bytes of a hash of the cluster's id between 0xfd and a byte that says its purpose;
the lower half is the modified EUI-64 of a MAC. RFC 4193, RFC 4291 appendix A; Talos
`pkg/machinery/resources/network` (ULAPrefix).
"""

from __future__ import annotations

from hashlib import sha256
from ipaddress import IPv6Address
from typing import Final

from kubespan.model.address import IPAddress, Prefix
from kubespan.model.constants import ULA_PURPOSE_KUBESPAN, ULA_PURPOSE_SIDEROLINK
from kubespan.model.errors import InternalError

MAC_SIZE: Final = 6


def kubespan_subnet(cluster_id: str) -> Prefix:
    """Return the /64 of a cluster's mesh. The id is hashed as it is written, never decoded."""
    return _subnet(cluster_id, ULA_PURPOSE_KUBESPAN)


def host_address(subnet: Prefix, mac: bytes) -> IPv6Address:
    """Return the address that a host with this MAC has in a /64."""
    if len(mac) != MAC_SIZE:
        raise InternalError(f"a MAC is {MAC_SIZE} bytes, not {len(mac)}")
    eui64 = bytes((mac[0] ^ 0x02,)) + mac[1:3] + b"\xff\xfe" + mac[3:]
    return IPv6Address(subnet.value | int.from_bytes(eui64, "big"))


def is_kubespan_ula(address: IPAddress) -> bool:
    """Whether an address looks like one of some cluster's mesh.

    A cheap look at two bytes, as Talos does it: `fd00:0:0:2::/64` of somebody's own network looks
    so too. Where the cluster is known, ask its `kubespan_subnet`.
    """
    return _has_purpose(address, ULA_PURPOSE_KUBESPAN)


def is_siderolink_ula(address: IPAddress) -> bool:
    """Whether an address looks like one of a SideroLink; as cheap as `is_kubespan_ula`."""
    return _has_purpose(address, ULA_PURPOSE_SIDEROLINK)


def _subnet(cluster_id: str, purpose: int) -> Prefix:
    unique = sha256(cluster_id.encode()).digest()[17:23]
    return Prefix(6, int.from_bytes(b"\xfd" + unique + bytes((purpose,)), "big") << 64, 64)


def _has_purpose(address: IPAddress, purpose: int) -> bool:
    raw = address.packed
    return len(raw) == 16 and raw[0] == 0xFD and raw[7] == purpose


SIDEROLINK_SUBNET: Final = _subnet("", ULA_PURPOSE_SIDEROLINK)
"""Of the management links of Omni and its kin, which belong to no cluster."""
