"""A thread that listens to the kernel about links, addresses and routes.

pyroute2 does not run on the program's own event loop, and following an interface into another
network namespace moves a whole thread there; so each listener has a thread, and in it an event loop
of the standard library. What it learns it hands out by a plain call from that thread. Knows
nothing of what is listened for. man 7 rtnetlink.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from importlib import import_module
from typing import Any

Messages = AsyncIterator[Any]

LOOK_AGAIN_AFTER = 0.005


class NetlinkThread:
    """A thread that runs one coroutine, from `start` until that ends by itself or is stopped."""

    def __init__(self, name: str, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._main = main
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Let the coroutine run."""
        self._loop = asyncio.SelectorEventLoop()
        self._task = self._loop.create_task(self._main())
        self._thread.start()

    def call(self, action: Callable[[], object]) -> None:
        """Have something called in the thread, soon; nothing happens once it is stopped."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(action)

    def stop(self) -> None:
        """Cancel the coroutine and wait until the thread is gone."""
        loop, task = self._loop, self._task
        if loop is None or task is None:
            return
        loop.call_soon_threadsafe(task.cancel)
        self._thread.join()
        self._loop = None
        loop.close()

    def _run(self) -> None:
        assert self._loop is not None
        assert self._task is not None
        try:
            self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            return


async def library(meanwhile: Callable[[], object] = lambda: None) -> Any:
    """Return pyroute2, which is slow to import; until it is there call `meanwhile` now and again.

    The thread that waits can be stopped all the while, and the program can end.
    """
    importing = threading.Thread(target=import_module, args=("pyroute2",), daemon=True)
    importing.start()
    while importing.is_alive():
        meanwhile()
        await asyncio.sleep(LOOK_AGAIN_AFTER)
    return import_module("pyroute2")


async def subscribe(socket: Any, groups: int) -> Messages:
    """Return all messages of some multicast groups, from now on, as they come in."""
    await socket.bind(groups=groups)
    return _endless(socket)


async def _endless(socket: Any) -> Messages:
    # The library ends an iteration with every batch.
    while True:
        async for message in socket.get():
            yield message
