"""The five calls through a real connection: what is answered, refused, delayed and told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from ipaddress import ip_address
from itertools import count
from typing import Any
from unittest import mock

import grpc
import pytest
from grpc import StatusCode

from kubespan.discovery.method import (
    AFFILIATE_DELETE,
    AFFILIATE_UPDATE,
    HELLO,
    LIST,
    SERVICE,
    WATCH,
    Method,
)
from kubespan.discovery.proto.server_pb2 import (
    AffiliateDeleteRequest,
    HelloRequest,
    ListRequest,
    ListResponse,
)
from kubespan.discovery.server.call import Call
from kubespan.discovery.server.caller import Trust
from kubespan.discovery.server.refusal import Refusal, RefusalCode
from kubespan.discovery.server.sendbudget import BUDGET_OF_ONE
from kubespan.discovery.server.servicer import LOST_UPDATE, _code_of_leaving
from kubespan.discovery.server.tally import CallTally
from kubespan.discovery.server.tokenbucket import CALLS_AT_ONCE, CALLS_PER_SECOND
from kubespan.model.constants import MAX_AFFILIATES, MAX_ENDPOINTS, MAX_UNDELIVERED
from tests.discovery.host import CLUSTER, PATIENCE, Client, Host, host, refused, until

BURST = int(CALLS_AT_ONCE)
INVALID, EXHAUSTED = StatusCode.INVALID_ARGUMENT, StatusCode.RESOURCE_EXHAUSTED


class Clock:
    """Time that passes by itself only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def run(scenario: Callable[[Host, Client], Awaitable[None]], **options: Any) -> None:
    async def whole() -> None:
        async with host(**options) as one, one.client() as client:
            await scenario(one, client)

    asyncio.run(whole())


def hello(**fields: str) -> HelloRequest:
    return HelloRequest(**{"cluster_id": CLUSTER, "client_version": "v1.14.0", **fields})


async def listed(client: Client) -> dict[str, tuple[bytes, tuple[bytes, ...]]]:
    response: ListResponse = await client.call(LIST, ListRequest(cluster_id=CLUSTER))
    return {one.id: (one.data, tuple(one.endpoints)) for one in response.affiliates}


# ------------------------------------------------------------------------------ what is answered


def test_hello_tells_who_calls() -> None:
    async def scenario(one: Host, client: Client) -> None:
        response = await client.call(HELLO, hello())
        assert response.client_ip == bytes([127, 0, 0, 1])
        assert not response.HasField("redirect")
        assert one.tally.hellos == {"v1.14": 1}

    run(scenario)
    run(scenario, address=":0")


def test_hello_sends_everybody_elsewhere() -> None:
    async def scenario(_: Host, client: Client) -> None:
        response = await client.call(HELLO, hello())
        assert response.redirect.endpoint == "discovery.example:443"

    run(scenario, redirect="discovery.example:443")


def test_version_is_counted_before_the_cluster_is_looked_at() -> None:
    async def scenario(one: Host, client: Client) -> None:
        with refused(INVALID, "cluster id"):
            await client.call(HELLO, hello(cluster_id=""))
        assert one.tally.hellos == {"v1.14": 1}

    run(scenario)


@pytest.mark.parametrize(
    ("trust", "address"), [(Trust(), "127.0.0.1"), (Trust(True), "2001:db8::1")]
)
def test_header_is_believed_only_where_it_is_trusted(trust: Trust, address: str) -> None:
    async def scenario(_: Host, client: Client) -> None:
        metadata = (("x-real-ip", "2001:db8::1"),)
        response = await client.call(HELLO, hello(), metadata=metadata)
        assert response.client_ip == ip_address(address).packed

    run(scenario, trust=trust)


