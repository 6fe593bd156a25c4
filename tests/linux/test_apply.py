"""Applying a plan: once, kept against others, with a link that comes and goes, and taken back."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator
from errno import EACCES, ENODEV
from functools import partial
from typing import Any

import pytest
import uvloop
from structlog.testing import CapturingLogger

from kubespan.linux import apply as module
from kubespan.linux import nft, pace
from kubespan.linux.apply import Applier, remove_leftovers
from kubespan.linux.kernel import Kernel
from kubespan.linux.report import Report
from kubespan.linux.steering import Facts
from kubespan.linux.tun import Tun, create_tun
from kubespan.model.errors import SystemFault
from kubespan.model.finding import FindingKind
from tests.linux.plans import PLAN, plan
from tests.linux.steered import Loop, by_name, link, quiet_log, run_in, steering
from tests.netns.namespace import Namespace
from tests.peers import need

pytestmark = pytest.mark.netns
WAIT = 20.0
Work = Callable[["Steered"], Coroutine[Any, Any, None]]


class Steered:
    """An applier at work, what it reported by itself, and what it logged."""

    def __init__(self, index: Callable[[], int]) -> None:
        log, self.logged = quiet_log()
        self.reports: asyncio.Queue[Report] = asyncio.Queue()
        self.applier = Applier(log, index, self.reports.put_nowait)

    async def until_done(self, *expected: str) -> None:
        """Wait until all this was done without being asked for."""
        missing = set(expected)
        while missing:
            missing -= set((await asyncio.wait_for(self.reports.get(), WAIT)).done)


def steered(
    namespace: Namespace,
    work: Work,
    loop: Loop | None = None,
    index: Callable[[], int] = by_name,
) -> CapturingLogger:
    async def main() -> CapturingLogger:
        made = Steered(index)
        made.applier.start()
        try:
            await work(made)
        finally:
            await made.applier.stop()
        return made.logged

    return run_in(namespace, main, loop)


@pytest.fixture(autouse=True)
def nft_is_there() -> None:
    need("nft")


@pytest.fixture
def tun(namespace: Namespace) -> Iterator[Tun]:
    made = namespace.inside(partial(create_tun, "kubespan"))
    yield made
    os.close(made.descriptor)


RULE4 = "add IPv4 rule 32500: fwmark 0x40/0x60 lookup 180"
RULE6 = "add IPv6 rule 32500: fwmark 0x40/0x60 lookup 180"
REFUSE4 = "add IPv4 route 0.0.0.0/0 in table 180 that refuses"
REFUSE6 = "add IPv6 route ::/0 in table 180 that refuses"
ENTER6 = "add IPv6 route ::/0 in table 180 into the mesh"
LOAD = "load nftables table inet kubespan"


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_everything_once_and_then_nothing(namespace: Namespace, tun: Tun, loop: Loop) -> None:
    before = steering(namespace)

    async def work(host: Steered) -> None:
        report = await host.applier.apply(PLAN)
        assert len(report.done) == 10
        assert report.done[5] == LOAD
        assert (report.failures, report.findings) == ((), ())
        applied = steering(namespace)
        assert applied["rules"][1:2] == ["32500:\tfrom all fwmark 0x40/0x60 lookup 180 proto 180"]
        assert applied["rules6"][1] == applied["rules"][1]
        assert applied["routes"] == [
            "default dev kubespan proto static metric 1 mtu 1420",
            "unreachable default proto static metric 27507",
        ]
        assert applied["routes6"] == [
            "default dev kubespan proto static metric 1 mtu 1420 pref medium",
            "unreachable default dev lo proto static metric 27507 pref medium",
        ]
        assert applied["link"] == (True, 1420, ("fd00:0:0:2::1/64",))
        assert await host.applier.apply(PLAN) == Report()
        assert steering(namespace) == applied
        assert (await host.applier.remove()).failures == ()
        assert await host.applier.remove() == Report()

    logged = steered(namespace, work, loop)
    assert logged.calls == []
    assert {**steering(namespace), "link": None} == {**before, "link": None}
    assert link(namespace) == (True, 1420, ())


def test_it_is_told_as_soon_as_what_is_marked_is_refused(namespace: Namespace, tun: Tun) -> None:
    found: list[tuple[list[str], bool]] = []

    def look() -> None:
        loaded = "10.7.0.0" in namespace.run("nft", "list", "ruleset")
        found.append((steering(namespace)["routes"], loaded))

    async def work(host: Steered) -> None:
        await host.applier.apply(plan("10.7.0.0/16"), look)
        assert found == [(["unreachable default proto static metric 27507"], True)]

    steered(namespace, work)


def test_it_is_not_told_early_where_what_is_marked_may_go_out(
    namespace: Namespace, tun: Tun
) -> None:
    async def work(host: Steered) -> None:
        namespace.ip("route", "add", "throw", "default", "table", "180", "metric", "27507")
        report = await host.applier.apply(PLAN, lambda: pytest.fail("it was told"))
        assert report.leaks

    steered(namespace, work)


def test_another_plan_takes_the_place_of_the_first(namespace: Namespace, tun: Tun) -> None:
    async def work(host: Steered) -> None:
        await host.applier.apply(PLAN)
        report = await host.applier.apply(plan("10.7.0.0/16", mtu=1300))
        assert report.done == (
            LOAD,
            "set link up with MTU 1300",
            "set IPv4 route 0.0.0.0/0 in table 180 into the mesh",
            "set IPv6 route ::/0 in table 180 into the mesh",
        )
        after = steering(namespace)
        assert "mtu 1300" in after["routes"][0]
        assert "10.7.0.0/16" in after["nftables"]
        assert "steered6" not in after["nftables"]

    steered(namespace, work)


def test_what_others_take_away_is_put_back_and_named(
    namespace: Namespace, tun: Tun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "MOST", 0.1)

    async def work(host: Steered) -> None:
        await host.applier.apply(PLAN)
        applied = steering(namespace)
        namespace.nft("flush ruleset")
        await host.until_done(LOAD)
        namespace.ip("rule", "del", "priority", "32500")
        namespace.ip("-6", "rule", "del", "priority", "32500")
        await host.until_done(RULE4, RULE6)
        namespace.ip("-6", "route", "flush", "table", "180")
        await host.until_done(REFUSE6, ENTER6)
        namespace.ip("-6", "address", "flush", "dev", "kubespan", "scope", "global")
        await host.until_done("add address fd00:0:0:2::1/64")
        namespace.ip("link", "set", "kubespan", "down", "mtu", "1500")
        await host.until_done("set link up with MTU 1420", ENTER6)
        await host.applier.apply(PLAN)
        assert steering(namespace) == applied

    logged = steered(namespace, work)
    assert {call.method_name for call in logged.calls} == {"warning"}
    assert {call.kwargs["event"] for call in logged.calls} == {"steering put right"}
    assert LOAD in logged.calls[0].kwargs["done"]


def test_the_link_may_come_later_and_go(namespace: Namespace) -> None:
    async def work(host: Steered) -> None:
        report = await host.applier.apply(PLAN)
        assert [failure.errno for failure in report.failures] == [ENODEV]
        made = namespace.inside(partial(create_tun, "kubespan"))
        await host.until_done("add address fd00:0:0:2::1/64", ENTER6)
        os.close(made.descriptor)
        gone = await asyncio.wait_for(host.reports.get(), WAIT)
        assert [failure.errno for failure in gone.failures] == [ENODEV]
        assert steering(namespace)["routes"] == ["unreachable default proto static metric 27507"]

    logged = steered(namespace, work)
    (said,) = (call for call in logged.calls if call.method_name == "error")
    assert said.kwargs["failure"] == "open the way into kubespan: No such device"


def test_a_link_that_only_has_its_name_gets_nothing(namespace: Namespace, tun: Tun) -> None:
    """Ours is renamed first, and followed; then it is deleted."""

    async def work(host: Steered) -> None:
        await host.applier.apply(PLAN)
        namespace.ip("link", "set", "kubespan", "name", "mesh0")
        namespace.ip("link", "add", "kubespan", "type", "bridge")
        report = await host.applier.apply(plan(mtu=1300))
        assert report.failures == ()
        assert [finding.kind for finding in report.findings] == [FindingKind.FOREIGN_LINK]
        assert "default dev mesh0 proto static metric 1 mtu 1300" in steering(namespace)["routes"]
        assert link(namespace) == (False, 1500, ())
        namespace.ip("link", "del", "mesh0")
        report = await host.applier.apply(PLAN)
        assert [failure.errno for failure in report.failures] == [ENODEV]
        assert [finding.kind for finding in report.findings] == [FindingKind.FOREIGN_LINK]
        assert steering(namespace)["routes"] == ["unreachable default proto static metric 27507"]
        assert link(namespace) == (False, 1500, ())
        await host.applier.remove()

    steered(namespace, work, index=tun.index_here)
    assert link(namespace) == (False, 1500, ())


def test_a_link_of_its_name_is_heard_of(namespace: Namespace, tun: Tun) -> None:
    async def work(host: Steered) -> None:
        await host.applier.apply(PLAN)
        namespace.ip("link", "set", "kubespan", "name", "mesh0")
        namespace.ip("link", "add", "kubespan", "type", "bridge")
        found = await asyncio.wait_for(host.reports.get(), WAIT)
        assert [finding.kind for finding in found.findings] == [FindingKind.FOREIGN_LINK]
        namespace.ip("link", "set", "mesh0", "down")
        await host.until_done("set link up with MTU 1420", ENTER6)
        namespace.ip("link", "del", "kubespan")
        gone = await asyncio.wait_for(host.reports.get(), WAIT)
        assert (gone.failures, gone.findings) == ((), ())

    steered(namespace, work, index=tun.index_here)


def test_what_is_removed_stays_removed(namespace: Namespace, tun: Tun) -> None:
    async def work(host: Steered) -> None:
        await host.applier.apply(PLAN)
        await host.applier.remove()
        removed = steering(namespace)
        namespace.ip("link", "set", "kubespan", "down")
        namespace.ip("link", "set", "kubespan", "up")
        await asyncio.sleep(0.2)
        assert steering(namespace) == removed
        assert host.reports.empty()

    steered(namespace, work)


def test_who_rests_puts_nothing_right_and_lets_nothing_out(namespace: Namespace) -> None:
    before = steering(namespace)

    async def work(host: Steered) -> None:
        made = namespace.inside(partial(create_tun, "kubespan"))
        await host.applier.apply(PLAN)
        await host.applier.rest()
        os.close(made.descriptor)
        await asyncio.sleep(0.2)
        assert host.reports.empty()
        assert steering(namespace)["routes"] == ["unreachable default proto static metric 27507"]
        assert (await host.applier.remove()).failures == ()

    assert steered(namespace, work).calls == []
    assert steering(namespace) == before


def test_what_a_dead_process_left_is_taken_over_or_removed(namespace: Namespace) -> None:
    clean = steering(namespace)

    async def die(host: Steered) -> None:
        await host.applier.apply(PLAN)

    async def take_over(host: Steered) -> None:
        # A table is never trusted, the rest is.
        assert (await host.applier.apply(PLAN)).done == (LOAD,)

    async def remove() -> Report:
        return await remove_leftovers(quiet_log()[0])

    steered(namespace, die)
    steered(namespace, take_over)
    removed = run_in(namespace, remove)
    assert (len(removed.done), removed.failures) == (6, ())
    assert steering(namespace) == clean
    assert run_in(namespace, remove) == Report()


FOREIGN = (
    ("rule", "add", "priority", "32500", "fwmark", "0x1/0x1", "lookup", "100"),
    ("-6", "rule", "add", "priority", "32500", "fwmark", "0x40/0x60", "lookup", "180"),
    ("rule", "add", "priority", "77", "fwmark", "0x20/0xff", "lookup", "100"),
    ("route", "add", "10.50.0.0/16", "dev", "lo", "table", "180"),
)


def test_others_are_reported_and_untouched(namespace: Namespace, tun: Tun) -> None:
    for command in FOREIGN:
        namespace.ip(*command)
    before = steering(namespace)

    async def work(host: Steered) -> None:
        report = await host.applier.apply(PLAN)
        assert report.failures == ()
        assert sorted(finding.kind.value for finding in report.findings) == [
            "foreign-mark",
            "foreign-route",
            "foreign-rule",
            "foreign-rule",
        ]
        assert (await host.applier.apply(PLAN)).done == ()
        namespace.ip("rule", "add", "priority", "32500", "fwmark", "2", "lookup", "100")
        found = await asyncio.wait_for(host.reports.get(), WAIT)
        assert len(found.findings) == 5
        namespace.ip("rule", "del", "priority", "32500", "fwmark", "2", "lookup", "100")
        await host.applier.remove()

    steered(namespace, work)
    assert {**steering(namespace), "link": None} == {**before, "link": None}


def test_a_talos_is_reported(namespace: Namespace) -> None:
    namespace.nft("table inet talos {}")

    async def work(host: Steered) -> None:
        report = await host.applier.apply(PLAN)
        assert [finding.kind for finding in report.findings] == [FindingKind.TALOS]

    steered(namespace, work)


def test_what_is_refused_is_tried_again(
    namespace: Namespace, tun: Tun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_AFTER", 0.1)
    namespace.sysctl("net/ipv6/conf/kubespan/disable_ipv6", 1)

    async def work(host: Steered) -> None:
        report = await host.applier.apply(PLAN)
        assert [failure.errno for failure in report.failures] == [EACCES] * 2
        assert report.leaks == ()  # its packets are refused
        namespace.sysctl("net/ipv6/conf/kubespan/disable_ipv6", 0)
        await host.until_done("add address fd00:0:0:2::1/64")

    steered(namespace, work)


def test_what_lets_packets_out_in_clear_is_told_from_the_rest(
    namespace: Namespace, tun: Tun, monkeypatch: pytest.MonkeyPatch
) -> None:
    namespace.ip("route", "add", "throw", "default", "table", "180", "metric", "27507")

    async def work(host: Steered) -> None:
        report = await host.applier.apply(PLAN)
        assert [str(failure) for failure in report.leaks] == [f"{REFUSE4}: File exists"]
        monkeypatch.setattr(nft, "load", refuse)
        report = await host.applier.apply(plan(mtu=1300))
        assert [failure.operation for failure in report.leaks] == [REFUSE4, LOAD]

    async def refuse(_: object) -> None:
        raise SystemFault("load", EACCES)

    steered(namespace, work)


def test_a_kernel_that_cannot_be_read(
    namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> Facts:
        raise SystemFault("read routes and rules", EACCES)

    monkeypatch.setattr(Kernel, "read", refuse)

    async def work(host: Steered) -> None:
        for report in (await host.applier.apply(PLAN), await host.applier.remove()):
            assert [failure.errno for failure in report.failures] == [EACCES]
        assert (await host.applier.apply(PLAN)).leaks == report.failures

    steered(namespace, work)


def test_stopping_before_starting_is_nothing(namespace: Namespace) -> None:
    async def main() -> None:
        await Steered(by_name).applier.stop()

    run_in(namespace, main)
