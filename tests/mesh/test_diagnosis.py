"""Problems: each piece of evidence, what is said of it, and in which order."""

from __future__ import annotations

import pytest

from kubespan.mesh.diagnosis import diagnose
from kubespan.mesh.evidence import Evidence, ServiceFacts
from kubespan.mesh.mtu import Mtu
from kubespan.mesh.problem import Problem, ProblemCode, Severity
from kubespan.mesh.reconciler import Outcome
from kubespan.model.address import Endpoint
from kubespan.model.finding import Finding, FindingKind
from kubespan.model.host import UnderlyingLink
from kubespan.model.resources import PeerState
from tests.mesh.affiliates_of import key
from tests.mesh.outcomes import outcome, spec, tried

PUBLIC = "203.0.113.4:51820"
NOW = 10_000.0
UP = tried(PUBLIC, PeerState.UP, receive_bytes=1)
NOTHING = Evidence()


def said(found: Outcome, evidence: Evidence = NOTHING) -> list[str]:
    return [
        f"{'!' if one.severity is Severity.ERROR else '?'} {one.peer or '-'} {one.code.value}"
        for one in diagnose(found, evidence, NOW)
    ]


def text(found: Outcome, evidence: Evidence = NOTHING) -> str:
    (problem,) = diagnose(found, evidence, NOW)
    return problem.text


def test_a_mesh_that_is_well() -> None:
    assert said(outcome((spec(2, PUBLIC), UP))) == []


def test_one_silent_peer_is_its_own_problem() -> None:
    assert said(outcome((spec(2, PUBLIC), tried(PUBLIC)), (spec(3, PUBLIC), UP))) == [
        "! peer-2 KS-NOREPLY"
    ]


def test_all_silent_is_everybodys() -> None:
    silent = (spec(2, PUBLIC), tried(PUBLIC)), (spec(3, PUBLIC), tried(PUBLIC))
    assert said(outcome(*silent)) == [
        "! - KS-UDP-BLOCKED",
        "! peer-2 KS-NOREPLY",
        "! peer-3 KS-NOREPLY",
    ]
    assert said(outcome(silent[0])) == ["! peer-2 KS-NOREPLY"]
    assert "! - KS-UDP-BLOCKED" not in said(outcome(*silent, (spec(4), UP)))


def test_a_spec_without_a_status_is_unknown() -> None:
    found = outcome((spec(2, PUBLIC), tried(PUBLIC)))
    bare = Outcome(
        found.specs,
        {},
        {},
        {},
        {},
        {},
        found.interface,
        found.network,
        found.mtu,
        (),
        0.0,
    )
    assert said(bare) == []


def test_what_others_found_is_kept() -> None:
    overlap = Problem(ProblemCode.OVERLAP, Severity.WARNING, "b", "claims", "do")
    assert diagnose(outcome(problems=(overlap,)), NOTHING, NOW) == (overlap,)


# ---- tunnels in tunnels


def test_an_endpoint_inside_the_mesh() -> None:
    inside = "[fd50:8d60:4238:6302::7]:51820"
    assert text(outcome((spec(2, PUBLIC, inside), UP))) == (
        f"its endpoint {inside} is an address of the mesh itself"
    )


@pytest.mark.parametrize(
    ("networks", "expected"),
    [
        (["203.0.113.0/24"], True),
        (["203.0.0.0/16", "10.0.0.0/8"], True),
        (["203.0.113.4/32"], False),
        (["203.0.112.0/24"], False),
        (["204.0.0.0/8"], False),
        (["::/1"], False),
        ([], False),
    ],
)
def test_an_endpoint_behind_another_peer(networks: list[str], expected: bool) -> None:
    router = spec(3, networks=networks), UP
    found = said(outcome((spec(2, PUBLIC), tried(PUBLIC)), router))
    assert ("? peer-2 KS-TUNNEL-IN-TUNNEL" in found) is expected
    assert said(outcome((spec(2, PUBLIC), UP), router)) == []


def test_an_ipv6_endpoint_after_networks_of_ipv4() -> None:
    endpoint = "[2001:db8::1]:51820"
    router = spec(3, networks=["203.0.113.0/24"]), UP
    assert said(outcome((spec(2, endpoint), tried(endpoint)), router)) == ["! peer-2 KS-NOREPLY"]


def test_an_endpoint_behind_the_peer_itself() -> None:
    one = spec(2, PUBLIC, networks=["203.0.113.0/24"])
    assert said(outcome((one, tried(PUBLIC, receive_bytes=0)))) == ["! peer-2 KS-NOREPLY"]


# ---- discovery


