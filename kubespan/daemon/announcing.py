"""This host as a member: who it is, what it says of itself, and whom it remembers.

Keeps the record at the services true while the host's addresses change, and a sealed cache of the
members, so that the next start knows them before any service answers.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Final, Protocol

import kubespan
from kubespan.discovery.seal import NONCE_SIZE
from kubespan.linux.address import read_links_and_addresses
from kubespan.mesh.local import local_affiliate
from kubespan.model.address import IPAddress
from kubespan.model.cluster import ClusterSecret
from kubespan.model.config import NodeConfig
from kubespan.model.errors import KubespanError, SystemFault
from kubespan.model.host import Host
from kubespan.model.resources import Affiliate, KubeSpanIdentity, NodeIdentity
from kubespan.state.cache import AffiliateCache, Remembered
from kubespan.state.directory import StateDirectory
from kubespan.state.identity import load_kubespan_identity, load_node_identity

LOOK_INTERVAL: Final = 10.0
"""Seconds between two looks at the host's addresses, if nothing tells that they have changed."""

SAVE_INTERVAL: Final = 60.0
"""Seconds between two times that the cache is written while nobody comes, goes or moves."""

SETTLE_INTERVAL: Final = 1.0
"""The least between two: who is killed and starts again steers by what was written."""

CLOCK_SLACK: Final = 60.0
"""Seconds by which a clock may be set back without anything being wrong."""


_Claims = frozenset[tuple[object, ...]]


class Announced(Protocol):
    """Where a record is announced: one service, or many."""

    @property
    def addresses(self) -> tuple[IPAddress, ...]:
        """Where we are seen from outside."""

    @property
    def is_heard(self) -> bool:
        """Whether somebody tells us right now who is there."""

    def announce(self, affiliate: Affiliate) -> int:
        """Register as this; return how many endpoints cannot be told. Raises BlobRefused."""

    def remember(self, members: Mapping[str, Affiliate]) -> None:
        """Take these for members until a service tells better."""


class Announcing:
    """The host's identity, kept in its state directory, and its record."""

    def __init__(self, config: NodeConfig, secret: ClusterSecret) -> None:
        """Read who the host is, or make it. Raises ConfigError and SystemFault."""
        directory = StateDirectory.open(Path(config.state_directory))
        self.config = config
        """May be replaced by another one of the same cluster; `look_soon` then."""

        self.node: NodeIdentity = load_node_identity(directory, os.urandom)
        self.identity: KubeSpanIdentity | None = None
        """None where KubeSpan is off."""

        if config.kubespan.enabled:
            links, _ = read_links_and_addresses()
            self.identity = load_kubespan_identity(directory, config.cluster_id, links, os.urandom)
        self.affiliate: Affiliate | None = None
        """What was last announced."""

        self._system_hostname = system_hostname()
        self._cache = AffiliateCache(directory.path, config.cluster_id, secret)
        self._seen_at: dict[str, int] = {}
        self._latest = 0
        self._recalled: _Claims | None = _claims([])
        """What is in the cache already; None where nobody can say."""

        self._is_due = asyncio.Event()
        self._saving = Lock()

    @property
    def hostname(self) -> str:
        """What this host is called."""
        return self.config.hostname or self._system_hostname

    def seen_at(self, node_id: str) -> float | None:
        """When a member was last known to be there, as far as the cache knows: epoch seconds."""
        return self._seen_at.get(node_id)

    def clock_behind(self, wall: float) -> float:
        """Return by how many seconds the wall clock is at least behind.

        Whoever the cache remembers was seen in the past, by this host's own clock.
        """
        return max(0.0, self._latest - wall - CLOCK_SLACK)

    def look_soon(self) -> None:
        """See at once whether the host is still what was announced."""
        self._is_due.set()

    def recall(self, services: Announced, tell: Callable[[str], None]) -> None:
        """Let the services begin with whom the cache remembers."""
        recalled = self._cache.load(time.time())
        if recalled.fault is not None:
            tell(f"{self._cache.path}: the cache of members {recalled.fault.value}; not used")
        self._seen_at = {one.affiliate.node_id: one.seen_at for one in recalled.members}
        self._latest = max(self._seen_at.values(), default=0)
        known = _claims([one.affiliate for one in recalled.members])
        self._recalled = known if recalled.fault is None else None
        services.remember({one.affiliate.node_id: one.affiliate for one in recalled.members})

    async def follow(
        self,
        services: Announced,
        tell: Callable[[str], None],
        hear_change: Callable[[], object] = lambda: None,
    ) -> None:
        """Keep our record at the services what the host is, until cancelled."""
        trouble = ""
        while True:
            self._is_due.clear()
            try:
                affiliate = await self._affiliate(services)
                left_out = services.announce(affiliate)
                if affiliate != self.affiliate:
                    self.affiliate = affiliate
                    hear_change()
                news = f"{left_out} of our endpoints cannot be announced" if left_out else ""
            except KubespanError as error:
                news = f"what this host is cannot be announced: {error}"
            if news not in {"", trouble}:
                tell(news)
            trouble = news
            # Not wait_for: Python 3.11's forgets that it was cancelled if it is woken just then.
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_INTERVAL):
                    await self._is_due.wait()

    async def save_now_and_then(
        self, services: Announced, members: Callable[[], Sequence[Affiliate]]
    ) -> None:
        """Write the cache again and again, and soon after a change of members, until cancelled."""
        clock = asyncio.get_running_loop().time
        # What cannot be used now, but perhaps by others, is not written over without news.
        written = _claims(members()) if self._recalled is None else self._recalled
        due_at = clock() + SAVE_INTERVAL
        while True:
            await asyncio.sleep(SETTLE_INTERVAL)
            present = members()
            claims = _claims(present)
            if claims != written or clock() >= due_at:
                written, due_at = claims, clock() + SAVE_INTERVAL
                with suppress(SystemFault):
                    await asyncio.to_thread(self.save, present, is_heard=services.is_heard)

    def save(self, members: Sequence[Affiliate], *, is_heard: bool) -> None:
        """Write whom we know; they were seen just now if a service tells of them.

        Raises SystemFault. May be called in several threads, and waits for its turn.
        """
        with self._saving:
            at = int(time.time())
            seen_at = self._seen_at
            self._seen_at = {
                one.node_id: at if is_heard else seen_at.get(one.node_id, at) for one in members
            }
            remembered = [Remembered(one, self._seen_at[one.node_id]) for one in members]
            self._cache.save(remembered, os.urandom(NONCE_SIZE))

    async def _affiliate(self, services: Announced) -> Affiliate:
        links, addresses = await asyncio.to_thread(read_links_and_addresses)
        host = Host(self.hostname, links, addresses, services.addresses)
        return local_affiliate(
            self.config, self.node, self.identity, host, version=kubespan.__version__
        )


def _claims(members: Sequence[Affiliate]) -> _Claims:
    """Return who is a member, and what is routed to it."""
    return frozenset(
        (one.node_id, one.addresses, one.kubespan and one.kubespan.additional_addresses)
        for one in members
    )


def system_hostname() -> str:
    """Return the host's full name, or its short one where its full one says nothing. May block."""
    full, short = socket.getfqdn(), socket.gethostname()
    return short if full.startswith("localhost") else full
