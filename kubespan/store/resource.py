"""One resource, and what happens to it. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from kubespan.store.kind import Kind


@dataclass(frozen=True, slots=True)
class Resource:
    """A fact, with everything that is known of the fact itself."""

    kind: Kind
    namespace: str
    id: str
    version: int
    """From 1, one more with every change of `spec`."""

    owner: str
    created_ns: int
    """Nanoseconds since the Unix epoch; so is `updated_ns`."""

    updated_ns: int
    spec: Any
    """A frozen value, of the class that belongs to the kind."""


class EventType(Enum):
    """What happened to a resource."""

    CREATED = "created"
    UPDATED = "updated"
    DESTROYED = "destroyed"


@dataclass(frozen=True, slots=True)
class Event:
    """One change. What is destroyed is shown as it last was."""

    type: EventType
    resource: Resource
    before: Resource | None = None
    """What an updated one was."""
