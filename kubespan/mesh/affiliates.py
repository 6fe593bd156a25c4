"""Who the members are, when every source has said what it knows.

A source is a discovery service, the Kubernetes registry, or the configuration with its static
peers; what one says of a node is a raw affiliate. The rules are those of Talos's
AffiliateMergeController; unlike there, what several discovery services say of one node is joined,
and the configuration is a source as well.
Every list of a result is bounded by what its sources were bounded to, times their number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final, TypeVar

from kubespan.model.config import StaticPeer
from kubespan.model.keys import PublicKey
from kubespan.model.resources import Affiliate, KubeSpanAffiliate, MachineType

STATIC: Final = "static/"
"""What the raw ids of static peers begin with. Sorts after `k8s/` and `service/`, so that the
operator's word counts last."""

_T = TypeVar("_T")


def static_affiliates(peers: Iterable[StaticPeer]) -> dict[str, Affiliate]:
    """Return static peers as raw affiliates, by raw id. The node id is the raw id.

    The peer's name is its hostname; it is no node of Kubernetes that we know of, so has no
    nodename.
    """
    return {f"{STATIC}{peer.name}": _static_affiliate(peer) for peer in peers}


def merged_affiliates(raw: Mapping[str, Affiliate]) -> tuple[Affiliate, ...]:
    """Return one affiliate for each node, in the order of their ids, from raw ones by raw id.

    Raw affiliates of one node apply in the order of their raw ids. Lists are joined; of single
    values the last that says something counts, but of operating systems the first. A static peer
    is the node that announces its key, if there is one.
    """
    announcers = _announcers(raw)
    merged: dict[str, Affiliate] = {}
    for raw_id, affiliate in sorted(raw.items(), key=_by_id):
        node_id = _node_id(raw_id, affiliate, announcers)
        first = merged.get(node_id)
        merged[node_id] = affiliate if first is None else _joined(first, affiliate)
    return tuple(affiliate for _, affiliate in sorted(merged.items(), key=_by_id))


def _static_affiliate(peer: StaticPeer) -> Affiliate:
    return Affiliate(
        node_id=f"{STATIC}{peer.name}",
        hostname=peer.name,
        kubespan=KubeSpanAffiliate(
            public_key=peer.public_key,
            address=peer.address,
            additional_addresses=peer.allowed_ips,
            endpoints=peer.endpoints,
        ),
    )


def _announcers(raw: Mapping[str, Affiliate]) -> dict[PublicKey, str]:
    """Return who announces which key; the first in order, where several do."""
    announcers: dict[PublicKey, str] = {}
    for raw_id, affiliate in sorted(raw.items(), key=_by_id):
        if affiliate.kubespan is not None and not raw_id.startswith(STATIC):
            announcers.setdefault(affiliate.kubespan.public_key, affiliate.node_id)
    return announcers


def _node_id(raw_id: str, affiliate: Affiliate, announcers: Mapping[PublicKey, str]) -> str:
    if affiliate.kubespan is None or not raw_id.startswith(STATIC):
        return affiliate.node_id
    return announcers.get(affiliate.kubespan.public_key, affiliate.node_id)


def _joined(first: Affiliate, then: Affiliate) -> Affiliate:
    unknown = then.machine_type is MachineType.UNKNOWN
    return replace(
        first,
        addresses=_union(first.addresses, then.addresses),
        hostname=then.hostname or first.hostname,
        nodename=then.nodename or first.nodename,
        operating_system=first.operating_system or then.operating_system,
        machine_type=first.machine_type if unknown else then.machine_type,
        kubespan=_joined_kubespan(first.kubespan, then.kubespan),
        control_plane=then.control_plane or first.control_plane,
    )


def _joined_kubespan(
    first: KubeSpanAffiliate | None, then: KubeSpanAffiliate | None
) -> KubeSpanAffiliate | None:
    if first is None or then is None:
        return then or first
    return KubeSpanAffiliate(
        public_key=then.public_key,
        address=then.address or first.address,
        additional_addresses=_union(first.additional_addresses, then.additional_addresses),
        endpoints=_union(first.endpoints, then.endpoints),
        exclude_advertised_networks=_union(
            first.exclude_advertised_networks, then.exclude_advertised_networks
        ),
    )


def _union(first: tuple[_T, ...], then: tuple[_T, ...]) -> tuple[_T, ...]:
    return tuple(dict.fromkeys((*first, *then)))


def _by_id(item: tuple[str, object]) -> str:
    return item[0]
