"""The window of a node as web applications: what is where, and how a refusal is put.

Everything is JSON; a watch is a stream of it, one document a line. Whoever can open the socket may
look; to change something, or to see secrets, it takes root or the user who runs the node.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from kubespan.api.metrics import create_registry
from kubespan.api.node import Node
from kubespan.api.refusal import Reason, Refused
from kubespan.api.window import Window, json_response
from kubespan.model.errors import ConfigError, SystemFault

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

STATUS: Final = {
    Reason.CONDITION: HTTPStatus.NOT_FOUND,
    Reason.WRONG: HTTPStatus.BAD_REQUEST,
    Reason.NOT_RUNNING: HTTPStatus.SERVICE_UNAVAILABLE,
    Reason.NOT_PERMITTED: HTTPStatus.FORBIDDEN,
    Reason.TIMED_OUT: HTTPStatus.GATEWAY_TIMEOUT,
    Reason.FAULT: HTTPStatus.BAD_GATEWAY,
    Reason.BUG: HTTPStatus.INTERNAL_SERVER_ERROR,
}


def create_application(node: Node) -> web.Application:
    """Return the window of a node, for its unix socket."""
    window = Window(node)
    application = create_probes(node)
    application.add_routes(
        [
            web.get("/v1/version", window.version),
            web.get("/v1/kinds", window.kinds),
            web.get("/v1/resources/{kind}", window.resources),
            web.get("/v1/watch/{kind}", window.watch),
            web.get("/v1/status", window.status),
            web.get("/v1/wait", window.wait),
            web.post("/v1/ping", window.ping),
            web.post("/v1/apply", window.apply),
            web.post("/v1/stop", window.stop),
        ]
    )
    application.on_shutdown.append(window.hang_up)
    return application


def create_probes(node: Node) -> web.Application:
    """Return what may be seen over the network: numbers, and whether the node is well."""
    probes = _Probes(node)
    application = web.Application(middlewares=[_refusals])
    application.add_routes(
        [
            web.get("/metrics", probes.metrics),
            web.get("/check/live", probes.live),
            web.get("/check/ready", probes.ready),
            web.get("/check/startup", probes.startup),
        ]
    )
    return application


class _Probes:
    """What machines ask again and again."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._registry = create_registry(node)

    async def metrics(self, _: web.Request) -> web.Response:
        body = generate_latest(self._registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def live(self, _: web.Request) -> web.Response:
        """Answer: that anybody does is what it means."""
        return _checked(holds=True)

    async def ready(self, _: web.Request) -> web.Response:
        return _checked(holds=self._node.facts().is_ready)

    async def startup(self, _: web.Request) -> web.Response:
        return _checked(holds=self._node.facts().is_started)


def _checked(*, holds: bool) -> web.Response:
    status = HTTPStatus.OK if holds else HTTPStatus.SERVICE_UNAVAILABLE
    return json_response({"holds": holds}, status)


@web.middleware
async def _refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer what goes wrong with its reason and a line of text."""
    try:
        return await handler(request)
    except Refused as error:
        return _refusal(error.reason, str(error))
    except ConfigError as error:
        return _refusal(Reason.WRONG, str(error))
    except SystemFault as error:
        return _refusal(Reason.FAULT, str(error))
    except web.HTTPException as error:
        return _refusal(Reason.WRONG, f"{request.method} {request.path}: {error.reason}")


def _refusal(reason: Reason, text: str) -> web.Response:
    return json_response({"error": {"reason": reason.value, "text": text}}, STATUS[reason])
