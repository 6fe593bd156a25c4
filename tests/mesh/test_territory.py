"""Who has which addresses: the smallest id of those that claim them, whatever came before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kubespan.mesh.territory import Concerned, Territory
from kubespan.model.address import Prefix
from kubespan.model.ipset import IPSet, Range

NOTHING = IPSet()


def ipset(*texts: str) -> IPSet:
    return IPSet.of(*map(Prefix.parse, texts))


def share(territory: Territory, node_id: str, claimed: IPSet) -> tuple[IPSet, list[str]]:
    """Return what it has of its claim, and who has the rest."""
    return territory.granted(claimed, node_id), list(territory.owners(claimed, node_id))


def test_the_smallest_id_has_what_several_claim() -> None:
    territory = Territory()
    a, b, c = (
        ipset("10.0.0.192/26"),
        ipset("10.0.0.0/24"),
        ipset("10.0.0.128/25", "10.0.1.0/24"),
    )
    for node_id, claimed in (("b", b), ("c", c), ("a", a)):
        territory.claim(claimed, node_id)
    assert share(territory, "a", a) == (a, [])
    assert share(territory, "b", b) == (ipset("10.0.0.0/25", "10.0.0.128/26"), ["a"])
    assert share(territory, "c", c) == (ipset("10.0.1.0/24"), ["b", "a"])


def test_what_is_released_goes_to_the_next() -> None:
    territory = Territory()
    for node_id in "abc":
        territory.claim(ipset("10.0.0.0/24", "fd00::/64"), node_id)
    territory.release(ipset("10.0.0.0/25"), "b")
    territory.release(ipset("10.0.0.0/25", "fd00::/64"), "a")
    all_of_it = ipset("10.0.0.0/24", "fd00::/64")
    assert share(territory, "c", all_of_it) == (ipset("10.0.0.0/25"), ["a", "b"])


def test_who_is_concerned() -> None:
    """Those that have more or less than before; and those that lost to somebody else."""
    territory = Territory()
    for node_id in "bcd":
        territory.claim(ipset("10.0.0.0/24"), node_id)
    territory.claim(ipset("10.0.1.0/24"), "e")
    territory.take_concerned()
    territory.release(ipset("10.0.0.0/24"), "c")
    assert territory.take_concerned() == Concerned()
    territory.claim(ipset("10.0.0.7/32"), "a")
    assert territory.take_concerned() == Concerned({"a", "b"}, {"a", "b", "d"})
    territory.rename(ipset("10.0.0.0/24"), "d")
    assert territory.take_concerned() == Concerned()
    territory.rename(ipset("10.0.0.0/24"), "b")
    assert territory.take_concerned() == Concerned(set(), {"b", "d"})


def test_the_first_and_the_last_address() -> None:
    territory = Territory()
    everything = ipset("0.0.0.0/0", "::/0")
    territory.claim(everything, "b")
    territory.claim(ipset("255.255.255.255/32", "::/128"), "a")
    assert share(territory, "b", everything)[1] == ["a"]
    territory.release(ipset("255.255.255.255/32", "::/128"), "a")
    assert share(territory, "b", everything) == (everything, [])


few = st.lists(
    st.tuples(st.sampled_from([4, 6]), st.integers(0, 30), st.integers(0, 8)), max_size=3
).map(
    lambda pieces: IPSet.joined(
        sorted(Range(version, first, first + more) for version, first, more in pieces)
    )
)
histories = st.lists(st.tuples(st.sampled_from("abcd"), few), max_size=12)


def addresses(claimed: IPSet) -> set[tuple[int, int]]:
    return {(p.version, n) for p in claimed.ranges for n in range(p.first, p.last + 1)}


@given(history=histories)
def test_claims_against_a_table_of_addresses(history: list[tuple[str, IPSet]]) -> None:
    """After every change shares are as a table says, and whoever was not concerned kept its own."""
    territory = Territory()
    claims: dict[str, IPSet] = {}
    for node_id, now in history:
        before = {one: share(territory, one, claimed) for one, claimed in claims.items()}
        former = claims.get(node_id, NOTHING)
        territory.release(former - now, node_id)
        territory.claim(now - former, node_id)
        concerned = territory.take_concerned()
        claims[node_id] = now
        owner: dict[tuple[int, int], str] = {}
        for one in sorted(claims):
            for address in addresses(claims[one]):
                owner.setdefault(address, one)
        for one, claimed in claims.items():
            granted, others = share(territory, one, claimed)
            wanted = addresses(claimed)
            assert addresses(granted) == {address for address in wanted if owner[address] == one}
            losses = [owner[address] for address in sorted(wanted) if owner[address] != one]
            assert others == list(dict.fromkeys(losses))
            if one != node_id:
                assert one in concerned.owners or before[one][0] == granted
                assert one in concerned.claimants or before[one][1] == others


@given(history=histories)
def test_nothing_remains_of_what_was(history: list[tuple[str, IPSet]]) -> None:
    """A member that keeps changing its claim must not leave more and more pieces behind."""
    territory, claims = Territory(), dict.fromkeys("abcd", NOTHING)
    for node_id, now in history:
        territory.release(claims[node_id] - now, node_id)
        territory.claim(now - claims[node_id], node_id)
        claims[node_id] = now
    anew = Territory()
    for node_id, claimed in claims.items():
        anew.claim(claimed, node_id)
    assert territory == anew
    for node_id, claimed in claims.items():
        territory.release(claimed, node_id)
    assert territory == Territory()
