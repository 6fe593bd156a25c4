"""Allowed IPs: building the table of 130,560 prefixes, and looking addresses up in it."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from bench import native, prefixes
from kubespan.model.address import Prefix
from kubespan.wireguard.allowedips import AllowedIPs

LOOKUPS = 1_000
TABLES = (1, 1_000, prefixes.COUNT)

_fastpath = native.load()
needs_native = pytest.mark.skipif(_fastpath is None, reason="the native module is not built")
every_table = pytest.mark.parametrize("count", TABLES)


def _prefixes(count: int) -> list[Prefix]:
    return [Prefix.parse(text) for text in itertools.islice(prefixes.texts(), count)]


def _addresses(count: int) -> list[int]:
    found = random.Random(1)
    return [10 << 24 | found.randrange(count) for _ in range(LOOKUPS)]


def _native_routes(count: int) -> list[tuple[bytes, int, int]]:
    return [(prefix.packed(), prefix.length, 0) for prefix in _prefixes(count)]


def test_parse(benchmark: Any) -> None:
    texts = prefixes.texts()[:LOOKUPS]
    benchmark.group = f"parse {LOOKUPS} prefixes"
    assert len(benchmark(lambda: [Prefix.parse(text) for text in texts])) == LOOKUPS


@every_table
def test_pure_insert(benchmark: Any, count: int) -> None:
    benchmark.group = f"insert {count} prefixes"
    wanted = _prefixes(count)

    def insert_all() -> AllowedIPs[str]:
        table: AllowedIPs[str] = AllowedIPs()
        for prefix in wanted:
            table.insert(prefix, "peer")
        return table

    table = benchmark.pedantic(insert_all, rounds=3)
    assert table.lookup(4, 10 << 24) == "peer"


@every_table
def test_pure_lookup(benchmark: Any, count: int) -> None:
    benchmark.group = f"{LOOKUPS} lookups among {count} prefixes"
    table: AllowedIPs[str] = AllowedIPs()
    for prefix in _prefixes(count):
        table.insert(prefix, "peer")
    addresses = _addresses(count)
    assert set(benchmark(lambda: [table.lookup(4, address) for address in addresses])) == {"peer"}


@needs_native
@every_table
def test_native_build(benchmark: Any, count: int) -> None:
    assert _fastpath is not None
    benchmark.group = f"insert {count} prefixes"
    benchmark.pedantic(_fastpath.Routes, args=(_native_routes(count),), rounds=3)


@needs_native
@every_table
def test_native_lookup(benchmark: Any, count: int) -> None:
    assert _fastpath is not None
    benchmark.group = f"{LOOKUPS} lookups among {count} prefixes"
    table = _fastpath.Table()
    table.publish_routes(_native_routes(count))
    addresses = [address.to_bytes(4, "big") for address in _addresses(count)]
    assert set(benchmark(lambda: [table.lookup(address) for address in addresses])) == {0}
