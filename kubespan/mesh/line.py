"""Sets of addresses as bare numbers on one line, which `bisect` searches without a call of ours.

A set is the places where its ranges begin and where each has ended, in turn, ascending: an address
is in it if it lies behind an odd number of them. IPv4 comes first, then IPv6; between the two is a
gap, so that no range reaches from one into the other.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final, TypeAlias

from kubespan.model.ipset import IPSet, Range

Bounds: TypeAlias = list[int]

FIRST: Final = {4: 0, 6: 1 << 33}
"""Where the addresses of a version begin."""

END: Final = 1 << 129
"""Behind all of them."""


def bounds(addresses: IPSet) -> Bounds:
    """Return a set of addresses as bounds."""
    return [
        bound
        for version, first, last in addresses.ranges
        for bound in (FIRST[version] + first, FIRST[version] + last + 1)
    ]


def address_range(begin: int, end: int) -> Range:
    """Return what a part of the line is as addresses; it is all of one version."""
    version = 6 if begin >= FIRST[6] else 4
    return Range(version, begin - FIRST[version], end - FIRST[version] - 1)


def pairs(of: Bounds) -> Iterator[tuple[int, int]]:
    """Give where each range begins and where it has ended."""
    return zip(of[::2], of[1::2], strict=True)


def union(ranges: Iterable[tuple[int, int]]) -> Bounds:
    """Return the bounds of ranges in any order, which may overlap."""
    joined: Bounds = []
    for begin, end in sorted(ranges):
        if joined and begin <= joined[-1]:
            joined[-1] = max(joined[-1], end)
        else:
            joined += begin, end
    return joined


def common(one: Bounds, other: Bounds) -> Bounds:
    """Return what is in both."""
    few, many = sorted((one, other), key=len)
    return list(chain.from_iterable(_inside(begin, end, many) for begin, end in pairs(few)))


def without(one: Bounds, other: Bounds) -> Bounds:
    """Return what is in the first alone."""
    return common(one, [-1, *other, END]) if one and other else one


def overlap(one: Bounds, other: Bounds) -> bool:
    """Whether anything is in both."""
    few, many = (one, other) if len(one) < len(other) else (other, one)
    for begin, end in pairs(few):
        index = bisect_right(many, begin)
        if index & 1 or (index < len(many) and many[index] < end):
            return True
    return False


def _inside(begin: int, end: int, of: Bounds) -> Bounds:
    """Return what of a set lies in a range."""
    low, high = bisect_right(of, begin), bisect_left(of, end)
    return [*([begin] if low & 1 else ()), *of[low:high], *([end] if high & 1 else ())]
