"""A discovery server for the tests, on the loopback interface, and clients of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import pytest
import structlog
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from kubespan.discovery.method import AFFILIATE_UPDATE, WATCH, Method
from kubespan.discovery.proto.server_pb2 import (
    AffiliateUpdateRequest,
    WatchRequest,
    WatchResponse,
)
from kubespan.discovery.server.caller import Trust
from kubespan.discovery.server.certificate import CertificateFiles
from kubespan.discovery.server.listening import Listening
from kubespan.discovery.server.registry import Registry
from kubespan.discovery.server.server import Server
from kubespan.discovery.server.servicer import Servicer
from kubespan.discovery.server.tally import ServerTally
from kubespan.discovery.server.tokenbucket import TokenBuckets

PATIENCE: Final = 60.0
"""Seconds after which an answer is not coming at all."""

CLUSTER: Final = "a cluster"

PRIVATE_CHANNEL: Final = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
"""A connection of its own for each channel, and none through a proxy."""


class Client:
    """One connection to the server, and the calls on it."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel: Any = channel  # its stub wants a serializer, and these are bytes

    async def call(self, method: Method, request: Message, **options: Any) -> Any:
        """Make a unary call and return its response."""
        raw = await self.send(method.path, request.SerializeToString(), **options)
        return method.response.FromString(raw)

    async def send(self, path: str, raw: bytes, **options: Any) -> bytes:
        """Make a call of whatever name with whatever bytes."""
        options = {"timeout": PATIENCE, **options}
        call = self._channel.unary_unary(path)(raw, **options)
        result: bytes = await call
        return result

    async def update(
        self,
        affiliate_id: str = "a",
        data: bytes = b"data",
        endpoints: Sequence[bytes] = (),
        *,
        cluster_id: str = CLUSTER,
        ttl: float = 1800.0,
        **options: Any,
    ) -> None:
        whole = int(ttl)
        request = AffiliateUpdateRequest(
            cluster_id=cluster_id,
            affiliate_id=affiliate_id,
            affiliate_data=data,
            affiliate_endpoints=endpoints,
            ttl=Duration(seconds=whole, nanos=round((ttl - whole) * 1e9)),
        )
        await self.call(AFFILIATE_UPDATE, request, **options)

    def watch(self, cluster_id: str = CLUSTER, **options: Any) -> Watch:
        return self.watch_raw(WatchRequest(cluster_id=cluster_id).SerializeToString(), **options)

    def watch_raw(self, raw: bytes, **options: Any) -> Watch:
        return Watch(self._channel.unary_stream(WATCH.path)(raw, **options))


class Watch:
    """A stream of what changes."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def next(self) -> WatchResponse:
        raw = await asyncio.wait_for(self._call.read(), PATIENCE)
        if raw is grpc.aio.EOF:
            raise EOFError
        return WatchResponse.FromString(raw)

    async def rest(self) -> list[WatchResponse]:
        """Return what comes until the end, whatever end that is."""
        found = []
        try:
            while True:
                found.append(await self.next())
        except (EOFError, grpc.aio.AioRpcError):
            return found

    async def code(self) -> grpc.StatusCode:
        code: grpc.StatusCode = await asyncio.wait_for(self._call.code(), PATIENCE)
        return code

    async def details(self) -> str:
        details: str = await asyncio.wait_for(self._call.details(), PATIENCE)
        return details

    def leave(self) -> None:
        self._call.cancel()


async def nothing_to_commit() -> None:
    """Keep nothing: the state is in memory."""


@dataclass(slots=True)
class Host:
    """A running server, with everything of it in reach."""

    registry: Registry
    servicer: Servicer
    server: Server
    tally: ServerTally
    buckets: TokenBuckets
    lines: list[dict[str, Any]] = field(default_factory=list)
    """What was logged."""

    certificate: bytes = b""

    @asynccontextmanager
    async def client(self, **options: Any) -> AsyncIterator[Client]:
        target = f"127.0.0.1:{self.server.listening.endpoint.port}"
        arguments = (*PRIVATE_CHANNEL, *options.items())
        if self.certificate:
            credentials = grpc.ssl_channel_credentials(self.certificate)
            channel = grpc.aio.secure_channel(target, credentials, options=arguments)
        else:
            channel = grpc.aio.insecure_channel(target, options=arguments)
        try:
            yield Client(channel)
        finally:
            await channel.close()


@asynccontextmanager
async def host(
    *,
    clock: Callable[[], float] = time.monotonic,
    trust: Trust | None = None,
    redirect: str = "",
    certificate: CertificateFiles | None = None,
    commit: Callable[[], Awaitable[None]] = nothing_to_commit,
    address: str = "127.0.0.1:0",
    level: int = 10,
) -> AsyncIterator[Host]:
    lines: list[dict[str, Any]] = []
    registry, tally, buckets = Registry(), ServerTally(), TokenBuckets()
    servicer = Servicer(
        registry,
        commit,
        tally,
        buckets,
        memory_log(lines, level),
        clock,
        trust=trust or Trust(),
        redirect=redirect,
    )
    server = Server(servicer.handler(), Listening.parse(address, "--listen"), certificate)
    await server.start()
    try:
        one = Host(registry, servicer, server, tally, buckets, lines)
        one.certificate = certificate.pair.chain if certificate else b""
        yield one
    finally:
        registry.close_subscriptions()
        await server.stop(PATIENCE)


def memory_log(lines: list[dict[str, Any]], level: int) -> Any:
    """Return a log that only remembers."""

    def remember(_: Any, kind: str, event: Any) -> Any:
        lines.append({"level": kind, **event})
        raise structlog.DropEvent

    return structlog.wrap_logger(
        None, processors=[remember], wrapper_class=structlog.make_filtering_bound_logger(level)
    )


@contextmanager
def refused(code: grpc.StatusCode, details: str = "") -> Iterator[None]:
    """What is in here ends with that status."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        yield
    assert caught.value.code() is code
    assert details in (caught.value.details() or "")


async def until(condition: Callable[[], bool]) -> None:
    """Return once the condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  what is waited for knows no event
            await asyncio.sleep(0.005)
