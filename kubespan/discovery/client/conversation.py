"""The five calls of the protocol as a client makes them: values in, values out, over one channel.

Decides nothing and keeps nothing. Whatever a service does instead of answering is one exception,
`CallFailed`, with a text of bounded length that is fit to be shown.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from grpc import StatusCode, aio

import kubespan
from kubespan.discovery import method
from kubespan.discovery.client.effects import CALL_TIMEOUTS, Call, Failure, FailureReason
from kubespan.discovery.method import Method
from kubespan.discovery.proto.server_pb2 import (
    Affiliate,
    AffiliateDeleteRequest,
    AffiliateUpdateRequest,
    HelloRequest,
    HelloResponse,
    ListRequest,
    ListResponse,
    WatchRequest,
    WatchResponse,
)
from kubespan.discovery.record import AffiliateRecord
from kubespan.model.constants import AFFILIATE_TTL, MAX_AFFILIATES, MAX_ENDPOINTS
from kubespan.model.errors import KubespanError

CLIENT_VERSION: Final = f"v{kubespan.__version__}"

LONGEST_TEXT: Final = 200
"""Characters of what a service says about a failure."""

MOST_RECORDS: Final = 4 * MAX_AFFILIATES
"""Records of one answer that are looked at: four times what a service may keep of a cluster."""

_REASONS: Final = {
    StatusCode.OK: FailureReason.ENDED,
    StatusCode.ABORTED: FailureReason.ENDED,
    StatusCode.UNAVAILABLE: FailureReason.UNREACHABLE,
    StatusCode.DEADLINE_EXCEEDED: FailureReason.TIMED_OUT,
    StatusCode.RESOURCE_EXHAUSTED: FailureReason.EXHAUSTED,
}

_Response = TypeVar("_Response", bound=Message)


class Greeting(NamedTuple):
    """What a service answers to Hello."""

    redirect: str
    """Where to go instead; empty: nowhere."""

    client_ip: bytes
    """Our address as the service sees it: 4 or 16 bytes, if it behaves."""


class News(NamedTuple):
    """One message of a watch."""

    records: tuple[AffiliateRecord, ...]
    deleted: bool


class CallFailed(KubespanError):
    """A call has ended without an answer."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


class Conversation:
    """What one node of a cluster says on one channel. Every method raises CallFailed."""

    def __init__(self, channel: aio.Channel, cluster_id: str, node_id: str) -> None:
        self._channel = channel
        self._cluster_id = cluster_id
        self._node_id = node_id

    async def hello(self) -> Greeting:
        """Return how the service greets us."""
        request = HelloRequest(cluster_id=self._cluster_id, client_version=CLIENT_VERSION)
        answer = await self._ask(method.HELLO, Call.HELLO, request, HelloResponse)
        return Greeting(answer.redirect.endpoint, answer.client_ip)

    async def update(self, record: AffiliateRecord) -> None:
        """The service has the record; its data stays as it was if this one has none."""
        request = AffiliateUpdateRequest(
            cluster_id=self._cluster_id,
            affiliate_id=record.id,
            affiliate_data=record.data or None,
            affiliate_endpoints=record.endpoints,
            ttl=Duration(seconds=int(AFFILIATE_TTL)),
        )
        await self._ask(method.AFFILIATE_UPDATE, Call.UPDATE, request, Message)

    async def delete(self) -> None:
        """The service has no record of ours."""
        request = AffiliateDeleteRequest(cluster_id=self._cluster_id, affiliate_id=self._node_id)
        await self._ask(method.AFFILIATE_DELETE, Call.DELETE, request, Message)

    async def list(self) -> tuple[AffiliateRecord, ...]:
        """Return all records of the cluster."""
        request = ListRequest(cluster_id=self._cluster_id)
        answer = await self._ask(method.LIST, Call.LIST, request, ListResponse)
        return _records(answer.affiliates)

    async def watch(self) -> AsyncIterator[News]:
        """Iterate over what happens, the first time over all there is, until it ends."""
        open_stream: aio.UnaryStreamMultiCallable[bytes, bytes]
        open_stream = self._channel.unary_stream(method.WATCH.path)
        stream = open_stream(WatchRequest(cluster_id=self._cluster_id).SerializeToString())
        try:
            async for raw in stream:
                answer = _parse(method.WATCH, raw, WatchResponse)
                yield News(_records(answer.affiliates), answer.deleted)
        except aio.AioRpcError as error:
            raise CallFailed(_failure(error.code(), error.details())) from None
        finally:
            stream.cancel()

    async def _ask(
        self, asked: Method, call: Call, request: Message, kind: type[_Response]
    ) -> _Response:
        ask: aio.UnaryUnaryMultiCallable[bytes, bytes]
        ask = self._channel.unary_unary(asked.path)
        try:
            raw = await ask(request.SerializeToString(), timeout=CALL_TIMEOUTS[call])
        except aio.AioRpcError as error:
            raise CallFailed(_failure(error.code(), error.details())) from None
        return _parse(asked, raw, kind)


def _records(affiliates: Sequence[Affiliate]) -> tuple[AffiliateRecord, ...]:
    """Return the records of an answer, but of too many only so many that it shows."""
    most = MAX_ENDPOINTS + 1
    return tuple(
        [
            AffiliateRecord(one.id, one.data, tuple(one.endpoints[:most]))
            for one in affiliates[:MOST_RECORDS]
        ]
    )


def _parse(asked: Method, raw: bytes, kind: type[_Response]) -> _Response:
    try:
        message = asked.response.FromString(raw)
    except DecodeError:
        what = f"its answer is no {asked.response.DESCRIPTOR.name}"
        raise CallFailed(Failure(FailureReason.REFUSED, what)) from None
    assert isinstance(message, kind)
    return message


def _failure(code: StatusCode, details: str | None) -> Failure:
    """Return what a status means; the other side chose the details, so they are cut and cleaned."""
    text = "".join(char if char.isprintable() else "?" for char in (details or "")[:LONGEST_TEXT])
    reason = _REASONS.get(code, FailureReason.REFUSED)
    if reason is FailureReason.REFUSED:
        text = f"{code.name}: {text}" if text else code.name
    return Failure(reason, text)
