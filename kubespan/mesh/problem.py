"""What is wrong with the mesh, in words for people and codes for programs. Codes never change."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import Final

MOST_LISTED: Final = 3
"""Of anything that a text lists: a mesh may have thousands of it."""


class ProblemCode(Enum):
    """What kind of trouble; each has a page in docs/problems."""

    NO_REPLY = "KS-NOREPLY"
    PSK = "KS-PSK"
    CLOCK = "KS-CLOCK"
    OVERLAP = "KS-OVERLAP"
    TUNNEL_IN_TUNNEL = "KS-TUNNEL-IN-TUNNEL"
    MTU = "KS-MTU"
    UDP_BLOCKED = "KS-UDP-BLOCKED"
    DISCOVERY_DOWN = "KS-DISC-DOWN"
    DISCOVERY_LIMIT = "KS-DISC-LIMIT"
    STALE_AFFILIATE = "KS-STALE-AFFILIATE"
    RP_FILTER = "KS-RPFILTER"
    STEERING = "KS-STEERING"
    USER_NAMESPACE = "KS-USERNS"
    SLOW_PATH = "KS-SLOWPATH"


class Severity(Enum):
    """How bad it is: something does not work, or it may stop working."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding, and what to do about it."""

    code: ProblemCode
    severity: Severity
    peer: str
    """Whose: a label or node id; empty where it is nobody's in particular."""

    text: str
    next: str
    """What to do."""


def listed(items: Iterable[object]) -> str:
    """Return `a, b, c and others`; no more is taken of the items than is needed to say so."""
    first = tuple(map(str, islice(items, MOST_LISTED + 1)))
    others = " and others" if len(first) > MOST_LISTED else ""
    return f"{', '.join(first[:MOST_LISTED])}{others}"
