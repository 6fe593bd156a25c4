"""Plans followed one at a time: the newest counts, and what becomes of it is known."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv6Address

import pytest

from kubespan.cli.log import create_log
from kubespan.daemon import steersman as steersmen
from kubespan.daemon.steersman import Steersman
from kubespan.linux.report import Failure, Report
from kubespan.model.address import Prefix
from kubespan.model.errors import InternalError
from kubespan.model.finding import Finding, FindingKind
from kubespan.model.ipset import IPSet
from kubespan.model.plan import NetworkPlan
from tests.discovery.host import until

PLAN = NetworkPlan(IPv6Address("fd00::1"), Prefix.parse("fd00::/64"), 1420)


class Kernel:
    """Takes plans slowly, and says what it is told to say."""

    def __init__(self) -> None:
        self.applied: list[int] = []
        self.report = Report()
        self.is_removed = self.is_stopped = self.is_resting = False
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.is_guarding = False
        self.tell: Callable[[Report], object] = lambda _: None
        """What the steersman hears by of what was done without it."""

    def start(self) -> None:
        pass

    async def apply(self, plan: NetworkPlan, guarded: Callable[[], object]) -> Report:
        await self.may_go_on.wait()
        if self.is_guarding:
            guarded()
        await self.may_end.wait()
        self.applied.append(plan.mtu)
        return self.report

    async def remove(self) -> Report:
        self.is_removed = True
        return Report()

    async def watch(self) -> None:
        await asyncio.Event().wait()

    async def rest(self) -> None:
        self.is_resting = True

    async def stop(self) -> None:
        self.is_stopped = True


def test_one_plan_at_a_time_is_brought_and_only_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()

    async def scenario() -> None:
        kernel = Kernel()
        monkeypatch.setattr(steersmen, "Applier", lambda *_: kernel)
        one = Steersman(create_log(logging.INFO, written), lambda: 0, lambda _: None)
        one.start()
        assert not one.is_steering
        kernel.may_go_on.clear()
        for mtu in (1300, 1301, 1302):
            one.follow(replace(PLAN, mtu=mtu))
            await asyncio.sleep(0)
        kernel.may_go_on.set()
        await until(lambda: 1302 in kernel.applied)
        assert one.is_steering
        assert 1301 not in kernel.applied
        one.follow(replace(PLAN, mtu=1302))
        assert one.is_steering
        done = len(kernel.applied)
        kernel.report = Report(
            failures=(Failure("add rule", 1, "not permitted"),),
            findings=(Finding(FindingKind.TALOS, "Talos is here", "leave it"),),
        )
        one.again()
        await until(lambda: len(kernel.applied) > done and one.is_steering)
        kernel.report = replace(kernel.report, leaks=kernel.report.failures)
        one.again()
        await until(lambda: len(kernel.applied) > done + 1)
        await asyncio.sleep(0)
        assert not one.is_steering
        kernel.report = replace(kernel.report, leaks=())
        one.again()
        await until(lambda: len(kernel.applied) > done + 2 and one.is_steering)
        assert one.report is kernel.report
        await one.stop(remove=True)
        assert kernel.is_removed
        assert kernel.is_stopped

    asyncio.run(scenario())
    log = written.getvalue()
    assert log.count("add rule: not permitted") == 1
    assert log.count("Talos is here") == 1


def test_it_steers_whoever_changes_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """A member that claims something else at every look must not keep a node from being ready."""

    async def scenario() -> None:
        kernel = Kernel()
        monkeypatch.setattr(steersmen, "Applier", lambda *_: kernel)
        one = Steersman(create_log(logging.INFO, io.StringIO()), lambda: 0, lambda _: None)
        one.start()
        one.follow(PLAN)
        assert not one.is_steering
        await until(lambda: bool(kernel.applied))
        one.follow(replace(PLAN, mtu=1300))
        assert one.is_steering
        one.again()
        assert not one.is_steering
        await one.stop(remove=False)

    asyncio.run(scenario())


A, B, C = (Prefix.parse(f"10.0.{number}.0/25") for number in (0, 2, 4))
HALVES = (Prefix.parse("10.0.2.0/26"), Prefix.parse("10.0.2.64/26"))
"""Of B."""


def test_what_is_steered_is_what_the_kernel_has_been_brought_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    b, ab, bc = (IPSet.of(*some) for some in ((B,), (A, B), (B, C)))
    heard: list[IPSet] = []

    async def scenario() -> None:
        kernel = Kernel()
        monkeypatch.setattr(steersmen, "Applier", lambda *_: kernel)
        log = create_log(logging.CRITICAL, io.StringIO())
        one = Steersman(log, lambda: 0, lambda _: heard.append(one.steered))
        one.start()
        kernel.report = Report(failures=(Failure("load", 1, "not permitted"),))
        one.follow(replace(PLAN, steered=(A, B)))
        assert one.steered == IPSet()
        await until(lambda: bool(heard))
        # Whoever hears of it finds it so. What was refused is told, and not waited for.
        assert heard == [ab]
        kernel.may_go_on.clear()
        one.follow(replace(PLAN, steered=(B, C)))
        assert one.steered == ab
        await asyncio.sleep(0)
        # The one may be gone by now, and the other not there yet.
        assert one.steered == b
        one.again()
        kernel.may_go_on.set()
        await until(lambda: len(heard) == 3)
        assert heard == [ab, bc, bc]
        assert heard[1] is heard[2] is one.steered
        # The same addresses, cut in another way, are the very same value.
        one.follow(replace(PLAN, steered=(C, *HALVES)))
        await until(lambda: len(heard) == 4)
        assert heard[3] is heard[2]
        await one.stop(remove=False)

    asyncio.run(scenario())


def test_it_is_steered_as_soon_as_nothing_goes_out_in_clear(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[tuple[bool, IPSet]] = []

    async def scenario() -> None:
        kernel = Kernel()
        monkeypatch.setattr(steersmen, "Applier", lambda *_: kernel)
        log = create_log(logging.CRITICAL, io.StringIO())
        one = Steersman(log, lambda: 0, lambda is_news: heard.append((is_news, one.steered)))
        one.start()
        kernel.is_guarding = True
        kernel.may_end.clear()
        one.follow(replace(PLAN, steered=(A,)))
        await until(lambda: bool(heard))
        assert (heard, kernel.applied) == ([(True, IPSet.of(A))], [])
        assert not one.is_steering
        kernel.may_end.set()
        # A node is ready by that.
        await until(lambda: len(heard) == 2)
        assert one.is_steering
        # Only the report is new then; and nothing is that was steered before, or is no more.
        one.follow(replace(PLAN, steered=(A, B)))
        await until(lambda: len(heard) == 4)
        one.follow(replace(PLAN, steered=(B,)))
        await until(lambda: len(heard) == 5)
        # Where it was not told before the end, more is steered then.
        kernel.is_guarding = False
        one.follow(replace(PLAN, steered=(B, C)))
        await until(lambda: len(heard) == 6)
        await one.stop(remove=False)

    asyncio.run(scenario())
    assert [is_news for is_news, _ in heard] == [True, True, True, False, False, True]


def test_what_is_put_right_without_it_is_heard_of(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[bool, bool]] = []

    async def scenario() -> None:
        kernel = Kernel()

        def applier(_: object, __: object, tell: Callable[[Report], object]) -> Kernel:
            kernel.tell = tell
            return kernel

        monkeypatch.setattr(steersmen, "Applier", applier)
        log = create_log(logging.CRITICAL, io.StringIO())
        one = Steersman(log, lambda: 0, lambda is_news: heard.append((is_news, one.is_steering)))
        one.start()
        leak = Failure("load", 1, "not permitted")
        kernel.report = Report(failures=(leak,), leaks=(leak,))
        one.follow(replace(PLAN, steered=(A,)))
        await until(lambda: bool(heard))
        # Half a minute later, then somebody else's doing, and what makes it no better or worse.
        kernel.tell(Report(done=("load",)))
        kernel.tell(kernel.report)
        kernel.tell(replace(kernel.report, done=("add rule",)))
        await one.stop(remove=True)

    asyncio.run(scenario())
    assert heard == [(True, False), (True, True), (True, False), (False, False)]


def test_at_rest_nothing_is_brought_and_nothing_put_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """What others change is put right by the applier, which must rest too."""

    async def scenario() -> None:
        kernel = Kernel()
        monkeypatch.setattr(steersmen, "Applier", lambda *_: kernel)
        one = Steersman(create_log(logging.INFO, io.StringIO()), lambda: 0, lambda _: None)
        one.start()
        await one.rest()
        one.follow(PLAN)
        await asyncio.sleep(0.01)
        assert kernel.applied == []
        assert (kernel.is_resting, kernel.is_removed, kernel.is_stopped) == (True, False, False)
        await one.stop(remove=False)

    asyncio.run(scenario())


def test_what_was_never_started_is_stopped_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        kernel = Kernel()
        monkeypatch.setattr(steersmen, "Applier", lambda *_: kernel)
        await Steersman(create_log(logging.INFO, io.StringIO()), lambda: 0, lambda _: None).stop(
            remove=False
        )
        assert (kernel.is_removed, kernel.is_stopped) == (False, True)

    asyncio.run(scenario())


def test_steering_that_breaks_is_told_to_whoever_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Kernel):
        async def apply(self, *_: object) -> Report:
            raise InternalError("a thread has ended")

    async def scenario() -> None:
        kernel = Broken()
        monkeypatch.setattr(steersmen, "Applier", lambda *_: kernel)
        one = Steersman(create_log(logging.INFO, io.StringIO()), lambda: 0, lambda _: None)
        one.start()
        watching = asyncio.ensure_future(one.watch())
        await asyncio.sleep(0)
        assert not watching.done()
        one.follow(PLAN)
        with pytest.raises(InternalError, match="a thread has ended"):
            await asyncio.wait_for(watching, 30)
        await one.stop(remove=False)
        assert kernel.is_stopped

    asyncio.run(scenario())
