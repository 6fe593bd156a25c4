"""A discovery service beside commands that bring an event loop, or a process, of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from tests.discovery.host import host


@contextmanager
def serving(redirect: str = "") -> Iterator[str]:
    """A server in a thread of its own, for commands that bring their own event loop."""
    loop = asyncio.new_event_loop()
    stop, ready = asyncio.Event(), loop.create_future()

    async def serve() -> None:
        async with host(redirect=redirect) as one:
            ready.set_result(str(one.server.listening))
            await stop.wait()

    thread = Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        while not ready.done():
            thread.join(0.01)
        yield ready.result()
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
