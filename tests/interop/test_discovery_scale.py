"""Our server with many: clusters, members of one cluster, and members who all listen at once.

What is waited for must come; how long it took is noted and decides nothing.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import statistics
import time
from collections.abc import Sequence
from typing import Any

import pytest
from grpc import StatusCode

from kubespan.discovery.seal import seal_affiliate, seal_endpoint
from tests.interop.discovery_cluster import ENDPOINTS, Cluster, node, nodes, seen
from tests.interop.discovery_go import GoPeers, Member
from tests.interop.discovery_server import DiscoveryServer

pytestmark = [
    pytest.mark.interop,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(900),  # the first test may have to build the program
]

CLUSTERS, MEMBERS = 200, 3
MANY = 1000
LISTENERS, CHANGES = 100, 20
CALLS_AN_ADDRESS = 50


async def test_two_hundred_clusters(go: GoPeers, server: DiscoveryServer, measured: Any) -> None:
    names = [f"node-{n}" for n in range(MEMBERS)]
    clusters = [Cluster(go, server.endpoint) for _ in range(CLUSTERS)]
    began = time.time()
    await asyncio.gather(*(cluster.populate(*names) for cluster in clusters))
    took = time.time() - began
    measured(f"{CLUSTERS} clusters of {MEMBERS} Go clients know each other after", f"{took:.1f} s")
    await asyncio.gather(*(one.stop() for cluster in clusters for one in cluster.members))


async def test_a_thousand_affiliates(cluster: Cluster, measured: Any) -> None:
    names = [f"node-{n:04}" for n in range(MANY)]
    await asyncio.gather(
        *(announce(cluster, part) for part in batches(names, CALLS_AN_ADDRESS)),
    )
    everyone = nodes(names)
    watcher = await cluster.join("watcher")
    await watcher.sees(everyone)
    took = max(one.at for one in watcher.table.values()) - watcher.answered_at["Hello"]
    measured(f"a Go client knows {MANY} affiliates", f"{took:.2f} s after it was greeted")
    newcomer = await cluster.join("newcomer")
    await newcomer.set(node("newcomer"))
    await watcher.sees({**everyone, **seen(node("newcomer"))})


async def test_a_change_reaches_a_hundred(cluster: Cluster, measured: Any) -> None:
    await cluster.populate(*(f"node-{n:03}" for n in range(LISTENERS)))
    waits = [await reach_all(cluster.members, n) for n in range(CHANGES)]
    last = sorted(max(wait) for wait in waits)
    each = sorted(value for wait in waits for value in wait)
    measured(
        f"a change is known to {LISTENERS - 1} other Go clients after",
        f"{statistics.median(last) * 1e3:.0f} ms for the last of them (median of {CHANGES} changes,"
        f" worst {last[-1] * 1e3:.0f} ms), {statistics.median(each) * 1e3:.0f} ms for one",
    )


async def reach_all(members: Sequence[Member], n: int) -> list[float]:
    """Let one member change; return the seconds until each of the others knew."""
    teller, changed = members[n], node(f"node-{n:03}")
    changed.hostname = "changed.example.org"
    began = await teller.set(changed, ENDPOINTS)
    others = [member for member in members if member is not teller]
    for member in others:
        await member.until(lambda member: member.table[changed.node_id].affiliate == changed)
    return [member.table[changed.node_id].at - began for member in others]


async def announce(cluster: Cluster, names: Sequence[str]) -> None:
    """Tell the server of nodes that do not exist, from one address."""
    place = cluster.place()
    ends = [seal_endpoint(cluster.secret, end.SerializeToString()) for end in ENDPOINTS]
    for name in names:
        message = node(name).SerializeToString(deterministic=True)
        sealed = seal_affiliate(cluster.secret, secrets.token_bytes(12), message)
        request = {
            "cluster_id": cluster.id,
            "affiliate_id": name,
            "affiliate_data": base64.b64encode(sealed).decode(),
            "affiliate_endpoints": [base64.b64encode(end).decode() for end in ends],
            "ttl": "1800s",
        }
        answer = await cluster.go.call(place, "AffiliateUpdate", request)
        assert answer.code is StatusCode.OK


def batches(names: Sequence[str], size: int) -> list[Sequence[str]]:
    """Cut a list into parts."""
    return [names[start : start + size] for start in range(0, len(names), size)]
