"""Peer specs: the specification's vectors, who keeps a disputed address, and hostile claims."""

from __future__ import annotations

import dataclasses
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.mesh.peers import MOST_PUBLIC, Ourselves, PeerPlanner, PeerSpecs
from kubespan.mesh.problem import ProblemCode
from kubespan.model.address import Prefix
from kubespan.model.constants import MAX_AFFILIATES
from kubespan.model.ipset import IPSet
from kubespan.model.resources import Affiliate
from tests.mesh.affiliates_of import affiliate, key

OWN = "fd50:8d60:4238:6302:f857:23ff:fe21:d1e0"
OURSELVES = Ourselves(
    "self", key(1), IPSet.of(Prefix.parse("192.0.2.1/32"), Prefix.parse("fd50::1/128"))
)


def plan(*affiliates: Affiliate) -> PeerSpecs:
    return PeerPlanner().peer_specs(affiliates, OURSELVES)


def allowed(specs: PeerSpecs) -> list[list[str]]:
    return [[str(prefix) for prefix in spec.allowed_ips] for spec in specs.specs]


def test_what_a_peer_is_given() -> None:
    specs = plan(
        affiliate(
            "a",
            2,
            addresses=["192.168.3.4"],
            networks=["10.244.3.1/24", "10.244.3.0/32"],
            without=["10.244.3.128/25"],
            own=OWN,
            endpoints=["203.0.113.1:51820"],
            nodename="worker-1",
        )
    )
    assert allowed(specs) == [["10.244.3.0/25", "192.168.3.4/32", f"{OWN}/128"]]
    (spec,) = specs.specs
    assert (str(spec.address), str(spec.endpoints[0]), spec.label) == (
        OWN,
        "203.0.113.1:51820",
        "worker-1",
    )
    assert specs.problems == ()


def test_the_smaller_id_keeps_what_two_claim() -> None:
    b = affiliate("b", 3, networks=["10.244.2.0/23", "192.168.3.0/24"], own=OWN)
    a = affiliate("a", 2, networks=["10.244.3.0/24"])
    specs = plan(b, a)
    assert allowed(specs) == [
        ["10.244.3.0/24"],
        ["10.244.2.0/24", "192.168.3.0/24", f"{OWN}/128"],
    ]
    (problem,) = specs.problems
    assert (problem.code, problem.peer) == (ProblemCode.OVERLAP, "host-b")
    assert "host-a" in problem.text


def test_a_peer_that_is_left_with_nothing_stays_a_peer() -> None:
    one = affiliate("a", 2, networks=["10.0.0.0/8"], nodename="first")
    two = affiliate("b", 3, networks=["10.1.0.0/16"])
    specs = plan(one, two)
    assert allowed(specs) == [["10.0.0.0/8"], []]
    assert "first" in specs.problems[0].text


def test_its_own_address_is_a_peers_even_if_excluded() -> None:
    assert allowed(plan(affiliate("a", 2, own=OWN, without=["::/0"]))) == [[f"{OWN}/128"]]


def test_we_are_no_peer_of_ours_and_neither_is_one_without_a_key() -> None:
    specs = plan(affiliate("self", 2), Affiliate("keyless"))
    assert specs == PeerSpecs((), ())


@pytest.mark.parametrize("number", [1, 2])
def test_a_key_is_one_peer(number: int) -> None:
    specs = plan(affiliate("a", 2), affiliate("b", number))
    assert [(spec.public_key, spec.label) for spec in specs.specs] == [(key(2), "host-a")]
    assert [problem.peer for problem in specs.problems] == ["host-b"]


def test_nobody_is_given_what_is_ours() -> None:
    specs = plan(affiliate("a", 2, addresses=["192.0.2.1", "192.0.2.2"], own="fd50::1"))
    assert allowed(specs) == [["192.0.2.2/32"]]
    assert "this host" in specs.problems[0].text


@pytest.mark.parametrize(
    "claimed",
    ["0.0.0.0/0", "::/0", "0.0.0.0/1", "127.0.0.1/32", "fe80::1/128", "ff02::1/128", "::1/128"],
)
def test_nobody_is_given_everything_or_what_is_everybodys(claimed: str) -> None:
    specs = plan(affiliate("a", 2, networks=[claimed]))
    assert allowed(specs) == [[]]
    (problem,) = specs.problems
    assert (problem.code, problem.peer) == (ProblemCode.OVERLAP, "host-a")
    assert "no host's own" in problem.text


