"""What the server tells over HTTP: metrics, health and, if switched on, the state of a cluster.

For operators, on an address of its own; the port that clients use speaks gRPC only.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from kubespan.discovery.server.inspection import HEADERS, complaint, form, inspection
from kubespan.discovery.server.listening import Listening
from kubespan.discovery.server.refusal import Refusal
from kubespan.discovery.server.registry import Registry

GRACE: Final = 1.0
"""Seconds that a page may take to be sent when the server stops."""


class Web:
    """The pages of one server, served from `start` to `stop`."""

    def __init__(
        self,
        listening: Listening,
        metrics: CollectorRegistry,
        is_ready: Callable[[], bool],
        inspected: Registry | None,
        clock: Callable[[], float],
    ) -> None:
        self.listening = listening
        application = web.Application()
        application.router.add_get("/metrics", partial(_metrics, metrics))
        application.router.add_get("/healthz", _live)
        application.router.add_get("/readyz", partial(_ready, is_ready))
        if inspected is not None:
            application.router.add_get("/inspect", partial(_inspect, inspected, clock))
        # No access log: it would have the ids of clusters in it.
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=GRACE)

    async def start(self) -> None:
        """Answer from now on; `listening` says where. Raises SystemFault."""
        one = self.listening.bind()
        self.listening = self.listening.with_port(one.getsockname()[1])
        await self._runner.setup()
        await web.SockSite(self._runner, one).start()

    async def stop(self) -> None:
        """Answer nothing more."""
        await self._runner.cleanup()


async def _metrics(metrics: CollectorRegistry, request: web.Request) -> web.Response:
    encode, kind = choose_encoder(request.headers.get("Accept", ""))
    return web.Response(body=encode(metrics), headers={"Content-Type": kind})


async def _live(_: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def _ready(is_ready: Callable[[], bool], _: web.Request) -> web.Response:
    if is_ready():
        return web.Response(text="ok\n")
    return web.Response(text="not ready\n", status=web.HTTPServiceUnavailable.status_code)


async def _inspect(
    registry: Registry, clock: Callable[[], float], request: web.Request
) -> web.Response:
    cluster_id = request.query.get("clusterID", "")
    status = web.HTTPOk.status_code
    try:
        page = inspection(cluster_id, registry.list(cluster_id, clock())) if cluster_id else form()
    except Refusal as refusal:
        page, status = complaint(cluster_id, refusal.message), web.HTTPBadRequest.status_code
    return web.Response(text=page, content_type="text/html", headers=HEADERS, status=status)
