"""YAML as a tree of nodes that know their place. A node may hang in several places: an alias.

Scalars keep their text as written; what it means depends on who asks (`kubespan.config.scalar`).
"""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Mapping as MappingABC
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeAlias

from kubespan.config.mistake import Findings, Place, Steps

NULLS = frozenset({"", "~", "null", "Null", "NULL"})


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value that is not made of others."""

    place: Place
    text: str = field(repr=False)
    is_plain: bool = True
    """Whether it was written without quotes, and not as a block."""

    tag: str = ""
    """As written out in the text, in full; usually there is none."""

    @property
    def is_null(self) -> bool:
        """Whether it stands for no value."""
        return self.is_plain and not self.tag and self.text in NULLS


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    place: Place
    items: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A value with the place of its key."""

    place: Place
    value: Node


@dataclass(frozen=True, slots=True)
class Mapping:
    """Values by key. The first of repeated keys; a mistake is reported for the others."""

    place: Place
    entries: MappingABC[str, Entry] = field(default_factory=lambda: MappingProxyType({}))


Node: TypeAlias = Scalar | Sequence | Mapping


@dataclass(frozen=True, slots=True)
class View:
    """A node, the way to it, and where to say what is wrong with it."""

    node: Node
    steps: Steps
    findings: Findings

    def at(self, *steps: str | int) -> View:
        """Look at what is further down; at the last node on the way, if there is nothing."""
        node: Node | None = self.node
        last = self.node
        for step in steps:
            node = child(node, step) if node is not None else None
            last = node if node is not None else last
        return View(last, (*self.steps, *steps), self.findings)

    @property
    def is_wrong(self) -> bool:
        """Whether a mistake is known of this very node."""
        return self.findings.has_mistake_at(self.node.place, self.steps)

    def mistake(self, message: str) -> None:
        """Say that this is wrong, and what to write instead."""
        self.findings.add_mistake(self.node.place, self.steps, message)

    def ignore(self, *steps: str) -> None:
        """Say that what is further down is ignored: at its key, or the last one on the way."""
        node: Node | None = self.node
        place = self.node.place
        for step in steps:
            if isinstance(node, Mapping) and step in node.entries:
                place = node.entries[step].place
            node = child(node, step) if node is not None else None
        self.findings.add_ignored(place, (*self.steps, *steps))


def child(node: Node, step: str | int) -> Node | None:
    """Return what is one step below, None if there is nothing."""
    match node, step:
        case Mapping(), str() if step in node.entries:
            return node.entries[step].value
        case Sequence(), int() if step < len(node.items):
            return node.items[step]
        case _:
            return None


def without(node: Node, ways: Collection[Steps]) -> Node:
    """Return a copy that lacks what is at the end of these ways; nodes beside them are shared.

    In a list null takes its place, so that the indices of what follows stay the same.
    """
    if not ways:
        return node
    further: dict[str | int, list[Steps]] = {}
    for step, *rest in ways:
        further.setdefault(step, []).append(tuple(rest))
    match node:
        case Mapping():
            kept = {
                key: replace(entry, value=without(entry.value, further.get(key, ())))
                for key, entry in node.entries.items()
                if () not in further.get(key, ())
            }
            return replace(node, entries=MappingProxyType(kept))
        case Sequence():
            items = (_less(item, further.get(index, ())) for index, item in enumerate(node.items))
            return replace(node, items=tuple(items))
        case _:
            return node


def _less(item: Node, ways: Collection[Steps]) -> Node:
    return Scalar(item.place, "") if () in ways else without(item, ways)
