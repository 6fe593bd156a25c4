"""What people and their scripts ask of a node, and the answers: one method for each question."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

import kubespan
from kubespan.api.asking import demand_owner, flag, number, text
from kubespan.api.columns import COLUMNS
from kubespan.api.following import follow, peers_up
from kubespan.api.lookup import find_kind, find_peer, find_resource
from kubespan.api.node import Node
from kubespan.api.refusal import Reason, Refused
from kubespan.api.rendering import Manner, rendered
from kubespan.api.report import node_name, status_report
from kubespan.api.timebase import Timebase
from kubespan.mesh.silence import peer_name
from kubespan.store.kind import KINDS, Kind
from kubespan.store.watch import Batch

LONGEST_PING: Final = 60.0
"""Seconds for which anybody may wait for an echo."""

DEFAULT_PING: Final = 5.0


def json_response(document: Any, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    """Return a document as an answer."""
    return web.Response(body=_encoded(document), status=status, content_type="application/json")


class Window:
    """The window of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._timebase = Timebase()
        self._staying: set[asyncio.Task[Any]] = set()

    async def version(self, _: web.Request) -> web.Response:
        """Tell which version is running."""
        return json_response({"version": kubespan.__version__})

    async def kinds(self, _: web.Request) -> web.Response:
        """Tell what can be asked for."""
        return json_response([_about(kind) for kind in KINDS])

    async def resources(self, request: web.Request) -> web.Response:
        """Tell all resources of a kind, or the one with an id."""
        kind, store = find_kind(request.match_info["kind"]), self._node.store
        id_, namespace = text(request, "id"), text(request, "namespace")
        found = store.list(kind, namespace)
        if id_:
            found = (find_resource(store, kind, id_, namespace),)
        manner = self._manner(request)
        items = [rendered(resource, manner) for resource in found]
        return json_response({**self._heading(kind), "items": items})

    async def watch(self, request: web.Request) -> web.StreamResponse:
        """Tell what is there and then what changes, until the client goes, or we do."""
        kind, store = find_kind(request.match_info["kind"]), self._node.store
        self._manner(request)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        await response.write(_line(self._heading(kind)))
        batches = follow(store, kind, text(request, "id") or None, text(request, "namespace"))
        async with self._stay(), aclosing(batches):
            async for batch in batches:
                await response.write(b"".join(self._told(batch, request)))
        return response

    async def status(self, request: web.Request) -> web.Response:
        """Tell how it stands with everything."""
        node, manner = self._node, self._manner(request)
        return json_response(status_report(node.store, node.facts(), node.now(), manner))

    async def wait(self, request: web.Request) -> web.Response:
        """Answer when so many peers are up, or it has taken too long."""
        wanted, timeout = number(request, "peers", 1), number(request, "timeout", math.inf)
        up = 0
        counts = peers_up(self._node.store)
        with suppress(TimeoutError):
            async with (
                asyncio.timeout(None if math.isinf(timeout) else timeout),
                self._stay(),
                aclosing(counts),
            ):
                async for up in counts:
                    if up >= wanted:
                        return json_response({"up": up})
        raise Refused(Reason.TIMED_OUT, f"{up} of {wanted:g} peers are up after {timeout:g} s")

    async def ping(self, request: web.Request) -> web.Response:
        """Tell how long an echo from a peer takes, and which way it goes."""
        peer = find_peer(self._node.store, text(request, "peer"))
        timeout = min(number(request, "timeout", DEFAULT_PING), LONGEST_PING)
        echo = await self._node.ping(peer.public_key, timeout)
        if echo is None:
            raise Refused(Reason.TIMED_OUT, f"no echo from {peer_name(peer)} in {timeout:g} s")
        return json_response(
            {
                "label": peer.label,
                "address": str(echo.address),
                "endpoint": None if echo.endpoint is None else str(echo.endpoint),
                "rtt": echo.round_trip,
            }
        )

    async def apply(self, request: web.Request) -> web.Response:
        """Have the node take over the configuration in the body."""
        demand_owner(request, "change the configuration")
        done = self._node.apply(await request.read(), dry_run=flag(request, "dry_run"))
        # Whoever asked may hang up: what was begun is still brought to its end.
        return json_response(dict(await asyncio.shield(asyncio.ensure_future(done))))

    async def stop(self, request: web.Request) -> web.Response:
        """Have the node leave."""
        demand_owner(request, "stop the node")
        await asyncio.shield(asyncio.ensure_future(self._node.stop()))
        return json_response({"stopping": True})

    async def hang_up(self, _: web.Application) -> None:
        """Let nobody stay any longer."""
        for task in tuple(self._staying):
            task.cancel()

    def _manner(self, request: web.Request) -> Manner:
        secrets = flag(request, "secrets")
        if secrets:
            demand_owner(request, "see secrets")
        return Manner(self._timebase.booted_ns(self._node.now()), secrets)

    def _heading(self, kind: Kind) -> dict[str, Any]:
        name = node_name(self._node.store, lambda: self._node.facts().hostname)
        return {"node": name, "kind": _about(kind)}

    def _told(self, batch: Batch, request: web.Request) -> Iterator[bytes]:
        manner = self._manner(request)
        if batch.is_anew:
            yield _line({"event": "anew"})
        for event in batch.events:
            item = rendered(event.resource, manner)
            yield _line({"event": event.type.value, "item": item})
        if batch.is_anew:
            yield _line({"event": "bootstrapped"})

    @asynccontextmanager
    async def _stay(self) -> AsyncIterator[None]:
        """Be among those who are asked to leave when the window closes."""
        task = asyncio.current_task()
        assert task is not None
        self._staying.add(task)
        try:
            yield
        finally:
            self._staying.discard(task)


def _about(kind: Kind) -> dict[str, Any]:
    return {
        "type": kind.name,
        "singular": kind.singular,
        "namespace": kind.namespace,
        "aliases": list(kind.aliases),
        "sensitive": kind.is_sensitive,
        "columns": [list(column) for column in COLUMNS[kind]],
    }


def _encoded(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _line(document: Any) -> bytes:
    return _encoded(document) + b"\n"
