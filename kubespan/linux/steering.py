"""What links, addresses, routes and rules a plan needs, and the steps there from what there is.

Pure: facts and a plan go in, steps come out. Packets for members carry a firewall mark, which
`kubespan.linux.nftables` sets; a rule leads marked packets to a table of their own, whose default
route is the mesh. Behind each route into the mesh stands one that refuses, so that packets for
members are refused, and not sent in clear, while the mesh's link is gone or not there yet.

What is ours is told by its shape: rules by their protocol number, refusing routes by their metric,
the rest by the link. Everything else is somebody else's and is never touched. Talos
controllers/kubespan, for the mark, the table, the priority and the metric; man 8 ip-rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv6Address
from typing import Final

from kubespan.model.address import Prefix
from kubespan.model.constants import (
    KUBESPAN_FORCE_MARK,
    KUBESPAN_MARK_MASK,
    KUBESPAN_REFUSAL_METRIC,
    KUBESPAN_ROUTE_METRIC,
    KUBESPAN_RULE_PRIORITY,
    KUBESPAN_RULE_PROTOCOL,
    KUBESPAN_TABLE,
)
from kubespan.model.plan import NetworkPlan
from kubespan.model.ula import is_kubespan_ula

MAIN_TABLE: Final = 254
SUBNET_LENGTH: Final = 64
VERSIONS: Final = (4, 6)
EVERYWHERE: Final = {4: Prefix(4, 0, 0), 6: Prefix(6, 0, 0)}


class RouteKind(Enum):
    """What becomes of a packet that takes a route."""

    INTO_LINK = "into-link"
    REFUSED = "refused"
    OTHER = "other"
    """A kind that we never make."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of policy routing, as far as it matters to us."""

    version: int
    priority: int = KUBESPAN_RULE_PRIORITY
    mark: int = KUBESPAN_FORCE_MARK
    mask: int = KUBESPAN_MARK_MASK
    table: int = KUBESPAN_TABLE
    protocol: int = KUBESPAN_RULE_PROTOCOL

    def __str__(self) -> str:
        mark = f" fwmark {self.mark:#x}/{self.mask:#x}" if self.mask else ""
        return f"IPv{self.version} rule {self.priority}:{mark} lookup {self.table}"


@dataclass(frozen=True, slots=True)
class Route:
    """A route, as far as it matters to us."""

    destination: Prefix
    table: int
    kind: RouteKind
    metric: int
    link: int = 0
    """Number of the interface; 0 for none."""

    mtu: int = 0
    """0 where the route says nothing of it."""

    def __str__(self) -> str:
        where = f"IPv{self.destination.version} route {self.destination} in table {self.table}"
        return f"{where} {'that refuses' if self.kind is RouteKind.REFUSED else 'into the mesh'}"


@dataclass(frozen=True, slots=True)
class LinkSetting:
    """How the mesh's link is set, by its number."""

    index: int
    is_up: bool
    mtu: int

    def __str__(self) -> str:
        return f"link {'up' if self.is_up else 'down'} with MTU {self.mtu}"


@dataclass(frozen=True, slots=True)
class LinkAddress:
    """An address on the mesh's link, with the network that it makes reachable."""

    address: IPv6Address
    length: int
    link: int

    def __str__(self) -> str:
        return f"address {self.address}/{self.length}"


Subject = Rule | Route | LinkSetting | LinkAddress


class Verb(Enum):
    """What a step does with its subject."""

    ADD = "add"
    SET = "set"
    """Put it in the place of one of ours that differs."""

    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Step:
    """One change of the kernel."""

    verb: Verb
    subject: Subject

    def __str__(self) -> str:
        return f"{self.verb.value} {self.subject}"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the kernel has."""

    link: LinkSetting | None = None
    """The mesh's own; None where it is not on this host."""

    addresses: tuple[LinkAddress, ...] = ()
    """Global ones of that link."""

    rules: tuple[Rule, ...] = ()
    """All, whoever made them."""

    routes: tuple[Route, ...] = ()
    """All of our table, and those of the main table that refuse with our metric."""

    versions: tuple[int, ...] = VERSIONS
    """Of IP, that this host has: what it lacks cannot go out in clear."""

    namesake: int = 0
    """Index of a link that has the name of the mesh's and is not it; 0 where there is none."""


