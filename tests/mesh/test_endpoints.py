"""Which endpoints are told to others: those of peers that are up and known."""

from __future__ import annotations

import pytest

from kubespan.mesh.endpoints import harvest
from kubespan.model.address import Endpoint
from kubespan.model.resources import (
    Affiliate,
    KubeSpanEndpoint,
    KubeSpanPeerStatus,
    PeerState,
)
from tests.mesh.affiliates_of import affiliate, key

WHERE = Endpoint.parse("203.0.113.9:40000")


def test_only_peers_that_are_up_and_belong_to_somebody() -> None:
    statuses = {
        key(2): KubeSpanPeerStatus(endpoint=WHERE, state=PeerState.UP),
        key(3): KubeSpanPeerStatus(endpoint=WHERE, state=PeerState.DOWN),
        key(4): KubeSpanPeerStatus(endpoint=None, state=PeerState.UP),
        key(6): KubeSpanPeerStatus(endpoint=WHERE, state=PeerState.UP),
    }
    known = [affiliate(name, number) for name, number in zip("abcd", (2, 3, 4, 5), strict=True)]
    assert harvest([*known, Affiliate("keyless")], statuses) == {
        key(2): KubeSpanEndpoint("a", WHERE)
    }


@pytest.mark.parametrize("text", ["[fe80::1%3]:51820", "127.0.0.1:51820", "[::1]:51820"])
def test_what_leads_there_from_here_alone_is_not_told(text: str) -> None:
    status = KubeSpanPeerStatus(endpoint=Endpoint.parse(text), state=PeerState.UP)
    assert harvest([affiliate("a", 2)], {key(2): status}) == {}
