"""Brings the kernel to a plan, keeps it there while others change it, and takes it all back.

At every moment, also when the process is killed between two steps, packets for members are either
not steered yet, or refused, or go into the mesh: what refuses them is made before what marks them,
and the way into the mesh is opened last. What is left behind by a killed process is taken over by
the next one, or removed by `remove_leftovers`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from errno import EBUSY, ENODEV
from os import strerror
from typing import Final

from structlog.typing import FilteringBoundLogger

from kubespan.linux.foreign import foreign_findings
from kubespan.linux.kernel import Kernel
from kubespan.linux.pace import Pace
from kubespan.linux.report import Failure, Report, joined
from kubespan.linux.steering import (
    Facts,
    Step,
    entering_steps,
    guarding_steps,
    removing_steps,
)
from kubespan.linux.table import Table
from kubespan.model.constants import KUBESPAN_LINK
from kubespan.model.errors import SystemFault
from kubespan.model.plan import NetworkPlan

SETTLE_AFTER: Final = 0.02
"""Seconds between hearing of a change and looking: one command of an operator makes many."""

RETRY_AFTER: Final = 30.0
"""Seconds after which what was refused is tried again, though nothing has changed."""


class Applier:
    """Steers this machine, from `start` until `stop`. Made and used on one event loop.

    `index` says which link is the mesh's own, and is asked whenever that matters: its index on this
    host, 0 while it is not there. What else is called `link` gets nothing.

    `report` gets the outcome whenever something was done, or failed in another way than before,
    without being asked for. Steps that the system refuses are in the report; nothing is raised.
    """

    def __init__(
        self,
        log: FilteringBoundLogger,
        index: Callable[[], int],
        report: Callable[[Report], object] = lambda _: None,
        link: str = KUBESPAN_LINK,
    ) -> None:
        self._log = log
        self._index = index
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._kernel = Kernel(link, self._hear_change, self._hear_table_change)
        self._table = Table()
        self._plan: NetworkPlan | None = None
        self._busy = asyncio.Lock()
        self._is_due = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None
        self._link = link
        self._standing = Report()

    def start(self) -> None:
        """Begin to listen, in the calling thread's network namespace; nothing is changed yet."""
        self._kernel.start()
        self._keeping = self._loop.create_task(self._keep())

    async def rest(self) -> None:
        """Put nothing right any more: marked packets enter the mesh, or are refused."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)

    async def stop(self) -> None:
        """Do the same, and end; everything is left as it is."""
        await self.rest()
        self._kernel.stop()

    async def watch(self) -> None:
        """Never return; raise what ends the keeping."""
        if self._keeping is not None:
            await asyncio.shield(self._keeping)

    async def apply(
        self, plan: NetworkPlan, guarded: Callable[[], object] = lambda: None
    ) -> Report:
        """Bring the kernel to the plan, and keep it there from now on.

        `guarded` is called as soon as nothing that the plan steers goes out in clear, if that is
        before the end: from there on it is refused, until it goes into the mesh.
        """
        async with self._busy:
            self._plan = plan
            return await self._bring(plan, guarded)

    async def remove(self) -> Report:
        """Take back all that is ours but the link, and keep nothing any more."""
        async with self._busy:
            self._plan = None
            table = await self._table.remove()
            try:
                facts = await self._kernel.read(self._index())
            except SystemFault as fault:
                return joined(table, _failed(fault))
            return joined(table, await self._perform(removing_steps(facts)))

    async def remove_orphans(self) -> Report:
        """Do the same, but only where there is no link of that name, which a process may have."""
        try:
            facts = await self._kernel.read(self._index())
        except SystemFault as fault:
            return _failed(fault)
        if not facts.namesake:
            return await self.remove()
        text = (
            f"the link {self._link} is there, so a node runs on this host, at another socket"
            " (KUBESPAN_SOCKET); nothing was taken back"
        )
        return Report(failures=(Failure("take back what a killed node left", EBUSY, text),))

    def _hear_change(self) -> None:
        self._loop.call_soon_threadsafe(self._is_due.set)

    def _hear_table_change(self) -> None:
        self._loop.call_soon_threadsafe(self._table.doubt)
        self._hear_change()

    async def _bring(
        self, plan: NetworkPlan, guarded: Callable[[], object] = lambda: None
    ) -> Report:
        report = await self._brought(plan, guarded)
        self._standing = replace(report, done=())
        return report

    async def _brought(self, plan: NetworkPlan, guarded: Callable[[], object]) -> Report:
        try:
            await self._kernel.listen_to_table()
            facts = await self._kernel.read(self._index())
        except SystemFault as fault:
            return _leaking(_failed(fault))
        guard = await self._perform(guarding_steps(plan, facts))
        # Marks alone do not keep packets in: what was refused above might have.
        table = await self._table.bring(plan, (lambda: None) if guard.failures else guarded)
        # Without the way that comes next packets are refused, and without these they are not.
        way = await self._perform(entering_steps(plan, facts))
        found = Report(failures=self._missing(facts), findings=foreign_findings(facts))
        return joined(_leaking(guard), _leaking(table), way, found)

    async def _perform(self, steps: tuple[Step, ...]) -> Report:
        return Report(*await self._kernel.perform(steps)) if steps else Report()

    def _missing(self, facts: Facts) -> tuple[Failure, ...]:
        if facts.link is not None:
            return ()
        return (Failure(f"open the way into {self._link}", ENODEV, strerror(ENODEV)),)

    async def _keep(self) -> None:
        """Put right what others change: at once, then at a slower pace while they go on."""
        pace = Pace()
        while True:
            await self._wait()
            if await self._put_right():
                await asyncio.sleep(pace.restored(self._loop.time()))

    async def _wait(self) -> None:
        """Wait for a reason to look."""
        with suppress(TimeoutError):
            async with asyncio.timeout(RETRY_AFTER if self._standing.failures else None):
                await self._is_due.wait()
        await asyncio.sleep(SETTLE_AFTER)
        self._is_due.clear()

    async def _put_right(self) -> bool:
        """Bring the kernel to the plan again; whether anything was to do."""
        async with self._busy:
            if self._plan is None:
                return False
            before = self._standing
            report = await self._bring(self._plan)
        if report.done or self._standing != before:
            self._tell(report)
        return bool(report.done)

    def _tell(self, report: Report) -> None:
        if report.done:
            self._log.warning("steering put right", done="; ".join(report.done))
        for failure in report.failures:
            self._log.error("steering incomplete", failure=str(failure))
        self._report(report)


async def remove_leftovers(log: FilteringBoundLogger, link: str = KUBESPAN_LINK) -> Report:
    """Take back what a process left that could not do so itself.

    Its link went with it. Where there is one, somebody steers by it, and nothing is touched.
    """
    applier = Applier(log, lambda: 0, link=link)
    applier.start()
    try:
        return await applier.remove_orphans()
    finally:
        await applier.stop()


def _leaking(report: Report) -> Report:
    """Return the report of steps without which packets for members may go out in clear."""
    return replace(report, leaks=report.failures)


def _failed(fault: SystemFault) -> Report:
    return Report(failures=(Failure(fault.operation, fault.errno, strerror(fault.errno)),))
