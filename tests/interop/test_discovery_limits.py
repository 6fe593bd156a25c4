"""What our server refuses, and with which word, heard through the official client's own stubs.

The table of limits is the Sidero discovery service's, as observed from outside. Each test is one
row, or what must still be so afterwards. Calls come from addresses that nobody else uses, so that
one row does not use up another's patience.
"""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from grpc import StatusCode

from kubespan.discovery.proto import server_pb2
from tests.interop.discovery_cluster import Cluster, next_source
from tests.interop.discovery_go import Answer, GoPeers, Place
from tests.interop.discovery_server import DiscoveryServer

pytestmark = [
    pytest.mark.interop,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(900),  # the first test may have to build the program
]

OK, INVALID, EXHAUSTED = StatusCode.OK, StatusCode.INVALID_ARGUMENT, StatusCode.RESOURCE_EXHAUSTED
BURST, RATE = 60, 15
LONGEST, TOO_LONG = "é" * 128, "é" * 128 + "x"
"""256 and 257 bytes: what is counted is bytes, not letters."""

IDS = pytest.mark.parametrize(
    ("name", "code"),
    [("", INVALID), (LONGEST, OK), (TOO_LONG, INVALID)],
    ids=["empty", "longest", "too long"],
)
METHODS = pytest.mark.parametrize("method", ["Hello", "AffiliateUpdate", "AffiliateDelete", "List"])


def text(size: int) -> str:
    """Return so many bytes as JSON has them."""
    return base64.b64encode(b"\1" * size).decode()


async def update(cluster: Cluster, **more: Any) -> Answer:
    """Announce a node called "one", but for what is said otherwise."""
    request = {"cluster_id": cluster.id, "affiliate_id": "one", "ttl": "1800s", **more}
    return await cluster.go.call(cluster.place(), "AffiliateUpdate", request)


async def listed(cluster: Cluster) -> dict[str, server_pb2.Affiliate]:
    """Return what the server lists."""
    answer = await cluster.go.call(cluster.place(), "List", {"cluster_id": cluster.id})
    return {affiliate.id: affiliate for affiliate in answer.reply.affiliates}


# ----------------------------------------------------------------------------------- the table


@METHODS
@IDS
async def test_cluster_ids(
    go: GoPeers, server: DiscoveryServer, method: str, name: str, code: StatusCode
) -> None:
    request = {"cluster_id": name}
    if method.startswith("Affiliate"):
        request["affiliate_id"] = "one"
    assert (await go.call(server.place(next_source()), method, request)).code is code


@IDS
async def test_cluster_ids_to_watch(
    go: GoPeers, server: DiscoveryServer, name: str, code: StatusCode
) -> None:
    _, first = await go.watch(server.place(next_source()), name)
    assert first.code is code


@pytest.mark.parametrize("method", ["AffiliateUpdate", "AffiliateDelete"])
@IDS
async def test_affiliate_ids(cluster: Cluster, method: str, name: str, code: StatusCode) -> None:
    request = {"cluster_id": cluster.id, "affiliate_id": name}
    assert (await cluster.go.call(cluster.place(), method, request)).code is code


@pytest.mark.parametrize(("size", "code"), [(0, OK), (2048, OK), (2049, INVALID)])
async def test_affiliate_data(cluster: Cluster, size: int, code: StatusCode) -> None:
    assert (await update(cluster, affiliate_data=text(size))).code is code
    stored = {"one": b"\1" * size} if code is OK else {}
    assert {k: v.data for k, v in (await listed(cluster)).items()} == stored


@pytest.mark.parametrize(("size", "code"), [(0, OK), (32, OK), (33, INVALID)])
async def test_endpoint_sizes(cluster: Cluster, size: int, code: StatusCode) -> None:
    answer = await update(cluster, affiliate_endpoints=[text(16), text(size)])
    assert answer.code is code
    assert ("one" in await listed(cluster)) is (code is OK)


@pytest.mark.parametrize(
    ("ttl", "code"),
    [
        (None, OK),
        ("0s", OK),
        ("-1s", OK),
        ("1800s", OK),
        ("1800.000000001s", INVALID),
        ("315576000000s", INVALID),
    ],
)
async def test_ttls(cluster: Cluster, ttl: str | None, code: StatusCode) -> None:
    assert (await update(cluster, ttl=ttl)).code is code


async def test_endpoints_of_an_affiliate(cluster: Cluster) -> None:
    ends = [base64.b64encode(bytes([n])).decode() for n in range(66)]
    answer = await update(cluster, affiliate_data=text(1), affiliate_endpoints=ends)
    assert answer.code is EXHAUSTED
    one = (await listed(cluster))["one"]
    assert one.data == b"\1"
    assert list(one.endpoints) == [bytes([n]) for n in range(64)]


async def test_affiliates_of_a_cluster(cluster: Cluster) -> None:
    places = [cluster.place() for _ in range(24)]

    async def announce(n: int) -> Answer:
        request = {"cluster_id": cluster.id, "affiliate_id": f"node-{n}", "ttl": "1800s"}
        return await cluster.go.call(places[n % 24], "AffiliateUpdate", request)

    codes = [(await announce(n)).code for n in range(1024)]
    assert set(codes) == {OK}
    assert (await announce(1024)).code is EXHAUSTED
    assert (await announce(0)).code is OK
    assert set(await listed(cluster)) == {f"node-{n}" for n in range(1024)}


