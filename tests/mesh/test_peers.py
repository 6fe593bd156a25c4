"""Peer specs: the specification's vectors, who keeps a disputed address, and hostile claims."""

from __future__ import annotations

import dataclasses
from ipaddress import ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubespan.mesh import peers
from kubespan.mesh.peers import MOST_PUBLIC, Ourselves, PeerPlanner, PeerSpecs, claim
from kubespan.mesh.problem import ProblemCode
from kubespan.model.address import Prefix
from kubespan.model.constants import MAX_AFFILIATES
from kubespan.model.ipset import IPSet
from kubespan.model.resources import Affiliate, KubeSpanAffiliate
from tests.mesh.affiliates_of import affiliate, key

OWN = "fd50:8d60:4238:6302:f857:23ff:fe21:d1e0"
OURSELVES = Ourselves(
    "self", key(1), IPSet.of(Prefix.parse("192.0.2.1/32"), Prefix.parse("fd50::1/128"))
)
OTHERS = Ourselves("self", key(2), IPSet.of(Prefix.parse("10.0.0.9/32")))
"""Who we were before, or will be: with another key and other addresses."""


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
    [
        *("0.0.0.0/0", "::/0", "0.0.0.0/1", "127.0.0.1/32", "fe80::1/128", "ff02::1/128"),
        *("::1/128", "64:ff9b::/96", "64:ff9b::808:808/128", "2002::/16", "2002:808:808::/48"),
        *("2001::/32", "64:ff9b:1::/48"),
    ],
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
        (["32.5.0.0/16", "33.0.0.0/32"], []),
        (["32.5.0.0/16"], ["32.5.0.0/16"]),
        (["10.0.0.0/7"], []),
        (
            ["10.0.0.0/8", "172.16.0.0/12", "fd40::/12"],
            ["10.0.0.0/8", "172.16.0.0/12", "fd40::/12"],
        ),
        (["2000::/3"], []),
        (["2a00::/33", "2a00:1450::/33", "2a00:1450:8000::/64"], []),
        (["2a00:1450::/32"], ["2a00:1450::/32"]),
        (["fc00::/7"], []),
    ],
)
def test_nobody_is_given_much_of_the_internet(networks: list[str], given: list[str]) -> None:
    specs = plan(affiliate("a", 2, networks=networks))
    assert allowed(specs) == [given]
    assert [problem.code for problem in specs.problems] == (
        [] if given == networks else [ProblemCode.OVERLAP]
    )


def test_a_hosts_own_address_may_be_one_of_a_tunnel() -> None:
    own = ["192.0.2.9", "2002:c000:201::1", "2001::5:6"]
    specs = plan(affiliate("a", 2, addresses=own))
    assert allowed(specs) == [["192.0.2.9/32", "2001::5:6/128", "2002:c000:201::1/128"]]
    assert specs.problems == ()


def test_all_that_a_service_takes_are_given_little_of_the_internet() -> None:
    """Of IPv4 as a whole, and of the least that a registry of addresses has of IPv6: a /12."""
    assert MAX_AFFILIATES * MOST_PUBLIC[4] <= (1 << 32) // 64
    assert MAX_AFFILIATES * MOST_PUBLIC[6] <= (1 << 116) // 1024


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


# ---------------------------------------------------------------------------- look after look

node_ids = st.sampled_from(["a", "b", "c", "d", "e", "self"])
appearances = st.builds(
    affiliate,
    node_ids,
    st.integers(1, 6),
    addresses=st.lists(st.sampled_from(["10.0.0.1", "10.0.0.9", "192.0.2.1"]), max_size=2),
    networks=st.lists(networks | st.sampled_from(["0.0.0.0/0", "127.0.0.0/8"]), max_size=3),
    without=st.lists(networks, max_size=1),
    own=st.sampled_from([None, "fd50::1", "fd50::2"]),
    nodename=st.sampled_from(["", "one", "other"]),
)
changes = st.one_of(appearances, appearances, st.builds(Affiliate, node_ids), node_ids)
looks = st.tuples(st.lists(changes, max_size=4), st.sampled_from([OURSELVES] * 9 + [OTHERS]))


