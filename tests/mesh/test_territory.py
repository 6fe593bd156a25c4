"""Who has which addresses: the smallest id of those that claim them, whatever came before."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.mesh import territory as module
from kubespan.mesh.territory import Concerned, Territory
from kubespan.model.address import Prefix
from kubespan.model.ipset import IPSet, Range

NOTHING = IPSet()


def ipset(*texts: str) -> IPSet:
    return IPSet.of(*map(Prefix.parse, texts))


def share(territory: Territory, node_id: str) -> tuple[IPSet, list[str]]:
    """Return what it has of its claim, and who has the rest."""
    return territory.granted([node_id])[node_id], list(territory.owners(node_id))


def test_the_smallest_id_has_what_several_claim() -> None:
    territory = Territory()
    a, b, c = (
        ipset("10.0.0.192/26"),
        ipset("10.0.0.0/24"),
        ipset("10.0.0.128/25", "10.0.1.0/24"),
    )
    for node_id, claimed in (("b", b), ("c", c), ("a", a)):
        territory.change({node_id: claimed})
    assert share(territory, "a") == (a, [])
    assert share(territory, "b") == (ipset("10.0.0.0/25", "10.0.0.128/26"), ["a"])
    assert share(territory, "c") == (ipset("10.0.1.0/24"), ["b", "a"])


def test_what_is_released_goes_to_the_next() -> None:
    territory = Territory()
    for node_id in "abc":
        territory.change({node_id: ipset("10.0.0.0/24", "fd00::/64")})
    territory.change({"b": ipset("10.0.0.128/25", "fd00::/64")})
    territory.change({"a": ipset("10.0.0.128/25")})
    assert share(territory, "c") == (ipset("10.0.0.0/25"), ["a", "b"])


def test_who_is_concerned() -> None:
    """Those that have more or less than before; and those that lost to somebody else."""
    territory = Territory()
    crowd = {f"e{number}": ipset(f"10.0.{number}.0/24") for number in range(1, 9)}
    territory.change({**dict.fromkeys("bcd", ipset("10.0.0.0/24")), **crowd})
    assert territory.change({"c": NOTHING}) == Concerned()
    a, b, d = "a", "b", "d"
    new = territory.change({a: ipset("10.0.0.7/32")})
    assert new == Concerned(frozenset({a, b}), frozenset({a, b, d}))
    assert territory.change({}, {d}) == Concerned()
    assert territory.change({}, {b}) == Concerned(frozenset(), frozenset({b, d}))


def test_the_first_and_the_last_address() -> None:
    territory = Territory()
    everything, corners = ipset("0.0.0.0/0", "::/0"), ipset("255.255.255.255/32", "::/128")
    last = Prefix.parse("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128")
    corners |= IPSet.of(Prefix.parse("0.0.0.0/32"), last)
    territory.change({"b": everything})
    territory.change({"a": corners})
    assert share(territory, "a") == (corners, [])
    assert share(territory, "b") == (everything - corners, ["a"])
    territory.change({"a": NOTHING})
    assert share(territory, "b") == (everything, [])


few = st.lists(
    st.tuples(st.sampled_from([4, 6]), st.integers(0, 30), st.integers(0, 8)), max_size=3
).map(
    lambda pieces: IPSet.joined(
        sorted(Range(version, first, first + more) for version, first, more in pieces)
    )
)
many = st.sets(st.integers(0, 200), min_size=60).map(
    lambda firsts: IPSet.joined(Range(4, first, first) for first in sorted(firsts))
)
histories = st.lists(
    st.dictionaries(st.sampled_from("abcd"), few | many, min_size=1, max_size=3), max_size=8
)
always_or_never = pytest.mark.parametrize(
    "look_ups",
    [pytest.param(1 << 30, id="piece by piece"), pytest.param(-1, id="all of it anew"), 12],
)


def addresses(claimed: IPSet) -> set[tuple[int, int]]:
    return {(p.version, n) for p in claimed.ranges for n in range(p.first, p.last + 1)}


@always_or_never
@given(history=histories)
def test_claims_against_a_table_of_addresses(
    history: list[dict[str, IPSet]], look_ups: int
) -> None:
    """After every change shares are as a table says, and whoever was not concerned kept its own."""
    territory = Territory()
    claims: dict[str, IPSet] = {}
    for now in history:
        before = {one: share(territory, one) for one in claims}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "LOOK_UPS_PER_RANGE", look_ups)
            concerned = territory.change(now)
        claims |= now
        owner: dict[tuple[int, int], str] = {}
        for one in sorted(claims):
            for address in addresses(claims[one]):
                owner.setdefault(address, one)
        for one, claimed in claims.items():
            granted, others = share(territory, one)
            wanted = addresses(claimed)
            assert addresses(granted) == {address for address in wanted if owner[address] == one}
            losses = [owner[address] for address in sorted(wanted) if owner[address] != one]
            assert others == list(dict.fromkeys(losses))
            if one not in now:
                assert one in concerned.owners or before[one][0] == granted
                assert one in concerned.claimants or before[one][1] == others


@given(history=histories)
def test_nothing_remains_of_what_was(history: list[dict[str, IPSet]]) -> None:
    """A member that keeps changing its claim must not leave more and more pieces behind."""
    territory, claims = Territory(), dict.fromkeys("abcd", NOTHING)
    for now in history:
        territory.change(now)
        claims |= now
    anew = Territory()
    anew.change(claims)
    assert territory == anew
    ranges = sum(len(claimed.ranges) for claimed in claims.values())
    assert territory.kept() <= 4 * ranges + 1
    territory.change(dict.fromkeys(claims, NOTHING))
    assert territory == Territory()


# ------------------------------------------------- many claim one network, each with many holes


def with_holes(number: int, shift: int = 0) -> IPSet:
    """10.0.0.0/8, but for 40 addresses that nobody else leaves out."""
    holes = (0x0A000000 + 2 * (1000 * hole + number) + shift for hole in range(40))
    return ipset("10.0.0.0/8") - IPSet.of(*(Prefix(4, hole, 32) for hole in holes))


def crowd(size: int) -> dict[str, IPSet]:
    return {f"{number:03}": with_holes(number) for number in range(size)}


def calls(work: Callable[[], object]) -> int:
    """Count the calls of functions, native ones among them, that some work takes."""
    count = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def everybody(territory: Territory, size: int) -> None:
    """Ask what a planner asks after a change that concerns all."""
    territory.granted(list(crowd(size)))
    for number in range(size):
        list(territory.owners(f"{number:03}"))


def test_memory_of_a_hostile_crowd_grows_with_its_claims() -> None:
    territory, ranges = Territory(), 0
    for node_id, claimed in crowd(100).items():
        territory.change({node_id: claimed})
        ranges += len(claimed.ranges)
        assert territory.kept() <= 2 * ranges + 200


@pytest.mark.parametrize("happens", ["all join", "one has other holes", "one gives up"])
def test_work_for_a_hostile_crowd_grows_with_its_claims(happens: str) -> None:
    """Twice as many members are twice the work, be it one that changes or all."""

    def work(size: int) -> int:
        territory = Territory()
        changes = {
            "all join": crowd(size),
            "one has other holes": {"000": with_holes(0, 1)},
            "one gives up": {"000": NOTHING},
        }
        if happens != "all join":
            territory.change(crowd(size))

        def change() -> None:
            territory.change(changes[happens])
            everybody(territory, size)

        return calls(change)

    assert work(200) < 2.5 * work(100)
