"""Sets as bounds on one line, against sets of numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kubespan.mesh.line import (
    Bounds,
    address_range,
    bounds,
    common,
    overlap,
    pairs,
    union,
    without,
)
from kubespan.model.address import Prefix
from kubespan.model.ipset import IPSet

sets = st.sets(st.integers(0, 40), max_size=20)


def of(numbers: set[int]) -> Bounds:
    return union((number, number + 1) for number in numbers)


@given(one=sets, other=sets)
def test_bounds_against_numbers(one: set[int], other: set[int]) -> None:
    assert common(of(one), of(other)) == of(one & other)
    assert without(of(one), of(other)) == of(one - other)
    assert overlap(of(one), of(other)) == bool(one & other)


@given(ranges=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=9))
def test_a_union_of_what_overlaps(ranges: list[tuple[int, int]]) -> None:
    numbers = {number for begin, size in ranges for number in range(begin, begin + size)}
    assert union((begin, begin + size) for begin, size in ranges) == of(numbers)


def test_addresses_there_and_back() -> None:
    texts = ("0.0.0.0/32", "10.0.0.0/8", "255.255.255.255/32", "::/128", "fd00::/8", "ffff::/16")
    addresses = IPSet.of(*map(Prefix.parse, texts))
    back = IPSet(tuple(address_range(*pair) for pair in pairs(bounds(addresses))))
    assert back == addresses