async def test_a_burst_is_delayed_and_refused_only_to_the_impatient(cluster: Cluster) -> None:
    place = cluster.place()

    async def hello(place: Place, patience: float) -> StatusCode:
        request = {"cluster_id": cluster.id}
        return (await cluster.go.call(place, "Hello", request, timeout=patience)).code

    calls = [asyncio.create_task(hello(place, 60.0)) for _ in range(BURST + 3 * RATE)]
    ended = asyncio.as_completed(calls)
    for _ in range(BURST):
        assert await next(ended) is OK
    assert await hello(place, 0.5) is EXHAUSTED
    assert await hello(cluster.place(), 0.5) is OK
    assert {await call for call in calls} == {OK}


async def test_a_watcher_that_does_not_read_is_let_go(cluster: Cluster) -> None:
    name, first = await cluster.go.watch(cluster.place(), cluster.id)
    assert list(first.reply.affiliates) == []
    places = [cluster.place() for _ in range(20)]
    for n in range(1000):
        data = base64.b64encode(n.to_bytes(2, "big") * 1024).decode()
        request = {"cluster_id": cluster.id, "affiliate_id": "one", "affiliate_data": data}
        answer = await cluster.go.call(places[n % 20], "AffiliateUpdate", {**request, "ttl": "9s"})
        assert answer.code is OK
    ended = await cluster.go.drain(name)
    assert ended.code is StatusCode.ABORTED
    assert "lost update" in ended.message
    assert len(ended.replies) < 1000


# ------------------------------------------------------------------------- what is not a request


@pytest.mark.parametrize(
    "body", [b"\xff\xff\xff", b"\x0a\x7fshort", b"\x08\x01"], ids=["noise", "torn", "wrong type"]
)
@METHODS
async def test_what_cannot_be_decoded(
    go: GoPeers, server: DiscoveryServer, method: str, body: bytes
) -> None:
    answer = await go.call(server.place(next_source()), method, body=body)
    assert answer.code is StatusCode.INTERNAL


@METHODS
async def test_what_is_no_text_is_refused(
    go: GoPeers, server: DiscoveryServer, method: str
) -> None:
    answer = await go.call(server.place(next_source()), method, body=b"\x0a\x02\xff\xfe\x12\x01a")
    assert answer.code in {INVALID, StatusCode.INTERNAL}


async def test_nobody_poisons_a_cluster(cluster: Cluster) -> None:
    one, _ = await cluster.populate("one", "two")
    id_ = cluster.id.encode()
    body = b"\x0a" + bytes([len(id_)]) + id_ + b"\x12\x03\xff\xfe\xfd\x1a\x01x\x2a\x02\x08\x09"
    answer = await cluster.go.call(cluster.place(), "AffiliateUpdate", body=body)
    assert answer.code in {INVALID, StatusCode.INTERNAL}
    three = await cluster.join("three")
    await three.until(lambda three: set(three.table) == {"one", "two"})
    assert set(await listed(cluster)) == {"one", "two"}
    assert one.logs == []


async def test_unknown_fields_are_ignored_and_not_echoed(cluster: Cluster) -> None:
    known = server_pb2.AffiliateUpdateRequest(cluster_id=cluster.id, affiliate_id="one")
    known.ttl.seconds = 9
    body = known.SerializeToString() + b"\xfa\x06\x03abc"
    assert (await cluster.go.call(cluster.place(), "AffiliateUpdate", body=body)).code is OK
    answer = await cluster.go.call(cluster.place(), "List", {"cluster_id": cluster.id})
    assert answer.reply == server_pb2.ListResponse(affiliates=[server_pb2.Affiliate(id="one")])


async def test_unknown_methods(go: GoPeers, server: DiscoveryServer) -> None:
    answer = await go.call(server.place(next_source()), "Members", body=b"")
    assert answer.code is StatusCode.UNIMPLEMENTED


async def test_a_message_beyond_4_mib(cluster: Cluster) -> None:
    request = server_pb2.ListRequest(cluster_id=cluster.id).SerializeToString()
    filling = b"\xfa\x06\x80\x80\x80\x02" + bytes(4 << 20)  # a field that nobody knows
    answer = await cluster.go.call(cluster.place(), "List", body=request + filling)
    assert answer.code is EXHAUSTED


async def test_compression_is_not_spoken(cluster: Cluster) -> None:
    request = {"cluster_id": cluster.id}
    answer = await cluster.go.call(cluster.place(), "List", request, gzip=True)
    assert answer.code is StatusCode.UNIMPLEMENTED


# --------------------------------------------------------------------------------- what is fine


async def test_deleting_nobody_is_fine(cluster: Cluster) -> None:
    request = {"cluster_id": cluster.id, "affiliate_id": "nobody"}
    assert (await cluster.go.call(cluster.place(), "AffiliateDelete", request)).code is OK


async def test_headers_are_not_believed(cluster: Cluster) -> None:
    place, headers = cluster.place(), {"x-real-ip": "8.8.8.8", "x-forwarded-for": "8.8.4.4"}
    request = {"cluster_id": cluster.id}
    answer = await cluster.go.call(place, "Hello", request, headers=headers)
    assert answer.reply.client_ip == bytes(map(int, place.source.split(".")))


async def test_empty_data_leaves_data_alone(cluster: Cluster) -> None:
    await update(cluster, affiliate_data=text(3))
    await update(cluster, affiliate_data="")
    await update(cluster, affiliate_endpoints=[text(2)])
    one = (await listed(cluster))["one"]
    assert (one.data, list(one.endpoints)) == (b"\1" * 3, [b"\1" * 2])
