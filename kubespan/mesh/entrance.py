"""What a peer may say through its tunnel: nothing that would be answered in clear.

An answer to an address that packets are not steered to yet leaves past the mesh. So a peer may
shake hands at once, but send from an address only once packets for that are steered. What counts is
addresses, never how they are cut into prefixes: other members' claims change that. Pure.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from kubespan.model.address import Prefix
from kubespan.model.ipset import IPSet
from kubespan.model.resources import KubeSpanPeerSpec, KubeSpanPeerStatus, PeerState

EVERYWHERE: Final = IPSet.of(Prefix(4, 0, 0), Prefix(6, 0, 0))
"""What is steered where whoever asks steers as soon as it is told to."""


def unsteered_of(spec: KubeSpanPeerSpec, inside: IPSet, steered: IPSet) -> IPSet:
    """Return what of a peer's addresses would be answered in clear.

    `inside` is the mesh's own subnet, to which a route leads anyhow; `steered` is where else
    packets go into the mesh.
    """
    return IPSet.of(*spec.allowed_ips) - inside - steered


def let_in(spec: KubeSpanPeerSpec, had: tuple[Prefix, ...], unsteered: IPSet) -> KubeSpanPeerSpec:
    """Return a spec as WireGuard may have it: all it claims but what is unsteered.

    What it had, and still claims, it keeps. A spec of which nothing is left out is returned itself.
    """
    if not unsteered:
        return spec
    missing = unsteered - IPSet.of(*had)
    if not missing:
        return spec
    return replace(spec, allowed_ips=(IPSet.of(*spec.allowed_ips) - missing).prefixes())


def shown(status: KubeSpanPeerStatus, was: PeerState, unsteered: IPSet) -> KubeSpanPeerStatus:
    """Return a status as one may rely on it: nobody becomes up while some of it is unsteered.

    Until then it stays what it was shown as. Who was shown as up stays so.
    """
    if status.state is not PeerState.UP or was is PeerState.UP or not unsteered:
        return status
    return replace(status, state=was)