def test_update_is_listed_and_delete_is_not() -> None:
    async def scenario(_: Host, client: Client) -> None:
        await client.update("a", b"one", [b"e1", b"e2", b"e1"])
        await client.update("b", b"", [b""])
        await client.update("a", b"two", [b"e3"])
        await client.update("a", b"")
        assert await listed(client) == {"a": (b"two", (b"e1", b"e2", b"e3")), "b": (b"", (b"",))}
        gone = AffiliateDeleteRequest(cluster_id=CLUSTER, affiliate_id="a")
        await client.call(AFFILIATE_DELETE, gone)
        await client.call(AFFILIATE_DELETE, gone)
        assert list(await listed(client)) == ["b"]

    run(scenario)


def test_change_is_acknowledged_only_once_it_is_durable() -> None:
    async def scenario() -> None:
        is_durable = asyncio.Event()
        async with host(commit=lambda: _true(is_durable.wait())) as one, one.client() as client:
            update = asyncio.create_task(client.update())
            await until(lambda: one.registry.counts.affiliates == 1)
            assert await listed(client) == {"a": (b"data", ())}
            assert not update.done()
            is_durable.set()
            await update

    asyncio.run(scenario())


async def _true(wait: Awaitable[bool]) -> None:
    assert await wait


def test_change_that_cannot_be_made_durable_is_refused() -> None:
    async def full() -> None:
        raise Refusal(RefusalCode.UNAVAILABLE, "the disk is gone")

    async def scenario(_: Host, client: Client) -> None:
        with refused(StatusCode.UNAVAILABLE, "the disk is gone"):
            await client.update()
        with refused(StatusCode.UNAVAILABLE, "the disk is gone"):
            await client.call(
                AFFILIATE_DELETE, AffiliateDeleteRequest(cluster_id=CLUSTER, affiliate_id="a")
            )

    run(scenario, commit=full)


# ------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("update", "said"),
    [
        ({"cluster_id": "", "affiliate_id": ""}, "cluster id"),
        ({"cluster_id": "c" * 257}, "cluster id"),
        ({"cluster_id": "é" * 129}, "cluster id"),  # bytes are counted, not letters
        ({"affiliate_id": "", "data": b"x" * 2049}, "affiliate id"),
        ({"affiliate_id": "a" * 257}, "affiliate id"),
        ({"data": b"x" * 2049, "endpoints": [b"e" * 33]}, "data"),
        ({"endpoints": [b"e", b"e" * 33], "ttl": 1801.0}, "endpoint"),
        ({"ttl": 1801.0}, "ttl"),
        ({"ttl": 1800.000000001}, "ttl"),
        ({"ttl": 2.0**53}, "ttl"),
    ],
)
def test_limit_of_an_update(update: dict[str, Any], said: str) -> None:
    async def scenario(one: Host, client: Client) -> None:
        with refused(INVALID, said):
            await client.update(**update)
        assert one.registry.counts.affiliates == 0

    run(scenario)


@pytest.mark.parametrize(
    "update",
    [
        {"cluster_id": "c" * 256},
        {"affiliate_id": "a" * 256},
        {"data": b"x" * 2048},
        {"endpoints": [b"e" * 32]},
        {"endpoints": [b"e"] * 100},
        {"ttl": 1800.0},
        {"ttl": 0.0},
        {"ttl": -5.0},
    ],
)
def test_up_to_the_limit_all_is_well(update: dict[str, Any]) -> None:
    async def scenario(one: Host, client: Client) -> None:
        await client.update(**update)
        assert one.registry.counts.affiliates == 1

    run(scenario)


@pytest.mark.parametrize("cluster_id", ["", "c" * 257])
def test_every_call_refuses_a_bad_cluster(cluster_id: str) -> None:
    async def scenario(_: Host, client: Client) -> None:
        with refused(INVALID, "cluster id"):
            await client.call(LIST, ListRequest(cluster_id=cluster_id))
        with refused(INVALID, "cluster id"):
            await client.call(AFFILIATE_DELETE, AffiliateDeleteRequest(cluster_id=cluster_id))
        with refused(INVALID, "cluster id"):
            await client.watch(cluster_id).next()
        with refused(INVALID, "affiliate id"):
            await client.call(AFFILIATE_DELETE, AffiliateDeleteRequest(cluster_id=CLUSTER))

    run(scenario)


