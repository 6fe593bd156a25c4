"""The five calls as the discovery server answers them: the shell around the registry.

Each call is counted, awaits its turn, is answered from the registry, and ends with the status that
the stock service ends it with. Nothing a caller sends raises out of here, and nothing is logged
call by call unless that was asked for. Discovery service, as observed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias, TypeVar, cast

import grpc
from google.protobuf.message import Message
from grpc import StatusCode
from structlog.typing import FilteringBoundLogger

from kubespan.discovery import method as methods
from kubespan.discovery.method import Method
from kubespan.discovery.proto.server_pb2 import (
    AffiliateDeleteRequest,
    AffiliateDeleteResponse,
    AffiliateUpdateRequest,
    AffiliateUpdateResponse,
    HelloRequest,
    HelloResponse,
    ListRequest,
    ListResponse,
    WatchRequest,
)
from kubespan.discovery.record import Notification
from kubespan.discovery.server.call import CODE_NAMES, Call, Context
from kubespan.discovery.server.caller import Metadata, Trust, caller_address
from kubespan.discovery.server.refusal import Refusal, RefusalCode
from kubespan.discovery.server.registry import Registry
from kubespan.discovery.server.sendbudget import SendBudget, size_of
from kubespan.discovery.server.subscription import Subscription
from kubespan.discovery.server.tally import ServerTally
from kubespan.discovery.server.tokenbucket import TokenBuckets
from kubespan.discovery.server.validation import check_cluster_id
from kubespan.discovery.server.wire import (
    NotificationEncoder,
    Undecodable,
    affiliate_messages,
    endpoints_of,
    parse_request,
    seconds,
)

LOST_UPDATE: Final = "subscription canceled: lost update"
"""What a watcher is told that was too slow, in the words that clients know."""

_BY_NUMBER: Final = {int(code.value[0]): code for code in StatusCode}
STATUS: Final = {code: _BY_NUMBER[code] for code in RefusalCode}

Answer: TypeAlias = Callable[[Any, Call], Awaitable[Message]]
_Result = TypeVar("_Result")


class Aborted(Exception):
    """The stream of a watcher ends, because it has lost a change."""


class Servicer:
    """Answers all calls. `commit` returns when everything noted before is durable."""

    def __init__(
        self,
        registry: Registry,
        commit: Callable[[], Awaitable[None]],
        tally: ServerTally,
        buckets: TokenBuckets,
        log: FilteringBoundLogger,
        clock: Callable[[], float],
        *,
        trust: Trust,
        redirect: str,
    ) -> None:
        self._registry = registry
        self._commit = commit
        self._tally = tally
        self._buckets = buckets
        self._log = log
        self._clock = clock
        self._trust = trust
        self._redirect = redirect
        self._encoder = NotificationEncoder()
        self._budget = SendBudget()
        self._known_bugs: set[tuple[str, str]] = set()

    def handler(self) -> grpc.GenericRpcHandler:
        """Return what gRPC calls. Requests come as bytes: it would answer UNKNOWN to bad ones."""
        handlers: dict[Method, Answer] = {
            methods.HELLO: self._hello,
            methods.AFFILIATE_UPDATE: self._update,
            methods.AFFILIATE_DELETE: self._delete,
            methods.LIST: self._list,
        }
        table = {method.name: self._unary(method, answer) for method, answer in handlers.items()}
        table[methods.WATCH.name] = grpc.unary_stream_rpc_method_handler(self._serve_watch)
        return grpc.method_handlers_generic_handler(methods.SERVICE, table)

    # ---------------------------------------------------------------------- the life of a call

    def _unary(self, method: Method, answer: Answer) -> grpc.RpcMethodHandler[bytes, bytes]:
        async def serve(raw: bytes, context: Context) -> bytes:
            call = self._begin(method, context)
            return await self._run(call, self._answer(call, raw, answer))

        return grpc.unary_unary_rpc_method_handler(serve)

    async def _serve_watch(self, raw: bytes, context: Context) -> None:
        call = self._begin(methods.WATCH, context)
        await self._run(call, self._watch(call, raw))

    def _begin(self, method: Method, context: Context) -> Call:
        metadata = cast("Metadata", context.invocation_metadata() or ())
        address = caller_address(context.peer(), metadata, self._trust)
        tally = self._tally.calls[method]
        tally.started += 1
        return Call(method, tally, context, address, self._clock())

    async def _run(self, call: Call, work: Awaitable[_Result]) -> _Result:
        """Return the result, or end the call with the status of what went wrong."""
        code, message = StatusCode.OK, ""
        try:
            return await work
        except Refusal as refusal:
            code, message = STATUS[refusal.code], refusal.message
        except Undecodable as error:
            code, message = StatusCode.INTERNAL, str(error)
        except Aborted:
            code, message = StatusCode.ABORTED, LOST_UPDATE
        except asyncio.CancelledError:
            code = _code_of_leaving(call)
            raise
        except Exception as error:  # noqa: BLE001  a bug of ours ends one call and no more
            code, message = StatusCode.INTERNAL, "internal error"
            self._tell_of_bug(call, error)
        finally:
            self._finish(call, code)
        return await call.context.abort(code, message)

    async def _answer(self, call: Call, raw: bytes, answer: Answer) -> bytes:
        request = parse_request(call.method.request, raw)
        call.tally.received += 1
        call.describe(request)
        await self._wait_for_turn(call)
        response = (await answer(request, call)).SerializeToString()
        call.tally.sent += 1
        return response

    async def _wait_for_turn(self, call: Call) -> None:
        """Return when the caller's address may have this call. Raises Refusal."""
        wait = self._buckets.take(call.address, self._clock(), call.patience)
        if wait is None:
            raise Refusal(RefusalCode.RESOURCE_EXHAUSTED, "rate limit exceeded")
        if wait:
            try:
                await asyncio.sleep(wait)
            except asyncio.CancelledError:
                self._buckets.give_back(call.address)
                raise

    def _finish(self, call: Call, code: StatusCode) -> None:
        duration = self._clock() - call.started_at
        call.tally.finish(CODE_NAMES[code], duration)
        # Only where it was asked for: a flood of calls shall not be one of lines, too.
        if self._log.is_enabled_for(logging.DEBUG):
            self._log.debug("call", code=CODE_NAMES[code], duration=duration, **call.facts())

    def _tell_of_bug(self, call: Call, error: Exception) -> None:
        """Log a bug with where it is, the first time that it shows."""
        bug = (call.method.name, type(error).__name__)
        if bug not in self._known_bugs:
            self._known_bugs.add(bug)
            self._log.error(
                "a bug of ours; it is told once and counted as Internal",
                method=call.method.name,
                exc_info=error,
            )

    # --------------------------------------------------------------------------- the five calls

    async def _hello(self, request: HelloRequest, call: Call) -> HelloResponse:
        self._tally.count_hello(request.client_version)
        check_cluster_id(request.cluster_id)
        response = HelloResponse(client_ip=call.address)
        if self._redirect:
            response.redirect.endpoint = self._redirect
        return response

    async def _update(self, request: AffiliateUpdateRequest, _: Call) -> AffiliateUpdateResponse:
        self._registry.update(
            request.cluster_id,
            request.affiliate_id,
            request.affiliate_data,
            endpoints_of(request),
            seconds(request.ttl),
            self._clock(),
        )
        await self._commit()
        return AffiliateUpdateResponse()

    async def _delete(self, request: AffiliateDeleteRequest, _: Call) -> AffiliateDeleteResponse:
        self._registry.delete(request.cluster_id, request.affiliate_id, self._clock())
        await self._commit()
        return AffiliateDeleteResponse()

    async def _list(self, request: ListRequest, call: Call) -> ListResponse:
        records = self._registry.list(request.cluster_id, self._clock())
        taken = await self._budget.spend(call.address, size_of(records))
        # gRPC sends it after we have returned, and tells when it is gone or given up.
        cast("Any", call.context).add_done_callback(lambda _: taken())
        return ListResponse(affiliates=affiliate_messages(records))

    async def _watch(self, call: Call, raw: bytes) -> None:
        # In this order: a stream costs a token before anyone reads what it asks for.
        await self._wait_for_turn(call)
        request = parse_request(WatchRequest, raw)
        call.tally.received += 1
        call.describe(request)
        subscription = self._registry.watch(request.cluster_id, self._clock())
        try:
            # At the caller's own deadline a stream ends as if it had been asked to.
            async with asyncio.timeout(call.patience):
                await self._tell(subscription, call)
        except TimeoutError:
            return
        finally:
            subscription.close()

    async def _tell(self, subscription: Subscription, call: Call) -> None:
        """Send what there is until it ends. While a watcher does not read, we wait in `write`."""
        changed = asyncio.Event()
        subscription.on_change = changed.set
        while True:
            changed.clear()
            while (notification := subscription.take()) is not None:
                await self._send(notification, call)
            if subscription.is_cancelled:
                raise Aborted
            if subscription.is_ended:
                return
            await changed.wait()

    async def _send(self, notification: Notification, call: Call) -> None:
        if len(notification.affiliates) > 1:
            async with self._budget.spending(call.address, size_of(notification.affiliates)):
                await call.context.write(self._encoder.encode(notification))
        else:
            await call.context.write(self._encoder.encode(notification))
        call.tally.sent += 1


def _code_of_leaving(call: Call) -> StatusCode:
    """Return why a call ended from outside: its deadline, or nobody wants the answer any more."""
    remaining = call.patience
    if remaining is None or remaining > 0:
        return StatusCode.CANCELLED
    return StatusCode.OK if call.method.is_stream else StatusCode.DEADLINE_EXCEEDED
