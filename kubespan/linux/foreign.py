"""Whether somebody else uses what the mesh steers with: its table, priority, mark bits and name.

Pure, and the whole of what we do about it: it is said and nothing is changed, because two programs
that put each other's rules right fight for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kubespan.linux.steering import Facts, Route, Rule, is_our_route, is_our_rule
from kubespan.model.constants import (
    KUBESPAN_LINK,
    KUBESPAN_MARK_MASK,
    KUBESPAN_RULE_PRIORITY,
    KUBESPAN_TABLE,
)
from kubespan.model.finding import Finding, FindingKind

NAMESAKE: Final = Finding(
    FindingKind.FOREIGN_LINK,
    f"a link named {KUBESPAN_LINK} is there that is not the mesh's: it is given no address and no"
    " route",
    f"let it have another name: ip link set dev {KUBESPAN_LINK} name other0",
)


def foreign_findings(facts: Facts) -> tuple[Finding, ...]:
    """Return what is used by somebody else."""
    rules = (rule for rule in facts.rules if not is_our_rule(rule))
    routes = (route for route in facts.routes if not is_our_route(route, facts))
    found = [finding for rule in rules for finding in _of_rule(rule)]
    found += [_of_route(route) for route in routes if route.table == KUBESPAN_TABLE]
    if facts.namesake:
        found.append(NAMESAKE)
    return tuple(dict.fromkeys(found))


def _of_rule(rule: Rule) -> Iterator[Finding]:
    family = "-6 " if rule.version == 6 else ""
    if rule.priority == KUBESPAN_RULE_PRIORITY or rule.table == KUBESPAN_TABLE:
        yield Finding(
            FindingKind.FOREIGN_RULE,
            f"{rule} is not ours, and uses our priority {KUBESPAN_RULE_PRIORITY} or table"
            f" {KUBESPAN_TABLE}",
            f"give it another priority and table, or remove it: ip {family}rule del priority"
            f" {rule.priority}",
        )
    elif rule.mark & rule.mask & KUBESPAN_MARK_MASK:
        yield Finding(
            FindingKind.FOREIGN_MARK,
            f"{rule} is not ours, and looks at the mark bits {KUBESPAN_MARK_MASK:#x}, which the"
            " mesh sets",
            f"let its owner use a mark without the bits {KUBESPAN_MARK_MASK:#x}",
        )


def _of_route(route: Route) -> Finding:
    family = "-6 " if route.destination.version == 6 else ""
    return Finding(
        FindingKind.FOREIGN_ROUTE,
        f"a route to {route.destination} in table {KUBESPAN_TABLE} is not ours: packets for members"
        " may take it, in clear",
        f"move it to another table: ip {family}route show table {KUBESPAN_TABLE}",
    )
