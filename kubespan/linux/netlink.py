"""A thread that talks with the kernel about links, addresses and routes.

pyroute2 does not run on the program's own event loop, and following an interface into another
network namespace moves a whole thread there; so each listener has a thread, and in it an event loop
of the standard library. What it learns it hands out by a plain call from that thread, and what it
is asked to do its own loop does. Knows nothing of what is talked about. man 7 rtnetlink.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn, TypeVar

from kubespan.model.errors import InternalError

Messages = AsyncIterator[Any]

RTMGRP_LINK = 0x1
RTMGRP_IPV4_IFADDR = 0x10
RTMGRP_IPV4_ROUTE = 0x40
RTMGRP_IPV4_RULE = 0x80
RTMGRP_IPV6_IFADDR = 0x100
RTMGRP_IPV6_ROUTE = 0x400
RTMGRP_IPV6_RULE = 0x40000
ROUTING = RTMGRP_IPV4_ROUTE | RTMGRP_IPV4_RULE | RTMGRP_IPV6_ROUTE | RTMGRP_IPV6_RULE
ADDRESSES = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR

LOOK_AGAIN_AFTER = 0.005

_Result = TypeVar("_Result")


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

    async def ask(self, operation: Callable[[], Coroutine[Any, Any, _Result]]) -> _Result:
        """Have a coroutine run in the thread; return what it returns, raise what it raises.

        It is cancelled when whoever waits is, and when the thread is stopped. Raises InternalError
        if the thread ended by itself.
        """
        loop, task = self._loop, asyncio.current_task()
        if loop is None or not self._thread.is_alive():
            raise InternalError(f"{self._thread.name} is asked while it does not run")
        running = asyncio.run_coroutine_threadsafe(operation(), loop)
        try:
            return await asyncio.wrap_future(running)
        except asyncio.CancelledError:
            if self._loop is not loop or (task is not None and task.cancelling()):
                raise
            raise InternalError(f"{self._thread.name} ended while it was asked") from None

    def stop(self) -> None:
        """Cancel the coroutine, and whatever was asked, and wait until the thread is gone."""
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
            with suppress(asyncio.CancelledError):
                self._loop.run_until_complete(self._task)
        finally:
            self._loop.run_until_complete(_cancel_all(self._loop))


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


async def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    others = asyncio.all_tasks(loop) - {asyncio.current_task(loop)}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def subscribe(socket: Any, groups: int) -> Messages:
    """Return all messages of some multicast groups, from now on, as they come in."""
    await socket.bind(groups=groups)
    return _endless(socket)


async def follow(
    pyroute2: Any, groups: int, begin: Callable[[], object], note: Callable[[Any], object]
) -> NoReturn:
    """Hand on all messages of some multicast groups, for ever.

    `begin` is called once it listens, and again whenever messages may have been lost.
    """
    while True:
        async with pyroute2.AsyncIPRoute() as events:
            try:
                messages = await subscribe(events, groups)
                begin()
                async for message in messages:
                    note(message)
            except pyroute2.NetlinkError:
                await asyncio.sleep(LOOK_AGAIN_AFTER)


async def _endless(socket: Any) -> Messages:
    # The library ends an iteration with every batch.
    while True:
        async for message in socket.get():
            yield message
