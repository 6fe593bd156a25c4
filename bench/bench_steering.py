"""What it costs to put steering right when others flush it, with a thousand peers. Needs root.

CPU seconds are of this process and of the `nft` that it runs; they are printed with `-s` and kept
in `extra_info`. `benchmark` times how long it takes from the flush until all is as it should be.
"""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Iterator
from functools import partial
from ipaddress import IPv6Address
from typing import Any

import pytest

from kubespan.linux import pace
from kubespan.linux.apply import Applier
from kubespan.linux.report import Report
from kubespan.linux.tun import create_tun
from kubespan.model.address import Prefix
from kubespan.model.plan import NetworkPlan
from tests.linux.steered import quiet_log
from tests.netns.namespace import Namespace

PEERS = 1_000
FLUSHES = {
    "nft flush ruleset": lambda host: host.nft("flush ruleset"),
    "ip rule del": lambda host: host.ip("rule", "del", "priority", "32500"),
}
ROUNDS = 20
STEERED = tuple(
    Prefix.parse(text)
    for n in range(PEERS)
    for text in (f"192.0.{n // 128}.{n % 128 * 2}/32", f"10.{n // 128}.{n % 128 * 2}.0/24")
)
"""Two of each peer, no two of them neighbours, so that none can be joined."""


class Host:
    """A steered namespace whose applier does nothing else than to put right."""

    def __init__(self, namespace: Namespace, runner: asyncio.Runner) -> None:
        self.namespace = namespace
        self.runner = runner
        self.reports: asyncio.Queue[Report] = asyncio.Queue()
        self.tun = namespace.inside(partial(create_tun, "kubespan"))
        self.applier = self.run(self._steer())

    def run(self, work: Any) -> Any:
        """Have something done in there."""
        return self.namespace.inside(lambda: self.runner.run(work))

    async def _steer(self) -> Applier:
        applier = Applier(quiet_log()[0], self.tun.index_here, self.reports.put_nowait)
        applier.start()
        address, subnet = IPv6Address("fd00:0:0:2::1"), Prefix.parse("fd00:0:0:2::/64")
        await applier.apply(NetworkPlan(address, subnet, 1420, STEERED))
        # What it hears of its own work is not what others do.
        await asyncio.sleep(1.0)
        return applier

    def close(self) -> None:
        """Leave nothing."""
        self.run(self.applier.stop())
        os.close(self.tun.descriptor)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setattr(pace, "LEAST", 0.0)
    namespace = Namespace("lone")
    with asyncio.Runner() as runner:
        made = Host(namespace, runner)
        yield made
        made.close()
    namespace.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root")
@pytest.mark.parametrize("what", FLUSHES)
def test_put_right(benchmark: Any, host: Host, what: str) -> None:
    spent = []

    def restore() -> None:
        before = _cpu_seconds()
        FLUSHES[what](host.namespace)
        host.run(host.reports.get())
        spent.append(_cpu_seconds() - before)

    benchmark.pedantic(restore, rounds=ROUNDS)
    benchmark.extra_info["cpu_seconds"] = median = sorted(spent)[len(spent) // 2]
    print(f"\n{what}: {median * 1000:.0f} ms of a core, {PEERS} peers")


def _cpu_seconds() -> float:
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)
