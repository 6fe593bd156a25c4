"""What others use of ours is named, and nothing else is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kubespan.linux.foreign import foreign_findings
from kubespan.linux.steering import Facts, Route, RouteKind, Rule
from kubespan.model.address import Prefix
from kubespan.model.finding import FindingKind
from tests.linux.plans import ENTRANCES, EVERYWHERE6, RULES, WHOLE


def test_nothing_is_said_of_what_is_ours_or_ordinary() -> None:
    assert foreign_findings(Facts()) == ()
    assert foreign_findings(WHOLE) == ()


@pytest.mark.parametrize(
    ("rule", "kind", "hint"),
    [
        (Rule(4, 32500, 1, 1, 100, 4), FindingKind.FOREIGN_RULE, "ip rule del priority 32500"),
        (Rule(6, 100, 0, 0, 180, 3), FindingKind.FOREIGN_RULE, "ip -6 rule del priority 100"),
        (replace(RULES[0], protocol=4), FindingKind.FOREIGN_RULE, "ip rule del priority 32500"),
        (Rule(4, 5, 0xCA6C, 0xFFFFFFFF, 51820, 3), FindingKind.FOREIGN_MARK, "bits 0x60"),
        (Rule(4, 5, 0x20, 0x20, 51820, 3), FindingKind.FOREIGN_MARK, "bits 0x60"),
    ],
)
def test_rules(rule: Rule, kind: FindingKind, hint: str) -> None:
    (finding,) = foreign_findings(replace(WHOLE, rules=(*WHOLE.rules, rule)))
    assert finding.kind is kind
    assert hint in finding.next
    assert str(rule) in finding.text


@pytest.mark.parametrize(
    "rule",
    [
        Rule(4, 5, 0x80, 0xFF, 100, 3),
        Rule(4, 5, 0x60, 0x80, 100, 3),
        Rule(6, 5, 0, 0xFFFFFFFF, 100, 3),
        Rule(6, 5, 0, 0, 100, 3),
    ],
)
def test_rules_that_look_for_none_of_our_bits(rule: Rule) -> None:
    assert foreign_findings(Facts(rules=(rule,))) == ()


@pytest.mark.parametrize(
    ("route", "hint"),
    [
        (Route(Prefix.parse("10.0.0.0/8"), 180, RouteKind.INTO_LINK, 0, 3), "ip route show table"),
        (Route(EVERYWHERE6, 180, RouteKind.INTO_LINK, 1, 3), "ip -6 route show table"),
    ],
)
def test_routes(route: Route, hint: str) -> None:
    (finding,) = foreign_findings(replace(WHOLE, routes=(*WHOLE.routes, route)))
    assert finding.kind is FindingKind.FOREIGN_ROUTE
    assert str(route.destination) in finding.text
    assert hint in finding.next


def test_an_entrance_of_a_link_that_is_not_there_is_somebody_elses() -> None:
    found = foreign_findings(Facts(routes=ENTRANCES))
    assert [finding.kind for finding in found] == [FindingKind.FOREIGN_ROUTE] * 2


def test_a_link_that_only_has_the_name_of_the_meshs() -> None:
    (finding,) = foreign_findings(replace(WHOLE, namesake=9))
    assert finding.kind is FindingKind.FOREIGN_LINK
    assert "kubespan" in finding.text
    assert "ip link set dev kubespan name" in finding.next


def test_a_route_elsewhere_does_not_matter() -> None:
    route = Route(Prefix.parse("2001:db8::/64"), 254, RouteKind.REFUSED, 27507)
    assert foreign_findings(Facts(routes=(route,))) == ()