def test_affiliates_of_a_cluster_are_limited() -> None:
    async def scenario(one: Host, client: Client) -> None:
        for number in range(MAX_AFFILIATES):
            one.registry.update(CLUSTER, str(number), b"x", (), 1800.0, 0.0)
        with refused(EXHAUSTED):
            await client.update("one more")
        await client.update("7", b"known")
        assert "one more" not in await listed(client)

    run(scenario)


def test_endpoints_of_an_affiliate_are_limited_and_what_fits_is_kept() -> None:
    async def scenario(_: Host, client: Client) -> None:
        many = [str(number).encode() for number in range(MAX_ENDPOINTS + 5)]
        with refused(EXHAUSTED):
            await client.update("a", b"new", many)
        assert await listed(client) == {"a": (b"new", tuple(many[:MAX_ENDPOINTS]))}

    run(scenario)


WRONG_TYPE, TOO_SHORT, NOT_UTF8 = b"\x08\x05", b"\x0a\x05abc", b"\x0a\x02\xff\xfe"


@pytest.mark.parametrize("raw", [WRONG_TYPE, TOO_SHORT, NOT_UTF8])
def test_request_that_cannot_be_read_is_internal(raw: bytes) -> None:
    async def scenario(one: Host, client: Client) -> None:
        for method in (HELLO, AFFILIATE_UPDATE, AFFILIATE_DELETE, LIST):
            with refused(StatusCode.INTERNAL, method.request.DESCRIPTOR.name):
                await client.send(method.path, raw)
        with refused(StatusCode.INTERNAL, "WatchRequest"):
            await client.watch_raw(raw).next()
        assert one.registry.counts.clusters == 0
        assert one.tally.calls[HELLO].handled == {"Internal": 1}

    run(scenario)


def test_unknown_fields_are_ignored() -> None:
    async def scenario(_: Host, client: Client) -> None:
        await client.send(HELLO.path, hello().SerializeToString() + b"\x7a\x03abc")

    run(scenario)


@pytest.mark.parametrize("path", [f"/{SERVICE}/Goodbye", "/some.Service/Hello"])
def test_unknown_call_is_unimplemented(path: str) -> None:
    async def scenario(_: Host, client: Client) -> None:
        with refused(StatusCode.UNIMPLEMENTED):
            await client.send(path, b"")

    run(scenario)


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_request_is_unimplemented(compression: grpc.Compression) -> None:
    async def scenario(_: Host, client: Client) -> None:
        with refused(StatusCode.UNIMPLEMENTED):
            await client.send(HELLO.path, hello().SerializeToString(), compression=compression)

    run(scenario)


def test_message_over_4_mib_is_exhausting() -> None:
    async def scenario() -> None:
        async with host() as one, one.client(**{"grpc.max_send_message_length": -1}) as client:
            unknown = b"\x7a" + b"\x80\x80\x80\x02" + bytes(4 << 20)
            with refused(EXHAUSTED):
                await client.send(HELLO.path, unknown)
            with refused(INVALID, "cluster id"):
                await client.send(HELLO.path, b"\x0a\xfb\xff\xff\x01" + b"c" * ((4 << 20) - 5))

    asyncio.run(scenario())


def test_bug_of_ours_ends_one_call_and_is_told_once() -> None:
    async def broken() -> None:
        raise ZeroDivisionError

    async def scenario(one: Host, client: Client) -> None:
        for _ in range(3):
            with refused(StatusCode.INTERNAL, "internal error"):
                await client.update()
        await client.call(HELLO, hello())
        assert one.tally.calls[AFFILIATE_UPDATE].handled == {"Internal": 3}
        assert [line["method"] for line in one.lines if "exc_info" in line] == ["AffiliateUpdate"]

    run(scenario, commit=broken)


