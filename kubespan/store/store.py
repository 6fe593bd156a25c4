"""The store: what every controller last wrote, versioned, and whoever watches is told.

A controller says all that should be; the store finds out what that changes. Sans-IO, and the wall
clock is an argument. COSI (cosi-project/runtime) for what a version, an owner and an event are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from kubespan.model.errors import InternalError
from kubespan.store.kind import Kind, Output
from kubespan.store.resource import Event, EventType, Resource
from kubespan.store.watch import CAPACITY, Watch

Place: TypeAlias = tuple[str, Kind]


def _ignore() -> None:
    """Need no waking."""


@dataclass(slots=True)
class _Shelf:
    """The resources of one kind in one namespace, and who watches them."""

    resources: dict[str, Resource] = field(default_factory=dict)
    watches: dict[Watch, str | None] = field(default_factory=dict)
    """Each with the id that it is about, None for all."""

    def list(self, id_: str | None = None) -> tuple[Resource, ...]:
        if id_ is None:
            return tuple(self.resources[key] for key in sorted(self.resources))
        return (self.resources[id_],) if id_ in self.resources else ()

    def apply(self, event: Event) -> None:
        if event.type is EventType.DESTROYED:
            del self.resources[event.resource.id]
        else:
            self.resources[event.resource.id] = event.resource

    def tell(self, event: Event) -> None:
        for watch, id_ in self.watches.items():
            if id_ is None or id_ == event.resource.id:
                watch.hear(event)


class Store:
    """All resources of this node."""

    def __init__(self) -> None:
        self._shelves: dict[Place, _Shelf] = {}

    def publish(self, output: Output, wanted: Mapping[str, Any], wall_ns: int) -> tuple[Event, ...]:
        """Make these, by id, all that the controller has; return what that changed.

        A spec that equals the one that is there changes nothing. Raises InternalError, and then
        nothing changed, if an id is another controller's. `wall_ns` is nanoseconds since the epoch.
        """
        shelf = self._shelf(output.place, output.kind)
        events = [*_destroyed(shelf, output, wanted), *_written(shelf, output, wanted, wall_ns)]
        for event in events:
            shelf.apply(event)
        for event in events:
            shelf.tell(event)
        return tuple(events)

    def list(self, kind: Kind, namespace: str = "") -> tuple[Resource, ...]:
        """Return all of a kind in a namespace, its own if none is given, in ascending order."""
        shelf = self._shelves.get((namespace or kind.namespace, kind))
        return () if shelf is None else shelf.list()

    def get(self, kind: Kind, id_: str, namespace: str = "") -> Resource | None:
        """Return the resource with this id, None if there is none."""
        shelf = self._shelves.get((namespace or kind.namespace, kind))
        return None if shelf is None else shelf.resources.get(id_)

    def watch(
        self,
        kind: Kind,
        id_: str | None = None,
        *,
        namespace: str = "",
        wake: Callable[[], None] = _ignore,
        capacity: int = CAPACITY,
    ) -> Watch:
        """Return a watcher of all of a kind in a namespace, or of the one with this id."""
        place = (namespace or kind.namespace, kind)
        shelf = self._shelf(*place)
        watch = Watch(lambda: shelf.list(id_), lambda one: self._leave(place, one), wake, capacity)
        shelf.watches[watch] = id_
        return watch

    def _shelf(self, namespace: str, kind: Kind) -> _Shelf:
        return self._shelves.setdefault((namespace, kind), _Shelf())

    def _leave(self, place: Place, watch: Watch) -> None:
        shelf = self._shelf(*place)
        shelf.watches.pop(watch, None)
        if not shelf.watches and not shelf.resources:
            # Whatever namespace a reader asked for, nothing is left of the question.
            self._shelves.pop(place, None)


def _destroyed(shelf: _Shelf, output: Output, wanted: Mapping[str, Any]) -> Iterator[Event]:
    for id_, resource in shelf.resources.items():
        if resource.owner == output.owner and id_ not in wanted:
            yield Event(EventType.DESTROYED, resource)


def _written(
    shelf: _Shelf, output: Output, wanted: Mapping[str, Any], wall_ns: int
) -> Iterator[Event]:
    for id_, spec in wanted.items():
        known = shelf.resources.get(id_)
        if known is None:
            yield Event(EventType.CREATED, _created(output, id_, spec, wall_ns))
        elif known.owner != output.owner:
            raise InternalError(f"{output.owner} writes {id_}, which {known.owner} has written")
        elif known.spec is not spec and known.spec != spec:
            changed = replace(known, version=known.version + 1, updated_ns=wall_ns, spec=spec)
            yield Event(EventType.UPDATED, changed, known)


def _created(output: Output, id_: str, spec: Any, wall_ns: int) -> Resource:
    return Resource(output.kind, output.place, id_, 1, output.owner, wall_ns, wall_ns, spec)
