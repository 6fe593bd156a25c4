"""The netlink thread: it runs a coroutine elsewhere, takes calls, ends, and messages never end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from functools import partial
from queue import SimpleQueue

from kubespan.linux.netlink import NetlinkThread, subscribe

WAIT = 10.0


def test_the_coroutine_runs_in_a_thread_of_that_name() -> None:
    told: SimpleQueue[threading.Thread] = SimpleQueue()

    async def main() -> None:
        told.put(threading.current_thread())

    thread = NetlinkThread("some-name", main)
    thread.start()
    ran_in = told.get(timeout=WAIT)
    assert ran_in.name == "some-name"
    assert ran_in is not threading.current_thread()
    thread.stop()
    assert not ran_in.is_alive()


def test_stopping_cancels_and_waits() -> None:
    told: SimpleQueue[str] = SimpleQueue()

    async def main() -> None:
        told.put("begun")
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            told.put("ended")

    thread = NetlinkThread("kubespan-test", main)
    thread.start()
    assert told.get(timeout=WAIT) == "begun"
    thread.stop()
    assert told.get_nowait() == "ended"


def test_calls_are_made_in_the_thread_and_in_order() -> None:
    told: SimpleQueue[tuple[int, str]] = SimpleQueue()

    def note(number: int) -> None:
        told.put((number, threading.current_thread().name))

    async def main() -> None:
        await asyncio.Event().wait()

    thread = NetlinkThread("kubespan-test", main)
    thread.start()
    for number in range(3):
        thread.call(partial(note, number))
    heard = [told.get(timeout=WAIT) for _ in range(3)]
    thread.stop()
    assert heard == [(number, "kubespan-test") for number in range(3)]


def test_neither_before_nor_after_is_anything_called() -> None:
    called: list[int] = []

    async def main() -> None:
        await asyncio.Event().wait()

    thread = NetlinkThread("kubespan-test", main)
    thread.call(lambda: called.append(1))
    thread.stop()
    thread.start()
    thread.stop()
    thread.call(lambda: called.append(2))
    thread.stop()
    assert called == []


class Batches:
    """Stands for a netlink socket, whose iterations end with every batch."""

    def __init__(self, *batches: list[str]) -> None:
        self.groups = 0
        self._batches = iter(batches)

    async def bind(self, *, groups: int) -> None:
        self.groups = groups

    async def get(self) -> AsyncIterator[str]:
        for message in next(self._batches):
            yield message


def test_messages_go_on_after_a_batch() -> None:
    async def main() -> list[str]:
        socket = Batches(["a", "b"], [], ["c"])
        messages = await subscribe(socket, 0x51)
        assert socket.groups == 0x51
        return [await anext(messages) for _ in range(3)]

    assert asyncio.run(main()) == ["a", "b", "c"]