SIXTEENTHS = [f"{16 * number}.0.0.0/4" for number in range(1, 14)]
"""All of the internet, in pieces."""


@pytest.mark.parametrize(
    ("networks", "given"),
    [
        (SIXTEENTHS, []),
        ([f"{number}.0.0.0/8" for number in range(20, 100)], []),
        (["16.0.0.0/4", "10.244.3.0/24", "2001:db8:1::/64"], ["10.244.3.0/24", "2001:db8:1::/64"]),
        (["32.0.0.0/11", "33.0.0.0/32"], []),
        (["32.0.0.0/11"], ["32.0.0.0/11"]),
        (["10.0.0.0/7"], []),
        (
            ["10.0.0.0/8", "172.16.0.0/12", "fd40::/12"],
            ["10.0.0.0/8", "172.16.0.0/12", "fd40::/12"],
        ),
        (["2000::/3"], []),
        (["2000::/17", "2001::/16"], []),
        (["2001::/16"], ["2001::/16"]),
        (["fc00::/7"], []),
    ],
)
def test_nobody_is_given_much_of_the_internet(networks: list[str], given: list[str]) -> None:
    specs = plan(affiliate("a", 2, networks=networks))
    assert allowed(specs) == [given]
    assert [problem.code for problem in specs.problems] == (
        [] if given == networks else [ProblemCode.OVERLAP]
    )


def test_all_that_a_service_takes_are_given_half_of_the_internet_at_most() -> None:
    assert MAX_AFFILIATES * MOST_PUBLIC[4] <= 1 << 31
    assert MAX_AFFILIATES * MOST_PUBLIC[6] <= 1 << 124  # of 2000::/3


def test_claims_are_remembered_until_the_affiliate_changes_or_goes() -> None:
    planner = PeerPlanner()
    a, b = affiliate("a", 2, networks=["10.0.0.0/24"]), affiliate("b", 3)
    first = planner.peer_specs([a, b], OURSELVES)
    assert planner.peer_specs([a, b], OURSELVES) == first
    assert planner.peer_specs([b], OURSELVES).specs == first.specs[1:]
    changed = dataclasses.replace(b, addresses=a.addresses)
    assert planner.peer_specs([changed], OURSELVES).specs == first.specs[1:]


def test_a_key_that_changes_hands_is_noticed() -> None:
    planner = PeerPlanner()
    a, b = affiliate("a", 2), affiliate("b", 3)
    planner.peer_specs([a, b], OURSELVES)
    specs = planner.peer_specs([a, affiliate("b", 2)], OURSELVES)
    assert [spec.public_key for spec in specs.specs] == [key(2)]
    assert [problem.peer for problem in specs.problems] == ["host-b"]
    assert planner.peer_specs([a, b], OURSELVES).problems == ()


networks = st.builds(
    lambda value, length: str(ip_network((value >> (32 - length) << (32 - length), length))),
    st.integers(0x0A000000, 0x0A0000FF),
    st.integers(24, 32),
)
claims = st.lists(st.lists(networks, max_size=4), max_size=6)


@given(claims=claims)
def test_no_address_is_given_twice_and_none_is_lost(claims: list[list[str]]) -> None:
    many = [affiliate(str(n), n + 2, networks=wanted) for n, wanted in enumerate(claims)]
    specs = plan(*many).specs
    given_away = [IPSet.of(*spec.allowed_ips) for spec in specs]
    for number, one in enumerate(given_away):
        assert not any(one.overlaps(other) for other in given_away[number + 1 :])
    everything = IPSet.of(*(prefix for spec in specs for prefix in spec.allowed_ips))
    assert everything == IPSet.of(*(Prefix.parse(n) for wanted in claims for n in wanted))


@given(before=claims, after=claims)
def test_what_is_remembered_makes_no_difference(
    before: list[list[str]], after: list[list[str]]
) -> None:
    planner = PeerPlanner()
    unchanged = affiliate("unchanged", 100, networks=["10.0.0.0/26"])
    for wanted in (before, after):
        many = [affiliate(str(n), n + 2, networks=claimed) for n, claimed in enumerate(wanted)]
        planner.peer_specs([unchanged, *many], OURSELVES)
    assert planner.peer_specs([unchanged, *many], OURSELVES) == plan(unchanged, *many)
