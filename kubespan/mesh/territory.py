"""Who claims which addresses, and who has them: of several claimants the one with the smallest id.

Kept are the claims, and who has what; not who else wants it, of which there may be a thousand for
every address: who loses is looked up where it is asked for. A change costs what it touches. Where
that would be more than sharing out everything anew, everything is; what comes out is the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from kubespan.mesh.holdings import Holdings, Move
from kubespan.mesh.line import Bounds, address_range, bounds, common, overlap, pairs, union, without
from kubespan.model.ipset import IPSet, Range

LOOK_UPS_PER_RANGE: Final = 12
"""In the time in which one range is shared out anew, about as many claims are searched for one."""


@dataclass(frozen=True, slots=True)
class Concerned:
    """Whom it concerns that addresses have changed hands. It may be said of too many."""

    owners: frozenset[str] = frozenset()
    """They have more or less than before."""

    claimants: frozenset[str] = frozenset()
    """They claim what has changed hands, or is of somebody who is called otherwise."""


@dataclass(slots=True)
class Territory:
    """The claims of all members, by their ids."""

    _claims: dict[str, Bounds] = field(default_factory=dict)
    _holdings: Holdings = field(default_factory=Holdings)

    def change(
        self, wanted: Mapping[str, IPSet], renamed: Collection[str] = frozenset()
    ) -> Concerned:
        """Let some members claim something else than before, and some be called otherwise."""
        now = {node_id: bounds(claim) for node_id, claim in wanted.items()}
        former = {node_id: self._claims.get(node_id, []) for node_id in now}
        self._claims = {one: claim for one, claim in (self._claims | now).items() if claim}
        released = {one: without(former[one], now[one]) for one in now}
        gained = {one: without(now[one], former[one]) for one in now}
        if self._look_ups(released, gained) <= LOOK_UPS_PER_RANGE * self._ranges():
            return self._adjust(released, gained, renamed)
        self._holdings = Holdings.shared_out(self._claims)
        everybody = frozenset(self._claims.keys() | now.keys())
        return Concerned(everybody, everybody)

    def granted(self, node_ids: Collection[str]) -> dict[str, IPSet]:
        """Return what some members have of their claims, in one go over all pieces."""
        ranges: dict[str, list[Range]] = {node_id: [] for node_id in node_ids}
        for begin, end, owner in self._holdings.parts():
            if owner is not None and owner in ranges:
                ranges[owner].append(address_range(begin, end))
        return {node_id: IPSet(tuple(pieces)) for node_id, pieces in ranges.items()}

    def owners(self, node_id: str) -> Iterator[str]:
        """Give who has the rest of a member's claim, each once, in order of addresses."""
        everybody = self._holdings.owners_in(self._claims.get(node_id, []))
        return (owner for owner in everybody if owner != node_id)

    def kept(self) -> int:
        """Return how many numbers are kept: what memory this takes."""
        return 2 * self._ranges() + len(self._holdings.begins)

    def _ranges(self) -> int:
        return sum(map(len, self._claims.values())) // 2

    def _look_ups(self, released: Mapping[str, Bounds], gained: Mapping[str, Bounds]) -> int:
        """Return about what changes cost: all claims are searched for what becomes free."""
        found = 0
        for change, searched in ((released, len(self._claims)), (gained, 0)):
            for node_id, parts in change.items():
                for begin, end in pairs(parts):
                    pieces = self._holdings.pieces(begin, end)
                    owners = self._holdings.owners[pieces.start : pieces.stop]
                    found += len(pieces) + searched * owners.count(node_id)
        return found

    def _adjust(
        self,
        released: Mapping[str, Bounds],
        gained: Mapping[str, Bounds],
        renamed: Collection[str],
    ) -> Concerned:
        """Change who has what where that may be another now."""
        moves: list[Move] = []
        for node_id, parts in released.items():
            moves += self._holdings.free(parts, node_id)
        free = union(move[:2] for move in moves)
        for node_id, parts in gained.items():
            moves += self._holdings.take(parts, node_id)
        claimants = self._claimants([move[:2] for move in moves] + self._held_by(renamed))
        moves += self._hand_out(free, claimants)
        owners = {owner for move in moves for owner in move[2:] if owner is not None}
        return Concerned(frozenset(owners), claimants)

    def _held_by(self, node_ids: Collection[str]) -> list[tuple[int, int]]:
        if not node_ids:
            return []
        return [(begin, end) for begin, end, owner in self._holdings.parts() if owner in node_ids]

    def _claimants(self, parts: list[tuple[int, int]]) -> frozenset[str]:
        """Return who claims any of it."""
        where = union(parts)
        return frozenset(one for one, claim in self._claims.items() if overlap(where, claim))

    def _hand_out(self, free: Bounds, claimants: Collection[str]) -> list[Move]:
        """Give what is free to its claimants, in order, until nothing is left of it."""
        moves: list[Move] = []
        for node_id in sorted(claimants):
            if not free:
                break
            part = common(free, self._claims[node_id])
            moves += self._holdings.take(part, node_id)
            free = without(free, part)
        return moves
