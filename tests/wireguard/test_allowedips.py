"""Allowed IPs: ownership, and every lookup against a list that is searched through."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.model.address import Prefix
from kubespan.wireguard.allowedips import AllowedIPs


def lookup(table: AllowedIPs[str], address: str) -> str | None:
    parsed = ip_address(address)
    return table.lookup(parsed.version, int(parsed))


def table_of(**owners: str) -> AllowedIPs[str]:
    table: AllowedIPs[str] = AllowedIPs()
    for owner, prefixes in owners.items():
        for prefix in prefixes.split():
            table.insert(Prefix.parse(prefix), owner)
    return table


def test_the_longest_prefix_wins() -> None:
    table = table_of(a="10.0.0.0/8 0.0.0.0/0", b="10.1.0.0/16 ::/0", c="10.1.2.3/32 fd00::/8")
    assert [lookup(table, a) for a in ("192.0.2.1", "10.2.0.0", "10.1.2.4", "10.1.2.3")] == [
        *("a", "a", "b", "c")
    ]
    assert [lookup(table, a) for a in ("2001:db8::1", "fd12::1")] == ["b", "c"]


def test_versions_do_not_meet() -> None:
    table = table_of(a="0.0.0.0/0")
    assert lookup(table, "::a00:1") is None


def test_inserting_again_moves_a_prefix() -> None:
    table = table_of(a="10.0.0.0/8", b="10.0.0.0/8")
    assert lookup(table, "10.0.0.1") == "b"
    assert table.prefixes("a") == ()
    assert table.prefixes("b") == (Prefix.parse("10.0.0.0/8"),)


def test_inserting_twice_changes_nothing() -> None:
    table = table_of(a="10.0.0.0/8 10.0.0.0/8")
    assert list(table.entries()) == [(Prefix.parse("10.0.0.0/8"), "a")]


def test_removing_needs_the_owner() -> None:
    table = table_of(a="10.0.0.0/8")
    table.remove(Prefix.parse("10.0.0.0/8"), "b")
    table.remove(Prefix.parse("10.0.0.0/9"), "a")
    assert lookup(table, "10.0.0.1") == "a"
    table.remove(Prefix.parse("10.0.0.0/8"), "a")
    assert lookup(table, "10.0.0.1") is None
    assert list(table.entries()) == []


def test_removing_a_peer_uncovers_what_is_below() -> None:
    table = table_of(a="10.0.0.0/8 10.0.0.0/24", b="10.0.0.0/16")
    table.remove_peer("b")
    assert lookup(table, "10.0.1.1") == "a"
    table.remove_peer("a")
    assert lookup(table, "10.0.0.1") is None
    table.remove_peer("a")


def test_prefixes_keep_the_order_in_which_they_came() -> None:
    table = table_of(a="10.0.0.0/8 fd00::/8 10.0.0.0/32")
    assert [str(prefix) for prefix in table.prefixes("a")] == [
        *("10.0.0.0/8", "fd00::/8", "10.0.0.0/32")
    ]


class Naive:
    """A list of prefixes, searched through each time."""

    def __init__(self) -> None:
        self.owners: dict[Prefix, str] = {}

    def lookup(self, version: int, value: int) -> str | None:
        bits = 32 if version == 4 else 128
        matches = [
            (prefix.length, owner)
            for prefix, owner in self.owners.items()
            if prefix.version == version
            and value >> (bits - prefix.length) == prefix.value >> (bits - prefix.length)
        ]
        return max(matches)[1] if matches else None


@st.composite
def prefixes(draw: st.DrawFn) -> Prefix:
    """Draw prefixes that overlap often: few different high bits, any length."""
    version = draw(st.sampled_from((4, 6)))
    bits = 32 if version == 4 else 128
    length = draw(st.integers(0, bits))
    value = draw(st.integers(0, 15)) << (bits - 4) | draw(st.integers(0, 15))
    return Prefix(version, value >> (bits - length) << (bits - length), length)


changes = st.lists(
    st.tuples(
        st.sampled_from(("insert", "remove", "remove_peer")), prefixes(), st.sampled_from("abc")
    ),
    max_size=40,
)


@given(changes, st.lists(st.integers(0, 255), min_size=1, max_size=20))
def test_agrees_with_a_naive_model(steps: list[tuple[str, Prefix, str]], probes: list[int]) -> None:
    table: AllowedIPs[str] = AllowedIPs()
    naive = Naive()
    for step, prefix, owner in steps:
        if step == "insert":
            table.insert(prefix, owner)
            naive.owners[prefix] = owner
        elif step == "remove":
            table.remove(prefix, owner)
            if naive.owners.get(prefix) == owner:
                del naive.owners[prefix]
        else:
            table.remove_peer(owner)
            naive.owners = {p: o for p, o in naive.owners.items() if o != owner}
    assert dict(table.entries()) == naive.owners
    for probe in probes:
        for version, bits in ((4, 32), (6, 128)):
            value = (probe >> 4) << (bits - 4) | probe & 15
            assert table.lookup(version, value) == naive.lookup(version, value)


@pytest.mark.parametrize("count", [1, 8, 9, 20])
def test_few_and_many_prefixes_of_a_peer_are_kept_alike(count: int) -> None:
    table: AllowedIPs[str] = AllowedIPs()
    prefixes = [Prefix(4, n << 8, 24) for n in range(count)]
    for prefix in (*prefixes, *prefixes):
        table.insert(prefix, "alice")
    assert table.prefixes("alice") == tuple(prefixes)
    table.remove(prefixes[0], "alice")
    table.insert(prefixes[-1], "bob")
    table.insert(prefixes[0], "alice")
    expected = [prefix for prefix in (*prefixes[1:], prefixes[0]) if prefix != prefixes[-1]]
    assert table.prefixes("alice") == (tuple(expected) if count > 1 else (prefixes[0],))
    assert table.prefixes("bob") == ((prefixes[-1],) if count > 1 else ())
