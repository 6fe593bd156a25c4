"""Mistakes in a configuration: where each is, and what to write instead. All are kept, none twice.

A message never contains a secret: what an operator wrote is quoted only when it is short and does
not look like a key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from kubespan.model.errors import ConfigError

Steps: TypeAlias = tuple[str | int, ...]
"""The way to a node: keys of mappings and indices of lists, after the kind of its document."""

LONGEST_QUOTE: Final = 80
"""Characters of what an operator wrote that a message repeats."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_LOOKS_LIKE_A_KEY: Final = re.compile(r"[A-Za-z0-9+/_-]{32,}={0,2}|[A-Za-z0-9+/_=-]*=")


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A line and a column, both counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """Something that cannot be used, and what to write instead."""

    place: Place
    path: str
    message: str

    def describe(self, name: str) -> str:
        """One line, in the form that editors and compilers agree on."""
        where = f"{name}:{self.place.line}:{self.place.column}"
        return ": ".join(filter(None, (where, self.path, self.message)))


@dataclass(frozen=True, slots=True, order=True)
class Ignored:
    """Something that means something to Talos and nothing here."""

    place: Place
    path: str


class ConfigMistakes(ConfigError):
    """A configuration cannot be used. Prints a line for each mistake, in the order of the text."""

    def __init__(self, name: str, mistakes: Iterable[Mistake]) -> None:
        self.name = name
        self.mistakes = tuple(sorted(mistakes))
        super().__init__("\n".join(mistake.describe(name) for mistake in self.mistakes))


class Findings:
    """What has been found in one configuration so far."""

    def __init__(self) -> None:
        self._mistakes: set[Mistake] = set()
        self._wrong: set[Steps] = set()
        self._wrong_nodes: set[tuple[Place, Steps]] = set()
        self._ignored: set[Ignored] = set()

    @property
    def mistakes(self) -> tuple[Mistake, ...]:
        """All mistakes, in the order of the text."""
        return tuple(sorted(self._mistakes))

    @property
    def ignored(self) -> tuple[Ignored, ...]:
        """All that was ignored, in the order of the text."""
        return tuple(sorted(self._ignored))

    def add_mistake(self, place: Place, steps: Steps, message: str) -> None:
        """Keep a mistake."""
        self._mistakes.add(Mistake(place, format_path(steps), message))
        self._wrong.update(steps[:length] for length in range(len(steps) + 1))
        self._wrong_nodes.add((place, steps))

    def add_ignored(self, place: Place, steps: Steps) -> None:
        """Keep that something was ignored."""
        self._ignored.add(Ignored(place, format_path(steps)))

    def has_mistake(self, *steps: str | int) -> bool:
        """Whether there is a mistake there or below: what follows from it need not be said."""
        return steps in self._wrong

    def has_mistake_at(self, place: Place, steps: Steps) -> bool:
        """Whether there is a mistake at this place on this way."""
        return (place, steps) in self._wrong_nodes


def format_path(steps: Steps) -> str:
    """Return `machine.network.kubespan.filters.endpoints[1]`."""
    path = ""
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        elif not _NAME.fullmatch(step) or looks_like_a_key(step):
            path += f"[{quote(step)}]"
        else:
            path += f".{step}" if path else step
    return path


def looks_like_a_key(text: str) -> bool:
    """Whether a text may be a secret that stands in the wrong place."""
    return _LOOKS_LIKE_A_KEY.fullmatch(text) is not None


def quote(text: str) -> str:
    """Return a text as a message may repeat it."""
    if looks_like_a_key(text):
        return f"{len(text)} characters that may be a secret"
    if len(text) > LONGEST_QUOTE:
        return f"{len(text)} characters"
    return repr(text)
