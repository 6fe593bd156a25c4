"""What stands in the way of the mesh on this machine, and is not ours to change.

Values only: found by `kubespan.linux`, shown beside what is wrong with the mesh.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class FindingKind(Enum):
    """What is in the way."""

    FOREIGN_RULE = "foreign-rule"
    """Somebody else has a rule at our priority, or one that leads to our table."""

    FOREIGN_ROUTE = "foreign-route"
    """Somebody else has a route in our table."""

    FOREIGN_MARK = "foreign-mark"
    """Somebody else's rule looks at the mark bits that are ours."""

    FOREIGN_LINK = "foreign-link"
    """Somebody else's link has the name of the mesh's."""

    TALOS = "talos"
    """This machine is steered by Talos already."""

    REVERSE_PATH_FILTER = "reverse-path-filter"
    """What comes out of the mesh is dropped, because it would not be answered into it."""

    IPV6_DISABLED = "ipv6-disabled"
    """The mesh's link may have no IPv6 address."""

    REFUSED = "refused"
    """The system does not do what the mesh needs: a step of steering, or listening on its port."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing in the way, and what the operator can do about it."""

    kind: FindingKind
    text: str
    next: str
    """What to do: a command where there is one."""