def one_after_the_other(present: dict[str, Affiliate], ourselves: Ourselves) -> list[IPSet]:
    """Give everybody, in order, what is left of its claim."""
    given_away, keys = [], {ourselves.public_key}
    left = IPSet.of(Prefix.parse("0.0.0.0/0"), Prefix.parse("::/0"))
    left -= ourselves.addresses
    for node_id, one in sorted(present.items()):
        kubespan = one.kubespan
        if kubespan is None or node_id == ourselves.node_id or kubespan.public_key in keys:
            continue
        keys.add(kubespan.public_key)
        wanted = claim(one, kubespan)
        given_away.append(wanted - (wanted - left))
        left -= wanted
    return given_away


@settings(max_examples=300)
@given(history=st.lists(looks, max_size=8))
def test_what_is_remembered_makes_no_difference(
    history: list[tuple[list[Affiliate | str], Ourselves]],
) -> None:
    """Members join, leave, change claims, names and keys; the plan is as if nothing had been."""
    planner, present = PeerPlanner(), dict[str, Affiliate]()
    for happened, ourselves in history:
        for change in happened:
            if isinstance(change, str):
                present.pop(change, None)
            else:
                present[change.node_id] = change
        planned = planner.peer_specs(present.values(), ourselves)
        assert planned == PeerPlanner().peer_specs(present.values(), ourselves)
        given_away = [IPSet.of(*spec.allowed_ips) for spec in planned.specs]
        assert given_away == one_after_the_other(present, ourselves)


@pytest.fixture
def planned_anew(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Whose claims are worked out from now on."""
    seen: list[str] = []

    def counted(one: Affiliate, kubespan: KubeSpanAffiliate) -> IPSet:
        seen.append(one.node_id)
        return claim(one, kubespan)

    monkeypatch.setattr(peers, "claim", counted)
    return seen


def crowd() -> dict[str, Affiliate]:
    """A hundred members, of whom every tenth claims a neighbour's network and loses it."""
    many = {}
    for number in range(100):
        wanted = [f"10.0.{number}.0/24"] + [f"10.0.{number - 1}.0/24"] * (number % 10 == 1)
        many[f"{number:02}"] = affiliate(f"{number:02}", number + 2, networks=wanted)
    return many


@pytest.mark.parametrize(
    ("changing", "networks", "concerned"),
    [
        pytest.param("55", ["10.0.55.0/25"], {"55"}, id="undisputed"),
        pytest.param("51", ["10.0.51.0/24"], {"51"}, id="a loser gives up"),
        pytest.param("50", [], {"50", "51"}, id="an owner gives up"),
        pytest.param("49", ["10.0.0.0/16"], {*map(str, range(49, 100))}, id="everything"),
        pytest.param("99", ["10.0.0.0/16"], {"99"}, id="everything, too late"),
    ],
)
def test_a_standing_dispute_costs_only_those_that_it_concerns(
    planned_anew: list[str], changing: str, networks: list[str], concerned: set[str]
) -> None:
    planner, many = PeerPlanner(), crowd()
    before = planner.peer_specs(many.values(), OURSELVES)
    assert len(before.problems) == 10
    planned_anew.clear()
    many[changing] = affiliate(changing, int(changing) + 2, networks=networks)
    after = planner.peer_specs(many.values(), OURSELVES)
    assert planned_anew == [changing]
    new = {
        id_ for id_, one, two in zip(many, before.specs, after.specs, strict=True) if one is not two
    }
    assert new <= concerned
    assert after == plan(*many.values())


def test_whoever_lost_an_address_is_told_the_new_name() -> None:
    planner = PeerPlanner()
    a, b = (affiliate(n, i, networks=["10.0.0.0/24"]) for n, i in (("a", 2), ("b", 3)))
    before = planner.peer_specs([a, b], OURSELVES)
    after = planner.peer_specs([dataclasses.replace(a, nodename="renamed"), b], OURSELVES)
    assert "given to renamed:" in after.problems[0].text
    assert after.specs[1] is before.specs[1]


def test_of_many_owners_a_few_are_named() -> None:
    """One member with a wide network must not fill logs and pages with everybody's names."""
    many = [affiliate(f"{n:03}", n + 2, networks=[f"10.0.{n}.0/24"]) for n in range(100)]
    (problem,) = plan(*many, affiliate("last", 200, networks=["10.0.0.0/16"])).problems
    assert problem.text == (
        "claims addresses that are given to host-000, host-001, host-002 and others: of several"
        " that claim one, the smallest id has it"
    )
