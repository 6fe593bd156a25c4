"""Following from a task: what is there, then each change, and nothing is left behind."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from kubespan.api.following import follow, peers_up
from kubespan.model.resources import KubeSpanPeerStatus, PeerState
from kubespan.store.kind import AFFILIATES, MERGED_AFFILIATES, PEER_STATUSES
from kubespan.store.store import Store

PATIENCE = 30.0


def test_changes_come_when_they_happen() -> None:
    async def scenario() -> None:
        store = Store()
        store.publish(MERGED_AFFILIATES, {"a": 1}, 0)
        async with aclosing(follow(store, AFFILIATES, "a")) as batches:
            first = await anext(batches)
            assert ([event.resource.id for event in first.events], first.is_anew) == (["a"], True)
            later = asyncio.ensure_future(anext(batches))
            await asyncio.sleep(0)
            assert not later.done()
            store.publish(MERGED_AFFILIATES, {"a": 2}, 0)
            second = await asyncio.wait_for(later, PATIENCE)
            assert [event.resource.spec for event in second.events] == [2]
        store.publish(MERGED_AFFILIATES, {}, 0)
        watch = store.watch(AFFILIATES)
        watch.close()
        assert store._shelves == {}

    asyncio.run(scenario())


def test_peers_are_counted_anew_with_every_change() -> None:
    async def scenario() -> None:
        store = Store()
        up, down = KubeSpanPeerStatus(state=PeerState.UP), KubeSpanPeerStatus()
        async with aclosing(peers_up(store)) as counts:
            assert await anext(counts) == 0
            store.publish(PEER_STATUSES, {"a": up, "b": down}, 0)
            assert await asyncio.wait_for(anext(counts), PATIENCE) == 1
            store.publish(PEER_STATUSES, {"a": up, "b": up}, 0)
            assert await asyncio.wait_for(anext(counts), PATIENCE) == 2

    asyncio.run(scenario())
