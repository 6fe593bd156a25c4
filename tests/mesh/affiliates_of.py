"""Affiliates for tests of the mesh, in one line each."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from kubespan.model.address import Endpoint, Prefix
from kubespan.model.keys import PublicKey
from kubespan.model.resources import Affiliate, KubeSpanAffiliate


def key(number: int) -> PublicKey:
    return PublicKey(number.to_bytes(32, "big"))


def affiliate(
    node_id: str,
    number: int,
    *,
    addresses: Sequence[str] = (),
    networks: Sequence[str] = (),
    without: Sequence[str] = (),
    own: str | None = None,
    endpoints: Sequence[str] = (),
    nodename: str = "",
) -> Affiliate:
    """A peer whose key is a number."""
    return Affiliate(
        node_id,
        tuple(map(ip_address, addresses)),
        f"host-{node_id}",
        nodename,
        kubespan=KubeSpanAffiliate(
            key(number),
            None if own is None else ip_address(own),
            tuple(map(Prefix.parse, networks)),
            tuple(map(Endpoint.parse, endpoints)),
            tuple(map(Prefix.parse, without)),
        ),
    )