def test_a_peer_that_nobody_speaks_of() -> None:
    seen = Evidence(seen_at={key(2): NOW - 3600.0, key(3): NOW - 1800.0})
    down = outcome((spec(2), tried(PUBLIC)), (spec(3), tried(PUBLIC)), (spec(4), UP))
    found = [one for one in diagnose(down, seen, NOW) if one.code is ProblemCode.STALE_AFFILIATE]
    assert [(one.peer, one.text) for one in found] == [
        ("peer-2", "no discovery service has spoken of it for 60 min")
    ]
    assert said(outcome((spec(2), UP)), seen) == []


@pytest.mark.parametrize("is_held", [False, True])
def test_a_peer_that_nobody_speaks_of_and_that_called(is_held: bool) -> None:
    """It waits to be steered; or it is down, however short a time ago it called."""
    called = tried(PUBLIC, last_handshake_at=NOW - 60.0)
    held = {key(2): NOW - 60.0} if is_held else {}
    found = said(
        outcome((spec(2, PUBLIC), called), held_since=held),
        Evidence(seen_at={key(2): NOW - 3600.0}),
    )
    assert ("? peer-2 KS-STALE-AFFILIATE" in found) is not is_held
    assert ("? peer-2 KS-STEERING" in found) is is_held


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        (ServiceFacts("a", "a.example:443"), []),
        (ServiceFacts("a", "a.example:443", down_since=NOW - 9.0), []),
        (ServiceFacts("a", "a.example:443", down_since=NOW - 10.0), ["! - KS-DISC-DOWN"]),
        (ServiceFacts("a", "a.example:443", is_at_limit=True), ["? - KS-DISC-LIMIT"]),
    ],
)
def test_services(service: ServiceFacts, expected: list[str]) -> None:
    assert said(outcome(), Evidence((service,))) == expected


def test_a_service_that_is_away_is_bearable_while_there_are_peers() -> None:
    service = ServiceFacts("a", "a.example:443", down_since=NOW - 90.0, failure="refused")
    evidence = Evidence((service,))
    assert said(outcome((spec(2), UP)), evidence) == ["? - KS-DISC-DOWN"]
    assert text(outcome(), evidence) == "a.example:443 has been away for 90 s: refused"
    silent = ServiceFacts("a", "a.example:443", down_since=NOW - 90.0)
    assert text(outcome(), Evidence((silent,))) == "a.example:443 has been away for 90 s"


# ---- this host


def ways(mtu: int) -> Evidence:
    return Evidence(ways={Endpoint.parse(PUBLIC): UnderlyingLink("eth0", mtu)})


def test_somebody_else_sets_the_mtu() -> None:
    assert said(outcome(), Evidence(interface_mtu=1420)) == []
    assert text(outcome(), Evidence(interface_mtu=1500)) == (
        "the interface has an MTU of 1500, and 1420 was set"
    )


@pytest.mark.parametrize(
    ("value", "way", "expected"),
    [(1420, 1500, []), (1421, 1500, ["? - KS-MTU"]), (1280, 1300, ["? - KS-MTU"])],
)
def test_a_way_that_is_too_narrow(value: int, way: int, expected: list[str]) -> None:
    assert said(outcome(mtu=Mtu(value, "")), ways(way)) == expected


def test_what_fits_is_said() -> None:
    (problem,) = diagnose(outcome(), ways(1400), NOW)
    assert problem.text == f"packets of 1420 do not fit through eth0 (1400) to {PUBLIC}"
    assert problem.next.startswith("no more than 1320 fits: raise the MTU of eth0")


FILTER = Finding(FindingKind.REVERSE_PATH_FILTER, "the kernel drops it", "sysctl -w")
TALOS = Finding(FindingKind.TALOS, "Talos is here", "leave it")


def test_the_host() -> None:
    evidence = Evidence(findings=(FILTER, TALOS), clock_behind=86_400.0, is_native=False)
    assert said(outcome(), evidence) == [
        "! - KS-CLOCK",
        "! - KS-RPFILTER",
        "! - KS-STEERING",
        "? - KS-SLOWPATH",
    ]


def test_the_worst_comes_first() -> None:
    evidence = Evidence(is_native=False, findings=(FILTER,))
    inside = "[fd50:8d60:4238:6302::7]:51820"
    found = outcome((spec(3, PUBLIC), tried(PUBLIC)), (spec(2, inside), UP))
    assert said(found, evidence) == [
        "! - KS-RPFILTER",
        "! peer-3 KS-NOREPLY",
        "? - KS-SLOWPATH",
        "? peer-2 KS-TUNNEL-IN-TUNNEL",
    ]
