"""The process of a node: its window, its signals, and what it tells whoever started it."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from structlog.typing import FilteringBoundLogger

from kubespan.api.listener import DIRECTORY as WIREGUARD_SOCKETS
from kubespan.api.listener import Listener
from kubespan.api.resource_server import SOCKET, ResourceServer
from kubespan.daemon.announcing import Announcing
from kubespan.daemon.loglimit import LimitedLog
from kubespan.daemon.node import MeshNode
from kubespan.daemon.window import NodeWindow
from kubespan.linux.syscall import forbid_core_dumps
from kubespan.linux.systemd import notify
from kubespan.linux.userns import owns_network
from kubespan.mesh.problem import ProblemCode
from kubespan.model.config import NodeConfig
from kubespan.model.errors import ConfigError

LEAVE_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Places:
    """Where a node is found on its machine."""

    socket: Path = SOCKET
    group: str = ""
    """Whose members may ask the node, besides its owner."""

    @property
    def log(self) -> Path:
        """What a node in the background writes."""
        return self.socket.with_suffix(".log")

    @property
    def wireguard(self) -> Path:
        """Where the socket for `wg` is: where that looks, unless the node is a further one here."""
        return WIREGUARD_SOCKETS if self.socket == SOCKET else self.socket.parent / "wireguard"


@dataclass(frozen=True, slots=True)
class Start:
    """What a node is started with."""

    config: NodeConfig
    written: NodeConfig
    """The same as its file says it, before the environment overrides some of it."""

    announcing: Announcing
    places: Places
    patience: float | None = None
    """How many seconds it may take until the mesh is steered; None: any number."""


async def serve(
    start: Start, listener: Listener, limited: LimitedLog, ready: Callable[[], object]
) -> None:
    """Be a node until asked to leave, by a signal or through the window. Raises KubespanError."""
    telling = asyncio.create_task(limited.follow())
    try:
        await _serve(start, listener, limited.log, ready)
    finally:
        telling.cancel()
        limited.tell()


async def _serve(
    start: Start, listener: Listener, log: FilteringBoundLogger, ready: Callable[[], object]
) -> None:
    forbid_core_dumps()
    _require_network()
    sockets = start.places.wireguard
    node = MeshNode(start.config, start.written, start.announcing, log, sockets)
    server = ResourceServer(NodeWindow(node, log), listener, start.config.metrics_address)
    loop = asyncio.get_running_loop()
    for number in LEAVE_SIGNALS:
        loop.add_signal_handler(number, node.leave)

    def tell_ready() -> None:
        log.info("the mesh is steered", socket=str(start.places.socket))
        notify("READY=1")
        ready()

    await server.start()
    try:
        await node.run(tell_ready, start.patience)
    finally:
        notify("STOPPING=1")
        await server.stop()
    log.info("left the mesh")


def _require_network() -> None:
    if not owns_network():
        raise ConfigError(
            f"{ProblemCode.USER_NAMESPACE.value}: root of a user namespace has no say over the"
            " network outside it; run it in a network namespace of its own (unshare -Urn), or"
            " outside"
        )


def bridge_log(log: FilteringBoundLogger, level: int) -> None:
    """Let what the data plane writes into the standard library's log come out of ours."""
    logger = logging.getLogger("kubespan")
    logger.setLevel(level)
    logger.propagate = False
    logger.handlers = [_Bridge(log)]


class _Bridge(logging.Handler):
    def __init__(self, log: FilteringBoundLogger) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        # What it is formatted from is the kind: the text is another one for each peer.
        self._log.log(record.levelno, record.getMessage(), kind=str(record.msg))
