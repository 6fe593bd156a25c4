"""The official client's seals and ours are the same: what either closes, the other opens.

What the official client seals is taken from the server, where it lies as it travelled.
"""

from __future__ import annotations

import base64
import secrets

import pytest

from kubespan.discovery.message import (
    build_affiliate,
    build_endpoint,
    parse_affiliate,
    parse_endpoint,
)
from kubespan.discovery.seal import open_affiliate, open_endpoint, seal_affiliate, seal_endpoint
from kubespan.model.address import Endpoint
from tests.interop.discovery_cluster import Cluster, endpoint, node, seen

pytestmark = [
    pytest.mark.interop,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(900),  # the first test may have to build the program
]

ENDPOINTS = {
    "10.0.0.2:51820": endpoint("10.0.0.2"),
    "203.0.113.7:1": endpoint("203.0.113.7", 1),
    "1.1.1.1:343": endpoint("1.1.1.1", 343),
    "192.0.2.255:65535": endpoint("192.0.2.255", 65535),
    "[2001:db8::1]:51820": endpoint("2001:db8::1"),
}


async def test_theirs_are_ours(cluster: Cluster) -> None:
    """Endpoints byte for byte, affiliates byte for byte once open."""
    one = await cluster.join("one")
    two = await cluster.join("two")
    await one.set(node("one"), ENDPOINTS.values())
    await two.until(lambda two: "one" in two.table)
    answer = await cluster.go.call(cluster.place(), "List", {"cluster_id": cluster.id})
    (stored,) = answer.reply.affiliates
    assert list(stored.endpoints) == [
        seal_endpoint(cluster.secret, build_endpoint(Endpoint.parse(text))) for text in ENDPOINTS
    ]
    opened = [parse_endpoint(open_endpoint(cluster.secret, e)) for e in stored.endpoints]
    assert [str(end) for end in opened] == list(ENDPOINTS)
    message = open_affiliate(cluster.secret, stored.data)
    assert message == node("one").SerializeToString(deterministic=True)
    assert build_affiliate(parse_affiliate(message)) == message


async def test_ours_are_theirs(cluster: Cluster) -> None:
    """The official client opens what we sealed, and finds every field."""
    one = await cluster.join("one")
    message = build_affiliate(parse_affiliate(node("two").SerializeToString()))
    sealed = seal_affiliate(cluster.secret, secrets.token_bytes(12), message)
    ends = [seal_endpoint(cluster.secret, build_endpoint(Endpoint.parse(e))) for e in ENDPOINTS]
    request = {
        "cluster_id": cluster.id,
        "affiliate_id": "two",
        "affiliate_data": base64.b64encode(sealed).decode(),
        "affiliate_endpoints": [base64.b64encode(end).decode() for end in ends],
        "ttl": "60s",
    }
    await cluster.go.call(cluster.place(), "AffiliateUpdate", request)
    await one.sees(seen(node("two"), ENDPOINTS.values()))