def guarding_steps(plan: NetworkPlan, facts: Facts) -> tuple[Step, ...]:
    """Return what is to be done before anything is marked: refuse first, then lead there.

    From then on a marked packet is refused as long as there is no way into the mesh.
    """
    everywhere = (EVERYWHERE[version] for version in facts.versions)
    refusals = (*_refusals(KUBESPAN_TABLE, *everywhere), *_subnet_refusals(plan, facts))
    wanted: tuple[Subject, ...] = (*refusals, *map(Rule, facts.versions))
    have: set[Subject] = {*facts.routes, *facts.rules}
    ours: tuple[Subject, ...] = (*_our_rules(facts), *_our_refusals(facts))
    missing = (Step(Verb.ADD, subject) for subject in wanted if subject not in have)
    stale = (Step(Verb.REMOVE, subject) for subject in ours if subject not in wanted)
    return (*missing, *stale)


def entering_steps(plan: NetworkPlan, facts: Facts) -> tuple[Step, ...]:
    """Return what is to be done to open the way into the mesh; nothing where it has no link."""
    if facts.link is None:
        return ()
    return tuple(_entering_steps(plan, facts, facts.link))


def removing_steps(facts: Facts) -> tuple[Step, ...]:
    """Return what is to be done to leave nothing of ours, except for the link itself."""
    ours: tuple[Subject, ...] = (
        *_our_rules(facts),
        *_our_entrances(facts),
        *_our_refusals(facts),
        *filter(_is_our_address, facts.addresses),
    )
    return tuple(Step(Verb.REMOVE, subject) for subject in ours)


def is_our_rule(rule: Rule) -> bool:
    """Whether a rule is one that we made, now or in an earlier run."""
    return rule.priority == KUBESPAN_RULE_PRIORITY and rule.protocol == KUBESPAN_RULE_PROTOCOL


def is_our_route(route: Route, facts: Facts) -> bool:
    """Whether a route is one that we made, now or in an earlier run."""
    return route in _our_refusals(facts) or route in _our_entrances(facts)


def _entering_steps(plan: NetworkPlan, facts: Facts, link: LinkSetting) -> Iterator[Step]:
    setting = LinkSetting(link.index, is_up=True, mtu=plan.mtu)
    if link != setting:
        yield Step(Verb.SET, setting)
    address = LinkAddress(plan.address, SUBNET_LENGTH, link.index)
    if 6 in facts.versions and address not in facts.addresses:
        yield Step(Verb.ADD, address)
    entrances = {route.destination: route for route in _our_entrances(facts)}
    for version in facts.versions:
        destination = EVERYWHERE[version]
        entrance = _entrance(destination, link.index, plan.mtu)
        have = entrances.get(destination)
        if have != entrance:
            yield Step(Verb.ADD if have is None else Verb.SET, entrance)
    for other in facts.addresses:
        if other != address and _is_our_address(other):
            yield Step(Verb.REMOVE, other)


def _entrance(destination: Prefix, link: int, mtu: int) -> Route:
    return Route(destination, KUBESPAN_TABLE, RouteKind.INTO_LINK, KUBESPAN_ROUTE_METRIC, link, mtu)


def _refusals(table: int, *destinations: Prefix) -> Iterator[Route]:
    for destination in destinations:
        yield Route(destination, table, RouteKind.REFUSED, KUBESPAN_REFUSAL_METRIC)


def _subnet_refusals(plan: NetworkPlan, facts: Facts) -> Iterator[Route]:
    # The mesh's own addresses are not marked: the address on the link makes them reachable.
    if plan.subnet.version in facts.versions:
        yield from _refusals(MAIN_TABLE, plan.subnet)


def _our_rules(facts: Facts) -> tuple[Rule, ...]:
    return tuple(rule for rule in facts.rules if is_our_rule(rule))


def _our_refusals(facts: Facts) -> tuple[Route, ...]:
    return tuple(
        route
        for route in facts.routes
        if route.kind is RouteKind.REFUSED
        and route.metric == KUBESPAN_REFUSAL_METRIC
        and (route.table == KUBESPAN_TABLE or _is_mesh(route.destination))
    )


def _our_entrances(facts: Facts) -> tuple[Route, ...]:
    return tuple(
        route
        for route in facts.routes
        if facts.link is not None
        and route == _entrance(EVERYWHERE[route.destination.version], facts.link.index, route.mtu)
    )


def _is_our_address(address: LinkAddress) -> bool:
    return address.length == SUBNET_LENGTH and is_kubespan_ula(address.address)


def _is_mesh(prefix: Prefix) -> bool:
    return (
        prefix.version == 6
        and prefix.length == SUBNET_LENGTH
        and is_kubespan_ula(IPv6Address(prefix.value))
    )
