"""How large a packet the mesh takes: what the links under it carry, less the tunnel's overhead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kubespan.model.address import Endpoint
from kubespan.model.constants import KUBESPAN_MINIMUM_MTU, KUBESPAN_MTU, TUNNEL_OVERHEAD
from kubespan.model.host import UnderlyingLink


@dataclass(frozen=True, slots=True)
class Mtu:
    """An MTU, and why it is that."""

    value: int
    reason: str


def mesh_mtu(configured: int | None, ways: Mapping[Endpoint, UnderlyingLink]) -> Mtu:
    """Return the mesh's MTU: what was configured, else what fits through the narrowest way."""
    if configured is not None:
        return Mtu(configured, "configured")
    if not ways:
        return Mtu(KUBESPAN_MTU, "no endpoint is known whose route could be looked at")
    endpoint, link = min(ways.items(), key=lambda way: (way[1].mtu, str(way[0])))
    said = f"underlying {link.mtu} on {link.name}, to {endpoint}"
    if link.mtu - TUNNEL_OVERHEAD < KUBESPAN_MINIMUM_MTU:
        return Mtu(KUBESPAN_MINIMUM_MTU, f"{said}; IPv6 needs {KUBESPAN_MINIMUM_MTU}")
    return Mtu(link.mtu - TUNNEL_OVERHEAD, said)
