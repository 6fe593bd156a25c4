"""One affiliate: what joins, what replaces, what expires."""

from __future__ import annotations

import math

import pytest

from kubespan.discovery.record import AffiliateRecord
from kubespan.discovery.server.entry import CHARACTER_COST, ENDPOINT_COST, ENTRY_COST, Entry, Merge
from kubespan.discovery.server.journal import Saved

MANY = tuple(number.to_bytes(4, "big") for number in range(70))
SILENT, NEWS, CUT = Merge(False, False), Merge(True, False), Merge(False, True)
CUT_NEWS = Merge(True, True)


def entry(data: bytes = b"", endpoints: tuple[bytes, ...] = (), expires_at: float = 10.0) -> Entry:
    made = Entry("a", 0.0)
    made.merge(data, endpoints, expires_at)
    return made


@pytest.mark.parametrize(
    ("data", "endpoints", "at", "merge", "expires_at", "known"),
    [
        (b"", (), 20.0, SILENT, 20.0, {b"e": 10.0}),  # an empty update keeps it alive
        (b"", (), 5.0, SILENT, 10.0, {b"e": 10.0}),  # and never shortens
        (b"d", (), 20.0, NEWS, 20.0, {b"e": 10.0}),  # even the same data is news
        (b"x", (), 5.0, NEWS, 5.0, {b"e": 10.0}),  # data shortens; endpoints do not hold it back
        (b"", (b"e",), 20.0, SILENT, 20.0, {b"e": 20.0}),  # known endpoints live longer, silently
        (b"", (b"e",), 5.0, SILENT, 10.0, {b"e": 10.0}),  # and never shorter
        (b"", (b"f",), 5.0, NEWS, 10.0, {b"e": 10.0, b"f": 5.0}),
        (b"", (b"f", b"e", b""), 20.0, NEWS, 20.0, {b"e": 20.0, b"f": 20.0, b"": 20.0}),
        (b"", (b"f", b"f"), 20.0, NEWS, 20.0, {b"e": 10.0, b"f": 20.0}),  # repeated: once
    ],
)
def test_merge(
    data: bytes,
    endpoints: tuple[bytes, ...],
    at: float,
    merge: Merge,
    expires_at: float,
    known: dict[bytes, float],
) -> None:
    old = entry(b"d", (b"e",), 10.0)
    assert old.merge(data, endpoints, at) == merge
    assert old.expires_at == expires_at
    assert list(old.endpoints.items()) == list(known.items())
    assert old.data == (data or b"d")
    assert old.due_at == min(10.0, at)


def test_nothing_is_due_before_what_was_merged() -> None:
    assert Entry("a", 0.0).due_at == math.inf
    assert entry(b"d", (b"e",), 10.0).due_at == 10.0
    full = Entry("a", 0.0)
    full.merge(b"", MANY, 10.0)
    assert full.due_at == 0.0  # it was cut, so nothing keeps the affiliate itself


@pytest.mark.parametrize(
    ("data", "endpoints", "merge", "expires_at", "count"),
    [
        (b"", MANY[:64], NEWS, 20.0, 64),
        (b"", MANY[:65], CUT_NEWS, 10.0, 64),  # not raised for the endpoints' sake
        (b"x", MANY[:65], CUT_NEWS, 20.0, 64),  # but replaced for the data's
        (b"", MANY, CUT_NEWS, 10.0, 64),
    ],
)
def test_sixty_four_endpoints_fit(
    data: bytes, endpoints: tuple[bytes, ...], merge: Merge, expires_at: float, count: int
) -> None:
    new = entry()
    assert new.merge(data, endpoints, 20.0) == merge
    assert new.expires_at == expires_at
    assert list(new.endpoints) == list(MANY[:count])


def test_known_endpoints_before_the_cut_live_longer_and_those_after_do_not() -> None:
    full = entry(b"d", MANY[:64], 10.0)
    assert full.merge(b"", (MANY[1], b"too many", MANY[2]), 20.0) == CUT
    assert (full.endpoints[MANY[1]], full.endpoints[MANY[2]]) == (20.0, 10.0)
    assert full.expires_at == 10.0
    assert full.merge(b"", MANY[:64], 30.0) == SILENT  # all known: nothing is cut
    assert full.expires_at == 30.0


def test_expire_drops_what_is_before_now() -> None:
    old = entry(b"d", (b"e",), 10.0)
    old.merge(b"", (b"f",), 20.0)
    record = old.record
    assert old.expire(10.0) == 0
    assert old.record is record
    assert old.due_at == 10.0
    assert old.expire(10.5) == 1
    assert old.record == AffiliateRecord("a", b"d", (b"f",))
    assert old.due_at == 20.0
    old.merge(b"", (), 30.0)
    assert old.expire(20.5) == 1
    assert old.due_at == old.expires_at == 30.0


def test_what_was_refreshed_is_due_later() -> None:
    old = entry(b"d", (b"e",), 10.0)
    old.merge(b"", (b"e",), 20.0)
    assert old.due_at == 10.0
    assert old.expire(15.0) == 0
    assert old.due_at == 20.0


def test_record_is_made_once_a_change() -> None:
    old = entry(b"d", (b"e",))
    record = old.record
    old.merge(b"", (b"e",), 20.0)
    assert old.record is record == AffiliateRecord("a", b"d", (b"e",))
    old.merge(b"d", (), 20.0)
    assert old.record == record
    old.merge(b"", (b"f",), 20.0)
    assert old.record == AffiliateRecord("a", b"d", (b"e", b"f"))


def test_cost_follows_what_is_kept() -> None:
    old = entry(b"data", (b"e", b"ff"), 10.0)
    assert old.cost == ENTRY_COST + CHARACTER_COST + 4 + 2 * ENDPOINT_COST + 3
    old.merge(b"d", (), 20.0)
    assert old.cost == ENTRY_COST + CHARACTER_COST + 1 + 2 * ENDPOINT_COST + 3
    old.expire(15.0)
    assert old.cost == ENTRY_COST + CHARACTER_COST + 1


@pytest.mark.parametrize(
    ("data", "endpoints", "growth"),
    [
        (b"", (), 0),
        (b"", (b"e",), 0),
        (b"x", (), -3),
        (b"longer", (b"new",), 2 + ENDPOINT_COST + 3),
    ],
)
def test_growth_foretells_the_cost(data: bytes, endpoints: tuple[bytes, ...], growth: int) -> None:
    old = entry(b"data", (b"e",), 10.0)
    before = old.cost
    assert old.growth(data, endpoints) == growth
    old.merge(data, endpoints, 10.0)
    assert old.cost - before == growth


def test_saved_and_restored() -> None:
    old = entry(b"d", (b"e",), 10.0)
    old.merge(b"", (b"f",), 5.0)
    saved = old.saved("c")
    assert saved == Saved("c", "a", b"d", 10.0, ((b"e", 10.0), (b"f", 5.0)))
    new = Entry.restored(saved)
    assert new.saved("c") == saved
    assert new.record == old.record
    assert (new.cost, new.due_at) == (old.cost, 5.0)
