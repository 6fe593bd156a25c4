"""Steers this machine as the latest plan says: one plan at a time, and only the newest.

The kernel takes tens of milliseconds where the mesh takes two; whoever plans must not wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from errno import ETIMEDOUT
from functools import partial

from structlog.typing import FilteringBoundLogger

from kubespan.linux.apply import Applier
from kubespan.linux.report import Failure, Report
from kubespan.model.errors import SystemFault
from kubespan.model.ipset import IPSet
from kubespan.model.plan import NetworkPlan


class Unsteered(SystemFault):
    """The mesh is not steered: steps without which packets may go out in clear were refused."""

    def __init__(self, leaks: tuple[Failure, ...]) -> None:
        super().__init__("steer the mesh", leaks[0].errno if leaks else ETIMEDOUT)
        self._said = "; ".join(map(str, leaks)) or "the system has not answered"

    def __str__(self) -> str:
        return (
            f"the mesh could not be steered: {self._said}. See what refuses it, or has it already;"
            " what was done stays, and refuses packets for members: `kubespan down` takes it back"
        )


class Steersman:
    """Made, started and stopped on one event loop; `hear` is called there after every change.

    It is told whether somebody may have waited for it: more is steered, or the node is ready.
    `index` says which link is the mesh's own, 0 while it is not on this host.
    """

    def __init__(
        self, log: FilteringBoundLogger, index: Callable[[], int], hear: Callable[[bool], object]
    ) -> None:
        self._log = log
        self._hear = hear
        self._applier = Applier(log, index, self._hear_of_itself)
        self._plan: NetworkPlan | None = None
        self._applied: NetworkPlan | None = None
        self._is_due = asyncio.Event()
        self._steering: asyncio.Task[None] | None = None
        self.report = Report()
        """What became of the last plan."""

        self.steered = IPSet()
        """Where packets go into the mesh, or are refused, whatever becomes of the next step; the
        very same value as long as nothing changes.

        What the kernel refused to steer is among it: `report` says so, and nobody is kept waiting
        for ever. It stays so while the interface is made anew.
        """

    def start(self) -> None:
        """Begin, without a plan."""
        self._applier.start()
        self._steering = asyncio.create_task(self._steer())

    async def watch(self) -> None:
        """Never return; raise what ends the steering, which is a bug and must not go unseen."""
        assert self._steering is not None
        keeping = asyncio.ensure_future(self._applier.watch())
        try:
            parts = {self._steering, keeping}
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for ended in done:
                ended.result()
        finally:
            keeping.cancel()

    def follow(self, plan: NetworkPlan) -> None:
        """Steer as this plan says from now on."""
        if plan != self._plan:
            self._plan = plan
            self._is_due.set()

    def again(self) -> None:
        """Do the same once more: the interface is another one."""
        self._applied = None
        self._is_due.set()

    @property
    def has_plan(self) -> bool:
        """Whether there is something to steer by."""
        return self._plan is not None

    @property
    def is_steering(self) -> bool:
        """Whether a plan was brought to the kernel, so that nothing goes out in clear.

        A newer one may wait: who waited for the newest would wait on whoever changes the plan.
        """
        return self._applied is not None and not self.report.leaks

    async def rest(self) -> None:
        """Bring nothing to the kernel any more: packets for members go on as they do.

        They are refused as soon as the mesh's link is gone.
        """
        if self._steering is not None:
            self._steering.cancel()
            # What broke was told to whoever watches.
            await asyncio.gather(self._steering, return_exceptions=True)
        await self._applier.rest()

    async def stop(self, *, remove: bool) -> None:
        """End; take everything back, or leave members' packets refused."""
        await self.rest()
        if remove:
            self._note(await self._applier.remove())
        await self._applier.stop()

    async def _steer(self) -> None:
        while True:
            await self._is_due.wait()
            self._is_due.clear()
            if self._plan is not None:
                await self._bring(self._plan)

    async def _bring(self, plan: NetworkPlan) -> None:
        wanted = IPSet.of(*plan.steered)
        # What this plan lacks is given up at some moment of its own.
        self._become(self.steered & wanted)
        report = await self._applier.apply(plan, partial(self._hear_guarded, wanted))
        was_steering, self._applied = self.is_steering, plan
        is_more = self._become(wanted)
        self._note(report)
        self._hear(is_more or self.is_steering is not was_steering)

    def _hear_guarded(self, wanted: IPSet) -> None:
        if self._become(wanted):
            self._hear(True)

    def _hear_of_itself(self, report: Report) -> None:
        """Hear what the applier did without being asked to."""
        was_steering = self.is_steering
        self._note(report)
        self._hear(self.is_steering is not was_steering)

    def _become(self, steered: IPSet) -> bool:
        """Whether that is anything else than before."""
        if steered == self.steered:
            return False
        self.steered = steered
        return True

    def _note(self, report: Report) -> None:
        for failure in set(report.failures) - set(self.report.failures):
            self._log.error("steering failed", failure=str(failure))
        for finding in set(report.findings) - set(self.report.findings):
            self._log.warning("in the way", finding=finding.text, next=finding.next)
        self.report = report
