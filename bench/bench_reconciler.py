"""What one change among 1,000 peers costs a node, in peace and while addresses are disputed.

A change is a new address of one member; everything that follows from it is worked out, as it is
whenever a node looks. Ids are numbers, and of two that claim one address the smaller id has it.

Then what whoever holds the cluster's secret could announce on purpose: all claim one network, and
each leaves out 150 addresses of its own choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from itertools import count
from typing import Any

import pytest

from kubespan.mesh.reconciler import Facts, Reconciler
from kubespan.model.address import Endpoint, Prefix
from kubespan.model.cluster import ClusterSecret
from kubespan.model.config import KubeSpanConfig, NodeConfig
from kubespan.model.keys import PrivateKey, PublicKey
from kubespan.model.resources import Affiliate, KubeSpanAffiliate, KubeSpanIdentity, PeerReading

PEERS = 1_000
CONFIG = NodeConfig(kubespan=KubeSpanConfig(enabled=True))
SECRET = ClusterSecret(bytes([9]) * 32)
SUBNET = Prefix.parse("fd00:0:0:2::/64")
IDENTITY = KubeSpanIdentity(IPv6Address("fd00:0:0:2::1"), SUBNET, PrivateKey(bytes([7]) * 32))
READINGS = {PublicKey(n.to_bytes(32, "big")): PeerReading(None, 1.0) for n in range(PEERS)}
EVERYTHING = (Prefix.parse("10.0.0.0/8"), Prefix.parse("172.16.0.0/12"))
"""All addresses and all networks of all members, and the addresses that one is about to have."""


def _network(number: int) -> Prefix:
    return Prefix(4, 0xAC100000 + (number << 8), 24)


def _member(number: int, *claims: Prefix) -> Affiliate:
    address = IPv4Address(0x0A000001 + (number << 8))
    kubespan = KubeSpanAffiliate(
        PublicKey(number.to_bytes(32, "big")),
        IPv6Address(0xFD00_0000_0000_0002 << 64 | number + 2),
        (_network(number), *claims),
        (Endpoint(address, 51820),),
    )
    return Affiliate(f"{number:04}", (address,), f"host-{number}", kubespan=kubespan)


def _one_change(benchmark: Any, members: list[Affiliate], changing: int) -> int:
    """Time it; return how many problems stand meanwhile."""
    reconciler, numbers = Reconciler("self", IDENTITY, SECRET), count()
    reconciler.reconcile(CONFIG, Facts(tuple(members), READINGS), 2.0)

    def prepare() -> tuple[tuple[Any, ...], dict[str, Any]]:
        address = IPv4Address(0x0AC80000 + next(numbers))
        members[changing] = replace(members[changing], addresses=(address,))
        return (CONFIG, Facts(tuple(members), READINGS), 3.0), {}

    benchmark.group = f"one change among {PEERS:,} peers"
    outcome = benchmark.pedantic(reconciler.reconcile, setup=prepare, rounds=50)
    assert len(outcome.specs) == PEERS
    return len(outcome.problems)


def test_undisputed(benchmark: Any) -> None:
    assert _one_change(benchmark, list(map(_member, range(PEERS))), 500) == 0


@pytest.mark.parametrize("disputing", [1, 10, 100])
@pytest.mark.parametrize("changing", ["another", "disputing"])
def test_neighbours_dispute(benchmark: Any, disputing: int, changing: str) -> None:
    """Some members claim the network of the one before them too."""
    members = list(map(_member, range(PEERS)))
    for number in range(1, PEERS, PEERS // disputing):
        members[number] = _member(number, _network(number - 1))
    assert _one_change(benchmark, members, 555 if changing == "another" else 1) == disputing


@pytest.mark.parametrize(
    ("greedy", "changing", "problems"),
    [
        pytest.param([0], 500, 999, id="the first, another changes"),
        pytest.param([0], 0, 999, id="the first, which changes"),
        pytest.param([999], 500, 1, id="the last, another changes"),
        pytest.param([999], 999, 1, id="the last, which changes"),
        pytest.param(range(5, 1000, 10), 500, 995, id="every tenth, another changes"),
        pytest.param(range(5, 1000, 10), 505, 995, id="every tenth, one of which changes"),
        pytest.param(range(900, 1000), 500, 100, id="the last hundred, another changes"),
        pytest.param(range(900, 1000), 950, 100, id="the last hundred, one of which changes"),
    ],
)
def test_some_claim_everything(
    benchmark: Any, greedy: Sequence[int], changing: int, problems: int
) -> None:
    members = [
        _member(number, *(EVERYTHING if number in greedy else ())) for number in range(PEERS)
    ]
    assert _one_change(benchmark, members, changing) == problems


HOLES = 150
"""In the claim of each member; a record of 2,048 bytes has room for little more."""


def _with_holes(number: int, shift: int = 0) -> Affiliate:
    """A member that claims 10.0.0.0/8 but for addresses that nobody else leaves out."""
    holes = (
        Prefix(4, 0x0A000000 + 2 * (hole * PEERS + number) + shift, 32) for hole in range(HOLES)
    )
    member = _member(number, EVERYTHING[0])
    assert member.kubespan is not None
    return replace(
        member, kubespan=replace(member.kubespan, exclude_advertised_networks=tuple(holes))
    )


def test_all_claim_one_network_with_holes_and_join_at_once(benchmark: Any) -> None:
    facts = Facts(tuple(map(_with_holes, range(PEERS))), READINGS)

    def join() -> int:
        return len(Reconciler("self", IDENTITY, SECRET).reconcile(CONFIG, facts, 2.0).specs)

    benchmark.group = f"{PEERS:,} peers claim one network with {HOLES} holes"
    assert benchmark.pedantic(join, rounds=3) == PEERS


@pytest.mark.parametrize("changing", [0, 1, 500])
@pytest.mark.parametrize("change", ["other holes", "gone and back"])
def test_one_of_those_with_holes_changes(benchmark: Any, changing: int, change: str) -> None:
    members = list(map(_with_holes, range(PEERS)))
    reconciler, numbers = Reconciler("self", IDENTITY, SECRET), count(1)
    reconciler.reconcile(CONFIG, Facts(tuple(members), READINGS), 2.0)

    def prepare() -> tuple[tuple[Any, ...], dict[str, Any]]:
        members[changing] = _with_holes(changing, next(numbers) % 2)
        if change == "gone and back" and members[changing].kubespan is not None:
            present = next(rounds) % 2
            members[changing] = members[changing] if present else _member(changing)
        return (CONFIG, Facts(tuple(members), READINGS), 3.0), {}

    rounds = count()
    benchmark.group = f"{PEERS:,} peers claim one network with {HOLES} holes"
    assert len(benchmark.pedantic(reconciler.reconcile, setup=prepare, rounds=10).specs) == PEERS
