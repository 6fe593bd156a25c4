"""The five calls against our server, and against one that answers anything at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc import StatusCode, aio

from kubespan.discovery.client.channel import open_channel
from kubespan.discovery.client.conversation import MOST_RECORDS, CallFailed, Conversation
from kubespan.discovery.client.effects import Failure, FailureReason
from kubespan.discovery.method import METHODS, SERVICE
from kubespan.discovery.proto.server_pb2 import Affiliate, WatchResponse
from kubespan.discovery.record import AffiliateRecord
from kubespan.model.constants import MAX_ENDPOINTS
from tests.discovery.host import CLUSTER, host

Behave = Callable[[aio.ServicerContext[bytes, bytes]], Awaitable[bytes]]

RECORD = AffiliateRecord("me", b"sealed", (b"one", b"two"))


@asynccontextmanager
async def talking(where: str) -> AsyncIterator[Conversation]:
    channel = open_channel(where, insecure=True)
    try:
        yield Conversation(channel, CLUSTER, "me")
    finally:
        await channel.close()


@asynccontextmanager
async def answering(behave: Behave) -> AsyncIterator[Conversation]:
    """A conversation with a service that does one thing, whatever it is asked."""

    async def unary(_: bytes, context: Any) -> bytes:
        return await behave(context)

    async def stream(_: bytes, context: Any) -> AsyncIterator[bytes]:
        yield await behave(context)

    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        method.name: grpc.unary_stream_rpc_method_handler(stream)
        if method.is_stream
        else grpc.unary_unary_rpc_method_handler(unary)
        for method in METHODS
    }
    server = aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with talking(f"127.0.0.1:{port}") as talk:
            yield talk
    finally:
        await server.stop(None)


async def failure_of(work: Awaitable[object]) -> Failure:
    with pytest.raises(CallFailed) as caught:
        await work
    return caught.value.failure


async def everything(talk: Conversation) -> list[Failure]:
    """Return how each of the five calls fails."""
    return [
        await failure_of(talk.hello()),
        await failure_of(talk.update(RECORD)),
        await failure_of(talk.delete()),
        await failure_of(talk.list()),
        await failure_of(anext(talk.watch())),
    ]


def test_five_calls() -> None:
    async def scenario() -> None:
        async with host() as one, talking(str(one.server.listening)) as talk:
            greeting = await talk.hello()
            assert greeting == ("", bytes([127, 0, 0, 1]))
            await talk.update(RECORD)
            await talk.update(AffiliateRecord("me", b"", (b"three",)))
            (known,) = await talk.list()
            assert known == AffiliateRecord("me", b"sealed", (b"one", b"two", b"three"))
            watch = talk.watch()
            assert await anext(watch) == ((known,), False)
            await talk.delete()
            assert await anext(watch) == ((AffiliateRecord("me", b"", ()),), True)
            assert await talk.list() == ()
            one.registry.close_subscriptions()
            assert [news async for news in watch] == []

    asyncio.run(scenario())


def test_redirect_is_told() -> None:
    async def scenario() -> None:
        async with (
            host(redirect="other:443") as one,
            talking(str(one.server.listening)) as talk,
        ):
            assert (await talk.hello()).redirect == "other:443"

    asyncio.run(scenario())


def test_nobody_there() -> None:
    async def scenario() -> None:
        async with host() as one:
            where = str(one.server.listening)
        async with talking(where) as talk:
            failures = await everything(talk)
            assert {failure.reason for failure in failures} == {FailureReason.UNREACHABLE}

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("code", "reason", "text"),
    [
        (StatusCode.UNAVAILABLE, FailureReason.UNREACHABLE, "why?"),
        (StatusCode.DEADLINE_EXCEEDED, FailureReason.TIMED_OUT, "why?"),
        (StatusCode.RESOURCE_EXHAUSTED, FailureReason.EXHAUSTED, "why?"),
        (StatusCode.ABORTED, FailureReason.ENDED, "why?"),
        (StatusCode.CANCELLED, FailureReason.REFUSED, "CANCELLED: why?"),
        (StatusCode.INVALID_ARGUMENT, FailureReason.REFUSED, "INVALID_ARGUMENT: why?"),
    ],
)
def test_status_is_a_reason(code: StatusCode, reason: FailureReason, text: str) -> None:
    async def refuse(context: aio.ServicerContext[bytes, bytes]) -> bytes:
        await context.abort(code, "why\x1b")

    async def scenario() -> None:
        async with answering(refuse) as talk:
            assert await everything(talk) == [Failure(reason, text)] * 5

    asyncio.run(scenario())


def test_long_text_is_cut() -> None:
    async def refuse(context: aio.ServicerContext[bytes, bytes]) -> bytes:
        await context.abort(StatusCode.INTERNAL, "x" * 1_000)

    async def silent(context: aio.ServicerContext[bytes, bytes]) -> bytes:
        await context.abort(StatusCode.INTERNAL)

    async def scenario() -> None:
        async with answering(refuse) as talk:
            assert len((await failure_of(talk.hello())).text) < 250
        async with answering(silent) as talk:
            assert (await failure_of(talk.hello())).text == "INTERNAL"

    asyncio.run(scenario())


def test_answer_that_is_no_message() -> None:
    async def babble(_: aio.ServicerContext[bytes, bytes]) -> bytes:
        return b"\x0a\xff"

    async def scenario() -> None:
        async with answering(babble) as talk:
            failures = await everything(talk)
            assert {failure.reason for failure in failures} == {FailureReason.REFUSED}
            assert failures[0].text == "its answer is no HelloResponse"

    asyncio.run(scenario())


def test_full_cluster_fits_and_more_is_refused() -> None:
    def snapshot(size: int) -> bytes:
        affiliates = [Affiliate(id=f"{n:043}", data=bytes(size)) for n in range(1_024)]
        return WatchResponse(affiliates=affiliates).SerializeToString()

    async def scenario() -> None:
        big, huge = snapshot(2_048 + 64 * 32), snapshot(20_000)
        async with answering(returning(big)) as talk:
            assert len((await anext(talk.watch())).records) == 1_024
            assert len(await talk.list()) == 1_024
        async with answering(returning(huge)) as talk:
            failure = await failure_of(anext(talk.watch()))
            assert failure.reason is FailureReason.EXHAUSTED

    asyncio.run(scenario())


def test_no_more_is_made_of_an_answer_than_a_cluster_can_have() -> None:
    """Two bytes of an answer can name a record, or an endpoint: 8 MiB could fill our memory."""
    record = Affiliate(id="one", data=b"sealed", endpoints=[b""] * 100_000)
    raw = WatchResponse(affiliates=[record] + [Affiliate()] * 100_000).SerializeToString()

    async def scenario() -> None:
        async with answering(returning(raw)) as talk:
            for records in ((await anext(talk.watch())).records, await talk.list()):
                assert len(records) == MOST_RECORDS
                assert len(records[0].endpoints) == MAX_ENDPOINTS + 1

    asyncio.run(scenario())


def returning(raw: bytes) -> Behave:
    async def behave(_: aio.ServicerContext[bytes, bytes]) -> bytes:
        return raw

    return behave
