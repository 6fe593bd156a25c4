"""Which fields of a resource its table shows, under which headers. Talos, print columns."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from kubespan.store import kind
from kubespan.store.kind import Kind

Columns: TypeAlias = tuple[tuple[str, str], ...]
"""Header and field, from left to right."""

COLUMNS: Final[Mapping[Kind, Columns]] = MappingProxyType(
    {
        kind.KUBESPAN_CONFIGS: (),
        kind.KUBESPAN_IDENTITIES: (("ADDRESS", "address"), ("PUBLICKEY", "publicKey")),
        kind.KUBESPAN_PEER_SPECS: (("LABEL", "label"), ("ENDPOINTS", "endpoints")),
        kind.KUBESPAN_PEER_STATUSES: (
            ("LABEL", "label"),
            ("ENDPOINT", "endpoint"),
            ("STATE", "state"),
            ("RX", "receiveBytes"),
            ("TX", "transmitBytes"),
        ),
        kind.KUBESPAN_ENDPOINTS: (("ENDPOINT", "endpoint"), ("AFFILIATE ID", "affiliateID")),
        kind.DISCOVERY_CONFIGS: (),
        kind.IDENTITIES: (("ID", "nodeId"),),
        kind.AFFILIATES: (
            ("HOSTNAME", "hostname"),
            ("MACHINE TYPE", "machineType"),
            ("ADDRESSES", "addresses"),
        ),
        kind.MEMBERS: (
            ("HOSTNAME", "hostname"),
            ("MACHINE TYPE", "machineType"),
            ("OS", "operatingSystem"),
            ("ADDRESSES", "addresses"),
        ),
        kind.INFOS: (("CLUSTER ID", "clusterId"), ("CLUSTER NAME", "clusterName")),
    }
)
