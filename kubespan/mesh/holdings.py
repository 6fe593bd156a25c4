"""Who has which part of the line of addresses: pieces that follow each other, each somebody's.

Only who has a piece is kept, and pieces of one owner that touch are one. So there are never more
of them than places where a claim begins or ends, and the same holdings are always the same pieces.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Final, NamedTuple, TypeAlias

from kubespan.mesh.line import END, Bounds, pairs

Owner: TypeAlias = str | None
"""An id; None of what is nobody's."""


STRETCH: Final = 32
"""Bounds that are passed over at once where nobody new can have anything between them."""


class Move(NamedTuple):
    """A part of the line that has changed hands."""

    begin: int
    end: int
    before: Owner
    after: Owner


@dataclass(slots=True)
class Holdings:
    """The pieces, from one end of the line to the other."""

    begins: list[int] = field(default_factory=lambda: [0])
    """Each piece ends where the next one begins. Behind the last one there are no addresses."""

    owners: list[Owner] = field(default_factory=lambda: [None])
    """As many. Change neither from outside."""

    @classmethod
    def shared_out(cls, claims: Mapping[str, Bounds]) -> Holdings:
        """Give everything to the smallest id that claims it, in time of all claims' ranges."""
        return cls._of(_joined(_steps(claims)))

    def pieces(self, begin: int, end: int) -> range:
        """Return which pieces have a part in a range."""
        return range(bisect_right(self.begins, begin) - 1, bisect_left(self.begins, end))

    def owners_in(self, of: Bounds) -> Iterator[str]:
        """Give who has something, each owner once, in order of addresses."""
        seen: set[Owner] = {None}
        for at in range(0, len(of), STRETCH):
            stretch = of[at : at + STRETCH]
            if not self._are_all(self.pieces(stretch[0], stretch[-1]), seen):
                for owner in self._owners_along(stretch):
                    if owner is not None and owner not in seen:
                        seen.add(owner)
                        yield owner

    def _are_all(self, pieces: range, seen: set[Owner]) -> bool:
        """Whether pieces are known to be of some owners; not asked of more than is worth it."""
        if len(pieces) > 2 * STRETCH:
            return False
        return seen.issuperset(self.owners[pieces.start : pieces.stop])

    def _owners_along(self, of: Bounds) -> Iterator[Owner]:
        for begin, end in pairs(of):
            for index in self.pieces(begin, end):
                yield self.owners[index]

    def parts(self) -> Iterator[tuple[int, int, Owner]]:
        """Give where each piece begins, where it has ended, and whose it is."""
        return zip(self.begins, [*self.begins[1:], END], self.owners, strict=True)

    def free(self, of: Bounds, node_id: str) -> list[Move]:
        """Take away from one what it has of something."""
        return self._change(of, lambda owner: None if owner == node_id else owner)

    def take(self, of: Bounds, node_id: str) -> list[Move]:
        """Give to one what is free of something, or is a larger id's."""
        return self._change(
            of, lambda owner: node_id if owner is None or owner > node_id else owner
        )

    def _change(self, of: Bounds, change: Callable[[Owner], Owner]) -> list[Move]:
        moves = []
        for begin, end in pairs(of):
            pieces = self.pieces(begin, end)
            before = self.owners[pieces.start : pieces.stop]
            after = list(map(change, before))
            if after != before:
                begins = [begin, *self.begins[pieces.start + 1 : pieces.stop]]
                ends = [*begins[1:], end]
                found = map(Move, begins, ends, before, after)
                moves += [move for move in found if move.before != move.after]
                self._replace(pieces, zip([*begins, end], [*after, before[-1]], strict=True))
        return moves

    def _replace(self, pieces: range, steps: Iterable[tuple[int, Owner]]) -> None:
        """Put other pieces where some were, as they go on behind the last one, too."""
        low, high = max(pieces.start - 1, 0), pieces.stop + 1
        around = [
            *zip(self.begins[low : pieces.start + 1], self.owners[low:], strict=False),
            *steps,
            *zip(self.begins[pieces.stop : high], self.owners[pieces.stop : high], strict=True),
        ]
        now = self._of(_joined(around))
        self.begins[low:high], self.owners[low:high] = now.begins, now.owners

    @classmethod
    def _of(cls, steps: Iterable[tuple[int, Owner]]) -> Holdings:
        begins, owners = zip(*steps, strict=True)
        return cls(list(begins), list(owners))


def _joined(steps: Iterable[tuple[int, Owner]]) -> list[tuple[int, Owner]]:
    """Return as few steps as may be; of those at one place, the last is meant."""
    joined: list[tuple[int, Owner]] = []
    for begin, owner in steps:
        if joined and joined[-1][0] == begin:
            joined.pop()
        if not joined or joined[-1][1] != owner:
            joined.append((begin, owner))
    return joined


def _steps(claims: Mapping[str, Bounds]) -> Iterator[tuple[int, Owner]]:
    """Go along the line, with those at hand whose ranges have begun; the smallest id is first."""
    begun: list[tuple[str, int]] = []
    at = 0
    for begin, node_id, end in [*_in_order(claims), (END, "", END)]:
        while at < begin and begun:
            owner, until = begun[0]
            if until <= at:
                heappop(begun)
            else:
                yield at, owner
                at = min(until, begin)
        if at < begin or not begun:
            yield at, None
        at = begin
        heappush(begun, (node_id, end))


def _in_order(claims: Mapping[str, Bounds]) -> list[tuple[int, str, int]]:
    return sorted(
        (begin, node_id, end) for node_id, claim in claims.items() for begin, end in pairs(claim)
    )
