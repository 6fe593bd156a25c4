"""Serves a node's window on its unix socket, and its numbers on an address where that is wanted.

The socket is the listener's: it is made before there is an event loop, and its file is removed
only if it is still ours.
"""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path
from typing import Final

from aiohttp import web

from kubespan.api.application import create_application, create_probes
from kubespan.api.listener import Listener, listen_at
from kubespan.api.node import Node
from kubespan.api.server import KEEP_FILE
from kubespan.model.errors import ConfigError, SystemFault

SOCKET: Final = Path("/run/kubespan/kubespan.sock")
OWNERS_MODE: Final = 0o600
GROUPS_MODE: Final = 0o660

SHUTDOWN_TIMEOUT: Final = 1.0
"""Seconds that answers under way have to get through when we leave."""


def listen_for_clients(path: Path = SOCKET, group: str = "") -> Listener:
    """Bind the node's socket: for its owner only, or for a group as well.

    A file that nobody listens behind is replaced. Raises ConfigError if there is no such group;
    SystemFault, with EADDRINUSE if another node listens there.
    """
    return listen_at(path, GROUPS_MODE if group else OWNERS_MODE, group)


class ResourceServer:
    """The window of one node; the listener stays its maker's to close."""

    def __init__(self, node: Node, listener: Listener, metrics_address: str = "") -> None:
        self._node = node
        self._listener = listener
        self._metrics_address = metrics_address
        self._runners: list[web.AppRunner] = []

    async def start(self) -> None:
        """Answer from now on. Raises ConfigError or SystemFault, and then nobody is answered."""
        try:
            runner = await self._run(create_application(self._node))
            await _ListenerSite(runner, self._listener).start()
            if self._metrics_address:
                runner = await self._run(create_probes(self._node))
                await _start_at(runner, self._metrics_address)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Answer nobody any more, and hang up on those who are there."""
        while self._runners:
            await self._runners.pop().cleanup()

    async def _run(self, application: web.Application) -> web.AppRunner:
        # Without handler_cancellation, a watcher that left is noticed only at the next change.
        runner = web.AppRunner(
            application,
            handle_signals=False,
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=SHUTDOWN_TIMEOUT,
        )
        self._runners.append(runner)
        await runner.setup()
        return runner


class _ListenerSite(web.BaseSite):
    """A unix socket that somebody else bound, and whose file is somebody else's to remove."""

    def __init__(self, runner: web.AppRunner, listener: Listener) -> None:
        super().__init__(runner)
        self._listener = listener

    @property
    def name(self) -> str:
        """What aiohttp calls it."""
        return f"http://unix:{self._listener.path}:"

    async def start(self) -> None:
        """Accept clients from now on."""
        await super().start()
        assert self._runner.server is not None
        # A copy, because the event loop closes what it is given.
        self._server = await asyncio.get_running_loop().create_unix_server(
            self._runner.server, sock=self._listener.socket.dup(), **KEEP_FILE
        )


async def _start_at(runner: web.AppRunner, address: str) -> None:
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"{address!r} is no address to serve metrics on; write 127.0.0.1:9180")
    site = web.TCPSite(runner, host.strip("[]") or None, int(port))
    try:
        await site.start()
    except OSError as error:
        raise SystemFault(f"serve metrics on {address}", error.errno or errno.EIO) from error
