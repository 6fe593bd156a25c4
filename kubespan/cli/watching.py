"""The process behind `kubespan discovery watch`, from its first call to its last.

The composition root: it alone knows the services, how what they say is joined, this host's own
record, and where all of it is shown.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from kubespan.cli.affiliate import Chronicle
from kubespan.cli.affiliate_format import Told
from kubespan.daemon.announcing import Announcing
from kubespan.discovery.client.authorities import Authorities
from kubespan.discovery.client.client import Report
from kubespan.discovery.client.effects import Publish, Tell
from kubespan.discovery.client.services import Services
from kubespan.mesh.affiliates import merged_affiliates
from kubespan.mesh.local import useful_public_addresses
from kubespan.model.address import IPAddress
from kubespan.model.cluster import ClusterSecret
from kubespan.model.config import NodeConfig
from kubespan.model.errors import SystemFault
from kubespan.model.resources import Affiliate

LEAVE_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
DONE, TIMED_OUT, INTERRUPTED = 0, 5, 130
"""Exit codes."""


class Watching:
    """One run of the command."""

    def __init__(
        self,
        config: NodeConfig,
        secret: ClusterSecret,
        authorities: Authorities,
        announcing: Announcing | None,
        show: Callable[[Sequence[Told]], None],
        tell: Callable[[str], None],
    ) -> None:
        self._announcing = announcing
        self._show = show
        self._tell = tell
        self._names = {service.name for service in config.services}
        self._chronicle = Chronicle()
        self._heard: set[str] = set()
        self._has_news = asyncio.Event()
        self._all_heard = asyncio.Event()
        self._leave = asyncio.Event()
        self._services = Services(
            config.services,
            config.cluster_id,
            secret,
            "" if announcing is None else announcing.node.node_id,
            self._hear,
            authorities=authorities,
            is_useful=_is_useful,
        )

    async def run(self, patience: float | None) -> int:
        """Show changes until asked to leave, or all there is within so many seconds.

        Returns an exit code. Raises BrokenPipeError when nobody reads any more.
        """
        loop = asyncio.get_running_loop()
        for number in LEAVE_SIGNALS:
            loop.add_signal_handler(number, self._leave.set)
        if self._announcing is not None:
            self._announcing.recall(self._services, self._tell)
        self._services.start()
        chores = [asyncio.ensure_future(chore) for chore in self._chores()]
        try:
            if patience is not None:
                return await self._show_once(patience)
            return await self._show_until_asked(chores)
        finally:
            for chore in chores:
                chore.cancel()
            await asyncio.gather(*chores, return_exceptions=True)
            self._save()
            await self._services.stop()

    def _chores(self) -> list[Coroutine[None, None, None]]:
        """Return what goes on beside the showing."""
        if self._announcing is None:
            return []
        follow = self._announcing.follow(self._services, self._tell)
        return [follow, self._announcing.save_now_and_then(self._services, self._members)]

    async def _show_until_asked(self, chores: Sequence[asyncio.Future[None]]) -> int:
        leave = asyncio.ensure_future(self._leave.wait())
        show = asyncio.ensure_future(self._show_changes())
        try:
            awaited: list[asyncio.Future[Any]] = [leave, show, *chores]
            ended, _ = await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            for future in ended:
                future.result()
            return DONE
        finally:
            leave.cancel()
            show.cancel()

    async def _show_changes(self) -> None:
        while True:
            await self._has_news.wait()
            self._has_news.clear()
            events = self._chronicle.follow(self._members(), _rfc3339())
            # A reader that is slow must not keep us from talking to the services.
            await asyncio.to_thread(self._show, events)

    async def _show_once(self, patience: float) -> int:
        leave = asyncio.ensure_future(self._leave.wait())
        heard = asyncio.ensure_future(self._all_heard.wait())
        await asyncio.wait({leave, heard}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        leave.cancel()
        heard.cancel()
        if self._leave.is_set():
            return INTERRUPTED
        if not self._heard:
            self._tell(f"no discovery service has answered within {patience:g} s")
            return TIMED_OUT
        events = self._chronicle.follow(self._members(), _rfc3339())
        self._show([(None, shown) for _, shown in events])
        return DONE

    def _hear(self, name: str, report: Report) -> None:
        match report:
            case Tell(text):
                self._tell(text)
            case Publish(is_whole=is_whole):
                self._has_news.set()
                if is_whole:
                    self._heard.add(name)
                if self._heard == self._names:
                    self._all_heard.set()

    def _members(self) -> tuple[Affiliate, ...]:
        return merged_affiliates(self._services.raw)

    def _save(self) -> None:
        if self._announcing is not None:
            with suppress(SystemFault):
                self._announcing.save(self._members(), is_heard=self._services.is_heard)


def _is_useful(address: IPAddress) -> bool:
    return bool(useful_public_addresses((address,)))


def _rfc3339() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
