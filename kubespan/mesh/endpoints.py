"""Endpoints at which peers were found to answer, told to others on their behalf (harvesting).

For two hosts behind NATs it is the only way to learn each other's outside port: through a third
that both can reach. Talos controllers/kubespan (EndpointController).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from kubespan.model.keys import PublicKey
from kubespan.model.resources import Affiliate, KubeSpanEndpoint, KubeSpanPeerStatus, PeerState


def harvest(
    affiliates: Iterable[Affiliate], statuses: Mapping[PublicKey, KubeSpanPeerStatus]
) -> dict[PublicKey, KubeSpanEndpoint]:
    """Return the endpoint of every peer that is up and belongs to an affiliate.

    One that leads there from this host alone is left out: zones are not told.
    """
    found = {}
    for affiliate in affiliates:
        key = affiliate.kubespan.public_key if affiliate.kubespan is not None else None
        status = statuses.get(key) if key is not None else None
        if key is None or status is None or status.state is not PeerState.UP:
            continue
        if status.endpoint is not None and replace(status.endpoint, scope_id=0).is_another_host:
            found[key] = KubeSpanEndpoint(affiliate.node_id, status.endpoint)
    return found
