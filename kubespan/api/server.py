"""Serves the configuration protocol on a listening unix socket, to any number of clients at once.

Moves text between connections and `uapi`, and writes refusals to the log. While a client does not
read its answers it gets no more of them, so it costs one answer of memory and nobody else's time.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import deque
from typing import Any, Final, cast

from kubespan.api.listener import Listener
from kubespan.api.target import Target
from kubespan.api.uapi import NotARequest, RequestReader, answer

KEEP_FILE: Final[dict[str, Any]] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
"""From Python 3.13 on a loop would remove the socket file, and that is the listener's to do."""


class Server:
    """The window of one device; the listener stays its maker's to close."""

    def __init__(self, listener: Listener, target: Target, log: logging.Logger) -> None:
        self._listener = listener
        self._target = target
        self._log = log
        self._server: asyncio.AbstractServer | None = None
        self._connections: set[_Connection] = set()

    async def start(self) -> None:
        """Accept clients from now on."""
        loop = asyncio.get_running_loop()
        # A copy, because the event loop closes what it is given.
        self._server = await loop.create_unix_server(
            lambda: _Connection(self._target, self._log, self._connections),
            sock=self._listener.socket.dup(),
            **KEEP_FILE,
        )

    async def stop(self) -> None:
        """Accept no more clients and hang up on those that are there."""
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._connections):
            connection.hang_up()


class _Connection(asyncio.Protocol):
    """One client: its requests are answered in order."""

    def __init__(self, target: Target, log: logging.Logger, connections: set[_Connection]) -> None:
        self._target = target
        self._log = log
        self._connections = connections
        self._reader = RequestReader()
        self._requests: deque[str] = deque()
        self._is_reading = True
        self._is_over = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        self._transport = None
        self._connections.discard(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._requests.extend(self._reader.requests(data))
        except NotARequest as error:
            self._log.error("UAPI: %s", error)
            self._is_over = True
        self._answer()

    def eof_received(self) -> bool:
        rest = self._reader.rest()
        if rest:
            self._requests.append(rest)
        self._is_over = True
        self._answer()
        return True

    def pause_writing(self) -> None:
        self._is_reading = False
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._is_reading = True
        if self._transport is not None:
            self._transport.resume_reading()
        self._answer()

    def hang_up(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _answer(self) -> None:
        while self._requests and self._is_reading and self._transport is not None:
            reply = answer(self._requests.popleft(), self._target)
            if reply.refusal:
                self._log.error("UAPI: %s", reply.refusal)
            self._transport.write(reply.text.encode())
        if self._is_over and not self._requests:
            self.hang_up()