# ------------------------------------------------------------------------------- what is delayed


async def use_up(client: Client, calls: int = BURST, **options: Any) -> None:
    await asyncio.gather(*(client.call(HELLO, hello(), **options) for _ in range(calls)))


def test_call_beyond_the_rate_is_delayed_and_not_refused() -> None:
    clock = Clock()

    async def scenario(_: Host, client: Client) -> None:
        await use_up(client)
        began = asyncio.get_running_loop().time()
        await client.call(HELLO, hello())
        # The clock that tokens follow stands still, so this is not a matter of luck.
        assert asyncio.get_running_loop().time() - began >= 1 / CALLS_PER_SECOND

    run(scenario, clock=clock)


def test_call_that_would_wait_past_its_deadline_is_refused_at_once() -> None:
    clock = Clock()

    async def scenario(one: Host, client: Client) -> None:
        await use_up(client)
        clock.now -= 3600.0  # so far in debt that no patience suffices
        with refused(EXHAUSTED, "rate limit"):
            await client.call(HELLO, hello())
        assert one.tally.calls[HELLO].handled == {"OK": BURST, "ResourceExhausted": 1}

    run(scenario, clock=clock)


def tokens(one: Host, address: bytes = bytes([127, 0, 0, 1])) -> float:
    bucket = one.buckets._buckets.get(address)
    return CALLS_AT_ONCE if bucket is None else bucket.tokens


@pytest.mark.parametrize(
    ("path", "raw", "price"),
    [
        (HELLO.path, hello().SerializeToString(), 1),
        (HELLO.path, b"", 1),  # refused by validation
        (LIST.path, b"", 1),
        (HELLO.path, TOO_SHORT, 0),
        (f"/{SERVICE}/Goodbye", b"", 0),
    ],
)
def test_what_a_call_costs(path: str, raw: bytes, price: int) -> None:
    async def scenario(one: Host, client: Client) -> None:
        with suppress(grpc.aio.AioRpcError):
            await client.send(path, raw)
        assert tokens(one) == BURST - price

    run(scenario, clock=Clock())


@pytest.mark.parametrize("raw", [b"\x0a\x01c", b"", TOO_SHORT])
def test_opening_a_watch_costs_a_token_whatever_it_asks_for(raw: bytes) -> None:
    async def scenario(one: Host, client: Client) -> None:
        watch = client.watch_raw(raw)
        if raw == b"\x0a\x01c":
            await watch.next()
        else:
            assert await watch.rest() == []
        assert tokens(one) == BURST - 1

    run(scenario, clock=Clock())


def test_all_connections_of_an_address_share_and_another_address_does_not() -> None:
    async def scenario(one: Host, client: Client) -> None:
        async with one.client() as other:
            await use_up(client, 30)
            await use_up(other, 30)
            await use_up(other, 7, metadata=(("x-real-ip", "192.0.2.9"),))
        assert tokens(one) == 0
        assert tokens(one, bytes([192, 0, 2, 9])) == BURST - 7

    run(scenario, clock=Clock(), trust=Trust(x_real_ip=True))


def test_call_that_leaves_while_it_waits_gives_its_turn_back() -> None:
    clock = Clock()

    async def scenario(one: Host, client: Client) -> None:
        await use_up(client)
        clock.now -= 100.0
        waiting = asyncio.create_task(client.call(HELLO, hello(), timeout=None))
        await until(lambda: one.tally.calls[HELLO].received == BURST + 1)
        before = tokens(one)
        waiting.cancel()
        await until(lambda: tokens(one) == before + 1)
        await until(lambda: one.tally.calls[HELLO].handled["Canceled"] == 1)

    run(scenario, clock=clock)


