"""Merging: which word counts, lists joined in order, static peers, and the order of everything."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.mesh.affiliates import merged_affiliates, static_affiliates
from kubespan.model.address import Endpoint, Prefix
from kubespan.model.config import StaticPeer
from kubespan.model.keys import PublicKey
from kubespan.model.resources import Affiliate, ControlPlane, KubeSpanAffiliate, MachineType
from tests.discovery import strategies

KEY = PublicKey(bytes(range(32)))
OTHER_KEY = PublicKey(bytes(32))
A, B, C = (Endpoint(IPv4Address(f"192.0.2.{number}"), 51820) for number in (1, 2, 3))
NETWORKS = tuple(Prefix(4, number << 8, 24) for number in range(3))
INSIDE = IPv6Address("fd00::1")

FULL = Affiliate(
    node_id="n",
    addresses=(A.address, B.address),
    hostname="one.example.org",
    nodename="one",
    operating_system="Talos (v1.13.0)",
    machine_type=MachineType.CONTROL_PLANE,
    kubespan=KubeSpanAffiliate(KEY, INSIDE, NETWORKS[:2], (A, B), NETWORKS[:2]),
    control_plane=ControlPlane(6443),
)


def merged(*raw: Affiliate) -> Affiliate:
    """Merge what several services say of one node, in their order."""
    (one,) = merged_affiliates({f"service/{number}": r for number, r in enumerate(raw)})
    return one


def spans(first: KubeSpanAffiliate | None, then: KubeSpanAffiliate | None) -> Any:
    return merged(replace(FULL, kubespan=first), replace(FULL, kubespan=then)).kubespan


# One node.


def test_what_one_source_says_stands() -> None:
    assert merged(FULL) == FULL


def test_what_two_sources_say_alike_stands() -> None:
    assert merged(FULL, FULL) == FULL


@pytest.mark.parametrize("raw", [(FULL, Affiliate("n")), (Affiliate("n"), FULL)])
def test_saying_nothing_takes_nothing_away(raw: tuple[Affiliate, ...]) -> None:
    assert merged(*raw) == FULL


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hostname", "two.example.org"),
        ("nodename", "two"),
        ("machine_type", MachineType.WORKER),
        ("control_plane", ControlPlane(443)),
    ],
)
def test_the_last_word_counts(field: str, value: Any) -> None:
    assert merged(FULL, replace(FULL, **{field: value})) == replace(FULL, **{field: value})


def test_the_first_operating_system_counts() -> None:
    newer = replace(FULL, operating_system="Talos (v1.14.0)")
    assert merged(FULL, newer).operating_system == "Talos (v1.13.0)"


def test_lists_are_joined_in_order() -> None:
    later = replace(FULL, addresses=(C.address, A.address))
    assert merged(FULL, later).addresses == (A.address, B.address, C.address)
    first = KubeSpanAffiliate(KEY, None, NETWORKS[:2], (A, B), NETWORKS[1:])
    then = KubeSpanAffiliate(KEY, None, NETWORKS[1:], (C, A), NETWORKS[:1])
    joined = spans(first, then)
    assert joined.additional_addresses == NETWORKS
    assert joined.endpoints == (A, B, C)
    assert joined.exclude_advertised_networks == (*NETWORKS[1:], NETWORKS[0])


def test_the_last_key_and_the_last_address_in_the_mesh_count() -> None:
    first = KubeSpanAffiliate(KEY, INSIDE)
    then = KubeSpanAffiliate(OTHER_KEY, IPv6Address("fd00::2"))
    assert spans(first, then) == then
    assert spans(first, KubeSpanAffiliate(OTHER_KEY, None)).address == INSIDE


def test_whoever_is_a_peer_somewhere_is_a_peer() -> None:
    assert spans(FULL.kubespan, None) == FULL.kubespan
    assert spans(None, FULL.kubespan) == FULL.kubespan
    assert spans(None, None) is None


# Several nodes, several sources.


def test_order_is_by_id_and_not_by_arrival() -> None:
    k8s, service = replace(FULL, hostname="k8s"), replace(FULL, hostname="service")
    for raw in (
        {"service/n": service, "k8s/n": k8s, "service/m": Affiliate("m")},
        {"service/m": Affiliate("m"), "k8s/n": k8s, "service/n": service},
    ):
        assert [(one.node_id, one.hostname) for one in merged_affiliates(raw)] == [
            ("m", ""),
            ("n", "service"),
        ]


def test_nothing_is_merged_to_nothing() -> None:
    assert merged_affiliates({}) == ()


@given(st.dictionaries(st.text("ab/", max_size=4), strategies.affiliates, max_size=5))
def test_every_node_is_there_once(raw: dict[str, Affiliate]) -> None:
    result = merged_affiliates(raw)
    assert [one.node_id for one in result] == sorted({one.node_id for one in raw.values()})
    assert merged_affiliates({one.node_id: one for one in result}) == result


# Static peers.


PEER = StaticPeer("office", KEY, INSIDE, (C,), (NETWORKS[2],))


def test_without_any_discovery_static_peers_are_who_there_is() -> None:
    other = StaticPeer("attic", OTHER_KEY)
    result = merged_affiliates(static_affiliates([PEER, other]))
    assert result == (
        Affiliate("static/attic", hostname="attic", kubespan=KubeSpanAffiliate(OTHER_KEY, None)),
        Affiliate(
            "static/office",
            hostname="office",
            kubespan=KubeSpanAffiliate(KEY, INSIDE, (NETWORKS[2],), (C,)),
        ),
    )


def test_a_static_peer_is_the_node_that_announces_its_key() -> None:
    raw = {"service/n": FULL, **static_affiliates([PEER])}
    (one,) = merged_affiliates(raw)
    assert (one.node_id, one.nodename, one.hostname) == ("n", "one", "office")
    assert one.kubespan is not None
    assert one.kubespan.endpoints == (A, B, C)
    assert one.kubespan.additional_addresses == NETWORKS


def test_a_key_that_two_announce_is_the_first_one_s() -> None:
    raw = {"service/b": FULL, "service/a": replace(FULL, node_id="m"), **static_affiliates([PEER])}
    hostnames = {one.node_id: one.hostname for one in merged_affiliates(raw)}
    assert hostnames == {"m": "office", "n": "one.example.org"}


def test_a_member_that_takes_a_static_peer_s_name_does_not_take_its_key() -> None:
    thief = Affiliate("static/office", kubespan=KubeSpanAffiliate(OTHER_KEY, None))
    (one,) = merged_affiliates({"service/x": thief, **static_affiliates([PEER])})
    assert one.kubespan is not None
    assert (one.kubespan.public_key, one.kubespan.address) == (KEY, INSIDE)
