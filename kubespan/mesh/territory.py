"""Who claims which addresses, and who has them: of several claimants the one with the smallest id.

Kept as pieces: ranges in order that never overlap, each with all its claimants. Whoever has a piece
follows from its claimants alone, never from the order in which they came, so that a change costs
what it touches and leaves what planning everything anew would have made.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from kubespan.model.ipset import IPSet, Range

Claimants: TypeAlias = tuple[str, ...]
"""Ids in ascending order; the first has it."""

_Piece: TypeAlias = tuple[Range, Claimants]


@dataclass(slots=True)
class Concerned:
    """Whom it concerns that addresses have changed hands."""

    owners: set[str] = field(default_factory=set)
    """They have more or less than before."""

    claimants: set[str] = field(default_factory=set)
    """They claim what is another's than before; the owners are among them."""


@dataclass(slots=True)
class Territory:
    """The claims of all members, by their ids."""

    _pieces: list[_Piece] = field(default_factory=list)
    """Those that touch have different claimants: the same claims are always the same pieces."""

    _concerned: Concerned = field(default_factory=Concerned, compare=False)

    def claim(self, wanted: IPSet, node_id: str) -> None:
        """Add a claim to what its owner does not claim yet."""
        self._change(wanted, lambda claimants: tuple(sorted((*claimants, node_id))))

    def release(self, claimed: IPSet, node_id: str) -> None:
        """Take back a claim, or a part of it."""
        self._change(claimed, lambda claimants: tuple(one for one in claimants if one != node_id))

    def rename(self, claimed: IPSet, node_id: str) -> None:
        """Note that a claimant is called otherwise: it concerns who claims what that one has."""
        for _, claimants in self._claimed(claimed):
            if claimants[0] == node_id:
                self._concerned.claimants.update(claimants)

    def take_concerned(self) -> Concerned:
        """Return whom the changes since the last call concern."""
        concerned, self._concerned = self._concerned, Concerned()
        return concerned

    def granted(self, claimed: IPSet, node_id: str) -> IPSet:
        """Return what a claimant has of its claim."""
        pieces = self._claimed(claimed)
        return IPSet.joined([part for part, claimants in pieces if claimants[0] == node_id])

    def owners(self, claimed: IPSet, node_id: str) -> Iterator[str]:
        """Give who has the rest of a claim, each once, in order of addresses."""
        seen = {node_id}
        for _, claimants in self._claimed(claimed):
            if claimants[0] not in seen:
                seen.add(claimants[0])
                yield claimants[0]

    def _claimed(self, claimed: IPSet) -> Iterator[_Piece]:
        """Give the pieces of what one member claims; none of them is cut by its borders."""
        for where in claimed.ranges:
            begin = self._find(where.version, where.first)
            yield from self._pieces[begin : self._find(where.version, where.last + 1)]

    def _change(self, places: IPSet, change: Callable[[Claimants], Claimants]) -> None:
        for where in places.ranges:
            begin = self._cut(where.version, where.first)
            end = self._cut(where.version, where.last + 1)
            changed = []
            for part, before in _without_gaps(self._pieces[begin:end], where):
                after = change(before)
                changed.append((part, after))
                if before[:1] != after[:1]:
                    self._concerned.owners.update(before[:1], after[:1])
                    self._concerned.claimants.update(before, after)
            # What lies beside it may now have the same claimants.
            around = max(0, begin - 1)
            pieces = [*self._pieces[around:begin], *changed, *self._pieces[end : end + 1]]
            self._pieces[around : end + 1] = _joined(pieces)

    def _cut(self, version: int, address: int) -> int:
        """Let a piece begin at an address if one contains it; return the first from there on."""
        index = self._find(version, address)
        if index:
            part, claimants = self._pieces[index - 1]
            if part.version == version and part.last >= address:
                low, high = part._replace(last=address - 1), part._replace(first=address)
                self._pieces[index - 1 : index] = [(low, claimants), (high, claimants)]
        return index

    def _find(self, version: int, address: int) -> int:
        """Return which piece is the first that does not begin before an address."""
        return bisect_left(self._pieces, (Range(version, address, address), ()))


def _without_gaps(pieces: list[_Piece], where: Range) -> list[_Piece]:
    """Return the pieces that lie in a range, and what is nobody's between them, in order."""
    gaps = IPSet(tuple(part for part, _ in pieces)).cut_out_of(where)
    return sorted([*pieces, *((gap, ()) for gap in gaps)])


def _joined(pieces: Iterable[_Piece]) -> list[_Piece]:
    """Return the pieces that are somebody's, in order, as few as may be."""
    joined: list[_Piece] = []
    for part, claimants in pieces:
        if joined and joined[-1][1] == claimants and _touch(joined[-1][0], part):
            joined[-1] = (joined[-1][0]._replace(last=part.last), claimants)
        elif claimants:
            joined.append((part, claimants))
    return joined


def _touch(low: Range, high: Range) -> bool:
    return low.version == high.version and low.last + 1 == high.first
