"""Plans: what follows from the MTU."""

from __future__ import annotations

from ipaddress import IPv6Address

from kubespan.model.address import Prefix
from kubespan.model.plan import NetworkPlan


def test_segments_leave_room_for_headers_and_options() -> None:
    plan = NetworkPlan(IPv6Address("fd00::1"), Prefix.parse("fd00::/64"), 1420)
    assert (plan.segment_size(4), plan.segment_size(6)) == (1368, 1348)
    assert plan.link == "kubespan"
