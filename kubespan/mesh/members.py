"""The affiliates that are nodes of the Kubernetes cluster. Talos controllers/cluster (Member)."""

from __future__ import annotations

from collections.abc import Iterable

from kubespan.model.resources import Affiliate, Member


def members(affiliates: Iterable[Affiliate]) -> dict[str, Member]:
    """Return the members by node name; an affiliate without one is none."""
    return {
        affiliate.nodename: Member(
            affiliate.node_id,
            affiliate.addresses,
            affiliate.hostname,
            affiliate.machine_type,
            affiliate.operating_system,
            affiliate.control_plane,
        )
        for affiliate in affiliates
        if affiliate.nodename
    }
