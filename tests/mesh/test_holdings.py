"""Who has which part of the line, against a table of numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kubespan.mesh.holdings import Holdings
from kubespan.mesh.line import Bounds, union

ids = st.sampled_from("abcd")
sets = st.sets(st.integers(0, 60), max_size=50)
changes = st.lists(st.tuples(ids, st.sampled_from(["take", "free"]), sets), max_size=9)


def of(numbers: set[int]) -> Bounds:
    return union((number, number + 1) for number in numbers)


def table(holdings: Holdings) -> dict[int, str]:
    return {
        number: owner
        for begin, end, owner in holdings.parts()
        if owner is not None
        for number in range(begin, end)
    }


@given(history=changes, asked=sets)
def test_what_is_taken_and_freed(history: list[tuple[str, str, set[int]]], asked: set[int]) -> None:
    holdings, owners = Holdings(), dict[int, str]()
    for node_id, what, numbers in history:
        former = dict(owners)
        for number in numbers:
            owner = owners.get(number, node_id)
            if what == "take":
                owners[number] = min(owner, node_id)
            elif owner == node_id:
                owners.pop(number, None)
        moves = getattr(holdings, what)(of(numbers), node_id)
        assert table(holdings) == owners
        assert {n: (m.before, m.after) for m in moves for n in range(m.begin, m.end)} == {
            number: (former.get(number), owners.get(number))
            for number in numbers
            if former.get(number) != owners.get(number)
        }
    assert all(
        one != other for one, other in zip(holdings.owners, holdings.owners[1:], strict=False)
    )
    found = (owners[number] for number in sorted(asked) if number in owners)
    assert list(holdings.owners_in(of(asked))) == list(dict.fromkeys(found))


@given(claims=st.dictionaries(ids, sets))
def test_sharing_out_is_as_if_all_had_taken(claims: dict[str, set[int]]) -> None:
    one_by_one = Holdings()
    for node_id, numbers in claims.items():
        one_by_one.take(of(numbers), node_id)
    assert Holdings.shared_out({one: of(numbers) for one, numbers in claims.items()}) == one_by_one
