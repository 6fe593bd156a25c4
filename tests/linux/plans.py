"""Plans and kernels to start the steering tests from."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import TypeVar

from kubespan.linux.steering import (
    Facts,
    LinkAddress,
    LinkSetting,
    Route,
    RouteKind,
    Rule,
    Step,
    Verb,
)
from kubespan.model.address import Prefix
from kubespan.model.plan import NetworkPlan

_Thing = TypeVar("_Thing")

SUBNET = Prefix.parse("fd00:0:0:2::/64")
OTHER_SUBNET = Prefix.parse("fd11:0:0:2::/64")
ADDRESS = IPv6Address("fd00:0:0:2::1")
EVERYWHERE4, EVERYWHERE6 = Prefix.parse("0.0.0.0/0"), Prefix.parse("::/0")
STEERED = ("10.0.2.0/23", "10.0.9.9/32", "2001:db8:2::/64")


def plan(*steered: str, mtu: int = 1420) -> NetworkPlan:
    return NetworkPlan(ADDRESS, SUBNET, mtu, tuple(map(Prefix.parse, steered)))


PLAN = plan(*STEERED)
REFUSALS = (
    Route(EVERYWHERE4, 180, RouteKind.REFUSED, 27507),
    Route(EVERYWHERE6, 180, RouteKind.REFUSED, 27507),
    Route(SUBNET, 254, RouteKind.REFUSED, 27507),
)
RULES = (Rule(4, 32500, 0x40, 0x60, 180, 180), Rule(6, 32500, 0x40, 0x60, 180, 180))
LINK = LinkSetting(7, is_up=True, mtu=1420)
ON_LINK = LinkAddress(ADDRESS, 64, 7)
ENTRANCES = (
    Route(EVERYWHERE4, 180, RouteKind.INTO_LINK, 1, 7, 1420),
    Route(EVERYWHERE6, 180, RouteKind.INTO_LINK, 1, 7, 1420),
)
FOREIGN_RULES = (
    Rule(4, 0, 0, 0, 255, 2),
    Rule(4, 32766, 0, 0, 254, 2),
    Rule(6, 32766, 0, 0, 254, 2),
)
WHOLE = Facts(LINK, (ON_LINK,), (*FOREIGN_RULES, *RULES), (*ENTRANCES, *REFUSALS))
"""What there is when everything is right."""


def after(facts: Facts, steps: tuple[Step, ...]) -> Facts:
    """Return what a kernel that refuses nothing has after these steps."""
    link, addresses = facts.link, list(facts.addresses)
    rules, routes = list(facts.rules), list(facts.routes)
    for step in steps:
        match step.subject:
            case LinkSetting():
                link = step.subject
            case LinkAddress():
                _change(addresses, step.verb, step.subject)
            case Rule():
                _change(rules, step.verb, step.subject)
            case Route():
                if step.verb is Verb.SET:
                    routes = [r for r in routes if _key(r) != _key(step.subject)]
                _change(routes, step.verb, step.subject)
    return Facts(link, tuple(addresses), tuple(rules), tuple(routes))


def _key(route: Route) -> tuple[Prefix, int, int]:
    return route.destination, route.table, route.metric


def _change(things: list[_Thing], verb: Verb, thing: _Thing) -> None:
    if verb is Verb.REMOVE:
        things.remove(thing)
    else:
        assert thing not in things
        things.append(thing)
