"""What a peer may say, by what it claims, what it had, and what is steered."""

from __future__ import annotations

import pytest

from kubespan.mesh.entrance import let_in, outside
from kubespan.model.address import Prefix
from kubespan.model.resources import KubeSpanPeerSpec
from tests.mesh.outcomes import spec

SUBNET = Prefix.parse("fd00:0:0:2::/64")
INSIDE, HOST, PODS = "fd00:0:0:2::2/128", "192.0.2.2/32", "10.0.2.0/24"
NEW = None
NOTHING = ""


def claims(networks: str) -> KubeSpanPeerSpec:
    return spec(2, networks=networks.split())


def prefixes(networks: str) -> frozenset[Prefix]:
    return frozenset(map(Prefix.parse, networks.split()))


@pytest.mark.parametrize(
    ("had", "claimed", "steered", "given"),
    [
        pytest.param(NEW, f"{HOST} {INSIDE}", NOTHING, INSIDE, id="new"),
        pytest.param(NEW, f"{HOST} {PODS}", HOST, NOTHING, id="new, and half of it is steered"),
        pytest.param(NEW, HOST, f"{HOST} {PODS}", HOST, id="new, and steered"),
        pytest.param(NEW, INSIDE, NOTHING, INSIDE, id="nothing to steer"),
        pytest.param(NEW, "fd00:0:0:2::/63", NOTHING, "fd00:0:0:2::/64", id="around the subnet"),
        pytest.param(NEW, "fd00:0:0:2::/63", "fd00:0:0:3::/64", "fd00:0:0:2::/63", id="and so"),
        pytest.param(INSIDE, f"{HOST} {INSIDE}", HOST, f"{HOST} {INSIDE}", id="steered now"),
        pytest.param(HOST, f"{PODS} {HOST}", HOST, HOST, id="one more"),
        pytest.param(HOST, HOST, NOTHING, HOST, id="what it has stays, whatever is steered"),
        pytest.param(f"{PODS} {HOST}", PODS, NOTHING, PODS, id="what it claims no more is gone"),
        pytest.param(HOST, PODS, NOTHING, NOTHING, id="another instead"),
        pytest.param("10.0.2.0/25 10.0.2.128/25", PODS, NOTHING, PODS, id="the same by one name"),
        pytest.param(PODS, "10.0.2.0/25", NOTHING, "10.0.2.0/25", id="half of it"),
        pytest.param("10.0.2.0/25", PODS, NOTHING, "10.0.2.0/25", id="twice as much"),
    ],
)
def test_what_a_peer_is_given(had: str | None, claimed: str, steered: str, given: str) -> None:
    former = claims(had) if had is not None else None
    found = let_in(claims(claimed), former, SUBNET, prefixes(steered))
    assert found == claims(given)


def test_all_else_about_a_peer_is_the_newest() -> None:
    former, moved = spec(2, networks=[HOST]), spec(2, "192.0.2.9:1", networks=[HOST, PODS])
    found = let_in(moved, former, SUBNET, prefixes(HOST))
    assert (found.endpoints, found.allowed_ips) == (moved.endpoints, former.allowed_ips)


def test_what_is_the_same_stays_the_very_value() -> None:
    wanted = claims(f"{HOST} {INSIDE}")
    assert let_in(wanted, None, SUBNET, None) is wanted
    assert let_in(wanted, wanted, SUBNET, frozenset()) is wanted
    assert let_in(wanted, claims(f"{HOST} {INSIDE}"), SUBNET, frozenset()) is wanted
    narrow = let_in(wanted, None, SUBNET, frozenset())
    assert let_in(wanted, narrow, SUBNET, frozenset()) is narrow
    assert let_in(wanted, narrow, SUBNET, prefixes(HOST)) is wanted


def test_what_is_outside_of_the_subnet() -> None:
    asked = list(map(Prefix.parse, (HOST, INSIDE, "fd00:0:0:2::/63", "2001:db8::/64")))
    assert list(map(str, outside(SUBNET, asked))) == [HOST, "fd00:0:0:3::/64", "2001:db8::/64"]
