"""NATs and firewalls by the table of RFC 4787: mapping, filtering, and their end."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from kubespan.model.address import Endpoint
from kubespan.testing.simnat import MAPPING_TIMEOUT, Filtering, Nat, NatKind, Pinholes

INSIDE, INSIDE_TOO = map(Endpoint.parse, ("10.0.0.2:51820", "10.0.0.3:51820"))
A, A_ELSEWHERE, B = map(Endpoint.parse, ("192.0.2.1:1", "192.0.2.1:2", "192.0.2.2:1"))


def nat(kind: NatKind, *, preserves_ports: bool = True) -> Nat:
    return Nat(ip_address("198.51.100.1"), kind, preserves_ports=preserves_ports)


@pytest.mark.parametrize(
    ("kind", "admitted"),
    [
        (NatKind.FULL_CONE, [A, A_ELSEWHERE, B]),
        (NatKind.ADDRESS_RESTRICTED, [A, A_ELSEWHERE]),
        (NatKind.PORT_RESTRICTED, [A]),
        (NatKind.SYMMETRIC, [A]),
    ],
)
def test_who_may_answer(kind: NatKind, admitted: list[Endpoint]) -> None:
    box = nat(kind)
    outside = box.outbound(INSIDE, A, 0.0)
    assert [one for one in (A, A_ELSEWHERE, B) if box.inbound(one, outside, 1.0)] == admitted
    assert box.inbound(A, outside, 1.0) == INSIDE


@pytest.mark.parametrize("kind", NatKind)
def test_whether_every_destination_sees_the_same(kind: NatKind) -> None:
    box = nat(kind)
    is_same = box.outbound(INSIDE, A, 0.0) == box.outbound(INSIDE, B, 0.0)
    assert is_same is (kind is not NatKind.SYMMETRIC)
    assert box.outbound(INSIDE, A, 1.0) == box.outbound(INSIDE, A, 2.0)


def test_ports_are_kept_where_they_are_free() -> None:
    box = nat(NatKind.PORT_RESTRICTED)
    first, second = box.outbound(INSIDE, A, 0.0), box.outbound(INSIDE_TOO, A, 0.0)
    assert first.port == INSIDE.port != second.port
    assert box.inbound(A, second, 0.0) == INSIDE_TOO
    assert nat(NatKind.FULL_CONE, preserves_ports=False).outbound(INSIDE, A, 0.0) != first


def test_a_mapping_ends_when_nothing_comes_from_inside() -> None:
    box = nat(NatKind.PORT_RESTRICTED, preserves_ports=False)
    first = box.outbound(INSIDE, A, 0.0)
    box.outbound(INSIDE, B, 20.0)
    assert box.inbound(A, first, MAPPING_TIMEOUT + 1) is None
    assert box.inbound(B, first, MAPPING_TIMEOUT + 1) == INSIDE
    assert box.inbound(B, first, 20.1 + MAPPING_TIMEOUT) is None
    assert box.outbound(INSIDE, A, 20.1 + MAPPING_TIMEOUT) != first


def test_a_restart_forgets_everything() -> None:
    box = nat(NatKind.FULL_CONE)
    outside = box.outbound(INSIDE, A, 0.0)
    box.restart()
    assert box.inbound(A, outside, 0.0) is None


def test_a_firewall_admits_answers_for_a_while() -> None:
    firewall = Pinholes(Filtering.ADDRESS_AND_PORT)
    assert not firewall.admits(A, 0.0)
    firewall.note(A, 0.0)
    assert firewall.admits(A, MAPPING_TIMEOUT)
    assert not firewall.admits(A, MAPPING_TIMEOUT + 1)
    assert not firewall.admits(A_ELSEWHERE, 1.0)