# ---------------------------------------------------------------------------------- what is told


def test_watch_tells_everything_first_and_then_each_change() -> None:
    async def scenario(_: Host, client: Client) -> None:
        await client.update("a", b"one")
        watch = client.watch()
        snapshot = await watch.next()
        assert [(one.id, one.data) for one in snapshot.affiliates] == [("a", b"one")]
        await client.update("a", b"one")  # the same again is news, too
        await client.update("b", b"", [b"e"])
        await client.update("b", b"", [b"e"])  # but this is not
        await client.call(
            AFFILIATE_DELETE, AffiliateDeleteRequest(cluster_id=CLUSTER, affiliate_id="a")
        )
        changes = [await watch.next() for _ in range(3)]
        assert [(c.affiliates[0].id, len(c.affiliates), c.deleted) for c in changes] == [
            ("a", 1, False),
            ("b", 1, False),
            ("a", 1, True),
        ]
        assert changes[1].affiliates[0].endpoints == [b"e"]

    run(scenario)


def test_watch_of_an_empty_cluster_has_a_first_message() -> None:
    async def scenario(_: Host, client: Client) -> None:
        snapshot = await client.watch("nobody's").next()
        assert list(snapshot.affiliates) == []
        assert not snapshot.deleted

    run(scenario)


def test_watch_sees_its_own_cluster_only() -> None:
    async def scenario(_: Host, client: Client) -> None:
        watch = client.watch()
        await watch.next()
        await client.update("x", cluster_id="another")
        await client.update("a")
        assert (await watch.next()).affiliates[0].id == "a"

    run(scenario)


def test_watcher_that_leaves_is_forgotten() -> None:
    async def scenario(one: Host, client: Client) -> None:
        watch = client.watch()
        await watch.next()
        assert one.registry.counts.subscriptions == 1
        watch.leave()
        await until(lambda: one.registry.counts.subscriptions == 0)
        await until(lambda: one.tally.calls[WATCH].handled == {"Canceled": 1})

    run(scenario)


def test_watch_ends_well_at_its_own_deadline() -> None:
    async def scenario(one: Host, client: Client) -> None:
        watch = client.watch(timeout=0.3)
        await watch.rest()
        await until(lambda: one.tally.calls[WATCH].handled.total() == 1)
        assert one.tally.calls[WATCH].handled == {"OK": 1}
        assert one.registry.counts.subscriptions == 0

    run(scenario)


def test_end_of_the_server_ends_every_watch_well() -> None:
    async def scenario() -> None:
        async with host() as one, one.client() as client:
            watches = [client.watch() for _ in range(20)]
            for watch in watches:
                await watch.next()
            await client.update("last")
            one.registry.close_subscriptions()
            for watch in watches:
                rest = await watch.rest()
                assert [message.affiliates[0].id for message in rest] == ["last"]
                assert await watch.code() is StatusCode.OK

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("method", "remaining", "code"),
    [
        (HELLO, None, StatusCode.CANCELLED),
        (HELLO, 1.0, StatusCode.CANCELLED),
        (HELLO, -0.001, StatusCode.DEADLINE_EXCEEDED),
        (WATCH, None, StatusCode.CANCELLED),
        (WATCH, 0.0, StatusCode.OK),
    ],
)
def test_why_a_call_was_left(method: Method, remaining: float | None, code: StatusCode) -> None:
    context = mock.Mock(spec=grpc.aio.ServicerContext)
    context.time_remaining.return_value = remaining
    assert _code_of_leaving(Call(method, CallTally(), context, b"", 0.0)) is code


SMALL_WINDOW = {
    "grpc.http2.bdp_probe": 0,
    "grpc.http2.lookahead_bytes": 65_535,
    "grpc.max_receive_message_length": -1,
}


