"""A node's window in use: a real server on a real socket, in a thread of this process."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from kubespan.api.client import Client
from kubespan.api.resource_server import ResourceServer, listen_for_clients
from tests.api.nodes import FakeNode

PATIENCE = 30.0
"""Seconds after which an answer is not coming at all."""

T = TypeVar("T")


@dataclass(slots=True)
class Served:
    """A node, who serves it, and how to ask it."""

    node: FakeNode
    path: Path
    loop: asyncio.AbstractEventLoop
    client: Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = Client(str(self.path))

    def do(self, action: Callable[[], T]) -> T:
        """Run something where the node lives, and return what it returns."""

        async def run() -> T:
            return action()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(PATIENCE)


@contextmanager
def served(node: FakeNode | None = None, metrics_address: str = "") -> Iterator[Served]:
    """Serve a node until the block ends."""
    node = node or FakeNode()
    with tempfile.TemporaryDirectory() as directory, _loop() as loop:
        listener = listen_for_clients(Path(directory) / "node.sock")
        server = ResourceServer(node, listener, metrics_address)
        _run(loop, server.start())
        try:
            yield Served(node, listener.path, loop)
        finally:
            _run(loop, server.stop())
            listener.close()


@contextmanager
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _run(loop: asyncio.AbstractEventLoop, what: Any) -> Any:
    return asyncio.run_coroutine_threadsafe(what, loop).result(PATIENCE)
