"""A journal that makes changes durable together, in one thread beside the event loop.

However many callers wait, one commit at a time is under way and one more is to follow; each takes
all that was noted before it begins. Of an affiliate that changed twice only the last is written.
For the thread of one event loop.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from kubespan.discovery.server.journal import Saved
from kubespan.discovery.server.refusal import Refusal, RefusalCode
from kubespan.discovery.server.storage import Key, Storage

BACKLOG: Final = 16_384
"""Affiliates whose last change may wait for the disk; a commit of so many takes half a second."""


class GroupCommit:
    """Notes changes for a storage, which nobody else may use from here on."""

    def __init__(self, storage: Storage, backlog: int = BACKLOG) -> None:
        self._storage = storage
        self._backlog = backlog
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="discovery-storage")
        self._pending: dict[Key, Saved | None] = {}
        self._under_way: asyncio.Task[Refusal | None] | None = None
        self._to_follow: asyncio.Task[Refusal | None] | None = None

    def admit(self) -> None:
        """Raise Refusal while too many changes wait, and try them again meanwhile."""
        if len(self._pending) >= self._backlog:
            self._begin()
            raise Refusal(RefusalCode.RESOURCE_EXHAUSTED, "the server cannot store any more now")

    def put(self, saved: Saved) -> None:
        """Note that an affiliate is this from here on."""
        self._pending[saved.cluster_id, saved.affiliate_id] = saved

    def remove(self, cluster_id: str, affiliate_id: str) -> None:
        """Note that an affiliate is gone."""
        self._pending[cluster_id, affiliate_id] = None

    async def durable(self) -> None:
        """Everything noted so far is on disk; only then may it be acknowledged.

        Raises Refusal when it is not: it stays noted, and is tried again with whatever comes next.
        """
        if self._pending:
            self._begin()
        commit = self._to_follow or self._under_way
        if commit is None:
            return
        # Shielded, for others wait for it too.
        refusal = await asyncio.shield(commit)
        if refusal is not None:
            raise Refusal(refusal.code, refusal.message)

    async def close(self) -> None:
        """What was noted is on disk, if it can be, and the file is closed."""
        with suppress(Refusal):
            await self.durable()
        await asyncio.get_running_loop().run_in_executor(self._executor, self._storage.close)
        self._executor.shutdown()

    def _begin(self) -> None:
        if self._to_follow is None:
            self._to_follow = asyncio.create_task(self._commit(self._under_way))

    async def _commit(self, before: asyncio.Task[Refusal | None] | None) -> Refusal | None:
        if before is not None:
            await asyncio.wait([before])
        self._under_way, self._to_follow = self._to_follow, None
        batch, self._pending = self._pending, {}
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._executor, self._storage.save, batch)
        except BaseException as error:
            self._pending = batch | self._pending
            if isinstance(error, Refusal):
                return error
            raise
        return None
