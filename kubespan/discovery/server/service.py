"""A whole discovery server in one process: state, journal, gRPC port, web port, and its chores.

Puts the parts together and takes them apart again in the right order; decides nothing. Its clock is
boot time, the registry's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from structlog.typing import FilteringBoundLogger

from kubespan.discovery.server.caller import Trust
from kubespan.discovery.server.certificate import CertificateFiles
from kubespan.discovery.server.continuity import Moment
from kubespan.discovery.server.groupcommit import GroupCommit
from kubespan.discovery.server.listening import Listening
from kubespan.discovery.server.metrics import create_metrics
from kubespan.discovery.server.refusal import Refusal
from kubespan.discovery.server.registry import Registry
from kubespan.discovery.server.server import Server
from kubespan.discovery.server.servicer import Servicer
from kubespan.discovery.server.storage import Storage, open_storage, read_boot_id
from kubespan.discovery.server.tally import ServerTally
from kubespan.discovery.server.tokenbucket import TokenBuckets
from kubespan.discovery.server.web import Web
from kubespan.model.errors import ConfigError

GRACE: Final = 5.0
"""Seconds that calls have to end when the server stops. Discovery service, as observed."""

DISCARD_INTERVAL: Final = 60.0
"""How often full token buckets are forgotten. Likewise."""

LOOK_INTERVAL: Final = 5.0
"""How often the certificate's files are looked at."""

EXPIRED_AT_ONCE: Final = 16
"""Expired records that watchers are told of before they get time to take them: half a queue."""

TIME_TO_TAKE: Final = 0.02
"""Seconds of that time. Nobody waits for a collection."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator chose."""

    listening: Listening
    certificate: tuple[Path, Path] | None = None
    """The files of the certificate and its key; without them it is plaintext."""

    state: Path | None = None
    """The directory to keep the state in; without it, it is in memory only."""

    metrics: Listening | None = None
    gc_interval: float = 60.0
    redirect: str = ""
    trust: Trust = field(default_factory=Trust)
    is_inspectable: bool = False


class Service:
    """One server from `start` to `stop`; a failed start leaves nothing behind."""

    def __init__(self, settings: Settings, log: FilteringBoundLogger) -> None:
        self.registry = Registry()
        self.tally = ServerTally()
        self.buckets = TokenBuckets()
        self.server: Server | None = None
        self.web: Web | None = None
        self.is_ready = False
        self._settings = settings
        self._log = log
        self._storage: Storage | None = None
        self._journal: GroupCommit | None = None
        self._chores: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Serve from now on. Raises ConfigError or SystemFault."""
        try:
            await self._start()
        except BaseException:
            await self.stop(grace=0.0)
            raise

    async def stop(self, grace: float = GRACE) -> None:
        """End every stream well, make everything durable, and serve no more. May be repeated."""
        self.is_ready = False
        for chore in self._chores:
            chore.cancel()
        await asyncio.gather(*self._chores, return_exceptions=True)
        self.registry.close_subscriptions()
        if self.server is not None:
            await self.server.stop(grace)
        if self.web is not None:
            await self.web.stop()
        if self._journal is not None:
            await self._journal.close()
        self._chores, self.server, self.web, self._journal = [], None, None, None

    async def collect(self) -> None:
        """What has expired is gone, and watchers had time to hear of it."""
        self.tally.collections += 1
        is_complete = False
        while not is_complete:
            collected = self.registry.collect(now(), EXPIRED_AT_ONCE)
            self.tally.collected_clusters += collected.clusters
            self.tally.collected_affiliates += collected.affiliates
            is_complete = collected.is_complete
            await asyncio.sleep(TIME_TO_TAKE)
        await self._commit()

    def look_at_certificate(self, certificate: CertificateFiles) -> None:
        """A new certificate is used from now on; one that cannot be is said."""
        try:
            if certificate.look():
                self._log.info("the certificate was replaced")
        except ConfigError as error:
            self._log.warning("the new certificate is not used", reason=str(error))

    async def _start(self) -> None:
        settings = self._settings
        # What may be wrong comes before what takes a port.
        certificate = (
            None if settings.certificate is None else CertificateFiles(*settings.certificate)
        )
        if settings.state is not None:
            self._open(settings.state)
        servicer = Servicer(
            self.registry,
            self._commit,
            self.tally,
            self.buckets,
            self._log,
            now,
            trust=settings.trust,
            redirect=settings.redirect,
        )
        server = self.server = Server(servicer.handler(), settings.listening, certificate)
        if settings.metrics is not None:
            await self._start_web(settings.metrics)
        await server.start()
        self._begin_chores(certificate)
        self.is_ready = True
        self._tell_where(server)

    def _open(self, directory: Path) -> None:
        boot_id = read_boot_id()
        opened = open_storage(directory, lambda: Moment(boot_id, now(), time.time()))
        if opened.set_aside is not None:
            self._log.error(
                "the state could not be used and was set aside; beginning with none",
                reason=opened.reason,
                now=str(opened.set_aside),
            )
        self._storage = opened.storage
        self._journal = GroupCommit(opened.storage)
        self.registry = Registry(self._journal)
        restored = self.registry.restore(opened.everything, now())
        self._log.info("the state was restored", affiliates=restored, directory=str(directory))

    async def _start_web(self, listening: Listening) -> None:
        self.web = Web(
            listening,
            create_metrics(self.registry, self.tally, self._storage),
            lambda: self.is_ready,
            self.registry if self._settings.is_inspectable else None,
            now,
        )
        await self.web.start()

    def _begin_chores(self, certificate: CertificateFiles | None) -> None:
        async def discard() -> None:
            self.buckets.discard_full(now())

        async def look() -> None:
            if certificate is not None:
                self.look_at_certificate(certificate)

        for interval, chore in (
            (self._settings.gc_interval, self.collect),
            (DISCARD_INTERVAL, discard),
            (LOOK_INTERVAL, look),
        ):
            self._chores.append(asyncio.create_task(self._repeat(interval, chore)))

    async def _repeat(self, interval: float, chore: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(interval)
            try:
                await chore()
            except Refusal as refusal:
                self._log.error("the state cannot be kept", reason=refusal.message)
            except Exception as error:  # noqa: BLE001  what runs keeps running
                self._log.error("a bug of ours; it will be tried again", exc_info=error)

    async def _commit(self) -> None:
        if self._journal is not None:
            await self._journal.durable()

    def _tell_where(self, server: Server) -> None:
        self._log.info(
            "listening",
            address=str(server.listening),
            tls=self._settings.certificate is not None,
            state=str(self._settings.state or "memory"),
            metrics=str(self.web.listening) if self.web else "off",
        )


def now() -> float:
    """Return the present moment in seconds since boot."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
