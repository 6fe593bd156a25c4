"""The discovery server's state: what calls, watchers, collection, memory and the disk cost.

An affiliate is 300 bytes of data and four endpoints, two of IPv4 and two of IPv6. Figures with a
disk depend on where temporary files are: `TMPDIR` says. Memory is printed with `-s` and kept in
`extra_info`.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kubespan.discovery.server.continuity import Moment
from kubespan.discovery.server.groupcommit import GroupCommit
from kubespan.discovery.server.registry import Registry
from kubespan.discovery.server.storage import open_storage, read_boot_id
from kubespan.discovery.server.subscription import Subscription

AFFILIATES = 1_000
CLUSTERS = 200
WATCHERS = 200
CALLERS = 100
TTL = 1800.0
CLUSTER = "cluster"


def _update(registry: Registry, cluster: str, number: int, now: float = 0.0) -> None:
    data, address = os.urandom(300), os.urandom(14)
    endpoints = (b"4a" + address, b"4b" + address, bytes(16) + b"6a" + address, bytes(18) + address)
    registry.update(cluster, f"affiliate-{number}", data, endpoints, TTL, now)


def _full(clusters: int = 1, affiliates: int = AFFILIATES) -> Registry:
    registry = Registry()
    for cluster, number in itertools.product(range(clusters), range(affiliates)):
        _update(registry, CLUSTER if clusters == 1 else f"{CLUSTER}-{cluster}", number)
    return registry


@pytest.mark.parametrize("kind", ["first", "refresh", "endpoints"])
def test_update(benchmark: Any, kind: str) -> None:
    """1,000 affiliates appear, are sent again, or are kept alive by others."""
    benchmark.group = f"{AFFILIATES} updates"
    data = bytes(300)
    endpoints = [(f"{n:016}".encode(), f"{n:032}".encode()) for n in range(AFFILIATES)]
    registry = Registry() if kind == "first" else _full()

    def update_all() -> None:
        target = Registry() if kind == "first" else registry
        sent = b"" if kind == "endpoints" else data
        for number, each in enumerate(endpoints):
            target.update(CLUSTER, f"affiliate-{number}", sent, each, TTL, 0.0)

    benchmark(update_all)


@pytest.mark.parametrize("changed", [False, True], ids=["unchanged", "changed"])
def test_list(benchmark: Any, changed: bool) -> None:
    registry = _full()
    benchmark.group = f"list {AFFILIATES} affiliates"

    def list_all() -> int:
        if changed:
            registry.update(CLUSTER, "affiliate-0", b"new", (), TTL, 0.0)
        return len(registry.list(CLUSTER, 0.0))

    assert benchmark(list_all) == AFFILIATES


def test_watch(benchmark: Any) -> None:
    """Open a watch of 1,000 affiliates, take the snapshot, close it; one record has changed."""
    registry = _full()
    benchmark.group = f"watch {AFFILIATES} affiliates"

    def watch() -> int:
        registry.update(CLUSTER, "affiliate-0", b"new", (), TTL, 0.0)
        subscription = registry.watch(CLUSTER, 0.0)
        snapshot = subscription.take()
        subscription.close()
        assert snapshot is not None
        return len(snapshot.affiliates)

    assert benchmark(watch) == AFFILIATES


def test_fan_out(benchmark: Any) -> None:
    """1,000 affiliates change once each, and 200 watchers take every change."""
    benchmark.group = f"{AFFILIATES} changes to {WATCHERS} watchers"
    registry = _full()
    watchers = [registry.watch(CLUSTER, 0.0) for _ in range(WATCHERS)]
    for watcher in watchers:
        _take_all(watcher)

    def change_all() -> int:
        taken = 0
        for number in range(AFFILIATES):
            registry.update(CLUSTER, f"affiliate-{number}", b"new", (), TTL, 0.0)
            taken += sum(map(_take_all, watchers))
        return taken

    assert benchmark.pedantic(change_all, rounds=5) == AFFILIATES * WATCHERS


def _take_all(watcher: Subscription) -> int:
    return sum(1 for _ in iter(watcher.take, None))


def _nothing_due() -> tuple[Registry, float]:
    return _full(CLUSTERS), 60.0


def _all_looked_at() -> tuple[Registry, float]:
    registry = _full(CLUSTERS)
    for cluster, number in itertools.product(range(CLUSTERS), range(AFFILIATES)):
        known = registry.list(f"{CLUSTER}-{cluster}", 0.0)[number].endpoints
        registry.update(f"{CLUSTER}-{cluster}", f"affiliate-{number}", b"", known, TTL, 900.0)
    return registry, 1801.0


def _all_due() -> tuple[Registry, float]:
    return _full(CLUSTERS), 1801.0


@pytest.mark.parametrize("state", [_nothing_due, _all_looked_at, _all_due])
def test_collect(benchmark: Any, state: Callable[[], tuple[Registry, float]]) -> None:
    """Nothing can have expired; everything was refreshed and is looked at; everything expired."""
    benchmark.group = f"collect {CLUSTERS} clusters of {AFFILIATES}"

    def setup() -> tuple[tuple[float], dict[str, Any]]:
        registry, now = state()
        benchmark.extra_info["collect"] = registry.collect
        return (now,), {}

    def collect(now: float) -> Any:
        return benchmark.extra_info["collect"](now)

    collected = benchmark.pedantic(collect, setup=setup, rounds=3)
    del benchmark.extra_info["collect"]
    assert collected.affiliates == (CLUSTERS * AFFILIATES if state is _all_due else 0)


@pytest.mark.parametrize("endpoints", [0, 1, 4, 6, 11, 64])
def test_memory(benchmark: Any, endpoints: int) -> None:
    """What Python allocates for an affiliate, beside what the registry takes it to be."""
    benchmark.group = "memory for 2 clusters of 1,000"
    gc.collect()
    tracemalloc.start()
    registry = benchmark.pedantic(_filled, args=(endpoints,), rounds=1)
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    count = registry.counts.affiliates
    benchmark.extra_info.update(each=size // count, estimate=registry.memory // count)
    print(f"\n{endpoints} endpoints: {size // count} bytes, taken to be {registry.memory // count}")
    assert size <= registry.memory


def _filled(endpoints: int) -> Registry:
    registry = Registry()
    for cluster, number in itertools.product(range(2), range(AFFILIATES)):
        name = f"{CLUSTER}-{cluster}"
        registry.update(name, f"{number}", os.urandom(300), (), TTL, 0.0)
        for at in range(endpoints):  # one by one, so that each has a time of its own
            registry.update(name, f"{number}", b"", (os.urandom(32),), TTL, float(at))
        registry.list(name, 0.0)
    return registry


def _now() -> Moment:
    return Moment(read_boot_id(), time.clock_gettime(time.CLOCK_BOOTTIME), time.time())


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.mark.parametrize("callers", [1, CALLERS])
def test_durable_updates(
    benchmark: Any, tmp_path: Path, runner: asyncio.Runner, callers: int
) -> None:
    """1,000 updates, each waiting until it is on disk, by one caller or by 100 side by side."""
    benchmark.group = f"{AFFILIATES} updates on disk"
    commits = GroupCommit(open_storage(tmp_path, _now).storage)
    registry = Registry(commits)

    async def call(caller: int) -> None:
        for number in range(AFFILIATES // callers):
            _update(registry, CLUSTER, caller * AFFILIATES // callers + number)
            await commits.durable()

    async def call_all() -> None:
        await asyncio.gather(*map(call, range(callers)))

    benchmark.pedantic(lambda: runner.run(call_all()), rounds=5)
    runner.run(commits.close())


def test_load(benchmark: Any, tmp_path: Path, runner: asyncio.Runner) -> None:
    """Open a database of 50 clusters of 1,000 and have its registry again."""
    benchmark.group = "restart with 50 clusters of 1,000"

    async def fill() -> None:
        commits = GroupCommit(open_storage(tmp_path, _now).storage)
        registry = Registry(commits)
        for cluster in range(50):
            for number in range(AFFILIATES):
                _update(registry, f"{CLUSTER}-{cluster}", number, _now().boot)
            await commits.durable()
        await commits.close()

    def restart() -> int:
        opened = open_storage(tmp_path, _now)
        registry = Registry()
        registry.restore(opened.everything, _now().boot)
        opened.storage.close()
        return registry.counts.affiliates

    runner.run(fill())
    assert benchmark.pedantic(restart, rounds=3) == 50 * AFFILIATES
