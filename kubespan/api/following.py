"""Following a kind of resource from a task: the store's watcher, with an event loop to wait on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from kubespan.model.resources import PeerState
from kubespan.store.kind import KUBESPAN_PEER_STATUSES, Kind
from kubespan.store.store import Store
from kubespan.store.watch import Batch


async def follow(
    store: Store, kind: Kind, id_: str | None = None, namespace: str = ""
) -> AsyncGenerator[Batch, None]:
    """Yield what is there, then what changes, for ever."""
    news = asyncio.Event()
    watch = store.watch(kind, id_, namespace=namespace, wake=news.set)
    try:
        while True:
            yield watch.take()
            await news.wait()
            news.clear()
    finally:
        watch.close()


async def peers_up(store: Store) -> AsyncGenerator[int, None]:
    """Yield how many peers are up, now and whenever a status changes."""
    async with aclosing(follow(store, KUBESPAN_PEER_STATUSES)) as batches:
        async for _ in batches:
            statuses = store.list(KUBESPAN_PEER_STATUSES)
            yield sum(resource.spec.state is PeerState.UP for resource in statuses)
