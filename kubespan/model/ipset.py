"""Exact sets of IP addresses: what sets do, and the least list of prefixes that says the same.

A set is a sorted tuple of ranges that neither touch nor overlap, IPv4 before IPv6. Values only.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from kubespan.model.address import IPAddress, Prefix


class Range(NamedTuple):
    """All addresses of one version from `first` to `last`, both included, as numbers."""

    version: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class IPSet:
    """A set of addresses. Build it with `of`; operators give new sets."""

    ranges: tuple[Range, ...] = ()

    @classmethod
    def of(cls, *prefixes: Prefix) -> IPSet:
        """The addresses of all these prefixes together."""
        return cls.joined(sorted(prefix_range(prefix) for prefix in prefixes))

    @classmethod
    def joined(cls, ranges: Iterable[Range]) -> IPSet:
        """The addresses of all these ranges together; they are in ascending order."""
        return cls(tuple(_joined(ranges)))

    def prefixes(self) -> tuple[Prefix, ...]:
        """The fewest prefixes that hold exactly this set, in ascending order, IPv4 first."""
        return tuple(prefix for piece in self.ranges for prefix in range_prefixes(piece))

    def overlaps(self, other: IPSet) -> bool:
        """Whether any address is in both."""
        return any(self._touching(piece) for piece in other.ranges)

    def size(self, version: int) -> int:
        """How many addresses of a version are in it."""
        return sum(one.last - one.first + 1 for one in self.ranges if one.version == version)

    def __or__(self, other: IPSet) -> IPSet:
        return IPSet.joined(sorted(self.ranges + other.ranges))

    def __sub__(self, other: IPSet) -> IPSet:
        return IPSet(tuple(rest for piece in self.ranges for rest in other.cut_out_of(piece)))

    def __and__(self, other: IPSet) -> IPSet:
        return IPSet(tuple(_shared(self.ranges, other.ranges)))

    def __contains__(self, address: IPAddress) -> bool:
        value = int(address)
        return bool(self._touching(Range(address.version, value, value)))

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def cut_out_of(self, piece: Range) -> Iterator[Range]:
        """What is left of a range without this set, ascending."""
        first = piece.first
        for hole in self._touching(piece):
            if first < hole.first:
                yield Range(piece.version, first, hole.first - 1)
            first = hole.last + 1
        if first <= piece.last:
            yield Range(piece.version, first, piece.last)

    def _touching(self, piece: Range) -> tuple[Range, ...]:
        """Our ranges that share an address with this one."""
        end = bisect_right(self.ranges, Range(piece.version, piece.last, 1 << 128))
        begin = end
        while begin and _overlap(self.ranges[begin - 1], piece):
            begin -= 1
        return self.ranges[begin:end]


def prefix_range(prefix: Prefix) -> Range:
    """The addresses of one prefix."""
    bits = (32 if prefix.version == 4 else 128) - prefix.length
    return Range(prefix.version, prefix.value, prefix.value | ((1 << bits) - 1))


def range_prefixes(piece: Range) -> Iterator[Prefix]:
    """The fewest prefixes that make up a range, in ascending order."""
    width = 32 if piece.version == 4 else 128
    first = piece.first
    while first <= piece.last:
        aligned = (first & -first).bit_length() - 1 if first else width
        bits = min(aligned, (piece.last - first + 1).bit_length() - 1)
        yield Prefix(piece.version, first, width - bits)
        first += 1 << bits


def host_prefix(address: IPAddress) -> Prefix:
    """The prefix that holds this address alone."""
    return Prefix(address.version, int(address), address.max_prefixlen)


def _overlap(one: Range, other: Range) -> bool:
    return one.version == other.version and one.first <= other.last and other.first <= one.last


def _joined(ranges: Iterable[Range]) -> Iterator[Range]:
    """Sorted ranges with those that touch made one."""
    joined: Range | None = None
    for piece in ranges:
        if joined is None:
            joined = piece
        elif piece.version == joined.version and piece.first <= joined.last + 1:
            joined = Range(joined.version, joined.first, max(joined.last, piece.last))
        else:
            yield joined
            joined = piece
    if joined is not None:
        yield joined


def _shared(ones: tuple[Range, ...], others: tuple[Range, ...]) -> Iterator[Range]:
    """What two ascending lists have in common, ascending."""
    i = j = 0
    while i < len(ones) and j < len(others):
        one, other = ones[i], others[j]
        if one == other:  # nearly all of two plans that follow each other
            yield one
            i, j = i + 1, j + 1
            continue
        if _overlap(one, other):
            yield Range(one.version, max(one.first, other.first), min(one.last, other.last))
        if (one.version, one.last) < (other.version, other.last):
            i += 1
        else:
            j += 1
