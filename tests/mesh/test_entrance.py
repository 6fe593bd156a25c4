"""What a peer may say and when it is up, by what it claims, what it had, and what is steered."""

from __future__ import annotations

import pytest

from kubespan.mesh.entrance import EVERYWHERE, let_in, shown, unsteered_of
from kubespan.model.address import Prefix
from kubespan.model.ipset import IPSet
from kubespan.model.resources import KubeSpanPeerSpec, PeerState
from tests.mesh.outcomes import spec, tried

SUBNET = "fd00:0:0:2::/64"
INSIDE, HOST, PODS = "fd00:0:0:2::2/128", "192.0.2.2/32", "10.0.2.0/24"
LOWER, UPPER = "10.0.2.0/25", "10.0.2.128/25"
NOTHING = ""
UP, DOWN, UNKNOWN = PeerState.UP, PeerState.DOWN, PeerState.UNKNOWN


def claims(networks: str) -> KubeSpanPeerSpec:
    return spec(2, networks=networks.split())


def prefixes(networks: str) -> tuple[Prefix, ...]:
    return tuple(map(Prefix.parse, networks.split()))


def ipset(networks: str) -> IPSet:
    return IPSet.of(*prefixes(networks))


@pytest.mark.parametrize(
    ("had", "claimed", "steered", "given"),
    [
        pytest.param(NOTHING, f"{HOST} {INSIDE}", NOTHING, INSIDE, id="new"),
        pytest.param(NOTHING, f"{HOST} {PODS}", HOST, HOST, id="new, and half of it is steered"),
        pytest.param(NOTHING, HOST, f"{HOST} {PODS}", HOST, id="new, and steered"),
        pytest.param(NOTHING, INSIDE, NOTHING, INSIDE, id="nothing to steer"),
        pytest.param(NOTHING, "fd00:0:0:2::/63", NOTHING, SUBNET, id="around the subnet"),
        pytest.param(NOTHING, "fd00:0:0:2::/63", "fd00:0:0:3::/64", "fd00:0:0:2::/63", id="and so"),
        pytest.param(INSIDE, f"{HOST} {INSIDE}", HOST, f"{HOST} {INSIDE}", id="steered by now"),
        pytest.param(HOST, f"{PODS} {HOST}", HOST, HOST, id="one more"),
        pytest.param(HOST, HOST, NOTHING, HOST, id="what it has stays, whatever is steered"),
        pytest.param(f"{PODS} {HOST}", PODS, NOTHING, PODS, id="what it claims no more is gone"),
        pytest.param(HOST, PODS, NOTHING, NOTHING, id="another instead"),
        pytest.param(f"{LOWER} {UPPER}", PODS, NOTHING, PODS, id="the same by one name"),
        pytest.param(PODS, LOWER, NOTHING, LOWER, id="half of it"),
        pytest.param(LOWER, PODS, NOTHING, LOWER, id="twice as much"),
        # Steered for another until a moment ago, and all the while.
        pytest.param(NOTHING, f"{PODS} {HOST}", PODS, PODS, id="another's, by one that is new"),
        pytest.param(HOST, f"{HOST} {UPPER}", PODS, f"{HOST} {UPPER}", id="half of another's"),
        pytest.param(
            "192.0.2.4/32",
            "192.0.2.4/31",
            "192.0.2.2/32 192.0.2.4/32 192.0.2.5/32",
            "192.0.2.4/31",
            id="another's, next to its own",
        ),
        pytest.param(NOTHING, PODS, f"{LOWER} {UPPER}", PODS, id="steered for two others"),
        pytest.param(LOWER, f"{PODS} {HOST}", UPPER, PODS, id="one half it had, one is steered"),
    ],
)
def test_what_a_peer_is_given(had: str, claimed: str, steered: str, given: str) -> None:
    wanted = claims(claimed)
    unsteered = unsteered_of(wanted, ipset(SUBNET), ipset(steered))
    found = let_in(wanted, prefixes(had), unsteered)
    assert found == claims(given)
    assert (found is wanted) == (claimed == given)


def test_all_else_about_a_peer_is_the_newest() -> None:
    moved = spec(2, "192.0.2.9:1", networks=[HOST, PODS])
    found = let_in(moved, prefixes(HOST), ipset(PODS))
    assert (found.endpoints, found.allowed_ips) == (moved.endpoints, prefixes(HOST))


def test_everywhere_is_everywhere() -> None:
    assert not unsteered_of(claims(f"{HOST} {PODS} ::/0"), ipset(SUBNET), EVERYWHERE)


@pytest.mark.parametrize(
    ("was", "state", "unsteered", "expected"),
    [
        (UNKNOWN, UP, HOST, UNKNOWN),
        (DOWN, UP, HOST, DOWN),
        (UP, UP, HOST, UP),
        (UNKNOWN, UP, NOTHING, UP),
        (DOWN, UP, NOTHING, UP),
        (UP, DOWN, HOST, DOWN),
        (UP, UNKNOWN, HOST, UNKNOWN),
        (DOWN, UNKNOWN, HOST, UNKNOWN),
    ],
)
def test_what_a_peer_is_shown_as(
    was: PeerState, state: PeerState, unsteered: str, expected: PeerState
) -> None:
    status = tried("192.0.2.2:1", state, last_handshake_at=3.0)
    found = shown(status, was, ipset(unsteered))
    assert found == tried("192.0.2.2:1", expected, last_handshake_at=3.0)
    assert (found is status) == (state is expected)
