"""One node's mesh, look after look: that every part is heard and everything fits together."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv6Address, ip_address
from time import process_time
from typing import Any

import pytest

from kubespan.mesh import planning
from kubespan.mesh.entrance import EVERYWHERE, let_in
from kubespan.mesh.problem import ProblemCode
from kubespan.mesh.reconciler import Facts, Outcome, Reconciler
from kubespan.model.address import Endpoint, Prefix
from kubespan.model.cluster import ClusterSecret
from kubespan.model.config import KubeSpanConfig, NodeConfig
from kubespan.model.host import UnderlyingLink
from kubespan.model.ipset import IPSet
from kubespan.model.keys import PrivateKey
from kubespan.model.resources import (
    Affiliate,
    KubeSpanAffiliate,
    KubeSpanEndpoint,
    KubeSpanIdentity,
    KubeSpanPeerSpec,
    PeerReading,
    PeerState,
)
from tests.mesh.affiliates_of import affiliate, key

SECRET = ClusterSecret(bytes([9]) * 32)
IDENTITY = KubeSpanIdentity(
    IPv6Address("fd00:0:0:2::1"), Prefix.parse("fd00:0:0:2::/64"), PrivateKey(bytes([7]) * 32)
)
A, B = Endpoint.parse("192.0.2.2:51820"), Endpoint.parse("198.51.100.2:51820")
PEER = affiliate(
    "b", 2, addresses=["192.0.2.2"], own="fd00:0:0:2::2", endpoints=[str(A), str(B)], nodename="w"
)
HEARD = {key(2): PeerReading(A, 1.0)}


def reconciler() -> Reconciler:
    return Reconciler("a", IDENTITY, SECRET)


def config(**wanted: Any) -> NodeConfig:
    return NodeConfig(kubespan=KubeSpanConfig(enabled=True, **wanted))


def test_an_empty_mesh() -> None:
    outcome = reconciler().reconcile(config(), Facts(), 5.0)
    assert (outcome.specs, outcome.interface.peers, outcome.network.steered) == ((), (), ())
    assert (outcome.mtu.value, outcome.look_at) == (1420, 35.0)


def test_a_peer_appears_answers_and_leaves() -> None:
    mesh = reconciler()
    first = mesh.reconcile(config(), Facts((PEER, Affiliate("a"))), 0.0)
    (peer,) = first.interface.peers
    assert (peer.endpoint, peer.candidates) == (A, (B,))
    assert list(map(str, first.network.steered)) == ["192.0.2.2/32"]
    assert (list(first.members), first.look_at) == (["w"], 15.0)
    second = mesh.reconcile(config(), Facts((PEER,), HEARD), 2.0)
    assert second.statuses[key(2)].state is PeerState.UP
    facts = Facts((PEER,), {})
    before, after = (mesh.reconcile(config(), facts, moment) for moment in (2.5, 2.6))
    assert before.members is after.members
    assert mesh.reconcile(config(), Facts((), {}), 3.0).specs == ()


def look(facts: Facts, **wanted: Any) -> Outcome:
    return reconciler().reconcile(config(**wanted), facts, 2.0)


def test_endpoints_are_told_only_where_that_is_wanted() -> None:
    facts = Facts((PEER,), HEARD)
    assert look(facts).harvested == {}
    assert look(facts, harvest_extra_endpoints=True).harvested == {key(2): KubeSpanEndpoint("b", A)}


def test_we_dial_only_what_the_filter_passes_and_in_its_order() -> None:
    (spec,) = look(Facts((PEER,)), peer_endpoint_filters=("198.51.100.0/24", "192.0.2.2")).specs
    assert spec.endpoints == (B, A)
    (spec,) = look(Facts((PEER,)), peer_endpoint_filters=()).specs
    assert spec.endpoints == ()


def test_we_do_not_dial_ourselves() -> None:
    outcome = look(Facts((PEER,), own_addresses=frozenset({A.address})))
    assert outcome.specs[0].endpoints == (B,)
    assert list(map(str, outcome.specs[0].allowed_ips)) == ["fd00:0:0:2::2/128"]


def test_what_is_ours_is_no_peers() -> None:
    outcome = look(Facts((PEER,), own_addresses=frozenset({ip_address("192.0.2.2")})))
    assert list(map(str, outcome.specs[0].allowed_ips)) == ["fd00:0:0:2::2/128"]
    assert len(outcome.problems) == 1
    thief = replace(PEER, addresses=(IDENTITY.address,))
    assert list(map(str, look(Facts((thief,))).specs[0].allowed_ips)) == ["fd00:0:0:2::2/128"]


def test_a_member_where_discovery_is_does_nothing_wrong() -> None:
    """It has its address; discovery alone is reached past the mesh there."""
    service = Endpoint(ip_address("192.0.2.2"), 443)
    outcome = look(Facts((PEER,), services=frozenset({service})))
    assert list(map(str, outcome.specs[0].allowed_ips)) == ["192.0.2.2/32", "fd00:0:0:2::2/128"]
    assert outcome.problems == ()
    assert list(map(str, outcome.network.steered)) == ["192.0.2.2/32"]
    assert outcome.network.services == (service,)


@pytest.mark.parametrize("here", ["127.0.0.1:3000", "[::1]:3000", "0.0.0.0:3000", "10.0.0.5:3000"])
def test_discovery_on_this_host_answers_past_the_mesh_from_any_address(here: str) -> None:
    ours = frozenset((*map(ip_address, ("10.0.0.5", "2001:db8::5")), IDENTITY.address))
    member = replace(PEER, addresses=(ip_address("192.0.2.2"), ip_address("2001:db8::2")))
    facts = Facts((member,), services=frozenset({Endpoint.parse(here)}), own_addresses=ours)
    expected = {here, "10.0.0.5:3000", "[2001:db8::5]:3000"}
    assert {str(one) for one in look(facts).network.services} == expected


def test_discovery_elsewhere_is_not_taken_for_ours() -> None:
    service, ours = Endpoint.parse("192.0.2.9:443"), frozenset({ip_address("10.0.0.5")})
    facts = Facts((PEER,), services=frozenset({service}), own_addresses=ours)
    assert look(facts).network.services == (service,)


def test_no_service_is_let_past_where_nothing_is_steered() -> None:
    """So that its address changes no plan, which would be brought to the kernel for nothing."""
    both = frozenset(map(Endpoint.parse, ("192.0.2.9:443", "[2001:db8::9]:443")))
    assert look(Facts(services=both)).network.services == ()
    assert list(map(str, look(Facts((PEER,), services=both)).network.services)) == ["192.0.2.9:443"]


@pytest.mark.parametrize("is_told", [True, False])
def test_our_pod_networks_are_no_peers(is_told: bool) -> None:
    """They are on this host, whoever is told of them."""
    ours = (Prefix.parse("10.244.3.0/24"), Prefix.parse("fd00:10:244:3::/64"))
    thief = affiliate(
        "b",
        2,
        addresses=["10.244.3.9", "192.0.2.2"],
        networks=["10.244.2.0/23", "fd00:10:244:3:8000::/65"],
    )
    node = replace(config(advertise_kubernetes_networks=is_told), pod_networks=ours)
    outcome = reconciler().reconcile(node, Facts((thief,)), 2.0)
    assert list(map(str, outcome.specs[0].allowed_ips)) == ["10.244.2.0/24", "192.0.2.2/32"]
    assert list(map(str, outcome.network.steered)) == ["10.244.2.0/24", "192.0.2.2/32"]
    (problem,) = outcome.problems
    assert (problem.code, problem.peer) == (ProblemCode.OVERLAP, "host-b")
    assert "pods" in problem.text


@pytest.mark.parametrize("is_forced", [True, False])
def test_nobody_is_up_or_says_anything_before_packets_for_it_are_steered(is_forced: bool) -> None:
    mesh, node = reconciler(), config(force_routing=is_forced, harvest_extra_endpoints=True)
    inside, whole = ["fd00:0:0:2::2/128"], ["192.0.2.2/32", "fd00:0:0:2::2/128"]

    def look(steered: Iterable[Prefix], now: float) -> tuple[PeerState, list[str], Outcome]:
        outcome = mesh.reconcile(node, Facts((PEER,), HEARD, steered=IPSet.of(*steered)), now)
        return outcome.statuses[key(2)].state, said(outcome, 2), outcome

    for now in (2.0, 2.1):
        state, may_say, outcome = look((), now)
        assert (state, may_say, outcome.harvested) == (PeerState.UNKNOWN, inside, {})
        # It did answer: nobody tries it elsewhere, and where only who is up is steered, it is.
        assert (outcome.trying_since, len(outcome.network.steered)) == ({}, 1)
        assert outcome.answers(key(2))
    state, may_say, after = look(outcome.network.steered, 2.2)
    assert (state, may_say, len(after.harvested)) == (PeerState.UP, whole, 1)
    assert after.answers(key(2))
    # Who was let in is not sent out again.
    assert look((), 2.3)[:2] == (PeerState.UP, whole)


def test_how_long_one_waits_to_be_steered_counts_from_its_first_answer() -> None:
    """Neither its next handshake nor what it claims meanwhile begins that anew."""
    mesh = reconciler()

    def held_since(now: float, heard_at: float | None, claimed: str, steered: IPSet) -> list[float]:
        member = affiliate("b", 2, networks=[claimed], endpoints=[str(A)])
        facts = Facts((member,), {key(2): PeerReading(A, heard_at)}, steered=steered)
        return list(mesh.reconcile(config(), facts, now).held_since.values())

    assert held_since(2.0, None, "10.0.1.0/24", IPSet()) == []
    assert held_since(5.0, 4.0, "10.0.1.0/24", IPSet()) == [5.0]
    assert held_since(125.0, 124.0, "10.0.2.0/24", IPSet()) == [5.0]
    assert held_since(126.0, 124.0, "10.0.2.0/24", EVERYWHERE) == []


def said(outcome: Outcome, number: int) -> list[str]:
    """Return where a peer may send from."""
    (peer,) = (one for one in outcome.interface.peers if one.public_key == key(number))
    return list(map(str, peer.allowed_ips))


WIDE = affiliate("x", 9, addresses=["192.0.2.99"], networks=["10.0.0.0/8"])


def claiming(number: int, *networks: str) -> Affiliate:
    """A member that what it claims goes to, before the wide one."""
    return affiliate(f"b{number}", number, addresses=[f"192.0.2.{number}"], networks=networks)


@pytest.mark.parametrize(
    "looks",
    [
        pytest.param(
            [[claiming(2, *(["10.5.0.0/24"] * (turn % 2)))] for turn in range(12)],
            id="another's claim comes and goes",
        ),
        pytest.param(
            [[claiming(2, f"10.{turn}.0.0/24")] for turn in range(12)],
            id="another's claim moves",
        ),
        pytest.param(
            [[claiming(n, f"10.{n}.0.0/24") for n in range(2, turn + 2)] for turn in range(7)],
            id="others join, each with a piece of it",
        ),
        pytest.param(
            [[claiming(n, f"10.{n}.0.0/24") for n in range(turn + 2, 9)] for turn in range(7)],
            id="others leave",
        ),
    ],
)
def test_nobody_is_kept_out_by_what_others_claim(looks: list[list[Affiliate]]) -> None:
    """Packets to all of its range are steered all the while, for one or for another."""
    mesh, readings = reconciler(), {key(n): PeerReading(A, 1.0) for n in range(2, 10)}
    by_now = former = IPSet()
    for turn, others in enumerate(looks):
        facts = Facts((*others, WIDE), readings, steered=by_now)
        outcome = mesh.reconcile(config(), facts, 2.0 + turn / 10)
        planned = IPSet.of(*outcome.network.steered)
        by_now, former = planned & former, planned  # while the newest is brought
        if turn >= 2:
            (spec,) = (one for one in outcome.specs if one.public_key == key(9))
            assert said(outcome, 9) == list(map(str, spec.allowed_ips))
            assert outcome.statuses[key(9)].state is PeerState.UP


def test_an_address_that_goes_from_one_to_another_is_somebodys_at_every_look() -> None:
    mesh, by_now = reconciler(), IPSet()

    def look(*members: Affiliate) -> dict[str, list[str]]:
        outcome = mesh.reconcile(config(), Facts(members, HEARD, steered=by_now), 2.0)
        return {one.label: said(outcome, one.public_key.raw[-1]) for one in outcome.specs}

    a, b = claiming(2, "10.1.0.0/24"), claiming(3)
    by_now = IPSet.of(*map(Prefix.parse, ("192.0.2.2/32", "10.1.0.0/24")))
    assert look(a) == {"host-b2": ["10.1.0.0/24", "192.0.2.2/32"]}
    moved = claiming(2), claiming(3, "10.1.0.0/24")
    assert look(*moved) == {"host-b2": ["192.0.2.2/32"], "host-b3": ["10.1.0.0/24"]}
    assert look(a, b) == {"host-b2": ["10.1.0.0/24", "192.0.2.2/32"], "host-b3": []}


def test_one_that_comes_back_is_down_and_says_nothing_until_it_is_steered_again() -> None:
    """Also under its old session, before it shakes hands."""
    mesh, node = reconciler(), config(force_routing=False)
    peer = replace(PEER, kubespan=replace(kubespan_of(PEER), endpoints=(A,)))
    by_now = IPSet.of(Prefix.parse("192.0.2.2/32"))
    inside, whole = ["fd00:0:0:2::2/128"], ["192.0.2.2/32", "fd00:0:0:2::2/128"]

    def look(now: float, handshake_at: float, steered: IPSet) -> tuple[PeerState, list[str]]:
        facts = Facts((peer,), {key(2): PeerReading(A, handshake_at)}, steered=steered)
        outcome = mesh.reconcile(node, facts, now)
        return outcome.statuses[key(2)].state, said(outcome, 2)

    mesh.reconcile(node, Facts((peer,), {}, steered=by_now), 0.0)
    assert look(2.0, 1.0, by_now) == (PeerState.UP, whole)
    assert look(300.0, 1.0, by_now) == (PeerState.DOWN, inside)
    assert look(320.0, 1.0, IPSet()) == (PeerState.DOWN, inside)
    assert look(330.0, 329.0, IPSet()) == (PeerState.DOWN, inside)
    assert look(331.0, 329.0, IPSet()) == (PeerState.DOWN, inside)
    assert look(332.0, 329.0, by_now) == (PeerState.UP, whole)
    assert look(333.0, 329.0, IPSet()) == (PeerState.UP, whole)


def test_without_force_one_that_takes_anothers_place_is_let_in_after_it_answers() -> None:
    mesh, node = reconciler(), config(force_routing=False)
    by_now = IPSet.of(Prefix.parse("192.0.2.2/32"))
    other = affiliate("c", 3, addresses=["192.0.2.2"], own="fd00:0:0:2::3", endpoints=[str(A)])

    def look(now: float, member: Affiliate, handshake_at: float | None, steered: IPSet) -> Outcome:
        assert member.kubespan is not None
        heard = {member.kubespan.public_key: PeerReading(A, handshake_at)}
        return mesh.reconcile(node, Facts((member,), heard, steered=steered), now)

    look(1.0, PEER, 1.0, by_now)
    found = look(2.0, other, None, by_now)
    # What this look steers no more is not answered into the mesh.
    assert (found.network.steered, said(found, 3)) == ((), ["fd00:0:0:2::3/128"])
    assert said(look(3.0, other, None, by_now), 3) == ["fd00:0:0:2::3/128"]
    called = look(4.0, other, 4.0, IPSet())
    assert said(called, 3) == ["fd00:0:0:2::3/128"]
    assert called.network.steered == (Prefix.parse("192.0.2.2/32"),)
    assert said(look(5.0, other, 4.0, by_now), 3) == ["192.0.2.2/32", "fd00:0:0:2::3/128"]


def kubespan_of(member: Affiliate) -> KubeSpanAffiliate:
    assert member.kubespan is not None
    return member.kubespan


def test_the_configuration_decides_about_routing_and_size() -> None:
    bypassed = look(Facts((PEER,)), force_routing=False, mtu=1300)
    assert (bypassed.network.steered, bypassed.network.mtu) == ((), 1300)
    assert look(Facts((PEER,), ways={A: UnderlyingLink("eth0", 1400)})).network.mtu == 1320


def test_a_thousand_peers_cost_little(measured: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[KubeSpanPeerSpec] = []

    def ask(spec: KubeSpanPeerSpec, had: tuple[Prefix, ...], unsteered: IPSet) -> KubeSpanPeerSpec:
        asked.append(spec)
        return let_in(spec, had, unsteered)

    monkeypatch.setattr(planning, "let_in", ask)
    many = [
        affiliate(
            f"{number:04}",
            number + 2,
            addresses=[f"10.{number // 250}.{number % 250}.1"],
            networks=[f"172.{16 + number // 250}.{number % 250}.0/24"],
            own=f"fd00:0:0:2::{number + 2:x}",
            endpoints=[f"10.{number // 250}.{number % 250}.1:51820"],
        )
        for number in range(1000)
    ]
    mesh, node = reconciler(), config()
    readings = {key(number + 2): PeerReading(None, 1.0) for number in range(1000)}
    plan = mesh.reconcile(node, Facts(tuple(many), readings), 2.0).network
    steered = IPSet.of(*plan.steered)
    asked.clear()
    many[500] = replace(many[500], addresses=(ip_address("10.99.0.1"),))
    gc.collect()
    begun = process_time()
    outcome = mesh.reconcile(node, Facts(tuple(many), readings, steered=steered), 3.0)
    measured("one change among 1,000 peers", f"{(process_time() - begun) * 1e3:.1f} ms of CPU")
    assert len(outcome.specs) == 1000
    # Only who waits is looked at again, whatever is steered meanwhile.
    more = IPSet.of(*outcome.network.steered)
    for now, by_now in ((3.1, steered), (3.2, more), (3.3, steered & more)):
        mesh.reconcile(node, Facts(tuple(many), readings, steered=by_now), now)
    assert {one.public_key for one in asked} == {key(502)}