def test_watcher_that_does_not_read_costs_a_queue_and_then_loses_its_stream() -> None:
    async def scenario() -> None:
        async with host() as one, one.client() as client, one.client(**SMALL_WINDOW) as idle:
            slow, quick = idle.watch(), client.watch()
            await slow.next()
            await quick.next()
            sent = 0
            while one.registry.counts.subscriptions == 2:
                one.registry.update(CLUSTER, str(sent % 1000), b"x" * 2048, (), 1800.0, 0.0)
                sent += 1
                await quick.next()
            # What it did not take is thrown away, and the others have missed nothing.
            assert one.registry.counts.subscriptions == 1
            rest = await slow.rest()
            assert sent > MAX_UNDELIVERED
            assert len(rest) < sent - MAX_UNDELIVERED + 1
            assert await slow.code() is StatusCode.ABORTED
            assert await slow.details() == LOST_UPDATE

    asyncio.run(scenario())


def test_two_hundred_watchers_hear_of_every_change() -> None:
    watchers, changes = 200, 20

    async def scenario() -> None:
        # A clock in a hurry: so many calls at once are a burst, and this is not about that.
        hurry = count().__next__
        async with host(clock=hurry) as one, one.client() as client, one.client() as other:
            watches = [client.watch() for _ in range(watchers // 2)]
            watches += [other.watch() for _ in range(watchers // 2)]
            for watch in watches:
                await watch.next()
            for number in range(changes):
                await client.update(str(number))
            for watch in watches:
                heard = [(await watch.next()).affiliates[0].id for _ in range(changes)]
                assert heard == [str(number) for number in range(changes)]

    asyncio.run(scenario())


def test_whoever_reads_nothing_holds_a_few_large_messages_and_no_more() -> None:
    asked = 12

    async def scenario() -> None:
        async with host() as one, one.client(**SMALL_WINDOW) as idle, one.client() as client:
            for number in range(MAX_AFFILIATES):
                endpoints = [bytes([number % 256, n]) * 16 for n in range(MAX_ENDPOINTS)]
                one.registry.update(CLUSTER, str(number), b"x" * 2048, endpoints, 1800.0, 0.0)
            budget = one.servicer._budget
            watches = [idle.watch() for _ in range(asked)]
            lists = [
                asyncio.create_task(idle.call(LIST, ListRequest(cluster_id=CLUSTER)))
                for _ in range(3)
            ]
            await until(lambda: one.registry.counts.subscriptions == asked)
            assert 2 * 4_000_000 < budget.spent <= BUDGET_OF_ONE
            # Somebody else on another network is not held up, and those who read go on.
            async with asyncio.timeout(PATIENCE):
                await client.update("7", b"news")
            everything = await asyncio.gather(*(watch.next() for watch in watches), *lists)
            assert [len(each.affiliates) for each in everything] == [MAX_AFFILIATES] * (asked + 3)
            await until(lambda: budget.spent == 0)

    asyncio.run(scenario())


# -------------------------------------------------------------------------------- what is logged


def test_calls_are_logged_for_whoever_asks_and_name_no_cluster() -> None:
    secret = "a cluster's id is half a secret"

    async def scenario(one: Host, client: Client) -> None:
        await client.update("node\n1\x1b", cluster_id=secret)
        with refused(INVALID):
            await client.call(HELLO, hello(cluster_id="", client_version="v1\x00"))
        update, refusal = [line for line in one.lines if line["event"] == "call"]
        assert update["affiliate"] == "node\\n1\\x1b"
        assert (update["method"], update["code"]) == ("AffiliateUpdate", "OK")
        assert (update["peer"], refusal["code"]) == ("127.0.0.1", "InvalidArgument")
        assert refusal["client"] == "v1\\x00"
        assert secret not in str(one.lines)

    run(scenario)


def test_calls_are_not_logged_otherwise() -> None:
    async def scenario(one: Host, client: Client) -> None:
        await client.call(HELLO, hello())
        assert one.lines == []

    run(scenario, level=20)
