"""The mesh's MTU and the reason for it."""

from __future__ import annotations

import pytest

from kubespan.mesh.mtu import Mtu, mesh_mtu
from kubespan.model.address import Endpoint
from kubespan.model.host import UnderlyingLink

A, B = Endpoint.parse("192.0.2.1:51820"), Endpoint.parse("[2001:db8::1]:51820")
ETHERNET, JUMBO, NARROW = (
    UnderlyingLink("eth0", 1500),
    UnderlyingLink("eth1", 9000),
    UnderlyingLink("ppp0", 1340),
)


@pytest.mark.parametrize(
    ("configured", "ways", "mtu"),
    [
        (1400, {A: ETHERNET}, Mtu(1400, "configured")),
        (None, {}, Mtu(1420, "no endpoint is known whose route could be looked at")),
        (None, {A: ETHERNET}, Mtu(1420, "underlying 1500 on eth0, to 192.0.2.1:51820")),
        (None, {A: JUMBO}, Mtu(8920, "underlying 9000 on eth1, to 192.0.2.1:51820")),
        (None, {A: JUMBO, B: ETHERNET}, Mtu(1420, f"underlying 1500 on eth0, to {B}")),
        (
            None,
            {A: NARROW},
            Mtu(1280, "underlying 1340 on ppp0, to 192.0.2.1:51820; IPv6 needs 1280"),
        ),
    ],
)
def test_mtu(configured: int | None, ways: dict[Endpoint, UnderlyingLink], mtu: Mtu) -> None:
    assert mesh_mtu(configured, ways) == mtu
