"""Which endpoints of a peer we try, and in which order: those that may lead to it, as we are.

A peer announces every address that it has. Some mean ourselves, and what is inside the mesh would
lead through the very tunnel that is to be made; those are never tried. The rest is the operator's
choice, `filters.peerEndpoints`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from kubespan.mesh.filter import filtered_endpoints
from kubespan.model.address import Endpoint, Prefix
from kubespan.model.keys import PublicKey
from kubespan.model.resources import KubeSpanPeerSpec


@dataclass(frozen=True, slots=True)
class Reach:
    """What decides about every endpoint."""

    subnet: Prefix
    """Of the mesh."""

    ours: frozenset[Endpoint] = frozenset()
    filters: tuple[str, ...] | None = None


class Dialing:
    """Leaves endpoints out of specs; a spec that is the same as before comes out the same."""

    def __init__(self) -> None:
        self._reach: Reach | None = None
        self._dialed: dict[PublicKey, tuple[KubeSpanPeerSpec, KubeSpanPeerSpec]] = {}

    def dialed(
        self, specs: Iterable[KubeSpanPeerSpec], reach: Reach
    ) -> tuple[KubeSpanPeerSpec, ...]:
        """Return the specs with only those endpoints that are worth trying, in our order.

        Raises ConfigError if a filter is none.
        """
        known = self._dialed if reach == self._reach else {}
        dialed = {}
        for spec in specs:
            before = known.get(spec.public_key)
            if before is None or before[0] is not spec:
                before = (spec, _dialed(spec, reach))
            dialed[spec.public_key] = before
        self._reach, self._dialed = reach, dialed
        return tuple(after for _, after in dialed.values())


def _dialed(spec: KubeSpanPeerSpec, reach: Reach) -> KubeSpanPeerSpec:
    endpoints = tuple(
        endpoint
        for endpoint in filtered_endpoints(spec.endpoints, reach.filters)
        if endpoint not in reach.ours and not reach.subnet.contains(endpoint.address)
    )
    return spec if endpoints == spec.endpoints else replace(spec, endpoints=endpoints)
