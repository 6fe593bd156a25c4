"""Which endpoints are tried: not our own, none inside the mesh, and what the operator wants."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kubespan.mesh.dialing import Dialing, Reach
from kubespan.model.address import Endpoint, Prefix
from kubespan.model.errors import ConfigError
from kubespan.model.resources import KubeSpanPeerSpec
from tests.mesh.affiliates_of import key

SUBNET = Prefix.parse("fd00:0:0:2::/64")
A, B, INSIDE = map(Endpoint.parse, ("192.0.2.1:51820", "192.0.2.2:51820", "[fd00:0:0:2::7]:51820"))
SPEC = KubeSpanPeerSpec(key(1), None, (), (A, B))


def endpoints(spec: KubeSpanPeerSpec, reach: Reach) -> tuple[Endpoint, ...]:
    (dialed,) = Dialing().dialed([spec], reach)
    return dialed.endpoints


def test_what_is_our_own_or_inside_the_mesh_is_left_out() -> None:
    assert endpoints(replace(SPEC, endpoints=(INSIDE, A, B)), Reach(SUBNET)) == (A, B)
    assert endpoints(SPEC, Reach(SUBNET, frozenset({A}))) == (B,)
    # Another program of this host may listen at another port.
    assert endpoints(SPEC, Reach(SUBNET, frozenset({Endpoint(A.address, 1)}))) == (A, B)


def test_the_filters_order() -> None:
    assert endpoints(SPEC, Reach(SUBNET, filters=("192.0.2.2", "192.0.2.0/24"))) == (B, A)
    with pytest.raises(ConfigError):
        endpoints(SPEC, Reach(SUBNET, filters=("everything",)))


def test_what_is_the_same_comes_out_the_same() -> None:
    dialing = Dialing()
    spec, other = replace(SPEC, endpoints=(A, INSIDE)), replace(SPEC, public_key=key(2))
    first = dialing.dialed([spec, other], Reach(SUBNET))
    again = dialing.dialed([spec, other], Reach(SUBNET))
    assert first[0] is again[0]
    assert again[1] is other
    (changed,) = dialing.dialed([spec], Reach(SUBNET, frozenset({A})))
    assert changed.endpoints == ()
    assert dialing.dialed([replace(spec, endpoints=(B,))], Reach(SUBNET))[0].endpoints == (B,)
