"""What WireGuard and the kernel should be, given peers and how it stands with them."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest

from kubespan.mesh import planning
from kubespan.mesh.entrance import EVERYWHERE, unsteered_of
from kubespan.mesh.planning import InterfacePlanner, to_steer
from kubespan.model.address import Endpoint, Prefix
from kubespan.model.cluster import ClusterSecret
from kubespan.model.ipset import IPSet
from kubespan.model.keys import PresharedKey, PrivateKey, PublicKey
from kubespan.model.plan import PeerConfig
from kubespan.model.resources import (
    KubeSpanIdentity,
    KubeSpanPeerSpec,
    KubeSpanPeerStatus,
    PeerState,
)
from tests.mesh.affiliates_of import key

SECRET = ClusterSecret(bytes([9]) * 32)
IDENTITY = KubeSpanIdentity(
    IPv6Address("fd00:0:0:2::1"), Prefix.parse("fd00:0:0:2::/64"), PrivateKey(bytes([7]) * 32)
)
PLANNER = InterfacePlanner(IDENTITY, SECRET)
A, B, ELSEWHERE = (Endpoint.parse(f"192.0.2.{number}:51820") for number in (1, 2, 9))


def spec(number: int, *networks: str) -> KubeSpanPeerSpec:
    return KubeSpanPeerSpec(key(number), None, tuple(map(Prefix.parse, networks)), (A, B))


def status(state: PeerState, shown: Endpoint = A) -> KubeSpanPeerStatus:
    return KubeSpanPeerStatus(endpoint=shown, state=state, last_used_endpoint=A)


def test_every_peer_has_the_clusters_secret_and_its_addresses() -> None:
    specs = [spec(3, "10.0.3.0/24"), spec(2, "10.0.2.0/24")]
    config = PLANNER.interface_config(specs, {key(2): status(PeerState.UP)}, 4500, EVERYWHERE)
    assert config.private_key is IDENTITY.private_key
    assert config.preshared_key == PresharedKey(SECRET.raw)
    assert (config.listen_port, config.fwmark) == (4500, 0x20)
    assert config.peers == (
        PeerConfig(key(2), A, (Prefix.parse("10.0.2.0/24"),), (B,), 25),
        PeerConfig(key(3), None, (Prefix.parse("10.0.3.0/24"),), (A, B), 25),
    )


def test_a_peer_that_roamed_is_left_where_it_is() -> None:
    roamed = {key(2): status(PeerState.UP, ELSEWHERE)}
    (peer,) = PLANNER.interface_config([spec(2)], roamed, 51820, EVERYWHERE).peers
    assert (peer.endpoint, peer.candidates) == (None, (A, B))


def test_a_peer_about_which_nothing_changed_keeps_its_value() -> None:
    planner = InterfacePlanner(IDENTITY, SECRET)
    specs, statuses = [spec(2), spec(3)], {key(2): status(PeerState.UP)}
    first = planner.interface_config(specs, statuses, 1, EVERYWHERE)
    specs[1] = spec(3, "10.0.3.0/24")
    again = planner.interface_config(specs, statuses, 1, EVERYWHERE)
    assert first.peers[0] is again.peers[0]
    assert first.peers[1] != again.peers[1]


def steered(*specs: KubeSpanPeerSpec) -> IPSet:
    return IPSet.of(*(prefix for one in specs for prefix in one.allowed_ips))


def test_a_new_peer_waits_for_what_is_steered_and_others_go_on() -> None:
    planner = InterfacePlanner(IDENTITY, SECRET)
    specs = [spec(2, "10.0.2.0/24")]
    first = planner.interface_config(specs, {}, 1, steered(specs[0]))
    specs.append(spec(3, "10.0.3.0/24"))
    looks = [planner.interface_config(specs, {}, 1, steered(specs[0])) for _ in range(2)]
    for look in looks:
        assert look.peers == (first.peers[0], PeerConfig(key(3), None, (), (A, B)))
        assert look.peers[0] is first.peers[0]
    assert looks[0].peers[1] is looks[1].peers[1]
    steered_now = planner.interface_config(specs, {}, 1, steered(*specs))
    assert steered_now.peers[1].allowed_ips == specs[1].allowed_ips
    again = planner.interface_config(specs, {}, 1, IPSet())
    assert all(one is other for one, other in zip(again.peers, steered_now.peers, strict=True))


def test_a_peer_that_claims_more_waits_for_that_alone() -> None:
    planner = InterfacePlanner(IDENTITY, SECRET)
    before = spec(2, "10.0.2.0/24")
    planner.interface_config([before], {}, 1, steered(before))
    more = [spec(2, "10.0.2.0/24", "10.0.9.0/24")]
    (peer,) = planner.interface_config(more, {}, 1, steered(before)).peers
    assert (peer.allowed_ips, peer.endpoint) == (before.allowed_ips, None)
    # Where it is to be reached is told at once.
    up = {key(2): status(PeerState.UP)}
    (peer,) = planner.interface_config(more, up, 1, steered(before)).peers
    assert (peer.allowed_ips, peer.endpoint) == (before.allowed_ips, A)
    (peer,) = planner.interface_config(more, up, 1, steered(more[0])).peers
    assert peer.allowed_ips == more[0].allowed_ips


def test_who_becomes_up_is_held_back_until_it_is_steered() -> None:
    planner, one = InterfacePlanner(IDENTITY, SECRET), spec(2, "10.0.2.0/24")
    up, down = ({key(2): status(state)} for state in (PeerState.UP, PeerState.DOWN))

    def held_back(statuses: dict[PublicKey, KubeSpanPeerStatus], steered: IPSet) -> list[PeerState]:
        planner.interface_config([one], statuses, 1, steered)
        return [shown.state for shown in planner.held_back().values()]

    assert held_back(up, IPSet()) == [PeerState.UNKNOWN]
    assert held_back(up, steered(one)) == []
    # It was shown as up.
    assert held_back({key(2): status(PeerState.UP, B)}, IPSet()) == []
    assert held_back(down, IPSet()) == []
    # It has all its addresses yet, and is not steered.
    assert held_back(up, IPSet()) == [PeerState.DOWN]
    assert held_back({key(2): status(PeerState.UP, B)}, IPSet()) == [PeerState.DOWN]
    assert held_back(up, steered(one)) == []


def test_whoever_waits_is_looked_at_again_only_when_something_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planner, one, by_now = InterfacePlanner(IDENTITY, SECRET), spec(2, "10.0.2.0/24"), IPSet()
    asked: list[KubeSpanPeerSpec] = []

    def ask(spec: KubeSpanPeerSpec, inside: IPSet, steered: IPSet) -> IPSet:
        asked.append(spec)
        return unsteered_of(spec, inside, steered)

    monkeypatch.setattr(planning, "unsteered_of", ask)
    for shown in (A, B, A):
        for _ in range(2):
            planner.interface_config([one], {key(2): status(PeerState.UP, shown)}, 1, by_now)
    assert asked == [one]
    planner.interface_config([one], {}, 1, steered(one))
    assert asked == [one, one]
    planner.interface_config([one], {}, 1, IPSet())
    assert asked == [one, one]


def test_without_force_an_address_is_let_in_only_with_who_is_up() -> None:
    planner, one = InterfacePlanner(IDENTITY, SECRET), spec(2, "10.0.2.0/24")
    # Another had it until now: the plan of the same look gives it up.
    by_now = steered(one)

    def given(statuses: dict[PublicKey, KubeSpanPeerStatus], *, is_forced: bool) -> int:
        look = planner.interface_config([one], statuses, 1, by_now, force_routing=is_forced)
        return len(look.peers[0].allowed_ips)

    unknown, up = ({key(2): status(state)} for state in (PeerState.UNKNOWN, PeerState.UP))
    assert [given(it, is_forced=False) for it in ({}, unknown, unknown)] == [0, 0, 0]
    assert given(unknown, is_forced=True) == 1
    # Who is not up is steered no more: by another configuration, or because it fell silent.
    assert given(unknown, is_forced=False) == 0
    assert [given(it, is_forced=False) for it in (up, up, unknown, unknown)] == [1, 1, 0, 0]
    assert given(unknown, is_forced=True) == 1


def test_without_force_who_is_up_keeps_what_it_was_forced_to_have() -> None:
    planner, one = InterfacePlanner(IDENTITY, SECRET), spec(2, "10.0.2.0/24")
    up = {key(2): status(PeerState.UP)}
    forced = planner.interface_config([one], up, 1, steered(one))
    bypassed = planner.interface_config([one], up, 1, IPSet(), force_routing=False)
    assert bypassed.peers[0] is forced.peers[0]


def test_what_is_to_be_steered() -> None:
    specs = [
        spec(2, "10.0.2.0/24", "fd00:0:0:2::2/128"),
        spec(3, "10.0.3.0/24", "fd00:0:0:3::/64"),
        spec(4, "10.0.4.0/24", "fd00:0:0:2::/63"),
    ]
    statuses = {key(2): status(PeerState.UP), key(3): status(PeerState.DOWN)}
    forced = to_steer(IDENTITY.subnet, specs, statuses, force_routing=True)
    assert [str(prefix) for prefix in forced] == [
        "10.0.2.0/24",
        "10.0.3.0/24",
        "fd00:0:0:3::/64",
        "10.0.4.0/24",
        "fd00:0:0:3::/64",
    ]
    bypassed = to_steer(IDENTITY.subnet, specs, statuses, force_routing=False)
    assert [str(prefix) for prefix in bypassed] == ["10.0.2.0/24"]
