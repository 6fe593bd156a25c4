"""What a peer may say through its tunnel: nothing that would be answered in clear.

An answer to an address that packets are not steered to yet leaves past the mesh. So a peer may
shake hands at once, but send from its own addresses only once packets for them are steered. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from kubespan.model.address import Prefix
from kubespan.model.ipset import IPSet
from kubespan.model.resources import KubeSpanPeerSpec


def let_in(
    spec: KubeSpanPeerSpec,
    had: KubeSpanPeerSpec | None,
    subnet: Prefix,
    steered: frozenset[Prefix] | None,
) -> KubeSpanPeerSpec:
    """Return a spec as WireGuard may have it, `had` being what it had; it loses nothing by this.

    `steered` is where packets go into the mesh besides its own subnet; None for everywhere.
    """
    if had is spec or steered is None or steered.issuperset(outside(subnet, spec.allowed_ips)):
        return spec
    former = had.allowed_ips if had is not None else ()
    wanted = IPSet.of(*spec.allowed_ips)
    kept = wanted - (wanted - IPSet.of(subnet, *former))
    narrowed = replace(spec, allowed_ips=kept.prefixes())
    return next((same for same in (spec, had) if same == narrowed), narrowed)


def outside(subnet: Prefix, prefixes: Sequence[Prefix]) -> Iterator[Prefix]:
    """Give what is not in the mesh's own subnet, which has a route by the address on the link."""
    shift = 128 - subnet.length
    inside = subnet.value >> shift
    for prefix in prefixes:
        if prefix.version == 4:
            yield prefix
        elif prefix.length < subnet.length:
            yield from (IPSet.of(prefix) - IPSet.of(subnet)).prefixes()
        elif prefix.value >> shift != inside:
            yield prefix
