"""One node of a mesh, from its first look to its last.

Gathers facts (who is there, how it stands with peers, how they are reached), has the mesh
reconciled whenever one of them changes, and has the outcome done: WireGuard configured, the kernel
steered, discovery told, resources published. Decides nothing by itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from structlog.typing import FilteringBoundLogger

from kubespan.api.publication import Publication
from kubespan.daemon.announcing import Announcing
from kubespan.daemon.discovering import Discovering
from kubespan.daemon.journal import Journal
from kubespan.daemon.plane import DataPlane
from kubespan.daemon.reconfiguring import checked, with_start_of
from kubespan.daemon.resolving import ServicePlaces
from kubespan.daemon.steersman import Steersman, Unsteered
from kubespan.device.clock import Clock
from kubespan.linux.nft import require_nft
from kubespan.linux.underlay import UnderlayMonitor, Ways
from kubespan.mesh.reconciler import WORTH_A_LOOK, Facts, Outcome, Reconciler
from kubespan.model.address import Endpoint, IPAddress
from kubespan.model.config import NodeConfig
from kubespan.model.constants import HAIL_DELAYS, LOOK_INTERVAL
from kubespan.model.errors import KubespanError, SystemFault
from kubespan.model.finding import Finding, FindingKind
from kubespan.store import kind
from kubespan.store.store import Store
from kubespan.wireguard.effects import PeerEvent

SHOWN_FOR: Final = 1.0
"""Seconds for which what was seen may be shown to whoever asks."""

NEWS_PATIENCE: Final = 5.0
"""Seconds for which discovery may tell whom to steer, before nobody is."""

UNCONFIGURED: Final = "WireGuard could not be configured"
REFUSED_ADVICE: Final = (
    "it is tried again every half minute; see what refuses it, or has it already"
)


class MeshNode:
    """A node; made and `run` once, on an event loop."""

    def __init__(
        self,
        config: NodeConfig,
        written: NodeConfig,
        announcing: Announcing,
        log: FilteringBoundLogger,
        sockets: Path,
    ) -> None:
        """Be as the configuration says. Raises ConfigError if no node can be that.

        `written` is the same as its file says it: the environment overrides some of it.
        """
        secret = checked(config)
        self.config = config
        self.written = written
        self.announcing = announcing
        self.clock = Clock()
        self._started_at = self._looked_at = self.clock.now().boot
        self.store = Store()
        identity, node_id = self.announcing.identity, self.announcing.node.node_id
        assert identity is not None
        self._identity = identity
        self.publication = Publication(self.store, node_id)
        self.outcome: Outcome | None = None
        self._announced: frozenset[IPAddress] = frozenset()
        self.is_started = False
        """Whether the mesh was steered once."""

        self.ways: Ways = {}
        """How peers are reached."""

        self._woken, self._steered = asyncio.Event(), asyncio.Event()
        self._left, self._gone = asyncio.Event(), asyncio.Event()
        self.plane = DataPlane(
            logging.getLogger("kubespan"), self._hear_event, self._gone.set, sockets
        )
        self.discovering = Discovering(
            config, secret, node_id, self.wake, self.announcing.look_soon, self.tell
        )
        self.steersman = Steersman(log, self.plane.link_index, self._hear_steering)
        self._log = log
        self._journal = Journal(log)
        self._reconciler = Reconciler(node_id, identity, secret)
        self._services = ServicePlaces(lambda: self.discovering.targets, self.wake)
        self._underlay = self._make_underlay()
        self._endpoints: frozenset[Endpoint] = frozenset()
        self._trouble = ""

    def _make_underlay(self) -> UnderlayMonitor:
        """Return the monitor; what it reports from its thread is heard on the loop."""
        hear = asyncio.get_running_loop().call_soon_threadsafe
        return UnderlayMonitor(
            lambda ways: hear(self._hear_ways, ways), lambda: hear(self.announcing.look_soon)
        )

    # Its life.

    async def run(self, ready: Callable[[], object], patience: float | None = None) -> None:
        """Be a member until asked to leave, then leave nothing behind.

        `ready` is called when the mesh is steered for the first time. Raises KubespanError, and
        Unsteered among others if that takes longer than `patience` seconds; None: for ever.
        """
        try:
            await require_nft()
            # Before anything is steered: whoever has the interface has the mesh of this machine.
            await self.plane.open()
        except BaseException:
            await self.discovering.stop()
            raise
        try:
            self.announcing.recall(self.discovering, partial(self.tell, is_problem=True))
            self.steersman.start()
            self._underlay.start()
            await self._live(ready, patience)
        finally:
            await self._end()

    def leave(self) -> None:
        """Begin to leave."""
        self._left.set()

    def wake(self) -> None:
        """Look at everything again, soon."""
        self._woken.set()

    def refresh(self) -> None:
        """Let what is shown be true now: lanes count bytes and follow peers without telling."""
        is_old = self.clock.now().boot >= self._looked_at + SHOWN_FOR
        if self.outcome is not None and is_old and not self._left.is_set():
            self._look()

    def reconfigure(self, written: NodeConfig) -> None:
        """Be as another configuration of the same cluster says; sessions are kept."""
        self.written = written
        config = with_start_of(written, self.config)
        self.config = self.announcing.config = config
        self.discovering.configure(config)
        self.announcing.look_soon()
        self.wake()

    def refused(self) -> tuple[Finding, ...]:
        """Return what the system did not do for us the last time that it was asked."""
        failures = map(str, self.steersman.report.failures)
        texts = (*failures, *((f"{UNCONFIGURED}: {self._trouble}",) if self._trouble else ()))
        return tuple(Finding(FindingKind.REFUSED, text, REFUSED_ADVICE) for text in texts)

    def tell(self, text: str, is_problem: bool) -> None:
        """Write a line into the log."""
        (self._log.warning if is_problem else self._log.info)(text)

    async def _live(self, ready: Callable[[], object], patience: float | None) -> None:
        chores = [asyncio.ensure_future(chore) for chore in self._chores(ready, patience)]
        try:
            done, _ = await asyncio.wait(chores, return_when=asyncio.FIRST_COMPLETED)
            for ended in done:
                ended.result()
        finally:
            for chore in chores:
                chore.cancel()
            await asyncio.gather(*chores, return_exceptions=True)

    def _chores(
        self, ready: Callable[[], object], patience: float | None
    ) -> list[Coroutine[Any, Any, object]]:
        """Return what goes on until the first of it ends, which only the last does in peace."""
        discovering, tell = self.discovering, partial(self.tell, is_problem=True)
        return [
            self._look_again_and_again(ready),
            self.announcing.follow(discovering, tell, self._hear_host),
            self.announcing.save_now_and_then(discovering, lambda: discovering.affiliates),
            self._services.follow(),
            self.steersman.watch(),
            self._reopen_when_gone(),
            self._insist_on_steering(patience),
            self._left.wait(),
        ]

    async def _end(self) -> None:
        """Take everything back; the farewell goes out meanwhile, so that others know at once."""
        with suppress(SystemFault):
            self.announcing.save(self.discovering.affiliates, is_heard=self.discovering.is_heard)
        farewell = asyncio.ensure_future(self.discovering.stop())
        try:
            self._underlay.stop()
            await self._fall_silent()
        finally:
            await farewell

    async def _fall_silent(self) -> None:
        """Hear nobody any more, then steer nothing: who is still heard would be answered in clear.

        Where nobody asked us to leave, packets for members stay refused.
        """
        try:
            try:
                await self.steersman.rest()
            finally:
                await self.plane.close()
        finally:
            is_over = self._left.is_set() and not self.plane.is_there
            await self.steersman.stop(remove=is_over)

    # Looking, and doing what follows.

    async def _look_again_and_again(self, ready: Callable[[], object]) -> None:
        while True:
            self._woken.clear()
            self._steered.clear()
            outcome = self._look()
            if self.steersman.is_steering and not self.is_started:
                self.is_started = True
                ready()
            await self._rest()
            nap = self._look_at(outcome) - self.clock.now().boot
            # Not wait_for: Python 3.11's forgets that it was cancelled if it is woken just then.
            with suppress(TimeoutError):
                async with asyncio.timeout(max(nap, 0.0)):
                    await self._woken.wait()

    async def _rest(self) -> None:
        """Let more happen, to be looked at together; but who waited to be steered is let in."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_INTERVAL):
                await self._steered.wait()

    def _look(self) -> Outcome:
        now = self.clock.now()
        self._looked_at = now.boot
        affiliates = self.discovering.affiliates
        self._services.notice()
        facts = Facts(
            affiliates,
            self.plane.readings(),
            self.ways,
            self._services.endpoints,
            self._own_addresses(),
            self.steersman.steered,
        )
        outcome = self.outcome = self._reconciler.reconcile(self.config, facts, now.boot)
        self._configure(outcome)
        if (outcome.specs and self.discovering.heard) or self._has_waited(now.boot):
            self.steersman.follow(outcome.network)
        self._tell_discovery(outcome)
        self._follow_ways(outcome)
        self._publish(outcome, now.wall_ns)
        self._journal.follow(outcome)
        return outcome

    def _look_at(self, outcome: Outcome) -> float:
        if self.steersman.has_plan:
            return outcome.look_at
        return min(outcome.look_at, self._started_at + NEWS_PATIENCE)

    def _has_waited(self, now: float) -> bool:
        """Whether there is news of members, or has been time enough for it.

        After `kill -9` the kernel still refuses packets for members. To steer for nobody, or for
        static peers alone, only because nobody else is known yet, would let them out in clear.
        """
        heard = self.discovering.is_heard or not self.discovering.targets
        return heard or now >= self._started_at + NEWS_PATIENCE

    def _own_addresses(self) -> frozenset[IPAddress]:
        ours = self.announcing.affiliate
        return frozenset(() if ours is None else ours.addresses)

    def _configure(self, outcome: Outcome) -> None:
        trouble = ""
        try:
            self.plane.configure(outcome.interface)
        except KubespanError as error:
            trouble = str(error)
        if trouble and trouble != self._trouble:
            self._log.warning(UNCONFIGURED, reason=trouble)
        self._trouble = trouble

    def _tell_discovery(self, outcome: Outcome) -> None:
        # Also who is shown as up only later: it is not to be dropped meanwhile.
        self.discovering.set_live(
            {
                affiliate.node_id
                for affiliate in self.discovering.affiliates
                if affiliate.kubespan is not None and outcome.answers(affiliate.kubespan.public_key)
            }
        )
        self.discovering.set_harvest(
            {found.affiliate_id: (found.endpoint,) for found in outcome.harvested.values()}
        )

    def _follow_ways(self, outcome: Outcome) -> None:
        shown = (status.endpoint for status in outcome.statuses.values())
        endpoints = frozenset(endpoint for endpoint in shown if endpoint is not None)
        if endpoints != self._endpoints:
            self._endpoints = endpoints
            self._underlay.look(endpoints)

    def _publish(self, outcome: Outcome, wall_ns: int) -> None:
        publication, ours = self.publication, self.announcing.affiliate
        publication.publish_config(self.config, wall_ns)
        publication.publish_identity(self._identity, wall_ns)
        self.store.publish(kind.SERVICE_AFFILIATES, self.discovering.heard, wall_ns)
        self.store.publish(kind.STATIC_AFFILIATES, self.discovering.static, wall_ns)
        publication.publish_affiliates(ours, self.discovering.affiliates, wall_ns)
        publication.publish_outcome(outcome, wall_ns)

    # What happens.

    def _hear_event(self, happened: PeerEvent) -> None:
        if happened.event in WORTH_A_LOOK:
            self.wake()

    def _hear_steering(self, is_news: bool) -> None:
        if is_news:
            self._steered.set()
        self.wake()

    def _hear_ways(self, ways: Ways) -> None:
        self.ways = ways
        self.wake()

    def _hear_host(self) -> None:
        """The host has changed: peers learn it from us before discovery can tell them."""
        loop = asyncio.get_running_loop()
        for after in HAIL_DELAYS:
            loop.call_later(after, self.plane.hail)
        before, self._announced = self._announced, self._own_addresses()
        if before - self._announced:
            self.discovering.redial()
        self.wake()

    async def _insist_on_steering(self, patience: float | None) -> None:
        """Never return. Raises Unsteered if the mesh is not steered in time."""
        if patience is not None:
            await asyncio.sleep(patience)
            if not self.is_started:
                raise Unsteered(self.steersman.report.leaks)
        await asyncio.Event().wait()

    async def _reopen_when_gone(self) -> None:
        """Make the interface anew whenever somebody deletes it. Raises KubespanError."""
        while True:
            await self._gone.wait()
            self._gone.clear()
            await self.plane.close()
            await self.plane.open()
            self.steersman.again()
            self.wake()
